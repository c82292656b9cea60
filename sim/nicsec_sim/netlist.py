# SPDX-License-Identifier: Apache-2.0
"""Where in the source a placed cell comes from: area by block, and the critical path in names of blocks and signals.

Yosys names each cell after a wire beside it, and flattening puts the path of instances ahead, which are the names under
``m.submodules``. A cell between two blocks counts for the one whose wire it was named after; the sums are exact.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["block_paths", "blocks", "driven_by", "plain_name", "source_path", "users"]

#: What synthesis and placement append to the name of a wire.
_SUFFIX = re.compile(r"_(TRELLIS_|LUT[1-6]|CCU2C|PFUMX|L6MUX21|DP16KD|PDPW16KD|MULT18X18D|ALU54B).*|\$CCU2_.*")


def plain_name(name: str) -> str:
    """The wire that a cell was named after."""
    return _SUFFIX.sub("", name)


def users(cells: Mapping[str, Mapping[str, Any]]) -> defaultdict[int, list[tuple[str, str]]]:
    """The inputs ``(cell, port)`` that each net goes to; constants are no nets."""
    found: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "output":
                for bit in bits:
                    if isinstance(bit, int):
                        found[bit].append((name, port))
    return found


def driven_by(cells: Mapping[str, Mapping[str, Any]]) -> dict[int, tuple[str, str]]:
    """The output ``(cell, port)`` that each net comes from."""
    return {
        bit: (name, port) for name, cell in cells.items() for port, bits in cell["connections"].items()
        if cell["port_directions"].get(port) == "output" for bit in bits if isinstance(bit, int)
    }


def block_paths(modules: Iterable[str], top: str) -> set[str]:
    """Instance paths below ``top`` out of the names of its modules, which Amaranth makes of the paths."""
    return {name[len(top) + 1 :] for name in modules if name.startswith(f"{top}.")}


def _split(name: str, paths: set[str]) -> tuple[str, str]:
    """``(block, wire)`` of a cell's or net's name without the wrapper's part; the block is empty at the top."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if (path := ".".join(parts[:count])) in paths:
            return path, ".".join(parts[count:])
    return "", name


def blocks(cells: Mapping[str, Mapping[str, Any]], paths: set[str]) -> dict[str, Counter[str]]:
    """Cells by type of each block, not counting those of the blocks in it; the top's own stand under ``""``."""
    found: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        found.setdefault(_split(name, paths)[0], Counter())[cell["type"]] += 1
    return found


def _signal(name: str, net: str | None, paths: set[str], instance: str) -> str | None:
    """Block and signal, ``lane.walker.addr[3]``, that a step of a path belongs to; None without a name of its own."""
    prefix = f"{instance}."
    plain = name.removeprefix(prefix)
    if name.startswith("$"):
        return None
    block, wire = _split(plain, paths)
    wire = plain_name(wire)
    bit = re.search(r"\[\d+\]$", net or "")
    if bit and plain_name((net or "").removeprefix(prefix)) == (net or "").removeprefix(prefix):
        wire += bit[0] if "[" not in wire else ""
    block = block.removeprefix("core").lstrip(".")
    return f"{block}.{wire}" if block else wire


def source_path(steps: Sequence[Mapping[str, Any]], paths: set[str], instance: str = "core") -> list[dict[str, Any]]:
    """A critical path as the signals that it runs through, each with the delay to it in ns.

    ``steps`` are those of `fit`, ``instance`` the name of the core in its wrapper. Steps in a row under one signal (a
    carry chain, the logic in front of a register) are one entry: ``{signal, logic_ns, routing_ns, cells}``.
    """
    found: list[dict[str, Any]] = []
    for step in steps:
        cell = step["to"].rpartition(".")[0]
        name = _signal(cell, None, paths, instance)
        if step["type"] == "clk-to-q":
            # The bit stands in the name of the net that leaves the register.
            net = next((later["net"] for later in steps if later["net"]), None)
            name = _signal(cell, net, paths, instance)
        if not found or (name is not None and name != found[-1]["signal"]):
            found.append({"signal": name or "?", "logic_ns": 0.0, "routing_ns": 0.0, "cells": 0})
        entry = found[-1]
        kind = "routing_ns" if step["type"] == "routing" else "logic_ns"
        entry[kind] = round(entry[kind] + step["delay_ns"], 3)
        entry["cells"] += step["type"] == "logic"
    return found
