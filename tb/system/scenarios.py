# SPDX-License-Identifier: Apache-2.0
"""What a driver does with an engine, as functions of a started miniport: for the RTL and for the golden model."""

import itertools
import random
from dataclasses import replace

import pytest
from nicsec_sim.hoststack import Framing, Tunnel, ethernet, frame
from nicsec_sim.model.engine import Engine, EventKind
from nicsec_sim.model.sa import Bundle, Limits, Op
from nicsec_sim.model.status import Status
from nicsec_sim.ndis import Info, NdisStatus, Oid, Reg, SaError, make_nbl, v1, v2
from nicsec_sim.ndis.device import SaCounts, SaEvent
from nicsec_sim.plain import ipv4, ipv6, udp

__all__ = ["SCENARIOS"]

TUNNEL4 = Framing(tunnel=Tunnel(src="192.0.2.1", dst="192.0.2.2"))
TUNNEL6 = Framing(tunnel=Tunnel(src="2001:db8:1::1", dst="2001:db8:1::2"))

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def packet(size=80, version=4, seed=0):
    body = random.Random(seed).randbytes(size)
    if version == 4:
        return ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 7, 9, body))
    return ipv6("2001:db8::1", "2001:db8::2", 17, udp("2001:db8::1", "2001:db8::2", 7, 9, body))


def gcm(spi=0x101, mode="transport", **more):
    op = {"encr_alg": "aes-gcm", "encr_key": bytes(range(spi % 7, 16 + spi % 7)), "salt": b"salt", "icv_len": 16} | more
    return Bundle(mode, (Op(protocol="esp", spi=spi, **op),))


def cbc(spi=0x202, mode="transport", **more):
    op = {"encr_alg": "aes-cbc", "encr_key": bytes(range(32)), "auth_alg": "hmac-sha256-128",
          "auth_key": bytes(range(100)), "icv_len": 16} | more
    return Bundle(mode, (Op(protocol="esp", spi=spi, **op),))


def golden(data, bundle1, bundle2=None, **more):
    """The frame that leaves an engine in which the SAs are fresh."""
    engine = Engine()
    sas = [bundle and engine.add_sa(bundle) for bundle in (bundle1, bundle2)]
    return engine.process(data, *sas, **more).frame


async def send(miniport, frames, handles=(0, 0)):
    nbl = make_nbl(frames, handles, cuts=(9, 9, 30, 47))
    await miniport.send_net_buffer_lists([nbl])
    assert await miniport.send_net_buffer_lists_complete() is nbl
    return [buffer.result.status for buffer in nbl], [buffer.result.frame for buffer in nbl], nbl.Status


async def good(miniport, data, bundle, handle, expected=None):
    """``data`` goes out as the golden model says."""
    statuses, frames, status = await send(miniport, [data], (handle, 0))
    assert statuses == [Status.SUCCESS]
    assert status is NdisStatus.SUCCESS
    assert frames[0] == (expected or golden(data, bundle)) != data


@scenario
async def requests_of_version_1(miniport):
    key = bytes(range(20))
    request = v1.AddSa((v1.SecAssoc(2, 0x55, v1.AlgoInfo(2, 20)), v1.SecAssoc(1, 0x56, v1.AlgoInfo(2, 20))), key + key)
    buffer = request.pack(miniport.bits)
    assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_SA, buffer) is NdisStatus.SUCCESS, miniport.refusal
    handle = v1.get_handle(buffer, miniport.bits)
    await good(miniport, frame(packet(), request.bundle()), request.bundle(), handle)
    delete = v1.pack_delete(handle, bits=miniport.bits)
    assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_DELETE_SA, delete) is NdisStatus.SUCCESS
    assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_DELETE_SA, delete) is NdisStatus.INVALID_PARAMETER


