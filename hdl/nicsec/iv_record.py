# SPDX-License-Identifier: Apache-2.0
"""Keeps the IVs that a packet brought until its verdict, which they go ahead of."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .job import VerdictLayout
from .sa_layout import IVCheck

__all__ = ["IVRecord"]

#: Passes of a plan.
_PASSES = 4


class IVRecord(wiring.Component):
    """Makes a verdict's beats: a success is preceded by the IVs of its judged passes, in their order.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: pass ``number`` begins, of op ``op`` of the SA in ``slot``. Its IV is recorded if it is ``judged``.
        These are held to the end of the pass.
    word : In(32), word_valid : In(1)
        Words of the pass's IV field as they go by, the first two.
    status : In(stream of Status)
        One per packet, behind its passes; taken with the last beat.
    o : Out(stream of VerdictLayout)
    """

    def __init__(self, config):
        check = IVCheck(config)
        super().__init__({
            "start": In(1),
            "number": In(2),
            "judged": In(1),
            "slot": In(check.members["slot"]),
            "op": In(1),
            "word": In(32),
            "word_valid": In(1),
            "status": In(stream.Signature(Status)),
            "o": Out(stream.Signature(VerdictLayout(config))),
        })

    def elaborate(self, platform):
        m = Module()
        marks = Cat(self.op, self.slot)
        m.submodules.marks = mark_memory = Memory(shape=len(marks), depth=_PASSES, init=[])
        m.submodules.high = high = Memory(shape=32, depth=_PASSES, init=[])
        m.submodules.low = low = Memory(shape=32, depth=_PASSES, init=[])
        writes = [memory.write_port() for memory in (mark_memory, high, low)]
        reads = [memory.read_port(domain="comb") for memory in (mark_memory, high, low)]

        waiting = Signal(_PASSES)
        half = Signal(2)
        with m.If(self.start):
            m.d.sync += [half.eq(0), waiting.eq(waiting | (self.judged << self.number))]
        with m.Elif(self.word_valid & ~half[1]):
            m.d.sync += half.eq(half + 1)
        for port, value, enable in zip(
            writes, (marks, self.word, self.word),
            (self.start, self.word_valid & (half == 0), self.word_valid & (half == 1)), strict=True,
        ):
            m.d.comb += [port.addr.eq(self.number), port.data.eq(value), port.en.eq(enable)]

        first = Signal(range(_PASSES))
        last = Signal()
        for n in reversed(range(_PASSES)):
            with m.If(waiting[n]):
                m.d.comb += first.eq(n)
        for port in reads:
            m.d.comb += port.addr.eq(first)
        m.d.comb += [
            last.eq((self.status.payload != Status.SUCCESS) | ~waiting.any()),
            self.o.valid.eq(self.status.valid),
            self.o.p.status.eq(self.status.payload),
            self.o.p.last.eq(last),
            Cat(self.o.p.iv.op, self.o.p.iv.slot).eq(reads[0].data),
            self.o.p.iv.iv.eq(Cat(reads[2].data, reads[1].data)),
            self.status.ready.eq(self.o.ready & last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += waiting.eq(waiting & (waiting - 1))
            with m.If(last):
                m.d.sync += waiting.eq(0)
        return m
