# SPDX-License-Identifier: Apache-2.0
"""SHA-256 (FIPS 180-4, 6.2), and the round logic of all SHA-2."""

from itertools import pairwise
from math import isqrt

from amaranth import *
from amaranth.utils import ceil_log2

from .hash_core import HashCore

__all__ = ["Sha2", "Sha256", "big_sigma", "cube_roots", "small_sigma", "square_roots"]

_PRIMES = [n for n in range(2, 410) if all(n % divisor for divisor in range(2, isqrt(n) + 1))]


def square_roots(count, width, skip=0):
    """First ``width`` bits of the fractional parts of the square roots of ``count`` primes."""
    return tuple(isqrt(prime << 2 * width) % (1 << width) for prime in _PRIMES[skip : skip + count])


def cube_roots(count, width):
    """First ``width`` bits of the fractional parts of the cube roots of the first ``count`` primes."""
    roots = []
    for prime in _PRIMES[:count]:
        root = 0
        for bit in reversed(range(width + 3)):
            if (root | 1 << bit) ** 3 <= prime << 3 * width:
                root |= 1 << bit
        roots.append(root % (1 << width))
    return tuple(roots)


def big_sigma(x, amounts):
    """Three rotations to the right, added (FIPS 180-4, 4.1.2)."""
    return x.rotate_right(amounts[0]) ^ x.rotate_right(amounts[1]) ^ x.rotate_right(amounts[2])


def small_sigma(x, amounts):
    """Two rotations and a shift to the right, added (FIPS 180-4, 4.1.2)."""
    return x.rotate_right(amounts[0]) ^ x.rotate_right(amounts[1]) ^ x[amounts[2] :]


class Sha2(HashCore):
    """Round logic of SHA-2, one round a cycle.

    The variables e to h and a to d are two chains. The second runs two slots behind the first: d = a[n-3]
    is all that the first wants of it. So each has one addition of three operands that waits for its newest
    word, and everything else is added ahead:
    ``kw = K + W``, ``q = kw + h``, ``r = q + d``, ``e' = r + S1(e) + Ch(e, f, g)``, ``z = e' - d``,
    ``a' = z + S0(a) + Maj(a, b, c)``.
    """

    STAGES = 7

    #: Round constants, and the amounts of FIPS 180-4, 4.1: rotations, or two rotations and a shift.
    K = ()
    SUM0 = SUM1 = SIGMA0 = SIGMA1 = ()

    def rounds(self, m, *, step, slots, word, schedule, rests):
        width = self.WIDTH

        def register(name):
            return Signal(width, name=name, reset_less=True)

        # Message schedule: a word is made in the three slots ahead of its own.
        w = [register(f"w_{n}") for n in range(13)]
        made, made_7_15_16, made_15_16 = register("made"), register("made_7_15_16"), register("made_15_16")
        with m.If(step):
            m.d.sync += [
                made_15_16.eq(small_sigma(w[11], self.SIGMA0) + w[12]),
                made_7_15_16.eq(made_15_16 + w[4]),
                made.eq(Mux(schedule, made_7_15_16 + small_sigma(w[0], self.SIGMA1), 0)),
                w[0].eq(word | made),
            ]
            m.d.sync += [after.eq(before) for before, after in pairwise(w)]

        # `number` is the round behind the one in stage 0: constants are looked up a slot early, as SHA-512's come from
        # slow block RAM. It counts without a carry chain, which logic optimization would put into the look-up.
        number = Signal(ceil_log2(self.ROUNDS), reset_less=True)
        k_ahead, k, kw = register("k_ahead"), register("k"), register("kw")
        with m.If(step):
            m.d.sync += [bit.eq(bit ^ number[:n].all()) for n, bit in enumerate(number)]
            with m.If(rests):
                m.d.sync += number.eq(0)
            m.d.sync += [
                k_ahead.eq(Array(self.K)[number]),
                k.eq(Mux(slots[0].load, 0, k_ahead)),
                kw.eq(k + w[0]),
            ]

        # The chains. A load pushes q into a and moves d to e. What the sums would add to that is zero then,
        # and so is h, which is f two slots before, when a new state is brought in.
        a, b, c, e, f, g = (register(name) for name in "abcefg")
        q, q_round, q_1, q_2, r, z = (register(name) for name in ("q", "q_round", "q_1", "q_2", "r", "z"))
        sum0, majority, sum1, choice = (Signal(width, name=name) for name in ("sum0", "majority", "sum1", "choice"))
        q_next = Signal(width)
        with m.If(~slots[4].load):
            m.d.comb += [sum1.eq(big_sigma(e, self.SUM1)), choice.eq(g ^ (e & (f ^ g)))]
        with m.If(~slots[6].load):
            m.d.comb += [sum0.eq(big_sigma(a, self.SUM0)), majority.eq((a & b) | (c & (a | b)))]
        m.d.comb += q_next.eq(kw + f)
        with m.If(step):
            m.d.sync += [
                q.eq(q_next),
                q_round.eq(Mux(slots[2].load, 0, q_next)),
                q_1.eq(q),
                q_2.eq(q_1),
                r.eq(q_round + a),
                e.eq(r + sum1 + choice),
                f.eq(Mux(slots[1].load & slots[1].fresh, 0, e)),
                g.eq(f),
                z.eq(Mux(slots[5].load, q_2, e - c)),
                a.eq(z + sum0 + majority),
                b.eq(a),
                c.eq(b),
            ]
        return q


class Sha256(Sha2):
    """SHA-256 compression; streams and timing are those of :class:`HashCore`. A block takes 72 cycles."""

    #: Initial hash value (FIPS 180-4, 5.3.3).
    IV = square_roots(8, 32)

    STATE_WORDS = 8
    ROUNDS = 64

    K = cube_roots(64, 32)
    SUM0, SUM1 = (2, 13, 22), (6, 11, 25)
    SIGMA0, SIGMA1 = (7, 18, 3), (17, 19, 10)
