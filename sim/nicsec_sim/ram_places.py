# SPDX-License-Identifier: Apache-2.0
"""Places for the block RAMs of an ECP5 netlist, so that those near each other in logic are so on the device.

Nextpnr spreads block RAMs over their few rows without regard for each other, and then draws the logic between them.
Where they are many, as in an unrolled AES, that costs a third of the clock; here they are placed ahead of it.
"""

import itertools
import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .netlist import users

__all__ = ["RAM_COUNTS", "closeness", "place", "placed", "probe", "sites"]

#: Block RAMs of the devices of each size.
RAM_COUNTS = {"12k": 56, "25k": 56, "45k": 108, "85k": 208}
#: Types of block RAM cells.
_RAMS = ("DP16KD", "PDPW16KD")
#: Cells from RAM to RAM that count, and what of a connection's weight is left behind each.
_DEPTH, _DECAY = 10, 0.7
#: Cells from the RAMs whose outputs meet to where they do.
_MEETING = 3
#: Nets with more sinks are controls, which are everywhere anyway.
_FANOUT = 64
#: Of distances; the longest ones bind.
_POWER = 2
#: Moves a RAM at each temperature, and temperatures.
_MOVES, _STEPS = 300, 80

Place = tuple[int, int, str]


def closeness(cells: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How much each block RAM of ``cells`` has to do with each other one.

    Each output bit of a RAM is a weight of 1, which a net divides among its sinks, and of which each cell passes on a
    part, until it ends at a RAM. A net that ends at several RAMs, such as an address, is divided among all of its sinks
    too, for each two of them; and where outputs of several RAMs meet within a few cells, as those of banks do, the
    smaller part counts for each two, divided among all others that it meets.
    """
    sinks = defaultdict(list, {bit: [name for name, _ in ends] for bit, ends in users(cells).items()})
    driven = {
        name: [bit for port, bits in cell["connections"].items() if cell["port_directions"][port] == "output"
               for bit in bits if isinstance(bit, int)]
        for name, cell in cells.items()
    }
    after = {
        name: [(sink, 1 / len(sinks[bit])) for bit in bits if len(sinks[bit]) <= _FANOUT for sink in sinks[bit]]
        for name, bits in driven.items()
    }
    rams = [name for name, cell in cells.items() if cell["type"] in _RAMS]
    result: dict[str, dict[str, float]] = {name: defaultdict(float) for name in rams}
    met: dict[str, dict[str, float]] = defaultdict(dict)
    for name in rams:
        front = {name: 1.0}
        for depth in range(_DEPTH):
            coming: dict[str, float] = defaultdict(float)
            for cell, weight in front.items():
                for sink, part in after.get(cell, ()):
                    if sink not in result:
                        coming[sink] += _DECAY * weight * part
                    elif sink != name:
                        result[name][sink] += weight * part
                        result[sink][name] += weight * part
            front = coming
            if depth < _MEETING:
                for cell, weight in front.items():
                    met[cell][name] = met[cell].get(name, 0.0) + weight
    for parts in met.values():
        for (one, weight), (other, others) in itertools.combinations(parts.items(), 2):
            result[one][other] += min(weight, others) / (len(parts) - 1)
            result[other][one] += min(weight, others) / (len(parts) - 1)
    for ends in sinks.values():
        shared = [name for name in dict.fromkeys(ends) if name in result]
        if len(ends) <= _FANOUT:
            for one, other in itertools.combinations(shared, 2):
                result[one][other] += 1 / len(ends)
                result[other][one] += 1 / len(ends)
    return result


def place(near: Mapping[str, Mapping[str, float]], places: Sequence[Place], *, seed: int) -> dict[str, str]:
    """A place ``(x, y, name)`` of ``places`` for each RAM of ``near``, by simulated annealing; names by RAM.

    What becomes small is the sum of the squares of the distances between RAMs times their closeness.
    """
    if len(near) > len(places):
        raise ValueError(f"{len(near)} block RAMs do not fit into {len(places)} places")
    draw = random.Random(seed)
    names = list(near)
    index = {name: n for n, name in enumerate(names)}
    links = [[(index[other], weight) for other, weight in near[name].items()] for name in names]
    order = sorted(range(len(places)), key=lambda n: places[n][1::-1])
    at = order[:len(names)]
    holder: list[int | None] = [None] * len(places)
    for n, spot in enumerate(at):
        holder[spot] = n
    far = [[(abs(x - u) + abs(y - v)) ** _POWER for u, v, _ in places] for x, y, _ in places]

    def cost(n: int, spot: int, other: int | None, other_spot: int) -> float:
        """Of RAM ``n`` at ``spot`` while ``other`` is at ``other_spot``."""
        row = far[spot]
        return sum(weight * row[other_spot if to == other else at[to]] for to, weight in links[n])

    def gain(n: int, spot: int) -> float:
        """What it costs to bring RAM ``n`` to ``spot`` and who is there to where it was."""
        old, other = at[n], holder[spot]
        change = cost(n, spot, other, old) - cost(n, old, None, 0)
        if other is not None:
            change += cost(other, old, n, spot) - cost(other, spot, None, 0)
        return change

    if len(names) < 2:
        return {name: places[spot][2] for name, spot in zip(names, at, strict=True)}
    tries = [gain(draw.randrange(len(names)), draw.randrange(len(places))) for _ in range(200)]
    warm = sum(map(abs, tries)) / len(tries) or 1.0
    for step in range(_STEPS):
        temperature = warm * 10 ** (-4 * step / _STEPS)
        for _ in range(_MOVES * len(names)):
            n, spot = draw.randrange(len(names)), draw.randrange(len(places))
            old, other = at[n], holder[spot]
            if spot == old:
                continue
            change = gain(n, spot)
            if change <= 0 or draw.random() < math.exp(-change / temperature):
                at[n], holder[spot], holder[old] = spot, n, other
                if other is not None:
                    at[other] = old
    return {name: places[spot][2] for name, spot in zip(names, at, strict=True)}


def placed(netlist: str, top: str, places: Sequence[Place], *, seed: int) -> str:
    """The netlist with all block RAMs of its module ``top`` constrained to ``places``."""
    document = json.loads(netlist)
    cells = document["modules"][top]["cells"]
    for name, bel in place(closeness(cells), places, seed=seed).items():
        cells[name].setdefault("attributes", {})["BEL"] = bel
    return json.dumps(document)


def probe(count: int) -> str:
    """A netlist of ``count`` block RAMs; where nextpnr puts as many as a device has are its places."""
    cells = {
        f"ram{n}": {
            "hide_name": 0, "type": "DP16KD", "parameters": {}, "attributes": {},
            "port_directions": {"CLKA": "input", "DOA0": "output"}, "connections": {"CLKA": [2], "DOA0": [3 + n]},
        }
        for n in range(count)
    }
    ports = {"clk": {"direction": "input", "bits": [2]}}
    top = {"attributes": {"top": "1"}, "ports": ports, "cells": cells, "netnames": {}}
    return json.dumps({"creator": "nicsec", "modules": {"top": top}})


def sites(written: str) -> list[Place]:
    """Places of the block RAMs in what nextpnr wrote."""
    found = []
    for module in json.loads(written)["modules"].values():
        for cell in module["cells"].values():
            if cell["type"] in _RAMS:
                name = cell["attributes"]["NEXTPNR_BEL"]
                x, y = map(int, re.match(r"X(\d+)/Y(\d+)/", name).groups())
                found.append((x, y, name))
    return sorted(found)
