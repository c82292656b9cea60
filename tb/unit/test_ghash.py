# SPDX-License-Identifier: Apache-2.0
"""GHASH against published GCM vectors and a bit-serial reference; its cycles against its docstring."""

import random
import struct
from functools import cache
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from nicsec.crypto.ghash import Ghash
from streams import collect, get, put, run, send

_GCM = Path(cryptography_vectors.__file__).parent / "ciphers/AES/GCM"
_DIGITS = pytest.mark.parametrize("digit", [1, 2, 4, 5, 8, 13, 16, 31, 32])


def multiply(x, y):
    """SP 800-38D algorithm 1, bit by bit."""
    z = 0
    for n in range(128):
        if x >> (127 - n) & 1:
            z ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return z


def ghash(h, blocks):
    """SP 800-38D algorithm 2."""
    y = 0
    for block in blocks:
        y = multiply(y ^ block, h)
    return y


def gcm_blocks(aad, ciphertext):
    """The blocks that GCM hashes (SP 800-38D section 7.1, step 5)."""
    text = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    text += struct.pack(">QQ", 8 * len(aad), 8 * len(ciphertext))
    return [int.from_bytes(text[at : at + 16], "big") for at in range(0, len(text), 16)]


def payloads(blocks):
    """What a client sends for one message."""
    return [{"block": block, "last": at == len(blocks) - 1} for at, block in enumerate(blocks)]


def run_ghash(dut, batches, rng=None):
    """Results of ``batches``, each a subkey (``None``: keep) and a list of blocks."""
    results = []

    async def feed(ctx):
        for h, blocks in batches:
            if h is not None:
                await put(ctx, dut.h, h)
            await send(ctx, dut.i, payloads(blocks), rng)

    async def drain(ctx):
        results.extend(await collect(ctx, dut.o, len(batches), rng))

    run(dut, feed, drain)
    return results


_H = 0xB83B533708BF535D0AA6E52980D53B78
_C = bytes.fromhex(
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
)


#: Test cases 1 to 4 of McGrew and Viega's GCM paper.
MCGREW_VIEGA = pytest.mark.parametrize(
    ("h", "aad", "ciphertext", "expected"),
    [
        (0x66E94BD4EF8A2C3B884CFA59CA342B2E, "", bytes(0), 0),
        (
            0x66E94BD4EF8A2C3B884CFA59CA342B2E,
            "",
            bytes.fromhex("0388dace60b6a392f328c2b971b2fe78"),
            0xF38CBB1AD69223DCC3457AE5B6B0F885,
        ),
        (_H, "", _C, 0x7F1B32B81B820D02614F8895AC1D4EAC),
        (_H, "feedfacedeadbeeffeedfacedeadbeefabaddad2", _C[:60], 0x698E57F70E6ECC7FD9463B7260A9AE5F),
    ],
    ids=["case1", "case2", "case3", "case4"],
)


@_DIGITS
@MCGREW_VIEGA
def test_mcgrew_viega(digit, h, aad, ciphertext, expected):
    assert run_ghash(Ghash(digit=digit), [(h, gcm_blocks(bytes.fromhex(aad), ciphertext))]) == [expected]


@cache
def gcm_vectors(size):
    """NIST's GCM encryptions with whole tags: ``(h, blocks, expected GHASH)``."""
    found, fields = [], {}
    for line in [*(_GCM / f"gcmEncryptExtIV{size}.rsp").read_text().splitlines(), ""]:
        name, equals, value = line.partition(" = ")
        if equals and not line.startswith(("#", "[")):
            fields[name] = value
        elif fields:
            key, iv, aad, ciphertext, tag = (bytes.fromhex(fields[name]) for name in ("Key", "IV", "AAD", "CT", "Tag"))
            fields = {}
            if len(iv) == 12 and len(tag) == 16:
                encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
                h, mask = encryptor.update(bytes(16)), encryptor.update(iv + b"\0\0\0\1")
                expected = int.from_bytes(tag, "big") ^ int.from_bytes(mask, "big")
                found.append((int.from_bytes(h, "big"), gcm_blocks(aad, ciphertext), expected))
    return found


