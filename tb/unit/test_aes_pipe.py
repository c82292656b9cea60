# SPDX-License-Identifier: Apache-2.0
"""The shared AES against FIPS 197 and ``cryptography``; its cycles and its fairness against its docstring."""

import random

import pytest
from nicsec.crypto.aes_pipe import AesPipe
from nicsec.crypto.aes_schedule import KeyLoop
from nicsec.crypto.sbox import SBOX, gf256_mul
from streams import collect, get, put, run, send
from test_aes import beats, encrypt, split

_SIZES = {128: 16, 192: 24, 256: 32}
_ROUNDS = {16: 10, 24: 12, 32: 14}
_BUILDS = pytest.mark.parametrize(("sbox", "registers"), [("bram", 2), ("bram", 3), ("logic", 2)])


async def strobe(ctx, wipe):
    ctx.set(wipe, 1)
    await ctx.tick()
    ctx.set(wipe, 0)


def observe(dut, log, *values):
    """A background testbench that appends ``values`` of each cycle to ``log``."""

    async def watch(ctx):
        async for _, _, *sample in ctx.tick().sample(*values):
            log.append(sample)

    return watch


@_BUILDS
def test_fips197_appendix_c(sbox, registers):
    """A client for each key size, all at once; and the cycles from offer to answer are those of the docstring."""
    text = int.from_bytes(bytes.fromhex("00112233445566778899aabbccddeeff"), "big")
    expected = {
        16: 0x69C4E0D86A7B0430D8CDB78070B4C55A,
        24: 0xDDA97CA4864CDFE06EAF70A0EC0D7191,
        32: 0x8EA2B7CA516745BFEAFC49904B496089,
    }
    dut = AesPipe(3, sbox=sbox, registers=registers)
    found, cycles = {}, {}

    async def bench(ctx):
        for n, size in enumerate(expected):
            for beat in beats(bytes(range(size))):
                await put(ctx, dut.key[n], beat)
        await ctx.tick().repeat(20)
        for n, size in enumerate(expected):
            ctx.set(dut.i[n].payload, text)
            ctx.set(dut.i[n].valid, 1)
            count = taken = 0
            while not ctx.get(dut.o[n].valid):
                accepted = ctx.get(dut.i[n].ready)
                await ctx.tick()
                count += 1
                if accepted:
                    taken = count - 1
                    ctx.set(dut.i[n].valid, 0)
            found[size], cycles[size] = await get(ctx, dut.o[n]), (taken, count)

    run(dut, bench)
    assert found == expected
    assert cycles == {size: (2, dut.latency(8 * size)) for size in expected}
    assert [dut.latency(8 * size) for size in expected] == {2: [26, 30, 34], 3: [35, 41, 47]}[registers]


