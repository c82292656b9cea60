# SPDX-License-Identifier: Apache-2.0
"""The AES key schedule a round key at a time, for several keys at once (FIPS 197 section 5.2)."""

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .aes_rounds import RowWrite, first_round
from .sbox import SubBytes, gf256_mul
from .thread_rows import tag_bits

__all__ = ["KeyLoop", "ScheduleJob"]


class ScheduleJob(data.StructLayout):
    """A key to be expanded, or with ``wipe`` a thread whose round keys become zero (then both halves are zero).

    ``first`` is bytes 0 to 15, ``second`` the rest, first byte in bits 127:120, unused bytes zero; ``size`` is 0, 1, 2
    for 128, 192, 256 bits.
    """

    def __init__(self, threads):
        super().__init__({"first": 128, "second": 128, "size": 2, "wipe": 1, "tag": tag_bits(threads)})


_CONTROL = data.StructLayout({
    # The S-boxes' word goes into all words of a row, into the last two, or nowhere; into some rows unrotated.
    "whole": 1, "tail": 1, "straight": 1,
    # AES-192: words 0 and 1 continue the row before; the next row wants its word 1 in the S-boxes.
    "chain": 1, "ahead": 1,
    # What is added to words 0 and 2.
    "rcon": 8, "tail_rcon": 8,
})


def _control(size, row):
    """Control of the step that makes round key ``row`` for a key of ``size`` (0, 1, 2)."""
    whole = tail = straight = chain = ahead = False
    if size == 0:
        whole, turn = True, row
    elif size == 1:
        # Words 0 and 1 of row 1 are the key's.
        whole, tail, chain, ahead = row % 3 == 0, row % 3 == 1, row % 3 != 0 and row > 1, row % 3 == 0
        turn = (4 * row + 2) // 6
    else:
        # Row 1 is the key's second half.
        whole, straight, turn = row != 1, row % 2 == 1, row // 2
    rcon = 1
    for _ in range(1, turn):
        rcon = gf256_mul(rcon, 2)
    return {
        "whole": whole, "tail": tail, "straight": straight, "chain": chain, "ahead": ahead,
        "rcon": rcon if whole and not straight else 0, "tail_rcon": rcon if tail else 0,
    }


class _Step(data.StructLayout):
    """A key between two halves of the loop: its newest two rows, and the word for the S-boxes.

    ``work`` is ``valid`` for all but a wipe.
    """

    def __init__(self, context):
        super().__init__({"valid": 1, "work": 1, "context": context, "older": 128, "newer": 128, "word": 32})


def _words(row):
    return [row.word_select(3 - k, 32) for k in range(4)]


