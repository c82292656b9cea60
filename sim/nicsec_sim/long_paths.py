# SPDX-License-Identifier: Apache-2.0
"""The longest paths of an ECP5 netlist ahead of routing.

``python -m nicsec_sim.long_paths build/fit/netlist-*/netlist.json`` shows in a second what place and route of a large
build shows in an hour, as far as depth of logic is to blame: which signals a path runs through, and its length, every
net taken to be as long as any other. Of what nextpnr wrote (``--no-route --write=placed.json``) the cells' places count
instead, and each signal stands with the tiles from there to the next.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .commands import out
from .netlist import driven_by, plain_name, users

__all__ = ["PathEnd", "long_paths"]

#: Delays in ns of speed grade 8 through cells, as nextpnr has them, and of an average net and for each sink more.
_LUT, _CARRY_IN, _CARRY, _SUM, _RAM, _SETUP = 0.2, 0.45, 0.07, 0.4, 0.25, 0.2
_CLOCK_TO = {"TRELLIS_FF": 0.5, "DP16KD": 4.3, "PDPW16KD": 4.3}
_OUTPUT_REGISTER = 0.74
_NET, _SINK, _SINKS = 0.9, 0.02, 40
#: Delay in ns of a net between two places: for each tile, and what it is for none; the first ones count twice.
_TILE, _TILES, _NEAR = 0.076, 6, 5
#: Ports that do not begin or end a path.
_CLOCKS = ("CLK", "CLKA", "CLKB", "WCK")


@dataclass(frozen=True)
class PathEnd:
    """A path's length in ns, the cells that it goes through from first to last, and the cell and port where it ends.

    ``tiles``: in a placed netlist, those from each of the cells to the next and to the end.
    """

    length: float
    cells: tuple[str, ...]
    end: str
    port: str
    tiles: tuple[int, ...] = ()


def _walk(cells: Mapping[str, Any]) -> Iterator[PathEnd]:
    drivers, sinks = driven_by(cells), users(cells)
    places = {
        name: (int(at[1]), int(at[2])) for name, cell in cells.items()
        if (at := re.match(r"X(\d+)/Y(\d+)/", cell.get("attributes", {}).get("NEXTPNR_BEL", "")))
    }

    def steps(bit: int, sink: str) -> tuple[int, int]:
        """Columns and rows from a net's driver to a cell."""
        (x, y), (u, v) = places[drivers[bit][0]], places[sink]
        return abs(x - u), abs(y - v)

    def through_net(bit: int, sink: str) -> float:
        if places:
            return arrivals[bit][0] + _TILE * (_TILES + sum(n + min(n, _NEAR) for n in steps(bit, sink)))
        return arrivals[bit][0] + _NET + _SINK * min(len(sinks[bit]) - 1, _SINKS)

    def sources(name: str, port: str) -> list[tuple[int, float]]:
        """Nets that the output ``port`` of a cell depends on in the same cycle, and the delay from each."""
        cell = cells[name]
        kind = cell["type"]
        if kind in (*_CLOCK_TO, "TRELLIS_RAMW"):
            return []
        # What nextpnr makes of LUTs, carries and RAM says so in its mode.
        kind = {"CCU2": "CCU2C", "DPRAM": "TRELLIS_DPR16X4"}.get(cell["parameters"].get("MODE", ""), kind)
        last = _SUM if kind == "CCU2C" and port[0] in "SF" and port != "FCO" else 0.0
        found = []
        for other, bits in cell["connections"].items():
            into_ram = kind == "TRELLIS_DPR16X4" and other not in ("RAD", *"ABCD")
            if cell["port_directions"].get(other) == "output" or into_ram:
                continue
            carried = other in ("CIN", "FCI")
            delay = {"CCU2C": last + (_CARRY if carried else _CARRY_IN), "TRELLIS_DPR16X4": _RAM}.get(kind, _LUT)
            found += [(bit, delay) for bit in bits if bit in drivers]
        return found

    arrivals: dict[int, tuple[float, int | None]] = {}

    def begin(bit: int) -> float:
        name, port = drivers[bit]
        cell = cells[name]
        if cell["parameters"].get(f"REGMODE_{port[2:3]}") == "OUTREG":
            return _OUTPUT_REGISTER
        # What no clock moves begins no path.
        return _CLOCK_TO.get(cell["type"], -math.inf)

    for root in drivers:
        stack = [root]
        while stack:
            bit = stack[-1]
            if bit in arrivals:
                stack.pop()
                continue
            needed = sources(*drivers[bit])
            if missing := [source for source, _ in needed if source not in arrivals]:
                if len(stack) > len(drivers):
                    raise ValueError(f"a loop of logic goes through {drivers[bit][0]}")
                stack += missing
                continue
            ways = [((arrivals[source][0] if drivers[source][1] in ("COUT", "FCO") else
                      through_net(source, drivers[bit][0])) + delay, source) for source, delay in needed]
            arrivals[bit] = max(ways, default=(begin(bit), None))
            stack.pop()

    for name, cell in cells.items():
        kind = cell["type"]
        if kind not in _CLOCK_TO and kind not in ("TRELLIS_DPR16X4", "TRELLIS_RAMW"):
            continue
        for port, bits in cell["connections"].items():
            inward = cell["port_directions"].get(port) != "output" and port not in _CLOCKS
            if not inward or (kind == "TRELLIS_DPR16X4" and port == "RAD"):
                continue
            for bit in bits:
                if bit in arrivals and arrivals[bit][0] >= 0:
                    way, at = [], bit
                    while at is not None:
                        way.append(at)
                        at = arrivals[at][1]
                    way.reverse()
                    through = [drivers[at][0] for at in way]
                    tiles = tuple(sum(steps(at, to)) for at, to in zip(way, [*through[1:], name], strict=True)
                                  ) if places else ()
                    yield PathEnd(through_net(bit, name) + _SETUP, tuple(through), name, port, tiles)


