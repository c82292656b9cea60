# SPDX-License-Identifier: Apache-2.0
"""GHASH, some bits of a block per cycle (NIST SP 800-38D section 6.4)."""

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Ghash", "GhashBlock"]

#: x^128 = x^7 + x^2 + x + 1 (SP 800-38D section 6.3, the constant R).
_FOLD = (0, 1, 2, 7)
#: Digits up to this one are multiplied and added in one cycle, which for longer ones would take too long.
_ONE_STAGE = 5


class GhashBlock(data.StructLayout):
    """A block of a message, first byte in bits 127:120, and whether it is the message's last."""

    def __init__(self):
        super().__init__({"block": 128, "last": 1})


class Ghash(wiring.Component):
    """Hashes messages of whole blocks under the subkey H.

    Bit 0 of SP 800-38D's strings, the coefficient of x^0, is bit 127 of a port. A block takes 128 / digit cycles,
    rounded up, and a message of m blocks three more from its first block's acceptance to the cycle that offers its
    result, if its blocks come fast enough: no cycle is lost between blocks, two between messages. A block may be
    accepted while the one before it is multiplied. Nothing depends on data or key bits.

    A subkey is taken between messages, and a message whose first block is offered no earlier than a subkey is
    hashed under it: while ``h`` is valid, a message's first block is not accepted. Before the first subkey and after a
    wipe ``i`` is not ready.

    Parameters
    ----------
    digit : int
        Bits per cycle, 1 to 32.

    Members
    -------
    h : In(stream of 128)
        Subkey H.
    i : In(stream of GhashBlock)
        Blocks; each message starts from Y = 0.
    o : Out(stream of 128)
        Y after each ``last``.
    wipe : In(1)
        A pulse clears H, as soon as no message is inside.
    working : Out(1)
        A digit of a block is multiplied: 128 / digit times a block, rounded up.
    """

    h: In(stream.Signature(128))
    i: In(stream.Signature(GhashBlock()))
    o: Out(stream.Signature(128))
    wipe: In(1)
    working: Out(1)

    def __init__(self, *, digit=16):
        if not isinstance(digit, int) or not 1 <= digit <= 32:
            raise ValueError(f"digit must be an integer from 1 to 32, not {digit!r}")
        self._digit = digit
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        # Polynomials inside have the coefficient of x^n in bit n, the reverse of the ports.
        subkey, keyed = Signal(128), Signal()
        block, block_last, full = Signal(128, reset_less=True), Signal(), Signal()
        running, final = Signal(), Signal()
        between = Signal(init=1)
        wiping = Signal()
        multiply = self._in_one_stage if self._digit <= _ONE_STAGE else self._in_two_stages
        multiply(m, subkey, block, block_last, full, running, final)

        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += [
            self.i.ready.eq(~full & keyed & ~(between & (self.h.valid | wiping))),
            self.h.ready.eq(~running & ~full & ~final & between),
        ]
        with m.If(~full):
            m.d.sync += [block.eq(self.i.p.block[::-1]), block_last.eq(self.i.p.last)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [full.eq(1), between.eq(self.i.p.last)]
        with m.If(self.wipe):
            m.d.sync += wiping.eq(1)
        with m.If(self.h.ready):
            with m.If(self.h.valid | wiping):
                m.d.sync += [subkey.eq(self.h.payload[::-1]), keyed.eq(self.h.valid), wiping.eq(0)]
        with m.If(self.h.ready & wiping & ~self.h.valid):
            m.d.sync += subkey.eq(0)
        return m

    def _multiples(self, subkey, x):
        """H times each bit of the highest digit of ``x``, the lowest bit first; to be added and folded."""
        d = self._digit
        return [Mux(x[len(x) - d + n], subkey << n, 0) for n in range(d)]

    @staticmethod
    def _fold(wide):
        return reduce(xor, (wide[128:] << n for n in _FOLD), wide[:128])[:128]

    def _in_one_stage(self, m, subkey, block, block_last, full, running, final):
        """Horner's rule, highest digit first: z = z x^digit + digit of x times H, folded.

        The last digit of a block that is not the message's last waits for the next block, and that is added to the sum
        on its way into ``x``. Without a message ``x`` and ``z`` are zero, and so the sum is: the first block needs no
        way of its own. That is four LUTs a bit with digits of four.
        """
        d = self._digit
        steps = -(-128 // d)
        x, z = Signal(steps * d), Signal(128)
        last, go, load, ends = Signal(), Signal(), Signal(), Signal()
        step = Signal(range(steps))
        wide, total = Signal(128 + d), Signal(128)
        # Two bits of the digit times H are a LUT.
        rows = self._multiples(subkey, x)
        pairs = [Signal(128 + d, name=f"pair_{n}") for n in range(0, d, 2)]
        m.d.comb += [
            *(pair.eq(reduce(xor, rows[2 * n : 2 * n + 2])) for n, pair in enumerate(pairs)),
            wide.eq((z << d) ^ reduce(xor, pairs)),
            total.eq(self._fold(wide)),
            load.eq(full & ~final & (~running | last)),
            go.eq(running & (~last | final | full)),
            ends.eq(final & ~running & ~self.o.valid),
            self.working.eq(go),
        ]
        with m.If(load | go):
            m.d.sync += x.eq(Mux(load, total ^ block, x << d))
        with m.If(go):
            m.d.sync += [z.eq(total), step.eq(step + 1), last.eq(step == steps - 2)]
            with m.If(last):
                m.d.sync += [running.eq(0), step.eq(0)]
        with m.If(ends):
            m.d.sync += [final.eq(0), self.o.payload.eq(z[::-1]), self.o.valid.eq(1)]
        with m.If(load):
            m.d.sync += [running.eq(1), full.eq(0), final.eq(block_last)]
        # Last, so that synthesis finds a reset in it and not an AND. What was in z is in x then.
        with m.If(load | ends):
            m.d.sync += z.eq(0)

    def _in_two_stages(self, m, subkey, block, block_last, full, running, final):
        """The same with a register between: product = digit of x times H, then z = z x^digit + product, folded.

        The first digit of a block hangs on the top of the sum before it, and that on the last product; both are far
        from where folding adds, so it costs one XOR to look ahead.
        """
        d = self._digit
        steps = -(-128 // d)
        # A block with the zeros that fill up its highest digit.
        filled = steps * d
        x, z, product = Signal(filled), Signal(128), Signal(128 + d - 1)
        first, last = Signal(), Signal()
        step = Signal(range(steps))

        product_next = Signal(128 + d - 1)
        wide, total = Signal(128 + d), Signal(128)
        m.d.comb += [
            product_next.eq(reduce(xor, self._multiples(subkey, x))),
            wide.eq((z << d) ^ product),
            total.eq(self._fold(wide)),
            self.working.eq(running),
        ]

        seamless, start = Signal(), Signal()
        m.d.comb += [
            seamless.eq(last & full & ~final),
            start.eq(~running & full & ~final),
        ]
        m.d.sync += first.eq(seamless | start)
        x_next = Signal(filled)
        with m.If(first):
            m.d.comb += x_next.eq((total ^ block) << d)
        with m.Else():
            m.d.comb += x_next.eq(x << d)
        top = slice(filled - d, 128)
        m.d.sync += x[: filled - d].eq(x_next[: filled - d])
        with m.If(~running):
            m.d.sync += x[filled - d :].eq(wide[top] ^ block[top])
        with m.Elif(last):
            m.d.sync += x[filled - d :].eq(wide[filled - 2 * d : 128 - d] ^ product_next[top] ^ block[top])
        with m.Else():
            m.d.sync += x[filled - d :].eq(x_next[filled - d :])

        with m.If(running):
            m.d.sync += [product.eq(product_next), z.eq(total), step.eq(step + 1), last.eq(step == steps - 2)]
            with m.If(first):
                m.d.sync += [z.eq(0), full.eq(0), final.eq(block_last)]
            with m.If(last):
                m.d.sync += [running.eq(seamless), step.eq(0)]
        with m.Elif(final):
            with m.If(~self.o.valid):
                m.d.sync += [z.eq(0), product.eq(0), final.eq(0), self.o.payload.eq(total[::-1]), self.o.valid.eq(1)]
        with m.Elif(start):
            m.d.sync += running.eq(1)
