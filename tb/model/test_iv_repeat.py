# SPDX-License-Identifier: Apache-2.0
"""IVs from the frame rise (docs/design.md section 5.1)."""

import pytest
from model.cases import ah_op, esp_op, packet, random_bundle, rng_for
from nicsec_sim import hoststack
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.algorithm import ENCRS
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle
from nicsec_sim.model.status import Status

GATEWAYS = Tunnel(src="192.0.2.1", dst="192.0.2.2")
COUNTER_MODES = [name for name, suite in ENCRS.items() if suite.salt]


def framing(iv, ah_iv=None):
    one, two = (value if value is None else value.to_bytes(8, "big") for value in (iv, ah_iv))
    return Framing(tunnel=GATEWAYS, iv=one, ah_iv=two)


def one_esp(rng, encr, **fields):
    auth = "hmac-sha1-96" if encr == "aes-ctr" else None
    return Bundle("transport", (esp_op(rng, encr, auth, iv="frame", **fields),))


def one_gmac(rng, **fields):
    return Bundle("transport", (ah_op(rng, "aes-gmac", iv="frame", **fields),))


@pytest.mark.parametrize("encr", [*COUNTER_MODES, "ah"])
def test_a_lower_iv_is_refused(encr):
    """Every algorithm with a nonce; 2^64-1 is the last, and behind it every one is refused."""
    rng = rng_for(encr)
    bundle = one_gmac(rng) if encr == "ah" else one_esp(rng, encr)
    engine = Engine()
    sa = engine.add_sa(bundle)
    plain = packet(rng, 4, 30)
    for iv, good in ((0, True), (0, False), (1, True), (7, True), (6, False), (7, False), (8, True), (2**32, True),
                     (2**32 - 1, False), (2**64 - 1, True), (2**64 - 1, False), (0, False), (2**63, False)):
        result = engine.process(hoststack.frame(plain, bundle, framing1=framing(iv, iv)), sa)
        assert (result.status is Status.SUCCESS) == good, iv
        assert result.status in (Status.SUCCESS, Status.IV_REPEAT)
        assert (result.frame is None) == (not good)
        counters = sa.counters[0]
        assert counters == iv + 1 if good else counters > iv
    assert sa.counters == [2**64]


def test_the_first_iv_is_the_sas():
    rng = rng_for(1)
    for first in (1, 5, 2**63, 2**64 - 1):
        bundle = one_esp(rng, "aes-gcm", iv_init=first)
        engine = Engine()
        sa = engine.add_sa(bundle)
        low, at = (hoststack.frame(packet(rng, 6, 9), bundle, framing1=framing(iv)) for iv in (first - 1, first))
        assert engine.process(low, sa).status is Status.IV_REPEAT
        assert engine.process(at, sa).status is Status.SUCCESS


def test_a_packet_refused_otherwise_moves_nothing():
    """Its IV was never used: the next packet may carry it."""
    rng = rng_for(2)
    bundle = one_esp(rng, "aes-gcm")
    engine = Engine()
    sa = engine.add_sa(bundle)
    good = hoststack.frame(packet(rng, 4, 30), bundle, framing1=framing(1000))
    broken = good[:37] + bytes([good[37] ^ 1]) + good[38:]
    for frame, more, status in (
        (broken, {}, Status.SPI_MISMATCH), (good[:-1], {}, Status.MALFORMED), (good, {"lso": True}, Status.UNSUPPORTED),
        (good, {"input_error": True}, Status.INPUT_ERROR), (good, {"length": 9}, Status.MALFORMED),
    ):
        assert engine.process(frame, sa, **more).status is status
        assert sa.counters == [0]
    assert engine.process(good, sa).status is Status.SUCCESS


def test_ops_are_judged_in_the_order_of_passes():
    """ESP, AH, outer ESP, outer AH: the first that repeats is the end, and those before it keep their new counter."""
    rng = rng_for(3)

    def bundle(mode):
        fields = {"iv": "frame", "iv_init": 10}
        return Bundle(mode, (esp_op(rng, "aes-gcm", icv_len=16, **fields), ah_op(rng, "aes-gmac", **fields)))

    inner, outer = bundle("transport"), bundle("tunnel")
    plain = packet(rng, 4, 30)
    for low in range(5):
        engine = Engine()
        sas = [engine.add_sa(inner), engine.add_sa(outer)]
        ivs = [20 + n if n != low else 9 for n in range(4)]
        frame = hoststack.frame(plain, inner, outer, framing1=framing(*ivs[:2]), framing2=framing(*ivs[2:]))
        assert engine.process(frame, *sas).status is (Status.IV_REPEAT if low < 4 else Status.SUCCESS)
        assert sas[0].counters + sas[1].counters == [21 + n if n < low else 10 for n in range(4)]


def test_one_sa_as_both_handles_rises_within_the_packet():
    rng = rng_for(4)
    bundle = Bundle("tunnel", (esp_op(rng, "aes-gcm", icv_len=16, iv="frame"),))
    for ivs, status, counter in (((1, 2), Status.SUCCESS, 3), ((2, 2), Status.IV_REPEAT, 3),
                                 ((3, 2), Status.IV_REPEAT, 4)):
        engine = Engine()
        sa = engine.add_sa(bundle)
        frame = hoststack.frame(packet(rng, 4, 9), bundle, bundle, framing1=framing(ivs[0]), framing2=framing(ivs[1]))
        assert engine.process(frame, sa, sa).status is status
        assert sa.counters == [counter]


def test_nothing_that_leaves_repeats_a_nonce():
    """Random IVs, among them many repeats, over random bundles: no two emitted packets share one, in any op."""
    rng = rng_for(5)
    left = refused = 0
    while left < 300:
        sa1, sa2 = random_bundle(rng, "transport"), random_bundle(rng, "tunnel")
        if not any(op.judges_iv for sa in (sa1, sa2) for op in sa.ops):
            continue
        engine = Engine()
        sas = [engine.add_sa(sa1), engine.add_sa(sa2)]
        seen = set()
        for _ in range(12):
            ivs = [rng.randrange(20) for _ in range(4)]
            framings = []
            for n, sa in enumerate((sa1, sa2)):
                values = [iv if op and op.judges_iv else None
                          for iv, op in zip(ivs[2 * n :], (sa.esp, sa.ah), strict=False)]
                framings.append(framing(*values))
            frame = hoststack.frame(packet(rng, 4, 9), sa1, sa2, framing1=framings[0], framing2=framings[1])
            status = engine.process(frame, *sas).status
            assert status in (Status.SUCCESS, Status.IV_REPEAT)
            if status is Status.SUCCESS:
                used = {(n, op.protocol, ivs[2 * n + (op.protocol == "ah")])
                        for n, sa in enumerate((sa1, sa2)) for op in sa.ops if op.judges_iv}
                assert not used & seen
                seen |= used
                left += 1
            else:
                refused += 1
    assert refused > 100
