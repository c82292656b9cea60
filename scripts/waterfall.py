#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the cycles of one packet go: states of a lane's sequencer, or spans of a pool's blocks, and what else moves.

``.venv/bin/python scripts/waterfall.py --preset tiny --suite aes-128-gcm --size 80 -o cycles.json`` runs the engine on
Amaranth's simulator, which sees inside, with packets always waiting and always room for what comes out; a pool, which
has many packets at work in the same blocks, gets one alone first. Ports cannot tell these times apart, so `nicsec
bench` does not have them; `nicsec report` shows them. The frames that come out are compared with the golden model's.
"""

import contextlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from amaranth.sim import Simulator
from nicsec.engine import Engine
from nicsec_sim import runner
from nicsec_sim.commands import progress, reserve, status
from nicsec_sim.commands.bench import suites_from_flags
from nicsec_sim.errors import NicsecError, RunError
from nicsec_sim.measure import beats_of
from nicsec_sim.ndis.device import Device
from nicsec_sim.ndis.registers import Descriptor
from nicsec_sim.options import ConfigOption, PresetOption, config_from_flags
from nicsec_sim.provenance import provenance
from nicsec_sim.workload import Group, make_point

_PERIOD = 1e-8
#: Packets a lane gets before the one that is shown, and cycles after which an engine counts as hung.
_WARM_UP, _LIMIT = 3, 200_000


class _Link:
    """The register port and time, as a driver sees them, on Amaranth's simulator."""

    def __init__(self, ctx, dut):
        self._ctx, self._bus = ctx, dut.s_axil

    async def start(self):
        await self._ctx.tick()

    async def wait(self, cycles):
        await self._ctx.tick().repeat(cycles)

    async def write(self, offset, value):
        ctx, bus = self._ctx, self._bus
        for port, content in ((bus.awaddr, offset), (bus.wdata, value), (bus.wstrb, 15), (bus.bready, 1)):
            ctx.set(port, content)
        left = {"aw": (bus.awvalid, bus.awready), "w": (bus.wvalid, bus.wready)}
        for valid, _ in left.values():
            ctx.set(valid, 1)
        while left:
            values = await ctx.tick().sample(*(ready for _, ready in left.values()))
            for name, ready in zip(list(left), values[2:], strict=True):
                if ready:
                    ctx.set(left.pop(name)[0], 0)
        await ctx.tick().until(bus.bvalid)

    async def read(self, offset):
        ctx, bus = self._ctx, self._bus
        for port, content in ((bus.araddr, offset), (bus.arvalid, 1), (bus.rready, 1)):
            ctx.set(port, content)
        await ctx.tick().until(bus.arready)
        ctx.set(bus.arvalid, 0)
        (data,) = await ctx.tick().sample(bus.rdata).until(bus.rvalid)
        return data


class _Seen:
    """What `_watch` saw: per cycle whether a beat was taken, a packet completed, a beat there to leave, and the values
    of the watched signals. Their ``names`` are those of blocks, for states, or of a block and a signal."""

    def __init__(self):
        self.signals, self.cycles, self.bytes = {}, [], 0

    @property
    def names(self):
        return list(self.signals)

    def series(self, name):
        """The watched signal cycle by cycle: names of states, or numbers."""
        at, decoder = self.names.index(name), self.signals[name].decoder
        values = [values[at] for *_, values in self.cycles]
        return [decoder(value).partition("/")[0] for value in values] if decoder else values

    def completions(self):
        """Cycles in which a packet was completed."""
        return [n for n, (_, finished, *_) in enumerate(self.cycles) if finished]


def _signals(simulator, wanted):
    """The state of every FSM by its block's path, and the signals ``wanted``, pairs of path and name."""
    # Amaranth has no public way from a design to the names of its signals.
    found = {}
    for info in simulator._design.fragments.values():
        path = ".".join(info.name[1:])
        for signal, name in info.signal_names.items():
            if name == "fsm_state":
                found[path] = signal
            elif (path, name) in wanted:
                found[f"{path} {name}"] = signal
    for path, name in wanted:
        if f"{path} {name}" not in found:
            raise RunError(f"the engine has no signal {name} in {path}: this script no longer fits it")
    return found


