# SPDX-License-Identifier: Apache-2.0
"""Beats to words to beats: every length, with gaps and back-pressure."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from nicsec.width import BeatsToWords, WordsToBeats
from streams import get, run, send

LENGTHS = [*range(14, 70), 1, 2, 3, 127, 128, 129, 1500, 1514]


def beats(frame, width, error=False):
    lanes = width // 8
    for at in range(0, len(frame), lanes):
        part = frame[at : at + lanes]
        last = at + lanes >= len(frame)
        yield {
            "data": int.from_bytes(part, "little"),
            "keep": (1 << len(part)) - 1,
            "last": last,
            "error": last and error,
        }


async def frames(ctx, stream, count, rng=None):
    """Take whole frames out of a beat stream."""
    out = []
    for _ in range(count):
        frame = b""
        while True:
            if rng is not None and rng.random() < 0.3:
                await ctx.tick().repeat(rng.randrange(1, 6))
            beat = await get(ctx, stream)
            size = beat.keep.bit_count()
            assert beat.keep == (1 << size) - 1
            frame += (beat.data & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            if beat.last:
                out.append((frame, bool(beat.error)))
                break
            assert size == len(stream.p.keep)
    return out


@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("slow", [False, True])
def test_round_trip(width, slow):
    seed = 20261122
    print(f"seed {seed}")
    rng = random.Random(seed)
    sent = [(rng.randbytes(length), rng.random() < 0.2) for length in LENGTHS]

    dut = Module()
    dut.submodules.cut = cut = BeatsToWords(width)
    dut.submodules.pack = pack = WordsToBeats(width)
    wiring.connect(dut, cut.o, pack.i)

    async def source(ctx):
        for frame, error in sent:
            await send(ctx, cut.i, beats(frame, width, error), rng if slow else None)

    async def sink(ctx):
        assert await frames(ctx, pack.o, len(sent), random.Random(1) if slow else None) == sent

    run(dut, source, sink)


def test_words_are_two_bytes_late():
    dut = BeatsToWords(128)
    frame = bytes(range(1, 22))

    async def source(ctx):
        await send(ctx, dut.i, beats(frame, 128))

    async def sink(ctx):
        words = [await get(ctx, dut.o) for _ in range(6)]
        assert b"".join(w.data.to_bytes(4, "big") for w in words)[:23] == bytes(2) + frame
        assert [w.last for w in words] == [0] * 5 + [1]
        assert words[-1].size == 23 % 4

    run(dut, source, sink)


async def transfers(ctx, stream, count):
    """Cycles of the first ``count`` transfers of ``stream``."""
    found, cycle = [], 0
    async for _, _, valid, ready in ctx.tick().sample(stream.valid, stream.ready):
        if valid and ready:
            found.append(cycle)
        cycle += 1
        if len(found) == count:
            return found


@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("length", [60, 61, 62, 63, 1518])
def test_words_without_a_gap(width, length):
    dut = BeatsToWords(width)
    words = (length + 2 + 3) // 4
    cycles = []

    async def source(ctx):
        for _ in range(4):
            await send(ctx, dut.i, beats(bytes(length), width))

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        cycles.extend(await transfers(ctx, dut.o, 4 * words))

    run(dut, source, sink)
    assert cycles[0] == 3
    assert cycles[-1] - cycles[0] + 1 <= 4 * words


@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("length", [60, 61, 62, 63, 1518])
def test_beats_without_a_gap(width, length):
    dut = WordsToBeats(width)
    words = (length + 2 + 3) // 4
    made = [{"data": 0, "size": (length + 2) % 4, "last": n == words - 1, "error": 0} for n in range(words)]
    taken, given = [], []

    async def source(ctx):
        for _ in range(4):
            await send(ctx, dut.i, made)

    async def watch(ctx):
        taken.extend(await transfers(ctx, dut.i, 4 * words))

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        given.extend(await transfers(ctx, dut.o, 4 * -(-length // (width // 8))))

    run(dut, source, watch, sink)
    assert taken[-1] < 4 * words + (3 if width == 64 else 0)
    assert given[-1] - taken[-1] <= 4


def test_a_short_beat_holds_nothing_of_the_one_before():
    dut = WordsToBeats(128)

    async def source(ctx):
        await send(ctx, dut.i, [{"data": 0xFFFFFFFF, "size": 3, "last": n == 8, "error": 0} for n in range(9)])

    async def sink(ctx):
        got = [await get(ctx, dut.o) for _ in range(3)]
        assert [beat.keep for beat in got] == [0xFFFF, 0xFFFF, 1]
        assert got[2].data >> 16 == 0

    run(dut, source, sink)
