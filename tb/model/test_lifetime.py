# SPDX-License-Identifier: Apache-2.0
"""Lifetimes, counters and updates of SAs (docs/design.md sections 5.2 and 6)."""

import pytest
from model.cases import ah_op, esp_op, packet, rng_for
from nicsec_sim import hoststack
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.engine import Engine, EventKind, Unsupported
from nicsec_sim.model.sa import Bundle, Limits
from nicsec_sim.model.status import Status
from nicsec_sim.model.verify import verify

TUNNEL = Framing(tunnel=Tunnel(src="192.0.2.1", dst="192.0.2.2"))
SOFT_P, SOFT_B, HARD_P, HARD_B = EventKind


def gcm(rng, mode="transport", limits=None, **fields):
    return Bundle(mode, (esp_op(rng, "aes-gcm", icv_len=16, **fields),), limits or Limits())


def told(engine):
    """What was told since the last look."""
    result = [(event.sa, event.kinds) for event in engine.events]
    engine.events.clear()
    return result


def counts(sa):
    return sa.packets, sa.octets, sa.errors


def test_limits_of_packets():
    rng = rng_for(1)
    bundle = gcm(rng, limits=Limits(soft_packets=2, hard_packets=4))
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    engine = Engine()
    sa = engine.add_sa(bundle)
    for n, (status, event) in enumerate((
        (Status.SUCCESS, 0), (Status.SUCCESS, SOFT_P), (Status.SUCCESS, 0), (Status.SUCCESS, HARD_P),
        (Status.LIFETIME_EXPIRED, 0), (Status.LIFETIME_EXPIRED, 0),
    ), 1):
        result = engine.process(frame, sa)
        assert (result.status, result.frame is None) == (status, status is not Status.SUCCESS)
        assert told(engine) == ([(sa, event)] if event else [])
        assert counts(sa) == (min(n, 4), min(n, 4) * len(frame), 0)
    # A refused packet takes no IV either: the fourth was the last.
    assert sa.counters == [5]


def test_limits_of_bytes():
    """The descriptor's length counts; the packet that passes a limit still leaves."""
    rng = rng_for(2)
    frame = hoststack.frame(packet(rng, 4, 30), gcm(rng))
    size = len(frame)
    bundle = gcm(rng, limits=Limits(soft_bytes=2 * size, hard_bytes=2 * size + 1))
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    engine = Engine()
    sa = engine.add_sa(bundle)
    found = []
    for _ in range(4):
        found.append(engine.process(frame, sa).status)
        found += [kinds for _, kinds in told(engine)]
    assert found == [Status.SUCCESS, Status.SUCCESS, SOFT_B, Status.SUCCESS, HARD_B, Status.LIFETIME_EXPIRED]
    engine = Engine()
    sa = engine.add_sa(bundle)
    assert engine.process(frame, sa, length=2 * size + 1).status is Status.MALFORMED
    assert told(engine) == [(sa, SOFT_B | HARD_B)]
    assert counts(sa) == (1, 2 * size + 1, 1)
    assert engine.process(frame, sa).status is Status.LIFETIME_EXPIRED


def test_one_event_tells_of_all_that_a_packet_reached():
    rng = rng_for(3)
    bundle = gcm(rng, limits=Limits(soft_packets=1, hard_packets=1, soft_bytes=1, hard_bytes=1))
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    engine = Engine()
    sa = engine.add_sa(bundle)
    assert engine.process(frame, sa).status is Status.SUCCESS
    assert told(engine) == [(sa, SOFT_P | SOFT_B | HARD_P | HARD_B)]


def test_what_counts():
    """Every packet that was looked up and let in, whatever becomes of it; `errors` those that did not leave."""
    rng = rng_for(4)
    bundle = gcm(rng)
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    size = len(frame)
    engine = Engine(max_frame=size)
    sa = engine.add_sa(bundle)
    expected = [0, 0, 0]
    for more, counted, length in (
        ({}, True, size), ({"input_error": True}, True, size), ({"length": 7}, True, 7), ({"lso": True}, False, 0),
    ):
        status = engine.process(frame, sa, **more).status
        failed = counted and status is not Status.SUCCESS
        expected = [expected[0] + counted, expected[1] + length, expected[2] + failed]
        assert counts(sa) == tuple(expected)
    assert engine.process(frame + b"x", sa).status is Status.TOO_LONG
    assert counts(sa) == (4, 2 * size + 7 + size + 1, 3)
    engine.enabled = False
    assert engine.process(frame, sa).status is Status.DISABLED
    engine.enabled = True
    engine.delete_sa(sa)
    assert engine.process(frame, sa).status is Status.BAD_HANDLE
    assert counts(sa) == (4, 3 * size + 8, 3)


def test_each_of_two_handles_counts_by_itself():
    rng = rng_for(5)
    for limit1, limit2, gone, status in (
        (0, 0, None, Status.SUCCESS), (1, 0, None, Status.LIFETIME_EXPIRED), (0, 1, None, Status.LIFETIME_EXPIRED),
        (1, 1, None, Status.LIFETIME_EXPIRED), (0, 1, 0, Status.BAD_HANDLE), (1, 0, 1, Status.BAD_HANDLE),
    ):
        inner, outer = gcm(rng, limits=Limits(hard_packets=limit1)), gcm(rng, "tunnel", Limits(hard_packets=limit2))
        frame = hoststack.frame(packet(rng, 4, 30), inner, outer, framing2=TUNNEL)
        engine = Engine()
        sas = [engine.add_sa(inner), engine.add_sa(outer)]
        assert engine.process(frame, *sas).status is Status.SUCCESS
        if gone is not None:
            engine.delete_sa(sas[gone])
        assert engine.process(frame, *sas).status is status
        for n, (sa, limit) in enumerate(zip(sas, (limit1, limit2), strict=True)):
            alive = not limit and gone != n
            # What counted the packet also counts that it was refused, on account of the other.
            assert (sa.packets, sa.errors) == (1 + alive, int(alive and status is not Status.SUCCESS))
            assert sa.counters == [2 + alive]


