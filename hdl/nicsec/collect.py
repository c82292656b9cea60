# SPDX-License-Identifier: Apache-2.0
"""Sends what a lane finished, in order, and completes every packet once."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .counters import PacketEvent
from .descriptor import Completion
from .dispatch import Ticket
from .stream import BeatLayout

__all__ = ["Collect"]


class Collect(wiring.Component):
    """One packet at a time: verdict, beats of the frame if it is success, completion.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    ticket : In(stream of Ticket)
    verdict : In(stream of Status)
    i : In(stream of BeatLayout(width))
    o : Out(stream of BeatLayout(width))
        One beat per cycle.
    completion : Out(stream of Completion)
        When the frame's last beat has left through ``o``.
    event : Out(stream of PacketEvent)
    retired : Out(1)
        Strobe, one per packet.
    """

    def __init__(self, width):
        super().__init__({
            "ticket": In(stream.Signature(Ticket)),
            "verdict": In(stream.Signature(Status)),
            "i": In(stream.Signature(BeatLayout(width))),
            "o": Out(stream.Signature(BeatLayout(width))),
            "completion": Out(stream.Signature(Completion)),
            "event": Out(stream.Signature(PacketEvent)),
            "retired": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        status = Signal(Status)
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.completion.p.cookie.eq(self.ticket.p.cookie),
            self.completion.p.length.eq(self.ticket.p.length),
            self.completion.p.status.eq(status),
            self.event.p.length.eq(self.ticket.p.length),
            self.event.p.status.eq(status),
            self.event.p.bypassed.eq(self.ticket.p.bypass),
        ]
        with m.FSM():
            with m.State("VERDICT"):
                m.d.sync += status.eq(self.verdict.payload)
                m.d.comb += self.verdict.ready.eq(1)
                with m.If(self.verdict.valid):
                    with m.If(self.verdict.payload == Status.SUCCESS):
                        m.next = "FRAME"
                    with m.Else():
                        m.next = "EVENT"
            with m.State("FRAME"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
                with m.If(self.i.valid & self.o.ready & self.i.p.last):
                    m.next = "EVENT"
            with m.State("EVENT"):
                m.d.comb += self.event.valid.eq(self.ticket.valid)
                with m.If(self.ticket.valid & self.event.ready):
                    m.next = "COMPLETION"
            with m.State("COMPLETION"):
                m.d.comb += self.completion.valid.eq(1)
                with m.If(self.completion.ready):
                    m.d.comb += [self.ticket.ready.eq(1), self.retired.eq(1)]
                    m.next = "VERDICT"
        return m
