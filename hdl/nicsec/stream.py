# SPDX-License-Identifier: Apache-2.0
"""Payloads of the frame and word streams, and the registers that streams pass through.

The rules are those of :mod:`amaranth.lib.stream`: a transfer happens when valid and ready are both
high; once valid, a payload is held; valid does not wait for ready.
"""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxisSignature", "BeatLayout", "FrameWord", "Register", "SkidBuffer"]


class AxisSignature(wiring.Signature):
    """AXI4-Stream with contiguous ``tkeep`` and ``tuser[0]`` = frame error.

    Parameters
    ----------
    width : int
        Bits of ``tdata``.
    frame : bool
        Whether ``tkeep``, ``tlast`` and ``tuser`` exist; descriptors and completions are single beats.
    """

    def __init__(self, width, *, frame=True):
        members = {"tdata": Out(width)}
        if frame:
            members |= {"tkeep": Out(width // 8), "tlast": Out(1), "tuser": Out(1)}
        super().__init__(members | {"tvalid": Out(1), "tready": In(1)})


class BeatLayout(data.StructLayout):
    """One beat of a frame. Byte 0 is in ``data[7:0]``; ``keep`` is contiguous and full but on ``last``."""

    def __init__(self, width):
        super().__init__({"data": width, "keep": width // 8, "last": 1, "error": 1})


class FrameWord(data.Struct):
    """Four bytes of a frame that was moved two bytes late, in network order (first byte in 31:24).

    ``size`` is the number of bytes held modulo four, and counts only on ``last``; the two bytes of
    padding ahead of the frame count as bytes. ``error`` is meaningful on ``last``.
    """

    data: 32
    size: 2
    last: 1
    error: 1


class SkidBuffer(wiring.Component):
    """A two-entry buffer that registers payload, valid and ready. One transfer per cycle, latency 1."""

    def __init__(self, shape):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()

        spare = Signal(self._shape, reset_less=True)
        full = Signal()
        valid = Signal()
        held = Signal(self._shape, reset_less=True)
        stall = Signal()
        m.d.comb += [
            self.o.valid.eq(valid),
            self.o.payload.eq(held),
            self.i.ready.eq(~full),
            stall.eq(valid & ~self.o.ready),
        ]

        # An accepted payload that finds the output stalled is parked in the spare entry.
        with m.If(~full):
            m.d.sync += spare.eq(self.i.payload)
        with m.If(stall):
            with m.If(self.i.valid & ~full):
                m.d.sync += full.eq(1)
        with m.Else():
            m.d.sync += full.eq(0)
            with m.If(full):
                m.d.sync += [held.eq(spare), valid.eq(1)]
            with m.Else():
                m.d.sync += [held.eq(self.i.payload), valid.eq(self.i.valid)]
        return m


class Register(wiring.Component):
    """A one-entry buffer that registers payload, valid and ready. One transfer per two cycles.

    Half the size of :class:`SkidBuffer`, for streams that are never at full rate.
    """

    def __init__(self, shape):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        valid = Signal()
        held = Signal(self._shape, reset_less=True)
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(held), self.i.ready.eq(~valid)]
        with m.If(~valid):
            m.d.sync += [held.eq(self.i.payload), valid.eq(self.i.valid)]
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        return m
