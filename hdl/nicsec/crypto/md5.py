# SPDX-License-Identifier: Apache-2.0
"""MD5 (RFC 1321), for HMAC-MD5-96 of old peers only."""

from math import floor, sin

from amaranth import *
from amaranth.lib import memory

from .hash_core import HashCore

__all__ = ["Md5"]


class Md5(HashCore):
    """MD5 compression, two cycles a round; streams and timing are those of :class:`HashCore`.

    A block takes 136 cycles. In the first cycle of a round ``x = q + F(b, c, d)``, where ``q = a + M + T`` was
    prepared over three stages, and in the second ``b = b + ROTL(x)``. State and digest words are in the order of
    their bytes, as MD5 digests are printed.
    """

    #: Initial state (RFC 1321, 3.3), the bytes of word A first.
    IV = (0x01234567, 0x89ABCDEF, 0xFEDCBA98, 0x76543210)

    STATE_WORDS = 4
    ROUNDS = 64
    INTERVAL = 2
    LITTLE_ENDIAN = True

    _T = tuple(floor(abs(sin(n + 1)) * 2**32) for n in range(64))
    # Rotations are one of four by the round modulo 4, and 0 to 3 more by that and the round's function.
    _COARSE = (4, 9, 14, 20)
    _FINE = ((3, 3, 3, 2), (1, 0, 0, 0), (0, 2, 2, 3), (2, 1, 1, 1))
    # First index into the message, and stride from one to the next, by function.
    _INDEX = ((0, 1), (1, 5), (5, 3), (0, 7))

    def __init__(self):
        super().__init__()
        self._block = memory.Memory(shape=32, depth=16, init=[])

    def order(self, count):
        # Words leave the chain in the order A, D, C, B.
        return (count + 1)[:2]

    def rounds(self, m, *, step, slots, word, schedule, rests):
        m.submodules.block = block = self._block
        write, read = block.write_port(), block.read_port(domain="comb")

        # `number` is the round in stage 0, `index` the message word of the slot behind it.
        number, index = Signal(6, reset_less=True), Signal(4, reset_less=True)
        stride = Signal(3, reset_less=True)
        made, w = Signal(32, reset_less=True), Signal(32, reset_less=True)
        k, kw = Signal(32, reset_less=True), Signal(32, reset_less=True)
        # Sixteen zeros that wipe the core wipe the block too.
        wipe = Signal()
        m.d.comb += [
            wipe.eq(slots[0].fresh & slots[0].store),
            write.addr.eq(number[:4]),
            write.data.eq(word),
            write.en.eq(step & ((number[4:] == 0) | wipe)),
            read.addr.eq(index),
        ]
        with m.If(step):
            m.d.sync += [
                made.eq(Mux(schedule, read.data, 0)),
                w.eq(word | made),
                k.eq(Array(self._T)[number]),
                kw.eq(k + w),
                number.eq(number + 1),
            ]
            # The index runs one slot ahead, so it changes its ways one slot before the function does.
            m.d.sync += index.eq(index + stride)
            with m.If(number[:4] == 14):
                m.d.sync += [
                    index.eq(Array(first for first, _ in self._INDEX)[(number[4:] + 1)[:2]]),
                    stride.eq(Array(stride for _, stride in self._INDEX)[(number[4:] + 1)[:2]]),
                ]
            with m.If(slots[0].load):
                m.d.sync += k.eq(0)
                with m.If(~wipe):
                    m.d.sync += number.eq(0)
        return self._chain(m, step, slots, number, kw)

    def _chain(self, m, step, slots, number, kw):
        # Which rotation and function: of the slot in stage 3.
        coarse, function, fine = Signal(2, reset_less=True), Signal(2, reset_less=True), Signal(2, reset_less=True)
        numbers = [number, Signal(6, name="number_1", reset_less=True), Signal(6, name="number_2", reset_less=True)]
        with m.If(step):
            m.d.sync += [numbers[1].eq(numbers[0]), numbers[2].eq(numbers[1])]
            m.d.sync += [coarse.eq(numbers[2][:2]), function.eq(numbers[2][4:])]
            m.d.sync += fine.eq(Array(Array(row) for row in self._FINE)[numbers[2][4:]][numbers[2][:2]])

        b, c, d, q, x = (Signal(32, name=name, reset_less=True) for name in "bcdqx")
        mixed, turned, rotated = Signal(32), Signal(32), Signal(32)
        base = Signal(32)
        with m.Switch(function):
            with m.Case(0):
                m.d.comb += mixed.eq((b & c) | (~b & d))
            with m.Case(1):
                m.d.comb += mixed.eq((d & b) | (~d & c))
            with m.Case(2):
                m.d.comb += mixed.eq(b ^ c ^ d)
            with m.Default():
                m.d.comb += mixed.eq(c ^ (b | ~d))
        m.d.comb += [
            turned.eq(Array(x.rotate_left(amount) for amount in self._COARSE)[coarse]),
            rotated.eq(Array(turned.rotate_left(amount) for amount in range(4))[fine]),
            base.eq(Mux(slots[3].load, q, b)),
        ]
        # A load pushes q into b, with x zero. The state of a new request is added to a d of zero.
        m.d.sync += x.eq(Mux(slots[3].load, 0, q + mixed))
        with m.If(step):
            m.d.sync += [
                b.eq(base + rotated),
                c.eq(b),
                d.eq(Mux(slots[1].load & slots[1].fresh, 0, c)),
                q.eq(kw + d),
            ]
        return q
