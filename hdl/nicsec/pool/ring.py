# SPDX-License-Identifier: Apache-2.0
"""The frames' memory: lines of four words in banks that are read and written side by side."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import any_of, more_than
from ..stream import Register, SkidBuffer
from .layout import LineWrite, Patch, Read, Write, Written, line_bits

__all__ = ["DRAIN_LATENCY", "FETCH_LATENCY", "READ_LATENCY", "FrameRing"]

#: Cycles from ``read.en`` to ``read_data``.
READ_LATENCY = 7
#: Cycles from the transfer of a request to its answer, when its bank is free.
DRAIN_LATENCY = 6
FETCH_LATENCY = 7

_BANK_LINES = 512


class _Place:
    """Where the four words from ``place`` on lie: ``half`` and ``bank`` of the first line, and the row of each bank.

    A second line follows in the other half, in the same bank and row, except behind an odd line: in the next bank, and
    behind the last bank in the next row. So only the first even bank sees another row.
    """

    def __init__(self, place, bank_bits):
        self.word = place[:2]
        self.half = place[2]
        self.bank = place[3 : 3 + bank_bits]
        self.row = place[3 + bank_bits :]
        self._turns = place[2 : 3 + bank_bits].all()

    def row_of(self, half, bank):
        """The row that ``bank`` of ``half`` is accessed in."""
        return (self.row + self._turns)[: len(self.row)] if (half, bank) == (0, 0) else self.row

    def hits(self, half, first, second):
        """By bank of ``half``: whether it holds the first line, with ``first``, or the second one, with ``second``."""
        banks = 1 << len(self.bank)
        at = [self.bank == bank for bank in range(banks)]
        if half:
            return [here & Mux(self.half, first, second) for here in at]
        return [Mux(self.half, at[bank - 1] & second, at[bank] & first) for bank in range(banks)]

    def in_half(self, half):
        """By word of a line: whether the word of that number of the line in ``half`` is one of the four."""
        first = [~more_than(self.word, n) for n in range(4)]
        return [Mux(self.half == half, here, ~here) for here in first]


class FrameRing(wiring.Component):
    """``config.ring_lines`` lines in two halves of banks: even lines and odd ones, and the bank by the bits above.

    Every bank reads a line and writes one in each cycle. ``read`` and ``write`` always get it. In a bank, ``read`` is
    before ``fetch`` and ``drain``; in a half, ``fetch`` is before ``drain``: it goes through both halves in one order,
    and what holds it up holds up all behind it, while each half of ``drain`` takes what is left. ``patch`` waits for a
    cycle without ``write``. Every two banks of a half share the way in, on which either is before ``load``.

    A read, or a request of ``drain`` or ``fetch``, sees the writes of the cycle before and earlier, and all lines that
    were loaded or are loaded up to a cycle later. A patch is performed a cycle after its transfer or later, like a
    write. A word that is read in the cycle of its write, which then reaches the memory, is not defined; words beside it
    are, as each is in a memory of its own.

    Parameters
    ----------
    config : Config
    banks : int, optional
        Banks of both halves, a power of two from 2.

    Members
    -------
    read : In(Read), read_data : Out(128)
        The four words from ``place`` on, :data:`READ_LATENCY` cycles behind ``en``.
    write : In(Write)
    load : array of 2 In(stream of LineWrite)
        Even lines, odd lines. ``ready`` depends on the line that is offered.
    drain : array of 2 In(stream of line_bits), drain_valid, drain_data : Out
        Even lines, odd lines; each is answered in order, :data:`DRAIN_LATENCY` cycles later or more.
    fetch : In(stream of line_bits), fetch_valid, fetch_data : Out
        Lines of both halves, answered in order :data:`FETCH_LATENCY` cycles later or more.
    patch : In(stream of Patch), written : Out(Written)
        One in two cycles at most; and what was written, for whoever reads from then on.
    """

    def __init__(self, config, banks=None):
        self._config = config
        if banks is None:
            banks = min(max(config.ring_lines // _BANK_LINES, 2), 8)
        if banks < 2 or banks & (banks - 1) or banks > config.ring_lines:
            raise ValueError(f"banks must be a power of two from 2 up, not {banks!r}")
        self._banks = banks
        lines = line_bits(config)
        super().__init__({
            "read": In(Read(config)),
            "read_data": Out(128),
            "write": In(Write(config)),
            "load": In(stream.Signature(LineWrite(config))).array(2),
            "drain": In(stream.Signature(lines)).array(2),
            "drain_valid": Out(1).array(2),
            "drain_data": Out(128).array(2),
            "fetch": In(stream.Signature(lines)),
            "fetch_valid": Out(1),
            "fetch_data": Out(128),
            "patch": In(stream.Signature(Patch(config))),
            "written": Out(Written(config)),
        })

    def elaborate(self, platform):
        m = Module()
        banks = range(self._banks // 2)
        bank_bits = (len(banks) - 1).bit_length()
        row_bits = line_bits(self._config) - 1 - bank_bits
        halves, words = range(2), range(4)

        def signals(name, bits=1, *, by=banks):
            return [[Signal(bits, name=f"{name}_{half}_{n}", reset_less=True) for n in by] for half in halves]

        def gated(register, data, clear):
            """Load ``data``, or zero: what is chosen among such registers is their OR."""
            with m.If(clear):
                m.d.sync += register.eq(0)
            with m.Else():
                m.d.sync += register.eq(data)

        memories = [[
            memory.Memory(shape=128, depth=1 << row_bits, init=[], attrs={"ram_style": "block", "no_rw_check": 1})
            for _ in banks
        ] for _ in halves]
        for half in halves:
            for bank in banks:
                m.submodules[f"bank_{half}_{bank}"] = memories[half][bank]

        # Reading, cycle 0: who has each bank. Whence a read comes, it has a cycle of its own to come here.
        reads = Signal.like(self.read)
        m.d.sync += reads.eq(self.read)
        at = _Place(reads.place, bank_bits)
        m.submodules.fetched = fetched = SkidBuffer(line_bits(self._config))
        wiring.connect(m, wiring.flipped(self.fetch), fetched.i)
        asked = []
        hit, other = signals("hit"), signals("other")
        read_row = signals("read_row", row_bits)
        fetch_now = []
        for half in halves:
            m.submodules[f"drained_{half}"] = drained = SkidBuffer(len(self.drain[half].payload) - 1)
            request = self.drain[half]
            m.d.comb += [
                drained.i.valid.eq(request.valid), drained.i.payload.eq(request.payload[1:]),
                request.ready.eq(drained.i.ready),
            ]
            line = Signal(len(drained.o.payload), name=f"line_{half}")
            fetch_here = Signal(name=f"fetch_here_{half}")
            held = Signal(name=f"held_{half}")
            m.d.comb += [
                fetch_here.eq(fetched.o.valid & (fetched.o.payload[0] == half)),
                line.eq(Mux(fetch_here, fetched.o.payload[1:], drained.o.payload)),
            ]
            hits = [Signal(name=f"hits_{half}_{bank}") for bank in banks]
            here = [line[:bank_bits] == bank for bank in banks]
            m.d.comb += [
                *(signal.eq(value)
                  for signal, value in zip(hits, at.hits(half, reads.en, reads.en & at.word.any()),
                                           strict=True)),
                held.eq(any_of([hits[bank] & here[bank] for bank in banks])),
                drained.o.ready.eq(~fetch_here & ~held),
            ]
            for bank in banks:
                m.d.sync += [
                    hit[half][bank].eq(hits[bank]),
                    other[half][bank].eq(here[bank] & ~hits[bank]),
                    read_row[half][bank].eq(Mux(hits[bank], at.row_of(half, bank), line[bank_bits:])),
                ]
            asked.append(drained.o.valid & drained.o.ready)
            fetch_now.append(fetch_here & ~held)
        m.d.comb += fetched.o.ready.eq(any_of(fetch_now))

        # Cycle 1: to the memories. Cycle 2: out of them, into their own registers. Cycle 3: into registers that only
        # what was asked for gets into.
        used, used_later = ([Signal(4, name=f"{name}_{half}", reset_less=True) for half in halves]
                            for name in ("used", "used_later"))
        hit_later, other_later = signals("hit_later"), signals("other_later")
        for half in halves:
            m.d.sync += [used[half].eq(Cat(at.in_half(half))), used_later[half].eq(used[half])]
            for bank in banks:
                m.d.sync += [hit_later[half][bank].eq(hit[half][bank]), other_later[half][bank].eq(other[half][bank])]
        to_read = [[Signal(32, name=f"to_read_{half}_{bank}_{n}", reset_less=True) for bank in banks for n in words]
                   for half in halves]
        to_other = signals("to_other", 128)
        for half in halves:
            for bank in banks:
                port = memories[half][bank].read_port()
                line = Signal(128, name=f"line_{half}_{bank}", reset_less=True)
                m.d.comb += port.addr.eq(read_row[half][bank])
                m.d.sync += line.eq(port.data)
                not_other = Signal(name=f"not_other_{half}_{bank}", reset_less=True)
                m.d.sync += not_other.eq(~other_later[half][bank])
                gated(to_other[half][bank], line, not_other)
                for n in words:
                    clear = Signal(name=f"clear_{half}_{bank}_{n}", reset_less=True)
                    m.d.sync += clear.eq(~(hit_later[half][bank] & used_later[half][n]))
                    gated(to_read[half][4 * bank + n], line[96 - 32 * n : 128 - 32 * n], clear)

        # Cycle 4: what was read, in the order of lines, into one register for each turn. Cycle 5: turned.
        word = [Signal(2, name=f"word{n}", reset_less=True) for n in range(3)]
        m.d.sync += [word[0].eq(at.word), *(later.eq(word[n]) for n, later in enumerate(word[1:]))]
        in_line = [
            any_of([to_read[half][4 * bank + n] for half in halves for bank in banks]) for n in words
        ]
        turned = []
        for turn in words:
            clear = Signal(name=f"not_turn_{turn}", reset_less=True)
            m.d.sync += clear.eq(word[-1] != turn)
            turned.append([Signal(32, name=f"turned_{turn}_{n}", reset_less=True) for n in words])
            for n in words:
                gated(turned[turn][n], in_line[n], clear)
        m.d.sync += self.read_data.eq(Cat(
            any_of([turned[turn][(n + turn) % 4] for turn in words]) for n in reversed(words)
        ))

        fetching = [Signal(4, name=f"fetching_{half}") for half in halves]
        for half in halves:
            draining = Signal(4, name=f"draining_{half}")
            m.d.sync += [
                Cat(draining, self.drain_valid[half]).eq(Cat(asked[half], draining)),
                self.drain_data[half].eq(any_of(to_other[half])),
                fetching[half].eq(Cat(fetch_now[half], fetching[half])),
            ]
        fetched_half = Signal()
        arrived = Signal()
        m.d.sync += [
            fetched_half.eq(fetching[1][-1]),
            arrived.eq(fetching[0][-1] | fetching[1][-1]),
            self.fetch_valid.eq(arrived),
            self.fetch_data.eq(Mux(fetched_half, self.drain_data[1], self.drain_data[0])),
        ]

        # Writing, cycle 0: a write, or a patch in the place of its first word; the data into one register for each
        # turn.
        m.submodules.patched = patched = Register(Patch(self._config))
        wiring.connect(m, wiring.flipped(self.patch), patched.i)
        patch = patched.o
        writes = Signal()
        place = Signal.like(self.write.place)
        data, mask = Signal(128), Signal(4)
        m.d.comb += [
            writes.eq(self.write.mask.any()),
            patch.ready.eq(~writes),
            place.eq(Mux(writes, self.write.place, patch.p.place)),
            data.eq(Cat(self.write.data[:96], Mux(writes, self.write.data[96:], patch.p.data))),
            mask.eq(Mux(writes, self.write.mask, patch.valid)),
        ]
        m.d.sync += [
            self.written.valid.eq(patch.valid & ~writes & patch.p.last), self.written.client.eq(patch.p.client),
        ]
        to = _Place(place, bank_bits)
        to_write = []
        for turn in words:
            to_write.append(Signal(128, name=f"to_write_{turn}", reset_less=True))
            gated(to_write[turn], data, to.word != turn)
        parts = Signal(2, reset_less=True)
        enable = [Signal(4, name=f"enable_{half}") for half in halves]
        placed = Signal.like(place, reset_less=True)
        m.d.sync += [parts.eq(patch.p.mask | writes.replicate(2)), placed.eq(place)]
        turned_mask = [Mux(to.word[1], *(
            Mux(to.word[0], mask[(n - high - 1) % 4], mask[(n - high) % 4]) for high in (2, 0)
        )) for n in words]
        for half in halves:
            m.d.sync += enable[half].eq(Cat(
                here & on for here, on in zip(to.in_half(half), turned_mask, strict=True)
            ))

        # Cycle 1: turned.
        into = _Place(placed, bank_bits)
        line = Signal(128, reset_less=True)
        m.d.sync += line.eq(Cat(
            any_of([to_write[turn][96 - 32 * ((n - turn) % 4) : 128 - 32 * ((n - turn) % 4)] for turn in words])
            for n in reversed(words)
        ))
        line_parts = Signal(2, reset_less=True)
        m.d.sync += line_parts.eq(parts)

        # Cycle 2: to the memories, or lines that are loaded.
        ways = range(min(len(banks), 2))
        for half in halves:
            load = self.load[half]
            load_line = load.p.line[1:]
            row = Signal(row_bits, name=f"row_{half}", reset_less=True)
            m.d.sync += row.eq(into.row_of(half, 0))
            hits = into.hits(half, 1, 1)
            way_rows, way_lines, taken = [], [], []
            for way in ways:
                busy = Signal(name=f"busy_{half}_{way}")
                on_way = any_of([hits[bank] for bank in banks if bank % len(ways) == way])
                m.d.sync += busy.eq(enable[half].any() & on_way)
                way_row = Signal(row_bits, name=f"way_row_{half}_{way}")
                way_line = Signal(128, name=f"way_line_{half}_{way}")
                other_row = row
                if half == 0 and way:
                    other_row = Signal(row_bits, name=f"plain_row_{half}", reset_less=True)
                    m.d.sync += other_row.eq(into.row)
                m.d.comb += [
                    way_row.eq(Mux(busy, other_row, load_line[bank_bits:])),
                    way_line.eq(Mux(busy, line, load.p.data)),
                ]
                way_rows.append(way_row)
                way_lines.append(way_line)
                taken.append(~busy & ((load_line[0] == way) if len(ways) > 1 else 1))
            m.d.comb += load.ready.eq(any_of(taken))
            for bank in banks:
                way = bank % len(ways)
                port = memories[half][bank].write_port(granularity=16)
                here, loads = Signal(4, name=f"here_{half}_{bank}"), Signal(name=f"loads_{half}_{bank}")
                m.d.sync += here.eq(enable[half] & hits[bank].replicate(4))
                m.d.comb += [
                    loads.eq(load.valid & taken[way] & (load_line[:bank_bits] == bank)),
                    port.addr.eq(way_rows[way]),
                    port.data.eq(way_lines[way]),
                    port.en.eq(Cat((here[n] & part) | loads for n in reversed(words) for part in line_parts)),
                ]
        return m
