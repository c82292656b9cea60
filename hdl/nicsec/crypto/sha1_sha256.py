# SPDX-License-Identifier: Apache-2.0
"""SHA-1 and SHA-256 (FIPS 180-4) in one core."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import memory
from amaranth.lib.wiring import In

from ..choose import gated
from .hash_core import HashCore
from .sha1 import Sha1
from .sha256 import Sha256, big_sigma, small_sigma

__all__ = ["Sha1Sha256"]

#: Slots that words of the schedule spend in memory.
_IN_MEMORY = 4


class Sha1Sha256(HashCore):
    """SHA-1 or SHA-256 compression, one round a cycle; streams are those of :class:`HashCore`, timing that of the two.

    A block takes 85 cycles of SHA-1 or 72 of SHA-256. The two share all of :class:`HashCore`, the message schedule's
    shift register, and the sums of the variables e to h of SHA-256, which are a to e of SHA-1 (:class:`Sha2`,
    :class:`Sha1`): ``kw = K + W``, ``q = kw + h``, then ``r = q + d`` and ``e' = r + S1(e) + Ch(e, f, g)`` in SHA-256,
    ``r = q + f(b, c, d)`` and ``a' = r + ROTL5(a)`` in SHA-1. What is of the other hash is held at zero.

    Members
    -------
    sha1 : In(1)
        SHA-1, otherwise SHA-256. Held from the cycle ahead of the first word of a request to the last of its answer.
    """

    STATE_WORDS = 8
    ROUNDS = 80
    STAGES = 7

    sha1: In(1)

    def sizes(self):
        return tuple(Mux(self.sha1, one - less, two - less) for one, two, less in (
            (Sha1.STATE_WORDS, Sha256.STATE_WORDS, 1), (Sha1.ROUNDS, Sha256.ROUNDS, 17)
        ))

    def rounds(self, m, *, step, slots, word, schedule, rests):
        def register(name):
            return Signal(32, name=name, reset_less=True)

        sha1 = self.sha1

        # Message schedules. w[7] to w[10] have no reader: these words are in a memory.
        w = [register(f"w_{n}") if not 7 <= n < 7 + _IN_MEMORY else None for n in range(15)]
        m.submodules.delay = delay = memory.Memory(
            shape=32, depth=_IN_MEMORY, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = delay.write_port(), delay.read_port(domain="comb")
        at = Signal(range(_IN_MEMORY))
        m.d.comb += [write.addr.eq(at), read.addr.eq(at), write.data.eq(w[6]), write.en.eq(step)]
        made, made_7_15_16, made_15_16 = (register(name) for name in ("made", "made_7_15_16", "made_15_16"))
        with m.If(step):
            m.d.sync += [
                at.eq(at + 1),
                made_15_16.eq(small_sigma(w[11], Sha256.SIGMA0) + w[12]),
                made_7_15_16.eq(made_15_16 + w[4]),
                made.eq(gated(Mux(
                    sha1, (w[1] ^ w[6] ^ w[12] ^ w[14]).rotate_left(1),
                    (made_7_15_16 + small_sigma(w[0], Sha256.SIGMA1))[:32],
                ), schedule)),
                w[0].eq(word | made),
                w[11].eq(read.data),
            ]
            m.d.sync += [after.eq(before) for before, after in pairwise(w) if before is not None and after is not None]

        # Constants, from one ROM, and zero where there is no round. `number` (SHA-256), `period` and `phase` (SHA-1)
        # are of the slot behind the one in stage 0, as are the first bits of `choose` and `majority` a slot later.
        number = Signal(6, reset_less=True)
        period, phase = Signal(range(20), reset_less=True), Signal(2, reset_less=True)
        k, kw = register("k"), register("kw")
        choose, majority = Signal(2, reset_less=True), Signal(2, reset_less=True)
        m.submodules.constants = constants = memory.Memory(
            shape=32, depth=128, init=[*Sha256.K, *Sha1.K], attrs={"ram_style": "block"}
        )
        constant = constants.read_port()
        # Also read between requests: the first load would find what the memory's output was at power-up.
        m.d.comb += [
            constant.addr.eq(Mux(rests, C(127, 7), Mux(sha1, C(64, 7) | phase, number))), constant.en.eq(step | rests)
        ]
        with m.If(step):
            m.d.sync += [bit.eq(bit ^ number[:n].all()) for n, bit in enumerate(number)]
            m.d.sync += period.eq(period + 1)
            with m.If(period == 19):
                m.d.sync += [period.eq(0), phase.eq(phase + 1)]
            with m.If(rests):
                m.d.sync += [number.eq(0), period.eq(0), phase.eq(0)]
            m.d.sync += [
                choose.eq(Cat(phase == 0, choose)),
                majority.eq(Cat(phase == 2, majority)),
                k.eq(constant.data),
                kw.eq(k + w[0]),
            ]

        # What the stages do: one bit of each of these is for the slot that is there, beside what holds for the hash.
        # `kind` of f(b, c, d) of SHA-1: 1 is Ch, 2 Maj, 3 parity, and 0 for nothing.
        leaves, has_q, chain, turns, sums_e, moves, pushes, sums_a = (
            Signal(name=name, reset_less=True)
            for name in ("leaves", "has_q", "chain", "turns", "sums_e", "moves", "pushes", "sums_a")
        )
        kind = Signal(2, reset_less=True)
        with m.If(step):
            m.d.sync += [
                leaves.eq(~(slots[1].load & slots[1].fresh)),
                kind.eq(Mux(
                    slots[1].load | ~sha1, 0, Mux(choose[1], 1, Mux(majority[1], 2, 3))
                )),
                has_q.eq(sha1 | ~slots[2].load),
                chain.eq(~(sha1 | slots[2].load)),
                turns.eq(sha1 & ~slots[2].load),
                sums_e.eq(~(sha1 | slots[3].load)),
                moves.eq(~(sha1 | slots[4].load)),
                pushes.eq(~sha1 & slots[4].load),
                sums_a.eq(~(sha1 | slots[5].load)),
            ]

        # The chain of e (a of SHA-1). `f` is b of SHA-1 as it will be c, so it is rotated then, unless the slot that
        # moves it on is a load. Ch(e, f, g) is (e & u) ^ v, and f(b, c, d) of SHA-1 (e & u_1) ^ v_1.
        e, f, c_1, five = (register(name) for name in ("e", "f", "c_1", "e_rotl5"))
        u, v, u_1, v_1 = (register(name) for name in ("u", "v", "u_1", "v_1"))
        a, b, c = (register(name) for name in "abc")
        q, q_1, q_2, r, z = (register(name) for name in ("q", "q_1", "q_2", "r", "z"))
        e_next, f_next = Signal(32, name="e_next"), Signal(32, name="f_next")
        m.d.comb += [
            e_next.eq(r + gated(big_sigma(e, Sha256.SUM1), sums_e) + (((e & u) ^ v) | five)),
            f_next.eq(Mux(turns, e.rotate_left(30), e)),
        ]
        differ = f_next ^ f
        with m.If(step):
            m.d.sync += [
                # Nothing leaves the chain when a new state is brought in.
                q.eq(kw + gated(Mux(sha1, c_1, f), leaves)),
                q_1.eq(q),
                q_2.eq(q_1),
                # A load pushes q: in SHA-1 into e, in SHA-256 into a, and moves d to e. `a` is zero in SHA-1, `u_1` and
                # `v_1` in SHA-256.
                r.eq(gated(q, has_q) + (((e & u_1) ^ v_1) | a)),
                e.eq(e_next),
                f.eq(f_next),
                c_1.eq(f),
                u.eq(gated(e ^ f, chain)),
                v.eq(gated(f, chain)),
                u_1.eq(gated(differ, kind.xor()) | kind.all().replicate(32)),
                v_1.eq(gated(f, kind == 1) | gated(f_next & f, kind == 2) | gated(differ, kind == 3)),
                z.eq((gated(e, moves) | gated(q_2, pushes)) - gated(c, moves)),
                a.eq(z + gated(big_sigma(a, Sha256.SUM0), sums_a) + gated((a & b) | (c & (a | b)), sums_a)),
                b.eq(a),
                c.eq(b),
                five.eq(Mux(slots[3].load | ~sha1, 0, e_next.rotate_left(5))),
            ]
        return q
