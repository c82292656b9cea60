# SPDX-License-Identifier: Apache-2.0
"""The queue in block RAM: order, places, pace."""

import random

import pytest
from nicsec.ram_queue import RamQueue
from streams import collect, run, send


@pytest.mark.parametrize("depth", [2, 3, 10, 16])
@pytest.mark.parametrize("gap", [0.0, 0.1, 0.6])
def test_order(depth, gap):
    seed = 100 * depth + int(10 * gap)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = RamQueue(20, depth)
    sent = [rng.getrandbits(20) for _ in range(200)]
    got = []

    async def source(ctx):
        await send(ctx, dut.i, sent, rng, 0.6 - gap)

    async def sink(ctx):
        got.extend(await collect(ctx, dut.o, len(sent), rng, gap))

    run(dut, source, sink)
    assert got == sent


@pytest.mark.parametrize("depth", [2, 3, 10, 16])
def test_places(depth):
    """It takes as many as it has places for, and one more when one was taken off."""
    dut = RamQueue(8, depth)

    async def bench(ctx):
        taken = 0
        ctx.set(dut.i.valid, 1)
        for _ in range(depth + 8):
            ctx.set(dut.i.payload, taken)
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            taken += ready
        assert taken == depth
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        ctx.set(dut.o.ready, 0)
        for _ in range(8):
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            taken += ready
        assert taken == depth + 1

    run(dut, bench)


def test_pace():
    """One transfer a cycle, the first two cycles behind the one that brought it."""
    dut = RamQueue(8, 8)
    trace = []

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for n in range(40):
            ctx.set(dut.i.payload, n)
            _, _, ready, valid, payload = await ctx.tick().sample(dut.i.ready, dut.o.valid, dut.o.payload)
            assert ready
            trace.append(payload if valid else None)

    run(dut, bench)
    assert trace == [None, None, *range(38)]


def test_depth_is_checked():
    with pytest.raises(ValueError, match=r"^depth must be 2 or more, not 1$"):
        RamQueue(8, 1)
