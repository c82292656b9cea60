# SPDX-License-Identifier: Apache-2.0
"""The AES S-box, as block RAM or as logic (FIPS 197 section 5.1.1)."""

from functools import reduce
from itertools import product
from operator import and_, xor

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SBOX", "SubBytes", "gf256_mul"]


def _gf_mul(a, b, degree, polynomial):
    """Product in GF(2^degree); ``polynomial`` includes the term x^degree."""
    result = 0
    for n in range(degree):
        if b >> n & 1:
            result ^= a << n
    for n in reversed(range(degree, 2 * degree - 1)):
        if result >> n & 1:
            result ^= polynomial << (n - degree)
    return result


def gf256_mul(a, b):
    """Product in the field of AES, modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 section 4.2)."""
    return _gf_mul(a, b, 8, 0x11B)


def _gf16_mul(a, b):
    return _gf_mul(a, b, 4, 0b10011)


def _affine(x):
    """The linear part of the S-box's affine map (FIPS 197 equation 5.1, without the constant)."""
    return reduce(xor, (x << n | x >> (8 - n) for n in range(5))) & 0xFF


def _power(multiply, x, exponent):
    return reduce(multiply, [x] * exponent, 1)


_INVERSE = [_power(gf256_mul, x, 254) for x in range(256)]
_INVERSE16 = [_power(_gf16_mul, x, 14) for x in range(16)]

#: The substitution table.
SBOX = tuple(_affine(x) ^ 0x63 for x in _INVERSE)


def _tower():
    """The cheapest isomorphism of GF(2^8) onto GF(2^4)[z] / (z^2 + z + norm).

    Returns ``(norm, into, out)``: ``into[n]`` is the image of 1 << n, as high half and low half of a byte;
    ``out[n]`` is the affine map's linear part applied to the preimage of 1 << n.
    """

    def multiply(a, b, norm):
        high, low = _gf16_mul(a >> 4, b >> 4), _gf16_mul(a & 15, b & 15)
        cross = _gf16_mul(a >> 4 ^ a & 15, b >> 4 ^ b & 15)
        return (cross ^ low) << 4 | low ^ _gf16_mul(high, norm)

    candidates = []
    irreducible = (n for n in range(16) if all(_gf16_mul(z, z) ^ z != n for z in range(16)))
    for norm, root in product(irreducible, range(16, 256)):
        powers = [1]
        for _ in range(8):
            powers.append(multiply(powers[-1], root, norm))
        if powers[8] == powers[4] ^ powers[3] ^ powers[1] ^ powers[0]:
            images = [reduce(xor, (powers[n] for n in range(8) if x >> n & 1), 0) for x in range(256)]
            out = [_affine(images.index(1 << n)) for n in range(8)]
            cost = sum(x.bit_count() for x in powers[:8] + out)
            candidates.append((cost, norm, powers[:8], out))
    return min(candidates)[1:]


def _linear(columns, planes):
    """``planes`` times the matrix whose columns are the integers ``columns``."""
    rows = range(max(columns).bit_length())
    return [
        reduce(xor, (plane for plane, column in zip(planes, columns, strict=True) if column >> row & 1)) for row in rows
    ]


def _product16(a, b):
    """``a * b`` in GF(2^4), each a list of four planes."""
    terms = {(i, j): _gf16_mul(1 << i, 1 << j) for i, j in product(range(4), repeat=2)}
    return [reduce(xor, (a[i] & b[j] for (i, j), term in terms.items() if term >> row & 1)) for row in range(4)]


def _inverse16(a):
    """``1 / a`` in GF(2^4), as sums of products of planes."""
    planes = []
    for row in range(4):
        # The sum over all subsets of a product's variables says whether the product is a term of the function.
        subsets = ((s, [x for x in range(16) if x & ~s == 0]) for s in range(1, 16))
        terms = [s for s, below in subsets if sum(_INVERSE16[x] >> row & 1 for x in below) % 2]
        planes.append(reduce(xor, (reduce(and_, (a[n] for n in range(4) if s >> n & 1)) for s in terms)))
    return planes


