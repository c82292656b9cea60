# SPDX-License-Identifier: Apache-2.0
"""The shared GHASH against published GCM vectors and a bit-serial reference: many clients, full rate, wipe."""

import random
from itertools import pairwise

import pytest
from amaranth import ResetInserter, Signal
from nicsec.crypto.ghash_pipe import GhashPipe
from streams import collect, get, put, run, send
from test_ghash import gcm_blocks, gcm_vectors, ghash

_H = 0xB83B533708BF535D0AA6E52980D53B78
_C = bytes.fromhex(
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
)


def payloads(blocks):
    return [{"block": block, "last": at == len(blocks) - 1} for at, block in enumerate(blocks)]


def run_clients(dut, batches, rng=None):
    """Results by client of ``batches``: by client a list of subkeys (``None``: keep) and lists of blocks."""
    results = [None] * len(batches)

    def feed(port, mine):
        async def bench(ctx):
            for h, blocks in mine:
                if h is not None:
                    await put(ctx, port.h, h)
                await send(ctx, port.i, payloads(blocks), rng, 0.1)

        return bench

    def drain(n, port, count):
        async def bench(ctx):
            results[n] = await collect(ctx, port.o, count, rng)

        return bench

    benches = [feed(port, mine) for port, mine in zip(dut.client, batches, strict=True)]
    benches += [drain(n, dut.client[n], len(mine)) for n, mine in enumerate(batches)]
    run(dut, *benches)
    return results


@pytest.mark.parametrize(
    ("h", "aad", "ciphertext", "expected"),
    [
        (0x66E94BD4EF8A2C3B884CFA59CA342B2E, "", bytes(0), 0),
        (
            0x66E94BD4EF8A2C3B884CFA59CA342B2E,
            "",
            bytes.fromhex("0388dace60b6a392f328c2b971b2fe78"),
            0xF38CBB1AD69223DCC3457AE5B6B0F885,
        ),
        (_H, "", _C, 0x7F1B32B81B820D02614F8895AC1D4EAC),
        (_H, "feedfacedeadbeeffeedfacedeadbeefabaddad2", _C[:60], 0x698E57F70E6ECC7FD9463B7260A9AE5F),
    ],
    ids=["case1", "case2", "case3", "case4"],
)
def test_mcgrew_viega(h, aad, ciphertext, expected):
    assert run_clients(GhashPipe(1), [[(h, gcm_blocks(bytes.fromhex(aad), ciphertext))]]) == [[expected]]


def test_nist_gcm():
    cases = [case for size in (128, 192, 256) for case in gcm_vectors(size)[::7]]
    assert len(cases) == 162
    batches = [[(h, blocks) for h, blocks, _ in cases[n::5]] for n in range(5)]
    assert run_clients(GhashPipe(5), batches) == [[expected for *_, expected in cases[n::5]] for n in range(5)]


def random_batches(rng, clients, messages, lengths):
    """For each client messages of random blocks, some under a new subkey, and what they hash to."""
    batches, expected = [], []
    for _ in range(clients):
        mine, results, h = [], [], None
        for _ in range(messages):
            new = rng.getrandbits(128) if h is None or rng.random() < 0.5 else None
            h = h if new is None else new
            blocks = [rng.getrandbits(128) for _ in range(rng.choice(lengths))]
            mine.append((new, blocks))
            results.append(ghash(h, blocks))
        batches.append(mine)
        expected.append(results)
    return batches, expected


@pytest.mark.parametrize(
    ("clients", "slow"), [(1, False), (1, True), (2, True), (7, False), (7, True), (16, True), (34, False)]
)
def test_random(clients, slow):
    seed = 100 + clients
    print(f"seed {seed}")
    rng = random.Random(seed)
    batches, expected = random_batches(rng, clients, 2 if clients > 8 else 6, [1, 1, 2, 3, 5, 9])
    assert run_clients(GhashPipe(clients), batches, rng if slow else None) == expected


def test_lengths():
    seed = 7
    print(f"seed {seed}")
    rng = random.Random(seed)
    batches, expected = [[] for _ in range(8)], [[] for _ in range(8)]
    for length in [*range(1, 26), 63, 64, 65, 94, 99, 100]:
        h, blocks = rng.getrandbits(128), [rng.getrandbits(128) for _ in range(length)]
        batches[length % 8].append((h, blocks))
        expected[length % 8].append(ghash(h, blocks))
    assert run_clients(GhashPipe(8), batches) == expected