@scenario
async def requests_of_version_2(miniport):
    def request(spi, key):
        info = v2.AlgorithmInfo(v2.Encr.GCM_256, 36, 0, 12)
        return v2.AddSa((v2.SecAssoc(2, spi, EncryptionAlgorithm=info),), key)

    requests = [request(0x71, bytes(range(36))), request(0x72, bytes(range(36, 72)))]
    handles = []
    for one in requests:
        buffer = one.pack(miniport.bits)
        status = await miniport.oid_request(Oid.TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA, buffer)
        assert status is NdisStatus.SUCCESS, miniport.refusal
        handles.append(v2.get_handle(buffer, bits=miniport.bits))
    inner, outer = requests[0].bundle(), Bundle("tunnel", requests[1].bundle().ops)
    # First alone, then in the tunnel's slot, where it becomes a tunnel's with its IV counter as it stood.
    alone = frame(packet(), outer, framing1=TUNNEL4)
    await good(miniport, alone, outer, handles[1])
    nested = frame(packet(), inner, outer, framing2=TUNNEL6)
    nbl = make_nbl([nested])
    nbl.NetBufferListInfo[Info.IPsecOffloadV1NetBufferListInfo] = handles[0]
    nbl.NetBufferListInfo[Info.IPsecOffloadV2TunnelNetBufferListInfo] = handles[1]
    await miniport.send_net_buffer_lists([nbl])
    await miniport.flush()
    later = Bundle("tunnel", (replace(outer.ops[0], iv_init=2),))
    assert nbl.NetBuffers[0].result.frame == golden(nested, inner, later)
    for handle in handles:
        delete = v2.DeleteSa(handle).pack(miniport.bits)
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA, delete) is NdisStatus.SUCCESS


@scenario
async def lists_complete_once_in_order_with_one_status(miniport):
    bundle = cbc(iv="frame")
    handle = await miniport.add_sa(bundle)
    right = frame(packet(33), bundle)
    wrong = frame(packet(70), cbc(0x999, iv="frame"))
    long = ethernet(packet(miniport.capabilities.max_frame))
    contents = [[right, wrong, right], [right] * 4, [long, right], [wrong], [right]]
    lists = [make_nbl(frames, (handle, 0), cuts=(n, 14, 40)) for n, frames in enumerate(contents)]
    await miniport.send_net_buffer_lists(lists)
    assert await miniport.flush() == lists
    miniport.assert_idle()
    assert [nbl.Status.name for nbl in lists] == ["FAILURE", "SUCCESS", "INVALID_LENGTH", "FAILURE", "SUCCESS"]
    expected = {right: (Status.SUCCESS, golden(right, bundle)), wrong: (Status.SPI_MISMATCH, None),
                long: (Status.TOO_LONG, None)}
    for nbl, frames in zip(lists, contents, strict=True):
        assert [(b.result.status, b.result.frame) for b in nbl] == [expected[data] for data in frames]
    await miniport.delete_sa(handle)


@scenario
async def handles_that_are_stale_or_off(miniport):
    bundle = cbc(iv="frame")
    data = frame(packet(), bundle)
    handle = await miniport.add_sa(bundle)
    await miniport.enable(False)
    assert (await send(miniport, [data], (handle, 0)))[:2] == ([Status.DISABLED], [None])
    # Packets without a handle still pass.
    assert (await send(miniport, [data]))[1] == [data]
    await miniport.enable()
    await good(miniport, data, bundle, handle)
    await miniport.delete_sa(handle)
    again = await miniport.add_sa(bundle)
    assert again != handle
    slots = miniport.capabilities.sa_slots
    for bad in (handle, again ^ 0x10000, again & 0xFFFF or 1, 0x10000 | slots, 0xFFFFFFFF):
        assert (await send(miniport, [data], (bad, 0)))[:2] == ([Status.BAD_HANDLE], [None])
        assert (await send(miniport, [data], (again, bad)))[:2] == ([Status.BAD_HANDLE], [None])
    await good(miniport, data, bundle, again)
    await miniport.delete_sa(again)


