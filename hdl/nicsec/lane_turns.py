# SPDX-License-Identifier: Apache-2.0
"""One stream for several lanes, in and out, by a list of whose turn it is."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .choose import selected
from .stream import FrameWord

__all__ = ["CollectTurns", "DrainTurns", "LoadTurns"]


class LoadTurns(wiring.Component):
    """Gives each frame to the lane whose turn it is. No latency; the lane must have room for the frame.

    Members
    -------
    turn : In(stream of range(lanes))
        One per frame.
    i : In(stream of FrameWord)
    o : Out(stream of FrameWord, one per lane)
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__({
            "turn": In(stream.Signature(range(max(lanes, 2)))),
            "i": In(stream.Signature(FrameWord)),
            "o": Out(stream.Signature(FrameWord)).array(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        chosen = Signal(self._lanes)
        waiting = Signal()
        m.d.comb += self.i.ready.eq(selected(chosen, [o.ready for o in self.o]))
        for n, o in enumerate(self.o):
            m.d.comb += [o.payload.eq(self.i.payload), o.valid.eq(self.i.valid & chosen[n])]
        m.d.comb += [waiting.eq(~chosen.any()), self.turn.ready.eq(waiting)]
        with m.If(waiting):
            m.d.sync += chosen.eq(self.turn.valid << self.turn.payload)
        with m.Elif(self.i.valid & self.i.ready & self.i.p.last):
            m.d.sync += chosen.eq(0)
        return m


class DrainTurns(wiring.Component):
    """Takes a verdict, of one beat or more, and the frame behind it if there is one, from the lane whose turn it is.

    One word per cycle, latency 1, and three cycles more per packet.

    Parameters
    ----------
    lanes : int
    verdict : Shape
        :class:`~nicsec.job.VerdictLayout`.

    Members
    -------
    turn : In(stream of range(lanes))
        One per packet.
    verdict : In(stream of verdict, one per lane)
    i : In(stream of FrameWord, one per lane)
    o_verdict : Out(stream of verdict)
    o : Out(stream of FrameWord)
        The frames whose verdict was success, behind their verdicts.
    """

    def __init__(self, lanes, verdict):
        self._lanes = lanes
        super().__init__({
            "turn": In(stream.Signature(range(max(lanes, 2)))),
            "verdict": In(stream.Signature(verdict)).array(lanes),
            "i": In(stream.Signature(FrameWord)).array(lanes),
            "o_verdict": Out(stream.Signature(verdict)),
            "o": Out(stream.Signature(FrameWord)),
        })

    def elaborate(self, platform):
        m = Module()
        chosen = Signal(self._lanes)
        word_ready, verdict_ready, offered, word_valid = Signal(), Signal(), Signal(), Signal()
        verdict = Signal.like(self.o_verdict.payload)
        word = Signal(FrameWord)
        m.d.comb += [
            verdict.eq(selected(chosen, [v.payload for v in self.verdict])),
            offered.eq(selected(chosen, [v.valid for v in self.verdict])),
            word.eq(selected(chosen, [i.payload for i in self.i])),
            word_valid.eq(selected(chosen, [i.valid for i in self.i])),
        ]
        for n, (i, v) in enumerate(zip(self.i, self.verdict, strict=True)):
            m.d.comb += [i.ready.eq(word_ready & chosen[n]), v.ready.eq(verdict_ready & chosen[n])]
        with m.If(self.o_verdict.ready):
            m.d.sync += self.o_verdict.valid.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM():
            with m.State("TURN"):
                m.d.comb += self.turn.ready.eq(1)
                m.d.sync += chosen.eq(self.turn.valid << self.turn.payload)
                with m.If(self.turn.valid):
                    m.next = "VERDICT"
            with m.State("VERDICT"):
                m.d.comb += verdict_ready.eq(~self.o_verdict.valid)
                with m.If(offered & ~self.o_verdict.valid):
                    m.d.sync += [self.o_verdict.payload.eq(verdict), self.o_verdict.valid.eq(1)]
                    with m.If(~verdict.last):
                        pass
                    with m.Elif(verdict.status == Status.SUCCESS):
                        m.next = "FRAME"
                    with m.Else():
                        m.next = "TURN"
            with m.State("FRAME"):
                m.d.comb += word_ready.eq(~self.o.valid | self.o.ready)
                with m.If(word_valid & word_ready):
                    m.d.sync += [self.o.payload.eq(word), self.o.valid.eq(1)]
                    with m.If(word.last):
                        m.next = "TURN"
        return m


class CollectTurns(wiring.Component):
    """Takes a verdict from the group whose turn it is, and tells from where the frame will come if there is one.

    A verdict in two cycles, latency 1.

    Parameters
    ----------
    groups : int
    verdict : Shape
        :class:`~nicsec.job.VerdictLayout`.

    Members
    -------
    turn : In(stream of range(groups))
        One per packet.
    verdict : In(stream of verdict, one per group)
    o : Out(stream of verdict)
    route : Out(stream of range(groups))
        One per verdict that is success.
    """

    def __init__(self, groups, verdict):
        self._groups = groups
        super().__init__({
            "turn": In(stream.Signature(range(groups))),
            "verdict": In(stream.Signature(verdict)).array(groups),
            "o": Out(stream.Signature(verdict)),
            "route": Out(stream.Signature(range(groups))),
        })

    def elaborate(self, platform):
        m = Module()
        chosen = Signal(self._groups)
        verdict = Signal.like(self.o.payload)
        take = Signal()
        m.d.comb += [
            chosen.eq(self.turn.valid << self.turn.payload),
            verdict.eq(selected(chosen, [v.payload for v in self.verdict])),
            take.eq(selected(chosen, [v.valid for v in self.verdict]) & ~self.o.valid & ~self.route.valid),
            self.turn.ready.eq(take & verdict.last),
        ]
        for n, v in enumerate(self.verdict):
            m.d.comb += v.ready.eq(take & chosen[n])
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.route.ready):
            m.d.sync += self.route.valid.eq(0)
        with m.If(take):
            m.d.sync += [
                self.o.payload.eq(verdict), self.o.valid.eq(1),
                self.route.payload.eq(self.turn.payload),
                self.route.valid.eq(verdict.last & (verdict.status == Status.SUCCESS)),
            ]
        return m
