# SPDX-License-Identifier: Apache-2.0
"""SA table: handles, rows, IV counters, deletion that drains, wipes."""

import random
from dataclasses import replace

import pytest
from amaranth import *
from amaranth.hdl import ResetInserter
from nicsec.algorithm import SAResult
from nicsec.config import PRESETS
from nicsec.sa_layout import RowKind, TableOp
from nicsec.sa_table import SATable
from streams import collect, get, put, run, send

# With IVs of AH.
CONFIG = replace(PRESETS["tiny"], auth=("aes-gmac",))
COUNTING = replace(CONFIG, lifetimes=True)


def handle_of(slot, generation):
    return slot | generation << 16


async def until_ready(ctx, dut):
    await ctx.tick().until(dut.ready)


async def add(ctx, dut, rows=None, ivs=(), generate=0):
    """Add an SA with ``rows`` {(op, row): value} and first counter values ``ivs``; (result, handle)."""
    for (op, row), value in (rows or {}).items():
        await put(ctx, dut.write, {"data": value, "op": op, "row": row, "kind": RowKind.ROW})
    for op, value in enumerate(ivs):
        await put(ctx, dut.write, {"data": value, "op": op, "row": 0, "kind": RowKind.IV})
    await put(ctx, dut.cmd, {"op": TableOp.ADD, "handle": 0, "generate": generate})
    result = await get(ctx, dut.result)
    return result.code, result.handle


async def delete(ctx, dut, handle):
    await put(ctx, dut.cmd, {"op": TableOp.DELETE, "handle": handle, "generate": 0})
    return (await get(ctx, dut.result)).code


async def lookup(ctx, dut, handle):
    await put(ctx, dut.lookup, {"handle": handle, "length": 0})
    found = await get(ctx, dut.found)
    return found.ok, found.exhausted, found.slot, tuple(found.iv)


async def carry(ctx, dut, handle, length):
    """A packet of ``length`` bytes: whether it is refused for the SA's lifetime."""
    await put(ctx, dut.lookup, {"handle": handle, "length": length})
    found = await get(ctx, dut.found)
    assert found.ok
    return found.expired


async def limit(ctx, dut, soft_packets, hard_packets, soft_bytes=0, hard_bytes=0, *, update=0):
    for n, (soft, hard) in enumerate(((soft_packets, hard_packets), (soft_bytes, hard_bytes))):
        write = {"data": soft | hard << 64, "op": 0, "row": n, "kind": RowKind.LIMITS, "update": update}
        await put(ctx, dut.write, write)


async def command(ctx, dut, op, handle):
    await put(ctx, dut.cmd, {"op": op, "handle": handle, "generate": 0})
    return SAResult((await get(ctx, dut.result)).code)


async def query(ctx, dut, handle):
    assert await command(ctx, dut, TableOp.QUERY, handle) == SAResult.OK
    usage = ctx.get(dut.usage)
    return usage.packets, usage.bytes, usage.errors


async def judge(ctx, dut, slot, op, iv):
    await put(ctx, dut.check, {"slot": slot, "op": op, "iv": iv})
    return await get(ctx, dut.checked)


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
        await put(ctx, dut.cmd, {"op": TableOp.DELETE, "handle": handle, "generate": 0})
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
        ctx.set(dut.cmd.payload, {"op": TableOp.DELETE, "handle": handle, "generate": 0})
        ctx.set(dut.cmd.valid, 1)
        await ctx.tick()
        ctx.set(dut.cmd.valid, 0)
        if delay:
            await ctx.tick().repeat(delay)
        ctx.set(dut.started, 1)
        ctx.set(dut.lookup.payload, {"handle": handle, "length": 0})
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
            handles.append({"handle": handle_of(slot, 7), "length": 0})
            answers.append((0, 0, slot, tuple(taken[slot])))
        else:
            handles.append({"handle": handle_of(slot, 1), "length": 0})
            answers.append((1, 0, slot, tuple(taken[slot])))
            for op in range(2):
                taken[slot][op] += slot % 4 >> op & 1
    looks = bench(dut.lookup, dut.found, handles, answers)
    run(dut, commands, *rows, *looks)
    assert sorted(done) == ["bench", "bench", "commands", "setup"]
    assert stable == {slot: handle_of(slot, 1) for slot in range(6)}


