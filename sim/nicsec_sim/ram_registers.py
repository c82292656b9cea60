# SPDX-License-Identifier: Apache-2.0
"""Registers behind the block RAMs of an ECP5 netlist become the RAMs' own output registers.

Yosys leaves those out: what comes from the array then takes some 4 ns to the edge of the RAM and has the way to a
flip-flop still before it.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

__all__ = ["fold", "folded"]

#: Widest port of a DP16KD alone; wider ones are made of both.
_WIDTH = 18


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
    flip-flop alone, without enable or reset, on the port's own clock.
    """
    users = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) == "input":
                for bit in bits:
                    users[bit].append((name, port))
    gone: list[str] = []
    for cell in list(cells.values()):
        if cell["type"] != "DP16KD":
            continue
        parameters, nets = cell["parameters"], cell["connections"]
        for side in "AB":
            outputs = [port for n in range(_WIDTH) if users.get(nets.get(port := f"DO{side}{n}", [None])[0])
                       or nets.get(port, [None])[0] in kept]
            registers = {}
            for port in outputs:
                (net,) = nets[port]
                found = users[net]
                if net in kept or len(found) != 1 or found[0][1] != "DI" or not _is_plain(cells[found[0][0]]):
                    break
                registers[port] = found[0][0]
            clock = nets.get(f"CLK{side}")
            if (
                not outputs
                or len(registers) < len(outputs)
                or parameters.get(f"REGMODE_{side}", "NOREG") != "NOREG"
                or int(str(parameters.get(f"DATA_WIDTH_{side}", "0")), 2) > _WIDTH
                or parameters.get(f"CLK{side}MUX", f"CLK{side}") != f"CLK{side}"
                or nets.get(f"OCE{side}") != ["1"]
                or nets.get(f"RST{side}", ["0"]) != ["0"]
                or any(cells[name]["connections"]["CLK"] != clock for name in registers.values())
            ):
                continue
            parameters[f"REGMODE_{side}"] = "OUTREG"
            for port, name in registers.items():
                nets[port] = cells.pop(name)["connections"]["Q"]
                gone.append(name)
    return gone


def folded(netlist: str) -> tuple[str, dict[str, list[str]]]:
    """The netlist with such registers folded, and the names of the flip-flops that are gone by module."""
    document = json.loads(netlist)
    gone = {}
    for name, module in document["modules"].items():
        kept = {bit for port in module["ports"].values() if port["direction"] != "input" for bit in port["bits"]}
        if found := fold(module["cells"], kept):
            gone[name] = found
    return json.dumps(document), gone
