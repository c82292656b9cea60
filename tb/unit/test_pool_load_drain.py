# SPDX-License-Identifier: Apache-2.0
"""Frames into the pool's ring and out of it."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from nicsec.config import Config
from nicsec.pool.drain import Drain
from nicsec.pool.load import Load
from nicsec.pool.ring import READ_LATENCY, FrameRing
from streams import get, put, run, send
from test_width import beats, frames, transfers

CONFIG = Config(lanes=2, units="shared", sa_slots=16, max_frame=254)
TINY = Config(lanes=1, units="shared", sa_slots=16, max_frame=64)


def connected(config, banks):
    m = Module()
    m.submodules.ring = ring = FrameRing(config, banks=banks)
    m.submodules.load = load = Load(config)
    m.submodules.drain = drain = Drain(config)
    m.d.comb += load.tail.eq(drain.tail)
    for half in range(2):
        wiring.connect(m, load.o[half], ring.load[half])
        wiring.connect(m, drain.request[half], ring.drain[half])
        m.d.comb += [drain.valid[half].eq(ring.drain_valid[half]), drain.data[half].eq(ring.drain_data[half])]
    return m, ring, load, drain


async def noise(ctx, ring, config, rng):
    """Reads and writes that hold the others up: of nothing that is looked at, and of nothing."""
    while True:
        ctx.set(ring.read, {"en": rng.random() < 0.7, "place": rng.randrange(4 * config.ring_lines)})
        await ctx.tick()


@pytest.mark.parametrize(("config", "banks"), [(CONFIG, 8), (CONFIG, 2), (TINY, 2)])
@pytest.mark.parametrize("slow", [False, True])
def test_round_trip(config, banks, slow):
    seed = 20261125
    print(f"seed {seed}")
    rng = random.Random(seed)
    lengths = [*range(1, 65), *(rng.randrange(1, config.max_frame + 1) for _ in range(150))]
    rng.shuffle(lengths)
    too_long = {n: config.max_frame + rng.choice([1, 2, 3, 40]) for n in rng.sample(range(len(lengths)), 8)}
    sent = [rng.randbytes(too_long.get(n, length)) for n, length in enumerate(lengths)]
    marked = [rng.random() < 0.2 for _ in sent]
    dropped = [n in too_long or rng.random() < 0.2 for n in range(len(sent))]

    m, ring, load, drain = connected(config, banks)

    async def source(ctx):
        for frame, error in zip(sent, marked, strict=True):
            made = list(beats(frame, 128))
            made[rng.randrange(len(made))]["error"] = error
            await send(ctx, load.i, made, rng if slow else None, 0.1)

    async def middle(ctx):
        at = 0
        for n, frame in enumerate(sent):
            loaded = await get(ctx, load.loaded)
            lines = -(-(min(len(frame), config.max_frame) + 2) // 16)
            assert loaded.base == at % config.ring_lines
            assert loaded.loaded.error == marked[n]
            assert loaded.loaded.too_long == (n in too_long)
            if n in too_long:
                assert loaded.lines == -(-(config.max_frame + 2) // 16)
            else:
                assert loaded.lines == lines
                assert loaded.loaded.length == len(frame)
            if rng.random() < 0.3:
                # All of the frame can be read at once.
                word = rng.randrange((len(frame) + 5) // 4) if n not in too_long else 0
                ctx.set(ring.read, {"en": 1, "place": (4 * at + word) % (4 * config.ring_lines)})
                await ctx.tick()
                ctx.set(ring.read.en, 0)
                await ctx.tick().repeat(READ_LATENCY - 1)
                expected = (bytes(2) + frame)[4 * word :][:16]
                if n in too_long:
                    expected = expected[: 4 * (16 * (config.max_frame // 16))]
                assert ctx.get(ring.read_data).to_bytes(16, "big")[: len(expected)] == expected
            at += loaded.lines
            await put(ctx, drain.frame, {"keep": not dropped[n], "length": len(frame), "lines": loaded.lines})

    async def sink(ctx):
        kept = [frame for n, frame in enumerate(sent) if not dropped[n]]
        got = await frames(ctx, drain.o, len(kept), random.Random(1) if slow else None)
        assert [frame for frame, _ in got] == kept

    run(m, source, middle, sink)


def test_nothing_behind_the_frame():
    m, _, load, drain = connected(CONFIG, 4)
    rng = random.Random(1)

    async def source(ctx):
        for _ in range(60):
            for beat in beats(rng.randbytes(rng.randrange(1, 100)), 128):
                beat["data"] |= rng.getrandbits(128) << 8 * beat["keep"].bit_count() & (1 << 128) - 1
                await put(ctx, load.i, beat)

    async def middle(ctx):
        for _ in range(60):
            loaded = await get(ctx, load.loaded)
            await put(ctx, drain.frame, {"keep": 1, "length": loaded.loaded.length, "lines": loaded.lines})

    async def sink(ctx):
        count = 0
        while count < 60:
            beat = await get(ctx, drain.o)
            assert beat.data >> 8 * beat.keep.bit_count() == 0
            count += beat.last

    run(m, source, middle, sink)


@pytest.mark.parametrize("length", [60, 62, 64, 254])
@pytest.mark.parametrize("busy", [0, 0.8])
def test_rate(length, busy):
    """A beat a cycle in, with few cycles more for each frame out, also when reads have half of the banks."""
    count = 40
    m, ring, load, drain = connected(Config(lanes=32, units="shared", sa_slots=16, max_frame=254), 8)
    rng = random.Random(length)
    taken, given = [], []
    total = count * -(-length // 16)

    async def source(ctx):
        for _ in range(count):
            await send(ctx, load.i, beats(rng.randbytes(length), 128))

    async def middle(ctx):
        for _ in range(count):
            loaded = await get(ctx, load.loaded)
            await put(ctx, drain.frame, {"keep": 1, "length": length, "lines": loaded.lines})

    async def watch_in(ctx):
        taken.extend(await transfers(ctx, load.i, total))

    async def sink(ctx):
        ctx.set(drain.o.ready, 1)
        given.extend(await transfers(ctx, drain.o, total))

    async def others(ctx):
        while True:
            mask = 15 if rng.random() < busy else 0
            ctx.set(ring.read, {"en": mask != 0, "place": rng.randrange(1 << 14)})
            # Far from the frames.
            ctx.set(ring.write, {"place": 8192 + rng.randrange(1 << 12), "data": 0, "mask": mask})
            await ctx.tick()

    run(m, source, middle, watch_in, sink, background=[others])
    print(f"{length} bytes: {total} beats in {taken[-1] - taken[0] + 1}, out in {given[-1] - given[0] + 1}")
    assert taken[-1] - taken[0] + 1 <= total * (1.02 if busy == 0 else 1.15) + 10
    assert given[-1] - given[0] + 1 <= total * (1.02 if busy == 0 else 1.15) + 2 * count
