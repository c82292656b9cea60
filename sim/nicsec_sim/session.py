# SPDX-License-Identifier: Apache-2.0
"""Sends packets through an engine: the RTL on a simulator, or the golden model in this process."""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, RunError
from .model.sa import Bundle
from .ndis import Miniport, ModelLink, ProtocolError, drive
from .ndis.player import Ledger, Outcome, Packet, play

__all__ = ["SIMS", "Job", "Session", "run"]

SIMS = ("verilator", "icarus", "model")
JOB_VARIABLE = "NICSEC_JOB"

#: Wait between two looks at the results of a running simulation, in seconds.
_POLL = 0.1


@dataclass(frozen=True)
class Session:
    """Outcomes in the order of the packets, what the engine counted, and where the waveform lies, if one was asked.

    ``events`` names SAs and the limits that they reached, in order.
    """

    outcomes: list[Outcome]
    counters: dict[str, int]
    cycles: int
    waveform: Path | None = None
    events: list[tuple[str, str]] = field(default_factory=list)


class Job:
    """The files by which a simulation gets its packets and gives its results back: JSON, one object a line.

    ``job.jsonl`` holds SAs ahead of the packets that name them, ``outcomes.jsonl`` what became of each packet, and
    ``summary.json`` the counters. Keys are in the first, so the directory is its owner's only.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.packets_path = self.directory / "job.jsonl"
        self.outcomes_path = self.directory / "outcomes.jsonl"
        self.summary_path = self.directory / "summary.json"

    def write(self, bundles: Mapping[str, Bundle], packets: Iterable[Packet]) -> int:
        """Write the job and return its number of packets."""
        known: set[str] = set()
        count = 0
        with self.packets_path.open("w") as file:
            for packet in packets:
                for name in {packet.sa1, packet.sa2} - known - {None}:
                    known.add(name)
                    file.write(json.dumps({"sa": name, "bundle": bundles[name].to_json()}) + "\n")
                file.write(json.dumps({**vars(packet), "frame": packet.frame.hex()}) + "\n")
                count += 1
        return count

    def read(self, bundles: dict[str, Bundle]) -> Iterator[Packet]:
        """The packets; each SA is put into ``bundles`` before the first packet that names it."""
        with self.packets_path.open() as file:
            for line in file:
                values = json.loads(line)
                if "sa" in values:
                    bundles[values["sa"]] = Bundle.from_json(values["bundle"])
                else:
                    yield Packet(**{**values, "frame": bytes.fromhex(values["frame"])})

    @staticmethod
    def outcome_line(outcome: Outcome) -> str:
        frame = None if outcome.frame is None else outcome.frame.hex()
        return json.dumps({**vars(outcome), "frame": frame}) + "\n"

    def outcomes(self) -> list[Outcome]:
        """What there is so far."""
        if not self.outcomes_path.exists():
            return []
        return [_outcome(line) for line in self.outcomes_path.read_text().splitlines(keepends=True) if line[-1] == "\n"]


def _outcome(line: str) -> Outcome:
    values = json.loads(line)
    return Outcome(**{**values, "frame": values["frame"] and bytes.fromhex(values["frame"])})


def run(
    config: Any,
    bundles: Mapping[str, Bundle],
    packets: Iterable[Packet],
    *,
    sim: str = "verilator",
    trace: str | Path | None = None,
    traceable: bool = False,
    progress: Callable[[int], None] | None = None,
    seed: int | None = None,
) -> Session:
    """Send ``packets`` through the engine of ``config`` and return what became of them.

    Parameters
    ----------
    config : nicsec.config.Config
    bundles
        SAs by the names that the packets use.
    sim : str
        ``"verilator"``, ``"icarus"`` or ``"model"``.
    trace : path, optional
        Where to put a waveform (VCD); not with the golden model.
    traceable : bool
        Use the simulation model that a waveform needs even without writing one, so that only one need be built.
    progress : function, optional
        Called now and then with the number of packets done.

    Raises
    ------
    RunError
        If the build or the simulation fails or the engine breaks its protocol; ``outcomes`` of the error are those
        of the packets that were complete by then.
    """
    if sim not in SIMS:
        raise InputError(f"--sim must be one of {', '.join(SIMS)}, not {sim!r}")
    if sim == "model":
        return _run_model(config, bundles, packets, progress)
    return _run_rtl(config, bundles, packets, sim, trace, traceable, progress, seed)


def _run_model(config, bundles, packets, progress):
    outcomes = []

    async def body():
        miniport = Miniport(ModelLink.from_config(config))
        await miniport.initialize()
        ledger = Ledger()
        async for outcome in play(miniport, bundles, packets, ledger=ledger):
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes))
        return Session(outcomes, await miniport.counters(), 0, events=ledger.reached())

    try:
        return drive(body())
    except ProtocolError as error:
        failure = RunError(f"the golden model broke the engine's protocol: {error}")
        failure.outcomes = outcomes
        raise failure from None


def _run_rtl(config, bundles, packets, sim, trace, traceable, progress, seed):
    from . import runner

    model = runner.build_engine(config, sim, trace=traceable or trace is not None)
    root = runner.cache_root() / "jobs"
    root.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{sim}-", dir=root))
    try:
        job = Job(directory)
        count = job.write(bundles, packets)
        env = {JOB_VARIABLE: str(directory)}
        try:
            with _follow(job.outcomes_path, progress):
                runner.run(model, "nicsec_sim.bench.session", directory, env=env, trace=trace is not None, seed=seed)
        except RunError as error:
            error.outcomes = job.outcomes()
            raise
        outcomes = job.outcomes()
        if len(outcomes) != count:
            raise RunError(f"the simulation ended after {len(outcomes)} of {count} packets")
        summary = json.loads(job.summary_path.read_text())
        if trace is not None:
            trace = Path(trace)
            trace.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(directory / "dump.vcd", trace)
        events = [(name, limit) for name, limit in summary["events"]]
        return Session(outcomes, summary["counters"], summary["cycles"], trace, events)
    finally:
        if not os.environ.get("NICSEC_KEEP_JOBS"):
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _follow(path: Path, progress: Callable[[int], None] | None) -> Iterator[None]:
    """Report the growing number of lines in ``path`` while the body runs."""
    if progress is None:
        yield
        return
    stop = threading.Event()

    def watch():
        count, offset = 0, 0
        ended = False
        while not ended:
            ended = stop.wait(_POLL)
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                chunk = file.read()
            offset += len(chunk)
            if new := chunk.count(b"\n"):
                count += new
                progress(count)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
