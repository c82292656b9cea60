# SPDX-License-Identifier: Apache-2.0
"""Keeps an engine as busy as its bus allows and notes when what moved, in the simulator (see ``nicsec_sim.measure``).

Sources are always valid and sinks always ready, and descriptors run ahead of frames as far as the engine takes them:
the bus alone bounds what goes in and out. Beats are made into numbers before the clock counts, only what changes is
written, and ports are read as strings of bits rather than through cocotb's values: a beat costs a few microseconds.
"""

import json
import os
import time
from pathlib import Path

import cocotb
from cocotb.triggers import Event, First, SimTimeoutError, with_timeout

from ..measure import FLOOD_VARIABLE, beats_of, read_job
from ..ndis.device import Device
from ..ndis.registers import SWEEP_CYCLES, Completion, Descriptor
from .link import EngineLink

__all__ = ["Flood"]

#: Simulated time for one packet after which the engine counts as hung: half a million cycles of 4 ns.
_PATIENCE_US = 2000


class Flood(EngineLink):
    """An `EngineLink` whose streams, after `take_over`, belong to `run`."""

    def take_over(self):
        """Stop the transactors of the streams; both sinks are ready from now on."""
        for port in (self.s_desc, self.s_axis, self.m_axis, self.m_cpl):
            port.stop()
            port.clear()
        self.dut.m_axis_tready.value = self.dut.m_cpl_tready.value = 1

    async def _feed(self, prefix, frames, times):
        """Send every frame, a list of ``(data, keep, last)``, and note the cycle of each first beat."""
        dut, edge, now = self.dut, self._edge, self._now
        data, valid, ready = (getattr(dut, f"{prefix}_{name}") for name in ("tdata", "tvalid", "tready"))
        keep, last = (getattr(dut, f"{prefix}_{name}", None) for name in ("tkeep", "tlast"))
        stalled = ready._handle.get_signal_val_long
        rising, driven = ready.rising_edge, None
        valid.value = 1
        for beats in frames:
            first = True
            for value, *ending in beats:
                data.value = value
                if ending != driven and keep is not None:
                    keep.value, last.value = driven = ending
                await edge
                while not stalled():
                    await rising
                    await edge
                if first:
                    times.append(now())
                    first = False
        valid.value = 0

    async def _drain(self, expected, times, done, fault):
        """Take every frame, compare it with the numbers that it must be, and note the cycle of each last beat."""
        dut, edge, now = self.dut, self._edge, self._now
        valid, last = (getattr(dut, f"m_axis_{name}") for name in ("tvalid", "tlast"))
        is_valid, is_last = valid._handle.get_signal_val_long, last._handle.get_signal_val_long
        keep, user = dut.m_axis_tkeep._handle.get_signal_val_long, dut.m_axis_tuser._handle.get_signal_val_long
        data, rising = dut.m_axis_tdata._handle.get_signal_val_binstr, valid.rising_edge
        for number, beats in enumerate(expected):
            for value, *ending in beats:
                await edge
                while not is_valid():
                    await rising
                    await edge
                if [keep(), is_last()] != ending or int(data(), 2) & _mask(ending[0]) != value or user():
                    fault(f"packet {number} is not the golden model's at beat {beats.index((value, *ending))}")
                    return
            times.append(now())
        done.set()

    async def _complete(self, lengths, times, marks, done, fault):
        """Take one completion for each of ``lengths``, in order, and note the cycles; ``marks`` as in `run`."""
        valid, edge, now = self.dut.m_cpl_tvalid, self._edge, self._now
        is_valid, data = valid._handle.get_signal_val_long, self.dut.m_cpl_tdata._handle.get_signal_val_binstr
        for number, length in enumerate(lengths):
            await edge
            while not is_valid():
                await valid.rising_edge
                await edge
            found = Completion.unpack(int(data(), 2).to_bytes(16, "little"))
            if (found.cookie, found.length, found.status) != (number, length, 0):
                fault(f"packet {number} of {length} bytes was completed as packet {found.cookie}, "
                      f"{found.length} bytes, {found.status.text}")
                return
            times.append(now())
            if number in marks:
                marks[number].set()
        done.set()

    async def run(self, packets, marks=()):
        """Send ``packets``, each ``(frame, handle, expected)``, back to back; raises ``AssertionError``.

        ``marks`` are events by number of a packet, set when it is completed. Returns for each packet the cycles of its
        first beat in, its last beat out and its completion.
        """
        descriptors, frames, expected, lengths = [], [], [], []
        for number, (frame, handle, wanted) in enumerate(packets):
            descriptor = Descriptor(len(frame), handle, cookie=number).pack()
            descriptors.append([(int.from_bytes(descriptor, "little"),)])
            frames.append(beats_of(frame, self.s_axis._lanes))
            expected.append(beats_of(wanted, self.s_axis._lanes))
            lengths.append(len(frame))
        faults, times = [], ([], [], [])
        over, left, completed = Event(), Event(), Event()

        def fault(text):
            faults.append(text)
            for event in (left, completed):
                event.set()

        await self._edge
        tasks = [cocotb.start_soon(each) for each in (
            self._feed("s_desc", descriptors, []), self._feed("s_axis", frames, times[0]),
            self._drain(expected, times[1], left, fault),
            self._complete(lengths, times[2], dict(marks), completed, fault))]
        try:
            while not (left.is_set() and completed.is_set()):
                before = tuple(map(len, times))
                over.clear()
                try:
                    await with_timeout((left if not left.is_set() else completed).wait(), _PATIENCE_US, "us")
                except SimTimeoutError:
                    assert tuple(map(len, times)) != before, (
                        f"nothing moved for {_PATIENCE_US} us behind packet {len(times[2])} of {len(packets)}")
        finally:
            for task in tasks:
                task.cancel()
            self.dut.s_axis_tvalid.value = self.dut.s_desc_tvalid.value = 0
        assert not faults, faults[0]
        return list(zip(*times, strict=True))


