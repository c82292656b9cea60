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
    """Makes a verdict's beats: a success is preceded by the IVs of its judged passes, in their order, each of which
    takes three cycles.

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
        # An IV is in two rows, with half of its op and slot in either. They are read one behind the other.
        marks = Cat(self.op, self.slot)
        part = (len(marks) + 1) // 2
        waiting = Signal(_PASSES)
        half = Signal(2)
        first, second = Signal(range(_PASSES)), Signal()
        m.submodules.rows = rows = Memory(
            shape=32 + part, depth=2 * _PASSES, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        write, read = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.addr.eq(Cat(half[0], self.number)),
            write.data.eq(Cat(self.word, Mux(half[0], marks[:part], marks[part:]))),
            write.en.eq(self.word_valid & ~half[1]),
            read.addr.eq(Cat(second, first)),
        ]
        with m.If(self.start):
            m.d.sync += [half.eq(0), waiting.eq(waiting | (self.judged << self.number))]
        with m.Elif(self.word_valid & ~half[1]):
            m.d.sync += half.eq(half + 1)

        high = Signal.like(read.data, reset_less=True)
        looked = Signal()
        last = Signal()
        for n in reversed(range(_PASSES)):
            with m.If(waiting[n]):
                m.d.comb += first.eq(n)
        with m.If(~looked):
            m.d.sync += high.eq(read.data)
        m.d.sync += [second.eq(self.status.valid & ~last), looked.eq(second)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [second.eq(0), looked.eq(0)]
        m.d.comb += [
            last.eq((self.status.payload != Status.SUCCESS) | ~waiting.any()),
            self.o.valid.eq(self.status.valid & (last | looked)),
            self.o.p.status.eq(self.status.payload),
            self.o.p.last.eq(last),
            Cat(self.o.p.iv.op, self.o.p.iv.slot).eq(Cat(read.data[32:], high[32:])),
            self.o.p.iv.iv.eq(Cat(read.data[:32], high[:32])),
            self.status.ready.eq(self.o.ready & last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += waiting.eq(waiting & (waiting - 1))
            with m.If(last):
                m.d.sync += waiting.eq(0)
        return m
