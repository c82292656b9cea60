# SPDX-License-Identifier: Apache-2.0
"""Joins what ``nicsec bench``, ``nicsec fit`` and ``scripts/waterfall.py`` wrote into the tables of one page.

Where one mode and number of SAs must stand for all, it is transport mode with the most SAs.

Throughput is bits a cycle times the routed Fmax, the median over the seeds. A cell whose parts were not both measured
is not there: without a fit there are bits a cycle, without a bench there is area.
"""

import json
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nicsec.config import PRESETS

from .area import ecp5_luts
from .errors import InputError
from .limits import LINE_RATES, line_bits

__all__ = [
    "Build", "Table", "detailed", "goal", "lane_series", "load", "mixed_sources", "point_key", "shared_points",
    "sizes_of", "sustained", "tables",
]

_KINDS = ("nicsec-bench", "nicsec-fit", "nicsec-cycles", "nicsec-simspeed")
#: Sizes of the tables that would be too long with all.
_FEW = (80, 512, 1518, "imix")
_LONGER = "* The suite's smallest packet is longer than this size, and was measured instead."


@dataclass
class Build:
    """Everything known of one configuration."""

    config: dict[str, Any]
    config_hash: str
    preset: str | None = None
    points: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    areas: list[dict[str, Any]] = field(default_factory=list)
    cycles: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The preset, or the one that is nearest and what differs."""
        if self.preset is not None:
            return self.preset
        presets = {name: json.loads(json.dumps(known.to_dict())) for name, known in PRESETS.items()}
        differing = {name: {key: value for key, value in self.config.items() if known[key] != value}
                     for name, known in presets.items() if set(known) == set(self.config)}
        if not differing:
            return self.config_hash[:8]
        name = min(differing, key=lambda one: len(differing[one]))
        return ", ".join([name, *(f"{key} {_short(value)}" for key, value in differing[name].items())])

    @property
    def fmax(self) -> float | None:
        """Median of the routed Fmax in MHz."""
        return statistics.median(run["fmax_mhz"] for run in self.runs) if self.runs else None

    @property
    def lut4(self) -> int | None:
        """LUT4 of the fit, or of synthesis alone."""
        if self.runs:
            return self.runs[0]["lut4"]
        return next((ecp5_luts(one["kinds"]) for one in self.areas if one["family"] == "ecp5"), None)

    @property
    def shape(self) -> tuple[str, int] | None:
        """Mode and number of SAs that stand for all."""
        shapes = {key[1:3] for key in self.points}
        return max(shapes, key=lambda shape: (shape[0] == "transport", shape[1]), default=None)

    def gbps(self, point: dict[str, Any]) -> float | None:
        """Gb/s of frames, as the engine sees them."""
        return point["bits_per_cycle"] * self.fmax / 1000 if self.fmax is not None else None


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


def _short(value: Any) -> str:
    return ("+".join(value) or "none") if isinstance(value, list) else str(value)


def point_key(point: dict[str, Any]) -> tuple[Any, ...]:
    """What tells the points of a build apart."""
    return point["suite"], point["mode"], point["sas"], point["size"]


def load(paths: Iterable[Path]) -> list[Build]:
    """The builds of all files, by configuration, in the order of the files.

    A later file's points and seeds replace the same ones of an earlier. Raises ``InputError`` that names the file.
    """
    builds: dict[str, Build] = {}
    for path in paths:
        try:
            document = json.loads(path.read_text())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: not JSON: {error}") from None
        if not isinstance(document, dict) or document.get("kind") not in _KINDS:
            raise InputError(f"{path}: kind must be one of {', '.join(_KINDS)}: a file that nicsec bench --json, "
                             "nicsec fit -o or scripts/waterfall.py wrote")
        try:
            _add(builds, document)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: {document['kind']} without {error}") from None
    return list(builds.values())


def _add(builds: dict[str, Build], document: dict[str, Any]) -> None:
    key = document["config_hash"]
    build = builds.setdefault(key, Build(document["config"], key, document["preset"]))
    build.commands.append(document["command"])
    build.sources[document["kind"]] = document["verilog_hash"]
    if document["kind"] == "nicsec-bench":
        build.points |= {point_key(point): point for point in document["points"]}
    elif document["kind"] == "nicsec-cycles":
        build.cycles += document["packets"]
    elif document["kind"] == "nicsec-simspeed":
        build.speeds.append({key: document[key] for key in ("simulator", "packets", "models")})
    else:
        _replace(build.runs, document["runs"], ("device", "speed", "seed"))
        _replace(build.areas, document["areas"], ("family",))


def _replace(known: list[dict[str, Any]], new: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
    for one in new:
        known[:] = [other for other in known if any(other[key] != one[key] for key in keys)]
        known.append(one)
    if len({tuple(one[key] for key in keys[:-1]) for one in known}) > 1:
        raise InputError(f"fits of one configuration must be for one {' and '.join(keys[:-1])}")


def mixed_sources(build: Build) -> bool:
    """Whether bench and fit are of different Verilog, so that their product belongs to no engine."""
    return len({build.sources[kind] for kind in ("nicsec-bench", "nicsec-fit") if kind in build.sources}) > 1


def sustained(gbps: float, frame: float) -> float | None:
    """The fastest Ethernet whose line rate ``gbps`` reaches with frames of ``frame`` bytes, in Gb/s."""
    reached = [rate for rate in LINE_RATES if gbps * 1e9 >= line_bits(rate, frame)]
    return max(reached, default=None)


def goal(build: Build) -> float | None:
    """The Ethernet that a build is held against: the fastest whose line rate any of its points reaches, or 1GbE."""
    if build.fmax is None or not build.points:
        return None
    reached = (sustained(build.gbps(point), point["frame_bytes"]) for point in build.points.values())
    return max((rate for rate in reached if rate), default=LINE_RATES[0])


def sizes_of(points: Iterable[dict[str, Any]]) -> list[Any]:
    """Sizes that occur, the IMIX last."""
    found = dict.fromkeys(point["size"] for point in points)
    return sorted(found, key=lambda size: (size == "imix", size if size != "imix" else 0))


def shared_points(builds: list[Build], sizes: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Keys of points of the first build's shape, of ``sizes``, that all ``builds`` have."""
    return [key for key in builds[0].points if key[1:3] == builds[0].shape and key[3] in sizes
            and all(key in build.points for build in builds)]