def long_paths(cells: Mapping[str, Any]) -> list[PathEnd]:
    """One path to each end of ``cells``, a module of Yosys' JSON, the longest first.

    Raises ``ValueError`` on a loop without a register.
    """
    return sorted(_walk(cells), key=lambda path: -path.length)


def _signal(name: str) -> str:
    return re.sub(r"^(core\.)+", "", plain_name(name))


def main(
    netlist: Annotated[Path, typer.Argument(
        metavar="NETLIST.json", exists=True, dir_okay=False,
        help="What `nicsec fit` leaves of synthesis, or nextpnr of placement.",
    )],
    count: Annotated[int, typer.Option(min=1, help="Paths to show, of each kind one.")] = 30,
) -> None:
    """Show the longest paths of a netlist, one for each pair of signals but for numbers in their names."""
    try:
        modules = json.loads(netlist.read_text())["modules"].values()
        paths = long_paths(max((module["cells"] for module in modules), key=len))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise typer.BadParameter(f"{netlist} is no netlist of Yosys: {error}") from None
    bins = Counter(int(path.length) for path in paths)
    out.print("ends by ns: " + ", ".join(f"{at}: {bins[at]:,}" for at in sorted(bins)), highlight=False,
              soft_wrap=True)
    seen: set[tuple[str, ...]] = set()
    for path in paths:
        kind = tuple(re.sub(r"\d+", "", _signal(name)) for name in (path.cells[0], path.end))
        if kind in seen:
            continue
        seen.add(kind)
        if path.tiles:
            way = [f"{_signal(name)} {tiles}" for name, tiles in zip(path.cells, path.tiles, strict=True)]
            way.append(_signal(path.end))
        else:
            way = list(dict.fromkeys(_signal(name) for name in (*path.cells, path.end)))
        out.print(f"{path.length:5.1f} ns, {len(path.cells)} cells: {' > '.join(way)}.{path.port}", highlight=False,
                  markup=False, soft_wrap=True)
        if len(seen) == count:
            break


if __name__ == "__main__":
    typer.run(main)
