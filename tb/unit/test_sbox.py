# SPDX-License-Identifier: Apache-2.0
"""Both kinds of S-box, all 256 bytes, against FIPS 197's examples and the field's arithmetic."""

import pytest
from nicsec.crypto.sbox import SBOX, SubBytes, gf256_mul
from streams import run


def test_table():
    assert SBOX[0x00] == 0x63
    assert SBOX[0x53] == 0xED  # the example of FIPS 197 section 5.1.1
    assert SBOX[0xFF] == 0x16
    assert sorted(SBOX) == list(range(256))


def test_product():
    assert gf256_mul(0x57, 0x83) == 0xC1  # FIPS 197 section 4.2
    assert gf256_mul(0x57, 0x13) == 0xFE


@pytest.mark.parametrize("kind", ["bram", "logic"])
def test_all_bytes(kind):
    dut = SubBytes(2, kind)

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for x in range(256):
            ctx.set(dut.i, x | (x ^ 0xFF) << 8)
            await ctx.tick()
            low, high = SBOX[x], SBOX[x ^ 0xFF]
            assert ctx.get(dut.o) == low | gf256_mul(2, low) << 8 | high << 16 | gf256_mul(2, high) << 24

    run(dut, bench)


@pytest.mark.parametrize("kind", ["bram", "logic"])
def test_hold(kind):
    dut = SubBytes(2, kind)

    async def bench(ctx):
        ctx.set(dut.en, 1)
        ctx.set(dut.i, 0x53)
        await ctx.tick()
        ctx.set(dut.en, 0)
        held = ctx.get(dut.o)
        assert held & 0xFF == 0xED
        ctx.set(dut.i, 0x1234)
        for _ in range(3):
            await ctx.tick()
            assert ctx.get(dut.o) == held

    run(dut, bench)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, "bram"), r"^count must be even, not 3$"),
        ((2, "lut"), r"^sbox must be one of bram, logic, not 'lut'$"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        SubBytes(*arguments)
