# SPDX-License-Identifier: Apache-2.0
"""DES core: NIST's known answers for DES and triple DES, then stalls, key changes, wipe and timing."""

import random
import warnings
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from nicsec.crypto.des import Des
from streams import collect, put, run, send

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

VECTORS = Path(cryptography_vectors.__file__).parent / "ciphers/3DES/ECB"


def reference(key, message):
    """ECB encryption by ``cryptography``; an 8-byte key is DES."""
    encryptor = Cipher(TripleDES(key * 3 if len(key) == 8 else key), modes.ECB()).encryptor()
    return encryptor.update(message) + encryptor.finalize()


def beats(key):
    """The two beats of a key."""
    octets = key.ljust(32, b"\0")
    return [
        {"data": int.from_bytes(octets[at : at + 16], "big"), "size": int(len(key) == 24)} for at in (0, 16)
    ]


def blocks(message):
    return [int.from_bytes(message[at : at + 8], "big") for at in range(0, len(message), 8)]


def encrypt(cases, rng=None):
    """Messages of (key, message) pairs encrypted, one key after another."""
    dut = Des()
    answers = []

    async def feed(ctx):
        for key, message in cases:
            await send(ctx, dut.key, beats(key), rng)
            await send(ctx, dut.i, blocks(message), rng)

    async def drain(ctx):
        for _, message in cases:
            words = await collect(ctx, dut.o, len(message) // 8, rng)
            answers.append(b"".join(word.to_bytes(8, "big") for word in words))
        await ctx.tick().repeat(100)
        assert not ctx.get(dut.o.valid)

    run(dut, feed, drain)
    return answers


def known_answers(name):
    """(key, plaintext, ciphertext) of the encryption part of a response file; equal keys are one DES key."""
    text = (VECTORS / f"{name}.rsp").read_text().split("[DECRYPT]")[0]
    fields = {}
    for line in text.splitlines():
        field, separator, value = line.partition(" = ")
        if not separator:
            continue
        fields[field] = value
        if field == "CIPHERTEXT":
            key = fields["KEYs"] if "KEYs" in fields else "".join(fields[f"KEY{n}"] for n in (1, 2, 3))
            yield bytes.fromhex(key), bytes.fromhex(fields["PLAINTEXT"]), bytes.fromhex(value)


@pytest.fixture
def rng(request):
    seed = 20240105
    print(f"{request.node.name}: seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize("name", ["TECBvarkey", "TECBinvperm", "TECBpermop", "TECBsubtab", "TECBvartext"])
def test_nist_single(name):
    cases = list(known_answers(name))
    assert len(cases) >= 19
    assert all(len(key) == 8 for key, _, _ in cases)
    assert encrypt([case[:2] for case in cases]) == [case[2] for case in cases]


@pytest.mark.parametrize("name", ["TECBMMT2", "TECBMMT3"])
def test_nist_triple(name):
    cases = list(known_answers(name))
    assert len(cases) == 10
    assert encrypt([case[:2] for case in cases]) == [case[2] for case in cases]


def test_random_with_gaps_and_back_pressure(rng):
    cases = [(rng.randbytes(rng.choice((8, 24))), rng.randbytes(8 * rng.randrange(1, 5))) for _ in range(30)]
    assert encrypt(cases, rng) == [reference(*case) for case in cases]


def test_cycles(rng):
    """Latency and interval are as documented, whatever key and data are."""

    def spent(size, count):
        dut = Des()
        accepted, offered = [], []

        async def feed(ctx):
            await send(ctx, dut.key, beats(rng.randbytes(size)))
            await send(ctx, dut.i, blocks(rng.randbytes(8 * count)))

        async def watch(ctx):
            ctx.set(dut.o.ready, 1)
            cycle = 0
            while len(offered) < count:
                _, _, taken, valid = await ctx.tick().sample(dut.i.valid & dut.i.ready, dut.o.valid)
                accepted.extend([cycle] * taken)
                offered.extend([cycle] * valid)
                cycle += 1

        run(dut, feed, watch)
        return accepted, offered

    for size, latency in ((8, 17), (24, 49)):
        for _ in range(2):
            accepted, offered = spent(size, 3)
            assert [out - at for at, out in zip(accepted, offered, strict=True)] == [latency] * 3
            assert accepted[1] - accepted[0] == accepted[2] - accepted[1] == latency + 1


def test_key_waits_for_block_and_wipe_forgets_it(rng):
    dut = Des()
    keys = [rng.randbytes(24), rng.randbytes(8)]
    message = rng.randbytes(8)

    async def testbench(ctx):
        assert not ctx.get(dut.i.ready)
        await send(ctx, dut.key, beats(keys[0]))
        await send(ctx, dut.i, blocks(message))
        # The next key, a wipe and the next block are all offered while the first block is inside.
        ctx.set(dut.wipe, 1)
        await ctx.tick()
        ctx.set(dut.wipe, 0)
        ctx.set(dut.i.payload, blocks(message)[0])
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(60)
        assert ctx.get(dut.o.payload) == blocks(reference(keys[0], message))[0]
        assert ctx.get(dut.busy)
        assert not ctx.get(dut.i.ready)
        await collect(ctx, dut.o, 1)
        await ctx.tick().repeat(20)
        assert not ctx.get(dut.busy)
        assert not ctx.get(dut.i.ready)
        for beat in beats(keys[1]):
            await put(ctx, dut.key, beat)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        assert await collect(ctx, dut.o, 1) == blocks(reference(keys[1], message))

    run(dut, testbench)
