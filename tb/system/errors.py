# SPDX-License-Identifier: Apache-2.0
"""Every status that a packet can be refused with, as functions of a started miniport; each returns what it showed.

Every bad packet has a sound one right ahead of it and one right behind it, all queued before the first completion is
taken. The engine's counters say that only the sound ones left; the miniport, at the end, that nothing is left over.
"""

import random
from collections import Counter

from model.cases import ah_op, esp_op
from model.faults import Fault, faults, faulty
from nicsec_sim.hoststack import Framing, Tunnel, ethernet, frame
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Limits
from nicsec_sim.model.status import Status
from nicsec_sim.ndis import Info, make_nbl
from nicsec_sim.ndis.nbl import LsoInfo
from nicsec_sim.plain import ipv4, udp

__all__ = ["REQUIRED", "SCENARIOS"]

BOTH = ("inner", "outer")
#: What must be shown: statuses by level, or of the packet as a whole.
REQUIRED = {
    *((level, status) for level in BOTH for status in (
        Status.MALFORMED, Status.INVALID_PROTOCOL, Status.BAD_HANDLE, Status.SPI_MISMATCH, Status.MISSING_AH,
        Status.MISSING_ESP, Status.FRAGMENT, Status.UNALIGNED, Status.NO_ROOM, Status.UNSUPPORTED, Status.IV_EXHAUSTED,
        Status.IV_REPEAT, Status.LIFETIME_EXPIRED,
    )),
    *(("packet", status) for status in (
        Status.TOO_LONG, Status.INPUT_ERROR, Status.MALFORMED, Status.UNSUPPORTED, Status.DISABLED,
        Status.INVALID_PROTOCOL,
    )),
}

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


class Sound:
    """A sound packet of two levels, AH over ESP each, and its SAs in the engine."""

    def __init__(self, inner=4, outer=4, seed=5, **options):
        self.packet = faulty(random.Random(seed), inner, outer, **options)
        self.frame = self.packet.frame
        self.handles = (0, 0)
        self._count = 0

    def fresh(self):
        """The packet with IVs that were not sent before, and what the golden model makes of it."""
        self._count += 1
        data = bytearray(self.frame)
        for level in self.packet.levels:
            if level.bundle.esp.judges_iv:
                data[level.esp + 8 : level.payload] = (100 * self._count).to_bytes(8, "big")
        engine = Engine()
        sas = [engine.add_sa(sa) for sa in (self.packet.sa1, self.packet.sa2)]
        return bytes(data), engine.process(bytes(data), *sas).frame

    async def add(self, miniport):
        self.handles = tuple([await miniport.add_sa(sa) for sa in (self.packet.sa1, self.packet.sa2)])
        return self

    async def delete(self, miniport):
        for handle in self.handles:
            await miniport.delete_sa(handle)


def nbl(data, handles, lso=False, **changes):
    """One packet; ``changes`` are fields of its NET_BUFFER."""
    result = make_nbl([data], handles, cuts=(9, 30))
    for name, value in changes.items():
        setattr(result.NetBuffers[0], name, value)
    if lso:
        result.NetBufferListInfo[Info.TcpLargeSendNetBufferListInfo] = LsoInfo(1000)
    return result


async def refused(miniport, sound, bad):
    """Send ``bad``, pairs of ``(name, level, status)`` and a list, between sound packets; returns what it showed."""
    before = await miniport.counters()
    sent = [sound.fresh() for _ in range(len(bad) + 1)]
    lists = [nbl(sent[0][0], sound.handles)]
    for (_, one), (data, _) in zip(bad, sent[1:], strict=True):
        lists += [one, nbl(data, sound.handles)]
    await miniport.send_net_buffer_lists(lists)
    await miniport.flush()
    results = [one.NetBuffers[0].result for one in lists]
    for (what, _), result in zip(bad, results[1::2], strict=True):
        assert (result.status, result.frame) == (what[2], None), what
    for n, ((_, expected), result) in enumerate(zip(sent, results[::2], strict=True)):
        assert (result.status, result.frame) == (Status.SUCCESS, expected), f"the one behind {bad[n - 1][0]}"
    after = await miniport.counters()
    grown = Counter({name: after[name] - before[name] for name in after})
    statuses = Counter(what[2].text for what, _ in bad)
    assert grown["packets_in"] == len(lists)
    assert grown["packets_out"] == grown["protected"] == grown["success"] == len(bad) + 1
    assert grown["bytes_out"] == (len(bad) + 1) * len(sound.frame)
    assert {name: grown[name] for name in statuses} == statuses
    return {(level, status) for (_, level, status), _ in bad}


