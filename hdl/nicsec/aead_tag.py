# SPDX-License-Identifier: Apache-2.0
"""The tags of GCM and GMAC (SP 800-38D) and of ChaCha20-Poly1305 (RFC 8439 section 2.8) over a stream of words."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .crypto.ghash import GhashBlock
from .crypto.poly1305 import PolyBlock
from .words import AuthWord, IcvWord

__all__ = ["AeadTag"]


class AeadTag(wiring.Component):
    """Gathers blocks for GHASH or Poly1305 and closes them with the block of lengths.

    Words up to one with ``pad`` are associated data, those behind it ciphertext; without one all are
    associated data (GMAC). Two cycles per word at best. GHASH's result is hidden behind ``mask``.

    Members
    -------
    start : In(1)
        Strobe; ``icv_words`` and ``poly`` are then held to the last ICV word.
    icv_words : In(4)
    poly : In(1)
        Poly1305 instead of GHASH.
    mask, mask_valid : In
        E_K(J0).
    i : In(stream of AuthWord)
    o : Out(stream of IcvWord)
    ghash_i : Out(stream of GhashBlock), ghash_o : In(stream of 128)
    poly_i : Out(stream of PolyBlock), poly_o : In(stream of 128)
        Each pair when the config has the core.
    """

    def __init__(self, config):
        self._config = config
        ports = {
            "start": In(1),
            "icv_words": In(4),
            "poly": In(1),
            "mask": In(128),
            "mask_valid": In(1),
            "i": In(stream.Signature(AuthWord)),
            "o": Out(stream.Signature(IcvWord)),
        }
        if config.has_ghash:
            ports |= {"ghash_i": Out(stream.Signature(GhashBlock())), "ghash_o": In(stream.Signature(128))}
        if config.has_chacha:
            ports |= {"poly_i": Out(stream.Signature(PolyBlock)), "poly_o": In(stream.Signature(128))}
        super().__init__(ports)

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

        # To and from the core that the suite uses.
        offer, last, taken = Signal(), Signal(), Signal()
        answer_valid, answer_ready = Signal(), Signal()
        answer = Signal(128)
        if self._config.has_ghash:
            m.d.comb += [
                self.ghash_i.p.block.eq(block),
                self.ghash_i.p.last.eq(last),
                self.ghash_i.valid.eq(offer & ~self.poly),
                taken.eq(self.ghash_i.ready),
                answer.eq(self.ghash_o.payload ^ self.mask),
                answer_valid.eq(self.ghash_o.valid & self.mask_valid),
                self.ghash_o.ready.eq(answer_ready & self.mask_valid & ~self.poly),
            ]
        if self._config.has_chacha:
            m.d.comb += [
                self.poly_i.p.block.eq(block),
                self.poly_i.p.bytes.eq(16),
                self.poly_i.p.last.eq(last),
                self.poly_i.valid.eq(offer & self.poly),
                self.poly_o.ready.eq(answer_ready & self.poly),
            ]
            with m.If(self.poly):
                m.d.comb += [
                    taken.eq(self.poly_i.ready), answer.eq(self.poly_o.payload), answer_valid.eq(self.poly_o.valid),
                ]

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
                m.d.comb += [offer.eq(full), self.i.ready.eq(~full)]
                with m.If(full):
                    with m.If(taken):
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
                    m.d.comb += offer.eq(1)
                    with m.If(taken):
                        m.d.sync += filled.eq(0)
                        with m.If(closing):
                            m.next = "LENGTHS"
                        with m.Else():
                            m.d.sync += [associated.eq(count), count.eq(0), split.eq(1)]
                            m.next = "WORDS"
            with m.State("LENGTHS"):
                lengths = Signal(128)
                first, second = Mux(split, associated, count), Mux(split, count, 0)
                # GHASH counts bits, highest byte first; Poly1305 bytes, lowest byte first.
                with m.If(self.poly):
                    m.d.comb += [
                        lengths[112:].eq(Cat(first[8:], first[:8])), lengths[48:64].eq(Cat(second[8:], second[:8])),
                    ]
                with m.Else():
                    m.d.comb += [lengths[67:83].eq(first), lengths[3:19].eq(second)]
                m.d.sync += block.eq(lengths)
                m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [offer.eq(1), last.eq(1)]
                with m.If(taken):
                    m.next = "RESULT"
            with m.State("RESULT"):
                m.d.comb += answer_ready.eq(1)
                with m.If(answer_valid):
                    m.d.sync += [block.eq(answer), left.eq(self.icv_words)]
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
