# SPDX-License-Identifier: Apache-2.0
"""Playing packets of more SAs than the table holds."""

import random
from dataclasses import replace

import pytest
from model.ndis_helpers import INNER, ah, gcm, started
from nicsec_sim.hoststack import Framing, frame
from nicsec_sim.model.engine import Engine, EventKind
from nicsec_sim.model.sa import Limits
from nicsec_sim.ndis import Miniport, ModelLink, ProtocolError, Reg, SaResult, drive
from nicsec_sim.ndis.player import Delete, Ledger, Packet, Update, play


def test_play_more_sas_than_slots():
    rng = random.Random(11)
    bundles = {f"sa{n}": gcm(0x100 + n) for n in range(40)} | {"refused": ah()}
    frames = {name: frame(INNER, bundle) for name, bundle in bundles.items()}
    names = rng.choices(list(bundles), k=300)

    async def body():
        miniport = await started(encr=("aes-gcm",), auth=(), sa_slots=8)
        packets = [Packet(frames[name], name) for name in names]
        outcomes = [outcome async for outcome in play(miniport, bundles, packets, depth=5)]
        assert [outcome.index for outcome in outcomes] == list(range(300))
        # An evicted SA comes back with its counter where it stood: as if it had never left.
        engine = Engine()
        sas = {name: engine.add_sa(bundle) for name, bundle in bundles.items()}
        for name, outcome in zip(names, outcomes, strict=True):
            if name == "refused":
                assert (outcome.status, outcome.frame) == ("unsupported", None)
            else:
                assert outcome.status == "success"
                assert outcome.frame == engine.process(frames[name], sas[name]).frame
        assert not any(miniport.link.slots)

    drive(body())


def test_play_never_reloads_a_used_up_counter():
    bundles = {"last": gcm(iv_init=2**64 - 1)} | {f"sa{n}": gcm(0x200 + n) for n in range(6)}
    order = ["last", *(f"sa{n}" for n in range(6)), "last"]

    async def body():
        miniport = await started(sa_slots=3)
        packets = [Packet(frame(INNER, bundles[name]), name) for name in order]
        outcomes = [outcome async for outcome in play(miniport, bundles, packets, depth=1)]
        assert [outcome.status for outcome in outcomes] == ["success"] * 7 + ["iv_exhausted"]

    drive(body())


def test_evicted_sas_come_back_where_they_stood():
    """IVs from frames, limits, updates and counts go on as in an engine that holds every SA all the time."""
    rng = random.Random(12)
    bundles = {}
    for n in range(12):
        limits = Limits(soft_packets=rng.randrange(9), hard_packets=rng.choice((0, 12)), soft_bytes=rng.randrange(2000))
        bundles[f"sa{n}"] = replace(gcm(0x300 + n, iv=("frame", "generate")[n % 2], esn=True), limits=limits)
    engine = Engine()
    sas = {name: engine.add_sa(bundle) for name, bundle in bundles.items()}
    names = {sa: name for name, sa in sas.items()}
    items, expected = [], []
    for _ in range(400):
        name = rng.choice(list(bundles))
        sa = sas[name]
        if rng.random() < 0.2 and sa.valid:
            high = rng.randrange(9)
            engine.update_sa(sa, [high])
            items.append(Update(name, "esp", bundles[name].ops[0].spi, high))
        if rng.random() < 0.1:
            limits = Limits(
                soft_packets=sa.packets + rng.randrange(1, 9), hard_bytes=sa.octets + rng.randrange(1, 2000)
            )
            engine.update_sa(sa, limits=limits)
            items.append(Update(name, limits=limits))
        if (sa.limits.expired(sa.packets, sa.octets) or rng.random() < 0.005) and sa.valid:
            engine.delete_sa(sa)
            items.append(Delete(name))
        seq = max(0, sa.counters[0] + rng.choice((-1, 0, 0, 3, 9)))
        data = frame(INNER, bundles[name], framing1=Framing(seq=seq))
        items.append(Packet(data, name))
        result = engine.process(data, sa)
        expected.append((result.status.text, result.frame))
    ledger = Ledger()

    async def body():
        miniport = await started(sa_slots=4)
        return [(one.status, one.frame) async for one in play(miniport, bundles, items, depth=3, ledger=ledger)]

    assert drive(body()) == expected
    assert {"success", "iv_repeat", "bad_handle"} <= {status for status, _ in expected}
    assert ledger.events == [(names[event.sa], event.kinds) for event in engine.events]
    assert {EventKind.SOFT_PACKETS, EventKind.SOFT_BYTES} <= {kinds for _, kinds in ledger.events}
    for name, sa in sas.items():
        counts = ledger.counts[name]
        assert (counts.packets, counts.bytes, counts.errors) == (sa.packets, sa.octets, sa.errors)


class Hung(ModelLink):
    """Key set-up never ends from the fifth command on: the driver's own, three SAs, and no more."""

    commands = 0

    async def write(self, offset, value):
        self.commands += offset == Reg.SA_COMMAND
        await super().write(offset, value)

    async def read(self, offset):
        return 1 << 31 if offset == Reg.SA_STATUS and self.commands >= 5 else await super().read(offset)


class Silent(ModelLink):
    """The last two packets have no completions."""

    async def completion(self):
        if len(self.frames) < 3:
            raise ProtocolError("no completion")
        return await super().completion()


def outcomes_until_it_fails(link, count):
    bundles = {f"sa{n}": gcm(n) for n in range(1, count + 1)}
    items = [Packet(frame(INNER, bundle), name) for name, bundle in bundles.items()]
    found = []

    async def body():
        miniport = Miniport(link)
        await miniport.initialize()
        async for outcome in play(miniport, bundles, items):
            found.append(outcome)

    with pytest.raises(ProtocolError) as caught:
        drive(body())
    return [(one.index, one.status) for one in found], str(caught.value)


def test_outcomes_are_told_before_a_failure():
    """Completed packets have their outcomes even when the next command never ends."""
    found, text = outcomes_until_it_fails(Hung(), 6)
    assert found == [(n, "success") for n in range(3)]
    assert "SA_STATUS was busy" in text


def test_a_missing_completion_ends_the_outcomes():
    found, text = outcomes_until_it_fails(Silent(), 6)
    assert found == [(n, "success") for n in range(4)]
    assert text == "no completion"


def test_an_invalid_sa_is_not_called_unsupported(monkeypatch):
    monkeypatch.setattr(ModelLink, "_add", lambda self: SaResult.INVALID)

    async def body():
        miniport = await started()
        return [one.status async for one in play(miniport, {"sa": gcm()}, [Packet(frame(INNER, gcm()), "sa")])]

    assert drive(body()) == ["sa_invalid"]
