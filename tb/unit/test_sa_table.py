# SPDX-License-Identifier: Apache-2.0
"""SA table: handles, rows, IV counters, deletion that drains, wipes."""

import random

import pytest
from amaranth import *
from amaranth.hdl import ResetInserter
from nicsec.algorithm import SAResult
from nicsec.config import PRESETS
from nicsec.sa_table import SATable
from streams import collect, get, put, run, send

CONFIG = PRESETS["tiny"]


def handle_of(slot, generation):
    return slot | generation << 16


async def until_ready(ctx, dut):
    await ctx.tick().until(dut.ready)


async def add(ctx, dut, rows=None, ivs=(), generate=0):
    """Add an SA with ``rows`` {(op, row): value} and first counter values ``ivs``; (result, handle)."""
    for (op, row), value in (rows or {}).items():
        await put(ctx, dut.write, {"data": value, "op": op, "row": row, "iv": 0})
    for op, value in enumerate(ivs):
        await put(ctx, dut.write, {"data": value, "op": op, "row": 0, "iv": 1})
    await put(ctx, dut.cmd, {"delete": 0, "handle": 0, "generate": generate})
    result = await get(ctx, dut.result)
    return result.code, result.handle


async def delete(ctx, dut, handle):
    await put(ctx, dut.cmd, {"delete": 1, "handle": handle, "generate": 0})
    return (await get(ctx, dut.result)).code


async def lookup(ctx, dut, handle):
    await put(ctx, dut.lookup, handle)
    found = await get(ctx, dut.found)
    return found.ok, found.exhausted, found.slot, tuple(found.iv)


async def row(ctx, dut, slot, op, n):
    await put(ctx, dut.row_req, {"slot": slot, "op": op, "row": n})
    return await get(ctx, dut.row_rsp)


async def strobe(ctx, signal):
    ctx.set(signal, 1)
    await ctx.tick()
    ctx.set(signal, 0)


async def rows_of(ctx, dut, slot):
    return [await row(ctx, dut, slot, op, n) for op in range(2) for n in range(8)]


def test_reset_wipes_everything():
    dut = SATable(CONFIG)
    reset = Signal()
    rows = {(op, n): random.Random(op * 8 + n).getrandbits(128) | 1 for op in range(2) for n in range(8)}

    async def bench(ctx):
        await until_ready(ctx, dut)
        assert ctx.get(dut.free) == CONFIG.sa_slots
        _, handle = await add(ctx, dut, rows, ivs=(7, 9), generate=3)
        assert await rows_of(ctx, dut, handle & 0xFFFF) == [rows[op, n] for op in range(2) for n in range(8)]
        assert (await lookup(ctx, dut, handle))[0]
        await strobe(ctx, reset)
        assert not ctx.get(dut.ready)
        await until_ready(ctx, dut)
        assert ctx.get(dut.free) == CONFIG.sa_slots
        for slot in range(CONFIG.sa_slots):
            assert await rows_of(ctx, dut, slot) == [0] * 16
        assert not (await lookup(ctx, dut, handle))[0]
        # The counters were wiped too: an add that brings none starts at 0.
        _, handle = await add(ctx, dut, generate=3)
        assert await lookup(ctx, dut, handle) == (1, 0, 0, (0, 0))

    run(ResetInserter(reset)(dut), bench)


def test_handles():
    dut = SATable(CONFIG)

    async def bench(ctx):
        await until_ready(ctx, dut)
        code, handle = await add(ctx, dut)
        assert (code, handle) == (SAResult.OK.value, handle_of(0, 1))
        for other in (0, handle_of(0, 0), handle_of(0, 2), handle_of(1, 1), handle_of(16, 1), handle_of(0x8000, 1)):
            assert not (await lookup(ctx, dut, other))[0]
            assert await delete(ctx, dut, other) == SAResult.BAD_HANDLE.value
        assert (await lookup(ctx, dut, handle))[:3] == (1, 0, 0)
        assert await delete(ctx, dut, handle) == SAResult.OK.value
        assert not (await lookup(ctx, dut, handle))[0]
        assert await delete(ctx, dut, handle) == SAResult.BAD_HANDLE.value
        # Oldest freed first: slot 0 comes back last, one generation on.
        handles = [(await add(ctx, dut))[1] for _ in range(CONFIG.sa_slots)]
        assert handles == [handle_of(slot, 1) for slot in range(1, 16)] + [handle_of(0, 2)]
        assert ctx.get(dut.free) == 0
        assert (await add(ctx, dut))[0] == SAResult.FULL.value
        assert ctx.get(dut.free) == 0
        for handle in handles:
            assert (await lookup(ctx, dut, handle))[0]
        assert await delete(ctx, dut, handles[4]) == SAResult.OK.value
        assert await add(ctx, dut) == (SAResult.OK.value, handle_of(5, 2))

    run(dut, bench)


