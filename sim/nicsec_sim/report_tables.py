# SPDX-License-Identifier: Apache-2.0
"""The tables of ``nicsec report``.

A cell whose parts were not both measured is not there: without a fit there are bits a cycle, without a bench there is
area. A build that was not routed is named where its Gb/s would be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .limits import line_bits
from .report import (
    Build,
    detailed,
    goal,
    grouped_blocks,
    lane_series,
    mixed_sources,
    shared_points,
    sizes_of,
    sustained,
)
from .report_missing import how_far, missing
from .routing_log import reached_text

__all__ = ["Table", "tables"]

#: Sizes of the tables that would be too long with all.
_FEW = (80, 512, 1518, "imix")
_NOT = "not routed"
_LONGER = "* The suite's smallest packet is longer than this size, and was measured instead."


@dataclass(frozen=True)
class Table:
    """A table of the page: texts only; the first ``left`` columns are set to the left.

    ``shares``, of each cell behind the first of a row or None, are shown as shades of it.
    """

    title: str
    headings: list[str]
    rows: list[list[str]]
    note: str = ""
    left: int = 1
    shares: list[list[float | None]] | None = None


def tables(builds: list[Build], presets: Iterable[str] = ()) -> list[tuple[str, list[Table]]]:
    """The page's sections: a heading and its tables; sections without content are left out.

    ``presets`` are missing where ``builds`` have nothing of them.
    """
    shown = detailed(builds)
    sections = [
        ("Builds", _overview(builds)),
        ("Missing", _missing(builds, presets)),
        ("Throughput", [table for build in shown for table in _throughput(build)]),
        ("Limits and utilisation", [table for build in shown for table in _limits(build)]),
        ("Latency", [table for build in shown for table in _latency(build)]),
        ("Throughput for area", _density(shown)),
        ("Area by block", [table for build in shown for table in _blocks(build)]),
        ("Lanes", _lanes(builds)),
        ("Where the cycles go", [table for build in builds for table in _waterfall(build)]),
        ("Seeds", _seeds(builds)),
        ("Critical paths", [table for build in shown for table in _paths(build)]),
        ("Area by synthesis alone", _families(builds)),
        ("Speed of the simulation", _speeds(builds)),
    ]
    return [(title, found) for title, found in sections if found]


def _overview(builds: list[Build]) -> list[Table]:
    rows = []
    for build in builds:
        run, area, rates = build.synthesised, build.ecp5_area, [run["fmax_mhz"] for run in build.runs]
        spread = f" ({min(rates):.0f} to {max(rates):.0f})" if len(rates) > 1 else ""
        rows.append([
            build.name, build.config_hash[:12], str(build.config["lanes"]),
            f"ECP5-{run['device']}-{run['speed']}" + ", no rst" * (not build.reset)
            if run else "ECP5" if area else "",
            *(f"{area[kind]:,}" if area else "" for kind in ("lut4", "ff", "bram", "dsp")),
            str(len(rates) or ""), f"{build.fmax:.1f}{spread}" if rates else _NOT,
        ])
    headings = ["build", "config", "lanes", "part", "LUT4", "FF", "block RAM", "DSP", "seeds", "Fmax MHz, routed"]
    note = "Fmax is the median of the seeds; area is that of synthesis."
    if not all(build.reset for build in builds):
        note += " Without rst, the part's global reset takes its place."
    return [Table("", headings, rows, note)]


def _missing(builds: list[Build], presets: Iterable[str]) -> list[Table]:
    rows = missing(builds, presets)
    headings = ["build", "what", "how far", "command"]
    return [Table("", headings, rows, "A file that is there is not made again: delete it to measure anew.", 4)
            ] if rows else []


def _named(build: Build, title: str, shape: tuple[str, int]) -> str:
    mode, sas = shape
    return f"{build.name}: {title}, {mode} mode, {sas} SA{'s' * (sas > 1)}"


def _grid(
    build: Build, title: str, cell: Any, note: str, share: Any = None, shapes: Any = None, sizes: Any = None
) -> list[Table]:
    """One table a mode and number of SAs, or for each of ``shapes``: suites by sizes, or by those of ``sizes``."""
    found = []
    for mode, sas in shapes or dict.fromkeys((point["mode"], point["sas"]) for point in build.points.values()):
        points = {key: point for key, point in build.points.items() if key[1:3] == (mode, sas)}
        shown = [size for size in sizes_of(points.values()) if sizes is None or size in sizes]
        rows, shares = [], []
        for suite in dict.fromkeys(key[0] for key in points):
            here = [points.get((suite, mode, sas, size)) for size in shown]
            rows.append([suite, *(cell(point) if point is not None else "" for point in here)])
            shares.append([share(point) if share and point is not None else None for point in here])
        marked = any(text.endswith("*") for row in rows for text in row[1:])
        told = " ".join(text for text in (note, _LONGER if marked else "") if text)
        found.append(Table(_named(build, title, (mode, sas)), ["suite", *map(str, shown)], rows, told,
                           shares=shares if share else None))
    return found


def _bytes(point: dict[str, Any]) -> str:
    """A mark for points whose packets are longer than their nominal size."""
    return "*" if point["size"] != "imix" and point["frame_bytes"] > point["size"] else ""


def _throughput(build: Build) -> list[Table]:
    found = _grid(build, "bits a cycle", lambda point: f"{point['bits_per_cycle']:.2f}{_bytes(point)}", "")
    rate = goal(build)
    if not build.points:
        return []
    if rate is None:
        sizes = sizes_of(point for key, point in build.points.items() if key[1:3] == build.shape)
        return [Table(f"{build.name}: Gb/s", ["suite", *map(str, sizes)], [["all", *[_NOT] * len(sizes)]],
                      f"{build.name}: {how_far(build)}."), *found]

    def gbps(point):
        value = build.gbps(point)
        reached = sustained(value, point["frame_bytes"])
        return f"{value:.2f}{f' ({reached:g}G)' if reached else ''}{_bytes(point)}"

    def share(point):
        return build.gbps(point) * 1e9 / line_bits(rate, point["frame_bytes"])

    note = (f"Gb/s at {build.fmax:.1f} MHz; in brackets the fastest of 1, 2.5, 10 and 25GbE whose line rate, less 24 "
            "bytes a frame, that is.")
    if mixed_sources(build):
        note += " Bench and fit are of different Verilog."
    return [
        *_grid(build, "Gb/s", gbps, note, share),
        *_grid(build, f"part of {rate:g}GbE", lambda point: f"{100 * share(point):.0f} %{_bytes(point)}",
               f"Of the line rate of {rate:g}GbE with frames of that size.", share, [build.shape]),
        *found,
    ]


def _limits(build: Build) -> list[Table]:
    def share(point):
        return point["limit"]["share"]

    note = ("The limit is the unit with most work; reached is the part of its least cycles in those that passed, which "
            "follows from the packets' blocks.")
    points = [point for key, point in build.points.items() if key[1:3] == build.shape and point.get("utilisation")]
    if not points:
        return _grid(build, "share of the limit", lambda point: f"{100 * share(point):.0f} % {point['limit']['unit']}",
                     note, share, [build.shape]) if build.shape else []
    shown = [size for size in sizes_of(points) if size in _FEW] or sizes_of(points)
    kinds = points[0]["utilisation"]["units"]
    rows, shares = [], []
    for point in points:
        if point["size"] not in shown:
            continue
        found = point["utilisation"]["units"]
        units = [found[kind]["share"] if found[kind]["needed"] else None for kind in kinds]
        limit = point["limit"]
        rows.append([point["suite"], str(point["size"]), f"{point['bits_per_cycle']:.1f}",
                     f"{limit['bits_per_cycle']:.1f} {limit['unit']}", f"{100 * limit['share']:.0f} %",
                     *("" if unit is None else f"{100 * unit:.1f} %" for unit in units)])
        shares.append([None, None, None, limit["share"], *units])
    counts = ", ".join(f"{unit['count']} {kind}" for kind, unit in kinds.items())
    headings = ["suite", "size", "bits a cycle", "limit", "reached", *(f"{kind} at work" for kind in kinds)]
    return [Table(
        _named(build, "units at work", build.shape), headings, rows,
        f"{note} At work is counted in the engine, which has {counts}: of all their cycles, those with a round, a "
        "digit or a block of a packet.", shares=shares)]


def _latency(build: Build) -> list[Table]:
    def times(point):
        latency = point["latency"]
        return f"{latency['min']:.0f} / {latency['median']:.0f} / {latency['p99']:.0f}"

    if build.shape is None:
        return []
    plain = [size for size in sizes_of(build.points.values()) if size != "imix"]
    note = "First beat in to last beat out"
    return [
        *_grid(build, "latency of a packet alone, cycles", lambda point: f"{point['latency']['alone']:.0f}",
               f"{note}, through an idle engine.", shapes=[build.shape], sizes=plain),
        *_grid(build, "latency under full load, cycles, min / median / p99", times,
               f"{note}, with the next packet always waiting: time in the input is part of it.", shapes=[build.shape],
               sizes=_FEW),
    ]


def _density(builds: list[Build]) -> list[Table]:
    rows = []
    for build in builds:
        if build.fmax is None:
            rows += [[build.name, "all", *[_NOT] * len(_FEW)]] if build.points else []
            continue
        for suite in dict.fromkeys(key[0] for key in build.points):
            points = [build.points.get((suite, *build.shape, size)) for size in _FEW]
            if any(points):
                lut4 = build.runs[0]["lut4"]
                rows.append([build.name, suite, *(f"{1000 * build.gbps(point) / lut4:.3f}" if point else ""
                                                  for point in points)])
    return [Table("", ["build", "suite", *map(str, _FEW)], rows, "Gb/s per 1,000 LUT4 of the whole engine.", 2)
            ] if any(row[2] != _NOT for row in rows) else []


def _blocks(build: Build) -> list[Table]:
    if build.synthesised is None:
        return []
    rows = [[name, *(f"{block[kind]:,}" for kind in ("lut4", "ff", "bram", "dsp"))]
            for name, block in grouped_blocks(build.synthesised["blocks"]).items()]
    return [Table(build.name, ["block", "LUT4", "FF", "block RAM", "DSP"], rows,
                  "Blocks as under m.submodules, with the blocks in them, and * for all that are numbered.")]


def _lanes(builds: list[Build]) -> list[Table]:
    found = []
    for group in lane_series(builds):
        counts = [build.config["lanes"] for build in group]
        measured = [build for build in group if build.points]
        keys = shared_points(measured, (80, 1518)) if measured else []
        areas = [build.ecp5_area for build in group]
        series = {"LUT4": [area and area["lut4"] for area in areas], "FF": [area and area["ff"] for area in areas]}
        for key in keys:
            bits = [build.points[key]["bits_per_cycle"] if build in measured else None for build in group]
            series[f"{key[0]}, {key[3]} bytes, bits a cycle"] = bits
        rows = []
        for name, values in series.items():
            form = ",.0f" if name in ("LUT4", "FF") else ",.2f"
            added = {count: (value - before) / (count - less)
                     for less, before, count, value in zip(counts, values, counts[1:], values[1:], strict=False)
                     if None not in (before, value)}
            row = [name]
            for count, value in zip(counts, values, strict=True):
                text = "" if value is None else f"{value:{form}}"
                row.append(text + (f" (+{added[count]:{form}})" if count in added else ""))
            # The first lane beside one brings what shares the work between lanes.
            even = [value for count, value in added.items() if count > 2]
            row.append(f"{100 * (max(even) / min(even) - 1):.1f} %" if len(even) > 1 and min(even) > 0 else "")
            if any(row[1:]):
                rows.append(row)
        headings = ["", *(f"{count} lane{'s' * (count > 1)}" for count in counts), "spread"]
        found.append(Table(group[0].name, headings, rows,
                           "By synthesis, and as simulated; in brackets what each lane added since the column before. "
                           "Spread: how much more than the least the most of these is, from two lanes up."))
    return found


def _waterfall(build: Build) -> list[Table]:
    found = []
    for packet in build.cycles:
        rows = [[step["state"], step["doing"], str(step["start"]), str(step["cycles"])] for step in packet["steps"]]
        name = f"{build.name}: {packet['suite']}, {packet['bytes']} bytes"
        if packet.get("alone"):
            headings = ["what moves", "in how many of its cycles, if not in all", "from cycle", "cycles"]
            note = (f"One packet through the idle engine, {packet['cycles']} cycles from its first beat to its "
                    "completion; Amaranth's simulator. A pipelined unit moves when blocks enter it, so its latency is "
                    "the gap behind.")
            found.append(Table(f"{name}, alone", headings, rows, note, 2))
            shares = [share for share in packet["busy"].values() if share]
            found.append(Table(
                f"{name}, packets always waiting", ["block", "busy"],
                [[block, f"{100 * share:.0f} %"] for block, share in packet["busy"].items() if share],
                f"{packet['cycles_under_load']} cycles a packet; busy is whoever is not in the state that it rests in, "
                "also when it waits for another.", shares=[[share] for share in shares]))
            continue
        found.append(Table(name, ["state", "what else moves, in cycles", "from cycle", "cycles"], rows,
                           f"States of {packet['block']} from one packet to the next with packets always waiting, "
                           f"{packet['cycles']} cycles a packet; Amaranth's simulator.", 2))
    return found


def _seeds(builds: list[Build]) -> list[Table]:
    rows = []
    for build in builds:
        for run in sorted(build.runs, key=lambda run: run["seed"]):
            ends = [run["source_path"][at]["signal"] for at in (0, -1)]
            rows.append([build.name, str(run["seed"]), f"{run['fmax_mhz']:.1f}", " to ".join(dict.fromkeys(ends))])
        for run in build.unrouted:
            rows.append([build.name, str(run["seed"]), _NOT, reached_text(run["reached"])])
    return [Table("", ["build", "seed", "Fmax MHz", "slowest path"], rows)] if rows else []


def _paths(build: Build) -> list[Table]:
    if not build.runs:
        return []
    run = min(build.runs, key=lambda run: run["fmax_mhz"])
    rows = [[step["signal"], f"{step['logic_ns']:.2f}", f"{step['routing_ns']:.2f}", str(step["cells"])]
            for step in run["source_path"]]
    return [Table(f"{build.name}: {run['fmax_mhz']:.1f} MHz, seed {run['seed']}",
                  ["signal", "logic ns", "routing ns", "cells"], rows)]


def _families(builds: list[Build]) -> list[Table]:
    rows, kinds = [], {}
    for build in builds:
        for one in build.areas:
            kinds |= dict.fromkeys(one["kinds"])
    for build in builds:
        for one in build.areas:
            rows.append([build.name, one["family"], *(f"{one['kinds'][kind]:,}" if kind in one["kinds"] else ""
                                                      for kind in kinds)])
    headings = ["build", "family", *(kind.replace("_", " ") for kind in kinds)]
    return [Table("", headings, rows, "Yosys' cells; no clock rate, since nothing was placed.", 2)] if rows else []


def _speeds(builds: list[Build]) -> list[Table]:
    rows = []
    for build in builds:
        for speed in build.speeds:
            last = list(speed["models"].values())[-1]
            for load, told in (("idle", "idle"), ("frames", speed["packets"])):
                for name, model in speed["models"].items():
                    one, other = model[load], last[load]
                    rate = one["cycles"] / one["cpu_seconds"]
                    rows.append([build.name, name, told, f"{rate:,.0f}", f"{one['cycles'] / one['seconds']:,.0f}",
                                 f"{rate / (other['cycles'] / other['cpu_seconds']):.2f}",
                                 "" if model["build_seconds"] is None else f"{model['build_seconds']:.0f}"])
    headings = ["build", "model", "load", "cycles/s of processor", "cycles/s by the clock", "times", "build, s"]
    return [Table("", headings, rows, "The whole system bench, every frame compared with the golden model's; times as "
                  "fast as the build's last model.", 3)] if rows else []
