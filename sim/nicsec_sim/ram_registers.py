# SPDX-License-Identifier: Apache-2.0
"""Registers behind the block RAMs of an ECP5 netlist become the RAMs' own output registers.

Yosys leaves those out: what comes from the array then takes some 4 ns to the edge of the RAM and has the way to a
flip-flop still before it.
"""

from collections.abc import Mapping
from typing import Any

from .netlist import users

__all__ = ["fold", "folded"]

#: Widest port of a DP16KD alone. Wider ones are made of both: A then writes, and B reads on the outputs of both.
_WIDTH = 18
#: LUTs in a row that may follow on a RAM's own register, which stands where the RAM does. With more to do in the cycle
#: behind it, one that may stand halfway is worth more.
_DEPTH = 2
#: What is as slow as many LUTs.
_CARRIES = ("CCU2C", "PFUMX", "L6MUX21")


def _is_plain(cell: Mapping[str, Any]) -> bool:
    """Whether ``cell`` is a flip-flop that loads in every cycle, so that what it starts with is gone with the first."""
    parameters, connections = cell["parameters"], cell["connections"]
    return (
        cell["type"] == "TRELLIS_FF"
        and parameters.get("CEMUX", "CE").strip() == "1"
        and parameters.get("CLKMUX", "CLK").strip() == "CLK"
        and connections.get("LSR", ["0"]) == ["0"]
        and "M" not in connections
    )


def fold(cells: dict[str, Any], kept: set[int]) -> list[str]:
    """Take flip-flops out of ``cells`` and into RAMs; their names. Nets in ``kept`` have users elsewhere.

    A port of a DP16KD gives its register for all of its outputs or for none: each output that is used must go to one
    flip-flop alone, without enable or reset, on the port's own clock, with little logic behind it. A memory that is 36
    bits wide has one port to read, with the registers of both and the clock and enables of B, as nextpnr makes it of a
    PDPW16KD.
    """
    used = users(cells)

    def is_deep(net: int, below: int) -> bool:
        """Whether more than ``below`` LUTs in a row follow on ``net``."""
        for name, _ in used[net]:
            kind = cells[name]["type"]
            if kind in _CARRIES:
                return True
            if kind == "LUT4" and (not below or is_deep(cells[name]["connections"]["Z"][0], below - 1)):
                return True
        return False

    gone: list[str] = []
    for cell in list(cells.values()):
        if cell["type"] != "DP16KD":
            continue
        parameters, nets = cell["parameters"], cell["connections"]
        wide = all(int(str(parameters.get(f"DATA_WIDTH_{side}", "0")), 2) > _WIDTH for side in "AB")
        for sides in ("AB",) if wide else ("A", "B"):
            side = sides[-1]
            outputs = [port for half in sides for n in range(_WIDTH)
                       if used.get(nets.get(port := f"DO{half}{n}", [None])[0]) or nets.get(port, [None])[0] in kept]
            registers = {}
            for port in outputs:
                (net,) = nets[port]
                found = used[net]
                if net in kept or len(found) != 1 or found[0][1] != "DI" or not _is_plain(cells[found[0][0]]):
                    break
                registers[port] = found[0][0]
            clock = nets.get(f"CLK{side}")
            if (
                not outputs
                or len(registers) < len(outputs)
                or any(parameters.get(f"REGMODE_{half}", "NOREG") != "NOREG" for half in sides)
                or (not wide and int(str(parameters.get(f"DATA_WIDTH_{side}", "0")), 2) > _WIDTH)
                or parameters.get(f"CLK{side}MUX", f"CLK{side}") != f"CLK{side}"
                or nets.get(f"OCE{side}") != ["1"]
                or nets.get(f"RST{side}", ["0"]) != ["0"]
                or any(cells[name]["connections"]["CLK"] != clock for name in registers.values())
                or any(is_deep(cells[name]["connections"]["Q"][0], _DEPTH) for name in registers.values())
            ):
                continue
            for half in sides:
                parameters[f"REGMODE_{half}"] = "OUTREG"
                nets[f"OCE{half}"] = ["1"]
            for port, name in registers.items():
                nets[port] = cells.pop(name)["connections"]["Q"]
                gone.append(name)
    return gone


def folded(modules: Mapping[str, Any]) -> dict[str, list[str]]:
    """Fold such registers in all ``modules`` of a netlist; the names of the flip-flops that are gone by module."""
    gone = {}
    for name, module in modules.items():
        kept = {bit for port in module["ports"].values() if port["direction"] != "input" for bit in port["bits"]}
        if found := fold(module["cells"], kept):
            gone[name] = found
    return gone
