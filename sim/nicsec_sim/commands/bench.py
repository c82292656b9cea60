# SPDX-License-Identifier: Apache-2.0
"""``nicsec bench``: throughput, latency and utilisation in cycles, every frame judged by the golden model."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..errors import InputError
from ..limits import ETHERNET_OVERHEAD
from ..measure import NOTES, Phases, Point, measure
from ..options import ConfigOption, PresetOption, config_from_flags, with_config_flags
from ..provenance import preset_of, provenance
from ..report import Build
from ..workload import MODES, SIZES, Suite, imix_order, suites_of
from . import err, out, progress, reserve, status
from .simspeed import sim_speed

__all__ = ["bench", "suites_from_flags"]

_MANY = 16
_QUICK_SIZES: tuple[int | str, ...] = (80, 1518, "imix")


def suites_from_flags(names: list[str] | None, config: Any) -> list[Suite]:
    """The suites of ``--suite``, or without it those that a build is measured with; raises `InputError`."""
    if not names:
        return suites_of(config)
    found = []
    for name in names:
        try:
            suite = Suite.from_name(name)
        except ValueError as error:
            raise InputError(f"--suite: {error}") from None
        if (missing := suite.missing(config)) is not None:
            raise InputError(f"--suite: {name!r} needs {missing}, which this configuration has not; it has "
                             f"{', '.join(one.name for one in suites_of(config))}")
        found.append(suite)
    return found


def _sizes(texts: list[str] | None, config: Any, quick: bool) -> list[int | str]:
    if not texts:
        chosen = _QUICK_SIZES if quick else (*SIZES, "imix")
        longest = max(SIZES)
        return [size for size in chosen if (longest if size == "imix" else size) <= config.max_frame]
    sizes: list[int | str] = []
    for text in texts:
        if text != "imix" and not (text.isdecimal() and 64 <= int(text) <= config.max_frame):
            raise InputError(f"--size must be imix or 64 to {config.max_frame} bytes, not {text!r}")
        sizes.append(text if text == "imix" else int(text))
    return sizes


def _numbers(sas: list[int] | None, config: Any, quick: bool) -> list[int]:
    for number in sas or ():
        if not 1 <= number <= config.sa_slots:
            raise InputError(f"--sas must be from 1 to {config.sa_slots}, not {number}")
    return sas or [1] if quick else sas or [1, _MANY]


@with_config_flags
def bench(
    preset: PresetOption = None,
    config: ConfigOption = None,
    suite: Annotated[list[str] | None, typer.Option(
        help="As in aes-128-gcm, aes-256-cbc+hmac-sha1-96, ah+hmac-sha1-96; may be repeated.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="Bytes without FCS, or imix; may be repeated.")] = None,
    mode: Annotated[list[str] | None, typer.Option(help="transport or tunnel; may be repeated.")] = None,
    sas: Annotated[list[int] | None, typer.Option(help="SAs that packets take in turn; may be repeated.")] = None,
    packets: Annotated[int, typer.Option(
        min=1, help="Measured packets a point; raised to four times those in flight, whole dozens, a mix twice.")] = 24,
    seed: Annotated[int, typer.Option(help="Keys, payloads and the order in the IMIX.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Simulators side by side; 0: one a processor.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="80, 1518 and IMIX, transport, one SA.")] = False,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures.")] = None,
    speed: Annotated[bool, typer.Option("--sim-speed", help="Measure the simulation itself instead.")] = False,
    overrides: dict | None = None,
) -> None:
    """Send frames through the RTL as fast as its bus takes them and count cycles.

    Every suite of the build with frames of 80 to 1518 bytes (as the engine sees them, without FCS) and the IMIX (80,
    594 and 1518 at 7:4:1, one shuffled dozen again and again), in transport and tunnel mode, with one SA and with 16.
    Sources are always valid and sinks always ready; keys are set up before. A frame that differs from the golden
    model's fails the command.
    """
    from .. import runner

    engine = config_from_flags(preset, config, overrides)
    modes = mode or (["transport"] if quick else list(MODES))
    for one in modes:
        if one not in MODES:
            raise InputError(f"--mode must be {' or '.join(MODES)}, not {one!r}")
    points = [Point(one, shape, length, number) for one in suites_from_flags(suite, engine) for shape in modes
              for number in _numbers(sas, engine, quick) for length in _sizes(size, engine, quick)]
    if as_json is not None:
        reserve("--json", as_json)
    if speed:
        found = sim_speed(engine, seed)
        if as_json is not None:
            as_json.write_text(json.dumps(found, indent=1) + "\n")
        return
    with status("building the simulation model (only the first time)"):
        model = runner.build_engine(engine, "verilator")
    total = sum(Phases.of(engine, packets, point.size).total for point in points)
    with progress(f"{len(points)} points, {total:,} packets", len(points)) as report:
        figures = measure(engine, points, packets, seed=seed, jobs=jobs or os.cpu_count() or 1, progress=report)
    if as_json is not None:
        as_json.write_text(json.dumps(_document(engine, model, seed, figures), indent=1) + "\n")
    build = Build(json.loads(json.dumps(engine.to_dict())), engine.hash, preset_of(engine))
    # A file has room for every column.
    wide = out if out.is_terminal else Console(file=out.file, width=200)
    wide.print(_table(build.name, figures))
    out.print(f"Bytes are without FCS. 10GbE is the clock for 10 Gb/s less {ETHERNET_OVERHEAD} bytes a frame. The "
              "share of the limit follows from blocks and cycles; that of the units' time at work is what the engine "
              "counted itself.", soft_wrap=True)
    for text in miscounts(figures):
        err.print(text, soft_wrap=True)


def miscounts(figures: list[dict[str, Any]]) -> list[str]:
    """Where the engine's counters of its units do not say what the packets' blocks come to."""
    return [
        f"{one['suite']}, {one['mode']}, {one['size']}: the engine counted {unit['unit_cycles']} cycles of {kind}, the "
        f"packets need {unit['needed']}"
        for one in figures for kind, unit in (one["utilisation"] or {"units": {}})["units"].items()
        if unit["unit_cycles"] != unit["needed"]
    ]


def _document(config, model, seed, figures):
    from ..tools import find_verilator

    return {
        **provenance("nicsec-bench", config, model.verilog.read_bytes()),
        "simulator": f"verilator {find_verilator().version}",
        "seed": seed,
        "imix": imix_order(seed),
        "notes": NOTES,
        "points": figures,
    }


def _table(title, figures):
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("suite", "mode"):
        table.add_column(heading, no_wrap=True)
    for heading in ("SAs", "size", "bytes", "bit/\ncycle", "cycles/\npacket", "latency\nmin", "median", "p99", "alone"):
        table.add_column(heading, justify="right")
    table.add_column("limit,\nbit/cycle", no_wrap=True)
    kinds = dict.fromkeys(kind for one in figures for kind in (one["utilisation"] or {"units": {}})["units"])
    for heading in ("reached", *(f"{kind}\nat work" for kind in kinds), "10GbE\nat MHz"):
        table.add_column(heading, justify="right")
    before = None
    for one in figures:
        group = (one["suite"], one["mode"], one["sas"])
        if before not in (None, group):
            table.add_section()
        before = group
        latency, limit = one["latency"], one["limit"]
        table.add_row(
            one["suite"], one["mode"], str(one["sas"]), str(one["size"]), f"{one['frame_bytes']:.0f}",
            f"{one['bits_per_cycle']:.2f}", f"{one['cycles_per_packet']:.1f}",
            *("" if latency[key] is None else f"{latency[key]:.0f}" for key in ("min", "median", "p99", "alone")),
            f"{limit['unit']} {limit['bits_per_cycle']:.1f}", f"{100 * limit['share']:.0f} %",
            *(_percent(one["utilisation"]["units"][kind]["share"]) for kind in kinds),
            f"{one['line_rate_10g']['at_mhz']:.0f}",
        )
    return table


def _percent(share):
    return "" if share is None else f"{100 * share:.0f} %"