def _mask(keep):
    return (1 << 8 * keep.bit_length()) - 1


async def _settled(link, device, kinds):
    """Units' counters when all units are at rest."""
    await link.wait(3 * SWEEP_CYCLES)
    return await device.units(kinds)


async def _measure(link, device, kinds, job, handles, results):
    """One packet through the idle engine, then all others back to back."""
    packets = [(frame, handles[sa], expected) for frame, sa, expected in job.packets]
    before = await _settled(link, device, kinds) if kinds else None
    alone = await link.run(packets[:1])
    # The packet alone has been number 0.
    marks = {number - 1: Event() for number in job.window}
    rest = cocotb.start_soon(link.run(packets[1:], marks))
    units = []
    for reached in marks.values() if kinds else ():
        await First(reached.wait(), rest)
        if not rest.done():
            units.append(await device.units(kinds))
    times = alone + await rest
    if kinds:
        after = await _settled(link, device, kinds)
        units.append({kind: (after[kind] - before[kind]) % 2**32 for kind in kinds})
    results.write(json.dumps({"point": job.name, "times": times, "units": units}) + "\n")


@cocotb.test()
async def measure_points(dut):
    """Every point of the job."""
    directory = Path(os.environ[FLOOD_VARIABLE])
    link = Flood(dut)
    device = Device(link)
    await device.initialize()
    await device.enable()
    link.take_over()
    begun, at, spent = time.monotonic(), link.cycle, time.process_time()
    with (directory / "times.jsonl").open("w", buffering=1) as results:
        for bundles, kinds, jobs in read_job(directory):
            handles = [await device.add(bundle) for bundle in bundles]
            for job in jobs:
                if (directory.parent / "stop").exists():
                    return
                try:
                    await _measure(link, device, kinds, job, handles, results)
                except AssertionError as error:
                    (directory / "error").write_text(f"{job.name}: {error}")
                    raise
            for handle in handles:
                await device.delete(handle)
    speed = {"cycles": link.cycle - at, "seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - spent}
    (directory / "speed.json").write_text(json.dumps(speed))
