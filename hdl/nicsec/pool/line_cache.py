# SPDX-License-Identifier: Apache-2.0
"""A few lines of one frame, for units that read words."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import any_of
from ..job import word_bits
from .layout import line_bits

__all__ = ["LineCache"]


class LineCache(wiring.Component):
    """Words of a frame out of lines that are fetched when they are needed, and before.

    Seen by a unit that works while ``stall`` is low, the port is that of a memory: the word of ``addr`` in one such
    cycle is at ``word`` two such cycles later. ``stall`` is a register. It rises in the cycle behind the one in which
    a word was asked for whose line is not here, and until it falls ``word`` and what is on its way to it stand still;
    so does the unit (``EnableInserter(~stall)``), whose next ``addr`` is taken when ``stall`` is low again. With
    ``en`` low ``addr`` is not taken and ``word`` stands still as well.

    Line n of the frame has place n modulo 16; one that is replaced is fetched again when a word of it is asked for. A
    miss costs three cycles more than the answer takes.

    Parameters
    ----------
    config : Config
    ahead : int
        Lines behind that of the last word asked for which are fetched early, up to 14.

    Members
    -------
    start : In(1)
        Strobe: what is here is forgotten, what was asked for is thrown away when it comes. What ``addr`` asks for in
        this cycle counts for nothing.
    base : In
        The frame's first line in the ring; it is held from ``start`` on.
    last : In
        The last line, as a position, that is of use: none behind it is fetched early, and a word behind it stalls
        nothing for longer than a cycle but is not defined.
    active : In(1)
        Words are asked for. Without it nothing is fetched, and in the next cycle nothing stalls.
    addr : In, en : In(1, init=1), word : Out(32), stall : Out(1)
    limited : In(1), limit : In
        With ``limited``, no line from position ``limit`` on is fetched yet, also when a word of it is asked for.
    hint : In, hint_valid : In(1)
        A line that will be needed, as a position, held from ``hint_valid`` to ``start``. It and the one ahead of it
        are fetched once, when there is nothing better to do.
    fetch : Out(stream of line_bits), rsp_valid : In(1), rsp_data : In(128)
        Lines in the order in which they were asked for. Up to 15 are on their way.
    """

    def __init__(self, config, *, ahead=3):
        if not 0 <= ahead <= 14:
            raise ValueError(f"ahead must be from 0 to 14, not {ahead!r}")
        self._ahead = ahead
        words, lines = word_bits(config), line_bits(config)
        position = words - 2
        super().__init__({
            "start": In(1),
            "base": In(lines),
            "last": In(position),
            "active": In(1),
            "addr": In(words),
            "en": In(1, init=1),
            "word": Out(32),
            "stall": Out(1),
            "limited": In(1),
            "limit": In(position + 1),
            "hint": In(position),
            "hint_valid": In(1),
            "fetch": Out(stream.Signature(lines)),
            "rsp_valid": In(1),
            "rsp_data": In(128),
        })

    def elaborate(self, platform):
        m = Module()
        bits = len(self.last)
        index_bits = min(bits, 4)
        places = 1 << index_bits

        def place(line):
            return line[:index_bits]

        def table(name, shape, depth):
            m.submodules[name] = memory_ = memory.Memory(
                shape=shape, depth=depth, init=[], attrs={"ram_style": "distributed"}
            )
            return memory_.write_port(), lambda: memory_.read_port(domain="comb")

        # What is at each place: a line that was asked for, or that is here as well.
        tag_write, tag_read = table("tags", max(bits - index_bits, 1), places)
        asked, here = Signal(places), Signal(places)

        def look_up(line):
            """Whether the place of ``line`` is this line's; its state."""
            read = tag_read()
            m.d.comb += read.addr.eq(place(line))
            return (
                read.data == line[index_bits:] if bits > index_bits else C(1, 1),
                asked.bit_select(place(line), 1).any(), here.bit_select(place(line), 1).any(),
            )

        # Words. While it stalls, the word that is missing is looked for again.
        stall = self.stall
        taken, looks = Signal(), Signal()
        wanted = Signal.like(self.addr, reset_less=True)
        at = Signal.like(self.addr)
        hit, beyond = Signal(), Signal()
        demand = wanted[2:]
        m.d.comb += [
            taken.eq(self.en & ~stall), looks.eq(self.en | stall), at.eq(Mux(stall, wanted, self.addr)),
            beyond.eq(demand > self.last),
        ]
        match, _, is_here = look_up(at[2:])
        m.d.comb += hit.eq(match & is_here)
        m.d.sync += stall.eq(self.active & ~self.start & looks & ~hit & ~(stall & beyond))
        with m.If(taken):
            m.d.sync += wanted.eq(self.addr)

        line_write, line_read = table("lines", 128, places)
        lines = line_read()
        m.d.comb += lines.addr.eq(place(at[2:]))
        found = [Signal(32, name=f"found_{n}", reset_less=True) for n in range(4)]
        for n, word in enumerate(found):
            with m.If(looks):
                with m.If(at[:2] == n):
                    m.d.sync += word.eq(lines.data[96 - 32 * n : 128 - 32 * n])
                with m.Else():
                    m.d.sync += word.eq(0)
        with m.If(taken):
            m.d.sync += self.word.eq(any_of(found))

        # Lines that are wanted: one that a word waits for, those behind it, those that will be needed. What is known
        # of `following` is a cycle old.
        following = Signal(bits, reset_less=True)
        settled, near, astray, demanded = Signal(), Signal(), Signal(), Signal()
        ahead = Signal(bits)
        m.d.comb += ahead.eq(following - demand)
        m.d.sync += [
            near.eq((ahead != 0) & (ahead <= self._ahead) & (following <= self.last)),
            astray.eq((ahead == 0) | (ahead > self._ahead + 1)),
            settled.eq(1),
        ]
        hints = Signal(2)
        line = Signal(bits)
        demands, follows, hinted = Signal(), Signal(), Signal()
        m.d.comb += [
            demands.eq(stall & ~demanded & ~beyond),
            follows.eq(~demands & settled & near),
            hinted.eq(~demands & settled & ~near & ~astray & self.hint_valid & ~hints[1]),
            line.eq(Mux(demands, demand, Mux(near, following, self.hint - hints[0]))),
        ]

        # Asking for it. It is there or on its way, or its place is free, or else a line of that place is on its way.
        match, is_asked, is_here = look_up(line)
        first, end = Signal(4), Signal(4)  # of those on their way
        known, free, ask, done = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            known.eq(is_asked & match),
            free.eq(~is_asked | (is_here & ~match)),
            ask.eq(
                (demands | follows | hinted) & free & self.active & ~self.start & ~self.fetch.valid
                & (~self.limited | (line < self.limit)) & ((end + 1)[:4] != first)
            ),
            done.eq(ask | known),
        ]
        with m.If(self.start | ~stall):
            m.d.sync += demanded.eq(0)
        with m.Elif(demands & done):
            m.d.sync += demanded.eq(1)
        with m.If(follows & done):
            m.d.sync += [following.eq(following + 1), settled.eq(0)]
        with m.Elif(settled & astray):
            m.d.sync += [following.eq(demand + 1), settled.eq(0)]
        with m.If(self.start):
            m.d.sync += hints.eq(0)
        with m.Elif(hinted & done):
            m.d.sync += hints.eq(Cat(C(1, 1), hints[0] | ~self.hint.any()))
        with m.If(self.start | (taken & (self.addr[2:] != demand))):
            m.d.sync += settled.eq(0)
        # Lines of another frame are nothing that has been asked for of this one: at 0 it is astray.
        with m.If(self.start):
            m.d.sync += following.eq(0)

        with m.If(ask):
            m.d.sync += [self.fetch.valid.eq(1), self.fetch.payload.eq(self.base + line)]
        with m.Elif(self.fetch.ready):
            m.d.sync += self.fetch.valid.eq(0)

        # What comes. Everything that was on its way at the start, up to `fresh`, is thrown away.
        order_write, order_read = table("order", index_bits, 16)
        order = order_read()
        fresh, stale = Signal(4), Signal()
        comes = Signal()
        m.d.comb += [
            order_write.addr.eq(end), order_write.data.eq(place(line)), order_write.en.eq(ask),
            order.addr.eq(first),
            comes.eq(self.rsp_valid & ~stale & ~self.start),
            line_write.addr.eq(order.data), line_write.data.eq(self.rsp_data), line_write.en.eq(comes),
            tag_write.addr.eq(place(line)), tag_write.data.eq(line[index_bits:]), tag_write.en.eq(ask),
        ]
        m.d.sync += [first.eq(first + self.rsp_valid), end.eq(end + ask)]
        left = Signal(4)
        m.d.comb += left.eq(first + self.rsp_valid)
        with m.If(self.start):
            m.d.sync += [fresh.eq(end), stale.eq(left != end)]
        with m.Elif(left == fresh):
            m.d.sync += stale.eq(0)
        for n in range(places):
            with m.If(comes & (order.data == n)):
                m.d.sync += here[n].eq(1)
            with m.If(ask & (place(line) == n)):
                m.d.sync += [asked[n].eq(1), here[n].eq(0)]
            with m.If(self.start):
                m.d.sync += [asked[n].eq(0), here[n].eq(0)]
        return m
