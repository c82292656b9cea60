# SPDX-License-Identifier: Apache-2.0
"""``nicsec bench``: its figures are whole and plausible, and a frame that is not the model's fails it."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from nicsec.activity import units_of
from nicsec.config import PRESETS, Config
from nicsec_sim import limits, measure, workload
from nicsec_sim.cli import app
from nicsec_sim.commands.bench import miscounts
from nicsec_sim.errors import InputError, RunError
from nicsec_sim.measure import Phases, Point
from nicsec_sim.model.engine import Engine
from nicsec_sim.ndis.registers import SWEEP_CYCLES
from nicsec_sim.workload import IMIX, Group, Suite, imix_order, make_point, suites_of, work_of
from typer.testing import CliRunner

TINY = PRESETS["tiny"]
GCM = Suite("esp", "aes-gcm", None, 128)


#: One that other benches build as well.
POOL = Config(lanes=8, units="shared", walkers=2, hash_units=3, sa_slots=16)


def invoke(*arguments):
    outcome = CliRunner().invoke(app, ["bench", *arguments])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def test_figures_of_tiny(tmp_path):
    path = tmp_path / "new" / "bench.json"
    outcome = invoke("--preset", "tiny", "--suite", "aes-128-gcm", "--size", "80", "--size", "256", "--size", "imix",
                     "--sas", "1", "--sas", "3", "--mode", "transport", "--packets", "1", "--json", str(path))
    assert "aes-128-gcm" in outcome.output
    document = json.loads(path.read_text())
    assert (document["kind"], document["preset"]) == ("nicsec-bench", "tiny")
    assert document["config_hash"] == TINY.hash
    assert document["seed"] == 1
    points = document["points"]
    assert [(one["sas"], one["size"]) for one in points] == [(n, z) for n in (1, 3) for z in (80, 256, "imix")]
    for one in points:
        wanted = one["size"] if one["size"] != "imix" else sum(size * n for size, n in IMIX.items()) / 12
        assert one["frame_bytes"] == pytest.approx(wanted, abs=0.01)
        assert one["packets"] == (24 if one["size"] == "imix" else 12)
        assert one["bits_per_cycle"] == pytest.approx(8 * wanted * one["packets"] / one["cycles"], rel=1e-3)
        assert one["packets_per_cycle"] * one["cycles_per_packet"] == pytest.approx(1, rel=1e-3)
        latency = one["latency"]
        assert 0 < latency["min"] <= latency["median"] <= latency["p99"] <= latency["max"]
        # Under load a packet waits; alone it takes at least one cycle for each beat in and out.
        if one["size"] != "imix":
            assert 2 * one["frame_bytes"] / 16 < latency["alone"] <= latency["min"]
        assert set(one["units_derived"]) == {"aes", "ghash", "bus"}
        assert all(0 < unit["share_of_limit"] <= 1 for unit in one["units_derived"].values())
        assert one["limit"]["share"] == max(unit["share_of_limit"] for unit in one["units_derived"].values())
        assert one["bits_per_cycle"] == pytest.approx(one["limit"]["bits_per_cycle"] * one["limit"]["share"], rel=0.01)
        line = 10e9 * wanted / (wanted + 24)
        assert one["line_rate_10g"]["at_mhz"] == pytest.approx(line / one["bits_per_cycle"] / 1e6, rel=1e-3)
    small, large = points[:2]
    assert small["bits_per_cycle"] < large["bits_per_cycle"] < 12.8 * 256 / 200


@pytest.mark.parametrize("config", [Config(lanes=2, sa_slots=16, ghash_digit=8), PRESETS["full"], POOL],
                         ids=["two lanes", "full", "pool"])
def test_the_engine_counts_what_its_units_do(config):
    """Of every suite exactly the cycles that the packets' blocks come to, and in between as busy as they must be."""
    points = [Point(suite, "transport", size, 2) for suite in suites_of(config) for size in (80, 594)]
    seen = set()
    for one in measure.measure(config, points, 1):
        found = one["utilisation"]
        assert found["cycles"] > 0
        # Those of the measured packets, but for a move of the counters at either end.
        assert abs(found["cycles"] - one["cycles"]) < 2 * SWEEP_CYCLES
        for kind, unit in found["units"].items():
            assert unit["unit_cycles"] == unit["needed"], (one["suite"], one["size"], kind)
            seen |= {kind} if unit["needed"] else set()
            a_packet = unit["needed"] / Phases.of(config, 1, one["size"]).total
            # A pool has more packets inside, of which some began ahead of the window, or end behind it. So more may end
            # in it than a unit can do in its time.
            apart = 0.1 if config.units == "shared" else 0.05
            share = min(a_packet / (unit["count"] * one["cycles_per_packet"]), 1)
            assert unit["share"] == pytest.approx(share, abs=apart)
    assert seen == set(units_of(config))


