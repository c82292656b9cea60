# SPDX-License-Identifier: Apache-2.0
"""Reads a range of the ring line by line, no further than it is final."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import Progress, line_bits, place_bits

__all__ = ["LineReader"]

#: Words of a line.
_WORDS = 4


class LineReader(wiring.Component):
    """Words from ``first`` to ``end``, one a cycle while its two lines last.

    Parameters
    ----------
    config : Config

    Members
    -------
    begin : In(1)
        Strobe, with the first ``start`` of a task or ahead of it; ``follows`` goes with it.
    follows : In(1)
        The ranges may be read up to the line of the last progress; without it all of them may.
    start : In(1)
        Strobe; ``first`` (a place) goes with it. Everything before has been taken.
    bound : In(1)
        Strobe, with ``start`` or behind it, which lets the range be read; ``end`` (a place) and ``seek`` go with it.
    first, end : In(place)
        The range has a word at least.
    seek : In(1)
        Nothing is read.
    thread : In
        From the cycle behind ``begin`` on.
    progress : In(Progress(config))
        Of ``thread``, from the cycle behind ``begin`` on. Places that do not fall, within the range.
    fetch : Out(stream of line_bits(config)), rsp_valid : In(1), rsp_data : In(128)
        Lines, in the order of requests, each at least a cycle behind its request.
    valid : Out(1), last : Out(1)
        There is a word; it is that ahead of ``end``.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
        With ``valid``; else what is ahead of the range or was there last.
    place : Out, step : In(1)
        When all has been taken, or after ``seek``, ``place`` is ``end``; it moves on by a word with each ``step``.
    """

    def __init__(self, config):
        self._config = config
        place, line = place_bits(config), line_bits(config)
        progress = Progress(config)
        super().__init__({
            "begin": In(1),
            "follows": In(1),
            "start": In(1),
            "first": In(place),
            "bound": In(1),
            "end": In(place),
            "seek": In(1),
            "thread": In(progress.members["thread"]),
            "progress": In(progress),
            "fetch": Out(stream.Signature(line)),
            "rsp_valid": In(1),
            "rsp_data": In(128),
            "valid": Out(1),
            "last": Out(1),
            "take": In(1),
            "word": Out(32),
            "place": Out(place),
            "step": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        # Lines of one frame differ in their low bits.
        bits = min((-(-self._config.frame_words // _WORDS)).bit_length(), line_bits(self._config))

        # What may be fetched: up to `end`, or while the cipher is at work up to the line where it is. None of the lines
        # is beyond that, so the first which may not is known by being equal.
        line = Signal(line_bits(self._config), reset_less=True)
        end_line = Signal(bits, reset_less=True)
        limit = Signal(bits, reset_less=True)
        whole, known = Signal(), Signal()
        with m.If(self.progress.valid & (self.progress.thread == self.thread)):
            m.d.sync += [limit.eq(self.progress.place[2:]), known.eq(1)]
            with m.If(self.progress.last):
                m.d.sync += whole.eq(1)

        # `line` is in the end that of `end`, whether that has words of the range or not.
        at_end, tail, fetched = Signal(), Signal(), Signal(init=1)
        asked, used = Signal(), Signal()
        one, two = Signal(), Signal()  # lines, or more, that are at hand or on their way
        m.d.comb += [
            at_end.eq(line[:bits] == end_line),
            asked.eq(self.fetch.valid & self.fetch.ready),
            self.fetch.payload.eq(line),
        ]
        with m.If(asked):
            m.d.sync += self.fetch.valid.eq(0)
            with m.If(at_end):
                m.d.sync += tail.eq(0)
        with m.Elif(~fetched):
            with m.If(at_end & ~tail):
                m.d.sync += fetched.eq(1)
            with m.Elif(~two & (whole | (known & (line[:bits] != limit)))):
                m.d.sync += self.fetch.valid.eq(1)
        with m.If(asked & ~used):
            m.d.sync += [one.eq(1), two.eq(one)]
        with m.Elif(used & ~asked):
            m.d.sync += [one.eq(two), two.eq(0)]

        # A line waits in `coming` until that in `held` is used up, which is shifted out word by word. Words ahead
        # of the range go first. `till` counts words from that at hand to the last, modulo four; `fetched` is there
        # before the last line is held, so that `last` comes with its word.
        coming, held = Signal(128, reset_less=True), Signal(128, reset_less=True)
        coming_valid, held_valid = Signal(), Signal()
        number, till, skip = (Signal(2, name=name, reset_less=True) for name in ("number", "till", "skip"))
        ends, follows, move, skips, shift = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            ends.eq((number == _WORDS - 1) | self.last),
            used.eq(self.take & ends),
            # What is behind the word that is used up, if it is.
            follows.eq(coming_valid & (~held_valid | ends)),
            skips.eq(held_valid & ~self.valid),
            shift.eq(self.take | skips),
            move.eq(follows & (~held_valid | self.take)),
            self.word.eq(held[96:]),
        ]
        m.d.sync += [
            self.last.eq(fetched & Mux(two, used, one & ~used) & Mux(shift, till == 1, till == 0)),
            coming_valid.eq(self.rsp_valid | (coming_valid & ~move)),
            held_valid.eq(move | (held_valid & ~used)),
            self.valid.eq(Mux(
                held_valid, Mux(self.valid, coming_valid | ~used, skip == 1), coming_valid & (skip == 0)
            )),
        ]
        with m.If(self.rsp_valid):
            m.d.sync += coming.eq(self.rsp_data)
        with m.If(shift | (coming_valid & ~held_valid)):
            m.d.sync += held.eq(Mux(follows, coming, Cat(coming[:32], held)))
        with m.If(shift):
            m.d.sync += [number.eq(number + 1), till.eq(till - 1)]
        with m.If(skips):
            m.d.sync += skip.eq(skip - 1)

        # Behind the range.
        place_word = Signal(2, reset_less=True)
        m.d.comb += self.place.eq(Cat(place_word, line))
        with m.If(self.step):
            m.d.sync += place_word.eq(place_word + 1)
        with m.If((asked & ~at_end) | (self.step & (place_word == _WORDS - 1))):
            m.d.sync += line.eq(line + 1)

        with m.If(self.begin):
            m.d.sync += [whole.eq(~self.follows), known.eq(0)]
        with m.If(self.start):
            m.d.sync += [line.eq(self.first[2:]), number.eq(0), skip.eq(self.first)]
        with m.If(self.bound):
            m.d.sync += [
                end_line.eq(self.end[2:]), till.eq(self.end[:2] - 1), place_word.eq(self.end),
                tail.eq(self.end[:2].any()), fetched.eq(self.seek),
            ]
        return m
