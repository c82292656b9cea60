# SPDX-License-Identifier: Apache-2.0
"""Reads a range of the ring line by line, no further than it is final."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import gated, more_than
from .layout import Progress, line_bits, place_bits

__all__ = ["LineReader"]

#: Words of a line.
_WORDS = 4
#: Lines that are at hand or on their way.
_LINES = 2


class LineReader(wiring.Component):
    """Words from ``first`` to ``end``, one a cycle while its two lines last.

    Parameters
    ----------
    config : Config
    bytewise : bool
        Whether the last word may have less than four bytes.

    Members
    -------
    start : In(1)
        Strobe; ``first``, ``end`` (places), ``seek`` and ``follows`` go with it. Everything before has been taken.
    first, end : In(place)
        The range has a word at least.
    seek : In(1)
        Nothing is read; ``place`` becomes ``first``.
    follows : In(1)
        The range may be read up to the line of the last progress; without it all of it may.
    thread : In
        From the cycle behind ``start`` on.
    progress : In(Progress(config))
        Of ``thread``, from the cycle behind ``start`` on. Places that do not fall, within the range.
    fetch : Out(stream of line_bits(config)), rsp_valid : In(1), rsp_data : In(128)
        Lines, in the order of requests.
    valid : Out(1), last : Out(1)
        There is a word; it is that ahead of ``end``.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
        What was taken in the cycle before, or zero.
    size : In(2)
        With ``bytewise``: bytes of the last word, modulo four; those behind it are zero.
    place : Out, step : In(1)
        When all has been taken ``place`` is ``end``, and then moves on by a word with each ``step``.
    """

    def __init__(self, config, *, bytewise=False):
        self._config = config
        self._bytewise = bytewise
        place, line = place_bits(config), line_bits(config)
        progress = Progress(config)
        super().__init__({
            "start": In(1),
            "first": In(place),
            "end": In(place),
            "seek": In(1),
            "follows": In(1),
            "thread": In(progress.members["thread"]),
            "progress": In(progress),
            "fetch": Out(stream.Signature(line)),
            "rsp_valid": In(1),
            "rsp_data": In(128),
            "valid": Out(1),
            "last": Out(1),
            "take": In(1),
            "word": Out(32),
            **({"size": In(2)} if bytewise else {}),
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
        end_word = Signal(2, reset_less=True)
        limit = Signal(bits, reset_less=True)
        whole, known = Signal(), Signal()
        with m.If(self.progress.valid & (self.progress.thread == self.thread)):
            m.d.sync += [limit.eq(self.progress.place[2:]), known.eq(1)]
            with m.If(self.progress.last):
                m.d.sync += whole.eq(1)

        # `line` is in the end that of `end`, whether that has words of the range or not.
        at_end, tail, fetched = Signal(), Signal(), Signal(init=1)
        asked = Signal()
        lines = Signal(2)  # at hand or on their way
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
            with m.Elif((lines != _LINES) & (whole | (known & (line[:bits] != limit)))):
                m.d.sync += self.fetch.valid.eq(1)

        # A line waits in `coming` until that in `held` is used up, which is shifted out word by word. Words ahead
        # of the range go first.
        coming, held = Signal(128, reset_less=True), Signal(128, reset_less=True)
        coming_valid, held_valid = Signal(), Signal()
        number, skip = Signal(2, reset_less=True), Signal(2, reset_less=True)
        used, move, skips = Signal(), Signal(), Signal()
        m.d.comb += [
            used.eq(self.take & ((number == _WORDS - 1) | self.last)),
            move.eq(coming_valid & (~held_valid | used)),
            skips.eq(held_valid & skip.any()),
            self.valid.eq(held_valid & ~skip.any()),
            self.last.eq(fetched & (lines == 1) & ((number + 1)[:2] == end_word)),
        ]
        m.d.sync += [
            lines.eq(lines + asked - used),
            coming_valid.eq(self.rsp_valid | (coming_valid & ~move)),
            held_valid.eq(move | (held_valid & ~used)),
        ]
        with m.If(self.rsp_valid):
            m.d.sync += coming.eq(self.rsp_data)
        with m.If(move):
            m.d.sync += held.eq(coming)
        with m.Elif(self.take | skips):
            m.d.sync += held[32:].eq(held)
        with m.If(used):
            m.d.sync += number.eq(0)
        with m.Elif(self.take | skips):
            m.d.sync += number.eq(number + 1)
        with m.If(skips):
            m.d.sync += skip.eq(skip - 1)
        word = Signal(32, reset_less=True)
        m.d.comb += self.word.eq(word)
        for n in range(4):
            wanted = ~self.last | more_than(self.size, n) | (self.size == 0) if self._bytewise else 1
            m.d.sync += word[24 - 8 * n :][:8].eq(gated(held[120 - 8 * n :][:8], self.take & wanted))

        # Behind the range.
        place_word = Signal(2, reset_less=True)
        m.d.comb += self.place.eq(Cat(place_word, line))
        with m.If(self.step):
            m.d.sync += place_word.eq(place_word + 1)
        with m.If((asked & ~at_end) | (self.step & (place_word == _WORDS - 1))):
            m.d.sync += line.eq(line + 1)

        with m.If(self.start):
            m.d.sync += [
                line.eq(self.first[2:]), number.eq(0), skip.eq(self.first),
                end_line.eq(self.end[2:]), end_word.eq(self.end),
                place_word.eq(Mux(self.seek, self.first, self.end)), tail.eq(self.end[:2].any()), fetched.eq(self.seek),
                whole.eq(~self.follows), known.eq(0),
            ]
        return m
