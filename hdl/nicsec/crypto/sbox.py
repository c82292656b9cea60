# SPDX-License-Identifier: Apache-2.0
"""The AES S-box, as block RAM or as logic (FIPS 197 section 5.1.1)."""

from functools import reduce
from itertools import product
from operator import xor

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


def _linear(columns, bits):
    """``bits`` times the matrix whose columns are the integers ``columns``: a list of eight one-bit values."""
    return [
        reduce(xor, (bit for bit, column in zip(bits, columns, strict=True) if column >> row & 1)) for row in range(8)
    ]


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
            tower = _tower()
            for k in range(self._count):
                self._logic(m, tower, k)
        return m

    def _logic(self, m, tower, k):
        norm, into, out = tower

        # x = a z + b has the inverse (a z + a + b) / (norm a^2 + a b + b^2).
        image = Signal(8, name=f"image{k}")
        m.d.comb += image.eq(Cat(_linear(into, list(self.i.word_select(k, 8)))))
        a, b = image[4:], image[:4]
        power = Signal(4, name=f"power{k}")
        squares = [(_gf16_mul(norm, _gf16_mul(1 << n, 1 << n)) << 4) | _gf16_mul(1 << n, 1 << n) for n in range(4)]
        terms = [Mux(b[n], squares[n] & 15, 0) ^ Mux(a[n], squares[n] >> 4, 0) for n in range(4)]
        m.d.comb += power.eq(reduce(xor, terms) ^ self._gf16_product(m, a, b, f"cross{k}"))

        high = Signal(4, name=f"high{k}", reset_less=True)
        both = Signal(4, name=f"both{k}", reset_less=True)
        norm_reg = Signal(4, name=f"norm{k}", reset_less=True)
        with m.If(self.en):
            m.d.sync += [high.eq(a), both.eq(a ^ b), norm_reg.eq(power)]

        divisor = Signal(4, name=f"divisor{k}")
        m.d.comb += divisor.eq(Array(_INVERSE16)[norm_reg])
        inverse = Cat(
            self._gf16_product(m, both, divisor, f"low_product{k}"),
            self._gf16_product(m, high, divisor, f"high_product{k}"),
        )
        s = Signal(8, name=f"s{k}")
        double = Cat(s[7], s[0] ^ s[7], s[1], s[2] ^ s[7], s[3] ^ s[7], s[4:7])
        m.d.comb += [s.eq(Cat(_linear(out, list(inverse))) ^ 0x63), self.o.word_select(k, 16).eq(Cat(s, double))]

    @staticmethod
    def _gf16_product(m, a, b, name):
        """``a * b`` in GF(2^4): four bits, each a sum of products."""
        bits = []
        for row in range(4):
            pairs = [(i, j) for i, j in product(range(4), repeat=2) if _gf16_mul(1 << i, 1 << j) >> row & 1]
            bits.append(reduce(xor, (a[i] & b[j] for i, j in pairs)))
        result = Signal(4, name=name)
        m.d.comb += result.eq(Cat(bits))
        return result
