# SPDX-License-Identifier: Apache-2.0
"""How far nextpnr came, from its log, for a design that was not routed."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["reached", "reached_text"]

#: What nextpnr's placers and routers say when they begin; before the first it reads and packs.
_STAGES = {
    "Creating initial analytic placement": "placement", "Running Static placer": "placement",
    "Routing..": "routing", "Running router2": "routing",
}
_ESTIMATE = re.compile(r"Max frequency for clock \S+ ([0-9.]+) MHz")
_ARCS = re.compile(r"Routing ([0-9]+) arcs")
#: A line of router1: iterations, arcs routed with and without ripping up, the last batch's, and arcs that are left.
_LEFT = re.compile(r"Info: +[0-9]+ \| +[0-9]+ +[0-9]+ \| +[0-9]+ +[0-9]+ \| +([0-9]+)\|")
#: A line of router2, which routes all arcs at once: wires that more than one of them use.
_SHARED = re.compile(r"Info: +iter=[0-9]+ wires=[0-9]+ overused=([0-9]+)")


def reached(log: str) -> dict[str, Any]:
    """``stage`` (packing, placement, routing), and None where the log has none of it: ``error``, nextpnr's own;
    ``estimate_mhz``, what the placement lets expect; ``arcs`` to route and ``arcs_left``; or router2's
    ``shared_wires``."""
    found: dict[str, Any] = {"stage": "packing", "error": None, "estimate_mhz": None, "arcs": None, "arcs_left": None,
                             "shared_wires": None}
    for line in log.splitlines():
        for text, stage in _STAGES.items():
            if text in line:
                found["stage"] = stage
        if line.startswith("ERROR: "):
            found["error"] = line.removeprefix("ERROR: ")
        if match := _ESTIMATE.search(line):
            found["estimate_mhz"] = float(match[1])
        if match := _ARCS.search(line):
            found["arcs"] = found["arcs_left"] = int(match[1])
        elif match := _LEFT.match(line):
            found["arcs_left"] = int(match[1])
        elif match := _SHARED.match(line):
            found["shared_wires"] = int(match[1])
    return found


def reached_text(values: Mapping[str, Any]) -> str:
    """`reached` in words, to follow a seed's number."""
    text = f"no end of {values['stage']}"
    if values["arcs"]:
        text += f", {values['arcs_left']:,} of {values['arcs']:,} arcs left"
    if values.get("shared_wires"):  # files of before have none
        text += f", {values['shared_wires']:,} wires in use more than once"
    if values["estimate_mhz"] is not None:
        text += f", {values['estimate_mhz']:.0f} MHz by the placement's estimate"
    return text + (f" ({values['error']})" if values["error"] else "")
