# SPDX-License-Identifier: Apache-2.0
"""``nicsec fit``: area and routed Fmax of a whole configuration on ECP5, area on other parts, with the open tools."""

import contextlib
import json
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .. import runner
from ..area import FAMILIES, area
from ..errors import InputError, RunError
from ..fit import DEVICES, PLACERS, ROUTERS, FitError, Options, Unrouted
from ..fit import fit as place_and_route
from ..options import ConfigOption, PresetOption, config_from_flags, with_config_flags
from ..provenance import provenance
from ..routing_log import reached_text
from . import PAUSE, err, out, reserve

__all__ = ["fit"]

_TOP = "nicsec"


@with_config_flags
def fit(
    preset: PresetOption = None,
    config: ConfigOption = None,
    device: Annotated[str, typer.Option(help=f"One of {', '.join(DEVICES)}; 85k is the LFE5U-85F.")] = "85k",
    package: Annotated[str | None, typer.Option(help="Its package; without one the device's largest.")] = None,
    speed: Annotated[int, typer.Option(help="Speed grade: 6, 7 or 8.")] = 8,
    seed: Annotated[list[int], typer.Option("--seed", help="Seed of the placement; may be repeated.")] = (1,),
    freq: Annotated[float, typer.Option(help="Clock in MHz that place and route strives for.")] = 200.0,
    placer: Annotated[str, typer.Option(
        help=f"One of {', '.join(PLACERS)}; static for what fills half of the part or more.")] = "heap",
    router: Annotated[str, typer.Option(
        help=f"One of {', '.join(ROUTERS)}; router2 for what fills half of the part or more.")] = "router1",
    place_rams: Annotated[bool, typer.Option(
        "--place-rams", help="Place the block RAMs ahead of nextpnr: worth it where they are dozens.")] = False,
    reset: Annotated[bool, typer.Option(
        "--reset/--no-reset", help="With port rst, or with the part's global reset and initial values only.")] = True,
    area_of: Annotated[list[str] | None, typer.Option(
        "--area", metavar="FAMILY", help=f"Area only, on {', '.join(FAMILIES)}; may be repeated.")] = None,
    path: Annotated[bool, typer.Option("--path", help="Show the critical path.")] = False,
    blocks: Annotated[bool, typer.Option("--blocks", help="Show the area of each block.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a seed.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write all as JSON.")] = None,
    limit: Annotated[float | None, typer.Option(
        metavar="MINUTES", help="Stop a seed's place and route that takes longer.")] = None,
    keep_going: Annotated[bool, typer.Option(
        "--keep-going", help="Note a seed that could not be routed, and go on to the next.")] = False,
    overrides: dict | None = None,
) -> None:
    """Synthesise, place and route an engine for ECP5 behind shift registers, or count its cells on another family.

    Each seed is kept in build/fit as soon as it is done, and what was synthesised serves all, so a run that was stopped
    goes on where it was. Large configurations take an hour, best in the background with -o: a terminal that is closed
    does not stop them, and without one progress is a line now and then.
    """
    from nicsec.engine import Engine

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # As at Ctrl-C, so that a tool that is at work ends as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    engine = config_from_flags(preset, config, overrides)
    for family in area_of or ():
        if family not in FAMILIES:
            raise InputError(f"--area must be one of {', '.join(FAMILIES)}, not {family!r}")
    try:
        options = {
            "device": device, "package": package, "speed": speed, "freq": freq, "placer": placer, "router": router,
            "place_rams": place_rams,
        }
        runs = [] if area_of else [Options(seed=number, **options) for number in seed]
    except ValueError as error:
        raise InputError(f"--{error}") from None
    if output is not None:
        reserve("-o", output)
    text, plain = (runner.verilog_path(lambda: Engine(engine), _TOP, engine.hash, reset=port).read_text()
                   for port in (reset, True))
    # The hash is that of the same engine in a simulator, which has the port.
    document = {
        **provenance("nicsec-fit", engine, plain.encode()), "reset": reset, "runs": [], "unrouted": [], "areas": [],
    }
    build = Path(runner.cache_root()) / "fit"
    jobs: list[tuple[str, Any]] = [(f"seed {run.seed}", run) for run in runs]
    jobs += [(family, family) for family in area_of or ()]
    for title, job in jobs:
        with _shown(title) as show:
            try:
                if isinstance(job, Options):
                    result = place_and_route(text, _TOP, options=job, build=build, progress=show,
                                             limit=None if limit is None else 60 * limit)
                    document["runs"].append(result)
                else:
                    result = area(text, _TOP, job, build=build, progress=show)
                    document["areas"].append(result)
            except FitError as error:
                if not (keep_going and isinstance(error, Unrouted)):
                    raise RunError(f"{title}: {error}") from None
                result = error.result
                document["unrouted"].append(result)
        if output is not None:
            output.write_text(json.dumps(document, indent=1) + "\n")
        if as_json:
            print(json.dumps(result), flush=True)
    if not as_json:
        _show(document, path, blocks)


