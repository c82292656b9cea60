# SPDX-License-Identifier: Apache-2.0
"""Frames on their way out of the ring."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import more_than
from ..stream import BeatLayout
from .layout import FrameLayout, line_bits
from .load import frame_lines

__all__ = ["Drain"]

#: Lines of a half that may be asked for ahead, and frames.
_LINES, _FRAMES = 16, 16


def _counting(count, step, is_so):
    """Whether ``is_so`` of ``count`` behind this cycle, in which ``step`` counts; ``step`` may come late."""
    return Mux(step, is_so((count + 1)[: len(count)]), is_so(count))


class Drain(wiring.Component):
    """Makes beats of lines, one a cycle; nothing of the frame's lines is left of the two bytes that they are late.

    Parameters
    ----------
    config : Config

    Members
    -------
    frame : In(stream of FrameLayout)
        All frames of the ring in their order. One that is kept has the lines that its ``length`` takes, which is not
        0; the lines of another one are freed.
    request : array of 2 Out(stream of line_bits), valid, data : In
        The ring's ports, even lines and odd lines.
    o : Out(stream of BeatLayout(128))
        What is not of the frame is zero.
    tail : Out(line_bits + 1)
        The first line that is in use, with a bit that changes with each round.
    """

    def __init__(self, config):
        self._config = config
        lines = line_bits(config)
        super().__init__({
            "frame": In(stream.Signature(FrameLayout(config))),
            "request": Out(stream.Signature(lines)).array(2),
            "valid": In(1).array(2),
            "data": In(128).array(2),
            "o": Out(stream.Signature(BeatLayout(128))),
            "tail": Out(lines + 1),
        })

    def elaborate(self, platform):
        m = Module()
        bits = line_bits(self._config)
        halves = range(2)
        lines_shape = range(frame_lines(self._config) + 1)

        # Frames wait here for their lines, which have been asked for. Of the length the bytes of the last beat are
        # enough, modulo 16: where they and the two of padding take two lines, there is one line more than beats.
        m.submodules.frames = frames = memory.Memory(
            shape=data.StructLayout({"keep": 1, "lines": lines_shape, "size": 4}),
            depth=_FRAMES, init=[], attrs={"ram_style": "distributed"},
        )
        write, read = frames.write_port(), frames.read_port(domain="comb")
        begin, moved = Signal(), Signal()
        put_at, got_at = (Signal(len(write.addr) + 1, name=name) for name in ("put_at", "got_at"))
        there, full = Signal(), Signal()
        m.d.comb += [
            write.en.eq(begin),
            write.data.keep.eq(self.frame.p.keep),
            write.data.lines.eq(self.frame.p.lines),
            write.data.size.eq(self.frame.p.length[:4]),
            write.addr.eq(put_at), read.addr.eq(got_at),
        ]
        # What is new in the list is known a cycle late, and so is a place that is free again. None is taken in the
        # cycle behind another one.
        m.d.sync += [
            there.eq((got_at != put_at) & ~moved),
            full.eq(_counting(put_at, begin, lambda at: (at ^ got_at) == _FRAMES)),
        ]
        with m.If(begin):
            m.d.sync += put_at.eq(put_at + 1)
        with m.If(moved):
            m.d.sync += got_at.eq(got_at + 1)

        # Asking up to `until`, in each half by itself: of the lines ahead of an odd position there is an even one more
        # than odd ones. The lines of a frame that does not leave are passed by, for which both halves have to be done
        # with those before and it with both before the next. `idle` knows of a new frame four cycles later.
        until = Signal(bits)
        passing, idle = Signal(), Signal()
        news = Signal(2)
        asking, some, pops = Signal(2), Signal(2), Signal(2)
        m.d.comb += [
            self.frame.ready.eq(~full & (idle | (self.frame.p.keep & ~passing))),
            begin.eq(self.frame.valid & self.frame.ready),
        ]
        m.d.sync += [news.eq(Cat(begin, news)), idle.eq(~begin & ~news.any() & ~asking.any())]
        with m.If(begin):
            m.d.sync += [until.eq(until + self.frame.p.lines), passing.eq(~self.frame.p.keep)]
        lines = []
        for half, request in enumerate(self.request):
            line, after = Signal(bits - 1, name=f"line_{half}"), Signal(bits - 1, name=f"after_{half}", init=1)
            end = Signal(bits - 1, name=f"end_{half}")
            m.d.sync += end.eq((until + (1 - half))[1:bits])
            m.submodules[f"lines_{half}"] = waiting = memory.Memory(
                shape=128, depth=_LINES, init=[], attrs={"ram_style": "distributed"}
            )
            put, get = waiting.write_port(), waiting.read_port(domain="comb")
            # Lines that were asked for, that came, that are done with.
            asked, came, gone = (Signal(range(2 * _LINES), name=f"{name}_{half}") for name in ("asked", "came", "gone"))
            full, step, asks = (Signal(name=f"{name}_{half}") for name in ("full", "step", "asks"))
            m.d.comb += [
                request.valid.eq(asking[half] & ~passing & ~full),
                request.payload.eq(Cat(C(half, 1), line)),
                asks.eq(request.valid & request.ready),
                step.eq(asks | (asking[half] & passing)),
                put.addr.eq(came), put.en.eq(self.valid[half]), put.data.eq(self.data[half]),
                get.addr.eq(gone),
            ]
            m.d.sync += [
                some[half].eq(_counting(gone, pops[half], lambda at, came=came: at != came)),
                full.eq(_counting(asked, asks, lambda at, gone=gone: (at ^ gone) == _LINES)),
            ]
            with m.If(step):
                m.d.sync += [line.eq(after), after.eq(after + 1)]
            with m.If(step | ~asking[half]):
                m.d.sync += asking[half].eq(Mux(asking[half], after, line) != end)
            for strobe, count in ((asks, asked), (put.en, came), (pops[half], gone)):
                with m.If(strobe):
                    m.d.sync += count.eq(count + 1)
            lines.append(get.data)

        # The frame that is next.
        following = Signal(
            data.StructLayout({"keep": 1, "lines": lines_shape, "size": 4, "over": 1, "single": 1}), reset_less=True
        )
        known, used = Signal(), Signal()
        over = Signal()
        m.d.comb += [
            moved.eq(there & (~known | used)),
            over.eq((read.data.size == 0) | (read.data.size == 15)),
        ]
        with m.If(~known | used):
            m.d.sync += [
                known.eq(there),
                following.keep.eq(read.data.keep),
                following.lines.eq(read.data.lines),
                following.size.eq(read.data.size),
                following.over.eq(over),
                following.single.eq(read.data.lines == 1 + over),
            ]

        # The beat at hand: bytes 2 to 15 of a line of one half, and the two of the other one's line behind it. `left`
        # are the frame's lines from the first of the two on.
        position = Signal(bits + 1)
        active, last, both = Signal(), Signal(), Signal()
        left = Signal(lines_shape, reset_less=True)
        more = Signal(reset_less=True)  # there is a line behind the one that the last beat begins in
        size = Signal(4, reset_less=True)
        keep = Signal(16, reset_less=True)
        turn = Signal()
        go, ends, frees, begins = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.tail.eq(position),
            both.eq(last & more),
            go.eq(
                active & Mux(turn, some[1], some[0]) & (Mux(turn, some[0], some[1]) | (last & ~more))
                & (~self.o.valid | self.o.ready)
            ),
            ends.eq(~active | last),
            begins.eq(known & following.keep),
            frees.eq(~active & known & ~following.keep),
            used.eq(frees | (ends & (go | ~active) & begins)),
        ]
        for half in halves:
            m.d.comb += pops[half].eq(go & ((turn == half) | both))
        coming_last, coming_size = Signal(), Signal(4)
        m.d.comb += [
            coming_last.eq(Mux(ends, following.single, left == 2 + more)),
            coming_size.eq(Mux(ends, following.size, size)),
        ]
        with m.If(go | ~active):
            m.d.sync += [
                active.eq(~ends | begins),
                last.eq(coming_last),
                left.eq(Mux(ends, following.lines, left - 1)),
                size.eq(coming_size),
            ]
            with m.If(ends):
                m.d.sync += more.eq(following.over)
            with m.If(~coming_last):
                m.d.sync += keep.eq(-1)
            with m.Else():
                m.d.sync += keep.eq(Cat((coming_size == 0) | more_than(coming_size, n) for n in range(16)))
        step = Signal(lines_shape)
        m.d.comb += step.eq(Mux(active, Mux(both, 2, 1), following.lines))
        with m.If(go | frees):
            m.d.sync += [position.eq(position + step), turn.eq(turn ^ step[0])]

        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(go), self.o.p.last.eq(last), self.o.p.keep.eq(keep)]
            for n in range(16):
                at = 104 - 8 * n if n < 14 else 120 - 8 * (n - 14)
                even, odd = (line[at : at + 8] for line in (lines if n < 14 else reversed(lines)))
                m.d.sync += self.o.p.data[8 * n : 8 * n + 8].eq(Mux(keep[n], Mux(turn, odd, even), 0))
        return m
