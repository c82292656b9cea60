# SPDX-License-Identifier: Apache-2.0
"""AES against FIPS 197, NIST's known answers and ``cryptography``; its cycles against its docstring."""

import random
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from nicsec.crypto.aes import Aes
from nicsec.crypto.aes_key import KeySchedule
from streams import collect, put, run, send

_ECB = Path(cryptography_vectors.__file__).parent / "ciphers/AES/ECB"
_ROUNDS = {16: 10, 24: 12, 32: 14}
_SIZES = pytest.mark.parametrize("size", [16, 24, 32])
_KINDS = pytest.mark.parametrize("sbox", ["bram", "logic"])


def beats(key):
    """The two beats of ``key``."""
    return [
        {"data": int.from_bytes(key.ljust(32, b"\0")[at : at + 16], "big"), "size": len(key) // 8 - 2} for at in (0, 16)
    ]


def split(text):
    """The blocks of ``text``, as integers."""
    return [int.from_bytes(text[at : at + 16], "big") for at in range(0, len(text), 16)]


def encrypt(key, text):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(text)


@cache
def vectors(name):
    """``(key, plaintext, ciphertext)`` of one of NIST's files, encryption and decryption sections."""
    found = []
    fields = {}
    for line in [*(_ECB / name).read_text().splitlines(), ""]:
        if " = " in line and not line.startswith("#"):
            field, value = line.split(" = ")
            fields[field] = value
        elif {"KEY", "PLAINTEXT", "CIPHERTEXT"} <= fields.keys():
            found.append(tuple(bytes.fromhex(fields[field]) for field in ("KEY", "PLAINTEXT", "CIPHERTEXT")))
            fields = {}
    return found


def run_aes(dut, batches, rng=None):
    """Ciphertexts of ``batches``, each a key and a text, as one byte string per batch."""
    results = []

    async def feed(ctx):
        for key, text in batches:
            await send(ctx, dut.key, beats(key), rng)
            await send(ctx, dut.i, split(text), rng)

    async def drain(ctx):
        for _, text in batches:
            blocks = await collect(ctx, dut.o, len(text) // 16, rng)
            results.append(b"".join(block.to_bytes(16, "big") for block in blocks))

    run(dut, feed, drain)
    return results


@_KINDS
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_fips197_appendix_c(sbox, size, expected):
    text = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert run_aes(Aes(sbox=sbox), [(bytes(range(size)), text)])[0].hex() == expected


@_SIZES
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "MMT", "VarTxt", "VarKey"])
def test_nist(kind, size):
    cases = sorted(set(vectors(f"ECB{kind}{8 * size}.rsp")))
    grouped = [(key, list(group)) for key, group in groupby(cases, key=lambda case: case[0])]
    batches = [(key, b"".join(text for _, text, _ in group)) for key, group in grouped]
    expected = [b"".join(cipher for *_, cipher in group) for _, group in grouped]
    assert run_aes(Aes(), batches) == expected


@_SIZES
@_KINDS
def test_random_with_gaps_and_back_pressure(sbox, size):
    seed = 40 + size
    print(f"seed {seed}")
    rng = random.Random(seed)
    batches = [(rng.randbytes(size), rng.randbytes(16 * rng.randrange(1, 9))) for _ in range(6)]
    assert run_aes(Aes(sbox=sbox), batches, rng) == [encrypt(key, text) for key, text in batches]


def test_key_sizes_mix():
    seed = 99
    print(f"seed {seed}")
    rng = random.Random(seed)
    sizes = [32, 16, 24, 16, 32, 24, 24, 16, 16]
    batches = [(rng.randbytes(size), rng.randbytes(16 * rng.randrange(1, 4))) for size in sizes]
    expected = [encrypt(key, text) for key, text in batches]
    assert run_aes(Aes(), batches) == expected
    assert run_aes(Aes(), batches, rng) == expected


def test_blocks_offered_with_a_key_are_under_it():
    dut = Aes()
    keys = [bytes(range(16)), bytes(range(32))]
    results = []

    taken = []

    async def key(ctx):
        for at, each in enumerate(keys):
            while len(taken) < 2 * at:
                await ctx.tick()
            for beat in beats(each):
                await put(ctx, dut.key, beat)

    async def blocks(ctx):
        for _ in keys:
            while not ctx.get(dut.key.valid):
                await ctx.tick()
            for block in (1, 2):
                await put(ctx, dut.i, block)
                taken.append(block)

    async def drain(ctx):
        results.extend(await collect(ctx, dut.o, 4))

    run(dut, key, blocks, drain)
    text = (1).to_bytes(16, "big") + (2).to_bytes(16, "big")
    assert results == [block for each in keys for block in split(encrypt(each, text))]


