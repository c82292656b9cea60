# SPDX-License-Identifier: Apache-2.0
"""Places for the block RAMs of an ECP5 netlist, so that those near each other in logic are so on the device.

Nextpnr spreads block RAMs over their few rows without regard for each other, and then draws the logic between them.
Where they are many, as in an unrolled AES, that costs a third of the clock; here they are placed ahead of it.
"""

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .netlist import driven_by, users

__all__ = ["RAM_COUNTS", "closeness", "place", "placed", "probe", "sites"]

#: Block RAMs of the devices of each size.
RAM_COUNTS = {"12k": 56, "25k": 56, "45k": 108, "85k": 208}
#: Types of block RAM cells.
_RAMS = ("DP16KD", "PDPW16KD")
#: Nets with more sinks are controls, which are everywhere anyway.
_FANOUT = 64
#: What holds a cell where it is, as a part of what its nets pull with, so that what is far away counts less.
_HOLD = 0.001
#: Steps of the solution, which need no more than a digit or two.
_SOLVING = 120
#: Others that a RAM is kept near to; the rest follows from those.
_NEIGHBOURS = 24
#: Of distances; the longest ones bind.
_POWER = 2
#: Moves a RAM at each temperature, and temperatures.
_MOVES, _STEPS = 300, 80

Place = tuple[int, int, str]


def closeness(cells: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How much each block RAM of ``cells`` has to do with each other one, the same both ways, of those with the most.

    Nets are springs, which pull each two of their cells with 1 over the cells less one, and cells go where the nets
    pull them. What then is between two RAMs, over all ways through the logic, is the conductance of a network of
    resistors in the place of the springs (its Schur complement), which conjugate gradients give for all RAMs at once.
    """
    # Only here, since they come with the extra `synth` and every command imports this module.
    import numpy as np
    from scipy.sparse import csr_array, diags_array

    index = {name: n for n, name in enumerate(cells)}
    rams = np.array([index[name] for name, cell in cells.items() if cell["type"] in _RAMS], dtype=int)
    names = list(cells)
    result: dict[str, dict[str, float]] = {names[ram]: {} for ram in rams}
    pins = []
    drivers = driven_by(cells)
    for bit, ends in users(cells).items():
        of_net = {index[name] for name, _ in [*ends, *([drivers[bit]] if bit in drivers else [])]}
        if 2 <= len(of_net) <= _FANOUT + 1:
            pins.append(sorted(of_net))
    if len(rams) < 2 or not pins:
        return result

    # A net is a node in the middle of its cells.
    sizes = np.array([len(of_net) for of_net in pins])
    cell_of_pin, net_of_pin = np.concatenate(pins), np.repeat(np.arange(len(pins)), sizes)
    incidence = csr_array((np.ones(len(cell_of_pin)), (cell_of_pin, net_of_pin)), shape=(len(names), len(pins)))
    pull = sizes / (sizes - 1)
    logic = np.setdiff1d(np.arange(len(names)), rams)
    at_logic, at_rams = incidence[logic], incidence[rams]
    middle = diags_array(pull / sizes)
    degrees = (at_logic @ pull * (1 + _HOLD))[:, None]
    degrees[degrees == 0] = 1

    def pulled(potentials: Any) -> Any:
        return degrees * potentials - at_logic @ (middle @ (at_logic.T @ potentials))

    into = at_logic @ (middle @ at_rams.T).toarray()
    potentials = into / degrees
    rest = into - pulled(potentials)
    step = rest / degrees
    norm = (rest * step).sum(axis=0)
    for _ in range(_SOLVING):
        answer = pulled(step)
        length = norm / np.maximum((step * answer).sum(axis=0), 1e-30)
        potentials += length * step
        rest -= length * answer
        following = (rest * rest / degrees).sum(axis=0)
        step = rest / degrees + following / np.maximum(norm, 1e-30) * step
        norm = following
    between = (at_rams @ (middle @ at_rams.T)).toarray() + into.T @ potentials
    between = np.maximum(between + between.T, 0) / 2
    np.fill_diagonal(between, 0)
    for n, row in enumerate(between):
        for other in np.argsort(-row, kind="stable")[:_NEIGHBOURS]:
            if row[other] > 0:
                result[names[rams[n]]][names[rams[other]]] = result[names[rams[other]]][names[rams[n]]] = row[other]
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
