# SPDX-License-Identifier: Apache-2.0
"""``python -m nicsec_sim.fit``: area and Fmax of one core or one Verilog file."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .fit import CORES, DEVICES, FitError, Options, core_verilog, fit, summary

__all__ = ["main"]

_Seeds = Annotated[list[int], typer.Option("--seed", help="May be repeated.")]
_Device = Annotated[str, typer.Option(help=f"One of {', '.join(DEVICES)}.")]
_Speed = Annotated[int, typer.Option(help="Speed grade.")]
_Freq = Annotated[float, typer.Option(help="Clock to strive for, in MHz.")]
_Wide = Annotated[bool, typer.Option("--widelut", help="Use the multiplexers behind the LUTs.")]
_Places = Annotated[bool, typer.Option("--place-rams", help="Place the block RAMs ahead of nextpnr.")]
_Json = Annotated[bool, typer.Option("--json", help="One object a line.")]
_ShowPath = Annotated[bool, typer.Option("--path", help="Print the critical path.")]
_app = typer.Typer(add_completion=False, no_args_is_help=True)


def _watch(tool: str, line: str) -> None:
    print(f"\r{tool}: {line[:90]:<90}", end="", file=sys.stderr, flush=True)


def _report(text: str, top: str, seeds: list[int], as_json: bool, path: bool, **options: Any) -> None:
    for seed in seeds:
        result = fit(
            text, top, options=Options(seed=seed, **options), progress=_watch if sys.stderr.isatty() else None
        )
        print(json.dumps(result) if as_json else summary(result), flush=True)
        for step in result["critical_path"] if path and not as_json else ():
            print(f"  {step['delay_ns']:6.2f} ns {step['type']:9} {step['net'] or ''} -> {step['to']}")


@_app.command()
def core(
    name: Annotated[str, typer.Argument(help=f"{', '.join(CORES)} or MODULE:CLASS.")],
    parameters: Annotated[list[str] | None, typer.Argument(help="NAME=VALUE for the constructor.")] = None,
    seed: _Seeds = (1,),
    device: _Device = "85k",
    speed: _Speed = 8,
    freq: _Freq = 250.0,
    widelut: _Wide = False,
    place_rams: _Places = False,
    path: _ShowPath = False,
    as_json: _Json = False,
) -> None:
    """Place and route one core behind shift registers."""
    values = {}
    for parameter in parameters or ():
        key, equals, value = parameter.partition("=")
        if not equals:
            raise ValueError(f"PARAMETERS must be NAME=VALUE, not {parameter!r}")
        values[key] = int(value) if value.isdecimal() else value
    text = core_verilog(name, values)
    _report(text, "core", seed, as_json, path, device=device, speed=speed, freq=freq, nowidelut=not widelut,
            place_rams=place_rams)


@_app.command()
def verilog(
    file: Path,
    top: str,
    seed: _Seeds = (1,),
    device: _Device = "85k",
    speed: _Speed = 8,
    freq: _Freq = 250.0,
    widelut: _Wide = False,
    place_rams: _Places = False,
    path: _ShowPath = False,
    as_json: _Json = False,
) -> None:
    """Place and route the module TOP of a Verilog file behind shift registers."""
    text = file.read_text()
    _report(text, top, seed, as_json, path, device=device, speed=speed, freq=freq, nowidelut=not widelut,
            place_rams=place_rams)


def main() -> None:
    """Run the command line; an error is one message and exit status 1."""
    try:
        _app()
    except (FitError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
