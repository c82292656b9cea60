# SPDX-License-Identifier: Apache-2.0
"""DES and triple DES encryption (FIPS 46-3, SP 800-67), for old peers only."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Des", "DesKey"]

#: One of a key's two beats: ``data`` is bytes 0-15, then bytes 16-31, first byte in bits 127:120. A DES key is bytes
#: 0-7, a triple DES key K1, K2, K3 is bytes 0-23. ``size`` is 0 for DES and 1 for triple DES, in both beats.
DesKey = data.StructLayout({"data": 128, "size": 2})

# Tables are FIPS 46-3's: bits are counted from 1 at the left.
_IP = [bit for start in (58, 60, 62, 64, 57, 59, 61, 63) for bit in range(start, 0, -8)]
_FP = [_IP.index(bit) + 1 for bit in range(1, 65)]
_E = [(4 * group + offset - 1) % 32 + 1 for group in range(8) for offset in range(6)]
_P = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10]
_P += [2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25]
_PC1 = [bit for start in (57, 58, 59) for bit in range(start, 0, -8)] + [60, 52, 44, 36]
_PC1 += [bit for start in (63, 62, 61) for bit in range(start, 0, -8)] + [28, 20, 12, 4]
_PC2 = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2]
_PC2 += [41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32]
# Four rows of 16 digits each.
_S = [
    "e4d12fb83a6c5907 0f74e2d1a6cb9538 41e8d62bfc973a50 fc8249175b3ea06d",
    "f18e6b34972dc05a 3d47f28ec01a69b5 0e7ba4d158c6932f d8a13f42b67c05e9",
    "a09e63f51dc7b428 d709346a285ecbf1 d6498f30b12c5ae7 1ad069874fe3b52c",
    "7de3069a1285bc4f d8b56f03472c1ae9 a690cb7df13e5284 3f06a1d8945bc72e",
    "2c417ab6853fd0e9 eb2c47d150fa3986 421bad78f9c5630e b8c71e2d6f09a453",
    "c1af92680d34e75b af427c9561de0b38 9ef528c3704a1db6 432c95fabe17608d",
    "4b2ef08d3c975a61 d0b7491ae35c2f86 14bdc37eaf680592 6bd814a7950fe23c",
    "d2846fb1a93e50c7 1fd8a374c56b0e92 7b419ce206adf358 21e74a8dfc90356b",
]


def _select(value, table):
    """The bits of ``value`` that ``table`` names, from left to right."""
    return Cat(value[len(value) - bit] for bit in reversed(table))


def _each(half, halves):
    """``half`` applied to both halves of a 56-bit key register."""
    return Cat(half(halves[:28]), half(halves[28:]))


def _reverse(half):
    return Cat(reversed(half))


class Des(wiring.Component):
    """Encrypts blocks with DES, or with triple DES in the order encrypt, decrypt, encrypt.

    A block's result is offered 17 cycles after the block was accepted, or 49 with triple DES; a block is accepted every
    18 or 50 cycles, one being inside at a time. A key's first beat is accepted when no block is inside; the first
    block under it can be accepted 4 cycles after that. Nothing depends on data or key bits, only on the key's size.

    A block that is offered no earlier than the key's first beat is encrypted under that key: while ``key`` is valid,
    ``i`` is not ready. Before the first key and after a wipe ``i`` is not ready. Parity bits are ignored.

    Members
    -------
    key : In(stream of DesKey)
        Two beats a key.
    i, o : In(stream of 64), Out(stream of 64)
        Plaintext and ciphertext blocks, in order; first byte in bits 63:56, so that FIPS 46-3's bit 1 is bit 63.
    wipe : In(1)
        A pulse clears the key as soon as no block is inside.
    busy : Out(1)
        A key is being loaded or wiped, or a block or result is inside.
    working : Out(1)
        A round is done: 16 or 48 times a block.
    """

    key: In(stream.Signature(DesKey))
    i: In(stream.Signature(64))
    o: Out(stream.Signature(64))
    wipe: In(1)
    busy: Out(1)
    working: Out(1)

    def elaborate(self, platform):
        m = Module()

        key_data = Signal(128)
        m.d.comb += key_data.eq(self.key.p.data)

        # One register per key of triple DES, in a ring; the first is one round ahead of the data. C and D are
        # turned after a round key was taken, and are back where they began after 16 rounds. The second key is held
        # bit-reversed, so that it too is turned to the left, and starts with its last round key.
        ring = [Signal(56, name=f"ring_{n}") for n in range(3)]
        backwards = Signal(3)
        round_key = Signal(48)
        triple = Signal(reset_less=True)
        ahead, passes = Signal(4), Signal(2, reset_less=True)
        once, twice, reverse, loaded_key = Signal(56), Signal(56), Signal(56), Signal(56)
        first, second = Signal(56), Signal(56)
        load_key, load_second, advance, switch = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(_select(key_data[64:], _PC1)),
            second.eq(_select(key_data[:64], _PC1)),
            reverse.eq(_each(_reverse, ring[0])),
            once.eq(_each(lambda half: half.rotate_left(1), ring[0])),
            twice.eq(_each(lambda half: half.rotate_left(2), ring[0])),
            switch.eq(advance & triple & (ahead == 15)),
        ]
        with m.If(load_second):
            m.d.comb += loaded_key.eq(_each(_reverse, second))
        with m.Else():
            m.d.comb += loaded_key.eq(_each(lambda half: half.rotate_left(1), first))

        with m.If(load_key | switch):
            m.d.sync += [
                Cat(ring).eq(Cat(ring[1], ring[2], Mux(load_key, loaded_key, once))),
                backwards.eq(Cat(backwards[1:], Mux(load_key, load_second, backwards[0]))),
            ]
        with m.Elif(advance):
            with m.If((ahead == 0) | (ahead == 7) | (ahead >= 14)):
                m.d.sync += ring[0].eq(once)
            with m.Else():
                m.d.sync += ring[0].eq(twice)
        with m.If(advance):
            m.d.sync += [
                ahead.eq(ahead + 1),
                round_key.eq(Mux(backwards[0], _select(reverse, _PC2), _select(ring[0], _PC2))),
            ]

        wanted = Signal()
        keyed, running = Signal(), Signal()
        with m.If(self.wipe):
            m.d.sync += wanted.eq(1)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                with m.If(~running & ~self.o.valid):
                    with m.If(wanted):
                        m.d.sync += [wanted.eq(self.wipe), keyed.eq(0), round_key.eq(0), *(key.eq(0) for key in ring)]
                    with m.Elif(self.key.valid):
                        m.d.sync += [keyed.eq(0), triple.eq(self.key.p.size[0])]
                        m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += load_key.eq(1)
                m.next = "SECOND"
            with m.State("SECOND"):
                m.d.comb += [load_key.eq(1), load_second.eq(1), self.key.ready.eq(1)]
                m.next = "THIRD"
            with m.State("THIRD"):
                m.d.comb += [load_key.eq(self.key.valid), self.key.ready.eq(1)]
                with m.If(self.key.valid):
                    m.d.sync += ahead.eq(0)
                    m.next = "AHEAD"
            with m.State("AHEAD"):
                m.d.comb += advance.eq(1)
                m.d.sync += keyed.eq(1)
                m.next = "IDLE"

        block = Signal(64, reset_less=True)
        right, left = block[:32], block[32:]
        mixed, substituted, crossed = Signal(48), Signal(32), Signal(32)
        m.d.comb += [
            mixed.eq(_select(right, _E) ^ round_key),
            crossed.eq(left ^ _select(substituted, _P)),
        ]
        for n, rows in enumerate(_S):
            digits = [int(digit, 16) for digit in rows.replace(" ", "")]
            six = mixed[42 - 6 * n : 48 - 6 * n]
            m.d.comb += substituted[28 - 4 * n : 32 - 4 * n].eq(Array(digits)[Cat(six[1:5], six[0], six[5])])

        m.d.comb += [
            self.i.ready.eq(keyed & ~running & ~self.o.valid & ~self.key.valid & ~wanted),
            self.o.payload.eq(_select(block, _FP)),
            self.working.eq(running),
            self.busy.eq(running | self.o.valid | wanted | ~fsm.ongoing("IDLE")),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [block.eq(_select(self.i.payload, _IP)), running.eq(1), passes.eq(0)]
        with m.If(running):
            m.d.comb += advance.eq(1)
            with m.If(ahead == 0):
                # The halves are not exchanged in the last round; passes meet without a permutation.
                m.d.sync += [left.eq(crossed), passes.eq(passes + 1)]
                with m.If(~triple | (passes == 2)):
                    m.d.sync += [running.eq(0), self.o.valid.eq(1)]
            with m.Else():
                m.d.sync += [left.eq(right), right.eq(crossed)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
