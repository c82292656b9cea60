# SPDX-License-Identifier: Apache-2.0
"""What a page of ``nicsec report`` lacks: how far each is, and the make target that gets it."""

from collections.abc import Iterable

from .report import Build, detailed, lane_series
from .routing_log import reached_text

__all__ = ["how_far", "missing"]

#: Where the Makefile keeps figures.
_FILES = "build/report"


def how_far(build: Build) -> str:
    """Of a build without a routed Fmax."""
    if build.unrouted:
        return "; ".join(f"seed {run['seed']}: {reached_text(run['reached'])}" for run in build.unrouted)
    return "synthesised, not placed and routed" if build.ecp5_area else "not synthesised"


def missing(builds: list[Build], presets: Iterable[str] = ()) -> list[list[str]]:
    """Rows of build, what it lacks, how far that is, and the command; ``presets`` may have no build at all."""
    rows = []

    def lacks(name: str, what: str, far: str, *files: str, anew: bool = False) -> None:
        paths = " ".join(f"{_FILES}/{file}.json" for file in files)
        rows.append([name, what, far, f"rm {paths}; make {paths}" if anew else f"make {paths}"])

    for preset in presets:
        if preset not in [build.preset for build in builds]:
            lacks(preset, "all", "not measured", f"bench-{preset}", f"fit-{preset}", f"cycles-{preset}")
    for build in detailed(builds):
        if build.preset is None:
            continue
        if not build.points:
            lacks(build.name, "bits a cycle, latency", "not measured", f"bench-{build.preset}")
        if not build.runs:
            lacks(build.name, "Fmax, Gb/s", how_far(build), f"fit-{build.preset}", anew=bool(build.unrouted))
            if build.ecp5_area is None:
                lacks(build.name, "area alone", "not synthesised", f"area-{build.preset}")
        if not build.cycles:
            lacks(build.name, "where the cycles go", "not measured", f"cycles-{build.preset}")
    for build in (one for group in lane_series(builds) for one in group if one.preset is None):
        lanes = build.config["lanes"]
        if not build.points:
            lacks(build.name, "bits a cycle", "not measured", f"lanes-bench-{lanes}")
        if build.ecp5_area is None:
            lacks(build.name, "area", "not synthesised", f"lanes-area-{lanes}")
    return rows
