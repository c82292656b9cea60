# SPDX-License-Identifier: Apache-2.0
"""ChaCha20 core: RFC 8439's vectors, then stalls, key changes, wipe and timing against ``cryptography``."""

import random
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20 as ChaCha20Algorithm
from nicsec.crypto.chacha20 import ChaCha20
from streams import collect, run, send

VECTORS = Path(cryptography_vectors.__file__).parent / "ciphers/ChaCha20/rfc7539.txt"


def reference(key, counter, nonce, size=64):
    """Key stream by ``cryptography``."""
    encryptor = Cipher(ChaCha20Algorithm(key, counter.to_bytes(4, "little") + nonce), None).encryptor()
    return encryptor.update(bytes(size))


def beats(key):
    return [int.from_bytes(key[at : at + 16], "big") for at in (0, 16)]


def request(counter, nonce):
    return {"counter": counter, "nonce": int.from_bytes(nonce, "big")}


def make(cases, rng=None):
    """Key stream of (key, [(counter, nonce), ...]) cases, one key after another; a list of blocks."""
    dut = ChaCha20()
    blocks = []

    async def feed(ctx):
        for key, requests in cases:
            await send(ctx, dut.key, beats(key), rng)
            await send(ctx, dut.i, [request(*each) for each in requests], rng)

    async def drain(ctx):
        for _ in range(sum(len(requests) for _, requests in cases)):
            blocks.append(b"".join(beat.to_bytes(16, "big") for beat in await collect(ctx, dut.o, 4, rng)))
        await ctx.tick().repeat(200)
        assert not ctx.get(dut.o.valid)
        assert not ctx.get(dut.busy)

    run(dut, feed, drain)
    return blocks


@pytest.fixture
def rng(request):
    seed = 20240106
    print(f"{request.node.name}: seed {seed}")
    return random.Random(seed)


def test_rfc_8439_block():
    """Section 2.3.2."""
    nonce = bytes.fromhex("000000090000004a00000000")
    (block,) = make([(bytes(range(32)), [(1, nonce)])])
    assert block == bytes.fromhex(
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )


def test_rfc_8439_appendix():
    """Appendix A.2, whose cases are longer than a block."""
    fields, cases, expected = {}, [], []
    for line in VECTORS.read_text().splitlines():
        field, _, value = line.partition(" = ")
        fields[field] = value
        if field == "CIPHERTEXT":
            plain, cipher = bytes.fromhex(fields["PLAINTEXT"]), bytes.fromhex(value)
            first, nonce = int(fields["INITIAL_BLOCK_COUNTER"]), bytes.fromhex(fields["NONCE"])
            count = -(-len(plain) // 64)
            cases.append((bytes.fromhex(fields["KEY"]), [(first + n, nonce) for n in range(count)]))
            expected.append(bytes(a ^ b for a, b in zip(plain, cipher, strict=True)))
    assert len(cases) == 3
    blocks = make(cases)
    for (_, requests), stream in zip(cases, expected, strict=True):
        made = b"".join(blocks.pop(0) for _ in requests)
        assert made[: len(stream)] == stream


def test_random_with_gaps_and_back_pressure(rng):
    cases = [
        (rng.randbytes(32), [(rng.getrandbits(32), rng.randbytes(12)) for _ in range(rng.randrange(1, 7))])
        for _ in range(5)
    ]
    assert make(cases, rng) == [reference(key, *each) for key, requests in cases for each in requests]


def test_wipe(rng):
    """A wipe waits for the block inside; after it no request is accepted until a key comes, and no state is left."""
    dut = ChaCha20()
    key, other, nonce = rng.randbytes(32), rng.randbytes(32), rng.randbytes(12)

    async def testbench(ctx):
        assert not ctx.get(dut.i.ready)
        await send(ctx, dut.key, beats(key))
        await send(ctx, dut.i, [request(7, nonce)])
        ctx.set(dut.wipe, 1)
        await ctx.tick()
        ctx.set(dut.wipe, 0)
        ctx.set(dut.i.payload, request(8, nonce))
        ctx.set(dut.i.valid, 1)
        block = b"".join(beat.to_bytes(16, "big") for beat in await collect(ctx, dut.o, 4))
        assert block == reference(key, 7, nonce)
        await ctx.tick().repeat(30)
        assert not ctx.get(dut.busy)
        assert not ctx.get(dut.i.ready)
        for row in dut._rows:
            assert [ctx.get(row.data[at]) for at in range(16)] == [0] * 16
        await send(ctx, dut.key, beats(other))
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        block = b"".join(beat.to_bytes(16, "big") for beat in await collect(ctx, dut.o, 4))
        assert block == reference(other, 8, nonce)

    run(dut, testbench)


def test_cycles(rng):
    """Latency and interval are as documented, whatever key, counter and nonce are."""

    def spent(count):
        dut = ChaCha20()
        accepted, offered = [], []

        async def feed(ctx):
            await send(ctx, dut.key, beats(rng.randbytes(32)))
            await send(ctx, dut.i, [request(rng.getrandbits(32), rng.randbytes(12)) for _ in range(count)])

        async def watch(ctx):
            ctx.set(dut.o.ready, 1)
            cycle = 0
            while len(offered) < 4 * count:
                _, _, taken, valid = await ctx.tick().sample(dut.i.valid & dut.i.ready, dut.o.valid)
                accepted.extend([cycle] * taken)
                offered.extend([cycle] * valid)
                cycle += 1

        run(dut, feed, watch)
        return accepted, offered

    for _ in range(2):
        (at,), offered = spent(1)
        assert [cycle - at for cycle in offered] == [167, 171, 175, 179]
    _, offered = spent(10)
    assert offered[-4] - offered[4 * 5] == 4 * 80
    assert spent(10)[1] == offered
