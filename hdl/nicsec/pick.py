# SPDX-License-Identifier: Apache-2.0
"""Names the lane that the next packet goes to."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .choose import number_of, round_robin

__all__ = ["PACKETS_PER_LANE", "Pick"]

#: A lane holds one packet at work and one that is loaded or drained beside it.
PACKETS_PER_LANE = 2


class Pick(wiring.Component):
    """Offers the emptiest lane, in turn among equals; a new offer four cycles after one was taken.

    A lane with room can load a frame at once, so whoever follows the offers never waits for a lane.

    Members
    -------
    o : Out(stream of range(lanes))
    freed : In(lanes)
        Strobe per lane: the oldest of its packets has left.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__({"o": Out(stream.Signature(range(lanes))), "freed": In(lanes)})

    def elaborate(self, platform):
        m = Module()
        lanes = self._lanes
        held = [Signal(range(PACKETS_PER_LANE + 1), name=f"held_{n}") for n in range(lanes)]
        taken = Signal(lanes)
        empty, room = Signal(lanes), Signal(lanes)
        for n, packets in enumerate(held):
            m.d.comb += taken[n].eq(self.o.valid & self.o.ready & (self.o.payload == n))
            with m.If(taken[n] & ~self.freed[n]):
                m.d.sync += packets.eq(packets + 1)
            with m.Elif(self.freed[n] & ~taken[n]):
                m.d.sync += packets.eq(packets - 1)
            m.d.sync += [empty[n].eq(packets == 0), room[n].eq(packets != PACKETS_PER_LANE)]

        # What was counted, compared and searched is of the last offer only after as many cycles.
        settled = Signal(2)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += settled.eq(0)
        with m.Elif(~settled.all()):
            m.d.sync += settled.eq(settled + 1)
        none_empty = Signal()
        candidates = Signal(lanes)
        m.d.comb += [none_empty.eq(~empty.any()), candidates.eq(empty | (room & none_empty.replicate(lanes)))]
        offer = Signal()
        m.d.comb += offer.eq(settled.all() & ~self.o.valid)
        chosen = round_robin(m, "lane", candidates, offer)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.Elif(offer):
            m.d.sync += [self.o.valid.eq(chosen.any()), self.o.payload.eq(number_of(chosen))]
        return m