def _watch(config, suite, size, batches, wanted=()):
    """Send ``batches`` of packets, each when the one before it is completed; what moved, as :class:`_Seen`."""
    group = Group.make(config, suite, "transport", 1, 1)
    loads = list(make_point(group, size, sum(batches)))
    dut, seen = Engine(config), _Seen()
    seen.bytes = len(loads[0].frame)
    with status("elaborating the engine"):
        simulator = Simulator(dut)
    simulator.add_clock(_PERIOD)
    seen.signals = _signals(simulator, wanted)
    lanes = config.data_width // 8

    async def host(ctx):
        device = Device(_Link(ctx, dut))
        await device.initialize()
        await device.enable()
        handle = await device.add(group.bundles[0])
        ctx.set(dut.m_cpl.tready, 1)
        ctx.set(dut.m_axis.tready, 1)
        for at, count in enumerate(batches):
            begin = sum(batches[:at])
            await send(ctx, handle, loads[begin : begin + count], begin)

    async def send(ctx, handle, loads, before):
        beats = [beat for load in loads for beat in beats_of(load.frame, lanes)]
        descriptors = [int.from_bytes(Descriptor(len(load.frame), handle, cookie=n).pack(), "little")
                       for n, load in enumerate(loads)]
        expected = iter([beat for load in loads for beat in beats_of(load.expected, lanes)])
        bus, desc, wire = dut.s_axis, dut.s_desc, dut.m_axis
        done = 0
        for _ in range(_LIMIT):
            for port, values in ((bus, beats), (desc, descriptors)):
                ctx.set(port.tvalid, bool(values))
                if values and port is bus:
                    for name, value in zip((bus.tdata, bus.tkeep, bus.tlast), values[0], strict=True):
                        ctx.set(name, value)
                elif values:
                    ctx.set(desc.tdata, values[0])
            _, _, taken, told, valid, data, keep, last, finished, *values = await ctx.tick().sample(
                bus.tready, desc.tready, wire.tvalid, wire.tdata, wire.tkeep, wire.tlast, dut.m_cpl.tvalid,
                *seen.signals.values())
            seen.cycles.append((bool(beats and taken), finished, valid, values))
            if beats and taken:
                beats.pop(0)
            if descriptors and told:
                descriptors.pop(0)
            if valid and (data & (1 << 8 * keep.bit_length()) - 1, keep, last) != next(expected):
                raise RunError(f"{suite.name}, {size} bytes: a frame is not the golden model's")
            done += finished
            if finished:
                report(before + done)
            if done == len(loads):
                return
        raise RunError(f"{suite.name}, {size} bytes: no end after {_LIMIT} cycles, {done} packets done")

    simulator.add_testbench(host)
    with progress(f"{suite.name}, packets", len(loads)) as report, contextlib.suppress(StopIteration):
        simulator.run()
    return seen


def trace(config, suite, size):
    """Where the cycles of a packet go; in a pool, of one alone, and what is busy when many are there."""
    return (_trace_pool if config.units == "shared" else _trace_lane)(config, suite, size)


def _trace_lane(config, suite, size):
    """Cycle by cycle, the state of every FSM, from one verdict of the first lane's sequencer to its next."""
    seen = _watch(config, suite, size, [(_WARM_UP + 2) * config.lanes + 2])
    sequencers = sorted(path for path in seen.names if path.rpartition(".")[2] == "sequencer")
    if not sequencers:
        raise RunError("the engine has no block named sequencer with states: this script no longer fits it")
    lane = sequencers[0]
    spoken = seen.series(lane)
    verdicts = [n for n in range(1, len(spoken)) if spoken[n - 1] == "VERDICT" != spoken[n]]
    if len(verdicts) < _WARM_UP + 1:
        raise RunError(f"{lane} gave only {len(verdicts)} verdicts")
    first, last = verdicts[_WARM_UP - 1 : _WARM_UP + 1]
    steps = []
    prefix = lane.rpartition(".")[0]
    others = {path: seen.series(path) for path in seen.names if path.startswith(f"{prefix}.") and path != lane}
    for cycle in range(first, last):
        if not steps or steps[-1]["state"] != spoken[cycle]:
            steps.append({"state": spoken[cycle], "start": cycle - first, "cycles": 0, "doing": Counter()})
        steps[-1]["cycles"] += 1
        for path, states in others.items():
            steps[-1]["doing"][f"{path.removeprefix(prefix + '.')} {states[cycle]}"] += 1
    for step in steps:
        # Blocks that stay where they rest tell nothing.
        busy = [f"{what} {n}" for what, n in step["doing"].most_common() if not what.endswith((" IDLE", " WORDS"))]
        step["doing"] = ", ".join(busy[:6])
    return {"suite": suite.name, "bytes": seen.bytes, "block": lane, "cycles": last - first, "steps": steps}


