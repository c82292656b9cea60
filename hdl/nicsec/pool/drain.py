# SPDX-License-Identifier: Apache-2.0
"""Frames on their way out of the ring."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream import BeatLayout
from .layout import line_bits
from .load import frame_lines

__all__ = ["Drain", "DrainLayout"]

#: Lines of a half that may be asked for ahead, and frames.
_LINES, _FRAMES = 16, 16


class DrainLayout(data.StructLayout):
    """A frame that is done with: whether it leaves, its bytes, and its lines. Where it begins, the one ahead ended."""

    def __init__(self, config):
        super().__init__({"keep": 1, "length": 16, "lines": line_bits(config) + 1})


class Drain(wiring.Component):
    """Makes beats of lines, one a cycle; nothing of the frame's lines is left of the two bytes that they are late.

    Parameters
    ----------
    config : Config

    Members
    -------
    frame : In(stream of DrainLayout)
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
            "frame": In(stream.Signature(DrainLayout(config))),
            "request": Out(stream.Signature(lines)).array(2),
            "valid": In(1).array(2),
            "data": In(128).array(2),
            "o": Out(stream.Signature(BeatLayout(128))),
            "tail": Out(lines + 1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        bits = line_bits(config)
        most = frame_lines(config)
        halves = range(2)

        # Frames in their order: their lines are asked for, then they wait here for them. Of a kept frame that is its
        # beats less one, the bytes of the last beat modulo 16, and whether a line holds no more than these.
        m.submodules.frames = frames = memory.Memory(
            shape=data.StructLayout({"keep": 1, "lines": range(most + 1), "length": range(config.max_frame + 1)}),
            depth=_FRAMES, init=[], attrs={"ram_style": "distributed"},
        )
        write, read = frames.write_port(), frames.read_port(domain="comb")
        level = Signal(range(_FRAMES + 1))
        begin, moved = Signal(), Signal()
        m.d.comb += [
            write.en.eq(begin),
            write.data.keep.eq(self.frame.p.keep),
            write.data.lines.eq(self.frame.p.lines),
            write.data.length.eq(self.frame.p.length),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + begin), read.addr.eq(read.addr + moved), level.eq(level + begin - moved),
        ]

        # Asking, in both halves by itself, but that both have to be through before the next frame.
        start = Signal(bits)
        asking = Signal(2)
        pops = Signal(2)
        m.d.comb += [
            self.frame.ready.eq(~asking.any() & ~level[-1]),
            begin.eq(self.frame.valid & self.frame.ready),
        ]
        with m.If(begin):
            m.d.sync += start.eq(start + self.frame.p.lines)
        ports, some = [], Signal(2)
        for half in halves:
            line = Signal(bits - 1, name=f"line_{half}", reset_less=True)
            left = Signal(range(most // 2 + 2), name=f"left_{half}", reset_less=True)
            credit = Signal(range(_LINES + 1), name=f"credit_{half}", init=_LINES)
            asked = Signal(name=f"asked_{half}")
            request = self.request[half]
            m.d.comb += [
                request.valid.eq(asking[half] & credit.any()),
                request.payload.eq(Cat(C(half, 1), line)),
                asked.eq(request.valid & request.ready),
            ]
            m.d.sync += credit.eq(credit - asked + pops[half])
            share = Signal.like(left, name=f"share_{half}")
            m.d.comb += share.eq((self.frame.p.lines + (start[0] == half)) >> 1)
            with m.If(~asking.any()):
                m.d.sync += [
                    line.eq((start + (1 - half))[1:bits]), left.eq(share),
                    asking[half].eq(begin & self.frame.p.keep & share.any()),
                ]
            with m.Elif(asked):
                m.d.sync += [line.eq(line + 1), left.eq(left - 1), asking[half].eq(left != 1)]

            # Their lines wait here.
            m.submodules[f"lines_{half}"] = lines = memory.Memory(
                shape=128, depth=_LINES, init=[], attrs={"ram_style": "distributed"}
            )
            put, get = lines.write_port(), lines.read_port(domain="comb")
            waiting = Signal(range(_LINES + 1), name=f"waiting_{half}")
            m.d.comb += [put.en.eq(self.valid[half]), put.data.eq(self.data[half]), some[half].eq(waiting.any())]
            m.d.sync += [
                put.addr.eq(put.addr + put.en), get.addr.eq(get.addr + pops[half]),
                waiting.eq(waiting + put.en - pops[half]),
            ]
            ports.append(get)

        # The frame that is next.
        length = read.data.length
        full = length[:4] == 0
        following = Signal(data.StructLayout({
            "keep": 1, "lines": range(most + 1), "beats": range(most), "over": 1, "mask": 16,
        }), reset_less=True)
        known, used = Signal(), Signal()
        m.d.comb += moved.eq((level != 0) & (~known | used))
        with m.If(~known | used):
            m.d.sync += [
                known.eq(level != 0),
                following.keep.eq(read.data.keep),
                following.lines.eq(read.data.lines),
                following.beats.eq(length[4:] - full),
                following.over.eq(full | length[:4].all()),
                following.mask.eq(Cat(full | (length[:4] > n) for n in range(16))),
            ]

        # The beat at hand: bytes 2 to 15 of a line of one half, and the two of the other one's line behind it.
        position = Signal(bits + 1)
        active, last = Signal(), Signal()
        beats = Signal(range(most), reset_less=True)  # behind this one
        over = Signal(reset_less=True)
        mask, keep = Signal(16, reset_less=True), Signal(16, reset_less=True)
        turn = Signal()
        go, both, ends, frees = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.tail.eq(position),
            both.eq(last & over),
            go.eq(
                active & some.bit_select(turn, 1).any() & (some.bit_select(~turn, 1).any() | (last & ~over))
                & (~self.o.valid | self.o.ready)
            ),
            ends.eq(~active | last),
            frees.eq(~active & known & ~following.keep),
            used.eq(frees | (ends & (go | ~active) & known & following.keep)),
        ]
        for half in halves:
            m.d.comb += pops[half].eq(go & ((turn == half) | both))
        with m.If(go | ~active):
            coming = Signal(16)
            coming_last = Signal()
            m.d.comb += [
                coming_last.eq(Mux(ends, following.beats == 0, beats == 1)),
                coming.eq(Mux(ends, following.mask, mask)),
            ]
            m.d.sync += [
                active.eq(~ends | (known & following.keep)),
                beats.eq(Mux(ends, following.beats, beats - 1)),
                last.eq(coming_last),
                mask.eq(coming),
                keep.eq(coming | (~coming_last).replicate(16)),
            ]
            with m.If(ends):
                m.d.sync += over.eq(following.over)
        step = Signal(range(most + 1))
        m.d.comb += step.eq(Mux(active, Mux(both, 2, 1), following.lines))
        with m.If(go | frees):
            m.d.sync += [position.eq(position + step), turn.eq(turn ^ step[0])]

        whole = [port.data for port in ports]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(go), self.o.p.last.eq(last), self.o.p.keep.eq(keep)]
            for n in range(16):
                at = 104 - 8 * n if n < 14 else 120 - 8 * (n - 14)
                byte = [line[at : at + 8] for line in (whole if n < 14 else reversed(whole))]
                m.d.sync += self.o.p.data[8 * n : 8 * n + 8].eq(Mux(keep[n], Mux(turn, byte[1], byte[0]), 0))
        return m
