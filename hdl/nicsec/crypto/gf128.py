# SPDX-License-Identifier: Apache-2.0
"""Pipelined multiplication in GF(2^128) (NIST SP 800-38D section 6.3), by Karatsuba and Ofman's splitting."""

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["GfMultiply"]

#: x^128 = x^7 + x^2 + x + 1.
_FOLD = (0, 1, 2, 7)
#: Bits of the factors that are multiplied row by row; 128 is halved down to it.
_LEAF = 8


def _xor(values):
    """XOR of ``values`` as a tree of four branches, the shape of LUTs."""
    values = list(values)
    while len(values) > 1:
        values = [reduce(xor, values[n : n + 4]) for n in range(0, len(values), 4)]
    return values[0]


def _parts(value):
    """``value`` as sums of its leaves: low half, high half, their sum, and so for each of these."""
    def sums(halves):
        if len(halves) == 1:
            return [_xor(halves[0])]
        half = len(halves) // 2
        low, high = halves[:half], halves[half:]
        both = [a + b for a, b in zip(low, high, strict=True)]
        return [*sums(low), *sums(high), *sums(both)]

    return sums([[value[n : n + _LEAF]] for n in range(0, len(value), _LEAF)])


class GfMultiply(wiring.Component):
    """Product of two field elements, one per cycle, the coefficient of x^n in bit n of every port.

    Three stages end in registers, three LUTs deep at most: sums of halves, products of 16 by 16 bits, the polynomial of
    degree 254. The reduction behind them is combinational, some two LUTs, for the user to register. Nothing stalls,
    nothing depends on data.

    Members
    -------
    a, b : In(128)
        Factors.
    o : Out(128)
        Product, three cycles later.
    """

    a: In(128)
    b: In(128)
    o: Out(128)

    #: Cycles from the factors to their product.
    latency = 3

    def elaborate(self, platform):
        m = Module()

        def registered(name, values):
            signals = [Signal(len(value), name=f"{name}_{n}", reset_less=True) for n, value in enumerate(values)]
            m.d.sync += [signal.eq(value) for signal, value in zip(signals, values, strict=True)]
            return signals

        def product(a, b):
            rows = [Mux(a[n], b << n, 0) for n in range(_LEAF)]
            return _xor(rows[n] ^ rows[n + 1] for n in range(0, _LEAF, 2))[: 2 * _LEAF - 1]

        def join(terms):
            """Products of twice the width, each from three: of the low halves, the high halves and their sums."""
            half = (len(terms[0]) + 1) // 2
            joined = []
            for n in range(0, len(terms), 3):
                low, high, both = terms[n : n + 3]
                total = Signal(4 * half - 1, name=f"product_{2 * half}_{n // 3}")
                m.d.comb += total.eq(low ^ ((both ^ low ^ high) << half) ^ (high << 2 * half))
                joined.append(total)
            return joined

        left, right = registered("left", _parts(self.a)), registered("right", _parts(self.b))
        leaves = [Signal(2 * _LEAF - 1, name=f"leaf_{n}") for n in range(len(left))]
        m.d.comb += [leaf.eq(product(a, b)) for leaf, a, b in zip(leaves, left, right, strict=True)]
        terms = registered("term", join(leaves))
        while len(terms) > 1:
            terms = join(terms)
        (polynomial,) = registered("polynomial", terms)

        # What folding adds may itself reach beyond x^127, by a few bits that fold once more.
        over, again = Signal(127), Signal(max(_FOLD) - 1)
        m.d.comb += [
            over.eq(polynomial[128:]),
            again.eq(_xor((over << n)[128:] for n in _FOLD if n > 1)),
            self.o.eq(_xor([polynomial[:128], *((part << n)[:128] for part in (over, again) for n in _FOLD)])),
        ]
        return m