@scenario
async def a_full_table(miniport):
    slots = miniport.capabilities.sa_slots
    handles = [await miniport.add_sa(gcm(0x1000 + n, iv="frame")) for n in range(slots)]
    assert len({handle & 0xFFFF for handle in handles}) == slots
    assert await miniport.link.read(Reg.SA_FREE) == 0
    with pytest.raises(SaError, match=r"refused: full$"):
        await miniport.add_sa(gcm())
    for n in (0, slots // 2, slots - 1):
        bundle = gcm(0x1000 + n, iv="frame")
        await good(miniport, frame(packet(20 + n % 9), bundle), bundle, handles[n])
    await miniport.delete_sa(handles.pop(slots // 2))
    handles.append(await miniport.add_sa(cbc(iv="frame")))
    await good(miniport, frame(packet(), cbc(iv="frame")), cbc(iv="frame"), handles[-1])
    for handle in handles:
        await miniport.delete_sa(handle)
    assert await miniport.link.read(Reg.SA_FREE) == slots


@scenario
async def deletion_under_traffic(miniport):
    doomed, staying = cbc(0x31, iv="frame"), cbc(0x32, iv="frame")
    handles = [await miniport.add_sa(bundle) for bundle in (doomed, staying)]
    frames = [frame(packet(200), bundle) for bundle in (doomed, staying)]
    lists = [make_nbl([frames[n % 2]], (handles[n % 2], 0)) for n in range(24)]
    await miniport.send_net_buffer_lists(lists)
    await miniport.delete_sa(handles[0])
    added = await miniport.add_sa(gcm(0x33))
    await miniport.flush()
    results = [nbl.NetBuffers[0].result for nbl in lists]
    assert all(result.frame == golden(frames[1], staying) for result in results[1::2])
    # Packets that had begun go out whole; those that come after are refused; there is no way back.
    first = results[::2]
    begun = [result.status for result in first].count(Status.SUCCESS)
    assert all(result.frame == golden(frames[0], doomed) for result in first[:begun])
    assert all(result.status is Status.BAD_HANDLE and result.frame is None for result in first[begun:])
    for handle in (handles[1], added):
        await miniport.delete_sa(handle)


@scenario
async def errors_leave_the_next_packet_alone(miniport):
    bundle = gcm(mode="tunnel", iv="frame")
    handle = await miniport.add_sa(bundle)
    ivs = itertools.count(1)

    def fresh():
        return frame(packet(), bundle, framing1=replace(TUNNEL4, seq=next(ivs)))

    data = fresh()
    # Behind Ethernet: IPv4 at 14, ESP at 34.
    broken = {
        "malformed": data[:-1],
        "invalid_protocol": data[:14] + b"\x55" + data[15:],
        "spi_mismatch": data[:37] + b"\x00" + data[38:],
        "missing_esp": data[:23] + b"\x11" + data[24:],
        "fragment": data[:20] + b"\x20\x00" + data[22:],
        "unaligned": data[:16] + (len(data) - 15).to_bytes(2, "big") + data[18:],
        "no_room": data[:16] + (20 + 8 + 8 + 16).to_bytes(2, "big") + data[18:],
    }
    for name, bad in broken.items():
        statuses, frames, status = await send(miniport, [bad], (handle, 0))
        assert (statuses[0].text, frames[0], status) == (name, None, NdisStatus.FAILURE)
        await good(miniport, fresh(), bundle, handle)
    for change in ({"error": True}, {"overrides": {"length": len(data) + 1}}, {"overrides": {"length": len(data) - 1}}):
        behind = fresh()
        lists = [make_nbl([one], (handle, 0)) for one in (data, behind)]
        for name, value in change.items():
            setattr(lists[0].NetBuffers[0], name, value)
        await miniport.send_net_buffer_lists(lists)
        await miniport.flush()
        expected = Status.INPUT_ERROR if "error" in change else Status.MALFORMED
        assert [nbl.NetBuffers[0].result.status for nbl in lists] == [expected, Status.SUCCESS]
        assert lists[1].NetBuffers[0].result.frame == golden(behind, bundle)
    await miniport.delete_sa(handle)


@scenario
async def generated_ivs_count_and_run_out(miniport):
    bundle = gcm(iv_init=2**64 - 3)
    handle = await miniport.add_sa(bundle)
    data = frame(packet(), bundle)
    statuses, frames, status = await send(miniport, [data] * 5, (handle, 0))
    assert [one.text for one in statuses] == ["success"] * 3 + ["iv_exhausted"] * 2
    assert status is NdisStatus.FAILURE
    ivs = [int.from_bytes(sent[42:50], "big") for sent in frames[:3]]
    assert ivs == [2**64 - 3, 2**64 - 2, 2**64 - 1]
    await miniport.delete_sa(handle)
    # A slot's next SA has its own counter.
    handle = await miniport.add_sa(gcm())
    await good(miniport, frame(packet(), gcm()), gcm(), handle)
    await miniport.delete_sa(handle)


@scenario
async def counters_add_up(miniport):
    before = await miniport.counters()
    bundle = cbc(iv="frame")
    handle = await miniport.add_sa(bundle)
    data, plain = frame(packet(), bundle), frame(packet(9, version=6))
    await send(miniport, [data, plain, data], (handle, 0))
    await send(miniport, [plain] * 2)
    after = await miniport.counters()
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {
        "packets_in": 5, "bytes_in": 2 * len(data) + 3 * len(plain), "packets_out": 4,
        "bytes_out": 2 * len(data) + 2 * len(plain), "bypassed": 2, "protected": 2, "success": 4, "missing_esp": 1,
    }
    await miniport.delete_sa(handle)


@scenario
async def keys_cannot_be_read(miniport):
    bundle = cbc()
    handle = await miniport.add_sa(bundle)
    words = {await miniport.link.read(offset) for offset in range(Reg.SA_OP0, Reg.COUNTERS, 4)}
    assert words == {0}
    await miniport.delete_sa(handle)


def both(spi=0x400, mode="transport", limits=None, **more):
    """AH over ESP, both with ESN."""
    ah = Op(protocol="ah", spi=spi + 1, auth_alg="hmac-sha1-96", auth_key=bytes(range(20)), icv_len=12, esn=True)
    return Bundle(mode, (*gcm(spi, esn=True, **more).ops, ah), limits or Limits())


@scenario
async def an_update_moves_the_high_halves(miniport):
    """Each op's by itself, under traffic of another SA; packets sent before go with the old one."""
    bundle, other = both(limits=Limits(soft_packets=100)), cbc()
    engine = Engine()
    model, beside = engine.add_sa(bundle), engine.add_sa(other)
    handles = [await miniport.add_sa(one) for one in (bundle, other)]
    frames = [frame(packet(150), bundle), frame(packet(300), other)]
    lists, expected = [], []

    async def burst():
        burst = [make_nbl([frames[n % 2]], (handles[n % 2], 0)) for n in range(8)]
        expected.extend(engine.process(frames[n % 2], (model, beside)[n % 2]).frame for n in range(8))
        lists.extend(burst)
        await miniport.send_net_buffer_lists(burst)

    await burst()
    for protocol, spi, high in (("esp", 0x400, 1), ("ah", 0x401, 1), ("ah", 0x401, 0xFFFFFFFF), ("esp", 0x400, 7)):
        update = v2.UpdateSa(handles[0], {"ah": 1, "esp": 2}[protocol], spi, high).pack(miniport.bits)
        status = await miniport.oid_request(Oid.TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA, update)
        assert status is NdisStatus.SUCCESS, miniport.refusal
        engine.update_sa(model, [high, None] if protocol == "esp" else [None, high])
        await burst()
    await miniport.flush()
    assert [nbl.NetBuffers[0].result.frame for nbl in lists] == expected
    assert None not in expected
    # What a packet says for itself goes ahead of the SA's.
    nbl = make_nbl([frames[0]], (handles[0], 0))
    nbl.esn_high = 99
    await miniport.send_net_buffer_lists([nbl])
    await miniport.flush()
    assert nbl.NetBuffers[0].result.frame == engine.process(frames[0], model, esn_high1=99).frame
    # Nothing else of the SA has changed: it counted on.
    assert await miniport.query_sa(handles[0]) == SaCounts(21, 21 * len(frames[0]), 0)
    for handle in handles:
        await miniport.delete_sa(handle)


@scenario
async def updates_that_are_refused(miniport):
    bundle = both()
    gone, handle = [await miniport.add_sa(bundle) for _ in range(2)]
    await miniport.delete_sa(gone)
    for target, operation, spi in ((gone, 2, 0x400), (handle, 1, 0x400), (handle, 2, 0x401), (handle, 3, 0x400)):
        update = v2.UpdateSa(target, operation, spi, 5).pack(miniport.bits)
        status = await miniport.oid_request(Oid.TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA, update)
        assert status is NdisStatus.INVALID_PARAMETER
    # The engine refuses by itself too.
    for stale in (gone, handle ^ 0x10000, 0, 0xFFFFFFFF):
        limits = Limits(hard_packets=1)
        for request in (miniport.device.update(stale, [5]), miniport.device.update(stale, limits=limits),
                        miniport.device.query(stale)):
            with pytest.raises(SaError, match="refused: bad_handle"):
                await request
    data = frame(packet(), bundle)
    await good(miniport, data, bundle, handle)
    await miniport.delete_sa(handle)


@scenario
async def lifetimes_tell_and_end(miniport):
    """Events in the order of packets, one for all that a packet reached; a hard limit ends the SA until it is moved."""
    await miniport.service_interrupt()
    size = len(frame(packet(), gcm()))
    bundles = [
        replace(gcm(0x51), limits=Limits(soft_packets=2, hard_packets=4)),
        replace(cbc(0x52), limits=Limits(soft_bytes=1, hard_bytes=2 * len(frame(packet(), cbc())) + 1)),
        replace(gcm(0x53), limits=Limits(soft_packets=3, hard_packets=3, soft_bytes=3 * size, hard_bytes=3 * size)),
        gcm(0x54),
    ]
    engine = Engine()
    model = [engine.add_sa(bundle) for bundle in bundles]
    handles = [await miniport.add_sa(bundle) for bundle in bundles]
    frames = [frame(packet(), bundle) for bundle in bundles]

    async def burst(count):
        order = [n % len(bundles) for n in range(count * len(bundles))]
        lists = [make_nbl([frames[n]], (handles[n], 0)) for n in order]
        await miniport.send_net_buffer_lists(lists)
        await miniport.flush()
        for n, nbl in zip(order, lists, strict=True):
            result, expected = nbl.NetBuffers[0].result, engine.process(frames[n], model[n])
            assert (result.status, result.frame) == (expected.status, expected.frame), hex(bundles[n].ops[0].spi)
        return [nbl.NetBuffers[0].result.status for nbl in lists]

    async def agree():
        for handle, sa in zip(handles, model, strict=True):
            assert await miniport.query_sa(handle) == SaCounts(sa.packets, sa.octets, sa.errors)
        expected = [SaEvent(handles[model.index(event.sa)], event.kinds) for event in engine.events]
        engine.events.clear()
        assert await miniport.service_interrupt() == expected
        assert not miniport.link.irq
        return [event.kinds for event in expected]

    assert (await burst(5)).count(Status.LIFETIME_EXPIRED) == 1 + 2 + 2
    assert miniport.link.irq
    everything = EventKind(15)
    assert await agree() == [
        EventKind.SOFT_BYTES, EventKind.SOFT_PACKETS, EventKind.HARD_BYTES, everything, EventKind.HARD_PACKETS,
    ]
    assert not (await miniport.service_interrupt())
    for n, limits in enumerate((Limits(hard_packets=6), Limits(soft_packets=1), Limits(soft_bytes=1, hard_packets=2))):
        await miniport.set_limits(handles[n], limits)
        engine.update_sa(model[n], limits=limits)
    assert await agree() == []
    assert (await burst(3)).count(Status.LIFETIME_EXPIRED) == 1 + 0 + 3
    assert await agree() == [
        EventKind.SOFT_PACKETS, EventKind.SOFT_BYTES | EventKind.HARD_PACKETS, EventKind.HARD_PACKETS,
    ]
    for handle in handles:
        await miniport.delete_sa(handle)


@scenario
async def counts_of_an_sa(miniport):
    """Whatever becomes of a packet that an SA let in, it counts; errors are those that did not leave."""
    inner, outer = gcm(0x61), gcm(0x62, "tunnel")
    engine = Engine(max_frame=miniport.capabilities.max_frame)
    model = [engine.add_sa(bundle) for bundle in (inner, outer)]
    handles = [await miniport.add_sa(bundle) for bundle in (inner, outer)]
    nested = frame(packet(), inner, outer, framing2=TUNNEL4)
    alone = frame(packet(200), outer, framing1=TUNNEL4)
    twice = frame(packet(), outer, outer, framing1=TUNNEL4, framing2=TUNNEL4)
    long = ethernet(packet(miniport.capabilities.max_frame))
    cases = [
        (nested, (0, 1), {}), (alone, (1, None), {}), (alone[:-1], (1, None), {}), (nested, (1, 0), {}),
        (twice, (1, 1), {}), (twice[:50], (1, 1), {}), (long, (0, 1), {}), (nested, (0, 1), {"error": True}),
        (alone, (None, 1), {}), (alone, (1, None), {"overrides": {"length": 1000}}), (nested, (0, None), {}),
    ]
    lists = []
    for data, places, change in cases:
        lists.append(make_nbl([data], tuple(0 if n is None else handles[n] for n in places), cuts=(9, 30)))
        for name, value in change.items():
            setattr(lists[-1].NetBuffers[0], name, value)
    await miniport.send_net_buffer_lists(lists)
    await miniport.flush()
    for (data, places, change), nbl in zip(cases, lists, strict=True):
        expected = engine.process(data, *(None if n is None else model[n] for n in places),
                                  input_error="error" in change, length=change.get("overrides", {}).get("length"))
        result = nbl.NetBuffers[0].result
        assert (result.status, result.frame) == (expected.status, expected.frame)
    for handle, sa in zip(handles, model, strict=True):
        assert await miniport.query_sa(handle) == SaCounts(sa.packets, sa.octets, sa.errors)
    assert [(sa.packets, sa.errors) for sa in model] == [(5, 4), (12, 7)]
    # The slot's next SA starts from nothing.
    await miniport.delete_sa(handles[0])
    handles[0] = await miniport.add_sa(inner)
    assert await miniport.query_sa(handles[0]) == SaCounts()
    for handle in handles:
        await miniport.delete_sa(handle)


@scenario
async def ivs_of_frames_rise_in_every_slot(miniport):
    """Each SA has its own lowest IV, which starts over with the slot's next SA, and a refused packet moves none."""
    bundles = [gcm(0x700 + n, iv="frame", iv_init=(0, 5, 2**64 - 1)[n % 3]) for n in range(6)]
    engine = Engine()
    model = [engine.add_sa(bundle) for bundle in bundles]
    handles = [await miniport.add_sa(bundle) for bundle in bundles]
    rng = random.Random(3)
    lists, expected = [], []
    for _ in range(60):
        n = rng.randrange(6)
        low = model[n].counters[0]
        iv = min(2**64 - 1, max(0, low + rng.choice((-1, 0, 0, 1, 1000)))).to_bytes(8, "big")
        data = bytearray(frame(packet(40), bundles[n], framing1=Framing(iv=iv)))
        if rng.random() < 0.2:
            data[37] ^= 1
        lists.append(make_nbl([bytes(data)], (handles[n], 0)))
        expected.append(engine.process(bytes(data), model[n]))
    await miniport.send_net_buffer_lists(lists)
    await miniport.flush()
    results = [nbl.NetBuffers[0].result for nbl in lists]
    assert [(one.status, one.frame) for one in results] == [(one.status, one.frame) for one in expected]
    assert {one.status for one in expected} == {Status.SUCCESS, Status.IV_REPEAT, Status.SPI_MISMATCH}
    for handle in handles:
        await miniport.delete_sa(handle)
    handle = await miniport.add_sa(bundles[0])
    data = frame(packet(40), bundles[0], framing1=Framing(iv=bytes(8)))
    await good(miniport, data, bundles[0], handle)
    await miniport.delete_sa(handle)
