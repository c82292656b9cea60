# SPDX-License-Identifier: Apache-2.0
"""Joins what ``nicsec bench``, ``nicsec fit`` and ``scripts/waterfall.py`` wrote, by the configuration that it is of.

Where one mode and number of SAs must stand for all, it is transport mode with the most SAs. Throughput is bits a cycle
times the routed Fmax, the median over the seeds.
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
    "Build", "detailed", "goal", "grouped_blocks", "lane_series", "load", "mixed_sources", "point_key", "shared_points",
    "sizes_of", "sustained",
]

_KINDS = ("nicsec-bench", "nicsec-fit", "nicsec-cycles", "nicsec-simspeed")


@dataclass
class Build:
    """Everything known of one configuration."""

    config: dict[str, Any]
    config_hash: str
    preset: str | None = None
    points: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    unrouted: list[dict[str, Any]] = field(default_factory=list)
    areas: list[dict[str, Any]] = field(default_factory=list)
    cycles: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    #: Whether what was placed and routed has the port rst.
    reset: bool = True

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
    def synthesised(self) -> dict[str, Any] | None:
        """What place and route began with: ``lut4``, ``blocks`` and so on of the first seed, routed or not."""
        return next(iter((*self.runs, *self.unrouted)), None)

    @property
    def ecp5_area(self) -> dict[str, int] | None:
        """``lut4``, ``ff``, ``bram`` and ``dsp`` by synthesis for ECP5, alone or ahead of place and route."""
        kinds = next((one["kinds"] for one in self.areas if one["family"] == "ecp5"), None)
        if kinds is not None:
            return {"lut4": ecp5_luts(kinds), **{kind: kinds[kind] for kind in ("ff", "bram", "dsp")}}
        found = self.synthesised
        return found and {kind: found[kind] for kind in ("lut4", "ff", "bram", "dsp")}

    @property
    def shape(self) -> tuple[str, int] | None:
        """Mode and number of SAs that stand for all."""
        shapes = {key[1:3] for key in self.points}
        return max(shapes, key=_standing, default=None)

    def gbps(self, point: dict[str, Any]) -> float | None:
        """Gb/s of frames, as the engine sees them."""
        return point["bits_per_cycle"] * self.fmax / 1000 if self.fmax is not None else None


def _short(value: Any) -> str:
    return ("+".join(value) or "none") if isinstance(value, list) else str(value)


def point_key(point: dict[str, Any]) -> tuple[Any, ...]:
    """What tells the points of a build apart."""
    return point["suite"], point["mode"], point["sas"], point["size"]


def load(paths: Iterable[Path]) -> list[Build]:
    """The builds of all files, by configuration, in the order of the files.

    A later file's points and seeds replace the same ones of an earlier. An empty file is one that a command at work has
    reserved, and says nothing yet. Raises ``InputError`` that names the file.
    """
    builds: dict[str, Build] = {}
    for path in paths:
        try:
            if not (text := path.read_text()):
                continue
            document = json.loads(text)
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
        keys = ("device", "speed", "seed")
        build.reset = document.get("reset", True)
        _replace(build.runs, document["runs"], keys)
        _replace(build.unrouted, document.get("unrouted", []), keys)
        routed = {tuple(run[key] for key in keys) for run in build.runs}
        build.unrouted = [one for one in build.unrouted if tuple(one[key] for key in keys) not in routed]
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
    """Keys of the points of ``sizes``, of one mode and number of SAs, that all ``builds`` have."""
    keys = [key for key in builds[0].points if key[3] in sizes and all(key in build.points for build in builds)]
    shape = max((key[1:3] for key in keys), key=_standing, default=None)
    return [key for key in keys if key[1:3] == shape]


def _standing(shape: tuple[str, int]) -> tuple[bool, int]:
    """Greatest for the mode and number of SAs that stand for all."""
    return shape[0] == "transport", shape[1]


def detailed(builds: list[Build]) -> list[Build]:
    """Builds that have tables and plots of their own: all but those that are there for a series of lanes alone."""
    series = [build for group in lane_series(builds) for build in group]
    return [build for build in builds if build.preset is not None or build not in series]


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
