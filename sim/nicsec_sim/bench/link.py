# SPDX-License-Identifier: Apache-2.0
"""Everything at the ports of an engine: clock, reset, registers, frames, descriptors and completions."""

from cocotb.clock import Clock
from cocotb.simtime import get_sim_time
from cocotb.triggers import Timer

from .axil import AxiLite
from .axis import AxisSink, AxisSource

__all__ = ["EngineLink"]

_PERIOD_PS = 4000


class EngineLink:
    """A host and a wire, joined to the ports of an engine.

    ``s_desc`` and ``s_axis`` are sources and ``m_axis`` and ``m_cpl`` sinks; set their ``pause`` for gaps and
    back-pressure. ``axil`` is the register port. Bytes of descriptors and completions are as they lie in memory:
    byte 0 in bits 7:0.
    """

    def __init__(self, dut):
        self.dut = dut
        self._edge = dut.clk.rising_edge
        self._epoch = 0
        self._clock = None
        self.s_desc = AxisSource(dut, "s_desc", dut.clk, self._now, _PERIOD_PS)
        self.s_axis = AxisSource(dut, "s_axis", dut.clk, self._now, _PERIOD_PS)
        self.m_axis = AxisSink(dut, "m_axis", dut.clk, self._now, _PERIOD_PS)
        self.m_cpl = AxisSink(dut, "m_cpl", dut.clk, self._now, _PERIOD_PS)
        self.axil = AxiLite(dut, "s_axil", dut.clk)

    def _now(self):
        return int(get_sim_time("ps") - self._epoch) // _PERIOD_PS

    @property
    def cycle(self):
        """Number of the current clock cycle."""
        return self._now()

    async def start(self):
        """Start the clock, drive every input, reset, and connect."""
        self._clear()
        self.dut.rst.value = 1
        # Nets settle before the first edge, or Icarus sees it while inputs are still Z.
        await Timer(1, "ns")
        if self._clock is None:
            self._epoch = get_sim_time("ps")
            self._clock = Clock(self.dut.clk, _PERIOD_PS, "ps", impl="gpi")
            self._clock.start(start_high=False)
        await self.reset()

    async def reset(self, cycles=4):
        """Reset for some cycles, forget everything queued, and connect again."""
        await self._edge
        for port in (self.s_desc, self.s_axis, self.m_axis, self.m_cpl):
            port.stop()
        self._clear()
        self.dut.rst.value = 1
        await self.wait(cycles)
        self.dut.rst.value = 0
        await self._edge
        for port in (self.s_desc, self.s_axis, self.m_axis, self.m_cpl):
            port.start()

    def _clear(self):
        for port in (self.s_desc, self.s_axis, self.m_axis, self.m_cpl, self.axil):
            port.clear()

    async def wait(self, cycles):
        """Wait for a number of clock edges, at the price of two."""
        if cycles > 1:
            await self._edge
            if cycles > 2:
                await Timer((cycles - 2) * _PERIOD_PS + _PERIOD_PS // 2, "ps")
        if cycles > 0:
            await self._edge

    async def read(self, offset):
        """Read a register."""
        return await self.axil.read(offset)

    async def write(self, offset, value):
        """Write a register."""
        await self.axil.write(offset, value)

    async def send(self, descriptor, frame, error=False, errors=()):
        """Queue a 32-byte descriptor and its frame, and return the `Frame`, which will tell when it was taken.

        ``error`` marks the frame's last beat as bad with ``tuser[0]``; ``errors`` any beats.
        """
        self.s_desc.send(descriptor)
        return self.s_axis.send(frame, {*errors, -1} if error else errors)

    async def completion(self):
        """The next 16-byte completion."""
        return (await self.m_cpl.recv()).data

    async def frame(self):
        """``(bytes, error)`` of the next frame on the wire; ``error`` says that ``tuser[0]`` was set on any beat."""
        frame = await self.m_axis.recv()
        return frame.data, bool(frame.errors)

    @property
    def irq(self):
        """Level of the interrupt line."""
        return bool(self.dut.irq.value)

    def assert_idle(self):
        """Fail unless everything queued was taken and everything that came out was looked at."""
        for source in (self.s_desc, self.s_axis):
            assert source.pending == 0, f"{source.name}: {source.pending} were not taken"
        for sink in (self.m_axis, self.m_cpl):
            assert sink.idle, f"{sink.name}: something is left over"
