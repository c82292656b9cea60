# SPDX-License-Identifier: Apache-2.0
"""SHA-1 and SHA-256 (FIPS 180-4) in one core."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import memory
from amaranth.lib.wiring import In

from .hash_core import HashCore
from .sha1 import Sha1
from .sha256 import Sha256

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

    def rounds(self, m, *, step, slots, word, schedule, load):
        def register(name):
            return Signal(32, name=name, reset_less=True)

        def big_sigma(x, amounts):
            return x.rotate_right(amounts[0]) ^ x.rotate_right(amounts[1]) ^ x.rotate_right(amounts[2])

        def small_sigma(x, amounts):
            return x.rotate_right(amounts[0]) ^ x.rotate_right(amounts[1]) ^ x[amounts[2] :]

        sha1 = self.sha1

        # Message schedules. w[7] to w[10] have no reader: these words are in a memory.
        w = [register(f"w_{n}") if not 7 <= n < 7 + _IN_MEMORY else None for n in range(15)]
        m.submodules.delay = delay = memory.Memory(
            shape=32, depth=_IN_MEMORY, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = delay.write_port(), delay.read_port(domain="comb")
        at = Signal(range(_IN_MEMORY))
        m.d.comb += [write.addr.eq(at), read.addr.eq(at), write.data.eq(w[6]), write.en.eq(step)]
        made, made_7_15_16, made_15_16, made_1 = (
            register(name) for name in ("made", "made_7_15_16", "made_15_16", "made_1")
        )
        with m.If(step):
            m.d.sync += [
                at.eq(at + 1),
                made_15_16.eq(small_sigma(w[11], Sha256.SIGMA0) + w[12]),
                made_7_15_16.eq(made_15_16 + w[4]),
                made.eq(Mux(schedule & ~sha1, made_7_15_16 + small_sigma(w[0], Sha256.SIGMA1), 0)),
                made_1.eq(Mux(schedule & sha1, (w[1] ^ w[6] ^ w[12] ^ w[14]).rotate_left(1), 0)),
                w[0].eq(word | made | made_1),
                w[11].eq(read.data),
            ]
            m.d.sync += [after.eq(before) for before, after in pairwise(w) if before is not None and after is not None]

        # Constants, from one ROM. `number` (SHA-256), `period` and `phase` (SHA-1) are of the slot behind the one in
        # stage 0.
        number = Signal(6, reset_less=True)
        period, phase = Signal(range(20), reset_less=True), Signal(2, reset_less=True)
        k, kw = register("k"), register("kw")
        choose, majority = Signal(3, reset_less=True), Signal(3, reset_less=True)
        m.submodules.constants = constants = memory.Memory(
            shape=32, depth=128, init=[*Sha256.K, *Sha1.K], attrs={"ram_style": "block"}
        )
        constant = constants.read_port()
        m.d.comb += [constant.addr.eq(Mux(sha1, C(64, 7) | phase, number)), constant.en.eq(step)]
        with m.If(step):
            m.d.sync += [bit.eq(bit ^ number[:n].all()) for n, bit in enumerate(number)]
            m.d.sync += [period.eq(period + 1), k.eq(constant.data)]
            with m.If(period == 19):
                m.d.sync += [period.eq(0), phase.eq(phase + 1)]
            with m.If(load):
                m.d.sync += [number.eq(0), period.eq(0), phase.eq(0)]
            with m.If(slots[0].load):
                m.d.sync += k.eq(0)
            m.d.sync += [
                choose.eq(Cat(phase == 0, choose)),
                majority.eq(Cat(phase == 2, majority)),
                kw.eq(k + w[0]),
            ]

        # The chain of e (a of SHA-1). `f` is b of SHA-1 as it will be c, so it is rotated then, unless the slot that
        # moves it on is a load. Ch(e, f, g) is (e & u) ^ v, and f(b, c, d) of SHA-1 (e & u_1) ^ v_1.
        e, f, c_1, five = (register(name) for name in ("e", "f", "c_1", "e_rotl5"))
        u, v, u_1, v_1 = (register(name) for name in ("u", "v", "u_1", "v_1"))
        a, b, c = (register(name) for name in "abc")
        q, q_round, q_1, q_2, r, z = (register(name) for name in ("q", "q_round", "q_1", "q_2", "r", "z"))
        sum0, majority_0, sum1 = (Signal(32, name=name) for name in ("sum0", "majority_0", "sum1"))
        q_next, e_next, f_next = (Signal(32, name=name) for name in ("q_next", "e_next", "f_next"))
        no_sum1 = Signal(reset_less=True)
        with m.If(~no_sum1):
            m.d.comb += sum1.eq(big_sigma(e, Sha256.SUM1))
        with m.If(~slots[6].load):
            m.d.comb += [sum0.eq(big_sigma(a, Sha256.SUM0)), majority_0.eq((a & b) | (c & (a | b)))]
        m.d.comb += [
            q_next.eq(kw + Mux(sha1, c_1, f)),
            e_next.eq(r + sum1 + (((e & u) ^ v) | five)),
            f_next.eq(Mux(sha1 & ~slots[3].load, e.rotate_left(30), e)),
        ]
        fresh = Signal()
        m.d.comb += fresh.eq(slots[1].load & slots[1].fresh)
        with m.If(step):
            m.d.sync += [
                q.eq(q_next),
                q_round.eq(q_next),
                q_1.eq(q),
                q_2.eq(q_1),
                # `a` is zero in SHA-1, `u_1` and `v_1` in SHA-256.
                r.eq(q_round + (((e & u_1) ^ v_1) | a)),
                e.eq(e_next),
                five.eq(e_next.rotate_left(5)),
                f.eq(f_next),
                c_1.eq(f),
                u.eq(e ^ f),
                v.eq(f),
                no_sum1.eq(slots[3].load | sha1),
                z.eq(Mux(slots[5].load, q_2, e - c)),
                a.eq(z + sum0 + majority_0),
                b.eq(a),
                c.eq(b),
            ]
            with m.If(choose[2]):
                m.d.sync += [u_1.eq(f_next ^ f), v_1.eq(f)]
            with m.Elif(majority[2]):
                m.d.sync += [u_1.eq(f_next ^ f), v_1.eq(f_next & f)]
            with m.Else():
                m.d.sync += [u_1.eq(~0), v_1.eq(f_next ^ f)]
            # A load pushes q: in SHA-256 into a, and moves d to e. What would be added to it is zero then, and so is
            # the word that leaves the chain when a new state is brought in.
            with m.If(slots[2].load & ~sha1):
                m.d.sync += q_round.eq(0)
            with m.If(slots[2].load | ~sha1):
                m.d.sync += [u_1.eq(0), v_1.eq(0)]
            with m.If(slots[3].load | sha1):
                m.d.sync += [u.eq(0), v.eq(0)]
            with m.If(slots[3].load | ~sha1):
                m.d.sync += five.eq(0)
            with m.If(sha1):
                m.d.sync += a.eq(0)
            with m.If(fresh):
                m.d.sync += c_1.eq(0)
                with m.If(~sha1):
                    m.d.sync += f.eq(0)
        return q
