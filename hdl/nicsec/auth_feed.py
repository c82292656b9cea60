# SPDX-License-Identifier: Apache-2.0
"""Turns the words of a pass into the bytes that are authenticated, ESN included."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .words import AuthWord, Kind, PassWord

__all__ = ["AuthFeed"]


class AuthFeed(wiring.Component):
    """One word per two cycles, latency 1.

    With ``aead`` the associated data is SPI, the high half with ESN, and the sequence number, and the
    IV is left out (RFC 4106 section 5); else every word counts and the high half follows the last byte,
    wherever in a word that is (RFC 4302 section 3.3.3.2.2, RFC 4303 section 2.2.1). ``gmac`` of ESP has
    the high half behind the SPI and authenticates the IV (RFC 4543 section 3.3).

    Members
    -------
    start : In(1)
        Strobe ahead of a pass; the members below are then held until its last word has left.
    aead, gmac, esn : In(1)
    seq_high : In(32)
    i : In(stream of PassWord)
    o : Out(stream of AuthWord)
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "aead": In(1),
            "gmac": In(1),
            "esn": In(1),
            "seq_high": In(32),
            "i": In(stream.Signature(PassWord)),
            "o": Out(stream.Signature(AuthWord)),
        })

    def elaborate(self, platform):
        m = Module()
        valid = Signal()
        held = Signal(AuthWord, reset_less=True)
        second = Signal()
        inside = Signal()
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(held), inside.eq(self.esn & (self.aead | self.gmac))]
        with m.If(valid & self.o.ready):
            m.d.sync += valid.eq(0)

        word = self.i.p
        rest = Signal(24, reset_less=True)
        rest_size = Signal(2, reset_less=True)

        with m.FSM():
            with m.State("WORDS"):
                m.d.comb += self.i.ready.eq(~valid)
                with m.If(self.i.valid & ~valid):
                    m.d.sync += [
                        held.data.eq(word.data), held.size.eq(word.size), held.last.eq(word.last), held.pad.eq(0),
                        valid.eq(~(self.aead & (word.kind == Kind.IV))), second.eq(1),
                    ]
                    with m.If(self.aead & second & (word.kind == Kind.HEADER)):
                        m.d.sync += held.pad.eq(1)
                    with m.If(inside & ~second):
                        m.next = "HIGH-INSIDE"
                    with m.Elif(self.esn & ~inside & word.last):
                        m.d.sync += [held.last.eq(0), held.size.eq(0), rest_size.eq(word.size)]
                        with m.Switch(word.size):
                            with m.Case(0):
                                m.next = "HIGH-BEHIND"
                            for size in (1, 2, 3):
                                with m.Case(size):
                                    bits = 8 * size
                                    m.d.sync += [
                                        held.data.eq(Cat(self.seq_high[bits:], word.data[32 - bits :])),
                                        rest.eq(Cat(C(0, 24 - bits), self.seq_high[:bits])),
                                    ]
                                    m.next = "REST"
            with m.State("HIGH-INSIDE"):
                with m.If(~valid):
                    m.d.sync += [held.data.eq(self.seq_high), valid.eq(1)]
                    m.next = "WORDS"
            with m.State("HIGH-BEHIND"):
                with m.If(~valid):
                    m.d.sync += [held.data.eq(self.seq_high), held.last.eq(1), valid.eq(1)]
                    m.next = "WORDS"
            with m.State("REST"):
                with m.If(~valid):
                    m.d.sync += [
                        held.data.eq(Cat(C(0, 8), rest)), held.size.eq(rest_size), held.last.eq(1), valid.eq(1),
                    ]
                    m.next = "WORDS"

        with m.If(self.start):
            m.d.sync += second.eq(0)
        return m
