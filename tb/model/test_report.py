# SPDX-License-Identifier: Apache-2.0
"""``nicsec report`` on small files made here: what it joins, what it leaves out, and what it refuses."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from nicsec.config import PRESETS
from nicsec_sim.cli import app
from nicsec_sim.errors import InputError
from nicsec_sim.provenance import preset_of
from nicsec_sim.report import detailed, lane_series, load, sustained
from nicsec_sim.report_missing import how_far
from nicsec_sim.report_tables import tables
from typer.testing import CliRunner

pytest.importorskip("matplotlib")

TINY = PRESETS["tiny"]


def point(suite, size, bits, *, mode="transport", sas=1, frame=None, units=None):
    return {
        "utilisation": units and {"cycles": 1000, "units": units},
        "suite": suite, "mode": mode, "sas": sas, "size": size,
        "frame_bytes": frame or (371.2 if size == "imix" else size),
        "bits_per_cycle": bits, "limit": {"unit": "aes", "share": 0.5, "bits_per_cycle": 2 * bits},
        "latency": {"min": 10, "median": 11.5, "p99": 12, "max": 12, "alone": None if size == "imix" else 9},
    }


def document(kind, config, *, verilog="v", **more):
    return {"kind": kind, "command": f"nicsec {kind} {config.lanes}", "preset": preset_of(config),
            "config": config.to_dict(), "config_hash": config.hash, "verilog_hash": verilog, **more}


def bench(config, factor=1.0, **more):
    points = [point("aes-128-gcm", 80, 4 * factor), point("aes-128-gcm", 1518, 12 * factor),
              point("aes-128-gcm", "imix", 8 * factor), point("aes-256-gcm", 80, 3 * factor, frame=98)]
    return document("nicsec-bench", config, points=points, **more)


def run(seed, fmax, lut4=8000):
    block = {"lut4": lut4 - 1000, "ff": 900, "bram": 10, "dsp": 0}
    return {
        "device": "85k", "speed": 8, "seed": seed, "lut4": lut4, "ff": 1000, "bram": 20, "dsp": 0, "fmax_mhz": fmax,
        "blocks": {"": {"lut4": 100, "ff": 50, "bram": 0, "dsp": 0}, "core.lane.walker": block,
                   "core.lane.walker.deep": {"lut4": 900, "ff": 50, "bram": 10, "dsp": 0}},
        "source_path": [{"signal": "lane.walker.addr[3]", "logic_ns": 1.25, "routing_ns": 2.5, "cells": 3}],
    }


def fit(config, *rates, **more):
    return document("nicsec-fit", config, runs=[run(n, rate, **more) for n, rate in enumerate(rates, 1)],
                    unrouted=[], areas=[])


def unrouted(seed, lut4=8000, **reached):
    values = {key: value for key, value in run(seed, 0.0, lut4).items() if key not in ("fmax_mhz", "source_path")}
    return values | {"reached": {"stage": "routing", "error": None, "estimate_mhz": None, "arcs": None,
                                 "arcs_left": None} | reached}


def write(directory, *documents):
    paths = []
    for n, values in enumerate(documents):
        paths.append(directory / f"{n}.json")
        paths[-1].write_text(json.dumps(values))
    return paths


def found(builds):
    return {(heading, table.title): table for heading, tables_ in tables(builds) for table in tables_}


def test_throughput_is_bits_a_cycle_times_the_median_fmax(tmp_path):
    builds = load(write(tmp_path, bench(TINY), fit(TINY, 100.0, 130.0, 110.0)))
    (build,) = builds
    assert build.fmax == 110
    table = found(builds)["Throughput", "tiny: Gb/s, transport mode, 1 SA"]
    assert table.headings == ["suite", "80", "1518", "imix"]
    # 12 bits at 110 MHz are 1.32 Gb/s; 1GbE with 1518 bytes is 0.984 of frames. A longer packet is marked.
    assert table.rows == [["aes-128-gcm", "0.44", "1.32 (1G)", "0.88"], ["aes-256-gcm", "0.33*", "", ""]]
    density = found(builds)["Throughput for area", ""]
    assert density.rows[0] == ["tiny", "aes-128-gcm", "0.055", "", "0.165", "0.110"]
    overview = found(builds)["Builds", ""].rows[0]
    assert overview[-2:] == ["3", "110.0 (100 to 130)"]


def test_what_was_not_measured_is_named_with_its_command(tmp_path):
    only_bench = found(load(write(tmp_path, bench(TINY))))
    assert ("Throughput", "tiny: bits a cycle, transport mode, 1 SA") in only_bench
    assert {heading for heading, _ in only_bench} == {"Builds", "Missing", "Throughput", "Limits and utilisation",
                                                      "Latency"}
    assert only_bench["Throughput", "tiny: Gb/s"].rows == [["all", "not routed", "not routed", "not routed"]]
    assert only_bench["Missing", ""].rows == [
        ["tiny", "Fmax, Gb/s", "not synthesised", "make build/report/fit-tiny.json"],
        ["tiny", "area alone", "not synthesised", "make build/report/area-tiny.json"],
        ["tiny", "where the cycles go", "not measured", "make build/report/cycles-tiny.json"]]
    only_fit = found(load(write(tmp_path, fit(TINY, 100.0))))
    assert {heading for heading, _ in only_fit} == {"Builds", "Missing", "Area by block", "Seeds", "Critical paths"}
    (_, (_, (nothing,))) = tables(load(write(tmp_path, bench(TINY))), ["tiny", "10g"])[:2]
    assert nothing.rows[0] == ["10g", "all", "not measured", "make build/report/bench-10g.json "
                               "build/report/fit-10g.json build/report/cycles-10g.json"]
    (series,) = [table for heading, (table, *_) in tables(load(write(tmp_path, bench(TINY), fit(
        replace(TINY, lanes=2), 90.0)))) if heading == "Missing"]
    assert ["tiny, lanes 2", "bits a cycle", "not measured", "make build/report/lanes-bench-2.json"] in series.rows


def test_a_build_that_was_not_routed_is_there(tmp_path):
    """With the area of its synthesis, what nextpnr reached, and a word where the Gb/s would be."""
    failed = fit(TINY) | {"unrouted": [unrouted(1, arcs=9000, arcs_left=1234, estimate_mhz=98.6)]}
    sections = found(load(write(tmp_path, bench(TINY), failed)))
    assert sections["Builds", ""].rows[0][3:] == ["ECP5-85k-8", "8,000", "1,000", "20", "0", "", "not routed"]
    far = "seed 1: no end of routing, 1,234 of 9,000 arcs left, 99 MHz by the placement's estimate"
    assert sections["Missing", ""].rows[0] == [
        "tiny", "Fmax, Gb/s", far, "rm build/report/fit-tiny.json; make build/report/fit-tiny.json"]
    assert sections["Throughput", "tiny: Gb/s"].note == f"tiny: {far}."
    assert sections["Area by block", "tiny"].rows[0] == ["lane.walker", "7,900", "950", "20", "0"]
    assert sections["Seeds", ""].rows == [["tiny", "1", "not routed", far.removeprefix("seed 1: ")]]
    # One that was routed counts, and a seed that was routed later is no longer missing.
    (build,) = load(write(tmp_path, fit(TINY, 100.0) | {"unrouted": [unrouted(1), unrouted(2)]}))
    assert (build.fmax, [one["seed"] for one in build.unrouted]) == (100, [2])
    (build,) = load(write(tmp_path, failed, fit(TINY, 100.0)))
    assert (build.fmax, build.unrouted) == (100, [])


def test_synthesis_alone_says_how_far(tmp_path):
    kinds = {"lut": 1000, "lut_ram": 10, "carry": 100, "ff": 1, "bram": 2, "dsp": 0}
    area = fit(TINY) | {"areas": [{"family": "ecp5", "script": "synth_ecp5", "kinds": kinds}]}
    (build,) = load(write(tmp_path, area))
    assert how_far(build) == "synthesised, not placed and routed"
    assert found([build])["Builds", ""].rows[0][3:] == ["ECP5", "1,240", "1", "2", "0", "", "not routed"]


def test_utilisation_is_what_the_engine_counted(tmp_path):
    units = {"aes": {"count": 1, "share": 0.912, "unit_cycles": 9, "needed": 9},
             "hash": {"count": 12, "share": 0.0, "unit_cycles": 0, "needed": 0}}
    values = bench(TINY)
    values["points"] = [point("aes-128-gcm", 1518, 12, sas=sas, units=units) for sas in (1, 16)]
    sections = found(load(write(tmp_path, values)))
    table = sections["Limits and utilisation", "tiny: units at work, transport mode, 16 SAs"]
    assert table.headings[-2:] == ["aes at work", "hash at work"]
    # A unit that the suite has no work for says nothing.
    assert table.rows == [["aes-128-gcm", "1518", "12.0", "24.0 aes", "50 %", "91.2 %", ""]]
    assert "1 aes, 12 hash" in table.note
    alone = sections["Latency", "tiny: latency of a packet alone, cycles, transport mode, 16 SAs"]
    assert alone.rows == [["aes-128-gcm", "9"]]


def test_part_of_the_line_rate(tmp_path):
    """Of the fastest Ethernet that is reached anywhere; of 1GbE if none is."""
    reached = found(load(write(tmp_path, bench(TINY, 8), fit(TINY, 110.0))))
    table = reached["Throughput", "tiny: part of 10GbE, transport mode, 1 SA"]
    # 96 bits at 110 MHz of the 9.84 Gb/s that 10GbE leaves for frames of 1518 bytes.
    assert table.rows[0] == ["aes-128-gcm", "46 %", "107 %", "75 %"]
    assert table.shares[0][1] == pytest.approx(1.0727, abs=1e-3)
    assert ("Throughput", "tiny: part of 1GbE, transport mode, 1 SA") in found(
        load(write(tmp_path, bench(TINY, 0.1), fit(TINY, 110.0))))


def test_seeds_and_simulation_speed(tmp_path):
    speed = {"build_seconds": 30.2, "idle": {"cycles": 100, "seconds": 2.0, "cpu_seconds": 1.0},
             "frames": {"cycles": 90, "seconds": 1.0, "cpu_seconds": 1.0}}
    stock = {"build_seconds": None, "idle": {"cycles": 100, "seconds": 8.0, "cpu_seconds": 4.0},
             "frames": {"cycles": 90, "seconds": 2.0, "cpu_seconds": 2.0}}
    speeds = document("nicsec-simspeed", TINY, simulator="verilator", packets="frames of 594",
                      models={"ours": speed, "theirs": stock})
    sections = found(load(write(tmp_path, fit(TINY, 100.0, 130.0), speeds)))
    assert sections["Speed of the simulation", ""].rows == [
        ["tiny", "ours", "idle", "100", "50", "4.00", "30"], ["tiny", "theirs", "idle", "25", "12", "1.00", ""],
        ["tiny", "ours", "frames of 594", "90", "90", "2.00", "30"],
        ["tiny", "theirs", "frames of 594", "45", "45", "1.00", ""]]
    assert sections["Seeds", ""].rows == [["tiny", "1", "100.0", "lane.walker.addr[3]"],
                                          ["tiny", "2", "130.0", "lane.walker.addr[3]"]]


def test_area_by_block_adds_what_lies_deeper(tmp_path):
    table = found(load(write(tmp_path, fit(TINY, 100.0))))["Area by block", "tiny"]
    assert table.rows == [["lane.walker", "7,900", "950", "20", "0"], ["ports", "100", "50", "0", "0"]]


def test_numbered_blocks_are_taken_together(tmp_path):
    values = fit(TINY, 100.0)
    one = {"lut4": 10, "ff": 1, "bram": 0, "dsp": 0}
    names = ["lanes.lane0.walker", "lanes.lane15.walker.deep", "lanes.units0.sha1", "lanes.units1.sha1",
             "lanes.units0.sha256", "control.table"]
    values["runs"][0]["blocks"] = {f"core.{name}": one for name in names}
    table = found(load(write(tmp_path, values)))["Area by block", "tiny"]
    assert {row[0]: row[1] for row in table.rows} == {
        "lanes.lane*.walker": "20", "lanes.units*.sha1": "20", "lanes.units*.sha256": "10", "control.table": "10"}


def test_waterfall_of_a_pool(tmp_path):
    """One packet alone, and who is busy when many are there."""
    steps = [{"state": "frame in", "start": 0, "cycles": 5, "doing": ""},
             {"state": "AES", "start": 30, "cycles": 9, "doing": "2 of 9"}]
    packet = {"suite": "aes-128-gcm", "bytes": 80, "block": "one packet alone", "alone": True, "cycles": 163,
              "steps": steps, "cycles_under_load": 12.4, "busy": {"front0": 0.96}}
    sections = found(load(write(tmp_path, document("nicsec-cycles", TINY, packets=[packet]))))
    alone = sections["Where the cycles go", "tiny: aes-128-gcm, 80 bytes, alone"]
    assert alone.rows == [["frame in", "", "0", "5"], ["AES", "2 of 9", "30", "9"]]
    busy = sections["Where the cycles go", "tiny: aes-128-gcm, 80 bytes, packets always waiting"]
    assert (busy.rows, busy.shares) == ([["front0", "96 %"]], [[0.96]])
    assert "12.4 cycles a packet" in busy.note


def test_lanes_in_a_row(tmp_path):
    configs = [replace(TINY, lanes=lanes) for lanes in (4, 1, 2, 8)]
    documents = [one for config in configs
                 for one in (bench(config, config.lanes - (config.lanes == 8)),
                             fit(config, 100.0, lut4=3000 + 5000 * config.lanes))]
    builds = load(write(tmp_path, *documents))
    (series,) = lane_series(builds)
    assert [build.config["lanes"] for build in series] == [1, 2, 4, 8]
    assert [build.name for build in series] == ["tiny", "tiny, lanes 2", "tiny, lanes 4", "tiny, lanes 8"]
    table = found(builds)["Lanes", "tiny"]
    assert table.rows[0] == ["LUT4", "8,000", "13,000 (+5,000)", "23,000 (+5,000)", "43,000 (+5,000)", "0.0 %"]
    # The fourth column's lanes bring 3 for 4, a third less than those before.
    assert table.rows[2] == ["aes-128-gcm, 80 bytes, bits a cycle", "4.00", "8.00 (+4.00)", "16.00 (+4.00)",
                             "28.00 (+3.00)", "33.3 %"]
    # Those that are no preset are there for the series alone.
    assert [build.name for build in detailed(builds)] == ["tiny"]


def test_lanes_that_are_too_many_for_the_part(tmp_path):
    """Synthesis alone gives the LUTs, counted as for a fit."""
    kinds = {"lut": 1000, "lut_ram": 10, "carry": 100, "ff": 1, "bram": 0, "dsp": 0}
    wide = fit(replace(TINY, lanes=2)) | {"areas": [{"family": "ecp5", "script": "synth_ecp5", "kinds": kinds}]}
    table = found(load(write(tmp_path, fit(TINY, 100.0, lut4=640), wide)))["Lanes", "tiny"]
    assert table.rows[0] == ["LUT4", "640", "1,240 (+600)", ""]


def test_different_verilog_is_told(tmp_path):
    build = bench(TINY, verilog="other")
    table = found(load(write(tmp_path, build, fit(TINY, 100.0))))["Throughput", "tiny: Gb/s, transport mode, 1 SA"]
    assert "Bench and fit are of different Verilog" in table.note


def test_line_rates():
    assert [sustained(rate, 1518) for rate in (0.98, 0.99, 2.47, 10.0, 24.7)] == [None, 1.0, 2.5, 10.0, 25.0]


def test_page_and_plots(tmp_path):
    steps = [{"state": "WALK", "start": 0, "cycles": 30, "doing": "walker IP 9"},
             {"state": "RUN", "start": 30, "cycles": 70, "doing": ""}]
    cycles = document("nicsec-cycles", TINY, packets=[
        {"suite": "aes-128-gcm", "bytes": 80, "block": "lane.sequencer", "cycles": 100, "steps": steps}])
    area = {"family": "ice40", "script": "synth_ice40", "kinds": {"lut": 9999, "ff": 4}}
    fitted = fit(TINY, 100.0) | {"areas": [area]}
    more = replace(TINY, lanes=2)
    paths = write(tmp_path, bench(TINY), fitted, cycles, bench(more, 2), fit(more, 99.0))
    for directory in ("out", "again"):
        outcome = CliRunner().invoke(app, ["report", *map(str, paths), "-o", str(tmp_path / directory)])
        assert outcome.exit_code == 0, outcome.output
    plots = sorted(path.name for path in (tmp_path / "out").glob("*.svg"))
    assert plots == ["area-tiny.svg", "cycles-tiny-aes-128-gcm.svg", "density.svg", "lanes-tiny.svg",
                     "latency-tiny.svg", "limit-tiny.svg", "throughput-tiny.svg"]
    for name in plots:
        assert ElementTree.parse(tmp_path / "out" / name).getroot().tag.endswith("svg")
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    text = (tmp_path / "out" / "report.md").read_text()
    for wanted in ("nicsec nicsec-bench 1", "| lane.walker | 7,900 |", "| WALK | walker IP 9 | 0 | 30 |", "9,999",
                   "lane.walker.addr[3]", "](throughput-tiny.svg)", "1.20 (1G)", "24.00 (+12.00)"):
        assert wanted in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == len(plots)
    assert "<td class=l>aes-128-gcm</td>" in page


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not JSON"),
    ("[]", "kind must be one of nicsec-bench, nicsec-fit, nicsec-cycles, nicsec-simspeed"),
    ('{"kind": "other"}', "kind must be one of"),
    ('{"kind": "nicsec-fit"}', "nicsec-fit without 'config_hash'"),
])
def test_files_are_checked(text, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        load([path])
    with pytest.raises(InputError, match=r"absent\.json: No such file"):
        load([tmp_path / "absent.json"])


def test_a_file_that_is_only_reserved_says_nothing(tmp_path):
    (path,) = write(tmp_path, bench(TINY))
    (tmp_path / "fit.json").touch()
    assert [build.name for build in load([path, tmp_path / "fit.json"])] == ["tiny"]


def test_parts_are_not_mixed(tmp_path):
    other = fit(TINY, 90.0)
    other["runs"][0]["device"] = "25k"
    with pytest.raises(InputError, match="must be for one device and speed"):
        load(write(tmp_path, fit(TINY, 100.0), other))