def test_generation_is_never_zero():
    dut = SATable(CONFIG)

    async def bench(ctx):
        await until_ready(ctx, dut)
        ctx.set(dut._slots.data[0], {"state": 0, "generate": 0, "generation": 0xFFFF})
        assert await add(ctx, dut) == (SAResult.OK.value, handle_of(0, 1))

    run(dut, bench)


@pytest.mark.parametrize("generate", [0, 1, 2, 3])
def test_counters_count_and_exhaust(generate):
    dut = SATable(CONFIG)
    last = 2**64 - 1

    async def bench(ctx):
        await until_ready(ctx, dut)
        _, other = await add(ctx, dut, ivs=(100, 200), generate=3)
        _, handle = await add(ctx, dut, ivs=(last - 2, 0xFFFFFFFF), generate=generate)
        for n in range(3):
            ok, exhausted, _, iv = await lookup(ctx, dut, handle)
            step = [n if generate >> op & 1 else 0 for op in range(2)]
            assert (ok, exhausted, iv) == (1, 0, (last - 2 + step[0], 0xFFFFFFFF + step[1]))
            # A failing look-up takes nothing.
            assert not (await lookup(ctx, dut, handle ^ 1 << 16))[0]
            assert (await lookup(ctx, dut, other))[3] == (100 + n, 200 + n)
        for _ in range(2):
            assert (await lookup(ctx, dut, handle))[:2] == (1, generate & 1)
        # A deleted SA's exhaustion does not outlive it.
        assert await delete(ctx, dut, handle) == SAResult.OK.value
        for _ in range(CONFIG.sa_slots - 1):
            _, handle = await add(ctx, dut, ivs=(5, 6), generate=3)
        assert await lookup(ctx, dut, handle) == (1, 0, 1, (5, 6))

    run(dut, bench)


def test_delete_drains():
    dut = SATable(CONFIG)
    rows = {(op, n): (op * 8 + n + 1) << 100 for op in range(2) for n in range(8)}

    async def bench(ctx):
        await until_ready(ctx, dut)
        _, handle = await add(ctx, dut, rows)
        _, other = await add(ctx, dut, rows, ivs=(1,), generate=1)
        for _ in range(3):
            await strobe(ctx, dut.started)
        assert (await lookup(ctx, dut, handle))[0]
        await put(ctx, dut.cmd, {"delete": 1, "handle": handle, "generate": 0})
        await ctx.tick().repeat(8)
        assert not (await lookup(ctx, dut, handle))[0]
        # Packets that start now do not prolong the wait.
        for n in range(1, 4):
            await ctx.tick().repeat(40)
            assert not ctx.get(dut.result.valid)
            assert await rows_of(ctx, dut, 0) == list(rows.values())
            assert (await lookup(ctx, dut, other))[::3] == (1, (n, 0))
            assert ctx.get(dut.free) == CONFIG.sa_slots - 2
            await strobe(ctx, dut.started)
            await strobe(ctx, dut.retired)
        assert (await get(ctx, dut.result)).code == SAResult.OK.value
        assert ctx.get(dut.free) == CONFIG.sa_slots - 1
        assert await rows_of(ctx, dut, 0) == [0] * 16
        assert await rows_of(ctx, dut, 1) == list(rows.values())

    run(dut, bench)