def detailed(builds: list[Build]) -> list[Build]:
    """Builds that have tables and plots of their own: all but those that are there for a series of lanes alone."""
    series = [build for group in lane_series(builds) for build in group]
    return [build for build in builds if build.preset is not None or build not in series]


def tables(builds: list[Build]) -> list[tuple[str, list[Table]]]:
    """The page's sections: a heading and its tables; sections without content are left out."""
    shown = detailed(builds)
    sections = [
        ("Builds", _overview(builds)),
        ("Throughput", [table for build in shown for table in _throughput(build)]),
        ("Limits and utilisation", [table for build in shown for table in _limits(build)]),
        ("Latency", [table for build in shown for table in _latency(build)]),
        ("Throughput for area", _density(shown)),
        ("Area by block", [table for build in shown for table in _blocks(build)]),
        ("Lanes", _lanes(builds)),
        ("Where the cycles go", [table for build in builds for table in _waterfall(build)]),
        ("Seeds", _seeds(builds)),
        ("Critical paths", [table for build in shown for table in _paths(build)]),
        ("Other parts, area only", _families(builds)),
        ("Speed of the simulation", _speeds(builds)),
    ]
    return [(title, found) for title, found in sections if found]


def _overview(builds: list[Build]) -> list[Table]:
    rows = []
    for build in builds:
        row = [build.name, build.config_hash[:12], str(build.config["lanes"])]
        if build.runs:
            run, rates = build.runs[0], [run["fmax_mhz"] for run in build.runs]
            spread = f" ({min(rates):.0f} to {max(rates):.0f})" if len(rates) > 1 else ""
            row += [f"ECP5-{run['device']}-{run['speed']}", f"{run['lut4']:,}", f"{run['ff']:,}", str(run["bram"]),
                    str(run["dsp"]), str(len(rates)), f"{build.fmax:.1f}{spread}"]
        else:
            row += [""] * 7
        rows.append(row)
    headings = ["build", "config", "lanes", "part", "LUT4", "FF", "block RAM", "DSP", "seeds", "Fmax MHz, routed"]
    return [Table("", headings, rows, "Fmax is the median of the seeds.")]


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
    if rate is None:
        return found

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
            continue
        for suite in dict.fromkeys(key[0] for key in build.points):
            points = [build.points.get((suite, *build.shape, size)) for size in _FEW]
            if any(points):
                lut4 = build.runs[0]["lut4"]
                rows.append([build.name, suite, *(f"{1000 * build.gbps(point) / lut4:.3f}" if point else ""
                                                  for point in points)])
    return [Table("", ["build", "suite", *map(str, _FEW)], rows, "Gb/s per 1,000 LUT4 of the whole engine.", 2)
            ] if rows else []


