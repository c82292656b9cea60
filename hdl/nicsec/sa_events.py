# SPDX-License-Identifier: Apache-2.0
"""Events of SAs until software takes them."""

from amaranth import *
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from .sa_layout import EventLayout

__all__ = ["EVENTS", "Events"]

#: Events that wait.
EVENTS = 16


class Events(wiring.Component):
    """A queue that drops what finds it full.

    An event stays when its SA is deleted: the handle in it, with its generation, is nobody else's.

    Members
    -------
    i_valid : In(1), i : In(EventLayout)
        Strobe.
    o : Out(EventLayout)
        The oldest, 0 without one.
    take : In(1)
        Strobe: take it off, and forget ``lost``.
    lost : Out(1)
        An event was dropped since the last ``take``.
    """

    def __init__(self):
        super().__init__({"i_valid": In(1), "i": In(EventLayout), "o": Out(EventLayout), "take": In(1), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=EventLayout.size, depth=EVENTS)
        m.d.comb += [
            queue.w_data.eq(self.i),
            queue.w_en.eq(self.i_valid),
            queue.r_en.eq(self.take),
            self.o.eq(Mux(queue.r_rdy, queue.r_data, 0)),
        ]
        with m.If(self.i_valid & ~queue.w_rdy):
            m.d.sync += self.lost.eq(1)
        with m.Elif(self.take):
            m.d.sync += self.lost.eq(0)
        return m
