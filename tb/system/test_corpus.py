# SPDX-License-Identifier: Apache-2.0
"""Packets that other IPsec stacks made (`tb/corpus`), through ``nicsec replay``: the same bytes on every engine.

``make corpus`` sets ``$NICSEC_CORPUS`` to ``all``: nothing is left out then but what Icarus would take hours for.
"""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from nicsec.config import AUTH_NAMES, ENCR_NAMES, PRESETS
from nicsec_sim.cases import Case, missing_algorithm, read_lines
from nicsec_sim.commands.replay import play_cases

FILES = sorted((Path(__file__).parents[1] / "corpus").glob("*.jsonl"))
ALL = os.environ.get("NICSEC_CORPUS") == "all"


def corpus():
    """(case, the finished frame) of every line of every file."""
    found = []
    for path in FILES:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for case, values in zip(read_lines(path), lines, strict=True):
            assert isinstance(case, Case), case
            # All files make one job, where the names of SAs come from the number.
            found.append((replace(case, number=len(found) + 1), bytes.fromhex(values["expect"])))
    return found


def expected(case, finished, config):
    """What an engine of ``config`` must say of a case; decided by the configuration alone."""
    if missing_algorithm(case, config.encr, config.auth):
        return "unsupported", None
    if len(case.wrap()) > config.max_frame:
        return "too_long", None
    return "success", finished.hex()


def check(chosen, config, sim):
    """Play cases; returns how many of each status there were."""
    lines, _ = play_cases([case for case, _ in chosen], config, sim)
    statuses = Counter()
    for (case, finished), line in zip(chosen, map(json.loads, lines), strict=True):
        assert (line["status"], line["frame"]) == expected(case, finished, config), case.id
        statuses[line["status"]] += 1
    print(dict(statuses))
    return statuses


def ops(case):
    return [op for bundle in (case.sa1, case.sa2) if bundle for op in bundle.ops]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_case_on_the_model(preset):
    statuses = check(corpus(), PRESETS[preset], "model")
    assert preset != "full" or statuses == {"success": len(corpus())}


def test_the_corpus_covers_the_engine():
    """Every algorithm and key length, shape, pair of families, and odd field that a stack was made to send."""
    cases = [case for case, _ in corpus()]
    every = [op for case in cases for op in ops(case)]
    assert {op.encr_alg for op in every} - {None} == {*ENCR_NAMES}
    # Linux has AES-GMAC for ESP, not for AH.
    assert {op.auth_alg for op in every} - {None} == {*AUTH_NAMES} - {"aes-gmac"}
    aes = {(op.encr_alg, len(op.encr_key)) for op in every if (op.encr_alg or "").startswith("aes-")}
    assert aes == {(name, size) for name in ENCR_NAMES if name.startswith("aes-") for size in (16, 24, 32)}
    for name in ("aes-gcm", "aes-ccm"):
        assert {op.icv_len for op in every if op.encr_alg == name} == {8, 12, 16}
    for protocol in ("esp", "ah"):
        assert {bool(op.esn_high) for op in every if op.protocol == protocol and op.esn} == {False, True}
    assert any(op.udp_encap for op in every)
    bundles = {(case.sa1.mode, tuple(op.protocol for op in case.sa1.ops)) for case in cases if case.sa2 is None}
    kinds = [("esp",), ("ah",), ("esp", "ah")]
    assert bundles == {(mode, kind) for mode in ("transport", "tunnel") for kind in kinds}
    nestings = {tuple(tuple(op.protocol for op in sa.ops) for sa in (case.sa1, case.sa2)) for case in cases if case.sa2}
    assert nestings == {(inner, outer) for inner in kinds for outer in kinds}
    sizes = sorted(len(case.frame) for case in cases)
    assert sizes[0] < 80
    assert len([size for size in sizes if size > 8800]) >= 15


def test_the_host_form_does_not_hold_the_answer():
    for case, finished in corpus():
        assert len(case.frame) == len(finished)
        assert case.frame != finished, case.id


def test_basic_on_verilator():
    """What this build lacks is named so, and the rest comes out as it was sent."""
    statuses = check(corpus(), PRESETS["basic"], "verilator")
    assert statuses["success"] > 80
    assert statuses["unsupported"] > 100


def test_full_on_verilator():
    chosen = corpus()
    if not ALL:
        chosen = [one for one in chosen if len(one[1]) < 1000] + [one for one in chosen if len(one[1]) > 8800][::4]
    assert check(chosen, PRESETS["full"], "verilator") == {"success": len(chosen)}


def test_a_sample_on_icarus():
    config = PRESETS["full" if ALL else "basic"]
    chosen = [one for one in corpus() if len(one[1]) < 400 and expected(*one, config)[0] == "success"]
    chosen = chosen[:: len(chosen) // (100 if ALL else 12)]
    assert check(chosen, config, "icarus") == {"success": len(chosen)}