class _Half(wiring.Component):
    """Makes every second row, in two registers.

    What each size adds up has registers of its own, which are zero for the others: a sum of three costs less than a
    choice and a sum. All are zero when no key is there, so that none lingers.

    Members
    -------
    i : In(_Step)
        Taken every cycle.
    bus : Out(RowWrite)
        Write of ``i.newer``, a cycle later.
    finished : Out(1)
        What was taken does not come back to where it was: its place is free.
    o : Out(_Step)
        With the row made from ``i``, two cycles after it. Invalid behind the last row.
    load, context : In
        With ``load``, ``o`` is a key of ``context`` in the next cycle. None may be there to be taken on.
    row, word : In(128), In(32)
        What is added to the next ``o``'s ``newer`` and ``word``, and what besides to ``word``.
    drop, dropped : In
        Strobe and thread: its keys end here.
    """

    def __init__(self, threads, context, odd, sbox):
        self._context = context
        self._odd = odd
        self._sbox = sbox
        step = _Step(context)
        super().__init__({
            "i": In(step), "bus": Out(RowWrite(threads, 8 if odd else 7)), "finished": Out(1), "o": Out(step),
            "load": In(1), "context": In(context), "row": In(128), "word": In(32),
            "drop": In(1), "dropped": In(context["tag"].shape),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sub_word = sub_word = SubBytes(4, self._sbox)
        m.d.comb += [sub_word.i.eq(self.i.word), sub_word.en.eq(1)]

        def register(name, value, enable=None):
            """``value``, a cycle later; zero without ``enable``."""
            value = Value.cast(value)
            signal = Signal(len(value), name=name, reset_less=True)
            m.d.sync += signal.eq(value if enable is None else Mux(enable, value, 0))
            return signal

        def kept(context):
            return ~(self.drop & (context.tag == self.dropped))

        # The row that is taken is written; what is known of the next one.
        coming = self.i.context
        valid, context = Signal(), Signal(self._context, reset_less=True)
        m.d.sync += [valid.eq(self.i.valid & kept(coming)), context.eq(coming)]
        row = register("taken", self.i.newer, self.i.valid)
        count = len(self.bus.rows)
        places, control_next = Signal(count), Signal(_CONTROL)
        with m.Switch(Cat(coming.size, coming.turn)):
            for size in range(3):
                for turn in range(8):
                    with m.Case(turn << 2 | size):
                        m.d.comb += [
                            places.eq(1 << (turn + first_round(size) // 2) % count),
                            control_next.eq(_CONTROL.const(_control(size, 2 * turn + (1 if self._odd else 2)))),
                        ]
        m.d.comb += [
            self.bus.row.eq(row), self.bus.tag.eq(context.tag),
            self.bus.rows.eq(register("rows", Mux(coming.wipe, Const(-1, count), places), self.i.valid)),
            self.finished.eq(~valid | context.wipe | (context.turn == 7)),
        ]
        work = self.i.work
        control = data.View(_CONTROL, register("control", control_next, work))

        # Words, but for what comes out of the S-boxes while those are read. Behind a first row there is none that
        # the odd half could begin with; what a longer key has there is added from outside.
        begun = coming.turn.any() if self._odd else 1
        x, y = _words(self.i.older), _words(self.i.newer)
        base = [
            reduce(xor, (
                register(f"from128_{k}", y[k], work & (coming.size == 0)),
                register(f"from192_{k}", [*x, *y][k + 2], work & (coming.size == 1) & (begun if k < 2 else 1)),
                register(f"from256_{k}", x[k], work & (coming.size == 2) & begun),
            ))
            for k in range(4)
        ]
        first, second, third = (Signal(32, name=f"word{k}") for k in range(3))
        m.d.comb += [
            first.eq(base[0] ^ register("chain", y[3], work & control_next.chain) ^ Cat(C(0, 24), control.rcon)),
            second.eq(base[1] ^ first),
            third.eq(base[2] ^ Cat(C(0, 24), control.tail_rcon)),
        ]
        plain = [register(f"plain{k}", word) for k, word in enumerate((first, second, third, base[3] ^ third))]
        link = register("link", second, ~control.tail)
        ahead = [register(f"ahead{k}", word, control.ahead) for k, word in enumerate(_words(row)[2:])]

        # Nothing but one register is right behind the S-boxes, which are late in their cycle.
        sub = register("sub", Cat(sub_word.o.word_select(k, 16)[:8] for k in range(4)))
        turned = sub.rotate_left(8)
        whole, tail, straight = (Signal(name=name) for name in ("whole", "tail", "straight"))
        m.d.sync += [
            whole.eq(control.whole & ~control.straight), tail.eq((control.whole | control.tail) & ~control.straight),
            straight.eq(control.whole & control.straight),
        ]

        def of_sub(name, enable):
            """The S-boxes' word for some words of the row; the even half has none that is not rotated."""
            signal = Signal(32, name=name)
            m.d.comb += signal.eq(Mux(enable, turned, 0) ^ (Mux(straight, sub, 0) if self._odd else 0))
            return signal

        head, end = [of_sub("head", whole)], [of_sub("end", tail), link]
        added = _words(register("row", self.row))
        sums = [[head, head, end, end][k] + [plain[k], added[k]] for k in range(4)]

        m.d.sync += [
            self.o.context.eq(context), self.o.valid.eq(valid & kept(context)),
            self.o.work.eq(valid & kept(context) & ~context.wipe),
        ]
        if self._odd:
            with m.If(context.turn == 7):
                m.d.sync += [self.o.valid.eq(0), self.o.work.eq(0)]
        else:
            m.d.sync += self.o.context.turn.eq(context.turn + 1)
            with m.If(context.wipe):
                m.d.sync += self.o.valid.eq(0)
            with m.If(self.load):
                m.d.sync += [self.o.valid.eq(1), self.o.work.eq(~self.context.wipe), self.o.context.eq(self.context)]
        m.d.comb += [
            self.o.older.eq(register("older", row)),
            self.o.newer.eq(Cat(reduce(xor, words) for words in reversed(sums))),
            self.o.word.eq(reduce(xor, sums[3] + ahead + ([] if self._odd else [register("word", self.word)]))),
        ]
        return m


class KeyLoop(wiring.Component):
    """Expands up to four keys at once; takes one every 8 cycles, of any size, and gives two round keys a cycle.

    One half of a ring makes the odd round keys, the other the even ones, in two registers each, so that four keys go
    round. All of them advance by a round key in two cycles, which is why a write never meets another: for a job that is
    transferred in cycle 0, round key r of its thread is written in cycle 2 + 2r, the last one (14) in cycle 30. A
    smaller key's schedule runs on past its last round key: nothing of a longer one before it is left. A wipe writes all
    even rows in cycle 2 and all odd ones in cycle 4. Either ends the work on an older key of its thread.

    Round key r goes to row r + 14 - rounds (:class:`.aes_rounds.AesRounds`); what the schedule makes beyond the last
    round key goes to the rows ahead of the first.

    A row is made of the two before it. The key's first half is put in as row 0, the second is put into row 1, whole, or
    for AES-192 its words 0 and 1.

    Parameters
    ----------
    threads : int
    sbox : str

    Members
    -------
    i : In(stream of ScheduleJob)
        ``ready`` depends on jobs of more than seven cycles ago alone.
    even, odd : Out(RowWrite)
        Rows 0, 2, ... 14 and 1, 3, ... 13; ``rows`` is zero when nothing is written.
    """

    def __init__(self, threads, *, sbox="bram"):
        self._threads = threads
        self._sbox = sbox
        super().__init__({
            "i": In(stream.Signature(ScheduleJob(threads))),
            "even": Out(RowWrite(threads, 8)), "odd": Out(RowWrite(threads, 7)),
        })

    def elaborate(self, platform):
        m = Module()
        job = self.i.payload
        context = data.StructLayout({"size": 2, "wipe": 1, "turn": 3, "tag": len(job.tag)})
        m.submodules.odd_half = odd = _Half(self._threads, context, True, self._sbox)
        m.submodules.even_half = even = _Half(self._threads, context, False, self._sbox)
        # Even rows are written from where the half of odd rows takes them up, and the other way about.
        m.d.comb += [odd.i.eq(even.o), even.i.eq(odd.o), self.even.eq(odd.bus), self.odd.eq(even.bus)]

        # A place that is free in the odd half is so in the even one, where keys enter, two cycles later.
        free, load = Signal(), Signal()
        m.d.sync += [free.eq(odd.finished), self.i.ready.eq(free)]
        m.d.comb += [
            load.eq(self.i.valid & self.i.ready),
            *(half.drop.eq(load) for half in (odd, even)),
            *(half.dropped.eq(job.tag) for half in (odd, even)),
            even.load.eq(load),
            even.context.size.eq(job.size), even.context.wipe.eq(job.wipe), even.context.tag.eq(job.tag),
        ]
        later, second = (Signal(128, name=name, reset_less=True) for name in ("later", "second"))
        m.d.sync += [later.eq(0), second.eq(later)]
        m.d.comb += odd.row.eq(second)
        with m.If(load):
            # AES-192's first use of the S-boxes is for its last word.
            m.d.comb += [
                even.row.eq(job.first),
                even.word.eq(Mux(job.size[0], job.first[:32] ^ _words(job.second)[1], 0)),
            ]
            m.d.sync += later.eq(job.second)
        return m
