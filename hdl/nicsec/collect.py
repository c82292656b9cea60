# SPDX-License-Identifier: Apache-2.0
"""Sends what a lane finished, in order, and completes every packet once."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .algorithm import Status
from .counters import PacketEvent
from .descriptor import Completion
from .dispatch import Ticket
from .job import VerdictLayout
from .judge import Judge
from .sa_layout import IVCheck, slot_bits
from .stream import BeatLayout

__all__ = ["Collect"]


class Collect(wiring.Component):
    """One packet at a time: verdict, beats of the frame if it is success, completion.

    The verdict is judged ahead of its turn (:class:`~nicsec.judge.Judge`). A frame whose IV is refused is swallowed.

    Parameters
    ----------
    config : Config

    Members
    -------
    ticket : In(stream of Ticket)
    verdict : In(stream of VerdictLayout)
    check, checked, errors : streams
        The SA table; ``errors`` with lifetimes, for each SA that counted a packet that is no success.
    i : In(stream of BeatLayout(config.data_width))
        The frames of verdicts of success.
    o : Out(stream of BeatLayout(config.data_width))
        One beat per cycle.
    completion : Out(stream of Completion)
        When the frame's last beat has left through ``o``.
    event : Out(stream of PacketEvent)
    retired : Out(1)
        Strobe, one per packet.
    """

    def __init__(self, config):
        self._config = config
        width = config.data_width
        ports = {
            "ticket": In(stream.Signature(Ticket(config))),
            "verdict": In(stream.Signature(VerdictLayout(config))),
            "check": Out(stream.Signature(IVCheck(config))),
            "checked": In(stream.Signature(1)),
            "i": In(stream.Signature(BeatLayout(width))),
            "o": Out(stream.Signature(BeatLayout(width))),
            "completion": Out(stream.Signature(Completion)),
            "event": Out(stream.Signature(PacketEvent)),
            "retired": Out(1),
        }
        if config.lifetimes:
            ports["errors"] = Out(stream.Signature(slot_bits(config)))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.judge = judge = Judge(self._config)
        connect(m, flipped(self.verdict), judge.verdict)
        connect(m, judge.check, flipped(self.check))
        connect(m, flipped(self.checked), judge.checked)
        status = Signal(Status)
        failed = "ERRORS" if self._config.lifetimes else "EVENT"
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
                m.d.sync += status.eq(judge.o.payload)
                m.d.comb += judge.o.ready.eq(1)
                with m.If(judge.o.valid):
                    m.next = failed
                    with m.If(judge.o.payload == Status.SUCCESS):
                        m.next = "FRAME"
                    with m.Elif(judge.o.payload == Status.IV_REPEAT):
                        m.next = "SWALLOW"
            with m.State("FRAME"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
                with m.If(self.i.valid & self.o.ready & self.i.p.last):
                    m.next = "EVENT"
            with m.State("SWALLOW"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.p.last):
                    m.next = failed
            if self._config.lifetimes:
                second = Signal()
                counted = Signal()
                with m.State("ERRORS"):
                    m.d.comb += [
                        counted.eq(self.ticket.p.counted.bit_select(second, 1)),
                        self.errors.valid.eq(self.ticket.valid & counted),
                        self.errors.payload.eq(self.ticket.p.slots[second]),
                    ]
                    with m.If(self.ticket.valid & (self.errors.ready | ~counted)):
                        m.d.sync += second.eq(~second)
                        with m.If(second):
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