def test_limits_from_add_to_delete():
    """Limits and counts are of one SA's life: the slot's next SA starts from nothing, and so does reset."""
    dut = SATable(COUNTING)
    reset = Signal()

    async def life(ctx, handle, expired):
        assert [await carry(ctx, dut, handle, 100) for _ in range(4)] == expired

    async def bench(ctx):
        await until_ready(ctx, dut)
        await limit(ctx, dut, 0, 3)
        _, handle = await add(ctx, dut, ivs=(7,), generate=1)
        await put(ctx, dut.errors, handle & 0xFFFF)
        await life(ctx, handle, [0, 0, 0, 1])
        # A refused look-up takes no IV.
        assert (await lookup(ctx, dut, handle))[3][0] == 10
        assert await command(ctx, dut, TableOp.UPDATE, handle) == SAResult.OK
        await limit(ctx, dut, 0, 4, update=1)
        await ctx.tick().repeat(20)
        assert (await lookup(ctx, dut, handle))[3][0] == 10
        assert await query(ctx, dut, handle) == (4, 300, 1)
        assert await delete(ctx, dut, handle) == SAResult.OK.value
        for _ in range(CONFIG.sa_slots):
            _, handle = await add(ctx, dut)
        assert handle == handle_of(0, 2)
        assert await query(ctx, dut, handle) == (0, 0, 0)
        await life(ctx, handle, [0, 0, 0, 0])
        assert await command(ctx, dut, TableOp.UPDATE, handle) == SAResult.OK
        await limit(ctx, dut, 1, 1, update=1)
        await strobe(ctx, reset)
        await until_ready(ctx, dut)
        _, handle = await add(ctx, dut)
        assert handle == handle_of(0, 1)
        assert await query(ctx, dut, handle) == (0, 0, 0)
        await life(ctx, handle, [0, 0, 0, 0])

    run(ResetInserter(reset)(dut), bench)


def test_bad_handles_of_update_and_query():
    """Neither touches anything for a stale, strange or draining handle, and writes go nowhere near the others."""
    dut = SATable(COUNTING)
    rows = {(op, n): random.Random(op * 8 + n).getrandbits(128) for op in range(2) for n in range(8)}

    async def bench(ctx):
        await until_ready(ctx, dut)
        _, handle = await add(ctx, dut, rows)
        _, other = await add(ctx, dut, rows)
        await carry(ctx, dut, other, 9)
        assert await query(ctx, dut, other) == (1, 9, 0)
        await strobe(ctx, dut.started)
        await put(ctx, dut.cmd, {"op": TableOp.DELETE, "handle": handle, "generate": 0})
        await strobe(ctx, dut.retired)
        assert (await get(ctx, dut.result)).code == SAResult.OK.value
        for bad in (handle, 0, handle_of(1, 2), handle_of(17, 1), handle_of(0x8001, 1)):
            for op in (TableOp.UPDATE, TableOp.QUERY):
                assert await command(ctx, dut, op, bad) == SAResult.BAD_HANDLE
        usage = ctx.get(dut.usage)
        assert (usage.packets, usage.bytes) == (1, 9)
        # What comes as of an update that was refused goes nowhere.
        for kind in RowKind:
            await put(ctx, dut.write, {"data": 1 | 1 << 64, "op": 0, "row": 0, "kind": kind, "update": 1})
        await ctx.tick().repeat(8)
        for slot, content in ((0, [0] * 16), (1, list(rows.values())), (2, [0] * 16)):
            assert await rows_of(ctx, dut, slot) == content
        assert not await carry(ctx, dut, other, 9)

    run(dut, bench)