async def broken(miniport, sound, found):
    bad = []
    for fault in found:
        level = fault.name.split()[0]
        what = (fault.name, level if level in BOTH else "packet", fault.status)
        bad.append((what, nbl(fault.broken(sound.frame), sound.handles)))
    shown = await refused(miniport, sound, bad)
    await sound.delete(miniport)
    return shown


@scenario
async def faults_of_ipv4(miniport):
    sound = await Sound(4, 4).add(miniport)
    return await broken(miniport, sound, faults(sound.packet))


@scenario
async def faults_of_ipv6(miniport):
    sound = await Sound(6, 6).add(miniport)
    return await broken(miniport, sound, faults(sound.packet))


@scenario
async def faults_of_esp_in_udp(miniport):
    sound = await Sound(6, 4, udp_encap=True).add(miniport)
    return await broken(miniport, sound, faults(sound.packet))


def _shorter(ip):
    """The datagram one byte shorter, so that its ESP payload is no whole number of blocks."""
    at = ip.at + (2 if ip.version == 4 else 4)

    def apply(data):
        data[at : at + 2] = (int.from_bytes(data[at : at + 2], "big") - 1).to_bytes(2, "big")

    return apply


def _unknown_route(ip):
    """Destination options become a routing header of type 1 with 4 segments left."""

    def apply(data):
        data[ip.at + 6] = 43

    return apply


def _overrun(ip):
    """An option runs out of its header, which AH finds in its pass, when inner passes are done."""

    def apply(data):
        data[ip.extensions[0].at + 3] += 1

    return apply


@scenario
async def faults_that_need_the_length_or_a_pass(miniport):
    shown = set()
    for version in (4, 6):
        sound = await Sound(version, version).add(miniport)
        found = []
        for name, level in zip(("outer", "inner"), sound.packet.levels, strict=True):
            found.append(Fault(f"{name} length", Status.UNALIGNED, _shorter(level.ip)))
            if version == 6:
                found.append(Fault(f"{name} routing header", Status.UNSUPPORTED, _unknown_route(level.ip)))
                found.append(Fault(f"{name} options", Status.MALFORMED, _overrun(level.ip)))
        shown |= await broken(miniport, sound, found)
    return shown


@scenario
async def handles_that_are_bad(miniport):
    sound = await Sound().add(miniport)
    stale = await Sound(seed=6).add(miniport)
    await stale.delete(miniport)
    # Every slot is in use, theirs too, so that only the generation tells.
    slots = miniport.capabilities.sa_slots
    others = [await miniport.add_sa(sound.packet.sa1) for _ in range(slots - len(sound.handles))]
    assert {handle & 0xFFFF for handle in stale.handles} <= {handle & 0xFFFF for handle in others}
    wrong = {"stale": stale.handles[0], "stale too": stale.handles[1], "generation 0": sound.handles[0] & 0xFFFF or 1,
             "no such slot": 0x10000 | slots, "far away": 0x1FFFF}
    bad = []
    for name, handle in wrong.items():
        for level, handles in (("inner", (handle, sound.handles[1])), ("outer", (sound.handles[0], handle))):
            bad.append(((name, level, Status.BAD_HANDLE), nbl(sound.frame, handles)))
        bad.append(((name, "packet", Status.BAD_HANDLE), nbl(sound.frame, (handle, 0))))
    shown = await refused(miniport, sound, bad)
    await sound.delete(miniport)
    for handle in others:
        await miniport.delete_sa(handle)
    return shown


