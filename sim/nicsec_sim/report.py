# SPDX-License-Identifier: Apache-2.0
"""Joins what ``nicsec bench``, ``nicsec fit`` and ``scripts/waterfall.py`` wrote into the tables of one page.

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

from .errors import InputError
from .limits import LINE_RATES, line_bits

__all__ = ["Build", "Table", "lane_series", "load", "mixed_sources", "point_key", "sustained", "tables"]

_KINDS = ("nicsec-bench", "nicsec-fit", "nicsec-cycles")
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

    def gbps(self, point: dict[str, Any]) -> float | None:
        """Gb/s of frames, as the engine sees them."""
        return point["bits_per_cycle"] * self.fmax / 1000 if self.fmax is not None else None


@dataclass(frozen=True)
class Table:
    """A table of the page: texts only; the first ``left`` columns are set to the left."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    note: str = ""
    left: int = 1


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


def _sizes(points: Iterable[dict[str, Any]]) -> list[Any]:
    found = dict.fromkeys(point["size"] for point in points)
    return sorted(found, key=lambda size: (size == "imix", size if size != "imix" else 0))


def tables(builds: list[Build]) -> list[tuple[str, list[Table]]]:
    """The page's sections: a heading and its tables; sections without content are left out."""
    sections = [
        ("Builds", _overview(builds)),
        ("Throughput", [table for build in builds for table in _throughput(build)]),
        ("Share of the limit", [table for build in builds for table in _limits(build)]),
        ("Latency", [table for build in builds for table in _latency(build)]),
        ("Throughput for area", _density(builds)),
        ("Area by block", [table for build in builds for table in _blocks(build)]),
        ("Lanes", _lanes(builds)),
        ("Where the cycles go", [table for build in builds for table in _waterfall(build)]),
        ("Critical paths", [table for build in builds for table in _paths(build)]),
        ("Other parts, area only", _families(builds)),
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


def _grid(build: Build, title: str, cell: Any, note: str) -> list[Table]:
    """One table a mode and number of SAs: suites by sizes."""
    found = []
    shapes = dict.fromkeys((point["mode"], point["sas"]) for point in build.points.values())
    for mode, sas in shapes:
        points = {key: point for key, point in build.points.items() if key[1:3] == (mode, sas)}
        sizes = _sizes(points.values())
        rows = []
        for suite in dict.fromkeys(key[0] for key in points):
            here = [points.get((suite, mode, sas, size)) for size in sizes]
            rows.append([suite, *(cell(point) if point is not None else "" for point in here)])
        name = f"{build.name}: {title}, {mode} mode, {sas} SA{'s' * (sas > 1)}"
        marked = any(text.endswith("*") for row in rows for text in row[1:])
        told = " ".join(text for text in (note, _LONGER if marked else "") if text)
        found.append(Table(name, ["suite", *map(str, sizes)], rows, told))
    return found


def _bytes(point: dict[str, Any]) -> str:
    """A mark for points whose packets are longer than their nominal size."""
    return "*" if point["size"] != "imix" and point["frame_bytes"] > point["size"] else ""


def _throughput(build: Build) -> list[Table]:
    found = _grid(build, "bits a cycle", lambda point: f"{point['bits_per_cycle']:.2f}{_bytes(point)}", "")
    if build.fmax is None:
        return found

    def rate(point):
        gbps = build.gbps(point)
        reached = sustained(gbps, point["frame_bytes"])
        return f"{gbps:.2f}{f' ({reached:g}G)' if reached else ''}{_bytes(point)}"

    note = (f"Gb/s at {build.fmax:.1f} MHz; in brackets the fastest of 1, 2.5, 10 and 25GbE whose line rate, less 24 "
            "bytes a frame, that is.")
    if mixed_sources(build):
        note += " Bench and fit are of different Verilog."
    return _grid(build, "Gb/s", rate, note) + found


def _limits(build: Build) -> list[Table]:
    def share(point):
        return f"{100 * point['limit']['share']:.0f} % {point['limit']['unit']}"

    return _grid(build, "share of the limit", share,
                 "The unit with most work, and the part of its least cycles in those that passed; derived from the "
                 "packets' blocks, not counted in the engine.")[:1]


def _latency(build: Build) -> list[Table]:
    def times(point):
        latency = point["latency"]
        alone = "" if latency["alone"] is None else f", alone {latency['alone']:.0f}"
        return f"{latency['min']:.0f} / {latency['median']:.0f} / {latency['p99']:.0f}{alone}"

    return _grid(build, "latency in cycles, min / median / p99", times,
                 "First beat in to last beat out under full load; alone: through an idle engine.")[:1]


def _density(builds: list[Build]) -> list[Table]:
    sizes = (80, 594, 1518, "imix")
    rows = []
    for build in builds:
        if build.fmax is None:
            continue
        for suite in dict.fromkeys(key[0] for key in build.points):
            points = [build.points.get((suite, "transport", 1, size)) for size in sizes]
            if any(points):
                lut4 = build.runs[0]["lut4"]
                rows.append([build.name, suite, *(f"{1000 * build.gbps(point) / lut4:.3f}" if point else ""
                                                  for point in points)])
    return [Table("", ["build", "suite", *map(str, sizes)], rows, "Gb/s per 1,000 LUT4, transport mode, one SA.", 2)
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
        keys = [key for key in group[0].points if key[1:3] == ("transport", 1) and key[3] in (80, 1518)
                and all(key in build.points for build in group)]
        rows, before = [], None
        for build in group:
            row = [str(build.config["lanes"])]
            values = [build.runs[0]["lut4"] if build.runs else None,
                      *(build.points[key]["bits_per_cycle"] for key in keys)]
            added = build.config["lanes"] - before[0] if before else 0
            for n, value in enumerate(values):
                text = "" if value is None else f"{value:,.0f}" if n == 0 else f"{value:.2f}"
                if added and value is not None and before[1][n] is not None:
                    text += f" (+{(value - before[1][n]) / added:,.{0 if n == 0 else 2}f})"
                row.append(text)
            before = (build.config["lanes"], values)
            rows.append(row)
        headings = ["lanes", "LUT4", *(f"{key[0]}, {key[3]} bytes" for key in keys)]
        found.append(Table(group[0].name, headings, rows,
                           "Bits a cycle; in brackets what each lane added since the row above."))
    return found


def _waterfall(build: Build) -> list[Table]:
    found = []
    for packet in build.cycles:
        rows = [[step["state"], step["doing"], str(step["start"]), str(step["cycles"])] for step in packet["steps"]]
        found.append(Table(f"{build.name}: {packet['suite']}, {packet['bytes']} bytes",
                           ["state", "what else moves, in cycles", "from cycle", "cycles"], rows,
                           f"States of {packet['block']} from one packet to the next with packets always waiting, "
                           f"{packet['cycles']} cycles a packet; Amaranth's simulator.", 2))
    return found


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