#: Signals of the pool that tell what FSMs do not, by block, and what they stand for.
_POOL_SIGNALS = {
    ("lanes.start", "keyed"): "key taken", ("lanes.pipe", "aes_issued"): "blocks into AES",
    ("lanes.pipe", "ghash_issued"): "blocks into GHASH",
}
#: One that is there only where units are counted.
_COUNTED_SIGNALS = {("lanes.hashes", "working"): "hash units at work"}
#: Blocks of the control side, which packets do not wait for.
_ASIDE = ("control", "lanes.setup", "lanes.threads")


def _trace_pool(config, suite, size):
    """One packet through the idle pool, span by span; and how busy each block is when packets always wait."""
    wanted = _POOL_SIGNALS | (_COUNTED_SIGNALS if config.utilisation else {})
    # The window under load begins when the pool is full and ends while packets still wait before it.
    seen = _watch(config, suite, size, [1, 3 * config.packets], wanted)
    completed = seen.completions()
    begun = next(n for n, (taken, *_) in enumerate(seen.cycles) if taken)
    end = completed[0] + 1
    rows = {"frame in": [taken for taken, *_ in seen.cycles], "frame out": [valid for *_, valid, _ in seen.cycles]}
    busy = {}
    for name in seen.names:
        values = seen.series(name)
        path, _, signal = name.partition(" ")
        if signal:
            rows[wanted[path, signal]] = values
        elif not path.startswith(_ASIDE):
            # Ahead of the first packet all are at rest, not always in the state that they begin in.
            rest, block = values[0], path.removeprefix("lanes.")
            for state in dict.fromkeys(values):
                if state != rest:
                    rows[f"{block} {state}"] = [value == state for value in values]
            busy[block] = [value != rest for value in values]
    steps = []
    for name, active in rows.items():
        if found := [n for n in range(begun, end) if active[n]]:
            cycles = found[-1] - found[0] + 1
            told = f"{len(found)} of {cycles}" if len(found) < cycles else ""
            steps.append({"state": name, "start": found[0] - begun, "cycles": cycles, "doing": told})
    steps.sort(key=lambda step: (step["start"], step["start"] + step["cycles"]))
    first, last = (completed[n] for n in (config.packets, 2 * config.packets))
    shares = {name: round(sum(active[first:last]) / (last - first), 4) for name, active in busy.items()}
    return {
        "suite": suite.name, "bytes": seen.bytes, "block": "one packet alone", "alone": True, "cycles": end - begun,
        "steps": steps, "cycles_under_load": round((last - first) / config.packets, 2),
        "busy": {name: share for name, share in sorted(shares.items(), key=lambda item: -item[1]) if share},
    }


def main(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.json", help="What nicsec report reads.")],
    preset: PresetOption = None,
    config: ConfigOption = None,
    suite: Annotated[list[str] | None, typer.Option(help="As for nicsec bench; may be repeated.")] = None,
    size: Annotated[int, typer.Option(min=64, help="Bytes of frame without FCS.")] = 80,
) -> None:
    """Count the cycles that a packet spends in each state of its lane, or in each block of the pool."""
    engine = config_from_flags(preset, config)
    reserve("-o", output)
    packets = []
    for chosen in suites_from_flags(suite or ["aes-128-gcm"], engine):
        found = trace(engine, chosen, size)
        packets.append(found)
        print(f"{chosen.name}, {found['bytes']} bytes: {found['cycles']} cycles, {found['block']}")
        for step in found["steps"]:
            print(f"  {step['start']:5} {step['cycles']:5} {step['state']:<12} {step['doing']}")
        if "busy" in found:
            print(f"  with packets always waiting {found['cycles_under_load']} cycles a packet; busy are " + ", ".join(
                f"{name} {100 * share:.0f} %" for name, share in found["busy"].items()))
    verilog = runner.verilog_path(lambda: Engine(engine), "nicsec", engine.hash).read_bytes()
    document = {**provenance("nicsec-cycles", engine, verilog, "scripts/waterfall.py"), "packets": packets}
    output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        typer.run(main)
    except NicsecError as error:
        sys.exit(f"waterfall: {error}")