@scenario
async def counters_that_are_used_up(miniport):
    rng, shown = random.Random(8), set()
    tunnel = Framing(tunnel=Tunnel(src="192.0.2.1", dst="192.0.2.2"))
    inside = ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 7, 9, rng.randbytes(50)))
    sound = await Sound().add(miniport)
    for level in BOTH:
        counts = [{"iv": "frame"}, {"iv": "frame"}]
        counts[BOTH.index(level)] = {"iv": "generate", "iv_init": 2**64 - 1}
        sas = [Bundle(mode, (esp_op(rng, "aes-gcm", icv_len=16, **fields), ah_op(rng, "hmac-sha1-96")))
               for mode, fields in zip(("transport", "tunnel"), counts, strict=True)]
        data = frame(inside, *sas, framing2=tunnel)
        engine = Engine()
        expected = engine.process(data, *(engine.add_sa(sa) for sa in sas)).frame
        handles = tuple([await miniport.add_sa(sa) for sa in sas])
        last = nbl(data, handles)
        await miniport.send_net_buffer_lists([last])
        await miniport.flush()
        assert last.NetBuffers[0].result.frame == expected
        what = ("after the last value", level, Status.IV_EXHAUSTED)
        shown |= await refused(miniport, sound, [(what, nbl(data, handles)) for _ in range(3)])
        for handle in handles:
            await miniport.delete_sa(handle)
    await sound.delete(miniport)
    return shown


INSIDE = ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 7, 9, random.Random(10).randbytes(50)))
GATEWAYS = Tunnel(src="192.0.2.1", dst="192.0.2.2")


async def sent_alone(miniport, data, handles):
    """What becomes of one packet."""
    one = nbl(data, handles)
    await miniport.send_net_buffer_lists([one])
    await miniport.flush()
    return one.NetBuffers[0].result


@scenario
async def ivs_that_repeat(miniport):
    """At one level the frame brings the IV, at the other the engine makes it."""
    rng, shown = random.Random(11), set()
    sound = await Sound().add(miniport)
    for level in BOTH:
        modes = ["generate", "generate"]
        modes[BOTH.index(level)] = "frame"
        sas = [Bundle(mode, (esp_op(rng, "aes-gcm", icv_len=16, iv=iv), ah_op(rng, "hmac-sha1-96")))
               for mode, iv in zip(("transport", "tunnel"), modes, strict=True)]
        handles = tuple([await miniport.add_sa(sa) for sa in sas])
        engine = Engine()
        model = [engine.add_sa(sa) for sa in sas]

        def with_iv(value, sas=sas):
            iv = value.to_bytes(8, "big")
            return frame(INSIDE, *sas, framing1=Framing(iv=iv), framing2=Framing(iv=iv, tunnel=GATEWAYS))

        for good, bad in ((0, [0]), (1 << 33, [0, 1, (1 << 33) - 1, 1 << 33]), ((1 << 33) + 1, [7]),
                          (2**64 - 1, [2**64 - 1, 0, 1 << 33])):
            result = await sent_alone(miniport, with_iv(good), handles)
            expected = engine.process(with_iv(good), *model)
            assert (result.status, result.frame) == (Status.SUCCESS, expected.frame), good
            repeats = [((f"{value:#x} after {good:#x}", level, Status.IV_REPEAT), nbl(with_iv(value), handles))
                       for value in bad]
            assert [engine.process(with_iv(value), *model).status for value in bad] == [Status.IV_REPEAT] * len(bad)
            shown |= await refused(miniport, sound, repeats)
        for handle in handles:
            await miniport.delete_sa(handle)
    await sound.delete(miniport)
    return shown