def trace(sbox, key, text, *, chain=False):
    """Cycles, counted from the key's first beat, at which blocks were accepted and results offered."""
    dut = Aes(sbox=sbox)
    blocks = split(text)
    events = []

    async def feed(ctx):
        for beat in beats(key):
            await put(ctx, dut.key, beat)

    async def offer(ctx):
        while not ctx.get(dut.key.valid):
            await ctx.tick()
        for n, block in enumerate(blocks):
            ctx.set(dut.chain, chain and n > 0)
            await put(ctx, dut.i, block)

    async def watch(ctx):
        ctx.set(dut.o.ready, 1)
        async for _, _, *event in ctx.tick().sample(dut.key.valid, dut.i.valid & dut.i.ready, dut.o.valid):
            events.append(event)
            if sum(valid for *_, valid in events) == len(blocks):
                break

    run(dut, feed, offer, watch)
    start = next(cycle for cycle, (seen, *_) in enumerate(events) if seen)
    accepted = [cycle - start for cycle, (_, taken, _) in enumerate(events) if taken]
    offered = [cycle - start for cycle, (*_, valid) in enumerate(events) if valid]
    return accepted, offered


@_SIZES
@_KINDS
def test_cycles(sbox, size):
    rounds, count = _ROUNDS[size], 5
    rng = random.Random(size)
    texts = [bytes(16 * count), b"\xff" * 16 * count, rng.randbytes(16 * count)]
    keys = [bytes(size), b"\xff" * size, rng.randbytes(size)]
    traces = [trace(sbox, key, text) for key, text in zip(keys, texts, strict=True)]
    assert traces[0] == traces[1] == traces[2], "cycles depend on data"
    accepted, offered = traces[0]
    assert accepted[0] == 2 * rounds + 7
    assert [end - begin for begin, end in zip(accepted, offered, strict=True)] == [2 * rounds + 1] * count
    assert [later - sooner for sooner, later in zip(accepted, accepted[2:], strict=False)] == [2 * rounds] * (count - 2)


@_SIZES
def test_cycles_of_a_chain(size):
    accepted, _ = trace("bram", bytes(size), bytes(64), chain=True)
    assert [later - sooner for sooner, later in pairwise(accepted)] == [2 * _ROUNDS[size]] * 3


@pytest.mark.parametrize("slow", [None, "blocks", "results"])
@_SIZES
def test_chain(size, slow):
    """CBC, with blocks that come before the last one has ended and behind it, and single blocks between chains."""
    seed = size
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = Aes()
    key = rng.randbytes(size)
    chains = [rng.randbytes(16 * rng.randrange(1, 6)) for _ in range(8)]
    results = []

    async def feed(ctx):
        for beat in beats(key):
            await put(ctx, dut.key, beat)

    async def offer(ctx):
        for text in chains:
            for n, block in enumerate(split(text)):
                if slow == "blocks":
                    await ctx.tick().repeat(rng.randrange(1, 50))
                ctx.set(dut.chain, n > 0)
                await put(ctx, dut.i, block)

    async def drain(ctx):
        for text in chains:
            for _ in split(text):
                if slow == "results":
                    await ctx.tick().repeat(rng.randrange(1, 50))
                results.extend(await collect(ctx, dut.o, 1))

    run(dut, feed, offer, drain)
    expected = []
    for text in chains:
        encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
        expected += split(encryptor.update(text))
    assert results == expected


def test_wipe_ends_the_key():
    dut = Aes()
    keys = [bytes(range(32)), bytes(range(16))]

    async def bench(ctx):
        for beat in beats(keys[0]):
            await put(ctx, dut.key, beat)
        await put(ctx, dut.i, 5)
        ctx.set(dut.wipe, 1)
        await ctx.tick()
        ctx.set(dut.wipe, 0)
        (block,) = await collect(ctx, dut.o, 1)
        assert block.to_bytes(16, "big") == encrypt(keys[0], (5).to_bytes(16, "big"))
        ctx.set(dut.i.valid, 1)
        for _ in range(120):
            await ctx.tick()
            assert not ctx.get(dut.i.ready)
        assert not ctx.get(dut.busy)
        ctx.set(dut.i.valid, 0)
        for beat in beats(keys[1]):
            await put(ctx, dut.key, beat)
        await put(ctx, dut.i, 6)
        (block,) = await collect(ctx, dut.o, 1)
        assert block.to_bytes(16, "big") == encrypt(keys[1], (6).to_bytes(16, "big"))

    run(dut, bench)


@pytest.mark.parametrize("size", [16, 24, 32, None])
def test_no_row_of_a_longer_key_survives(size):
    """After any shorter key, or a wipe, not one word of the AES-256 schedule before it is left in the round keys."""
    dut = KeySchedule()
    rng = random.Random(7)
    rows = []

    async def read(ctx):
        while ctx.get(dut.busy):
            await ctx.tick()
        words = []
        for left in range(16):
            ctx.set(dut.left, left)
            await ctx.delay(0)
            row = ctx.get(dut.round_key)
            words += [row >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)]
        rows.append(words)

    async def bench(ctx):
        ctx.set(dut.idle, 1)
        for beat in beats(rng.randbytes(32)):
            await put(ctx, dut.key, beat)
        await read(ctx)
        if size is None:
            ctx.set(dut.wipe, 1)
            await ctx.tick()
            ctx.set(dut.wipe, 0)
        else:
            for beat in beats(rng.randbytes(size)):
                await put(ctx, dut.key, beat)
        await read(ctx)

    run(dut, bench)
    before, after = rows
    assert len(set(before)) == 64
    assert not set(before) & set(after)
    assert size is not None or set(after) == {0}


def test_sbox_kind_is_checked():
    with pytest.raises(ValueError, match=r"^sbox must be one of bram, logic, not 'rom'$"):
        Aes(sbox="rom")
