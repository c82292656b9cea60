# SPDX-License-Identifier: Apache-2.0
"""Counters: every event counted once, halves that belong together, wipe at reset."""

import random

import pytest
from amaranth import *
from amaranth.hdl import ResetInserter
from nicsec.activity import UNIT_KINDS, Activity, units_of
from nicsec.config import PRESETS, Config
from nicsec.counters import CYCLES, STATUS_BASE, SWEEP_CYCLES, Counters
from streams import put, run, send

_NAMES = ("packets in", "bytes in", "packets out", "bytes out", "bypassed", "protected")


def expect(events):
    counts = dict.fromkeys(_NAMES, 0)
    statuses = [0] * 23
    for event in events:
        counts["packets in"] += 1
        counts["bytes in"] += event["length"]
        if event["status"] == 0:
            counts["packets out"] += 1
            counts["bytes out"] += event["length"]
            counts["bypassed" if event["bypassed"] else "protected"] += 1
        statuses[event["status"]] += 1
    return list(counts.values()), statuses


async def read(ctx, dut, addr):
    ctx.set(dut.addr, addr)
    ctx.set(dut.read, 1)
    await ctx.tick()
    ctx.set(dut.read, 0)
    await ctx.tick().until(dut.done)
    return ctx.get(dut.value)


async def read_wide(ctx, dut, n):
    low = await read(ctx, dut, 2 * n)
    return low | await read(ctx, dut, 2 * n + 1) << 32


async def read_all(ctx, dut):
    wide = [await read_wide(ctx, dut, n) for n in range(6)]
    return wide, [await read(ctx, dut, STATUS_BASE + n) for n in range(23)]


