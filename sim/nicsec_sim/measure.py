# SPDX-License-Identifier: Apache-2.0
"""Measures an engine's throughput and latency in cycles, with every frame compared with the golden model's.

The parent process makes frames and what must become of them, simulators (``bench.flood``) send them, note times and
read the engine's counters of its units' work, and the parent makes figures of both. Nothing here depends on the host's
speed.
"""

import concurrent.futures
import json
import math
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nicsec.activity import units_of

from .errors import RunError
from .limits import ETHERNET_OVERHEAD, bounds, line_bits, unit_cycles
from .model.sa import Bundle
from .workload import IMIX, Group, Suite, make_point

__all__ = ["FLOOD_VARIABLE", "Job", "Phases", "Point", "beats_of", "in_flight", "measure", "read_job"]

FLOOD_VARIABLE = "NICSEC_FLOOD"
#: Seconds between two looks at how far the simulators are.
_POLL = 1.0


@dataclass(frozen=True)
class Point:
    """What one figure is measured of: ``size`` in bytes or ``"imix"``, with ``sas`` SAs in turn."""

    suite: Suite
    mode: str
    size: int | str
    sas: int

    @property
    def name(self) -> str:
        size = self.size if self.size == "imix" else f"{self.size} bytes"
        return f"{self.suite.name}, {self.mode}, {size}, {self.sas} SA{'s' * (self.sas > 1)}"


