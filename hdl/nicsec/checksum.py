# SPDX-License-Identifier: Apache-2.0
"""The Internet checksum over a range of the packet buffer (RFC 1071)."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .words import PassWord

__all__ = ["Checksum"]


class Checksum(wiring.Component):
    """Sums a stream of words. One word per cycle; the result follows three cycles after the last.

    Members
    -------
    start : In(1)
        Strobe; ``header`` and ``udp`` are then held until ``done``.
    header : In(1)
        The range is an IPv4 header: its checksum field counts as zero.
    udp : In(1)
        A result of zero is given as 0xFFFF (RFC 768).
    i : In(stream of PassWord)
    done : Out(1)
        Strobe: ``result``, in network order, holds until the next start.
    result : Out(16)
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "header": In(1),
            "udp": In(1),
            "i": In(stream.Signature(PassWord)),
            "done": Out(1),
            "result": Out(16),
        })

    def elaborate(self, platform):
        m = Module()
        index = Signal(2)
        total = Signal(19)
        word = Signal(32)
        folded = Signal(16)
        with m.Switch(self.i.p.size):
            with m.Case(0):
                m.d.comb += word.eq(self.i.p.data)
            for size in (1, 2, 3):
                with m.Case(size):
                    m.d.comb += word[32 - 8 * size :].eq(self.i.p.data[32 - 8 * size :])
        with m.If(self.header & (index == 2)):
            m.d.comb += word[:16].eq(0)
        m.d.comb += folded.eq(~(total[:16] + total[16:]))

        with m.FSM():
            with m.State("SUM"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += total.eq(total[:16] + total[16:] + word[:16] + word[16:])
                    with m.If(index != 3):
                        m.d.sync += index.eq(index + 1)
                    with m.If(self.i.p.last):
                        m.next = "FOLD"
            with m.State("FOLD"):
                # Twice at most: the second sum cannot carry again.
                m.d.sync += total.eq(total[:16] + total[16:])
                m.next = "RESULT"
            with m.State("RESULT"):
                m.d.sync += self.result.eq(Mux(self.udp & (folded == 0), 0xFFFF, folded))
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "SUM"
        with m.If(self.start):
            m.d.sync += [index.eq(0), total.eq(0)]
        return m