def test_a_wrong_count_is_told():
    unit = {"count": 1, "share": 0.5, "unit_cycles": 20, "needed": 20}
    point = {"suite": "aes-128-gcm", "mode": "tunnel", "size": 80, "utilisation": {"units": {"aes": unit}}}
    assert miscounts([point, {"utilisation": None}]) == []
    unit["unit_cycles"] = 21
    assert miscounts([point]) == ["aes-128-gcm, tunnel, 80: the engine counted 21 cycles of aes, the packets need 20"]


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]),
     r"aes-128-gcm, transport, 80 bytes, 1 SA: packet 5 is not the golden model's at beat 4"),
    (lambda frame: frame + b"\0", r"packet 5 is not the golden model's at beat 4"),
])
def test_a_frame_that_is_not_the_model_s_fails(spoil, message, monkeypatch):
    process, seen = Engine.process, []

    def wrong(self, *arguments, **more):
        result = process(self, *arguments, **more)
        seen.append(result)
        return replace(result, frame=spoil(result.frame)) if len(seen) == 7 else result

    monkeypatch.setattr(Engine, "process", wrong)
    # Packet 0 of a point goes alone, so the seventh is packet 5 of the others.
    with pytest.raises(RunError, match=message):
        invoke("--preset", "tiny", "--suite", "aes-128-gcm", "--size", "80", "--sas", "1", "--mode", "transport",
               "--packets", "1")


def test_jobs_change_no_figure():
    points = [Point(Suite("esp", "aes-gcm", None, bits), "tunnel", 128, 2) for bits in (128, 256)]
    first, second = (measure.measure(TINY, points, 1, seed=3, jobs=jobs) for jobs in (1, 2))
    assert first == second


def test_every_suite_has_frames_of_every_size():
    config = PRESETS["full"]
    suites = suites_of(config)
    assert {suite.encr for suite in suites} - {None} == set(config.encr)
    assert {suite.auth for suite in suites} - {None} == set(config.auth)
    assert [Suite.from_name(suite.name) for suite in suites] == suites
    for suite in suites:
        for mode in workload.MODES:
            group = Group.make(config, suite, mode, 2, 1)
            for size in (80, 594, 1518):
                for load in make_point(group, size, 3):
                    smallest = len(group.frame(0, 0, 0))
                    assert len(load.frame) == max(size, smallest)
                    assert len(load.expected) == len(load.frame)
                    assert load.expected != load.frame


def test_the_imix_is_whole_dozens():
    group = Group.make(TINY, GCM, "transport", 1, 1)
    sizes = [len(load.frame) for load in make_point(group, "imix", 32)]
    assert sorted(sizes[8:20]) == sorted(sizes[20:]) == sorted(z for z, n in IMIX.items() for _ in range(n))
    assert sizes[:12] == sizes[12:24] == imix_order(1) != imix_order(2)


@pytest.mark.parametrize(("name", "size", "expected"), [
    # 80 - 14 - 20 - 8 - 8 - 16 leaves 14 bytes, of which 12 are used.
    ("aes-128-gcm", 80, {"aes-128": 2, "ghash": 3}),
    ("aes-256-cbc+hmac-sha256-128", 512, {"aes-256": 28, "sha256": 9}),
    ("null+hmac-sha512-256", 512, {"sha512": 5}),
    ("3des-cbc+hmac-md5-96", 128, {"3des": 9, "md5": 3}),
    ("chacha20-poly1305", 594, {"chacha20": 10, "poly1305": 35}),
    ("ah+hmac-sha1-96", 256, {"sha1": 5}),
    ("aes-256-ccm", 512, {"aes-256": 29, "mac-256": 30}),
    ("ah+aes-cmac-96", 256, {"mac-128": 16}),
    ("ah+aes-192-gmac", 256, {"aes-192": 1, "ghash": 17}),
])
def test_work_is_counted(name, size, expected):
    group = Group.make(PRESETS["full"], Suite.from_name(name), "transport", 1, 1)
    frame = group.frame(0, group.payload_for(size), size)
    assert work_of(frame, group.bundles[0]) == expected


