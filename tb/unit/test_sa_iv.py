# SPDX-License-Identifier: Apache-2.0
"""IV counters: values taken by look-ups, IVs of frames judged, both at once."""

import dataclasses
import random

import pytest
from nicsec.config import PRESETS
from nicsec.sa_iv import IVCounters
from streams import get, put, run

# With IVs of AH.
CONFIG = dataclasses.replace(PRESETS["tiny"], auth=("aes-gmac",))
LAST = 2**64 - 1


async def preset(ctx, dut, slot, op, value):
    for signal, content in ((dut.set_slot, slot), (dut.set_op, op), (dut.set_value, value), (dut.set_valid, 1)):
        ctx.set(signal, content)
    await ctx.tick().until(dut.set_ready)
    ctx.set(dut.set_valid, 0)


async def take(ctx, dut, slot, ops):
    """A look-up as the table makes it: start, and in the third and fourth cycle behind it who takes."""
    ctx.set(dut.slot, slot)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    await ctx.tick().repeat(2)
    ctx.set(dut.take, ops)
    await ctx.tick().repeat(2)
    ctx.set(dut.take, 0)
    return tuple(ctx.get(dut.taken)), ctx.get(dut.exhausted)


async def check(ctx, dut, slot, op, iv):
    await put(ctx, dut.check, {"slot": slot, "op": op, "iv": iv})
    return await get(ctx, dut.checked)


@pytest.mark.parametrize(
    ("floor", "ivs"),
    [
        # (iv, whether it is taken): equal and higher ones are, the same again and lower ones are not.
        (0, [(0, 1), (0, 0), (1, 1), (5, 1), (5, 0), (4, 0), (2, 0), (6, 1)]),
        (7, [(6, 0), (0, 0), (7, 1), (7, 0), (8, 1)]),
        (1 << 32, [((1 << 32) - 1, 0), (1 << 32, 1), (0xFFFFFFFF, 0), ((1 << 33) - 1, 1), (1 << 33, 1)]),
        (1 << 63, [((1 << 63) - 1, 0), (1 << 63, 1), ((1 << 63) + 1, 1)]),
        # Behind the last one there is none.
        (LAST - 1, [(LAST - 1, 1), (LAST, 1), (LAST, 0), (0, 0), (1, 0), (LAST - 1, 0)]),
    ],
)
def test_ivs_rise(floor, ivs):
    dut = IVCounters(CONFIG)

    async def bench(ctx):
        for op in range(2):
            await preset(ctx, dut, 3, op, floor)
            await preset(ctx, dut, 2, op, 0)
        for iv, expected in ivs:
            for op in range(2):
                assert await check(ctx, dut, 3, op, iv) == expected, (iv, op)
        # The neighbours' counters did not move.
        assert await take(ctx, dut, 2, 3) == ((0, 0), 0)
        # A refused IV moves nothing, and a new counter forgets that the last one was used up.
        await preset(ctx, dut, 3, 0, 9)
        assert [await check(ctx, dut, 3, 0, iv) for iv in (8, 9)] == [0, 1]

    run(dut, bench)


def test_cycles():
    """A check is answered in the fourth cycle behind its transfer; look-ups delay that by two at most."""
    dut = IVCounters(CONFIG)

    async def bench(ctx):
        times = set()
        ctx.set(dut.checked.ready, 1)
        for phase in range(12):
            ctx.set(dut.check.payload, {"slot": 1, "op": 0, "iv": phase})
            ctx.set(dut.check.valid, 1)
            await ctx.tick()
            ctx.set(dut.check.valid, 0)
            for n in range(1, 20):
                ctx.set(dut.start, n == phase - 3)
                if ctx.get(dut.checked.valid):
                    times.add(n)
                    assert ctx.get(dut.checked.payload)
                    await ctx.tick()
                    break
                await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(8)
        assert min(times) == 4
        assert max(times) == 6

    run(dut, bench)


@pytest.mark.parametrize("seed", range(4))
def test_random_traffic(seed):
    """Look-ups, checks and new counters at once, each on SAs of its own, against two dictionaries."""
    print(f"seed {seed}")
    dut = IVCounters(CONFIG)
    places = [(slot, op) for slot in range(5) for op in range(2)]
    taken = {place: (0, 50 << 32, LAST - 20)[n % 3] for n, place in enumerate(places)}
    floors = {(slot + 5, op): (0, 1 << 40, LAST - 30)[n % 3] for n, (slot, op) in enumerate(places)}
    ready, outcomes = [], []

    async def wait(ctx, rng):
        if rng.random() < 0.6:
            await ctx.tick().repeat(rng.randrange(1, 9))

    async def presets(ctx):
        rng = random.Random(seed + 100)
        for (slot, op), value in (taken | floors).items():
            await preset(ctx, dut, slot, op, value)
        ready.append(1)
        for n in range(150):
            await preset(ctx, dut, 10 + n % 6, n & 1, n)
            await wait(ctx, rng)

    async def lookups(ctx):
        rng = random.Random(seed + 200)
        while not ready:
            await ctx.tick()
        for _ in range(250):
            slot, takes = rng.randrange(5), rng.choice((0, 1, 2, 3, 3))
            values, exhausted = await take(ctx, dut, slot, takes)
            spent = [taken[slot, op] > LAST for op in range(2)]
            assert exhausted == any(takes >> op & 1 and spent[op] for op in range(2))
            for op in range(2):
                if not spent[op]:
                    assert values[op] == taken[slot, op]
                    taken[slot, op] += takes >> op & 1
            await ctx.tick().repeat(rng.randrange(3, 9) if rng.random() < 0.5 else 2)

    async def checks(ctx):
        rng = random.Random(seed + 300)
        while not ready:
            await ctx.tick()
        for _ in range(250):
            place = rng.choice(list(floors))
            iv = min(LAST, max(0, floors[place] + rng.choice((-1, -rng.randrange(1, 1 << 33), 0, 0, 0, 1, 2))))
            good = await check(ctx, dut, *place, iv)
            assert good == (floors[place] <= iv), (place, iv)
            if good:
                floors[place] = iv + 1
            outcomes.append(good)
            await wait(ctx, rng)

    run(dut, presets, lookups, checks)
    assert outcomes.count(1) > 50
    assert outcomes.count(0) > 50
    assert LAST + 1 in floors.values()
    assert LAST + 1 in taken.values()