@pytest.mark.parametrize("delay", range(14))
def test_no_look_up_slips_past_a_delete(delay):
    """Whatever the timing, a look-up that succeeds holds the rows until its packet retires."""
    dut = SATable(CONFIG)

    async def packet(ctx):
        await until_ready(ctx, dut)
        _, handle = await add(ctx, dut, {(0, 0): 0xABC})
        ctx.set(dut.cmd.payload, {"delete": 1, "handle": handle, "generate": 0})
        ctx.set(dut.cmd.valid, 1)
        await ctx.tick()
        ctx.set(dut.cmd.valid, 0)
        if delay:
            await ctx.tick().repeat(delay)
        ctx.set(dut.started, 1)
        ctx.set(dut.lookup.payload, handle)
        ctx.set(dut.lookup.valid, 1)
        await ctx.tick()
        ctx.set(dut.started, 0)
        ctx.set(dut.lookup.valid, 0)
        found = await get(ctx, dut.found)
        outcome.append(found.ok)
        if found.ok:
            await ctx.tick().repeat(60)
            assert not ctx.get(dut.result.valid)
            assert await row(ctx, dut, 0, 0, 0) == 0xABC
        await strobe(ctx, dut.retired)
        assert (await get(ctx, dut.result)).code == SAResult.OK.value
        assert await row(ctx, dut, 0, 0, 0) == 0

    outcome = []
    run(dut, packet)
    assert outcome == [int(delay < 4)]


def test_rows_stream_at_full_rate():
    dut = SATable(CONFIG)
    rows = {(op, n): random.Random(op * 8 + n).getrandbits(128) for op in range(2) for n in range(8)}
    requests = [{"slot": 0, "op": op, "row": n} for op, n in rows] * 4

    async def source(ctx):
        await until_ready(ctx, dut)
        await add(ctx, dut, rows)
        await send(ctx, dut.row_req, requests)

    async def sink(ctx):
        await ctx.tick().until(dut.row_rsp.valid)
        ctx.set(dut.row_rsp.ready, 1)
        for n, value in enumerate(list(rows.values()) * 4):
            valid, got = ctx.get(dut.row_rsp.valid), ctx.get(dut.row_rsp.payload)
            assert (n, valid, got) == (n, 1, value)
            await ctx.tick()

    run(dut, source, sink)


@pytest.mark.parametrize("seed", range(3))
def test_traffic_beside_commands(seed):
    """Rows, look-ups and commands at once, each with gaps and back-pressure, against a dictionary."""
    print(f"seed {seed}")
    dut = SATable(CONFIG)
    rng = random.Random(seed)
    stable = {}
    done = []

    def content(slot):
        part = random.Random(slot)
        return {(op, n): part.getrandbits(128) for op in range(2) for n in range(8)}

    async def commands(ctx):
        await until_ready(ctx, dut)
        for slot in range(6):
            code, handle = await add(ctx, dut, content(slot), ivs=(slot, slot << 32), generate=slot % 4)
            assert code == SAResult.OK.value
            stable[slot] = handle
        done.append("setup")
        live = []
        for _ in range(60):
            if live and (rng.random() < 0.5 or len(live) == 10):
                assert await delete(ctx, dut, live.pop(rng.randrange(len(live)))) == SAResult.OK.value
            else:
                code, handle = await add(ctx, dut, {(1, 7): 1}, ivs=(1, 2), generate=3)
                assert code == SAResult.OK.value
                live.append(handle)
            assert ctx.get(dut.free) == 10 - len(live)
        done.append("commands")

    def bench(request, answer, requests, expected):
        async def source(ctx):
            await ctx.tick().until(dut.ready)
            while not done:
                await ctx.tick()
            await send(ctx, request, requests, random.Random(seed))

        async def sink(ctx):
            part = random.Random(seed + 1)
            for item in expected:
                (got,) = await collect(ctx, answer, 1, part)
                assert item == (got if isinstance(got, int) else (got.ok, got.exhausted, got.slot, tuple(got.iv)))
            done.append("bench")

        return source, sink

    keys = [(rng.randrange(6), rng.randrange(2), rng.randrange(8)) for _ in range(600)]
    rows = bench(
        dut.row_req,
        dut.row_rsp,
        [{"slot": slot, "op": op, "row": n} for slot, op, n in keys],
        [content(slot)[op, n] for slot, op, n in keys],
    )
    taken = [[slot, slot << 32] for slot in range(6)]
    handles, answers = [], []
    for _ in range(250):
        slot = rng.randrange(6)
        if rng.random() < 0.2:
            handles.append(handle_of(slot, 7))
            answers.append((0, 0, slot, tuple(taken[slot])))
        else:
            handles.append(handle_of(slot, 1))
            answers.append((1, 0, slot, tuple(taken[slot])))
            for op in range(2):
                taken[slot][op] += slot % 4 >> op & 1
    looks = bench(dut.lookup, dut.found, handles, answers)
    run(dut, commands, *rows, *looks)
    assert sorted(done) == ["bench", "bench", "commands", "setup"]
    assert stable == {slot: handle_of(slot, 1) for slot in range(6)}
