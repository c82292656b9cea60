# SPDX-License-Identifier: Apache-2.0
"""Streams of many clients made one, and answers given back."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Module
from nicsec.config import Config
from nicsec.merge import Merge
from nicsec.pool.hubs import FetchHub
from nicsec.pool.ring import FrameRing
from streams import collect, put, run, send
from test_width import transfers

CONFIG = Config(lanes=2, units="shared", sa_slots=16, max_frame=254)


@pytest.mark.parametrize("clients", [1, 2, 4, 5, 12, 16, 20])
@pytest.mark.parametrize("full", [False, True])
def test_merge(clients, full):
    dut = Merge(16, clients, full=full)
    rng = random.Random(clients)
    print(f"seed {clients}")
    count = 30

    def source(client):
        async def bench(ctx):
            own = random.Random(client)
            await send(ctx, dut.i[client], [client << 8 | n for n in range(count)], own, 0.6)
        return bench

    async def sink(ctx):
        got = await collect(ctx, dut.o, clients * count, rng, 0.1)
        for client in range(clients):
            assert [payload & 0xFF for payload in got if payload >> 8 == client] == list(range(count))

    run(dut, *map(source, range(clients)), sink)


@pytest.mark.parametrize("clients", [2, 4, 5, 16, 20])
@pytest.mark.parametrize("full", [False, True])
def test_merge_at_full_rate(clients, full):
    """All ask at all times: the rate is kept, and each has its share."""
    dut = Merge(16, clients, full=full)
    served = dict.fromkeys(range(clients), 0)
    cycles = []

    def source(client):
        async def bench(ctx):
            while True:
                await put(ctx, dut.i[client], client)
                served[client] += 1
        return bench

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        cycles.extend(await transfers(ctx, dut.o, 400))

    run(dut, sink, background=[source(client) for client in range(clients)])
    print(served, cycles[-1])
    assert cycles[-1] - cycles[0] + 1 <= (400 if full else 800)
    assert min(served.values()) >= 0.7 * 400 / clients


@pytest.mark.parametrize("clients", [1, 3, 16, 18])
def test_fetch_hub(clients):
    """Through a ring whose banks are busy now and then, as many as each client cares to have on their way."""
    config = CONFIG
    m = Module()
    m.submodules.hub = hub = FetchHub(config, clients)
    m.submodules.ring = ring = FrameRing(config, banks=4)
    m.d.comb += [
        ring.fetch.valid.eq(hub.fetch.valid), ring.fetch.payload.eq(hub.fetch.payload),
        hub.fetch.ready.eq(ring.fetch.ready), hub.fetch_valid.eq(ring.fetch_valid),
        hub.fetch_data.eq(ring.fetch_data),
    ]
    rng = random.Random(clients)
    print(f"seed {clients}")
    lines = [rng.getrandbits(128) for _ in range(config.ring_lines)]
    asked = {client: [] for client in range(clients)}
    answers = dict.fromkeys(asked, 0)
    count = 40
    filled = []

    async def fill(ctx):
        for line, value in enumerate(lines):
            await put(ctx, ring.load[line & 1], {"line": line, "data": value})
        filled.append(True)

    def client(number):
        async def bench(ctx):
            own = random.Random(number)
            while not filled:
                await ctx.tick()
            for _ in range(count):
                line = own.randrange(len(lines))
                asked[number].append(line)
                await put(ctx, hub.req[number], line)
                if own.random() < 0.5:
                    await ctx.tick().repeat(own.randrange(1, 20))
        return bench

    async def watch(ctx):
        while sum(answers.values()) < clients * count:
            await ctx.tick()
            valid = ctx.get(hub.rsp_valid)
            assert valid & (valid - 1) == 0
            if valid:
                number = valid.bit_length() - 1
                assert ctx.get(hub.rsp_data) == lines[asked[number][answers[number]]]
                answers[number] += 1

    async def others(ctx):
        while True:
            ctx.set(ring.read, {"en": rng.random() < 0.7, "place": rng.randrange(4 * config.ring_lines)})
            await ctx.tick()

    run(m, fill, watch, *map(client, range(clients)), background=[others])


@pytest.mark.parametrize("busy", [4, 16])
def test_fetch_hub_rate(busy):
    """Sixteen clients that ask at all times have a line fetched in every cycle; so have the first four alone."""
    dut = FetchHub(CONFIG, 16)
    cycles = []

    def client(number):
        async def bench(ctx):
            while True:
                await put(ctx, dut.req[number], number)
        return bench

    async def sink(ctx):
        ctx.set(dut.fetch.ready, 1)
        cycles.extend(await transfers(ctx, dut.fetch, 200))

    run(dut, sink, background=[client(number) for number in range(busy)])
    assert cycles[-1] - cycles[0] == 199