async def hold(ctx, port, payload):
    """Offer ``payload`` for ever, with no pause between blocks."""
    ctx.set(port.i.payload, payload)
    ctx.set(port.i.valid, 1)


def issued(clients, active, cycles=120):
    """Blocks that entered in each cycle while ``active`` of the clients never pause, behind a settling time."""
    dut = GhashPipe(clients)
    trace = []

    async def bench(ctx):
        for n, port in enumerate(dut.client[:active]):
            await put(ctx, port.h, n + 1)
        for port in dut.client[:active]:
            await hold(ctx, port, {"block": 1, "last": 0})
        await ctx.tick().repeat(20)
        async for _, _, entered in ctx.tick().sample(dut.issued):
            trace.append(entered)
            if len(trace) == cycles:
                break

    run(dut, bench)
    return sum(trace) / cycles


@pytest.mark.parametrize(
    ("clients", "active", "least"), [(1, 1, 1 / 6), (16, 1, 1 / 6), (16, 5, 5 / 6), (16, 6, 1), (16, 16, 1)]
)
def test_rate(clients, active, least):
    assert issued(clients, active) >= 0.99 * least


def test_turns_are_equal():
    """Nobody is more than a turn behind another."""
    clients = 9
    dut = GhashPipe(clients)
    counts = [0] * clients

    async def bench(ctx):
        for port in dut.client:
            await put(ctx, port.h, 3)
        for port in dut.client:
            await hold(ctx, port, {"block": 5, "last": 0})
        async for _, _, *taken in ctx.tick().sample(*(port.i.ready for port in dut.client)):
            for n, one in enumerate(taken):
                counts[n] += one
            if sum(counts) >= 300:
                break

    run(dut, bench)
    assert max(counts) - min(counts) <= 1


def cycles(h, blocks, rest=0):
    """Cycles at which the blocks of one message were accepted and its result offered, three clients being busy."""
    dut = GhashPipe(4)
    accepted, offered = [], []

    async def feed(ctx):
        for n, port in enumerate(dut.client[:3]):
            await put(ctx, port.h, rest + n)
            await hold(ctx, port, {"block": rest, "last": 0})
        await put(ctx, dut.client[3].h, h)
        await send(ctx, dut.client[3].i, payloads(blocks))

    async def watch(ctx):
        port = dut.client[3]
        ctx.set(port.o.ready, 1)
        async for _, _, taken, valid in ctx.tick().sample(port.i.valid & port.i.ready, port.o.valid):
            accepted.append(taken)
            offered.append(valid)
            if valid:
                break

    run(dut, feed, watch)
    return [n for n, on in enumerate(accepted) if on], offered.index(1)


def test_cycles():
    rng = random.Random(1)
    ones = (1 << 128) - 1
    drawn = [rng.getrandbits(128) for _ in range(5)]
    cases = [(0, [0] * 5, 0), (ones, [ones] * 5, ones), (drawn[0], drawn, 9)]
    runs = {str(cycles(h, blocks, rest)) for h, blocks, rest in cases}
    assert len(runs) == 1, "cycles depend on data"
    accepted, offered = cycles(1, [1] * 3)
    assert offered - accepted[-1] == 8
    assert {later - earlier for earlier, later in pairwise(accepted)} == {6}


def test_latency_alone():
    dut = GhashPipe(16)

    async def bench(ctx):
        port = dut.client[7]
        await put(ctx, port.h, _H)
        await ctx.tick().repeat(10)
        ctx.set(port.i.payload, {"block": 1 << 127, "last": 1})
        ctx.set(port.i.valid, 1)
        waited = 0
        while not ctx.get(port.i.ready):
            await ctx.tick()
            waited += 1
        assert waited == 2
        await ctx.tick()
        ctx.set(port.i.valid, 0)
        waited = 1
        while not ctx.get(port.o.valid):
            await ctx.tick()
            waited += 1
        assert waited == 8
        assert await get(ctx, port.o) == _H

    run(dut, bench)


