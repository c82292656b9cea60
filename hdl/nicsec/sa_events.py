# SPDX-License-Identifier: Apache-2.0
"""Events of SAs until software takes them."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .ram_queue import RamQueue
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
        The oldest, 0 without one; a cycle behind ``take`` it may still be the one that was taken off.
    take : In(1)
        Strobe: take it off, and forget ``lost``.
    lost : Out(1)
        An event was dropped since the last ``take``.
    """

    def __init__(self):
        super().__init__({"i_valid": In(1), "i": In(EventLayout), "o": Out(EventLayout), "take": In(1), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = RamQueue(EventLayout, EVENTS)
        m.d.comb += [
            queue.i.payload.eq(self.i),
            queue.i.valid.eq(self.i_valid),
            queue.o.ready.eq(self.take),
        ]
        # The memory answers late in the cycle.
        m.d.sync += self.o.eq(Mux(queue.o.valid, queue.o.payload.as_value(), 0))
        with m.If(self.i_valid & ~queue.i.ready):
            m.d.sync += self.lost.eq(1)
        with m.Elif(self.take):
            m.d.sync += self.lost.eq(0)
        return m
