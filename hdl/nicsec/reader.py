# SPDX-License-Identifier: Apache-2.0
"""Reads the range of a pass out of the packet buffer."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .job import byte_bits, word_bits
from .words import Kind, PassWord

__all__ = ["Reader"]


class Reader(wiring.Component):
    """Streams the words of one pass. One word per cycle, the first three cycles after ``start``.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; ``first``, ``body``, ``end`` and ``esp`` are then held until the last word has left.
    first, body : In
        First word, and for ESP the first word of the payload.
    end : In
        Byte behind the range.
    esp : In(1)
        Words are header, IV and body; without it all are header.
    addr, en : Out
        Read port: ``word`` follows two enabled cycles after ``addr``.
    o : Out(stream of PassWord)
    """

    def __init__(self, config):
        words, bits = word_bits(config), byte_bits(config)
        super().__init__({
            "start": In(1),
            "first": In(words),
            "body": In(words),
            "end": In(bits),
            "esp": In(1),
            "addr": Out(words),
            "en": Out(1),
            "word": In(32),
            "o": Out(stream.Signature(PassWord)),
        })

    def elaborate(self, platform):
        m = Module()
        at = Signal.like(self.addr)
        active = Signal()
        last = Signal()

        # The word that a read will bring, one per stage: RAM, output register.
        read, out = Signal(PassWord), Signal(PassWord)
        read_valid, out_valid = Signal(), Signal()

        kind = Signal(Kind)
        with m.If(~self.esp | (at < self.first + 2)):
            m.d.comb += kind.eq(Kind.HEADER)
        with m.Elif(at < self.body):
            m.d.comb += kind.eq(Kind.IV)
        with m.Else():
            m.d.comb += kind.eq(Kind.BODY)

        m.d.comb += [
            self.en.eq(~out_valid | self.o.ready),
            self.addr.eq(at),
            last.eq(((at + 1) << 2) >= self.end),
            self.o.valid.eq(out_valid),
            self.o.p.data.eq(self.word),
            self.o.p.size.eq(out.size),
            self.o.p.kind.eq(out.kind),
            self.o.p.last.eq(out.last),
        ]
        with m.If(self.en):
            m.d.sync += [
                read_valid.eq(active),
                read.size.eq(Mux(last, self.end[:2], 0)),
                read.kind.eq(kind),
                read.last.eq(last),
                out_valid.eq(read_valid),
                out.eq(read),
            ]
            with m.If(active):
                m.d.sync += [at.eq(at + 1), active.eq(~last)]
        with m.If(self.start):
            m.d.sync += [at.eq(self.first), active.eq(1)]
        return m
