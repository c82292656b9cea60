# SPDX-License-Identifier: Apache-2.0
"""The tag of GCM and GMAC (SP 800-38D) over a stream of words, with GHASH behind its seam."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .crypto.ghash import GhashBlock
from .words import AuthWord, IcvWord

__all__ = ["GcmTag"]


class GcmTag(wiring.Component):
    """Gathers blocks for GHASH, closes them with the length block and hides the result behind ``mask``.

    Words up to one with ``pad`` are associated data, those behind it ciphertext; without one all are
    associated data (GMAC). Two cycles per word at best.

    Members
    -------
    start : In(1)
        Strobe; ``icv_words`` is then held to the last ICV word.
    icv_words : In(4)
    mask, mask_valid : In
        E_K(J0).
    i : In(stream of AuthWord)
    o : Out(stream of IcvWord)
    ghash_i : Out(stream of GhashBlock)
    ghash_o : In(stream of 128)
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "icv_words": In(4),
            "mask": In(128),
            "mask_valid": In(1),
            "i": In(stream.Signature(AuthWord)),
            "o": Out(stream.Signature(IcvWord)),
            "ghash_i": Out(stream.Signature(GhashBlock())),
            "ghash_o": In(stream.Signature(128)),
        })

    def elaborate(self, platform):
        m = Module()
        block = Signal(128)
        filled = Signal(3)
        count = Signal(16)  # bytes of the string at hand
        associated = Signal(16)
        split = Signal()
        closing = Signal()
        left = Signal(4)

        full = Signal()
        m.d.comb += full.eq(filled == 4)
        m.d.comb += [self.ghash_i.p.block.eq(block), self.ghash_i.p.last.eq(closing)]

        word = Signal(32)
        with m.Switch(self.i.p.size):
            with m.Case(0):
                m.d.comb += word.eq(self.i.p.data)
            for size in (1, 2, 3):
                with m.Case(size):
                    m.d.comb += word[32 - 8 * size :].eq(self.i.p.data[32 - 8 * size :])

        def shift_in(value):
            m.d.sync += [block.eq(Cat(value, block[:96])), filled.eq(filled + 1)]

        with m.FSM():
            with m.State("WORDS"):
                m.d.comb += [self.ghash_i.valid.eq(full), self.i.ready.eq(~full)]
                with m.If(full):
                    with m.If(self.ghash_i.ready):
                        m.d.sync += filled.eq(0)
                with m.Elif(self.i.valid):
                    shift_in(word)
                    m.d.sync += count.eq(count + Mux(self.i.p.size == 0, 4, self.i.p.size))
                    with m.If(self.i.p.pad | self.i.p.last):
                        m.d.sync += closing.eq(self.i.p.last)
                        m.next = "FILL"
            # A string is filled up to a block with zeros.
            with m.State("FILL"):
                with m.If(~full):
                    shift_in(C(0, 32))
                with m.Else():
                    m.d.comb += self.ghash_i.valid.eq(1)
                    m.d.comb += self.ghash_i.p.last.eq(0)
                    with m.If(self.ghash_i.ready):
                        m.d.sync += filled.eq(0)
                        with m.If(closing):
                            m.next = "LENGTHS"
                        with m.Else():
                            m.d.sync += [associated.eq(count), count.eq(0), split.eq(1)]
                            m.next = "WORDS"
            with m.State("LENGTHS"):
                lengths = Signal(128)
                m.d.comb += [
                    lengths[67:83].eq(Mux(split, associated, count)),
                    lengths[3:19].eq(Mux(split, count, 0)),
                ]
                m.d.sync += block.eq(lengths)
                m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.ghash_i.valid.eq(1)
                with m.If(self.ghash_i.ready):
                    m.next = "RESULT"
            with m.State("RESULT"):
                m.d.comb += self.ghash_o.ready.eq(self.mask_valid)
                with m.If(self.ghash_o.valid & self.mask_valid):
                    m.d.sync += [block.eq(self.ghash_o.payload ^ self.mask), left.eq(self.icv_words)]
                    m.next = "ICV"
            with m.State("ICV"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.data.eq(block[96:]), self.o.p.last.eq(left == 1)]
                with m.If(self.o.ready):
                    m.d.sync += [block.eq(block << 32), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "WORDS"

        with m.If(self.start):
            m.d.sync += [filled.eq(0), count.eq(0), split.eq(0), closing.eq(0)]
        return m
