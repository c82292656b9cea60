# SPDX-License-Identifier: Apache-2.0
"""Frames on their way into the ring."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..packet_buffer import LoadedLayout
from ..stream import BeatLayout
from .layout import LineWrite, LoadedFrame, line_bits

__all__ = ["Load", "frame_lines"]

#: Lines of a half that may wait for their bank, and frames that may wait for the next unit.
_LINES, _FRAMES = 16, 16


def frame_lines(config):
    """Lines of a frame of the greatest length."""
    return -(-(config.max_frame + 2) // 16)


def _swap(value):
    return Cat(reversed([value[n : n + 8] for n in range(0, len(value), 8)]))


def _count(m, put, got, write, read, level):
    """The pointers of a queue, and what is in it."""
    with m.If(put):
        m.d.sync += write.eq(write + 1)
    with m.If(got):
        m.d.sync += read.eq(read + 1)
    with m.If(put ^ got):
        m.d.sync += level.eq(level + Cat(C(1, 1), got.replicate(len(level) - 1)))


class Load(wiring.Component):
    """Makes lines of beats, two bytes late, one beat a cycle. A frame begins in the line behind the one ahead of it.

    The last line of a frame, when it is but the last one or two bytes, is made in the cycle of the next frame's
    first: it goes to the other half. What lies behind the frame in its last line is undefined.

    A frame longer than ``config.max_frame`` is swallowed: it is ``too_long``, its ``length`` means nothing, and it
    has as many lines as one of the greatest length at most.

    Parameters
    ----------
    config : Config

    Members
    -------
    i : In(stream of BeatLayout(128))
    o : array of 2 Out(stream of LineWrite)
        Even lines, odd lines.
    tail : In(line_bits + 1)
        The first line that is in use; the top bit changes with each round. Nothing from there on is written.
    loaded : Out(stream of LoadedFrame)
        Frames in their order, once their lines have been taken from ``o``.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(BeatLayout(128))),
            "o": Out(stream.Signature(LineWrite(config))).array(2),
            "tail": In(line_bits(config) + 1),
            "loaded": Out(stream.Signature(LoadedFrame(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        most = frame_lines(config)
        bits = line_bits(config) + 1

        # A beat is accepted when there is room for what may be on its way already: five lines of a half and four
        # frames when what is known of them is two cycles old, and in the ring the six lines of three beats.
        room, frame_room = Signal(2), Signal()
        go = Signal()
        head = Signal(bits)
        used = Signal(bits, reset_less=True)
        m.d.sync += [
            used.eq(head - self.tail),
            go.eq(room.all() & frame_room & ~used[-1] & ~used[3:-1].all()),
        ]
        accepted = Signal()
        m.d.comb += [self.i.ready.eq(go), accepted.eq(self.i.valid & go)]

        # The frame so far: lines, whether it may have no more, and whether it was marked bad.
        beat = self.i.p
        count = Signal(range(most + 1))
        nearly_full, full, error = Signal(), Signal(), Signal()
        pushes, spills = Signal(), Signal()
        m.d.comb += [
            pushes.eq(accepted & ~full),
            spills.eq(pushes & beat.last & beat.keep[14] & ~nearly_full),
        ]
        m.d.sync += head.eq(head + Cat(pushes ^ spills, spills))
        with m.If(accepted):
            with m.If(beat.last):
                m.d.sync += [count.eq(0), nearly_full.eq(0), full.eq(0), error.eq(0)]
            with m.Else():
                m.d.sync += error.eq(error | beat.error)
                with m.If(~full):
                    m.d.sync += [count.eq(count + 1), nearly_full.eq(count == most - 2), full.eq(nearly_full)]

        # What is to be said of it: `length`, and a cycle later whether that is too much.
        keep = beat.keep
        size = Cat(keep.xor(), keep[1::2].xor(), keep[3::4].xor(), keep[7] ^ keep[15])  # modulo 16
        info = Signal(data.StructLayout({"lines": range(most + 1), "loaded": LoadedLayout}), reset_less=True)
        info_valid = Signal()
        m.d.sync += [
            info_valid.eq(accepted & beat.last),
            info.loaded.length.eq(Cat(size, (count + keep[15])[:12])),
            info.loaded.error.eq(error | beat.error),
            info.loaded.too_long.eq(full),
            info.lines.eq(count + (~full)[0] + spills),
        ]
        m.submodules.frames = frames = memory.Memory(
            shape=info.shape(), depth=_FRAMES, init=[], attrs={"ram_style": "distributed"}
        )
        frame_write, frame = frames.write_port(), frames.read_port(domain="comb")
        frame_level = Signal(range(_FRAMES + 1))
        frame_taken = Signal()
        m.d.comb += [
            frame_write.en.eq(info_valid),
            frame_write.data.eq(info),
            frame_write.data.loaded.too_long.eq(info.loaded.too_long | (info.loaded.length > config.max_frame)),
            frame_taken.eq(self.loaded.valid & self.loaded.ready),
        ]
        _count(m, info_valid, frame_taken, frame_write.addr, frame.addr, frame_level)
        m.d.sync += frame_room.eq(frame_level <= _FRAMES - 4)

        # A line goes into the half whose turn it is, and what it leaves over of the frame into the other one a cycle
        # later, ahead of what the next beat holds.
        taken, first = Signal(128, reset_less=True), Signal(init=1)
        push, push_half, over_push, over_half, spilled = (
            Signal(name=name) for name in ("push", "push_half", "over_push", "over_half", "spilled")
        )
        over = Signal(16, reset_less=True)
        m.d.sync += [
            push.eq(pushes), push_half.eq(head[0]), spilled.eq(spills), over_push.eq(spilled), over_half.eq(~push_half),
        ]
        ended = Signal()
        with m.If(accepted):
            m.d.sync += [taken.eq(_swap(beat.data)), ended.eq(beat.last), first.eq(ended)]
        m.d.sync += over.eq(taken[:16])
        done = []
        for half, o in enumerate(self.o):
            m.submodules[f"lines_{half}"] = lines = memory.Memory(
                shape=128, depth=_LINES, init=[], attrs={"ram_style": "distributed"}
            )
            write, read = lines.write_port(), lines.read_port(domain="comb")
            level = Signal(range(_LINES + 1), name=f"level_{half}")
            put, got, move = (Signal(name=f"{name}_{half}") for name in ("put", "got", "move"))
            line, at = Signal(128, name=f"line_{half}", reset_less=True), Signal(bits - 1, name=f"at_{half}")
            m.d.comb += [
                put.eq((push & (push_half == half)) | (over_push & (over_half == half))),
                write.en.eq(put),
                write.data.eq(Cat(taken[16:], Mux(first & (push_half == half), 0, over))),
                move.eq(~o.valid | o.ready),
                got.eq((level != 0) & move),
                # The lines of a half follow each other.
                o.p.line.eq(Cat(C(half, 1), at)),
                o.p.data.eq(line),
            ]
            _count(m, put, got, write.addr, read.addr, level)
            m.d.sync += room[half].eq(level <= _LINES - 5)
            with m.If(o.valid & o.ready):
                m.d.sync += at.eq(at + 1)
            with m.If(move):
                m.d.sync += [o.valid.eq(level != 0), line.eq(read.data)]
            done.append(at)

        # A frame is offered when both halves have come to its end; that takes two cycles to find out.
        base, end = Signal(bits), Signal(bits, reset_less=True)
        known, offered = Signal(), Signal()
        passed = []
        for half in range(2):
            ahead = Signal(bits - 1, name=f"ahead_{half}")
            # Of the positions ahead of `end`, half are even and half are odd, but that there is one even one more
            # ahead of an odd end.
            end_half = end[1:]
            borrow = end[0] if half == 0 else C(0, 1)
            m.d.comb += ahead.eq((Cat(C(1, 1), done[half]) + Cat(~borrow, ~end_half))[1:bits])
            passed.append(~ahead[-1])
        m.d.comb += [
            self.loaded.valid.eq(offered),
            self.loaded.p.base.eq(base),
            self.loaded.p.lines.eq(frame.data.lines),
            self.loaded.p.loaded.eq(frame.data.loaded),
        ]
        m.d.sync += [end.eq(base + frame.data.lines), known.eq(frame_level != 0)]
        with m.If(known & passed[0] & passed[1]):
            m.d.sync += offered.eq(1)
        with m.If(frame_taken):
            m.d.sync += [base.eq(end), known.eq(0), offered.eq(0)]
        return m
