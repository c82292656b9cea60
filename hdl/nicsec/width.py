# SPDX-License-Identifier: Apache-2.0
"""Between the wide frame ports and the 32-bit words of the lanes.

A frame is stored two bytes late, so that everything behind its Ethernet header, whose length is
two modulo four with or without tags, starts on a word (docs/design.md section 1).
"""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import BeatLayout, FrameWord

__all__ = ["BeatsToWords", "WordsToBeats"]


def _swap(value):
    """Reverse the bytes of ``value``: wire order has the first byte lowest, words have it highest."""
    return Cat(reversed([value[n : n + 8] for n in range(0, len(value), 8)]))


class BeatsToWords(wiring.Component):
    """Cuts beats into words, two bytes late. One word per cycle, also from frame to frame; the first comes three cycles
    behind its beat.

    Members
    -------
    i : In(stream of BeatLayout(width))
    o : Out(stream of FrameWord)
    """

    def __init__(self, width):
        self._width = width
        super().__init__({"i": In(stream.Signature(BeatLayout(width))), "o": Out(stream.Signature(FrameWord))})

    def elaborate(self, platform):
        m = Module()
        lanes = self._width // 8
        words = lanes // 4

        # A beat waits in `held` until the one ahead of it is cut.
        held = Signal(self._width, reset_less=True)
        held_last, held_error = Signal(), Signal()
        held_size = Signal(2)
        held_words = Signal(words + 1)
        full = Signal()

        # `rest` is what is left to cut, first byte on top, and `left` the number of words in it, in unary: a beat
        # behind the two bytes that its predecessor left over makes as many words as it has itself, and a last one as
        # many as there are beginnings of words in it.
        rest = Signal(self._width + 16, reset_less=True)
        left = Signal(words + 1)
        over = Signal(16)
        size = Signal(2)
        last, error = Signal(), Signal()

        word = Signal(FrameWord, reset_less=True)
        valid = Signal()
        advance, refill = Signal(), Signal()
        m.d.comb += [
            self.o.payload.eq(word),
            self.o.valid.eq(valid),
            self.i.ready.eq(~full),
            advance.eq(~valid | self.o.ready),
            refill.eq(full & (~left[0] | (advance & ~left[1]))),
        ]

        keep = self.i.p.keep
        with m.If(~full):
            m.d.sync += [
                held.eq(_swap(self.i.p.data)),
                held_last.eq(self.i.p.last),
                held_error.eq(self.i.p.error),
                held_words.eq(Cat(C(1, 1), keep[2::4])),
                # The bytes of a last beat and the two ahead of them, modulo four.
                held_size.eq(Cat(keep.xor(), ~keep[1::2].xor())),
                full.eq(self.i.valid),
            ]
            with m.If(~self.i.p.last):
                m.d.sync += held_words.eq((1 << words) - 1)

        with m.If(advance):
            m.d.sync += [
                valid.eq(left[0]),
                word.data.eq(rest[-32:]),
                word.size.eq(size),
                word.last.eq(last & ~left[1]),
                word.error.eq(error),
                left.eq(left >> 1),
                rest.eq(rest << 32),
            ]
        with m.If(refill):
            m.d.sync += [
                full.eq(0),
                rest.eq(Cat(held, over)),
                left.eq(held_words),
                size.eq(held_size),
                last.eq(held_last),
                error.eq((error & ~last) | held_error),
                over.eq(Mux(held_last, 0, held[:16])),
            ]
        return m


class WordsToBeats(wiring.Component):
    """Packs words that are two bytes late into beats. One word per cycle, also from frame to frame, but that beats of
    64 bits may cost a cycle per frame; a beat is offered four cycles behind its last word at most.

    Members
    -------
    i : In(stream of FrameWord)
    o : Out(stream of BeatLayout(width))
    """

    def __init__(self, width):
        self._width = width
        super().__init__({"i": In(stream.Signature(FrameWord)), "o": Out(stream.Signature(BeatLayout(width)))})

    def elaborate(self, platform):
        m = Module()
        chunks = self._width // 32

        # The low half of one word and the high half of the next make four bytes of the frame, a chunk. A frame may end
        # in the low half of its last word, which then is pushed alone while the next frame's first word, which makes
        # no chunk yet, is taken.
        carry = Signal(16, reset_less=True)
        started, ending, error = Signal(), Signal(), Signal()
        end_keep = Signal(2)

        acc = [Signal(32, name=f"acc_{n}", reset_less=True) for n in range(chunks)]
        keep = [Signal(4, name=f"keep_{n}", reset_less=True) for n in range(chunks)]
        at = Signal(chunks, init=1)
        complete, last, acc_error = Signal(), Signal(), Signal()

        beat = Signal(BeatLayout(self._width), reset_less=True)
        valid = Signal()
        room, take = Signal(), Signal()
        m.d.comb += [
            self.o.payload.eq(beat),
            self.o.valid.eq(valid),
            room.eq(~complete | ~valid),
            self.i.ready.eq(room),
            take.eq(self.i.valid & room),
        ]

        push, tail, low_half = Signal(), Signal(), Signal()
        chunk, chunk_keep = Signal(32), Signal(4)
        m.d.comb += low_half.eq((self.i.p.size == 0) | (self.i.p.size == 3))
        m.d.comb += push.eq(room & (ending | (self.i.valid & started)))
        with m.If(ending):
            m.d.comb += [chunk.eq(Cat(C(0, 16), carry)), chunk_keep.eq(end_keep), tail.eq(1)]
        with m.Else():
            m.d.comb += [
                chunk.eq(Cat(self.i.p.data[16:], carry)),
                tail.eq(self.i.p.last & ~low_half),
                chunk_keep.eq(Mux(self.i.p.last & (self.i.p.size == 1), 0b0111, 0b1111)),
            ]

        with m.If(room):
            m.d.sync += [
                ending.eq(0),
                complete.eq(push & (tail | at[-1])),
                last.eq(tail),
                acc_error.eq(tail & Mux(ending, error, self.i.p.error)),
            ]
        with m.If(take):
            m.d.sync += [
                carry.eq(self.i.p.data[:16]),
                started.eq(~self.i.p.last),
                error.eq(self.i.p.error),
                ending.eq(self.i.p.last & (low_half | ~started)),
                end_keep.eq(Mux(self.i.p.size == 0, 0b11, low_half)),
            ]
        with m.If(push):
            m.d.sync += at.eq(Mux(tail, 1, at.rotate_left(1)))
            for n in range(chunks):
                with m.If(at[n]):
                    m.d.sync += [acc[n].eq(_swap(chunk)), keep[n].eq(chunk_keep)]
                with m.Elif(at[0]):
                    # A short beat holds nothing of the one before it.
                    m.d.sync += [acc[n].eq(0), keep[n].eq(0)]

        with m.If(valid):
            m.d.sync += valid.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [
                valid.eq(complete),
                beat.data.eq(Cat(acc)),
                beat.keep.eq(Cat(keep)),
                beat.last.eq(last),
                beat.error.eq(acc_error),
            ]
        return m
