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
    """Cuts beats into words, two bytes late. One word per cycle.

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

        # `rest` holds what is left of a beat behind the two bytes that its predecessor left over,
        # first byte on top; `count` is the number of bytes in it.
        rest = Signal(self._width + 16, reset_less=True)
        count = Signal(range(lanes + 3))
        tail = Signal()
        error = Signal()
        started = Signal()

        word = Signal(FrameWord, reset_less=True)
        valid = Signal()
        m.d.comb += [self.o.payload.eq(word), self.o.valid.eq(valid)]

        ones = Signal(range(lanes + 1))
        m.d.comb += ones.eq(sum(self.i.p.keep[n] for n in range(lanes)))

        can_emit = Signal()
        finish = Signal()
        emit = Signal()
        m.d.comb += [
            can_emit.eq(~valid | self.o.ready),
            finish.eq(tail & (count <= 4)),
            emit.eq((count >= 4) | (tail & (count != 0))),
            # A beat is taken when no more than the two left-over bytes are held.
            self.i.ready.eq(~tail & (count < 4)),
        ]
        with m.If(can_emit):
            m.d.sync += valid.eq(emit)
            with m.If(emit):
                m.d.sync += [
                    word.data.eq(rest[-32:]),
                    word.size.eq(count),
                    word.last.eq(finish),
                    word.error.eq(error),
                    rest.eq(rest << 32),
                    count.eq(Mux(finish, 0, count - 4)),
                ]
                with m.If(finish):
                    m.d.sync += [tail.eq(0), started.eq(0), error.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                rest.eq(Cat(_swap(self.i.p.data), Mux(started, rest[-16:], 0))),
                count.eq(ones + 2),
                tail.eq(self.i.p.last),
                error.eq(error | self.i.p.error),
                started.eq(1),
            ]
        return m


class WordsToBeats(wiring.Component):
    """Packs words that are two bytes late into beats. One word per cycle; up to five more per frame.

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
        lanes = self._width // 8
        words = lanes // 4

        # The low half of one word and the high half of the next make four bytes of the frame, a
        # chunk; chunks are shifted in from the top until the first has reached the bottom.
        carry = Signal(16, reset_less=True)
        started = Signal()
        acc = Signal(self._width, reset_less=True)
        count = Signal(range(words + 1))

        chunk = Signal(32)
        push = Signal()
        missing = Signal(range(lanes + 1))
        tail = Signal()
        error = Signal()

        beat = Signal(BeatLayout(self._width), reset_less=True)
        valid = Signal()
        room = Signal()
        flush = Signal()
        m.d.comb += [
            self.o.payload.eq(beat),
            self.o.valid.eq(valid),
            flush.eq((count == words) & ~valid),
            room.eq((count != words) | ~valid),
        ]
        with m.If(valid & self.o.ready):
            m.d.sync += valid.eq(0)

        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += [self.i.ready.eq(room), chunk.eq(Cat(self.i.p.data[16:], carry))]
                with m.If(self.i.valid & room):
                    m.d.comb += push.eq(started)
                    m.d.sync += [carry.eq(self.i.p.data[:16]), started.eq(~self.i.p.last)]
                    with m.If(self.i.p.last):
                        m.d.sync += error.eq(self.i.p.error)
                        with m.If((self.i.p.size == 0) | (self.i.p.size == 3)):
                            m.d.sync += missing.eq(Mux(self.i.p.size == 0, 2, 3))
                            m.next = "REST"
                        with m.Else():
                            m.d.sync += missing.eq(Mux(self.i.p.size == 2, 0, 1))
                            m.next = "ALIGN"
            with m.State("REST"):
                m.d.comb += chunk.eq(Cat(C(0, 16), carry))
                with m.If(room):
                    m.d.comb += push.eq(1)
                    m.next = "ALIGN"
            with m.State("ALIGN"):
                with m.If(count == words):
                    m.d.comb += tail.eq(1)
                    with m.If(flush):
                        m.d.sync += missing.eq(0)
                        m.next = "TAKE"
                with m.Else():
                    m.d.comb += push.eq(1)
                    m.d.sync += missing.eq(missing + 4)

        with m.If(push):
            m.d.sync += acc.eq(Cat(acc[32:], _swap(chunk)))
        with m.If(flush):
            m.d.sync += [
                beat.data.eq(acc),
                beat.keep.eq(C((1 << lanes) - 1, lanes) >> Mux(tail, missing, 0)),
                beat.last.eq(tail),
                beat.error.eq(tail & error),
                valid.eq(1),
                count.eq(push),
            ]
        with m.Elif(push):
            m.d.sync += count.eq(count + 1)
        return m