def in_flight(config: Any, size: int | str) -> int:
    """Packets of ``size`` that an engine has between their descriptors and their completions, at most."""
    if config.units == "private":
        return 2 * config.lanes
    sizes = {size: 1} if size != "imix" else IMIX
    lines = sum(-(-(int(each) + 2) // 16) * count for each, count in sizes.items()) / sum(sizes.values())
    return min(config.packets, max(1, int(config.ring_lines / lines)))


@dataclass(frozen=True)
class Phases:
    """Packets of a point: one alone, ``fill`` until the engine is full, ``count`` measured ones, ``fill`` behind."""

    count: int
    fill: int

    @classmethod
    def of(cls, config: Any, packets: int, size: int | str) -> "Phases":
        """At least ``packets`` measured ones, and four times those in flight; whole dozens, and as many for each lane.

        A mix, whose edges depend on what stands there, is measured twice as long.
        """
        flight = in_flight(config, size)
        step = math.lcm(sum(IMIX.values()), config.lanes if config.units == "private" else 1)
        count = -(-max(packets, 4 * flight) // step) * step
        return cls(2 * count if size == "imix" else count, 4 + 3 * flight // 2)

    @property
    def total(self) -> int:
        return 1 + self.fill + self.count + self.fill

    @property
    def window(self) -> tuple[int, int]:
        """Numbers of the packets between whose completions is measured; the one alone is number 0."""
        return self.fill, self.fill + self.count


def beats_of(data: bytes, lanes: int) -> list[tuple[int, int, int]]:
    """``(tdata, tkeep, tlast)`` of each beat of a frame on a stream of ``lanes`` bytes."""
    full, beats = (1 << lanes) - 1, []
    for at in range(0, len(data), lanes):
        part = data[at : at + lanes]
        beats.append((int.from_bytes(part, "little"), full >> (lanes - len(part)), int(at + lanes >= len(data))))
    return beats


@dataclass(frozen=True)
class Job:
    """A point for a simulator: its packets as ``(frame, number of the SA, expected frame)``, the first of them alone,
    and ``window`` as in `Phases`."""

    name: str
    window: tuple[int, int]
    packets: list[tuple[bytes, int, bytes]]


def read_job(directory: Path) -> Iterator[tuple[list[Bundle], list[str], list[Job]]]:
    """Groups of points: their SAs, the kinds of units that the engine counts, and the points."""
    with (directory / "job.jsonl").open() as file:
        for line in file:
            values = json.loads(line)
            points = [Job(name, tuple(window), [(bytes.fromhex(frame), sa, bytes.fromhex(wanted))
                                                for frame, sa, wanted in loads])
                      for name, window, loads in values["points"]]
            yield [Bundle.from_json(bundle) for bundle in values["bundles"]], values["kinds"], points


def measure(
    config: Any,
    points: Iterable[Point],
    packets: int,
    *,
    seed: int = 1,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
    model: Any = None,
    speeds: list[dict[str, float]] | None = None,
) -> list[dict[str, Any]]:
    """Figures of each point, in the order given; see `_figures` for what they are. ``packets`` is as in `Phases.of`.

    ``jobs`` simulators run side by side; which point runs in which changes no figure. ``progress`` is called with the
    number of points done. ``model`` is a simulation model of the engine other than the usual one; ``speeds`` gets, for
    each simulator, its ``cycles``, ``seconds`` and ``cpu_seconds`` while frames moved.

    Raises
    ------
    RunError
        If a frame, status or length differs from the golden model's, the engine hangs, or the simulation fails.
    """
    from . import runner

    points = list(points)
    model = model or runner.build_engine(config, "verilator")
    groups: dict[tuple[Suite, str, int], list[Point]] = {}
    for point in points:
        groups.setdefault((point.suite, point.mode, point.sas), []).append(point)
    root = runner.cache_root() / "jobs"
    root.mkdir(parents=True, exist_ok=True)
    # It holds keys, so it is its owner's only, and goes in any case.
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=root))
    jobs = max(1, min(jobs, len(groups)))
    try:
        parts = [directory / str(n) for n in range(jobs)]
        sizes: dict[str, list[tuple[int, Mapping[str, int]]]] = {}
        files = []
        for part in parts:
            part.mkdir()
            files.append((part / "job.jsonl").open("w"))
        # Groups cost alike but for their suite, so neighbours go to different simulators.
        for n, (key, members) in enumerate(groups.items()):
            group = Group.make(config, key[0], key[1], key[2], seed)
            _write_group(files[n % jobs], config, group, members, packets, sizes)
        for file in files:
            file.close()
        times = _simulate(model, directory, parts, seed, progress)
        if speeds is not None:
            speeds += [json.loads((part / "speed.json").read_text()) for part in parts]
        return [_figures(config, point, Phases.of(config, packets, point.size), sizes[point.name], times[point.name])
                for point in points]
    finally:
        if not os.environ.get("NICSEC_KEEP_JOBS"):
            shutil.rmtree(directory, ignore_errors=True)


def _write_group(file, config, group, members, packets, sizes):
    """Write a group's line; ``sizes`` gets length and work of each frame, all that is needed of it later."""
    kinds = list(units_of(config)) if config.utilisation else []
    values = {"bundles": [bundle.to_json() for bundle in group.bundles], "kinds": kinds, "points": []}
    for point in members:
        phases = Phases.of(config, packets, point.size)
        made = list(make_point(group, point.size, phases.total))
        sizes[point.name] = [(len(one.frame), one.work) for one in made]
        loads = [(one.frame.hex(), one.sa, one.expected.hex()) for one in made]
        values["points"].append((point.name, phases.window, loads))
    file.write(json.dumps(values) + "\n")


def _simulate(model, directory, parts, seed, progress):
    """What the simulators, one for each of ``parts``, say of each point, by name."""
    from . import runner

    def one(part):
        try:
            runner.run(model, "nicsec_sim.bench.flood", part, env={FLOOD_VARIABLE: str(part)}, seed=seed)
        except RunError as error:
            (directory / "stop").touch()
            if (part / "error").exists():
                raise RunError((part / "error").read_text()) from None
            raise error

    def lines():
        for part in parts:
            if (path := part / "times.jsonl").exists():
                yield from (line for line in path.read_text().splitlines(keepends=True) if line[-1] == "\n")

    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        running = {pool.submit(one, part) for part in parts}
        try:
            while running:
                done, running = concurrent.futures.wait(running, timeout=_POLL)
                for future in done:
                    future.result()
                if progress is not None:
                    progress(sum(1 for _ in lines()))
        except BaseException:
            (directory / "stop").touch()
            raise
    return {values["point"]: values for values in map(json.loads, lines())}


def _figures(config, point, phases, sizes, seen):
    """The figures of a point; cycles count from one completion to another, bits are those of whole frames."""
    first, last = phases.window
    times = seen["times"]
    measured = slice(first + 1, last + 1)
    lengths, works = zip(*sizes[measured], strict=True)
    cycles = times[last][2] - times[first][2]
    bits = 8 * sum(lengths)
    per_packet = cycles / phases.count
    latencies = sorted(out - accepted for accepted, out, _ in times[measured])
    limits = bounds(config, works, lengths)
    units = {
        limit.unit: {
            "count": limit.count,
            "pipelined": limit.pipelined,
            "blocks_per_packet": round(limit.blocks, 3),
            "limit_bits_per_cycle": round(limit.bits_per_cycle, 4),
            "share_of_limit": round(limit.share(per_packet), 4),
        }
        for limit in limits
    }
    binding = max(limits, key=lambda limit: limit.cycles / limit.count)
    frame = sum(lengths) / len(lengths)
    alone = times[0][1] - times[0][0]
    return {
        "suite": point.suite.name,
        "mode": point.mode,
        "size": point.size,
        "sas": point.sas,
        "packets": phases.count,
        "warm_up": first + 1,
        "frame_bytes": round(frame, 3),
        "frame_bytes_min": min(lengths),
        "frame_bytes_max": max(lengths),
        "cycles": cycles,
        "bits_per_cycle": round(bits / cycles, 5),
        "packets_per_cycle": round(phases.count / cycles, 8),
        "cycles_per_packet": round(per_packet, 3),
        "latency": {
            "min": latencies[0],
            "median": statistics.median(latencies),
            "p99": latencies[math.ceil(0.99 * len(latencies)) - 1],
            "max": latencies[-1],
            # A mix has no packet of its own size.
            "alone": alone if point.size != "imix" else None,
        },
        # From known work and counted cycles, not from counters in the engine.
        "units_derived": units,
        "utilisation": _utilisation(config, seen, [work for _, work in sizes]),
        "limit": {
            "unit": binding.unit,
            "bits_per_cycle": round(bits / phases.count * binding.count / binding.cycles, 4),
            "share": round(binding.share(per_packet), 4),
        },
        "line_rate_10g": {
            "bits_per_second": round(line_bits(10, frame)),
            "at_mhz": round(line_bits(10, frame) / (bits / cycles) / 1e6, 2),
        },
    }


def _utilisation(config, seen, works):
    """By kind of unit, what the engine itself counted: in the window, and for all packets beside what those need."""
    if not seen["units"]:
        return None
    before, after, work = seen["units"]
    passed = {name: (after[name] - before[name]) % 2**32 for name in after}
    cycles, needed = passed.pop("cycles"), unit_cycles(config, works)
    return {
        "cycles": cycles,
        "units": {
            kind: {
                "count": count,
                "share": round(passed[kind] / (count * cycles), 4) if cycles else None,
                "unit_cycles": work[kind],
                "needed": needed[kind],
            }
            for kind, count in units_of(config).items()
        },
    }


#: What the figures count and what they do not, for whoever reads the JSON alone.
NOTES = {
    "frame": "bytes from destination address to payload end as the engine sees them, without preamble and FCS",
    "size": "nominal; frame_bytes is what was sent (a suite whose smallest packet is longer is measured with that)",
    "line_rate": f"10 Gb/s less {ETHERNET_OVERHEAD} bytes a frame: preamble 8, FCS 4, gap 12",
    "cycles": "from the completion of the last warm-up packet to that of the last measured one, engine full throughout",
    "latency": "cycles from a frame's first beat in to its last beat out; alone: one packet through an idle engine",
    "units_derived": "unit-cycles that the packets' blocks need at least, over unit-cycles that passed",
    "utilisation": "counted in the engine: share of unit-cycles with work, over cycles of the measured ones; "
                   "unit_cycles: of all packets of the point, warm-up too; needed: what those packets' blocks come to",
}
