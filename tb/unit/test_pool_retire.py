# SPDX-License-Identifier: Apache-2.0
# amaranth: UnusedElaboratable=no
"""Verdicts in the order of packets, and threads that come back wiped."""

import random
from collections import deque

import pytest
from nicsec.algorithm import Status
from nicsec.config import Config
from nicsec.pool.pair import Pair
from nicsec.pool.retire import Retire
from nicsec.pool.threads import Threads
from streams import get, put, run


def bound(function, *arguments):
    """A testbench that calls ``function`` with more than the context."""

    async def testbench(ctx):
        await function(ctx, *arguments)

    return testbench


CONFIG = Config(lanes=4, units="shared", sa_slots=16, max_frame=254)


@pytest.mark.parametrize("seed", range(4))
def test_retire(seed):
    """Packets end in any order, many rounds of numbers long; their verdicts, IVs and frames come in order."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = Retire(CONFIG)
    count = 5 * CONFIG.packets
    packets = []
    for n in range(count):
        final = rng.random() < 0.3
        status = rng.choice([Status.SUCCESS, Status.SUCCESS, Status.MALFORMED])
        judged = 0 if final else rng.choice([0, 0, 1, 2, 5, 15])
        ivs = {bit: rng.getrandbits(64) for bit in range(4) if judged >> bit & 1}
        packets.append({
            "number": n % (2 * CONFIG.packets), "final": final, "status": status, "judged": judged, "ivs": ivs,
            "frame": {"keep": 0, "length": rng.getrandbits(11), "lines": rng.getrandbits(4)},
        })
    room, begun = deque(), []

    async def frames(ctx):
        for packet in packets:
            await put(ctx, dut.frame, packet["frame"])
            room.append(packet)
            if rng.random() < 0.2:
                await ctx.tick().repeat(rng.randrange(1, 30))

    async def ends(ctx):
        while len(begun) < count:
            if not room:
                await ctx.tick()
                continue
            # Any of those inside: the oldest last of all, now and then.
            at = rng.randrange(len(room))
            packet = room[at]
            del room[at]
            begun.append(packet)
            for bit, iv in packet["ivs"].items():
                await put(ctx, dut.iv, {
                    "packet": packet["number"], "number": bit, "check": {"slot": bit, "op": bit & 1, "iv": iv},
                })
            await put(ctx, dut.front, {
                "packet": packet["number"], "final": packet["final"], "judged": packet["judged"],
                "status": packet["status"] if packet["final"] else Status.SUCCESS,
            })
            if not packet["final"]:
                done = {"packet": packet["number"], "last": 1, "status": packet["status"]}
                ctx.set(dut.ended, {"valid": 1, "done": {**done, "last": 0, "status": Status.UNSUPPORTED}})
                await ctx.tick()
                ctx.set(dut.ended, {"valid": 1, "done": done})
                await ctx.tick()
                ctx.set(dut.ended, {"valid": 0})

    async def verdicts(ctx):
        for packet in packets:
            if packet["status"] == Status.SUCCESS:
                for bit, iv in packet["ivs"].items():
                    beat = await get(ctx, dut.verdict)
                    assert (beat.last, beat.iv.slot, beat.iv.op, beat.iv.iv) == (0, bit, bit & 1, iv)
            beat = await get(ctx, dut.verdict)
            assert (beat.last, beat.status) == (1, packet["status"])
            frame = await get(ctx, dut.o)
            assert frame.keep == (packet["status"] == Status.SUCCESS)
            assert (frame.length, frame.lines) == (packet["frame"]["length"], packet["frame"]["lines"])
            if rng.random() < 0.2:
                await ctx.tick().repeat(rng.randrange(1, 20))

    run(dut, frames, ends, verdicts)


@pytest.mark.parametrize("seed", range(3))
def test_threads(seed):
    """No thread has two users, none gets lost, and a thread that had a key is wiped before it ends."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    clients = 3
    dut = Threads(CONFIG, clients)
    held, keyed, wiped, ended = {}, set(), [], []
    passes = 200

    async def client(ctx, n):
        while True:
            await ctx.tick().repeat(rng.randrange(1, 20))
            thread = await get(ctx, dut.thread[n])
            assert thread not in held
            held[thread] = n

    async def ends(ctx):
        for number in range(passes):
            while not held:
                await ctx.tick()
            thread = rng.choice([*held])
            if rng.random() < 0.6:
                ctx.set(dut.keyed, {"valid": 1, "thread": thread})
                await ctx.tick()
                ctx.set(dut.keyed, {"valid": 0})
                keyed.add(thread)
            await ctx.tick().repeat(rng.randrange(1, 5))
            # Once its end is told the thread may have a new user.
            del held[thread]
            await put(ctx, dut.done, {"thread": thread, "packet": number % 32, "last": number & 1})
        await ctx.tick().repeat(4)

    async def wipes(ctx):
        while True:
            if rng.random() < 0.5:
                await ctx.tick().repeat(rng.randrange(1, 12))
            job = await get(ctx, dut.wipe)
            assert (job.wipe, job.first, job.second) == (1, 0, 0)
            wiped.append(job.tag)

    async def told(ctx):
        while True:
            *_, now = await ctx.tick().sample(dut.ended)
            if now.valid:
                ended.append(now.done.packet)
                if now.done.thread in keyed:
                    assert wiped[-1:] == [now.done.thread]
                    keyed.discard(now.done.thread)

    run(dut, ends, background=(
        wipes, told, *(bound(client, n) for n in range(clients)),
    ))
    assert ended == [n % 32 for n in range(passes)]


def test_pair():
    """Jobs meet frames in order; each front gets whole packets, numbered in order."""
    rng = random.Random(3)
    dut = Pair(CONFIG)
    count = 100
    jobs = [rng.getrandbits(11) for _ in range(count)]
    frames = [{"base": rng.getrandbits(5), "lines": rng.getrandbits(4), "loaded": {"length": rng.getrandbits(11)}}
              for _ in range(count)]
    seen = {}

    async def give(ctx, stream, payloads):
        for payload in payloads:
            await ctx.tick().repeat(rng.randrange(1, 5))
            await put(ctx, stream, payload)

    async def front(ctx, n):
        while True:
            await ctx.tick().repeat(rng.randrange(1, 25))
            packet = await get(ctx, dut.front[n])
            seen[len(seen)] = (packet.packet, packet.job.length, packet.base, packet.loaded.length)

    async def records(ctx):
        for n in range(count):
            frame = await get(ctx, dut.frame)
            assert (frame.length, frame.lines) == (frames[n]["loaded"]["length"], frames[n]["lines"])
            await ctx.tick().repeat(rng.randrange(1, 5))
        while len(seen) < count:
            await ctx.tick()

    run(dut, records, bound(give, dut.job, [{"length": length} for length in jobs]), bound(give, dut.loaded, frames),
        background=[bound(front, n) for n in range(CONFIG.walkers)])
    expected = [
        (n % (2 * CONFIG.packets), jobs[n], frames[n]["base"], frames[n]["loaded"]["length"]) for n in range(count)
    ]
    assert sorted(seen.values(), key=lambda row: jobs.index(row[1])) == sorted(
        expected, key=lambda row: jobs.index(row[1])
    )