@pytest.mark.parametrize("size", [128, 192, 256])
def test_nist_gcm(size):
    cases = gcm_vectors(size)[::3]
    assert len(cases) == 125
    assert run_ghash(Ghash(), [(h, blocks) for h, blocks, _ in cases]) == [expected for *_, expected in cases]


@_DIGITS
def test_random(digit):
    seed = 20 + digit
    print(f"seed {seed}")
    rng = random.Random(seed)
    batches, expected, h = [], [], 0
    for _ in range(12):
        new = rng.getrandbits(128) if not batches or rng.random() < 0.5 else None
        h = h if new is None else new
        blocks = [rng.getrandbits(128) for _ in range(rng.randrange(1, 6))]
        batches.append((new, blocks))
        expected.append(ghash(h, blocks))
    assert run_ghash(Ghash(digit=digit), batches) == expected
    assert run_ghash(Ghash(digit=digit), batches, rng) == expected


def cycles(digit, h, messages):
    """Cycles at which blocks were accepted and results offered, all blocks and the sink being ready."""
    dut = Ghash(digit=digit)
    accepted, offered = [], []

    async def feed(ctx):
        await put(ctx, dut.h, h)
        for message in messages:
            for at, block in enumerate(message):
                await put(ctx, dut.i, {"block": block, "last": at == len(message) - 1})

    async def watch(ctx):
        ctx.set(dut.o.ready, 1)
        async for _, _, taken, valid in ctx.tick().sample(dut.i.valid & dut.i.ready, dut.o.valid):
            accepted.append(taken)
            offered.append(valid)
            if sum(offered) == len(messages):
                break

    run(dut, feed, watch)
    return tuple([cycle for cycle, on in enumerate(trace) if on] for trace in (accepted, offered))


@_DIGITS
def test_cycles(digit):
    rng = random.Random(digit)
    traces = set()
    for h, blocks in [(0, [0] * 9), ((1 << 128) - 1, [(1 << 128) - 1] * 9), (rng.getrandbits(128), rng.randbytes(9))]:
        accepted, offered = cycles(digit, h, [list(blocks[:5]), list(blocks[5:8]), list(blocks[8:])])
        traces.add((*accepted, *offered))
        assert offered[0] - accepted[0] == -(-128 // digit) * 5 + 3
        assert offered[1] - offered[0] == -(-128 // digit) * 3 + 2
        assert offered[2] - offered[1] == -(-128 // digit) + 2
    assert len(traces) == 1, "cycles depend on data"


def test_subkey_waits_for_the_message_and_goes_ahead_of_the_next():
    dut = Ghash()
    rng = random.Random(5)
    first, second = rng.getrandbits(128), rng.getrandbits(128)
    blocks = [rng.getrandbits(128) for _ in range(3)]
    results = []

    async def subkeys(ctx):
        await put(ctx, dut.h, first)
        await ctx.tick().until(dut.i.valid & dut.i.ready)
        await put(ctx, dut.h, second)

    async def feed(ctx):
        for _ in range(2):
            for at, block in enumerate(blocks):
                await put(ctx, dut.i, {"block": block, "last": at == 2})

    async def drain(ctx):
        results.extend(await collect(ctx, dut.o, 2))

    run(dut, subkeys, feed, drain)
    assert results == [ghash(first, blocks), ghash(second, blocks)]


def test_wipe_ends_the_subkey():
    dut = Ghash()

    async def bench(ctx):
        await put(ctx, dut.h, _H)
        await put(ctx, dut.i, {"block": 1, "last": 0})
        ctx.set(dut.wipe, 1)
        await ctx.tick()
        ctx.set(dut.wipe, 0)
        await put(ctx, dut.i, {"block": 2, "last": 1})
        assert await get(ctx, dut.o) == ghash(_H, [1, 2])
        ctx.set(dut.i.valid, 1)
        for _ in range(50):
            await ctx.tick()
            assert not ctx.get(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await put(ctx, dut.h, 2)
        await put(ctx, dut.i, {"block": 3, "last": 1})
        assert await get(ctx, dut.o) == ghash(2, [3])

    run(dut, bench)


@pytest.mark.parametrize("digit", [0, 33, 64, "16"])
def test_digit_is_checked(digit):
    with pytest.raises(ValueError, match=rf"^digit must be an integer from 1 to 32, not {digit!r}$"):
        Ghash(digit=digit)
