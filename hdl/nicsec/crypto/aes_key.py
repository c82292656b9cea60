# SPDX-License-Identifier: Apache-2.0
"""The AES key schedule, one word a cycle (FIPS 197 section 5.2)."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .sbox import SubBytes

__all__ = ["AesKey", "KeySchedule"]


class AesKey(data.StructLayout):
    """One of a key's two beats: ``data`` is bytes 0-15, then bytes 16-31, first byte in bits 127:120, unused bytes
    zero; ``size`` is 0, 1, 2 for 128, 192, 256 bits and the same in both."""

    def __init__(self):
        super().__init__({"data": 128, "size": 2})


class KeySchedule(wiring.Component):
    """Expands a key into round keys, one word a cycle, and keeps them in LUT RAM (FIPS 197 section 5.2).

    A block may enter 27, 31 or 35 cycles after the first beat was seen, while later round keys are still to come.
    The schedule runs on for 64 words until all 16 rows are written, so nothing of an older, longer key stays behind.
    ``wipe`` writes zeros the same way, but four words a cycle, so a key that comes behind it hardly waits.

    Members
    -------
    key : In(stream of AesKey)
        Two beats a key.
    idle : In(1)
        No block is being encrypted; a key and a wipe wait for it.
    wipe : In(1)
        A pulse asks for a wipe; a key that comes first makes it unnecessary.
    left : In(4)
        Round keys that come after the one wanted: 0 reads the last one.
    round_key : Out(128)
        That round key, in the same cycle.
    first_key : Out(128)
        Round key 0.
    rounds : Out(4)
        10, 12 or 14.
    keyed : Out(1)
        A block may enter: the round keys of one key are there or will be when it needs them.
    wiping : Out(1)
        A wipe is asked for: no block may enter.
    busy : Out(1)
        Rows are being written or about to be wiped.
    """

    key: In(stream.Signature(AesKey()))
    idle: In(1)
    wipe: In(1)
    left: In(4)
    round_key: Out(128)
    first_key: Out(128)
    rounds: Out(4)
    keyed: Out(1)
    wiping: Out(1)
    busy: Out(1)

    def __init__(self, *, sbox="bram"):
        self._sbox = sbox
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.sub_word = sub_word = SubBytes(4, self._sbox)

        size = Signal(2)
        second = Signal()
        wiping = Signal()
        wanted = Signal()
        m.d.comb += self.wiping.eq(wanted)
        m.d.comb += self.rounds.eq(Mux(size[1], 14, Mux(size[0], 12, 10)))
        with m.If(self.wipe):
            m.d.sync += wanted.eq(1)

        # Three steps a word: fetch w[n-Nk], form w[n], write it. A word's predecessor is formed while it is fetched.
        n, place = Signal(6), Signal(3)
        fetch, loading, expanding = Signal(), Signal(), Signal()
        last_place = Mux(size[1], 7, Mux(size[0], 5, 3))
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [n.eq(0), place.eq(0)]
                with m.If(self.idle & ~second & self.key.valid):
                    m.d.sync += [size.eq(self.key.p.size), wiping.eq(0), wanted.eq(0), self.keyed.eq(0)]
                    m.next = "LOAD"
                with m.Elif(self.idle & ~second & wanted):
                    m.d.sync += [wiping.eq(1), wanted.eq(0), self.keyed.eq(0)]
                    m.next = "EXPAND"
                with m.If(second & self.key.valid):
                    m.d.sync += second.eq(0)
                m.d.comb += self.key.ready.eq(second)
            with m.State("LOAD"):
                m.d.comb += [
                    loading.eq(1),
                    fetch.eq(self.key.valid),
                    self.key.ready.eq((place == 3) | (place == last_place)),
                ]
                with m.If(self.key.valid & (place == last_place)):
                    m.d.sync += second.eq(size == 0)
                    m.next = "EXPAND"
            with m.State("EXPAND"):
                m.d.comb += [fetch.eq(1), expanding.eq(1), self.key.ready.eq(second)]
                with m.If(self.key.valid):
                    m.d.sync += second.eq(0)
                with m.If(n[2:].all() & (wiping | n[:2].all())):
                    m.next = "IDLE"

        history = [Signal(32, name=f"history{k}", reset_less=True) for k in range(7)]
        term = Signal(32, reset_less=True)
        rcon = Signal(8)
        turn, middle = Signal(), Signal()
        use_sub, rotated, straight, plain = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [turn.eq(place == 0), middle.eq(size[1] & (place == 4))]
        with m.If(fetch):
            m.d.sync += [n.eq(n + Mux(wiping, 4, 1)), place.eq(Mux(place == last_place, 0, place + 1))]
        older = Signal(32)
        m.d.comb += older.eq(Mux(size[1], history[6], Mux(size[0], history[4], history[2])))
        with m.If(wiping):
            m.d.sync += term.eq(0)
        with m.Elif(loading):
            m.d.sync += [term.eq(Array(self.key.p.data.word_select(3 - k, 32) for k in range(4))[n[:2]]), rcon.eq(1)]
        with m.Else():
            m.d.sync += term.eq(older ^ Cat(C(0, 24), Mux(turn, rcon, 0)))
            with m.If(turn):
                m.d.sync += rcon.eq(rcon.rotate_left(1) ^ Mux(rcon[7], 0x1A, 0))
        m.d.sync += [
            rotated.eq(expanding & ~wiping & turn),
            straight.eq(expanding & ~wiping & middle),
            use_sub.eq(~expanding | wiping | turn | middle),
            plain.eq(expanding & ~wiping),
        ]

        # The newest word is history[0] ^ sub: the S-boxes' outputs come late in the cycle and are registered as they
        # are. A word that goes through the S-boxes never follows another such, so sub is no part of their address.
        formed, form_n = Signal(), Signal(6)
        newest, sub, address = Signal(32), Signal(32, reset_less=True), Signal(32)
        s = Cat(sub_word.o.word_select(k, 16)[:8] for k in range(4))
        m.d.comb += [
            address.eq(term ^ Mux(plain, history[0], 0)),
            sub_word.i.eq(address),
            sub_word.en.eq(1),
            newest.eq(history[0] ^ sub),
        ]
        m.d.sync += [formed.eq(fetch), form_n.eq(n)]
        with m.If(formed):
            m.d.sync += [
                sub.eq(Mux(rotated, s.rotate_left(8), 0) | Mux(straight, s, 0)),
                history[0].eq(term ^ Mux(use_sub, 0, newest)),
                history[1].eq(newest),
                *(history[k].eq(history[k - 1]) for k in range(2, 7)),
            ]

        write, row, column = Signal(), Signal(4), Signal(4)
        m.d.sync += [
            write.eq(formed), row.eq(self.rounds - form_n[2:]),
            column.eq(Mux(formed, Mux(wiping, 0b1111, 1 << form_n[:2]), 0)),
        ]
        # Word n is written while n + 1 is formed; the block that enters next reads row j 2j cycles later or more, so
        # with word 2 rounds + 3 written every row will be in time.
        enough = Signal()
        m.d.sync += enough.eq(formed & ~wiping & (form_n == Cat(C(3, 2), self.rounds[1:])))
        with m.If(enough):
            m.d.sync += self.keyed.eq(1)
        for k in range(4):
            at = 3 - k
            m.submodules[f"round_keys{k}"] = keys = memory.Memory(
                shape=32, depth=16, init=[], attrs={"ram_style": "distributed"}
            )
            write_port, read_port = keys.write_port(), keys.read_port(domain="comb")
            m.d.comb += [
                write_port.addr.eq(row),
                write_port.data.eq(newest),
                write_port.en.eq(column[k]),
                read_port.addr.eq(self.left),
                self.round_key.word_select(at, 32).eq(read_port.data),
            ]
            with m.If(column[k] & (row == self.rounds)):
                m.d.sync += self.first_key.word_select(at, 32).eq(newest)
        m.d.comb += self.busy.eq(fetch | formed | write | second | wanted)
        return m