@pytest.mark.parametrize(
    ("clients", "sizes", "registers"), [(7, (128, 192, 256), 2), (5, (128, 256), 3), (1, (192,), 2)]
)
def test_clients_with_keys_of_their_own(clients, sizes, registers):
    """Every client changes keys and sizes while the others run, now and then with a wipe; gaps and back-pressure."""
    seed = 60 + clients
    print(f"seed {seed}")
    dut = AesPipe(clients, sizes=sizes, registers=registers, depth=4)
    answered = []

    def client(n):
        rng = random.Random(seed * 100 + n)
        batches = []
        for _ in range(5):
            key = rng.randbytes(_SIZES[rng.choice(sizes)])
            batches.append((key, rng.randbytes(16 * rng.randrange(1, 12)), rng.random() < 0.3))
        gaps = rng if n % 2 else None
        ended = []

        async def feed(ctx):
            for at, (key, text, wipe) in enumerate(batches):
                # Without a wipe the next key is offered while blocks are inside, and waits.
                if wipe:
                    while len(ended) < at:
                        await ctx.tick()
                    await strobe(ctx, dut.wipe[n])
                await send(ctx, dut.key[n], beats(key), gaps)
                await send(ctx, dut.i[n], split(text), gaps)

        async def drain(ctx):
            for key, text, _ in batches:
                blocks = await collect(ctx, dut.o[n], len(text) // 16, gaps)
                assert blocks == split(encrypt(key, text)), f"client {n}, batch {len(ended)}"
                ended.append(n)
            answered.append(n)

        return feed, drain

    run(dut, *(testbench for n in range(clients) for testbench in client(n)), limit=6000)
    assert sorted(answered) == list(range(clients))


@pytest.mark.parametrize(("clients", "sizes"), [(16, (128,)), (33, (256,)), (17, (128, 192, 256))])
def test_full_rate(clients, sizes):
    """With so many clients that always ask a block goes in every cycle, until the first one has no more."""
    count = 12
    print(f"seed {sum(sizes)}")
    rng = random.Random(sum(sizes))
    dut = AesPipe(clients, sizes=sizes)
    keys = [rng.randbytes(_SIZES[sizes[n % len(sizes)]]) for n in range(clients)]
    texts = [rng.randbytes(16 * count) for _ in keys]
    log, ready, answered, ends = [], [], [], []

    def client(n):
        async def feed(ctx):
            for beat in beats(keys[n]):
                await put(ctx, dut.key[n], beat)
            ready.append(n)
            while len(ready) < clients:
                await ctx.tick()
            await ctx.tick().repeat(8 * clients + 20)
            for block in split(texts[n]):
                await put(ctx, dut.i[n], block)
            ends.append(len(log))

        async def drain(ctx):
            ctx.set(dut.o[n].ready, 1)
            blocks = []
            while len(blocks) < count:
                (block,) = await ctx.tick().sample(dut.o[n].payload).until(dut.o[n].valid)
                blocks.append(block)
            assert blocks == split(encrypt(keys[n], texts[n])), f"client {n}"
            answered.append(n)

        return feed, drain

    testbenches = [testbench for n in range(clients) for testbench in client(n)]
    run(dut, *testbenches, background=[observe(dut, log, dut.issued)], limit=1500)
    assert len(answered) == clients
    issued = [bit for (bit,) in log]
    first, last = issued.index(1), min(ends)
    assert sum(issued) == clients * count
    assert last - first > (count - 2) * clients, "one client gets more than others"
    assert sum(issued[first:last]) / (last - first) >= 0.98


def test_keys_come_every_eight_cycles():
    """Clients that change AES-256 keys for each block are served at the rate of the schedule, in any order."""
    clients = 16
    dut = AesPipe(clients, sizes=(256,))
    rng = random.Random(5)
    log, answered = [], []

    def client(n):
        async def feed(ctx):
            for _ in range(4):
                key, text = rng.randbytes(32), rng.randbytes(16)
                for beat in beats(key):
                    await put(ctx, dut.key[n], beat)
                await put(ctx, dut.i[n], int.from_bytes(text, "big"))
                assert await get(ctx, dut.o[n]) == int.from_bytes(encrypt(key, text), "big")
            answered.append(n)

        return feed

    run(dut, *(client(n) for n in range(clients)), background=[observe(dut, log, dut.issued)], limit=1500)
    assert len(answered) == clients
    at = [cycle for cycle, (bit,) in enumerate(log) if bit]
    assert len(at) == 4 * clients
    assert (at[-1] - at[0]) / (len(at) - 1) <= 8.5


def test_cycles_do_not_depend_on_data():
    """Four clients with keys and blocks of zeros, ones, or anything: every handshake is in the same cycle."""
    traces = []
    for seed in (None, 0xFF, 8):
        rng = random.Random(seed)

        def octets(count, seed=seed, rng=rng):
            return rng.randbytes(count) if seed == 8 else bytes([seed or 0]) * count

        dut = AesPipe(4)
        log = []

        def client(n, size, dut=dut, octets=octets):
            async def feed(ctx):
                await send(ctx, dut.key[n], beats(octets(size)), random.Random(n))
                await send(ctx, dut.i[n], split(octets(16 * 6)), random.Random(n))

            async def drain(ctx):
                await collect(ctx, dut.o[n], 6, random.Random(n))

            return feed, drain

        streams = [each for n in range(4) for each in (dut.key[n], dut.i[n], dut.o[n])]
        handshakes = [bit for each in streams for bit in (each.valid, each.ready)]
        testbenches = [testbench for n in range(4) for testbench in client(n, 16 + 8 * (n % 3))]
        run(dut, *testbenches, background=[observe(dut, log, *handshakes)])
        traces.append(log)
    assert traces[0] == traces[1] == traces[2]


def test_wipe_ends_the_key_and_only_that():
    """A wipe at any point of a key's way in, and behind blocks that are inside, ends that key and no other."""
    dut = AesPipe(2, sizes=(128, 256))
    old, new, other = bytes(range(32)), bytes(range(16)), bytes(range(100, 132))

    async def refused(ctx, cycles):
        ctx.set(dut.i[0].payload, 7)
        ctx.set(dut.i[0].valid, 1)
        for _ in range(cycles):
            await ctx.tick()
            assert not ctx.get(dut.i[0].ready)
        ctx.set(dut.i[0].valid, 0)

    async def encrypted(ctx, n, key, block):
        await put(ctx, dut.i[n], block)
        assert (await get(ctx, dut.o[n])).to_bytes(16, "big") == encrypt(key, block.to_bytes(16, "big"))

    async def bench(ctx):
        await refused(ctx, 40)
        for beat in beats(other):
            await put(ctx, dut.key[1], beat)
        # Blocks inside are encrypted to their end.
        for beat in beats(old):
            await put(ctx, dut.key[0], beat)
        await put(ctx, dut.i[0], 5)
        await strobe(ctx, dut.wipe[0])
        await refused(ctx, 60)
        assert (await get(ctx, dut.o[0])).to_bytes(16, "big") == encrypt(old, (5).to_bytes(16, "big"))
        await refused(ctx, 60)
        await encrypted(ctx, 1, other, 9)
        # Between the beats, and one to twelve cycles behind the second.
        for delay in range(-1, 13):
            first, second = beats(old)
            await put(ctx, dut.key[0], first)
            if delay < 0:
                await strobe(ctx, dut.wipe[0])
            await put(ctx, dut.key[0], second)
            if delay >= 0:
                for _ in range(delay):
                    await ctx.tick()
                await strobe(ctx, dut.wipe[0])
            await refused(ctx, 40)
        # A key that comes right behind the wipe holds.
        for delay in range(6):
            await strobe(ctx, dut.wipe[0])
            for _ in range(delay):
                await ctx.tick()
            for beat in beats(new):
                await put(ctx, dut.key[0], beat)
            await encrypted(ctx, 0, new, 6 + delay)
        await encrypted(ctx, 1, other, 10)

    run(dut, bench, limit=4000)


def test_a_client_that_takes_nothing_holds_up_nobody():
    """As many blocks go in as there is room for answers; no key is accepted meanwhile; the other client goes on."""
    depth, count = 4, 10
    dut = AesPipe(2, sizes=(128, 256), depth=depth)
    keys = [bytes(range(16)), bytes(range(32))]
    accepted, fast = [], []

    async def feed(ctx):
        for beat in beats(keys[0]):
            await put(ctx, dut.key[0], beat)
        for block in range(count):
            await put(ctx, dut.i[0], block)
            accepted.append(block)
        # The last ones are still inside.
        for beat in beats(keys[1]):
            await put(ctx, dut.key[0], beat)
            assert not inside
        await put(ctx, dut.i[0], 99)

    inside = list(range(count))

    async def drain(ctx):
        while len(fast) < 30:
            await ctx.tick()
        assert len(accepted) == depth
        blocks = []
        for _ in range(count):
            await ctx.tick().repeat(20)
            blocks.append(await get(ctx, dut.o[0]))
            inside.pop()
        assert blocks == split(encrypt(keys[0], b"".join(block.to_bytes(16, "big") for block in range(count))))
        assert (await get(ctx, dut.o[0])).to_bytes(16, "big") == encrypt(keys[1], (99).to_bytes(16, "big"))

    async def other(ctx):
        for beat in beats(keys[1]):
            await put(ctx, dut.key[1], beat)
        for block in range(30):
            await put(ctx, dut.i[1], block)
            fast.append(await get(ctx, dut.o[1]))
        assert fast == split(encrypt(keys[1], b"".join(block.to_bytes(16, "big") for block in range(30))))

    run(dut, feed, drain, other, limit=4000)


def test_blocks_offered_with_a_key_are_under_it():
    dut = AesPipe(1, sizes=(128,))
    keys = [bytes(range(16)), bytes(range(50, 66))]

    async def bench(ctx):
        for beat in beats(keys[0]):
            await put(ctx, dut.key[0], beat)
        await ctx.tick().repeat(30)
        first, second = beats(keys[1])
        ctx.set(dut.i[0].payload, 1)
        ctx.set(dut.i[0].valid, 1)
        await put(ctx, dut.key[0], first)
        await put(ctx, dut.key[0], second)
        await put(ctx, dut.i[0], 1)
        assert (await get(ctx, dut.o[0])).to_bytes(16, "big") == encrypt(keys[1], (1).to_bytes(16, "big"))

    run(dut, bench, limit=1000)


def expand(key):
    """Words of the key schedule of ``key``, as FIPS 197 section 5.2 writes it."""
    count, rounds = len(key) // 4, _ROUNDS[len(key)]
    words = [list(key[at : at + 4]) for at in range(0, len(key), 4)]
    rcon = 1
    for n in range(count, 4 * (rounds + 1)):
        word = list(words[-1])
        if n % count == 0:
            word = [SBOX[octet] for octet in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = gf256_mul(rcon, 2)
        elif count == 8 and n % count == 4:
            word = [SBOX[octet] for octet in word]
        words.append([a ^ b for a, b in zip(words[n - count], word, strict=True)])
    octets = bytes(octet for word in words for octet in word)
    return split(octets)


def test_key_loop():
    """Keys of all sizes one behind the other: every row at its time, no two writes in a cycle, no old word left."""
    seed = 11
    print(f"seed {seed}")
    rng = random.Random(seed)
    clients = 5
    dut = KeyLoop(clients)
    jobs = [(rng.randrange(clients), rng.choice([16, 24, 32, 0])) for _ in range(60)]
    rows = [[None] * 15 for _ in range(clients)]
    keys, started, loads, checked = {}, {}, [], []

    async def feed(ctx):
        last = {}
        cycle = 0
        for tag, size in jobs:
            # AesPipe does not take a key within ten cycles of the one before it.
            while not ctx.get(dut.free) or cycle - last.get(tag, -20) < 10:
                await ctx.tick()
                cycle += 1
            last[tag] = cycle
            await ctx.tick().repeat(2)
            keys[tag] = rng.randbytes(size) if size else b""
            first, second = beats(keys[tag].ljust(16, b"\0"))
            ctx.set(dut.job, {
                "first": first["data"], "second": second["data"], "size": max(size // 8 - 2, 0), "wipe": not size,
                "tag": tag,
            })
            ctx.set(dut.load, 1)
            await ctx.tick()
            ctx.set(dut.load, 0)
            cycle += 3
        await ctx.tick().repeat(40)

    async def watch(ctx):
        cycle = 0
        async for _, _, load, job, *buses in ctx.tick().sample(dut.load, dut.job, dut.even, dut.odd):
            for parity, bus in enumerate(buses):
                assert bus.rows == 0 or bus.rows in ([1 << k for k in range(8)] + [0xFF, 0x7F])
                for k in range(8 - parity):
                    if bus.rows >> k & 1:
                        row = 2 * k + parity
                        rows[bus.tag][row] = bus.row
                        start, key = started[bus.tag]
                        if cycle - start == 2 + (2 * row if key else 2 * parity):
                            check(bus.tag, row, bus.row, key)
            if load:
                started[job.tag] = cycle, keys[job.tag]
                loads.append(cycle)
            cycle += 1

    def check(tag, row, value, key):
        if not key:
            assert value == 0
        elif row <= _ROUNDS[len(key)]:
            assert value == expand(key)[row], f"row {row} of a key of {len(key)} bytes, client {tag}"
        checked.append(row)

    run(dut, feed, background=[watch], limit=3000)
    assert len(checked) > 300
    for tag, (_, key) in started.items():
        expected = expand(key) if key else [0] * 15
        assert rows[tag][: len(expected)] == expected
    assert (loads[-1] - loads[0]) / (len(loads) - 1) < 8


@pytest.mark.parametrize("size", [16, 24, 0])
def test_no_word_of_a_longer_key_survives(size):
    """Behind a smaller key or a wipe not one word of an AES-256 schedule is left in a client's 15 rows."""
    dut = KeyLoop(1)
    rng = random.Random(7)
    rows = [0] * 15
    snapshots = []

    async def watch(ctx):
        async for _, _, even, odd in ctx.tick().sample(dut.even, dut.odd):
            for parity, bus in ((0, even), (1, odd)):
                for k in range(8 - parity):
                    if bus.rows >> k & 1:
                        rows[2 * k + parity] = bus.row

    async def feed(ctx):
        for length in (32, size):
            first, second = beats(rng.randbytes(length).ljust(16, b"\0"))
            ctx.set(dut.job, {
                "first": first["data"], "second": second["data"], "size": max(length // 8 - 2, 0), "wipe": not length,
                "tag": 0,
            })
            ctx.set(dut.load, 1)
            await ctx.tick()
            ctx.set(dut.load, 0)
            await ctx.tick().repeat(40)
            snapshots.append({row >> shift & 0xFFFFFFFF for row in rows for shift in (0, 32, 64, 96)})

    run(dut, feed, background=[watch])
    before, after = snapshots
    assert len(before) == 60
    assert not before & after
    assert size or after == {0}


def test_round_keys_and_mailbox_are_zero_after_a_wipe():
    """Of the memories of the whole unit none has a word of the schedule behind a wipe, whenever that comes."""
    dut = AesPipe(18, sizes=(256,))
    key = random.Random(3).randbytes(32)
    words = {row >> shift & 0xFFFFFFFF for row in expand(key) for shift in (0, 32, 64, 96)}
    found = []

    async def look(ctx):
        """Words of the schedule in any memory."""
        seen = set()
        for keys in dut.key_memories:
            for row in range(keys.depth):
                value = ctx.get(keys.data[row])
                seen |= words & {value >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)}
        found.append(len(seen))

    async def bench(ctx):
        for delay in (60, 1, 5, 9, 17, 30):
            for beat in beats(key):
                await put(ctx, dut.key[17], beat)
            await ctx.tick().repeat(delay)
            if not found:
                await look(ctx)
            await strobe(ctx, dut.wipe[17])
            await ctx.tick().repeat(50)
            await look(ctx)

    run(dut, bench)
    assert found == [60, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sbox": "rom"}, "sbox must be one of bram, logic, not 'rom'"),
        ({"clients": 0}, "clients must be at least 1, not 0"),
        ({"sizes": (64,)}, r"sizes must be some of 128, 192, 256, not \(64,\)"),
        ({"registers": 4}, "registers must be 2 or 3, not 4"),
        ({"depth": 6}, "depth must be a power of two from 2 up, not 6"),
    ],
)
def test_parameters_are_checked(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AesPipe(**{"clients": 2, **arguments})
