# SPDX-License-Identifier: Apache-2.0
"""A few lines of one frame, for units that read words."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import any_of
from ..job import word_bits
from .layout import line_bits

__all__ = ["LineCache"]


#: Lines that every frame is read from.
_OPENING = 4


class LineCache(wiring.Component):
    """Words of a frame out of lines that are fetched when they are needed, and before.

    Seen by a unit that works while ``stall`` is low, the port is that of a memory: the word of ``addr`` in one such
    cycle is at ``word`` two such cycles later. ``stall`` is a register. It rises in the cycle behind the one in which
    a word was asked for whose line is not here, and until it falls ``word`` and what is on its way to it stand still;
    so does the unit (``EnableInserter(~stall)``), whose next ``addr`` is taken when ``stall`` is low again. With
    ``en`` low ``addr`` is not taken and ``word`` stands still as well.

    Line n of the frame has place n modulo 16; one that is replaced is fetched again when a word of it is asked for. The
    first four lines are asked for from ``start`` on, in every second cycle, unless older lines are still on their way.
    A miss costs three cycles more than the answer takes.

    Parameters
    ----------
    config : Config
    ahead : int
        Lines behind that of the last word asked for which are fetched early, up to 14.

    Members
    -------
    start : In(1)
        Strobe: what is here or on its way is forgotten. What ``addr`` asks for in this cycle counts for nothing.
    base : In
        The frame's first line in the ring; it is held from ``start`` on.
    last : In
        The last line, as a position, that is of use: none behind it is fetched early. A word behind it is not
        defined.
    active : In(1)
        Words are asked for, but not in the cycle of ``start``. Without it no more is fetched, and in the next cycle
        nothing stalls.
    addr : In, en : In(1, init=1), word : Out(32), stall : Out(1)
    hint : In
        A line that will be needed, as a position, not the last one, from the fourth cycle behind ``start`` on. It and
        the one behind it are fetched once, when there is nothing better to do.
    fetch : Out(stream of line_bits), rsp_valid : In(1), rsp_data : In(128)
        Lines in the order in which they were asked for. Up to 16 are on their way.
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
            "hint": In(position),
            "fetch": Out(stream.Signature(lines)),
            "rsp_valid": In(1),
            "rsp_data": In(128),
        })

    def elaborate(self, platform):
        m = Module()
        bits = len(self.last)
        index_bits = min(bits, 4)
        places = 1 << index_bits

        def table(name, shape, depth=places):
            m.submodules[name] = made = memory.Memory(
                shape=shape, depth=depth, init=[], attrs={"ram_style": "distributed"}
            )
            return made

        def read(made, addr):
            port = made.read_port(domain="comb")
            m.d.comb += port.addr.eq(addr)
            return port.data

        def write(made, en, addr, value):
            port = made.write_port()
            m.d.comb += [port.en.eq(en), port.addr.eq(addr), Value.cast(port.data).eq(value)]

        def place(line):
            return line[:index_bits]

        # A place is a line's when its tag says so, and that in this round of `start`. Rounds have as many numbers as
        # there are places; with each round one place is made nobody's, so that none says so a second time. That is
        # done with all of them after reset as well. A place waits for its line while `sent` and `came` differ.
        tag_shape = data.StructLayout({"line": bits - index_bits, "round": index_bits, "valid": 1})
        tags, sent, came = table("tags", tag_shape), table("sent", 1), table("came", 1)
        now = Signal(index_bits)
        fresh = Signal(index_bits + 1)
        starting, clean = Signal(), Signal()
        m.d.comb += [starting.eq(~fresh[-1]), clean.eq(self.start | starting)]
        with m.If(starting):
            m.d.sync += fresh.eq(fresh + 1)
        with m.If(clean):
            m.d.sync += now.eq(now + 1)

        def look_up(line):
            """Bits of which one says that the place of ``line`` is not this line's; whether it waits for a line; its
            bit of ``came``."""
            tag, has_come = read(tags, place(line)), read(came, place(line))
            # Kept in parts: not seeing how late a RAM's output is, synthesis makes a long chain of a comparison.
            has, needs = Cat(tag.round, tag.line), Cat(now, line[index_bits:])
            pairs = Signal((len(has) + 1) // 2, attrs={"keep": 1})
            most = Signal(attrs={"keep": 1})
            m.d.comb += [
                pairs.eq(Cat((has[n : n + 2] != needs[n : n + 2]) for n in range(0, len(has), 2))),
                most.eq(pairs[:4].any()),
            ]
            differs = Cat(most, pairs[4:], ~tag.valid)
            return differs, read(sent, place(line)) ^ has_come, has_come

        # Words. While it stalls, the word that is missing is looked for again; what was found out about its line is
        # a cycle old.
        stall = self.stall
        taken, looks = Signal(), Signal()
        wanted = Signal.like(self.addr, reset_less=True)
        at = Signal.like(self.addr)
        demand = wanted[2:]
        m.d.comb += [
            taken.eq(self.en & ~stall), looks.eq(self.en | stall), at.eq(Mux(stall, wanted, self.addr)),
        ]
        there, absent, had_come = Signal(), Signal(), Signal()
        differs, waits, has_come = look_up(at[2:])
        unready = Signal(attrs={"keep": 1})
        m.d.comb += unready.eq(differs[-1] | waits | starting)
        m.d.sync += [
            there.eq(~Cat(differs, clean).any()), absent.eq(differs.any() & ~waits & ~clean), had_come.eq(has_come),
            stall.eq(self.active & looks & (differs[:-1].any() | unready)),
        ]
        with m.If(taken):
            m.d.sync += wanted.eq(self.addr)

        lines = table("lines", 128)
        line_at = read(lines, place(at[2:]))
        parts = [Signal(32, name=f"part_{n}", reset_less=True) for n in range(4)]
        for n, part in enumerate(parts):
            with m.If(looks):
                with m.If(at[:2] == n):
                    m.d.sync += part.eq(line_at[96 - 32 * n : 128 - 32 * n])
                with m.Else():
                    m.d.sync += part.eq(0)
        with m.If(taken):
            m.d.sync += self.word.eq(any_of(parts))

        # Lines that will be needed: `count` of those behind `at_hand`, which is `demand` a cycle late, were seen to,
        # and `following` is the one behind them. After a jump `count` may be too high, until a line is missed. When
        # they all were, or all up to `last`, hints have their turn, both of them one behind the other. What is to be
        # done about `following` is known two cycles after something has changed.
        count, hints = Signal(range(self._ahead + 1)), Signal(2)
        at_hand, following = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        hinting, changes, settled = Signal(), Signal(), Signal()
        changed = Signal(2, init=0b11)
        m.d.sync += changed.eq(Cat(changes, changed[0]))
        m.d.comb += settled.eq(~changed.any())
        opening, enters = Signal(), Signal()
        m.d.sync += following.eq(Mux(hinting, self.hint + hints[0], (Cat(C(1, 1), at_hand) + Cat(C(1, 1), count))[1:]))
        with m.If(clean):
            m.d.sync += following.eq(0)
        with m.Elif(opening):
            m.d.sync += following.eq(following + enters)
        wants, want, skip, fits, ends = Signal(), Signal(), Signal(), Signal(), Signal()
        differs, waits, has_come = look_up(following)
        found = ~differs.any()
        m.d.comb += wants.eq(hinting | ((count != self._ahead) & (self.last >= following)))
        m.d.sync += [
            want.eq(wants), skip.eq(wants & found), ends.eq(following == self.last),
            fits.eq(wants & ~found & ~waits),
        ]

        # A line that a word waits for comes first. It is asked for unless its place is its own already, or has to wait
        # for another one.
        demands, demanded, ask, asked, follows = Signal(), Signal(), Signal(), Signal(), Signal()
        moves, hints_now, hinted = Signal(), Signal(), Signal()
        line = Signal(bits)
        m.d.sync += [moves.eq(taken & (self.addr[2:] != demand)), at_hand.eq(demand)]
        m.d.comb += [
            demands.eq(stall & ~demanded & ~opening),
            line.eq(Mux(demands, demand, following)),
            ask.eq(
                Mux(demands, absent & ~asked, settled & fits) & self.active & ~clean & ~opening & ~self.fetch.valid
            ),
            follows.eq(~demands & ~opening & settled & (ask | skip)),
            hinted.eq(hints[0]),  # with the one at hand all hints are done with
            hints_now.eq(settled & (~want | (follows & ends)) & ~hinting & ~hints[1]),
            changes.eq(clean | opening | moves | follows | (demands & ask) | hints_now),
        ]
        # When nothing is on its way no place waits. The request for the first line goes a cycle ahead of its entry.
        order = table("order", index_bits)
        first, end = Signal(index_bits), Signal(index_bits)
        opens, opened, entered = Signal(), Signal(), Signal()
        m.d.comb += [
            opens.eq(self.start & ~starting & ~self.fetch.valid & (first == end)),
            enters.eq(opening & (opened | ~self.fetch.valid)), entered.eq(ask | enters),
        ]
        m.d.sync += opened.eq(opens)
        with m.If(clean):
            m.d.sync += opening.eq(opens)
        with m.Elif(enters & ((following == _OPENING - 1) | (following == self.last))):
            m.d.sync += opening.eq(0)
        m.d.sync += [asked.eq(entered), demanded.eq(stall & (demanded | there | ask))]
        with m.If(clean | (demands & ask)):
            m.d.sync += count.eq(0)
        with m.Elif(opening):
            m.d.sync += count.eq(min(_OPENING - 1, self._ahead))
        with m.Elif(follows & ~hinting & ~moves):
            m.d.sync += count.eq(count + 1)
        with m.Elif(moves & ~(follows & ~hinting) & (count != 0)):
            m.d.sync += count.eq(count - 1)
        m.d.sync += hinting.eq(~self.start & ~moves & Mux(hinting, ~follows | ~hinted, hints_now))
        with m.If(self.start):
            m.d.sync += hints.eq(0)
        with m.Elif(follows & hinting):
            m.d.sync += hints.eq(Cat(C(1, 1), hinted))

        with m.If(ask | opens | (enters & ~opened)):
            m.d.sync += self.fetch.valid.eq(1)
        with m.Elif(self.fetch.ready):
            m.d.sync += self.fetch.valid.eq(0)
        with m.If(~self.fetch.valid):
            m.d.sync += self.fetch.payload.eq(self.base + Mux(self.start, 0, line))
        write(tags, entered | clean, Mux(clean, (now + 1)[:index_bits], place(line)),
              Cat(line[index_bits:], now, ~clean))
        # A place that does not wait has both bits alike.
        write(sent, entered | starting, Mux(starting, now, place(line)),
              ~Mux(demands, had_come, has_come) & ~starting)

        # Lines come in the order in which they were asked for, one for each place that waits, and go into these,
        # whosever they are by now.
        came_to = read(order, first)
        write(order, entered, end, place(line))
        write(lines, self.rsp_valid, came_to, self.rsp_data)
        write(came, self.rsp_valid | starting, Mux(starting, now, came_to), ~read(came, came_to) & ~starting)
        with m.If(self.rsp_valid):
            m.d.sync += first.eq(first + 1)
        with m.If(entered):
            m.d.sync += end.eq(end + 1)
        return m
