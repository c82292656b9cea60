# SPDX-License-Identifier: Apache-2.0
"""Helpers for unit benches on Amaranth's simulator: run, put and get with gaps and back-pressure."""

import gc
import sys

from amaranth.sim import Simulator

__all__ = ["collect", "get", "put", "run", "send"]


def run(dut, *testbenches, background=(), limit=200_000):
    """Run ``testbenches`` to their ends, ``background`` beside them; ``TimeoutError`` after ``limit`` cycles."""

    async def watchdog(ctx):
        await ctx.delay(limit * 1e-8)
        raise TimeoutError(f"No end in {limit} cycles")

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    for testbench in testbenches:
        sim.add_testbench(testbench)
    for testbench in (watchdog, *background):
        sim.add_testbench(testbench, background=True)
    try:
        sim.run()
    finally:
        # Testbenches that never end are finalised here and quietly: left to the garbage collector, they
        # complain, and break CPython 3.11 if it happens while a syntax tree is built.
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        del sim
        gc.collect()
        sys.unraisablehook = hook


async def put(ctx, stream, payload):
    """Transfer one payload into ``stream``."""
    ctx.set(stream.payload, payload)
    ctx.set(stream.valid, 1)
    await ctx.tick().until(stream.ready)
    ctx.set(stream.valid, 0)


async def get(ctx, stream):
    """Transfer one payload out of ``stream``."""
    ctx.set(stream.ready, 1)
    (payload,) = await ctx.tick().sample(stream.payload).until(stream.valid)
    ctx.set(stream.ready, 0)
    return payload


async def send(ctx, stream, payloads, rng=None, gap=0.3):
    """Transfer ``payloads``; with ``rng``, wait a random while before some of them."""
    for payload in payloads:
        if rng is not None and rng.random() < gap:
            await ctx.tick().repeat(rng.randrange(1, 8))
        await put(ctx, stream, payload)


async def collect(ctx, stream, count, rng=None, gap=0.3):
    """Take ``count`` payloads; with ``rng``, hold the stream back before some of them."""
    payloads = []
    for _ in range(count):
        if rng is not None and rng.random() < gap:
            await ctx.tick().repeat(rng.randrange(1, 8))
        payloads.append(await get(ctx, stream))
    return payloads