def test_add_behind_an_update():
    """An update does not lend its slot to the rows of the next add, and can not replace rows or IV counters."""
    dut = SATable(COUNTING)
    rows = {(op, n): random.Random(op * 8 + n).getrandbits(128) for op in range(2) for n in range(8)}
    others = {place: value ^ 1 for place, value in rows.items()}

    async def bench(ctx):
        await until_ready(ctx, dut)
        _, handle = await add(ctx, dut, rows, ivs=(5,), generate=1)
        assert await command(ctx, dut, TableOp.UPDATE, handle) == SAResult.OK
        for kind in (RowKind.ROW, RowKind.IV):
            await put(ctx, dut.write, {"data": 99, "op": 0, "row": 0, "kind": kind, "update": 1})
        await limit(ctx, dut, 0, 1)
        _, other = await add(ctx, dut, others, ivs=(70,), generate=1)
        assert await rows_of(ctx, dut, 0) == list(rows.values())
        assert await rows_of(ctx, dut, 1) == list(others.values())
        assert [(await lookup(ctx, dut, handle))[3][0] for _ in range(3)] == [5, 6, 7]
        assert (await lookup(ctx, dut, other))[3][0] == 70
        assert await carry(ctx, dut, other, 1)

    run(dut, bench)


@pytest.mark.parametrize("config", [CONFIG, COUNTING])
def test_update_of_seq_high_beside_row_fetches(config):
    """Bits 31:0 of row 0 alone change, in one piece, while that very row is fetched without a gap."""
    dut = SATable(config)
    rows = {(op, n): random.Random(op * 8 + n).getrandbits(128) for op in range(2) for n in range(8)}
    done = []
    values = [random.Random(n).getrandbits(32) for n in range(40)]

    async def commands(ctx):
        await until_ready(ctx, dut)
        for _ in range(3):
            await add(ctx, dut, rows)
        done.append("ready")
        assert await command(ctx, dut, TableOp.UPDATE, handle_of(1, 1)) == SAResult.OK
        for n, value in enumerate(values):
            data = value | random.Random(n).getrandbits(96) << 32
            await put(ctx, dut.write, {"data": data, "op": n & 1, "row": 0, "kind": RowKind.SEQ_HIGH, "update": 1})
            await ctx.tick().repeat(n % 7 + 1)
        done.append("commands")

    async def fetches(ctx):
        while not done:
            await ctx.tick()
        n = 0
        while "commands" not in done:
            n += 1
            # Now and then another row, which is when the write finds its place.
            await put(ctx, dut.row_req, {"slot": 1, "op": n >> 1 & 1, "row": 0 if n % 5 else 3})
        done.append(n)

    async def answers(ctx):
        highs, expected = {0: {rows[0, 0] & 0xFFFFFFFF}, 1: {rows[1, 0] & 0xFFFFFFFF}}, {0: 0, 1: 0}
        for n, value in enumerate(values):
            highs[n & 1].add(value)
        n = 0
        while not isinstance(done[-1] if done else None, int) or n < done[-1]:
            n += 1
            got = await get(ctx, dut.row_rsp)
            op = n >> 1 & 1
            if n % 5 == 0:
                assert got == rows[op, 3]
            else:
                assert got >> 32 == rows[op, 0] >> 32
                assert got & 0xFFFFFFFF in highs[op]
                expected[op] = got & 0xFFFFFFFF
        assert expected == {0: values[-2], 1: values[-1]}
        for slot in (0, 2):
            assert await rows_of(ctx, dut, slot) == list(rows.values())
        assert (await rows_of(ctx, dut, 1))[1:8] == list(rows.values())[1:8]

    run(dut, commands, fetches, answers)


def test_floors_end_with_the_sa():
    """The lowest IV starts where the add says, rises, and is forgotten with the slot."""
    dut = SATable(CONFIG)

    async def bench(ctx):
        await until_ready(ctx, dut)
        _, handle = await add(ctx, dut, ivs=(100, 0))
        assert [await judge(ctx, dut, 0, 0, iv) for iv in (99, 100, 100, 2**64 - 1, 2**64 - 1, 0)] == [0, 1, 0, 1, 0, 0]
        # A look-up moves no floor, and returns none as used up.
        assert (await lookup(ctx, dut, handle))[:2] == (1, 0)
        assert [await judge(ctx, dut, 0, 1, iv) for iv in (0, 0, 1)] == [1, 0, 1]
        assert await delete(ctx, dut, handle) == SAResult.OK.value
        for _ in range(CONFIG.sa_slots):
            await add(ctx, dut)
        assert [await judge(ctx, dut, 0, op, 0) for op in range(2)] == [1, 1]

    run(dut, bench)