def _blocks(build: Build) -> list[Table]:
    if not build.runs:
        return []
    rows = [[name, *(f"{block[kind]:,}" for kind in ("lut4", "ff", "bram", "dsp"))]
            for name, block in grouped_blocks(build.runs[0]["blocks"]).items()]
    return [Table(build.name, ["block", "LUT4", "FF", "block RAM", "DSP"], rows,
                  "Blocks as under m.submodules, with the blocks in them, and * for all that are numbered.")]


def grouped_blocks(blocks: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Area of the blocks two levels below the engine, three in its lanes, largest first.

    What lies deeper is added to them, and blocks that are numbered from 0 up are taken together: ``lane*`` are all
    lanes.
    """
    rows = {parts[n].rstrip("0123456789") for path in blocks for parts in [path.split(".")] for n in range(len(parts))
            if parts[n].endswith("0") and not parts[n][:-1].endswith(tuple("0123456789"))}
    found: dict[str, dict[str, int]] = {}
    for path, block in blocks.items():
        parts = path.split(".")[1:] if path.partition(".")[0] == "core" else []
        depth = 3 if parts[:1] == ["lanes"] else 2
        shown = [re.sub(r"\d+$", "*", part) if part.rstrip("0123456789") in rows else part for part in parts[:depth]]
        name = ".".join(shown) or ("engine itself" if path else "ports")
        into = found.setdefault(name, dict.fromkeys(("lut4", "ff", "bram", "dsp"), 0))
        for kind in into:
            into[kind] += block[kind]
    return dict(sorted(found.items(), key=lambda item: -item[1]["lut4"]))


def lane_series(builds: list[Build]) -> list[list[Build]]:
    """Groups of builds that differ in their number of lanes alone, by that number."""
    groups: dict[str, list[Build]] = {}
    for build in builds:
        same = json.dumps({key: value for key, value in build.config.items() if key != "lanes"}, sort_keys=True)
        groups.setdefault(same, []).append(build)
    return [sorted(group, key=lambda build: build.config["lanes"]) for group in groups.values() if len(group) > 1]


def _lanes(builds: list[Build]) -> list[Table]:
    found = []
    for group in lane_series(builds):
        counts = [build.config["lanes"] for build in group]
        keys = shared_points(group, (80, 1518))
        series = {"LUT4": [build.lut4 for build in group]}
        for key in keys:
            series[f"{key[0]}, {key[3]} bytes"] = [build.points[key]["bits_per_cycle"] for build in group]
        rows = []
        for name, values in series.items():
            form = ",.0f" if name == "LUT4" else ",.2f"
            row = [name]
            for n, value in enumerate(values):
                text = "" if value is None else f"{value:{form}}"
                if n and None not in (value, values[n - 1]):
                    text += f" (+{(value - values[n - 1]) / (counts[n] - counts[n - 1]):{form}})"
                row.append(text)
            if any(row[1:]):
                rows.append(row)
        headings = ["", *(f"{count} lane{'s' * (count > 1)}" for count in counts)]
        found.append(Table(group[0].name, headings, rows,
                           "LUT4 of synthesis, and bits a cycle; in brackets what each lane added since the column "
                           "before."))
    return found


def _waterfall(build: Build) -> list[Table]:
    found = []
    for packet in build.cycles:
        rows = [[step["state"], step["doing"], str(step["start"]), str(step["cycles"])] for step in packet["steps"]]
        name = f"{build.name}: {packet['suite']}, {packet['bytes']} bytes"
        if packet.get("alone"):
            headings = ["what moves", "in how many cycles, if not in all", "from cycle", "cycles"]
            note = (f"One packet through the idle engine, {packet['cycles']} cycles from its first beat to its "
                    "completion; Amaranth's simulator.")
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
