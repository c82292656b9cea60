# SPDX-License-Identifier: Apache-2.0
"""Properties over the whole matrix: the receiver undoes the engine, lengths stay, only what may change changes."""

import pytest
from model.cases import random_case, rng_for
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.parse import walk
from nicsec_sim.model.status import Status
from nicsec_sim.model.verify import verify


def protect(case):
    engine = Engine()
    sa1, sa2 = engine.add_sa(case.sa1), case.sa2 and engine.add_sa(case.sa2)
    return engine.process(case.frame, sa1, sa2, esn_high1=case.esn_high1, esn_high2=case.esn_high2)


def allowed(case):
    """Byte positions that the engine may write: IVs it generates, ESP payloads with their trailers, ICVs."""
    bundles = [bundle for bundle in (case.sa2, case.sa1) if bundle]
    positions = set()
    for level in walk(case.frame, bundles).levels:
        if (esp := level.bundle.esp) is not None:
            if esp.iv == "generate":
                positions.update(range(level.esp + 8, level.payload))
            positions.update(range(level.icv, level.icv + esp.icv_len))
            if esp.encr_alg not in ("null", "aes-gmac"):
                positions.update(range(level.payload, level.icv))
        if (ah := level.bundle.ah) is not None:
            if ah.iv == "generate":
                positions.update(range(level.ah + 12, level.ah + 12 + ah.iv_len))
            first = level.ah + 12 + ah.iv_len
            positions.update(range(first, first + ah.icv_len))
    return positions


@pytest.mark.parametrize("seed", range(10))
def test_receiver_undoes_the_engine(seed):
    rng = rng_for(seed)
    for _ in range(100):
        case = random_case(rng)
        result = protect(case)
        assert result.status is Status.SUCCESS
        assert len(result.frame) == len(case.frame)
        changed = {n for n, (old, new) in enumerate(zip(case.frame, result.frame, strict=True)) if old != new}
        assert changed
        assert changed <= allowed(case)
        verified = verify(
            result.frame, case.sa1, case.sa2, esn_high1=case.esn_high1, esn_high2=case.esn_high2
        )
        assert verified.status is Status.SUCCESS
        assert verified.frame == case.frame


@pytest.mark.parametrize("seed", range(100, 105))
def test_receiver_notices_every_flipped_bit_that_is_covered(seed):
    """One flipped bit in a covered range fails; the status names mode and protocol of a bundle that was given."""
    rng = rng_for(seed)
    for _ in range(60):
        case = random_case(rng, nested=0)
        wire = bytearray(protect(case).frame)
        level = walk(case.frame, [case.sa1]).levels[0]
        start = level.ah if level.ah is not None else level.esp
        # Padding, ICV and payload alike: from the sequence number on, everything is covered by some ICV.
        at = rng.randrange(start + 8, level.ip.end)
        wire[at] ^= 1 << rng.randrange(8)
        status = verify(bytes(wire), case.sa1, esn_high1=case.esn_high1).status
        names = {f"{case.sa1.mode}_{op.protocol}_auth_failed" for op in case.sa1.ops}
        assert status.text in names


@pytest.mark.parametrize("seed", range(200, 203))
def test_receiver_notices_the_wrong_high_half(seed):
    rng = rng_for(seed)
    seen = 0
    while seen < 30:
        case = random_case(rng, nested=0)
        if not case.sa1.ops[0].esn:
            continue
        seen += 1
        wire = protect(case).frame
        high = case.esn_high1 if case.esn_high1 is not None else case.sa1.ops[0].esn_high or 0
        assert verify(wire, case.sa1, esn_high1=high).status is Status.SUCCESS
        assert verify(wire, case.sa1, esn_high1=high ^ 1).status.text.endswith("auth_failed")


def test_ethernet_padding_is_neither_covered_nor_touched():
    rng = rng_for(1)
    for _ in range(50):
        case = random_case(rng)
        tail = rng.randbytes(rng.randrange(1, 40))
        padded = protect(type(case)(case.frame + tail, case.sa1, case.sa2, case.esn_high1, case.esn_high2))
        assert padded.frame == protect(case).frame + tail


def test_runs_repeat():
    first, second = rng_for(7), rng_for(7)
    for _ in range(20):
        assert random_case(first) == random_case(second)


def test_generated_ivs_never_repeat():
    """Unique (key, nonce) over a run of packets with every suite that takes a nonce, AH-GMAC included."""
    rng = rng_for(3)
    for _ in range(40):
        case = random_case(rng)
        if any(op.judges_iv for bundle in (case.sa1, case.sa2) if bundle for op in bundle.ops):
            continue
        engine = Engine()
        sa1, sa2 = engine.add_sa(case.sa1), case.sa2 and engine.add_sa(case.sa2)
        seen = {}
        for _ in range(20):
            wire = engine.process(case.frame, sa1, sa2, esn_high1=case.esn_high1, esn_high2=case.esn_high2).frame
            result = verify(wire, case.sa1, case.sa2, esn_high1=case.esn_high1, esn_high2=case.esn_high2)
            for key, iv in result.ivs.items():
                op = {"esp": "esp", "ah": "ah"}[key[1]]
                owner = getattr(case.sa1 if key[0] == 1 else case.sa2, op)
                if owner.iv == "generate":
                    assert iv not in seen.setdefault(key, set())
                    seen[key].add(iv)