def events_of(rng, count):
    return [
        {
            "length": rng.choice((rng.randrange(64, 1519), 0xFFFF)),
            "status": rng.choice((0, 0, rng.randrange(6, 23))),
            "bypassed": rng.randrange(2),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize(("seed", "gaps"), [(0, True), (1, True), (2, False)])
def test_nothing_is_lost(seed, gaps):
    print(f"seed {seed}")
    rng = random.Random(seed)
    events = events_of(rng, 300)
    dut = Counters()
    done = []
    seen = []

    async def source(ctx):
        await send(ctx, dut.event, events, rng if gaps else None)
        done.append(True)

    async def reader(ctx):
        while not done:
            seen.append((await read_wide(ctx, dut, 0), await read_wide(ctx, dut, 1)))
            await ctx.tick().repeat(random.Random(len(seen)).randrange(1, 40))
        assert await read_all(ctx, dut) == expect(events)

    async def drops(ctx):
        count, after = 0, 0
        while after < 12:
            _, _, dropped = await ctx.tick().sample(dut.dropped)
            count += dropped
            after += bool(done)
        assert count == sum(event["status"] != 0 for event in events)

    run(dut, source, reader, drops)
    assert len(seen) > 20
    assert seen == sorted(seen)


def test_carry_and_kept_half():
    dut = Counters()
    event = {"length": 0x10, "status": 0, "bypassed": 1}

    async def bench(ctx):
        await put(ctx, dut.event, event)
        await ctx.tick().repeat(20)
        for word in (0, 2, 4, 6, 8):
            ctx.set(dut._words.data[word], 0xFFFFFFFF)
            ctx.set(dut._words.data[word + 1], 0x12)
        assert await read(ctx, dut, 2) == 0xFFFFFFFF
        await put(ctx, dut.event, event)
        await ctx.tick().repeat(20)
        # The high half of the moment when the low half was read, also after statuses were read.
        assert [await read(ctx, dut, STATUS_BASE + n) for n in (0, 9)] == [0, 0]
        assert await read(ctx, dut, 3) == 0x12
        wide, _ = await read_all(ctx, dut)
        assert wide == [0x13_00000000, 0x13_0000000F, 0x13_00000000, 0x13_0000000F, 0x13_00000000, 0]

    run(dut, bench)


def test_reset_wipes():
    dut = Counters()
    reset = Signal()

    async def bench(ctx):
        await send(ctx, dut.event, events_of(random.Random(3), 20))
        ctx.set(reset, 1)
        await ctx.tick().repeat(2)
        ctx.set(reset, 0)
        assert await read_all(ctx, dut) == ([0] * 6, [0] * 23)

    run(ResetInserter(reset)(dut), bench)


def test_rate():
    dut = Counters()

    async def bench(ctx):
        await ctx.tick().until(dut.event.ready)
        for status, cycles in ((0, 5), (9, 4)):
            ctx.set(dut.event.payload, {"length": 64, "status": status, "bypassed": 0})
            ctx.set(dut.event.valid, 1)
            await ctx.tick().until(dut.event.ready)
            # Two follow each other without a pause.
            for _ in range(2):
                for n in range(1, cycles):
                    assert not ctx.get(dut.event.ready), n
                    await ctx.tick()
                assert ctx.get(dut.event.ready)
                await ctx.tick()
            ctx.set(dut.event.valid, 0)
            await ctx.tick().repeat(10)

    run(dut, bench)


@pytest.mark.parametrize(("config", "seed"), [(PRESETS["basic"], 1), (PRESETS["full"], 2), (PRESETS["10g"], 3),
                                              (Config(lanes=32), 4)])
def test_units_are_counted(config, seed):
    """Each unit of work once, whatever events and reads are between; all of one moment if cycles did not move."""
    rng = random.Random(seed)
    counts = units_of(config)
    dut = Counters(Activity(config))
    told = []
    events = events_of(rng, 400)
    done = []

    async def units(ctx):
        # A kind is at rest at times, and all of its units are at work at others.
        shares = dict.fromkeys(counts, 0)
        while not done:
            for kind in counts:
                if not rng.randrange(100):
                    shares[kind] = rng.choice((0, 0.5, 1))
            now = {kind: sum(rng.random() < shares[kind] for _ in range(count)) for kind, count in counts.items()}
            ctx.set(dut.activity, now)
            told.append(now)
            await ctx.tick()
        ctx.set(dut.activity, dict.fromkeys(counts, 0))

    async def read_units(ctx):
        numbers = [7 + UNIT_KINDS.index(kind) for kind in counts]
        while True:
            cycles = await read_wide(ctx, dut, CYCLES)
            found = {kind: await read_wide(ctx, dut, n) for kind, n in zip(counts, numbers, strict=True)}
            if await read_wide(ctx, dut, CYCLES) == cycles:
                return cycles, found

    async def reader(ctx):
        seen = 0
        for _ in range(20):
            await ctx.tick().repeat(rng.randrange(700))
            cycles, found = await read_units(ctx)
            # Units are taken one after the other, so of each it is the work up to one of the next few cycles.
            for n, kind in enumerate(counts, 1):
                upto = [sum(one[kind] for one in told[: cycles + 2 * n + offset]) for offset in range(-2, 12)]
                assert upto[0] <= found[kind] <= upto[-1]
            assert len(told) - 2 * SWEEP_CYCLES < cycles <= len(told)
            assert cycles >= seen
            seen = cycles
        done.append(True)
        await ctx.tick().repeat(2 * SWEEP_CYCLES)
        _, found = await read_units(ctx)
        assert found == {kind: sum(one[kind] for one in told) for kind in counts}
        numbers = {6, *(7 + UNIT_KINDS.index(kind) for kind in counts)}
        for n in range(6, 16):
            assert n in numbers or await read_wide(ctx, dut, n) == 0
        assert await read_all(ctx, dut) == expect(events)

    async def source(ctx):
        await send(ctx, dut.event, events, rng)

    run(dut, units, reader, source)


def test_units_carry():
    dut = Counters(Activity(PRESETS["basic"]))

    async def bench(ctx):
        await ctx.tick().repeat(SWEEP_CYCLES // 2)
        for n in (6, 7):
            ctx.set(dut._words.data[2 * n], 0xFFFFFF80)
            ctx.set(dut._words.data[2 * n + 1], 0x12)
        ctx.set(dut.activity, {"aes": 1, "ghash": 0, "hash": 0})
        await ctx.tick().repeat(3 * SWEEP_CYCLES)
        for n in (6, 7):
            value = await read_wide(ctx, dut, n)
            assert 0x13_00000000 <= value < 0x13_00000000 + 4 * SWEEP_CYCLES

    run(dut, bench)
