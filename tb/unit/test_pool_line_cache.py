# SPDX-License-Identifier: Apache-2.0
"""Words out of cached lines: as a memory would give them, whatever it takes to fetch them."""

# amaranth: UnusedElaboratable=no

import random
from collections import deque

import pytest
from amaranth import ResetInserter, Signal
from nicsec.config import Config
from nicsec.pool.line_cache import LineCache
from streams import run

CONFIG = Config(lanes=2, units="shared", sa_slots=16, max_frame=2046)
SHORT = Config(lanes=2, units="shared", sa_slots=16, max_frame=64)


class Ring:
    """Answers in order, after a while; keeps a list of the lines that were asked for."""

    def __init__(self, dut, lines, rng, latency):
        self._dut, self.lines, self._rng, self._latency = dut, lines, rng, latency
        self.log, self.most, self.reset = [], 0, Signal()
        self.always = False  #: requests are taken at once

    async def answer(self, ctx):
        way, cycle = deque(), 0
        while True:
            ready = self.always or self._rng.random() < 0.6
            ctx.set(self._dut.fetch.ready, ready)
            valid = bool(way) and way[0][0] <= cycle
            ctx.set(self._dut.rsp_valid, valid)
            ctx.set(self._dut.rsp_data, self.lines[way.popleft()[1]] if valid else self._rng.getrandbits(128))
            fetch = self._dut.fetch
            _, _, asked, line, reset = await ctx.tick().sample(fetch.valid, fetch.payload, self.reset)
            if asked and ready:
                self.log.append(line)
                way.append((cycle + self._rng.randrange(*self._latency), line))
                self.most = max(self.most, len(way))
            if reset:
                way.clear()
            cycle += 1


def addresses(rng, words, count):
    """Runs of words and jumps, up and down and about."""
    at = 0
    while count:
        if rng.random() < 0.2:
            at = rng.choice([rng.randrange(words), max(at - rng.randrange(20), 0), rng.randrange(min(8, words))])
        for _ in range(rng.choice([1, 1, 2, 5, 30])):
            yield min(at, words - 1)
            at += 1
            count -= 1
            if not count:
                return