class SubBytes(wiring.Component):
    """``count`` S-boxes, each with its double in GF(2^8), which is what MixColumns wants.

    One cycle from ``i`` to ``o``, every cycle, both kinds alike; ``o`` is to be registered by the user.

    Parameters
    ----------
    count : int
        Number of bytes, even.
    kind : str
        ``"bram"`` puts two S-boxes into each dual-ported memory of 256 x 16 bits; ``"logic"`` computes the
        inverse in GF((2^4)^2), with its register after the first half.

    Members
    -------
    i : In(8 * count)
        Bytes x.
    en : In(1)
        The register takes ``i``; otherwise ``o`` holds.
    o : Out(16 * count)
        For byte n, S(x) in bits 16n+7:16n and 2 S(x) in bits 16n+15:16n+8.
    """

    def __init__(self, count, kind):
        if count % 2:
            raise ValueError(f"count must be even, not {count!r}")
        if kind not in ("bram", "logic"):
            raise ValueError(f"sbox must be one of bram, logic, not {kind!r}")
        self._count = count
        self._kind = kind
        super().__init__({"i": In(8 * count), "en": In(1), "o": Out(16 * count)})

    def elaborate(self, platform):
        m = Module()
        if self._kind == "bram":
            table = [gf256_mul(2, s) << 8 | s for s in SBOX]
            for n in range(self._count // 2):
                rom = memory.Memory(shape=16, depth=256, init=table, attrs={"ram_style": "block", "rom_style": "block"})
                m.submodules[f"rom{n}"] = rom
                for k in (2 * n, 2 * n + 1):
                    port = rom.read_port()
                    m.d.comb += [
                        port.addr.eq(self.i.word_select(k, 8)),
                        port.en.eq(self.en),
                        self.o.word_select(k, 16).eq(port.data),
                    ]
        else:
            self._logic(m)
        return m

    def _logic(self, m):
        # All S-boxes at once, a plane holding the same bit of every byte: quick to simulate, the same gates.
        def named(name, planes):
            signals = [Signal(self._count, name=f"{name}{n}") for n in range(len(planes))]
            m.d.comb += [signal.eq(plane) for signal, plane in zip(signals, planes, strict=True)]
            return signals

        def register(name, planes):
            signals = [Signal(self._count, name=f"{name}{n}", reset_less=True) for n in range(len(planes))]
            with m.If(self.en):
                m.d.sync += [signal.eq(plane) for signal, plane in zip(signals, planes, strict=True)]
            return signals

        # x = a z + b has the inverse (a z + a + b) / (norm a^2 + a b + b^2).
        norm, into, out = _tower()
        planes = named("x", [Cat(self.i[8 * k + n] for k in range(self._count)) for n in range(8)])
        image = named("image", _linear(into, planes))
        b, a = image[:4], image[4:]
        squares = [_gf16_mul(1 << n, 1 << n) for n in range(4)]
        power = _linear([*squares, *(_gf16_mul(norm, square) for square in squares)], image)
        divisor = [x ^ y for x, y in zip(power, _product16(a, b), strict=True)]

        a = register("high", a)
        both = register("both", [x ^ y for x, y in zip(image[4:], b, strict=True)])
        inverse = named("inverse", _inverse16(register("divisor", divisor)))

        quotient = named("quotient", _product16(both, inverse) + _product16(a, inverse))
        s = named("s", [~plane if 0x63 >> n & 1 else plane for n, plane in enumerate(_linear(out, quotient))])
        double = [s[n - 1] ^ s[7] if n and 0x1B >> n & 1 else s[n - 1] for n in range(8)]
        for k in range(self._count):
            m.d.comb += self.o.word_select(k, 16).eq(Cat(plane[k] for plane in s + double))
