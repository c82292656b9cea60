# SPDX-License-Identifier: Apache-2.0
"""SHA-1 (FIPS 180-4, 6.1)."""

from itertools import pairwise

from amaranth import *

from .hash_core import HashCore

__all__ = ["Sha1"]


class Sha1(HashCore):
    """SHA-1 compression, one round a cycle; streams and timing are those of :class:`HashCore`.

    A block takes 85 cycles. A round's sum is prepared over three stages, so that only one addition waits
    for the newest word: ``kw = K + W``, ``q = kw + e``, ``s = q + f(b, c, d)``, ``a = s + ROTL5(a)``.
    """

    #: Initial hash value (FIPS 180-4, 5.3.1).
    IV = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)

    STATE_WORDS = 5
    ROUNDS = 80

    K = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)

    def rounds(self, m, *, step, slots, word, schedule, rests):
        w = [Signal(32, name=f"w_{n}", reset_less=True) for n in range(15)]
        made = Signal(32, reset_less=True)
        with m.If(step):
            # Two slots ahead of the word it makes, which the shift register holds one slot later.
            m.d.sync += made.eq(Mux(schedule, (w[1] ^ w[6] ^ w[12] ^ w[14]).rotate_left(1), 0))
            m.d.sync += w[0].eq(word | made)
            m.d.sync += [after.eq(before) for before, after in pairwise(w)]

        # The constant and the function change every 20 rounds. `phase` is of the slot in stage 0.
        period = Signal(range(20), reset_less=True)
        phase = Signal(2, reset_less=True)
        k, kw = Signal(32, reset_less=True), Signal(32, reset_less=True)
        choose, majority = Signal(2, reset_less=True), Signal(2, reset_less=True)
        with m.If(step):
            m.d.sync += [period.eq(period + 1), k.eq(Array(self.K)[phase])]
            with m.If(period == 19):
                m.d.sync += [period.eq(0), phase.eq(phase + 1)]
            with m.If(slots[0].load):
                m.d.sync += [period.eq(0), phase.eq(0), k.eq(0)]
            m.d.sync += [
                choose.eq(Cat(phase == 0, choose)),
                majority.eq(Cat(phase == 2, majority)),
                kw.eq(k + w[0]),
            ]

        # The chain. `b` holds what will be c one slot later, so it is rotated, unless the slot that moves it on
        # is a load, which must leave words as they are. f(b, c, d) is (b & u) ^ v, and zero in a load.
        a, b, c, five = (Signal(32, name=name, reset_less=True) for name in ("a", "b", "c", "a_rotl5"))
        a_next, b_next = Signal(32), Signal(32)
        u, v = Signal(32, reset_less=True), Signal(32, reset_less=True)
        q, s = Signal(32, reset_less=True), Signal(32, reset_less=True)
        m.d.comb += [
            a_next.eq(five + s),
            b_next.eq(Mux(slots[3].load, a, a.rotate_left(30))),
        ]
        with m.If(step):
            m.d.sync += [
                a.eq(a_next),
                five.eq(a_next.rotate_left(5)),
                b.eq(b_next),
                c.eq(b),
                q.eq(kw + c),
                s.eq(((a & u) ^ v) + q),
            ]
            with m.If(choose[1]):
                m.d.sync += [u.eq(b_next ^ b), v.eq(b)]
            with m.Elif(majority[1]):
                m.d.sync += [u.eq(b_next ^ b), v.eq(b_next & b)]
            with m.Else():
                m.d.sync += [u.eq(~0), v.eq(b_next ^ b)]
            with m.If(slots[1].load & slots[1].fresh):
                m.d.sync += c.eq(0)
            with m.If(slots[2].load):
                m.d.sync += [u.eq(0), v.eq(0)]
            with m.If(slots[3].load):
                m.d.sync += five.eq(0)
        return q
