# SPDX-License-Identifier: Apache-2.0
"""``nicsec fit``: area and routed Fmax of a whole configuration on ECP5, with the open tools."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .. import runner
from ..errors import InputError, RunError
from ..fit import DEVICES, FitError, Options
from ..fit import fit as place_and_route
from ..options import ConfigOption, PresetOption, config_from_flags
from . import err, out

__all__ = ["fit"]

_TOP = "nicsec"


def fit(
    preset: PresetOption = None,
    config: ConfigOption = None,
    device: Annotated[str, typer.Option(help=f"One of {', '.join(DEVICES)}; 85k is the LFE5U-85F.")] = "85k",
    speed: Annotated[int, typer.Option(help="Speed grade: 6, 7 or 8.")] = 8,
    seed: Annotated[list[int], typer.Option("--seed", help="Seed of the placement; may be repeated.")] = (1,),
    freq: Annotated[float, typer.Option(help="Clock in MHz that place and route strives for.")] = 200.0,
    path: Annotated[bool, typer.Option("--path", help="Show the critical path.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a seed.")] = False,
) -> None:
    """Synthesise, place and route an engine behind shift registers; results are cached in build/fit."""
    from nicsec.engine import Engine

    engine = config_from_flags(preset, config)
    text = runner.verilog_path(lambda: Engine(engine), _TOP, engine.hash).read_text()
    table = Table("seed", "LUT4", "FF", "block RAM", "DSP", "Fmax MHz", title=f"nicsec on ECP5-{device}, speed {speed}")
    for number in seed:
        try:
            options = Options(device=device, speed=speed, seed=number, freq=freq)
        except ValueError as error:
            raise InputError(f"--{error}") from None
        with err.status(f"seed {number}: synthesis") as status:

            def show(tool, line, status=status, number=number):
                status.update(f"seed {number}: {tool}: {line[:60]}")

            try:
                build = Path(runner.cache_root()) / "fit"
                result = place_and_route(text, _TOP, options=options, build=build, progress=show)
            except FitError as error:
                raise RunError(str(error)) from None
        if as_json:
            print(json.dumps(result), flush=True)
            continue
        table.add_row(
            str(number), f"{result['lut4']:,}", f"{result['ff']:,}",
            str(result["bram"]), str(result["dsp"]), f"{result['fmax_mhz']:.1f}",
        )
        for step in result["critical_path"] if path else ():
            err.print(f"{step['delay_ns']:6.2f} ns {step['type']:9} {step['net'] or ''} -> {step['to']}", markup=False)
    if not as_json:
        out.print(table)