def test_one_sa_as_both_handles_counts_twice():
    rng = rng_for(6)
    bundle = gcm(rng, "tunnel", Limits(soft_packets=2, hard_packets=3))
    frame = hoststack.frame(packet(rng, 4, 30), bundle, bundle, framing1=TUNNEL, framing2=TUNNEL)
    engine = Engine()
    sa = engine.add_sa(bundle)
    assert engine.process(frame, sa, sa).status is Status.SUCCESS
    assert (sa.packets, sa.errors, told(engine)) == (2, 0, [(sa, SOFT_P)])
    assert engine.process(frame, sa, sa).status is Status.LIFETIME_EXPIRED
    assert (sa.packets, sa.errors, told(engine)) == (3, 1, [(sa, HARD_P)])
    engine = Engine()
    sa = engine.add_sa(gcm(rng, "tunnel"))
    assert engine.process(frame, sa, sa).status is Status.SPI_MISMATCH
    assert (sa.packets, sa.errors) == (2, 2)


def test_an_exhausted_counter_is_told_behind_an_expired_lifetime():
    rng = rng_for(7)
    inner = gcm(rng, iv_init=2**64 - 1)
    outer = gcm(rng, "tunnel", Limits(hard_packets=2))
    frame = hoststack.frame(packet(rng, 4, 30), inner, outer, framing2=TUNNEL)
    engine = Engine()
    sas = [engine.add_sa(inner), engine.add_sa(outer)]
    assert [engine.process(frame, *sas).status for _ in range(3)] == [
        Status.SUCCESS, Status.IV_EXHAUSTED, Status.LIFETIME_EXPIRED,
    ]
    assert [counts(sa)[::2] for sa in sas] == [(3, 2), (2, 1)]


def test_update_of_limits():
    """Counts stay; what is at or below them is told of at the next look-up, and refuses it if it is hard."""
    rng = rng_for(8)
    bundle = gcm(rng, limits=Limits(soft_packets=2, hard_packets=3))
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    engine = Engine()
    sa = engine.add_sa(bundle)

    def send():
        return engine.process(frame, sa).status, [kinds for _, kinds in told(engine)]

    assert [send() for _ in range(4)] == [
        (Status.SUCCESS, []), (Status.SUCCESS, [SOFT_P]), (Status.SUCCESS, [HARD_P]), (Status.LIFETIME_EXPIRED, []),
    ]
    engine.update_sa(sa, limits=Limits(soft_packets=1, hard_packets=5))
    assert told(engine) == []
    assert [send() for _ in range(3)] == [
        (Status.SUCCESS, [SOFT_P]), (Status.SUCCESS, [HARD_P]), (Status.LIFETIME_EXPIRED, []),
    ]
    engine.update_sa(sa, limits=Limits())
    assert send() == (Status.SUCCESS, [])
    engine.update_sa(sa, limits=Limits(soft_bytes=1, hard_packets=2))
    assert [send(), send()] == [(Status.LIFETIME_EXPIRED, [SOFT_B | HARD_P]), (Status.LIFETIME_EXPIRED, [])]
    assert sa.packets == 6


def test_update_of_high_halves_alone():
    """An op without a new value keeps its own, counters and limits stay, and a packet's override goes ahead."""
    rng = rng_for(9)
    ops = (esp_op(rng, "aes-gcm", icv_len=16, esn=True, esn_high=1), ah_op(rng, "hmac-sha1-96", esn=True, esn_high=1))
    bundle = Bundle("transport", ops, Limits(soft_packets=2))
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    engine = Engine()
    sa = engine.add_sa(bundle)

    def passes(high, **more):
        return verify(engine.process(frame, sa, **more).frame, bundle, esn_high1=high).status is Status.SUCCESS

    assert passes(1)
    engine.update_sa(sa, [None, 2])
    assert sa.highs == [1, 2]
    assert not passes(1)
    assert told(engine) == [(sa, SOFT_P)]
    engine.update_sa(sa, [2])
    assert passes(2)
    assert passes(7, esn_high1=7)
    assert told(engine) == []
    assert (sa.packets, sa.counters[0]) == (4, 5)


def test_a_build_without_lifetimes():
    rng = rng_for(10)
    bundle = gcm(rng)
    engine = Engine(unsupported=["lifetime"])
    with pytest.raises(Unsupported, match=r"^this build has no lifetime$"):
        engine.add_sa(gcm(rng, limits=Limits(hard_packets=1)))
    sa = engine.add_sa(bundle)
    for limits in (Limits(soft_bytes=1), Limits()):
        with pytest.raises(Unsupported, match=r"^this build has no lifetime$"):
            engine.update_sa(sa, limits=limits)
    engine.update_sa(sa, [5])
    assert engine.process(hoststack.frame(packet(rng, 4, 30), bundle), sa).status is Status.SUCCESS
    assert counts(sa) == (0, 0, 0)
