# SPDX-License-Identifier: Apache-2.0
"""The rounds of AES unrolled, a block a cycle (FIPS 197 section 5.1)."""

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .sbox import SubBytes
from .thread_rows import ThreadRows, tag_bits

__all__ = ["ROUNDS", "AesRounds", "RowWrite", "first_round"]

#: Rounds of AES-256.
ROUNDS = 14


def first_round(size):
    """Rounds that a key of ``size`` (0, 1, 2 for 128, 192, 256 bits) has fewer: it begins behind this one."""
    return 4 - 2 * size


class RowWrite(data.StructLayout):
    """A write of one round key for one thread: ``rows`` has a bit for each round key of the bus."""

    def __init__(self, threads, rows):
        super().__init__({"row": 128, "tag": tag_bits(threads), "rows": rows})


class AesRounds(wiring.Component):
    """Encrypts a block a cycle, each under the round keys of its thread, in 30 cycles whatever the key's size.

    There is a small memory for each of the 15 round keys, with a row for each thread, which is read when a block of
    that thread passes: row n in cycle 2n. Keys that travelled with the blocks would cost 256 registers and two more
    block RAMs a round.

    A bank of rows is for 16 threads. Only the sums ahead of the first round and behind the last have inputs left for
    more than one; in all other rounds the banks share a register.

    A key of fewer rounds uses the last ones. Its first round key is in row 4 (AES-128) or 2 (AES-192); its blocks wait
    beside the rounds before that, and what those give is cleared. That takes a LUT for each bit and size, less than
    one that leads results past the last rounds.

    Parameters
    ----------
    threads : int
    sbox : str
        ``"bram"``: 16 S-boxes a round in 8 block RAMs; ``"logic"``.

    Members
    -------
    i : In(StructLayout)
        A block with ``valid``, and its thread.
    size : In(2)
        The key's size, a cycle later: 0, 1, 2 for 128, 192, 256 bits.
    even, odd : In(RowWrite)
        Writes of rows 0, 2, 4... and 1, 3, 5..., in the same cycle or, from ``far_row`` on, in the next one.
    o : Out(StructLayout)
        ``latency`` cycles later.
    """

    latency = 2 * ROUNDS + 2
    #: From this row on, writes take a cycle more.
    far_row = ROUNDS // 2

    def __init__(self, threads, *, sbox="bram"):
        self._sbox = sbox
        #: Memories of round keys by number.
        self.rows = [ThreadRows(threads, 128) for _ in range(ROUNDS + 1)]
        super().__init__({
            "i": In(data.StructLayout({"valid": 1, "tag": tag_bits(threads), "block": 128})), "size": In(2),
            "even": In(RowWrite(threads, 8)), "odd": In(RowWrite(threads, 7)),
            "o": Out(data.StructLayout({"valid": 1, "block": 128})),
        })

    def elaborate(self, platform):
        m = Module()

        def later(name, value):
            signal = Signal(len(value), name=name, reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        def delayed(name, value, cycles):
            """``value`` in each of the cycles from 0 to ``cycles``."""
            copies = [value]
            for n in range(1, cycles + 1):
                copies.append(later(f"{name}{n}", copies[-1]))
            return copies

        valid = Signal(self.latency)
        m.d.sync += valid.eq(Cat(self.i.valid, valid))
        tags = delayed("tag", self.i.tag, 2 * ROUNDS)
        sizes = [None, *delayed("size", self.size, 2 * first_round(0) - 1)]
        # Blocks of shorter keys wait in LUT RAM.
        depth = 2 * first_round(0)
        m.submodules.waiting = waiting = memory.Memory(
            shape=128, depth=depth, init=[], attrs={"ram_style": "distributed"}
        )
        write, beat = waiting.write_port(), Signal(range(depth))
        m.d.comb += [write.addr.eq(beat), write.data.eq(self.i.block), write.en.eq(1)]
        m.d.sync += beat.eq(beat + 1)

        # A register for the rows of the later rounds, which are at the other end of the device.
        near = self.even, self.odd
        far = [data.View(bus.shape(), later(f"bus{n}", Value.cast(bus))) for n, bus in enumerate(near)]
        for number, rows in enumerate(self.rows):
            bus = (near if number < self.far_row else far)[number % 2]
            m.submodules[f"rows{number}"] = rows
            m.d.comb += [
                rows.write.en.eq(bus.rows[number // 2]),
                rows.write.tag.eq(bus.tag),
                rows.write.data.eq(bus.row),
                rows.en.eq(1),
                rows.tag.eq(tags[2 * number]),
            ]

        state = Signal(128, name="state0")
        m.d.comb += state.eq(reduce(xor, self.rows[0].parts, later("block1", self.i.block)))
        entries = {first_round(size): size for size in (0, 1)}
        for number in range(1, ROUNDS + 1):
            # S-boxes know no places: behind ShiftRows, the four of a column are neighbours on their way to MixColumns.
            m.submodules[f"sub_bytes{number}"] = sub_bytes = SubBytes(16, self._sbox)
            m.d.comb += [sub_bytes.i.eq(self._shift_rows(state)), sub_bytes.en.eq(1)]
            sub, carry = (Signal(size, name=f"{name}{number}", reset_less=True)
                          for name, size in (("sub", 16 * 8), ("carry", 16 * 3)))
            both = [sub_bytes.o.word_select(at, 16) for at in range(16)]
            # Twice a byte has three bits that are not just bits of it.
            m.d.sync += [sub.eq(Cat(s[:8] for s in both)), carry.eq(Cat(Cat(s[9], s[11], s[12]) for s in both))]
            double = Cat(
                Cat(s[7], c[0], s[1], c[1], c[2], s[4], s[5], s[6])
                for s, c in ((sub.word_select(at, 8), carry.word_select(at, 3)) for at in range(16))
            )
            key = self.rows[number].now
            if number in entries:
                # In the cycle that reads the row, the block of a key that begins here stands beside it.
                cycle, size = 2 * number, entries[number]
                begins = Signal(name=f"begins{number}", reset_less=True)
                entering = Signal(128, name=f"entering{number}", reset_less=True)
                read = waiting.read_port(domain="comb")
                m.d.comb += read.addr.eq(beat - (cycle - 1))
                m.d.sync += [
                    begins.eq(sizes[cycle - 1] == size),
                    entering.eq(Mux(sizes[cycle - 1] == size, read.data, 0)),
                ]
                with m.If(begins):
                    m.d.sync += [sub.eq(0), carry.eq(0)]
                key = key ^ entering
            state = Signal(128, name=f"state{number}")
            if number < ROUNDS:
                m.d.comb += state.eq(self._mix_columns(m, number, sub, double, later(f"key{number}", key)))
            else:
                m.d.comb += state.eq(reduce(xor, self.rows[number].parts, sub))
        m.d.comb += [self.o.valid.eq(valid[-1]), self.o.block.eq(later("result", state))]
        return m

    @staticmethod
    def _shift_rows(state):
        """Byte (row, column) comes from (row, column + row); FIPS 197 section 5.1.2."""
        order = {15 - (4 * column + row): 15 - (4 * ((column + row) % 4) + row)
                 for column in range(4) for row in range(4)}
        return Cat(state.word_select(order[at], 8) for at in range(16))

    @staticmethod
    def _mix_columns(m, number, sub, double, key):
        """MixColumns and AddRoundKey (FIPS 197 sections 5.1.3 and 5.1.4), in two levels of four inputs."""

        def column_of(value, column):
            return [value.word_select(4 * column + 3 - row, 8) for row in range(4)]

        # Twice byte 1 and bytes 2 and 3 are what rows 0 and 1 have in common, and so for rows 2 and 3.
        common = Signal(64, name=f"common{number}")
        mixed = []
        for column in range(4):
            s, d, k = (column_of(value, column) for value in (sub, double, key))
            for half, rows in enumerate(((0, 1), (2, 3))):
                shared = common.word_select(2 * column + half, 8)
                m.d.comb += shared.eq(d[rows[1]] ^ s[rows[0] ^ 2] ^ s[rows[1] ^ 2])
                mixed.append(shared ^ d[rows[0]] ^ s[rows[1]] ^ k[rows[0]])
                mixed.append(shared ^ d[rows[0] ^ 2] ^ s[rows[0]] ^ k[rows[1]])
        return Cat(mixed[at ^ 3] for at in range(16))