@pytest.mark.parametrize("config", [CONFIG, SHORT])
@pytest.mark.parametrize("ahead", [0, 3, 14])
@pytest.mark.parametrize("slow", [False, True])
def test_words(config, ahead, slow):
    seed = 20261125
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = LineCache(config, ahead=ahead)
    lines = [rng.getrandbits(128) for _ in range(config.ring_lines)]
    ring = Ring(dut, lines, rng, (5, 30) if slow else (8, 9))

    async def user(ctx):
        checked = 0
        for frame in range(40):
            base = rng.randrange(config.ring_lines)
            words = rng.randrange(5, config.frame_words + 1)
            last = (words - 1) // 4
            ctx.set(dut.start, 1)
            ctx.set(dut.active, 0)
            ctx.set(dut.base, base)
            ctx.set(dut.last, last)
            ctx.set(dut.hint, rng.randrange(last))
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.active, 1)
            begin = len(ring.log)
            way = [None, None]
            for addr in addresses(rng, words, rng.choice([3, 200])):
                ctx.set(dut.addr, addr)
                taken = False
                while not taken:
                    en = not slow or rng.random() < 0.7
                    ctx.set(dut.en, en)
                    if not ctx.get(dut.stall) and way[0] is not None:
                        word = lines[(base + way[0] // 4) % len(lines)] >> 96 - 32 * (way[0] % 4) & 0xFFFFFFFF
                        assert ctx.get(dut.word) == word, (frame, way[0])
                        checked += 1
                    taken = en and not ctx.get(dut.stall)
                    if taken:
                        way = [way[1], addr]
                    await ctx.tick()
            for line in ring.log[begin + 2 :]:
                # The first may be from the frame before.
                position = (line - base) % len(lines)
                assert position <= last
            ctx.set(dut.active, rng.random() < 0.3)
            if rng.random() < 0.5:
                await ctx.tick().repeat(rng.randrange(1, 30))
        print(checked, len(ring.log), ring.most)

    run(dut, user, background=[ring.answer])


async def walk(ctx, dut, addrs, limit=400):
    """Cycles until the words of ``addrs`` have come, without a gap where nothing stalls."""
    cycles = 0
    for addr in [*addrs, addrs[-1], addrs[-1]]:
        ctx.set(dut.addr, addr)
        while True:
            go = not ctx.get(dut.stall)
            await ctx.tick()
            cycles += 1
            assert cycles < limit
            if go:
                break
    return cycles


def begin(ctx, dut, last):
    ctx.set(dut.start, 1)
    ctx.set(dut.active, 0)
    ctx.set(dut.last, last)


@pytest.mark.parametrize("seed", range(8))
def test_read_ahead_hides_the_latency(seed):
    """Nearly a word a cycle, if requests are taken late at times."""
    dut = LineCache(CONFIG, ahead=6)
    rng = random.Random(seed)
    ring = Ring(dut, [rng.getrandbits(128) for _ in range(CONFIG.ring_lines)], rng, (9, 10))

    async def user(ctx):
        begin(ctx, dut, 99)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.active, 1)
        cycles = await walk(ctx, dut, range(400), 1000)
        print(cycles)
        assert cycles < 400 + 100
        assert 100 <= len(ring.log) <= 102  # hints may be late, and their lines gone again

    run(dut, user, background=[ring.answer])


def test_first_line_comes_with_start():
    dut = LineCache(CONFIG)
    latency = 6
    ring = Ring(dut, list(range(CONFIG.ring_lines)), random.Random(1), (latency, latency + 1))
    ring.always = True

    async def user(ctx):
        await ctx.tick().repeat(20)
        for base in (7, 90):
            begin(ctx, dut, 3)
            ctx.set(dut.base, base)
            ctx.set(dut.addr, 3)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.active, 1)
            cycles = await walk(ctx, dut, [3])
            print(cycles)
            assert ctx.get(dut.word) == base
            assert cycles == latency + 4
            await ctx.tick().repeat(20)

    run(dut, user, background=[ring.answer])


def test_reset_while_lines_are_on_their_way():
    dut = LineCache(CONFIG, ahead=6)
    rng = random.Random(1)
    lines = [rng.getrandbits(128) for _ in range(CONFIG.ring_lines)]
    ring = Ring(dut, lines, rng, (20, 21))

    async def user(ctx):
        for wait in (20, 30, 31, 32, 33, 34, 35, 40, 60):
            begin(ctx, dut, 90)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.active, 1)
            for addr in (5, 330):
                assert await walk(ctx, dut, [addr]) < 100
                assert ctx.get(dut.word) == lines[addr // 4] >> 96 - 32 * (addr % 4) & 0xFFFFFFFF
            begin(ctx, dut, 90)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.active, 1)
            ctx.set(dut.addr, 100)
            await ctx.tick().repeat(wait)
            ctx.set(ring.reset, 1)
            await ctx.tick()
            ctx.set(ring.reset, 0)
        assert ring.most > 2

    run(ResetInserter(ring.reset)(dut), user, background=[ring.answer])


@pytest.mark.parametrize(("last", "early"), [(90, [0, 1, 2]), (1, [0, 1])])
def test_hint(last, early):
    """The line and the one behind it are asked for behind those that are next, and are here when they are needed."""
    dut = LineCache(CONFIG, ahead=2)
    rng = random.Random(1)
    lines = [rng.getrandbits(128) for _ in range(CONFIG.ring_lines)]
    ring = Ring(dut, lines, rng, (9, 10))

    async def user(ctx):
        begin(ctx, dut, last)
        ctx.set(dut.hint, 89)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.active, 1)
        ctx.set(dut.addr, 3)
        await ctx.tick().repeat(60)
        assert ring.log == [*early, 89, 90]
        assert await walk(ctx, dut, [4, 5, 356, 360, 5, 3]) == 8

    run(dut, user, background=[ring.answer])