def test_limits_of_the_architecture():
    config = PRESETS["full"]

    def limit(work, unit, units="private", **fields):
        built = replace(PRESETS["basic"] if units == "shared" else config, units=units, **fields)
        found = limits.bounds(built, [work], [1600])
        return next(bound for bound in found if bound.unit == unit).bits_per_cycle

    assert limit({"aes-128": 90}, "aes") == 12.8
    assert limit({"aes-256": 90}, "aes") == pytest.approx(9.14, abs=0.01)
    assert limit({"sha1": 25}, "sha1") == 6.4
    assert limit({"sha256": 25}, "sha256") == 8
    assert limit({"ghash": 90}, "ghash", ghash_digit=8) == 8
    assert limit({"sha1": 25}, "sha1", lanes=16) == 16 * 6.4
    assert limit({"aes-256": 90}, "aes", lanes=4) == pytest.approx(4 * 128 / 14)
    assert limit({"aes-256": 90}, "aes", lanes=4, units="shared") == 128
    assert limit({"ghash": 90}, "ghash", lanes=4, units="shared") == 128
    # Of the tokens of a GCM packet, two bring no block into AES; a chain of CBC comes round in 38 cycles.
    assert limit({"aes-256": 90, "ghash": 91}, "aes", lanes=4, units="shared") == pytest.approx(128 * 90 / 92)
    assert limit({"aes-256": 90}, "threads", lanes=18, units="shared") == pytest.approx(18 * 128 / 38)
    assert limit({"sha1": 25}, "sha1", lanes=16, units="shared", hash_units=12) == pytest.approx(12 * 6.4)
    assert limit({}, "bus") == 128
    assert limits.line_bits(10, 80) == pytest.approx(7.692e9, rel=1e-3)


@pytest.mark.parametrize(("name", "message"), [
    ("aes-gcm", "must name a key of 128, 192 or 256 bits"),
    ("aes-100-gcm", "must name a key of"),
    ("rot13", "must begin with ah or one of"),
    ("aes-128-cbc+crc", "must end with one of"),
    ("aes-128-cbc", "aes-cbc needs an authentication beside it"),
    ("aes-128-gcm+hmac-sha1-96", "aes-gcm takes no authentication beside it"),
])
def test_suite_names_are_checked(name, message):
    with pytest.raises(InputError, match=f"^--suite: '{name.replace('+', '.')}'.*{message}".replace("'", ".")):
        invoke("--preset", "full", "--suite", name)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--suite", "aes-128-cbc+hmac-sha1-96"], "--suite: .* needs aes-cbc, which this configuration has not"),
    (["--size", "40"], "--size must be imix or 64 to 1518 bytes, not '40'"),
    (["--size", "1519"], "--size must be imix or 64 to 1518 bytes, not '1519'"),
    (["--mode", "beet"], "--mode must be transport or tunnel, not 'beet'"),
    (["--sas", "17"], "--sas must be from 1 to 16, not 17"),
    (["--json", "/proc/bench.json"], "--json: /proc/bench.json: "),
])
def test_options_are_checked(arguments, message):
    with pytest.raises(InputError, match=f"^{message}"):
        invoke("--preset", "tiny", *arguments)


def test_measured_packets_suit_lanes_and_dozens():
    assert [Phases.of(TINY, 13, size).count for size in (80, "imix")] == [24, 48]
    assert Phases.of(Config(lanes=5), 1, 80).count == 60
    pool = Config(lanes=32, units="shared")
    # 128 packets, or 64 KiB with each frame in lines of its own.
    assert [measure.in_flight(pool, size) for size in (80, 512, 594, 1518, "imix")] == [128, 124, 107, 43, 128]
    for size in (80, 1518, "imix"):
        phases = Phases.of(pool, 1, size)
        assert phases.count >= 4 * measure.in_flight(pool, size)
        assert phases.fill > measure.in_flight(pool, size)
        assert phases.count % 12 == 0


@pytest.fixture(name="waterfall")
def _waterfall():
    path = Path(__file__).parents[2] / "scripts" / "waterfall.py"
    spec = importlib.util.spec_from_file_location("waterfall", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_waterfall_of_a_pool(waterfall):
    """One packet alone is as long as the bench says, but for what is behind its last beat; so are many."""
    found = waterfall.trace(POOL, GCM, 80)
    (point,) = measure.measure(POOL, [Point(GCM, "transport", 80, 1)], 1)
    # The packet has two blocks of AES (one is the mask's) and three of GHASH.
    spans = {step["state"]: step for step in found["steps"]}
    assert (spans["blocks into AES"]["doing"], spans["blocks into GHASH"]["doing"]) == ("2 of 9", "3 of 17")
    assert spans["frame in"]["start"] == 0
    out = spans["frame out"]["start"] + spans["frame out"]["cycles"]
    assert out == pytest.approx(point["latency"]["alone"], abs=2)
    assert out <= found["cycles"] <= out + 6
    assert found["cycles_under_load"] == pytest.approx(point["cycles_per_packet"], rel=0.05)
    assert all(0 <= share <= 1 for share in found["busy"].values())


def test_the_waterfall_of_another_simulator_has_as_many_cycles(waterfall):
    """Amaranth's simulator counts, state by state, the cycles a packet that the bench counts at the ports."""
    found = waterfall.trace(TINY, GCM, 80)
    assert sum(step["cycles"] for step in found["steps"]) == found["cycles"]
    assert {"WALK", "RUN", "VERDICT"} <= {step["state"] for step in found["steps"]}
    (point,) = measure.measure(TINY, [Point(GCM, "transport", 80, 1)], 1)
    assert found["cycles"] == pytest.approx(point["cycles_per_packet"], abs=1)
