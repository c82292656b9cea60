#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the cycles of one packet go: states of a lane's sequencer, and what other blocks do meanwhile.

``.venv/bin/python scripts/waterfall.py --preset tiny --suite aes-128-gcm --size 80 -o cycles.json`` runs the engine on
Amaranth's simulator, which sees inside, with packets always waiting and always room for what comes out. Ports cannot
tell these times apart, so `nicsec bench` does not have them; `nicsec report` shows them. The frames that come out are
compared with the golden model's.
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


def _machines(simulator):
    """``{path of the block: (state signal, function to its name)}`` of every FSM in the design."""
    # Amaranth has no public way from a design to the names of its signals.
    found = {}
    for info in simulator._design.fragments.values():
        for signal, name in info.signal_names.items():
            if name == "fsm_state":
                found[".".join(info.name[1:])] = signal
    return found


def _state(signal, value):
    return signal.decoder(value).partition("/")[0]


def trace(config, suite, size):
    """Cycle by cycle, the state of every FSM, from one verdict of the first lane's sequencer to its next."""
    group = Group.make(config, suite, "transport", 1, 1)
    count = (_WARM_UP + 2) * config.lanes + 2
    loads = list(make_point(group, size, count))
    dut = Engine(config)
    simulator = Simulator(dut)
    simulator.add_clock(_PERIOD)
    machines = _machines(simulator)
    sequencers = sorted(path for path in machines if path.rpartition(".")[2] == "sequencer")
    if not sequencers:
        raise RunError("the engine has no block named sequencer with states: this script no longer fits it")
    lane = sequencers[0]
    lanes, history, done = config.data_width // 8, [], []

    async def host(ctx):
        device = Device(_Link(ctx, dut))
        await device.initialize()
        await device.enable()
        handle = await device.add(group.bundles[0])
        ctx.set(dut.m_cpl.tready, 1)
        ctx.set(dut.m_axis.tready, 1)
        beats = [beat for load in loads for beat in beats_of(load.frame, lanes)]
        descriptors = [int.from_bytes(Descriptor(len(load.frame), handle, cookie=n).pack(), "little")
                       for n, load in enumerate(loads)]
        expected = iter([beat for load in loads for beat in beats_of(load.expected, lanes)])
        bus, desc, wire = dut.s_axis, dut.s_desc, dut.m_axis
        ctx.set(bus.tvalid, 1)
        ctx.set(desc.tvalid, 1)
        signals = list(machines.values())
        for _ in range(_LIMIT):
            for port, values in ((bus, beats), (desc, descriptors)):
                ctx.set(port.tvalid, bool(values))
                if values and port is bus:
                    for name, value in zip((bus.tdata, bus.tkeep, bus.tlast), values[0], strict=True):
                        ctx.set(name, value)
                elif values:
                    ctx.set(desc.tdata, values[0])
            _, _, taken, told, valid, data, keep, last, finished, *states = await ctx.tick().sample(
                bus.tready, desc.tready, wire.tvalid, wire.tdata, wire.tkeep, wire.tlast, dut.m_cpl.tvalid, *signals)
            if beats and taken:
                beats.pop(0)
            if descriptors and told:
                descriptors.pop(0)
            if valid and (data & (1 << 8 * keep.bit_length()) - 1, keep, last) != next(expected):
                raise RunError(f"{suite.name}, {size} bytes: a frame is not the golden model's")
            history.append(states)
            done.append(finished)
            if sum(done) == count:
                return
        raise RunError(f"{suite.name}, {size} bytes: no end after {_LIMIT} cycles, {sum(done)} packets done")

    simulator.add_testbench(host)
    with contextlib.suppress(StopIteration):
        simulator.run()
    names = list(machines)
    at = names.index(lane)
    signal = machines[lane]
    spoken = [_state(signal, states[at]) for states in history]
    verdicts = [n for n in range(1, len(spoken)) if spoken[n - 1] == "VERDICT" != spoken[n]]
    if len(verdicts) < _WARM_UP + 1:
        raise RunError(f"{lane} gave only {len(verdicts)} verdicts")
    first, last = verdicts[_WARM_UP - 1 : _WARM_UP + 1]
    steps = []
    prefix = lane.rpartition(".")[0]
    others = [n for n, path in enumerate(names) if path.startswith(f"{prefix}.") and path != lane]
    for cycle in range(first, last):
        if not steps or steps[-1]["state"] != spoken[cycle]:
            steps.append({"state": spoken[cycle], "start": cycle - first, "cycles": 0, "doing": Counter()})
        steps[-1]["cycles"] += 1
        for n in others:
            path = names[n]
            state = _state(machines[path], history[cycle][n])
            steps[-1]["doing"][f"{path.removeprefix(prefix + '.')} {state}"] += 1
    for step in steps:
        # Blocks that stay where they rest tell nothing.
        busy = [f"{what} {n}" for what, n in step["doing"].most_common() if not what.endswith((" IDLE", " WORDS"))]
        step["doing"] = ", ".join(busy[:6])
    return {"suite": suite.name, "bytes": len(loads[0].frame), "block": lane, "cycles": last - first, "steps": steps}


def main(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.json", help="What nicsec report reads.")],
    preset: PresetOption = None,
    config: ConfigOption = None,
    suite: Annotated[list[str] | None, typer.Option(help="As for nicsec bench; may be repeated.")] = None,
    size: Annotated[int, typer.Option(min=64, help="Bytes of frame without FCS.")] = 80,
) -> None:
    """Count the cycles that a packet spends in each state of its lane."""
    engine = config_from_flags(preset, config)
    packets = []
    for chosen in suites_from_flags(suite or ["aes-128-gcm"], engine):
        found = trace(engine, chosen, size)
        packets.append(found)
        print(f"{chosen.name}, {found['bytes']} bytes: {found['cycles']} cycles a packet in {found['block']}")
        for step in found["steps"]:
            print(f"  {step['start']:5} {step['cycles']:5} {step['state']:<12} {step['doing']}")
    verilog = runner.verilog_path(lambda: Engine(engine), "nicsec", engine.hash).read_bytes()
    document = {**provenance("nicsec-cycles", engine, verilog, "scripts/waterfall.py"), "packets": packets}
    output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        typer.run(main)
    except NicsecError as error:
        sys.exit(f"waterfall: {error}")