@pytest.mark.parametrize("seed", range(3))
def test_lifetimes_beside_commands(seed):
    """Look-ups, IV checks, errors, adds, deletes, updates and queries at once; each SA as the contract has it."""
    print(f"seed {seed}")
    dut = SATable(COUNTING)
    state = {"live": {}, "done": False}
    told = []

    async def events(ctx):
        while True:
            _, _, valid, handle, kinds = await ctx.tick().sample(dut.event_valid, dut.event.handle, dut.event.kinds)
            if valid:
                told.append((handle, kinds))

    async def commands(ctx):
        """SAs in slots of their own come and go; updates of SEQ_HIGH and queries hit those that carry traffic."""
        rng = random.Random(seed + 1)
        await until_ready(ctx, dut)
        for slot in range(4):
            await limit(ctx, dut, 5 + slot, 40, 1000, 0)
            _, state["live"][slot] = await add(ctx, dut, {(0, 0): slot << 100}, ivs=(10 * slot, 50), generate=1)
        state["live"]["all"] = True
        others = []
        while not state["done"]:
            if others and rng.random() < 0.5:
                assert await delete(ctx, dut, others.pop()) == SAResult.OK.value
            elif len(others) < 12:
                await limit(ctx, dut, 1, 1, 1, 1)
                code, handle = await add(ctx, dut, {(1, 7): 1}, ivs=(1, 2), generate=3)
                assert code == SAResult.OK.value
                others.append(handle)
            handle = state["live"][rng.randrange(4)]
            if rng.random() < 0.5:
                assert await command(ctx, dut, TableOp.UPDATE, handle) == SAResult.OK
                write = {"data": rng.getrandbits(32), "op": 0, "row": 0, "kind": RowKind.SEQ_HIGH, "update": 1}
                await put(ctx, dut.write, write)
                await ctx.tick().repeat(5)
            else:
                await query(ctx, dut, handle)

    counts = {slot: [0, 0, 0] for slot in range(4)}

    async def traffic(ctx):
        rng = random.Random(seed + 2)
        while "all" not in state["live"]:
            await ctx.tick()
        ivs = [10 * slot for slot in range(4)]
        for _ in range(250):
            slot, length = rng.randrange(4), rng.randrange(64, 300)
            await put(ctx, dut.lookup, {"handle": state["live"][slot], "length": length})
            found = await get(ctx, dut.found)
            assert (found.ok, found.expired, found.slot) == (1, counts[slot][0] >= 40, slot)
            if not found.expired:
                assert found.iv[0] == ivs[slot]
                ivs[slot] += 1
                counts[slot][0] += 1
                counts[slot][1] += length
        state["done"] = True

    async def judging(ctx):
        rng = random.Random(seed + 3)
        while "all" not in state["live"]:
            await ctx.tick()
        floors = [50] * 4
        for _ in range(150):
            slot = rng.randrange(4)
            iv = floors[slot] + rng.choice((-1, 0, 0, 3))
            good = await judge(ctx, dut, slot, 1, iv)
            assert good == (iv >= floors[slot])
            floors[slot] = iv + 1 if good else floors[slot]

    async def failing(ctx):
        rng = random.Random(seed + 4)
        while "all" not in state["live"]:
            await ctx.tick()
        for _ in range(80):
            slot = rng.randrange(4)
            await put(ctx, dut.errors, slot)
            counts[slot][2] += 1
            await ctx.tick().repeat(rng.randrange(1, 12))

    async def end(ctx):
        while not state["done"]:
            await ctx.tick()
        await ctx.tick().repeat(1000)
        for slot in range(4):
            assert list(await query(ctx, dut, state["live"][slot])) == counts[slot]

    run(dut, commands, traffic, judging, failing, end, background=[events])
    for slot, handle in state["live"].items():
        if slot != "all":
            kinds = [k for h, k in told if h == handle]
            # Soft packets, soft bytes and hard packets, each once.
            assert sum(kinds) == 1 | 2 | (4 if counts[slot][0] == 40 else 0)
    assert all(handle in state["live"].values() for handle, _ in told)