@scenario
async def lifetimes_that_end(miniport):
    rng, shown = random.Random(12), set()
    sound = await Sound().add(miniport)
    for level in BOTH:
        for name in ("hard_packets", "hard_bytes"):
            limits = [Limits(), Limits()]
            limits[BOTH.index(level)] = Limits(**{name: 2 if name == "hard_packets" else 300})
            sas = [Bundle(mode, (esp_op(rng, "aes-gcm", icv_len=16), ah_op(rng, "hmac-sha1-96")), limit)
                   for mode, limit in zip(("transport", "tunnel"), limits, strict=True)]
            data = frame(INSIDE, *sas, framing2=Framing(tunnel=GATEWAYS))
            assert 150 <= len(data) < 300
            handles = tuple([await miniport.add_sa(sa) for sa in sas])
            engine = Engine()
            model = [engine.add_sa(sa) for sa in sas]
            for _ in range(2):
                result = await sent_alone(miniport, data, handles)
                assert (result.status, result.frame) == (Status.SUCCESS, engine.process(data, *model).frame)
            what = (name, level, Status.LIFETIME_EXPIRED)
            shown |= await refused(miniport, sound, [(what, nbl(data, handles)) for _ in range(3)])
            # The other SA is looked up all the same, and counts what was refused on account of this one.
            counts = [(counts.packets, counts.errors) for counts in [await miniport.query_sa(sa) for sa in handles]]
            assert counts == ([(2, 0), (5, 3)] if level == "inner" else [(5, 3), (2, 0)])
            for handle in handles:
                await miniport.delete_sa(handle)
    await miniport.service_interrupt()
    await sound.delete(miniport)
    return shown


@scenario
async def packets_that_are_wrong_as_a_whole(miniport):
    sound = await Sound().add(miniport)
    longest = miniport.capabilities.max_frame
    length, handles = len(sound.frame), sound.handles
    body = ipv4("10.0.0.1", "10.0.0.2", 17, random.Random(9).randbytes(longest))
    cases = [
        ("one byte too long", Status.TOO_LONG, nbl(ethernet(body)[: longest + 1], handles)),
        ("a beat too long, without a handle", Status.TOO_LONG, nbl(ethernet(body)[: longest + 16], (0, 0))),
        ("marked bad", Status.INPUT_ERROR, nbl(sound.frame, handles, error=True)),
        ("marked bad, without a handle", Status.INPUT_ERROR, nbl(sound.frame, (0, 0), error=True)),
        ("descriptor too long", Status.MALFORMED, nbl(sound.frame, handles, overrides={"length": length + 1})),
        ("descriptor too short", Status.MALFORMED, nbl(sound.frame, handles, overrides={"length": length - 1})),
        ("a single byte", Status.MALFORMED, nbl(b"\x02", handles)),
        ("cut", Status.MALFORMED, nbl(sound.frame[:-1], handles)),
        ("LSO", Status.UNSUPPORTED, nbl(sound.frame, handles, lso=True)),
        ("LSO, without a handle", Status.UNSUPPORTED, nbl(sound.frame, (0, 0), lso=True)),
        ("ARP", Status.INVALID_PROTOCOL, nbl(sound.frame[:12] + b"\x08\x06" + bytes(60), handles)),
    ]
    shown = await refused(miniport, sound, [((name, "packet", status), one) for name, status, one in cases])
    await sound.delete(miniport)
    return shown


@scenario
async def an_engine_that_is_off(miniport):
    sound = await Sound().add(miniport)
    await miniport.enable(False)
    lists = [nbl(sound.frame, handles) for handles in (sound.handles, (0, 0), (sound.handles[0], 0), (0, 0))]
    await miniport.send_net_buffer_lists(lists)
    await miniport.flush()
    results = [one.NetBuffers[0].result for one in lists]
    # A packet without a handle passes untouched, on or off.
    assert [result.status for result in results] == [Status.DISABLED, Status.SUCCESS] * 2
    assert [result.frame for result in results] == [None, sound.frame] * 2
    await miniport.enable()
    assert await refused(miniport, sound, []) == set()
    await sound.delete(miniport)
    return {("packet", Status.DISABLED)}