def test_an_answer_waits_and_holds_up_its_client_alone():
    dut = GhashPipe(2)
    rng = random.Random(3)
    keys = [rng.getrandbits(128) for _ in range(2)]
    blocks = [rng.getrandbits(128) for _ in range(4)]

    async def bench(ctx):
        for port, key in zip(dut.client, keys, strict=True):
            await put(ctx, port.h, key)
        first, second = dut.client
        await put(ctx, first.i, {"block": blocks[0], "last": 1})
        await hold(ctx, first, {"block": blocks[1], "last": 1})
        for block in blocks:
            await put(ctx, second.i, {"block": block, "last": 1})
            assert await get(ctx, second.o) == ghash(keys[1], [block])
            assert not ctx.get(first.i.ready)
            assert ctx.get(first.o.valid)
            assert ctx.get(first.o.payload) == ghash(keys[0], blocks[:1])
        assert await get(ctx, first.o) == ghash(keys[0], blocks[:1])
        await ctx.tick().until(first.i.ready)
        ctx.set(first.i.valid, 0)
        assert await get(ctx, first.o) == ghash(keys[0], blocks[1:2])

    run(dut, bench)


def test_subkey_waits_for_the_message_and_goes_ahead_of_the_next():
    dut = GhashPipe(3)
    port = dut.client[1]
    rng = random.Random(5)
    first, second = rng.getrandbits(128), rng.getrandbits(128)
    blocks = [rng.getrandbits(128) for _ in range(3)]
    results = []

    async def subkeys(ctx):
        await put(ctx, port.h, first)
        await ctx.tick().until(port.i.valid & port.i.ready)
        await put(ctx, port.h, second)

    async def feed(ctx):
        for _ in range(2):
            await send(ctx, port.i, payloads(blocks))

    async def drain(ctx):
        results.extend(await collect(ctx, port.o, 2))

    run(dut, subkeys, feed, drain)
    assert results == [ghash(first, blocks), ghash(second, blocks)]


def test_wipe_ends_the_subkey_of_one_client():
    dut = GhashPipe(3)
    port, other = dut.client[0], dut.client[2]

    async def bench(ctx):
        await put(ctx, port.h, _H)
        await put(ctx, other.h, 5)
        await put(ctx, other.i, {"block": 9, "last": 0})
        await put(ctx, port.i, {"block": 1, "last": 0})
        ctx.set(port.wipe, 1)
        await ctx.tick()
        ctx.set(port.wipe, 0)
        await put(ctx, port.i, {"block": 2, "last": 1})
        assert await get(ctx, port.o) == ghash(_H, [1, 2])
        ctx.set(port.i.valid, 1)
        for _ in range(50):
            await ctx.tick()
            assert not ctx.get(port.i.ready)
        ctx.set(port.i.valid, 0)
        await put(ctx, other.i, {"block": 8, "last": 1})
        assert await get(ctx, other.o) == ghash(5, [9, 8])
        await put(ctx, port.h, 2)
        await put(ctx, port.i, {"block": 3, "last": 1})
        assert await get(ctx, port.o) == ghash(2, [3])

    run(dut, bench)


def test_reset_forgets_subkeys_and_sums():
    dut, rst = GhashPipe(3), Signal()
    ports = dut.client

    async def bench(ctx):
        for port in ports:
            await put(ctx, port.h, _H)
            await put(ctx, port.i, {"block": 7, "last": 0})
        await ctx.tick().repeat(12)
        ctx.set(rst, 1)
        await ctx.tick()
        ctx.set(rst, 0)
        ctx.set(ports[0].i.valid, 1)
        for _ in range(20):
            await ctx.tick()
            assert not ctx.get(ports[0].i.ready)
        ctx.set(ports[0].i.valid, 0)
        for n, port in enumerate(ports):
            await put(ctx, port.h, n + 2)
            await put(ctx, port.i, {"block": 3, "last": 1})
            assert await get(ctx, port.o) == ghash(n + 2, [3])

    run(ResetInserter(rst)(dut), bench)


@pytest.mark.parametrize("clients", [0, -1, 2.0, "3"])
def test_clients_is_checked(clients):
    with pytest.raises(ValueError, match=rf"^clients must be an integer of 1 or more, not {clients!r}$"):
        GhashPipe(clients)
