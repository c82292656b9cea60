# SPDX-License-Identifier: Apache-2.0
"""From many clients in turns, and back to them."""

import random

import pytest
from amaranth import Module
from amaranth.lib import data
from nicsec.crypto.aes_rounds import Merge
from nicsec.crypto.fan import Arbiter, FanIn, FanOut
from streams import collect, run, send


@pytest.mark.parametrize("clients", [1, 2, 5, 16, 34])
def test_groups_hold_every_client_once(clients):
    groups = Arbiter.groups(clients)
    assert [n for group in groups for n in group] == list(range(clients))
    assert max(map(len, groups)) <= 6
    assert len(groups) <= 6


@pytest.mark.parametrize("clients", [3, 16, 34])
def test_all_ask_and_all_are_served(clients):
    """With every request up, there is a grant every cycle, and in a round of all each client gets its share."""
    dut = Arbiter(clients)
    grants = []

    async def bench(ctx):
        ctx.set(dut.enable, 1)
        ctx.set(dut.request, -1)
        await ctx.tick().repeat(4)
        for _ in range(4 * clients):
            grants.append(ctx.get(dut.grant))
            assert grants[-1].bit_count() == ctx.get(dut.valid) == 1
            assert grants[-1] == 1 << ctx.get(dut.tag)
            await ctx.tick()

    run(dut, bench)
    shares = [grants.count(1 << n) for n in range(clients)]
    assert min(shares) >= 3
    assert max(shares) <= 6


def test_requests_are_granted_once_each():
    """Random requests, each up until its grant: as many grants as requests, none without enable, none waits long."""
    seed = 4
    print(f"seed {seed}")
    rng = random.Random(seed)
    clients = 13
    dut = Arbiter(clients)
    waits = []

    async def bench(ctx):
        since = {}
        enabled = 0
        for cycle in range(2000):
            for n in range(clients):
                if n not in since and rng.random() < 0.08:
                    since[n] = cycle
            ctx.set(dut.request, sum(1 << n for n in since))
            grant = ctx.get(dut.grant)
            assert grant == 0 or enabled
            assert grant == (ctx.get(dut.valid) << ctx.get(dut.tag))
            enabled = rng.random() < 0.9
            ctx.set(dut.enable, enabled)
            await ctx.tick()
            if grant:
                waits.append(cycle - since.pop(grant.bit_length() - 1))

    run(dut, bench)
    assert len(waits) > 1000
    assert max(waits) <= 3 * clients


@pytest.mark.parametrize("clients", [2, 9])
def test_payloads_come_through_in_order(clients):
    """From the clients through FanIn and FanOut and back, gaps and back-pressure, with as many inside as fit."""
    seed = 20 + clients
    print(f"seed {seed}")
    depth = 4
    fan_in, fan_out = FanIn(clients, 16), FanOut(clients, 16, depth)
    done = []

    m = Module()
    m.submodules.fan_in = fan_in
    m.submodules.fan_out = fan_out
    inside = [0] * clients
    m.d.comb += [fan_in.enable.eq(1), fan_out.i.eq(fan_in.o)]
    m.d.sync += [fan_out.valid.eq(fan_in.valid), fan_out.tag.eq(fan_in.tag)]

    async def credits(ctx):
        left = [o.valid & o.ready for o in fan_out.o]
        async for _, _, grant, *taken in ctx.tick().sample(fan_in.grant, *left):
            for n in range(clients):
                inside[n] += (grant >> n & 1) - taken[n]
            ctx.set(fan_in.open, sum(1 << n for n in range(clients) if inside[n] < depth - 2))

    def client(n):
        rng = random.Random(seed * 50 + n)
        payloads = [rng.randrange(1 << 16) for _ in range(40)]

        async def feed(ctx):
            await send(ctx, fan_in.i[n], payloads, rng)

        async def drain(ctx):
            assert await collect(ctx, fan_out.o[n], len(payloads), rng) == payloads
            done.append(n)

        return feed, drain

    run(m, *(testbench for n in range(clients) for testbench in client(n)), background=[credits])
    assert len(done) == clients


@pytest.mark.parametrize("delays", [(0, 8), (0, 4, 8), (0, 6, 12)])
def test_merge_loses_nothing(delays):
    """One result a cycle at most goes to a source of fixed delay: all come out, in order, a result every cycle that
    any is there, none later than the delays differ."""
    seed = 30 + len(delays)
    print(f"seed {seed}")
    rng = random.Random(seed)
    shape = data.StructLayout({"way": 2, "number": 16})
    dut = Merge(len(delays), shape, 16)
    sent, found, idle = [[] for _ in delays], [[] for _ in delays], []
    due = {}

    async def bench(ctx):
        backlog = 0
        arrived = [None] * len(delays)
        for cycle in range(1500):
            # Long runs of one source, then of another, are the worst case; and random ones.
            if cycle < 1400 and (cycle % 200 < 100 or rng.random() < 0.8):
                way = (cycle // 9) % len(delays) if cycle % 400 < 200 else rng.randrange(len(delays))
                due[cycle + delays[way], way] = cycle
            for n in range(len(delays)):
                if arrived[n] is not None:
                    ctx.set(dut.i[n], {"way": n, "number": arrived[n]})
                    sent[n].append(arrived[n])
                arrived[n] = due.pop((cycle, n), None)
                ctx.set(dut.coming[n], arrived[n] is not None)
            if ctx.get(dut.valid):
                result = ctx.get(dut.o)
                found[result.way].append(result.number)
                backlog -= 1
            elif backlog:
                idle.append(cycle)
            assert 0 <= backlog <= max(delays) + 2
            backlog += sum(number is not None for number in before)
            before[:] = arrived
            await ctx.tick()

    before = [None] * len(delays)
    run(dut, bench)
    assert found == sent
    assert sum(map(len, found)) > 1000
    assert not idle
