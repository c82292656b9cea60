# SPDX-License-Identifier: Apache-2.0
"""``make mix``: random traffic through the RTL, each packet judged byte for byte by the golden model.

``.venv/bin/python tb/mix.py --packets 20000 --seed 1 --preset full``. It stops at the first packet that differs, prints
it as a line for ``nicsec replay``, and exits with 1. The line stands alone; what the packet needed of those before it
comes back with the seed. Several simulators share the packets (``--jobs``, one a processor without): number n of them,
from 0, has seed + n * 2^32 and can be repeated alone with that.
"""

import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated

import typer
from nicsec_sim import runner
from nicsec_sim.commands import err, out, progress
from nicsec_sim.errors import InputError, NicsecError, RunError
from nicsec_sim.ndis import Miniport, ModelLink, drive
from nicsec_sim.ndis.player import Ledger, play
from nicsec_sim.options import ConfigOption, config_from_flags
from nicsec_sim.session import SIMS, _follow
from system.mix_traffic import Mismatch, Traffic

BENCH = "system.mix_bench"


def run_mix(config, packets, seed, *, sim="verilator", report=None, limit=None, stop=None, **options):
    """Send a mix through the engine of ``config`` and return what the bench counted; raises `Mismatch`.

    ``options`` are those of `Traffic`. Once the file ``stop`` is there, the bench ends early and the result is None. On
    ``sim`` ``"model"`` the golden model stands behind the driver too, which tries out driver and traffic without RTL.
    """
    if sim not in SIMS:
        raise InputError(f"--sim must be one of {', '.join(SIMS)}, not {sim!r}")
    if sim == "model":
        return drive(_on_model(ModelLink.from_config(config), config, packets, seed, options))
    model = runner.build_engine(config, sim)
    with tempfile.TemporaryDirectory(prefix="mix-") as name:
        directory = Path(name)
        job = {"config": config.to_dict(), "packets": packets, "seed": seed, "options": options}
        job["stop"] = str(stop or "")
        (directory / "job.json").write_text(json.dumps(job))
        try:
            with _follow(directory / "progress", report):
                runner.run(model, BENCH, directory, env={"NICSEC_MIX": name}, seed=seed & 0xFFFF_FFFF, limit=limit)
        except RunError:
            if (path := directory / "mismatch.json").exists():
                found = json.loads(path.read_text())
                raise Mismatch(found["text"], found["line"]) from None
            raise
        summary = directory / "summary.json"
        return json.loads(summary.read_text()) if summary.exists() or stop is None else None


def run_parts(config, packets, seed, jobs, *, report=None, **options):
    """`run_mix` with the packets dealt to ``jobs`` simulators side by side; the first `Mismatch` stops them all."""
    shares = [packets // jobs + (n < packets % jobs) for n in range(jobs)]
    if (sim := options.get("sim", "verilator")) != "model":
        runner.build_engine(config, sim)  # once, ahead of all that need it
    done = [0] * jobs

    def count(n, value):
        done[n] = value
        if report is not None:
            report(sum(done))

    with tempfile.TemporaryDirectory(prefix="mix-") as name, ThreadPoolExecutor(jobs) as pool:
        stop = Path(name) / "stop"
        parts = [pool.submit(run_mix, config, share, seed + (n << 32), stop=stop,
                             report=lambda value, n=n: count(n, value), **options)
                 for n, share in enumerate(shares) if share]
        try:
            wait(parts, return_when=FIRST_EXCEPTION)
            for n, part in enumerate(parts):
                if part.done() and isinstance(error := part.exception(), Mismatch):
                    again = f"alone: --jobs 1 --seed {seed + (n << 32)} --packets {shares[n]}"
                    raise Mismatch(f"{error} ({again})", error.line) from None
        finally:
            stop.touch()
        found = [part.result() for part in parts]
    total = {name: sum(one[name] for one in found) for name in ("sas", "events", "cycles")}
    counts = {name: sum((Counter(one[name]) for one in found), Counter()) for name in ("statuses", "changes")}
    return total | {name: dict(count) for name, count in counts.items()}


async def _on_model(link, config, packets, seed, options):
    miniport = Miniport(link)
    await miniport.initialize()
    traffic = Traffic(config, seed, **options)
    ledger = Ledger()
    async for outcome in play(miniport, traffic.bundles, traffic.packets(packets), ledger=ledger):
        traffic.judge(outcome)
    traffic.audit(ledger)
    return traffic.summary | {"events": len(ledger.events), "cycles": 0}


def main(
    packets: Annotated[int, typer.Option(min=1, help="How many.")] = 20_000,
    seed: Annotated[int, typer.Option(help="What everything follows from.")] = 1,
    preset: Annotated[str | None, typer.Option(help="Configuration of the engine.")] = None,
    config: ConfigOption = None,
    sim: Annotated[str, typer.Option(help=f"One of {', '.join(SIMS)}.")] = "verilator",
    jobs: Annotated[int, typer.Option(min=0, help="Simulators side by side; 0: one a processor.")] = 0,
) -> None:
    """Send random traffic through the engine and compare each packet with the golden model's."""
    engine = config_from_flags(preset if preset or config else "full", config)
    started = time.monotonic()
    jobs = 1 if sim == "model" else min(packets, jobs or os.cpu_count() or 1)
    told = f"{sim}, {jobs} job{'s' * (jobs > 1)}"
    out.print(f"{packets} packets, seed {seed}, config {engine.hash[:8]}, {told}", highlight=False)
    try:
        with progress(f"mix on {sim}", packets) as report:
            if jobs == 1:
                summary = run_mix(engine, packets, seed, sim=sim, report=report)
            else:
                summary = run_parts(engine, packets, seed, jobs, sim=sim, report=report)
    except Mismatch as mismatch:
        err.print(f"mismatch with seed {seed}: {mismatch}", style="red", markup=False, highlight=False, soft_wrap=True)
        if mismatch.line is not None:
            print(mismatch.line)
        raise typer.Exit(1) from None
    told = ", ".join(f"{count} {status}" for status, count in sorted(summary["statuses"].items(), key=lambda x: -x[1]))
    out.print(f"all equal to the golden model in {time.monotonic() - started:.0f} s: {told}; {summary['sas']} SAs, "
              f"{', '.join(f'{n} {what}s' for what, n in summary['changes'].items())}, {summary['events']} events, "
              f"{summary['cycles']} cycles", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except NicsecError as error:
        print(f"mix: {error}", file=sys.stderr)
        # A worker thread of a killed simulation must not keep the command.
        os._exit(error.exit_code)
