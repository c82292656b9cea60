# SPDX-License-Identifier: Apache-2.0
"""What stands around several lanes: picking, dealing and gathering frames, taking turns, sharing the row port."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from nicsec.algorithm import Status
from nicsec.beat_store import Deal, Gather
from nicsec.config import Config
from nicsec.job import VerdictLayout
from nicsec.lane_turns import CollectTurns, DrainTurns, LoadTurns
from nicsec.lanes import groups_of
from nicsec.pick import PACKETS_PER_LANE, Pick
from nicsec.row_hub import RowHub
from streams import collect, get, put, run, send
from test_width import beats, frames

SEED = 20261122
WIDTH = 128


def frames_of(rng, count):
    return [rng.randbytes(rng.choice([1, 15, 16, 17, 60, 64, 80, 200, 400])) for _ in range(count)]


@pytest.mark.parametrize("lanes", [2, 3, 8])
def test_pick_offers_the_emptiest_lane(lanes):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    dut = Pick(lanes)
    held = [0] * lanes

    async def bench(ctx):
        picked = [0] * lanes
        for _ in range(100):
            if sum(held) == PACKETS_PER_LANE * lanes or (any(held) and rng.random() < 0.5):
                n = rng.choice([n for n in range(lanes) if held[n]])
                ctx.set(dut.freed, 1 << n)
                await ctx.tick()
                ctx.set(dut.freed, 0)
                held[n] -= 1
                # An offer that was made before stands.
                await ctx.tick().repeat(4)
                if ctx.get(dut.o.valid):
                    continue
            else:
                before = list(held)
                n = await get(ctx, dut.o)
                assert before[n] < PACKETS_PER_LANE
                held[n] += 1
                picked[n] += 1
                await ctx.tick().repeat(rng.randrange(1, 4))
        assert min(picked) > 0

    async def nothing_is_offered_when_all_are_full(ctx):
        for _ in range(PACKETS_PER_LANE * lanes):
            held[await get(ctx, dut.o)] += 1
        assert set(held) == {PACKETS_PER_LANE}
        await ctx.tick().repeat(20)
        assert not ctx.get(dut.o.valid)
        ctx.set(dut.freed, 1 << (lanes - 1))
        await ctx.tick()
        ctx.set(dut.freed, 0)
        held[lanes - 1] -= 1
        assert await get(ctx, dut.o) == lanes - 1
        held[lanes - 1] += 1
        await bench(ctx)

    run(dut, nothing_is_offered_when_all_are_full)


def test_empty_lanes_come_first_and_in_turn():
    dut = Pick(4)

    async def bench(ctx):
        first = [await get(ctx, dut.o) for _ in range(4)]
        assert sorted(first) == [0, 1, 2, 3]
        ctx.set(dut.freed, 1 << 2)
        await ctx.tick()
        ctx.set(dut.freed, 0)
        # The offer that stood when lane 2 got empty, then lane 2.
        assert 2 in [await get(ctx, dut.o) for _ in range(2)]

    run(dut, bench)


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("slow", [False, True])
def test_deal(groups, slow):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    dut = Deal(WIDTH, groups=groups, depth=64)
    all_frames = frames_of(rng, 24)
    routes = [rng.randrange(groups) for _ in all_frames]

    async def source(ctx):
        for n, frame in enumerate(all_frames):
            await send(ctx, dut.i, beats(frame, WIDTH, error=n % 5 == 0), rng if slow else None)

    async def router(ctx):
        await send(ctx, dut.route, routes, rng if slow else None)

    def sink(group):
        async def bench(ctx):
            mine = [(frame, n % 5 == 0) for n, frame in enumerate(all_frames) if routes[n] == group]
            assert await frames(ctx, dut.o[group], len(mine), rng if slow else None) == mine

        return bench

    run(dut, source, router, *(sink(group) for group in range(groups)))


def test_deal_moves_a_beat_per_cycle_to_four_groups():
    dut = Deal(WIDTH, groups=4, depth=128)
    frame = bytes(768)
    count = 12

    async def source(ctx):
        for _ in range(count):
            await send(ctx, dut.i, beats(frame, WIDTH))

    async def router(ctx):
        await send(ctx, dut.route, [n % 4 for n in range(count)])

    def sink(group):
        async def bench(ctx):
            for _ in range(count // 4 * 48):
                await get(ctx, dut.o[group])
                await ctx.tick().repeat(3)

        return bench

    # 12 frames of 48 beats, one beat a cycle, and the last group takes its last frame at a quarter of that.
    run(dut, source, router, *(sink(group) for group in range(4)), limit=12 * 48 + 4 * 48 + 60)


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("slow", [False, True])
def test_gather(groups, slow):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    dut = Gather(WIDTH, groups=groups, depth=64)
    all_frames = frames_of(rng, 24)
    routes = [rng.randrange(groups) for _ in all_frames]

    def source(group):
        async def bench(ctx):
            for n, frame in enumerate(all_frames):
                if routes[n] == group:
                    await send(ctx, dut.i[group], beats(frame, WIDTH, error=n % 5 == 0), rng if slow else None)

        return bench

    async def router(ctx):
        await send(ctx, dut.route, routes, rng if slow else None)

    async def sink(ctx):
        expected = [(frame, n % 5 == 0) for n, frame in enumerate(all_frames)]
        assert await frames(ctx, dut.o, len(expected), rng if slow else None) == expected

    run(dut, router, sink, *(source(group) for group in range(groups)))


def test_gather_gives_a_beat_per_cycle():
    """Frames that wait leave with no gap inside, and few cycles between them."""
    dut = Gather(WIDTH, groups=4, depth=128)
    count = 8

    def source(group):
        async def bench(ctx):
            for _ in range(count // 4):
                await send(ctx, dut.i[group], beats(bytes(960), WIDTH))

        return bench

    async def bench(ctx):
        await ctx.tick().repeat(60 * 4 * 2 + 40)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.route.valid, 1)
        cycles = got = 0
        group = 0
        while got < count * 60:
            ctx.set(dut.route.payload, group)
            taken, valid = ctx.get(dut.route.ready), ctx.get(dut.o.valid)
            await ctx.tick()
            got += valid
            cycles += 1
            if taken:
                group = (group + 1) % 4
        assert cycles <= count * (60 + 4) + 4

    run(dut, bench, *(source(group) for group in range(4)))


def words(rng, count):
    return [{"data": rng.randrange(1 << 32), "size": 0, "last": n == count - 1, "error": 0} for n in range(count)]


@pytest.mark.parametrize("lanes", [1, 3])
def test_load_turns(lanes):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    dut = LoadTurns(lanes)
    sent = [words(rng, rng.randrange(1, 30)) for _ in range(20)]
    turns = [rng.randrange(lanes) for _ in sent]

    def sink(lane):
        async def bench(ctx):
            mine = [word["data"] for n, frame in enumerate(sent) if turns[n] == lane for word in frame]
            assert [word.data for word in await collect(ctx, dut.o[lane], len(mine), rng)] == mine

        return bench

    async def source(ctx):
        for frame in sent:
            await send(ctx, dut.i, frame, rng)

    async def lists(ctx):
        await send(ctx, dut.turn, turns, rng)

    run(dut, source, lists, *(sink(lane) for lane in range(lanes)))


async def check_verdicts(ctx, stream, good, ivs, rng):
    for ok, iv in zip(good, ivs, strict=True):
        expected = [(beat["last"], beat["iv"]["iv"], beat["status"]) for beat in verdict(ok, iv)]
        assert [flat(beat) for beat in await collect(ctx, stream, len(expected), rng)] == expected


@pytest.mark.parametrize("lanes", [1, 3])
def test_drain_turns(lanes):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    dut = DrainTurns(lanes, VerdictLayout(Config()))
    good = [rng.random() < 0.7 for _ in range(20)]
    ivs = [[rng.getrandbits(64) for _ in range(rng.randrange(3))] for _ in good]
    sent = [words(rng, rng.randrange(1, 30)) for _ in good]
    turns = [rng.randrange(lanes) for _ in good]

    def source(lane):
        async def verdicts(ctx):
            for ok, iv, n in zip(good, ivs, turns, strict=True):
                if n == lane:
                    await send(ctx, dut.verdict[lane], verdict(ok, iv), rng)

        async def drain(ctx):
            for ok, n, frame in zip(good, turns, sent, strict=True):
                if ok and n == lane:
                    await send(ctx, dut.i[lane], frame, rng)

        return verdicts, drain

    async def lists(ctx):
        await send(ctx, dut.turn, turns, rng)

    async def verdict_sink(ctx):
        await check_verdicts(ctx, dut.o_verdict, good, ivs, rng)

    async def word_sink(ctx):
        expected = [word["data"] for ok, frame in zip(good, sent, strict=True) if ok for word in frame]
        assert [word.data for word in await collect(ctx, dut.o, len(expected), rng)] == expected

    run(dut, lists, verdict_sink, word_sink, *(part for lane in range(lanes) for part in source(lane)))


def test_collect_turns():
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    dut = CollectTurns(4, VerdictLayout(Config()))
    good = [rng.random() < 0.7 for _ in range(60)]
    ivs = [[rng.getrandbits(64) for _ in range(rng.randrange(3))] for _ in good]
    turns = [rng.randrange(4) for _ in good]

    def source(group):
        async def bench(ctx):
            for ok, iv, n in zip(good, ivs, turns, strict=True):
                if n == group:
                    await send(ctx, dut.verdict[group], verdict(ok, iv), rng)

        return bench

    async def lists(ctx):
        await send(ctx, dut.turn, turns, rng)

    async def verdict_sink(ctx):
        await check_verdicts(ctx, dut.o, good, ivs, rng)

    async def route_sink(ctx):
        expected = [n for ok, n in zip(good, turns, strict=True) if ok]
        assert await collect(ctx, dut.route, len(expected), rng) == expected

    run(dut, lists, verdict_sink, route_sink, *(source(group) for group in range(4)))


@pytest.mark.parametrize("clients", [2, 5, 16])
@pytest.mark.parametrize("slow", [False, True])
def test_row_hub(clients, slow):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    config = Config()
    dut = RowHub(config, clients)
    count = 12

    def row(slot, op, number):
        return (slot << 8 | op << 4 | number) * 0x10001000100010001

    async def table(ctx):
        while True:
            request = await get(ctx, dut.row_req)
            if slow:
                await ctx.tick().repeat(rng.randrange(1, 5))
            await put(ctx, dut.row_rsp, row(request.slot, request.op, request.row))

    def client(n):
        async def bench(ctx):
            for _ in range(count):
                slot, op, number = rng.randrange(256), rng.randrange(2), rng.randrange(8)
                if slow and rng.random() < 0.5:
                    await ctx.tick().repeat(rng.randrange(1, 10))
                await put(ctx, dut.req[n], {"slot": slot, "op": op, "row": number})
                assert await get(ctx, dut.rsp[n]) == row(slot, op, number)

        return bench

    run(dut, *(client(n) for n in range(clients)), background=[table])


def test_row_hub_serves_a_request_per_cycle():
    """Eight clients that ask at once are served in as many cycles and the latency."""
    dut = RowHub(Config(), 8)

    async def table(ctx):
        pipe = [None] * 3
        ctx.set(dut.row_req.ready, 1)
        while True:
            pipe.append(ctx.get(dut.row_req.payload).row if ctx.get(dut.row_req.valid) else None)
            answer = pipe.pop(0)
            ctx.set(dut.row_rsp.valid, answer is not None)
            ctx.set(dut.row_rsp.payload, answer or 0)
            await ctx.tick()

    done = []

    def client(n):
        async def bench(ctx):
            ctx.set(dut.rsp[n].ready, 1)
            await put(ctx, dut.req[n], {"slot": 1, "op": 0, "row": n})
            (got,) = await ctx.tick().sample(dut.rsp[n].payload).until(dut.rsp[n].valid)
            assert got == n
            done.append(n)

        return bench

    run(dut, *(client(n) for n in range(8)), background=[table], limit=8 + 14)
    assert sorted(done) == list(range(8))


def test_groups():
    assert [groups_of(Config(lanes=n)) for n in (1, 2, 3, 4, 6, 8, 12, 16, 32)] == [1, 1, 1, 2, 2, 4, 4, 4, 4]


def verdict(ok, ivs):
    """Beats of a verdict: ``ivs`` of a success, then the status."""
    check = {"slot": 0, "op": 0, "iv": 0}
    beats = [{"status": Status.SUCCESS, "last": 0, "iv": check | {"iv": iv}} for iv in ivs] if ok else []
    return [*beats, {"status": Status.SUCCESS if ok else Status.MALFORMED, "last": 1, "iv": check}]


def flat(beat):
    return beat.last, beat.iv.iv, beat.status