@contextlib.contextmanager
def _shown(title: str) -> Iterator[Callable[[str, str], None]]:
    """A function that shows what the tools say: the last line of it on a terminal, else a line a minute."""
    if err.is_terminal:
        with err.status(f"{title}: synthesis") as status:
            yield lambda tool, line: status.update(f"{title}: {tool}: {line[:60]}")
        return
    began = told = time.monotonic()
    last = ""

    def tell(tool: str, line: str) -> None:
        nonlocal told, last
        now = time.monotonic()
        if tool != last or now - told >= PAUSE:
            told, last = now, tool
            text = f"{title}: {now - began:.0f} s: {tool}: {line[:80]}"
            err.print(text, markup=False, highlight=False, soft_wrap=True)

    yield tell


def _show(document: dict[str, Any], path: bool, blocks: bool) -> None:
    if runs := document["runs"]:
        title = f"nicsec on ECP5-{runs[0]['device']}, speed {runs[0]['speed']}"
        if not document["reset"]:
            title += ", without rst"
        table = Table("seed", "LUT4", "FF", "block RAM", "DSP", "Fmax MHz", "critical path", title=title)
        for run in runs:
            table.add_row(
                str(run["seed"]), f"{run['lut4']:,}", f"{run['ff']:,}", str(run["bram"]), str(run["dsp"]),
                f"{run['fmax_mhz']:.1f}", " to ".join(run["source_path"][at]["signal"] for at in (0, -1)),
            )
        if len(runs) > 1:
            table.add_section()
            table.add_row("median", "", "", "", "", f"{statistics.median(run['fmax_mhz'] for run in runs):.1f}", "")
        out.print(table)
        for run in runs if path else ():
            out.print(f"seed {run['seed']}: {run['fmax_mhz']:.1f} MHz", highlight=False)
            for step in run["source_path"]:
                out.print(f"  {step['logic_ns']:6.2f} ns logic {step['routing_ns']:6.2f} routing  {step['signal']}",
                          markup=False, highlight=False)
        if blocks:
            table = Table("block", "LUT4", "FF", "block RAM", "DSP", title="without the blocks inside")
            for name, block in sorted(runs[0]["blocks"].items(), key=lambda item: -item[1]["lut4"]):
                table.add_row(name or "(ports)", *(f"{block[kind]:,}" for kind in ("lut4", "ff", "bram", "dsp")))
            out.print(table)
    for found in document["unrouted"]:
        out.print(f"seed {found['seed']} not routed: {reached_text(found['reached'])}; {found['lut4']:,} LUT4, "
                  f"{found['ff']:,} FF, {found['bram']} block RAM, {found['dsp']} DSP by synthesis", highlight=False,
                  soft_wrap=True)
    for found in document["areas"]:
        told = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in found["kinds"].items())
        out.print(f"{found['family']}: {told} ({found['script']})", highlight=False, soft_wrap=True)
