# SPDX-License-Identifier: Apache-2.0
"""Beats between the frame ports, which move one a cycle, and groups of lanes, which take four cycles for one."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import BeatLayout

__all__ = ["Deal", "Gather"]


class _Stored(data.StructLayout):
    """A beat with ``keep`` as the number of its bytes less one."""

    def __init__(self, width):
        super().__init__({"data": width, "bytes": range(width // 8), "last": 1, "error": 1})

    def pack(self, beat):
        """``beat`` in this shape."""
        count = sum(beat.keep[n] for n in range(1, len(beat.keep)))
        return [("data", beat.data), ("bytes", count), ("last", beat.last), ("error", beat.error)]

    def unpack(self, stored):
        """The fields of a beat that was stored."""
        keep = Cat(C(1, 1), *(stored.bytes >= n for n in range(1, len(stored.data) // 8)))
        return [("data", stored.data), ("keep", keep), ("last", stored.last), ("error", stored.error)]


def _assign(target, fields):
    return [getattr(target, name).eq(value) for name, value in fields]


def _store(m, groups, depth, shape):
    """A memory of one ring per group, with its pointers; a position has one bit more than an address."""
    m.submodules.beats = beats = memory.Memory(
        shape=shape, depth=groups * depth, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
    )
    ends = [
        [Signal(range(2 * depth), name=f"{end}_{n}") for n in range(groups)] for end in ("head", "tail")
    ]
    return beats.write_port(), beats.read_port(), *ends


def _full(head, tail):
    return (head ^ tail) == C(1 << (len(head) - 1), len(head))


def _address(position, group):
    return Cat(position[:-1], group)


class Deal(wiring.Component):
    """Deals frames to groups: one beat in per cycle, and one out per group every ``groups`` cycles.

    Parameters
    ----------
    width : int
        Bits of a beat.
    groups : int
        A power of two.
    depth : int
        Beats that a group's ring holds, a power of two.

    Members
    -------
    i : In(stream of BeatLayout(width))
    route : In(stream of range(groups))
        The group of each frame, in the order of the frames.
    o : Out(stream of BeatLayout(width), one per group)
    """

    def __init__(self, width, *, groups, depth):
        self._width, self._groups, self._depth = width, groups, depth
        super().__init__({
            "i": In(stream.Signature(BeatLayout(width))),
            "route": In(stream.Signature(range(groups))),
            "o": Out(stream.Signature(BeatLayout(width))).array(groups),
        })

    def elaborate(self, platform):
        m = Module()
        groups, group_bits = self._groups, (self._groups - 1).bit_length()
        shape = _Stored(self._width)
        write, read, heads, tails = _store(m, groups, self._depth, shape)

        # In: a registered beat, whose route is known, goes into its ring.
        beat, beat_valid, into = Signal(shape, reset_less=True), Signal(), Signal(group_bits)
        fits = Signal()
        take = Signal()
        m.d.comb += [
            fits.eq(~Cat(_full(head, tail) for head, tail in zip(heads, tails, strict=True)).bit_select(into, 1)),
            self.i.ready.eq(self.route.valid & (~beat_valid | fits)),
            take.eq(self.i.valid & self.i.ready),
            self.route.ready.eq(take & self.i.p.last),
            write.addr.eq(_address(Array(heads)[into], into)),
            write.data.eq(beat),
            write.en.eq(beat_valid & fits),
        ]
        for n, head in enumerate(heads):
            with m.If(write.en & (into == n)):
                m.d.sync += head.eq(head + 1)
        with m.If(~beat_valid | fits):
            m.d.sync += [beat_valid.eq(take), into.eq(self.route.payload), *_assign(beat, shape.pack(self.i.p))]

        # Out: each ring has its turn. Two beats may be on their way to a group's two registers.
        turn = Signal(group_bits)
        asked, arrived = Signal(), Signal()
        asked_for, arrived_for = Signal(group_bits), Signal(group_bits)
        fetched = Signal(shape, reset_less=True)
        m.d.sync += turn.eq(turn + 1)
        m.d.comb += [read.en.eq(1), read.addr.eq(_address(Array(tails)[turn], turn))]
        m.d.sync += [
            asked.eq(0), asked_for.eq(turn), arrived.eq(asked), arrived_for.eq(asked_for), fetched.eq(read.data),
        ]
        for n, (head, tail) in enumerate(zip(heads, tails, strict=True)):
            reserved = Signal(2, name=f"reserved_{n}")
            first, second = (Signal(shape, name=f"{name}_{n}", reset_less=True) for name in ("first", "second"))
            first_valid, second_valid = Signal(name=f"first_valid_{n}"), Signal(name=f"second_valid_{n}")
            ask, given, comes = (Signal(name=f"{name}_{n}") for name in ("ask", "given", "comes"))
            o = self.o[n]
            m.d.comb += [
                ask.eq((turn == n) & (head != tail) & (reserved != 2)),
                given.eq(o.valid & o.ready),
                comes.eq(arrived & (arrived_for == n)),
                o.valid.eq(first_valid),
                *_assign(o.p, shape.unpack(first)),
            ]
            m.d.sync += reserved.eq(reserved + ask - given)
            with m.If(ask):
                m.d.sync += [tail.eq(tail + 1), asked.eq(1)]
            with m.If(given | ~first_valid):
                m.d.sync += [
                    first_valid.eq(second_valid | comes), first.eq(Mux(second_valid, second, fetched)),
                    second_valid.eq(second_valid & comes),
                ]
                with m.If(comes):
                    m.d.sync += second.eq(fetched)
            with m.Elif(comes):
                m.d.sync += [second.eq(fetched), second_valid.eq(1)]
        return m


class Gather(wiring.Component):
    """Gathers frames from groups: one beat in per group every ``groups`` cycles, one out per cycle.

    Parameters
    ----------
    width : int
        Bits of a beat.
    groups : int
        Groups, a power of two.
    depth : int
        Beats that a group's ring holds, a power of two.

    Members
    -------
    i : In(stream of BeatLayout(width), one per group)
    route : In(stream of range(groups))
        The group of each frame, in the order in which frames are to leave.
    o : Out(stream of BeatLayout(width))
    """

    def __init__(self, width, *, groups, depth):
        self._width, self._groups, self._depth = width, groups, depth
        super().__init__({
            "i": In(stream.Signature(BeatLayout(width))).array(groups),
            "route": In(stream.Signature(range(groups))),
            "o": Out(stream.Signature(BeatLayout(width))),
        })

    def elaborate(self, platform):
        m = Module()
        groups, group_bits = self._groups, (self._groups - 1).bit_length()
        shape = _Stored(self._width)
        write, read, heads, tails = _store(m, groups, self._depth, shape)

        # In: each group has its turn.
        turn = Signal(group_bits)
        fits = Signal(groups)
        beat, beat_valid, into = Signal(shape, reset_less=True), Signal(), Signal(group_bits)
        m.d.sync += [turn.eq(turn + 1), beat_valid.eq(0), into.eq(turn)]
        for n, (i, head, tail) in enumerate(zip(self.i, heads, tails, strict=True)):
            # One beat may be on its way into the ring when this is known.
            m.d.sync += fits[n].eq((head - tail)[: len(head)] < self._depth - 1)
            m.d.comb += i.ready.eq((turn == n) & fits[n])
            with m.If(i.valid & i.ready):
                m.d.sync += [beat_valid.eq(1), *_assign(beat, shape.pack(i.p))]
            with m.If(beat_valid & (into == n)):
                m.d.sync += head.eq(head + 1)
        m.d.comb += [
            write.addr.eq(_address(Array(heads)[into], into)), write.data.eq(beat), write.en.eq(beat_valid),
        ]

        # Out: beats are read ahead of the news that one of them was the last; what was read behind it is read again
        # as the beginning of that group's next frame.
        group = Signal(group_bits)
        at = Signal.like(tails[0])
        head = Signal.like(at)
        reading, asked, arrived = Signal(), Signal(), Signal()
        fetched = Signal(shape, reset_less=True)
        move, ended = Signal(), Signal()
        m.d.comb += [
            move.eq(~arrived | self.o.ready),
            read.en.eq(move),
            read.addr.eq(_address(at, group)),
            ended.eq(arrived & self.o.ready & fetched.last),
            self.o.valid.eq(arrived),
            *_assign(self.o.p, shape.unpack(fetched)),
            head.eq(Array(heads)[group]),
        ]
        for n, tail in enumerate(tails):
            with m.If(arrived & self.o.ready & (group == n)):
                m.d.sync += tail.eq(tail + 1)
        with m.If(move):
            m.d.sync += [asked.eq(reading & (at != head)), arrived.eq(asked), fetched.eq(read.data)]
            with m.If(reading & (at != head)):
                m.d.sync += at.eq(at + 1)
        with m.If(ended):
            m.d.sync += [reading.eq(0), asked.eq(0), arrived.eq(0)]
        with m.Elif(~reading):
            m.d.comb += self.route.ready.eq(1)
            m.d.sync += [
                reading.eq(self.route.valid), group.eq(self.route.payload), at.eq(Array(tails)[self.route.payload]),
            ]
        return m
