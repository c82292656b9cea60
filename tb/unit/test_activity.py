# SPDX-License-Identifier: Apache-2.0
"""What units tell the counters of utilisation: each unit of work once, with gaps, back-pressure and wipes."""

import random

import pytest
from amaranth import *
from nicsec.activity import Activity, population, units_of
from nicsec.config import PRESETS, Config
from nicsec.crypto.aes import Aes
from nicsec.crypto.chacha20 import ChaCha20
from nicsec.crypto.des import Des
from nicsec.crypto.ghash import Ghash
from nicsec.crypto.md5 import Md5
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha256 import Sha256
from nicsec.crypto.sha512 import Sha512
from streams import collect, run, send


@pytest.fixture(params=[None, 1, 2], ids=lambda seed: f"seed{seed}")
def rng(request):
    """Gaps and back-pressure, or none."""
    return None if request.param is None else random.Random(request.param)


def worked(dut, feed, answers, rng):
    """Cycles in which ``dut`` said that it works, until its ``answers`` were taken and its key wiped."""
    count, done = [0], []

    async def drain(ctx):
        await collect(ctx, dut.o, answers, rng)
        ctx.set(dut.wipe, 1)
        await ctx.tick()
        ctx.set(dut.wipe, 0)
        await ctx.tick().repeat(100)
        done.append(True)

    async def watch(ctx):
        while not done:
            _, _, working = await ctx.tick().sample(dut.working)
            count[0] += working

    run(dut, feed, drain, watch)
    return count[0]


@pytest.mark.parametrize(("size", "rounds"), [(0, 10), (1, 12), (2, 14)])
def test_aes(size, rounds, rng):
    dut = Aes()

    async def feed(ctx):
        await send(ctx, dut.key, [{"data": 7, "size": size}] * 2, rng)
        await send(ctx, dut.i, range(9), rng)

    assert worked(dut, feed, 9, rng) == 9 * rounds


@pytest.mark.parametrize("digit", [4, 16, 32])
def test_ghash(digit, rng):
    dut = Ghash(digit=digit)

    async def feed(ctx):
        await send(ctx, dut.h, [5], rng)
        await send(ctx, dut.i, [{"block": n, "last": n in (2, 3, 7)} for n in range(8)], rng)

    assert worked(dut, feed, 3, rng) == 8 * 128 // digit


@pytest.mark.parametrize("core", [Md5, Sha1, Sha256, Sha512])
def test_hash(core, rng):
    dut = core()
    blocks = (1, 3, 2)

    async def feed(ctx):
        for count in blocks:
            words = dut.STATE_WORDS + count * dut.BLOCK_WORDS
            await send(ctx, dut.i, [{"word": n, "last": n == words - 1} for n in range(words)], rng)

    state = dut.STATE_WORDS * 32 // dut.WIDTH
    slots = sum(state + count * (dut.ROUNDS + state) for count in blocks)
    assert worked(dut, feed, 3 * dut.STATE_WORDS, rng) == dut.INTERVAL * slots


@pytest.mark.parametrize(("size", "rounds"), [(0, 16), (1, 48)])
def test_des(size, rounds, rng):
    dut = Des()

    async def feed(ctx):
        await send(ctx, dut.key, [{"data": 7, "size": size}] * 2, rng)
        await send(ctx, dut.i, range(5), rng)

    assert worked(dut, feed, 5, rng) == 5 * rounds


def test_chacha20(rng):
    dut = ChaCha20()

    async def feed(ctx):
        await send(ctx, dut.key, [1, 2], rng)
        await send(ctx, dut.i, [{"counter": n, "nonce": 3} for n in range(7)], rng)

    assert worked(dut, feed, 4 * 7, rng) == 7 * 80


@pytest.mark.parametrize("count", [1, 2, 4, 7, 16, 32])
def test_population(count):
    m = Module()
    bits = Signal(count)
    total = population(m, "total", bits)
    rng = random.Random(count)
    values = [0, (1 << count) - 1, *(rng.getrandbits(count) for _ in range(50))]

    async def bench(ctx):
        for value in values:
            ctx.set(bits, value)
            await ctx.tick().repeat(2)
            assert ctx.get(total) == value.bit_count()

    run(m, bench)


def test_units_of_a_build():
    assert units_of(PRESETS["tiny"]) == {"aes": 1, "ghash": 1}
    assert units_of(Config(lanes=4)) == {"aes": 4, "ghash": 4, "hash": 4}
    assert units_of(Config(lanes=16, units="shared", hash_units=9)) == {"aes": 1, "ghash": 1, "hash": 9}
    assert list(units_of(PRESETS["full"])) == ["aes", "ghash", "hash", "mac", "des", "chacha20"]
    layout = Activity(Config(lanes=4))
    assert layout.size == 9
