# SPDX-License-Identifier: Apache-2.0
"""The AES key schedule a round key at a time, for several keys at once (FIPS 197 section 5.2)."""

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
    "rcon": 8,
})


def _control(size, row):
    """Control of the step that makes round key ``row`` for a key of ``size`` (0, 1, 2)."""
    whole = tail = straight = chain = ahead = False
    if size == 0:
        whole, turn = True, row
    elif size == 1:
        whole, tail, chain, ahead, turn = row % 3 == 0, row % 3 == 1, row % 3 != 0, row % 3 == 0, (4 * row + 2) // 6
    else:
        # Row 1 is the key's second half.
        whole, straight, turn = row != 1, row % 2 == 1, row // 2
    rcon = 1
    for _ in range(1, turn):
        rcon = gf256_mul(rcon, 2)
    return {
        "whole": whole, "tail": tail, "straight": straight, "chain": chain, "ahead": ahead,
        "rcon": rcon if (whole or tail) and not straight else 0,
    }


class _Step(data.StructLayout):
    """A key between two halves of the loop: its newest two rows, and the word for the S-boxes."""

    def __init__(self, context):
        super().__init__({"valid": 1, "context": context, "older": 128, "newer": 128, "word": 32})


class _Half(wiring.Component):
    """Makes every second row, in two registers.

    Members
    -------
    i : In(_Step)
        Taken every cycle.
    taken : Out(_Step)
        That, a cycle later, when ``newer`` is to be written; no ``word``.
    load, first : In(1), In(_Step)
        Instead of ``taken``'s row the next ``o`` is ``first``.
    drop, dropped : In
        Strobe and thread: its keys end here.
    o : Out(_Step)
        With the row made from ``i``, two cycles after it. Invalid behind the last row.
    """

    def __init__(self, context, odd, sbox):
        self._context = context
        self._odd = odd
        self._sbox = sbox
        step = _Step(context)
        super().__init__({
            "i": In(step), "taken": Out(step), "load": In(1), "first": In(step), "o": Out(step),
            "drop": In(1), "dropped": In(context["tag"].shape),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sub_word = sub_word = SubBytes(4, self._sbox)
        taken, valid = self.taken, Signal()
        control, late = Signal(_CONTROL, reset_less=True), Signal(_CONTROL, reset_less=True)
        m.d.comb += [sub_word.i.eq(self.i.word), sub_word.en.eq(1)]

        def kept(context):
            return ~(self.drop & (context.tag == self.dropped))

        # Without a key at work the registers are zero, so that none lingers.
        going = Signal()
        m.d.comb += [going.eq(self.i.valid & kept(self.i.context)), taken.valid.eq(valid)]
        m.d.sync += [valid.eq(going), taken.context.eq(self.i.context), taken.older.eq(0), taken.newer.eq(0)]
        with m.If(going):
            m.d.sync += [taken.older.eq(self.i.older), taken.newer.eq(self.i.newer)]
        with m.Switch(Cat(self.i.context.size, self.i.context.turn)):
            for size in range(3):
                for turn in range(8):
                    with m.Case(turn << 2 | size):
                        m.d.sync += control.eq(_CONTROL.const(_control(size, 2 * turn + (1 if self._odd else 2))))
        with m.If(self.i.context.wipe):
            m.d.sync += control.eq(0)

        # What needs no S-box, while the S-boxes are read.
        size = taken.context.size
        x = [taken.older.word_select(3 - k, 32) for k in range(4)]
        y = [taken.newer.word_select(3 - k, 32) for k in range(4)]
        base, words = ([Signal(32, name=f"{name}{k}") for k in range(4)] for name in ("base", "word"))
        for k, middle in enumerate((x[2], x[3], y[0], y[1])):
            m.d.comb += base[k].eq(Mux(size == 0, y[k], Mux(size == 1, middle, x[k])))
        rcon = Cat(C(0, 24), control.rcon)
        m.d.comb += [
            words[0].eq(base[0] ^ Mux(control.chain, y[3], 0) ^ Mux(control.whole, rcon, 0)),
            words[1].eq(words[0] ^ base[1]),
            words[2].eq(base[2] ^ Mux(control.tail, rcon, words[1])),
            words[3].eq(words[2] ^ base[3]),
        ]
        o_valid, context = Signal(), Signal(self._context, reset_less=True)
        older, plain = Signal(128, reset_less=True), Signal(128, reset_less=True)
        last, sub = Signal(32, reset_less=True), Signal(32, reset_less=True)
        done = Signal()
        if self._odd:
            m.d.comb += done.eq(taken.context.turn == 7)
        else:
            m.d.comb += done.eq(taken.context.wipe)
        m.d.sync += [
            o_valid.eq(taken.valid & ~done & kept(taken.context)),
            context.eq(taken.context),
            context.turn.eq(taken.context.turn + (0 if self._odd else 1)),
            late.eq(control),
            older.eq(taken.newer),
            plain.eq(Cat(reversed(words))),
            last.eq(words[3] ^ Mux(control.ahead, y[2] ^ y[3], 0)),
            sub.eq(Cat(sub_word.o.word_select(k, 16)[:8] for k in range(4))),
        ]
        with m.If(self.load):
            m.d.sync += [
                o_valid.eq(self.first.valid), context.eq(self.first.context), late.eq(0), older.eq(self.first.older),
                plain.eq(self.first.newer), last.eq(self.first.word),
            ]

        turned, whole, tail = Signal(32), Signal(32), Signal(32)
        m.d.comb += turned.eq(sub.rotate_left(8))
        if self._odd:
            m.d.comb += turned.eq(Mux(late.straight, sub, sub.rotate_left(8)))
        m.d.comb += [
            whole.eq(Mux(late.whole, turned, 0)),
            tail.eq(Mux(late.whole | late.tail, turned, 0)),
            self.o.valid.eq(o_valid),
            self.o.context.eq(context),
            self.o.older.eq(older),
            self.o.newer.eq(plain ^ Cat(tail, tail, whole, whole)),
            self.o.word.eq(last ^ tail),
        ]
        return m


class KeyLoop(wiring.Component):
    """Expands up to four keys at once; takes one every 8 cycles, of any size, and gives two round keys a cycle.

    One half of a ring makes the odd round keys, the other the even ones, in two registers each, so that four keys go
    round. All of them advance by a round key in two cycles, which is why a write never meets another: for a job that is
    transferred in cycle 0, round key r of its thread is written in cycle 3 + 2r, the last one (14) in cycle 31. A
    smaller key's schedule runs on past its last round key: nothing of a longer one before it is left. A wipe writes all
    even rows in cycle 3 and all odd ones in cycle 5. Either ends the work on an older key of its thread.

    Round key r goes to row r + 14 - rounds (:class:`.aes_rounds.AesRounds`); what the schedule makes beyond the last
    round key goes to the rows ahead of the first.

    A row is made of the two before it. The key's first half is row 0, and the row "before" that is chosen so that the
    recurrence gives what the second half holds: the schedule backwards.

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
        self._sbox = sbox
        super().__init__({
            "i": In(stream.Signature(ScheduleJob(threads))),
            "even": Out(RowWrite(threads, 8)), "odd": Out(RowWrite(threads, 7)),
        })

    def elaborate(self, platform):
        m = Module()
        job = self.i.payload
        context = data.StructLayout({"size": 2, "wipe": 1, "turn": 3, "tag": len(job.tag)})
        m.submodules.odd_half = odd = _Half(context, True, self._sbox)
        m.submodules.even_half = even = _Half(context, False, self._sbox)
        m.d.comb += [odd.i.eq(even.o), even.i.eq(odd.o)]

        # Even rows are written from where the half of odd rows takes them up, and the other way about.
        for bus, taken in ((self.even, odd.taken), (self.odd, even.taken)):
            count = len(bus.rows)
            places = Signal(count)
            with m.Switch(Cat(taken.context.size, taken.context.turn)):
                for size in range(3):
                    for turn in range(count):
                        with m.Case(turn << 2 | size):
                            m.d.comb += places.eq(1 << (turn + first_round(size) // 2) % count)
            register = Signal.like(bus, reset_less=True)
            m.d.sync += [
                register.row.eq(taken.newer), register.tag.eq(taken.context.tag),
                register.rows.eq(Mux(taken.valid, Mux(taken.context.wipe, -1, places), 0)),
            ]
            m.d.comb += bus.eq(register)

        # A key's place is free when it comes round to the even half: two cycles from the odd one.
        free, load = Signal(), Signal()
        m.d.sync += [
            free.eq(~odd.taken.valid | odd.taken.context.wipe | (odd.taken.context.turn == 7)), self.i.ready.eq(free),
        ]
        b = [job.second.word_select(3 - k, 32) for k in range(4)]
        last = job.first.word_select(0, 32)
        m.d.comb += [
            load.eq(self.i.valid & self.i.ready),
            *(half.drop.eq(load) for half in (odd, even)),
            *(half.dropped.eq(job.tag) for half in (odd, even)),
            even.load.eq(load),
            even.first.valid.eq(1),
            even.first.context.size.eq(job.size),
            even.first.context.wipe.eq(job.wipe),
            even.first.context.tag.eq(job.tag),
            even.first.newer.eq(job.first),
            even.first.older.eq(Mux(
                job.size[1], Cat(b[2] ^ b[3], b[1] ^ b[2], b[0] ^ b[1], b[0]), Cat(b[0] ^ b[1], b[0] ^ last, C(0, 64))
            )),
            even.first.word.eq(Mux(job.size[0], b[1], last)),
        ]
        return m
