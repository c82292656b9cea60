# SPDX-License-Identifier: Apache-2.0
"""The pipelined GHASH against published GCM vectors and a bit-serial reference; its cycles against its docstring."""

import random

import pytest
from nicsec.crypto.ghash_pipe import GhashPipe
from streams import run
from test_ghash import MCGREW_VIEGA, gcm_blocks, gcm_vectors, ghash


def run_pipe(dut, threads, messages, rng=None):
    """Sums of ``messages``, each a subkey and blocks, of which as many are at work as there are threads.

    Everything is as early as it may be: a message's first block comes in the cycle behind its subkey's, the others
    ``spacing`` cycles behind each other, if no other thread's is there; its sum is read ``spacing`` cycles behind the
    last. With ``rng`` there are gaps, threads take turns at random, and a subkey that a thread has is not written
    again. Returns sums, and the cycles from the first block to the last one.
    """
    results = [None] * len(messages)
    cycles = []

    async def bench(ctx):
        coming = list(enumerate(messages))[::-1]
        idle, current, asked = list(range(threads)), {}, None
        subkeys = {}
        cycle = 0
        while None in results:
            if asked is not None:
                at, thread = asked
                results[at] = ctx.get(dut.sum)
                idle.append(thread)
                asked = None

            write = {"en": 0, "tag": 0, "data": 0}
            if coming and idle and (rng is None or rng.random() < 0.8):
                at, (h, blocks) = coming.pop()
                thread = idle.pop(rng.randrange(len(idle)) if rng else 0)
                if rng is None or subkeys.get(thread) != h:
                    write = {"en": 1, "tag": thread, "data": h}
                    subkeys[thread] = h
                current[thread] = [at, cycle + 1, blocks, 1]
            ctx.set(dut.subkey, write)

            word = {"valid": 0, "tag": rng.randrange(threads) if rng else 0, "block": 99, "first": 0}
            able = [thread for thread, (_, begin, blocks, _) in current.items() if cycle >= begin and blocks]
            if able and (rng.random() < 0.9 if rng else bool(cycles) or not idle):
                thread = rng.choice(able) if rng else min(able, key=lambda thread: current[thread][1])
                at, _, blocks, first = current[thread]
                word = {"valid": 1, "tag": thread, "block": blocks[0], "first": first}
                current[thread] = [at, cycle + dut.spacing, blocks[1:], 0]
                cycles.append(cycle)
            ctx.set(dut.i, word)

            done = [thread for thread, (_, begin, blocks, _) in current.items() if cycle >= begin and not blocks]
            if done:
                thread = done[0]
                asked = current.pop(thread)[0], thread
                ctx.set(dut.sum_tag, thread)
            await ctx.tick()
            cycle += 1

    run(dut, bench)
    return results, cycles[-1] - cycles[0] + 1


@MCGREW_VIEGA
def test_mcgrew_viega(h, aad, ciphertext, expected):
    assert run_pipe(GhashPipe(1), 1, [(h, gcm_blocks(bytes.fromhex(aad), ciphertext))])[0] == [expected]


def test_nist_gcm():
    cases = [case for size in (128, 192, 256) for case in gcm_vectors(size)[::7]]
    assert len(cases) == 162
    results, _ = run_pipe(GhashPipe(32), 32, [(h, blocks) for h, blocks, _ in cases], random.Random(38))
    assert results == [expected for *_, expected in cases]


@pytest.mark.parametrize("threads", [1, 2, 7, 16, 17, 32])
@pytest.mark.parametrize("slow", [False, True])
def test_random(threads, slow):
    seed = 100 + threads
    print(f"seed {seed}")
    rng = random.Random(seed)
    subkeys = [rng.getrandbits(128) for _ in range(3)]
    messages = [
        (rng.choice(subkeys), [rng.getrandbits(128) for _ in range(rng.choice([1, 1, 2, 3, 5, 9, 40 if slow else 4]))])
        for _ in range(2 * threads + 4)
    ]
    results, _ = run_pipe(GhashPipe(threads), threads, messages, rng if slow else None)
    assert results == [ghash(h, blocks) for h, blocks in messages]


def test_a_block_in_every_cycle():
    """As many threads as a block has cycles fill the multiplier."""
    assert GhashPipe.spacing <= 8
    threads, rng = GhashPipe.spacing, random.Random(2)
    messages = [(rng.getrandbits(128), [rng.getrandbits(128) for _ in range(20)]) for _ in range(threads)]
    results, cycles = run_pipe(GhashPipe(threads), threads, messages)
    assert results == [ghash(h, blocks) for h, blocks in messages]
    assert cycles == 20 * threads


def test_wipe():
    """Behind a subkey of 0, and a first block of 0, nothing of a thread is left in any memory or register."""
    dut = GhashPipe(18)
    rng = random.Random(6)
    h, other, blocks = rng.getrandbits(128), 5, [rng.getrandbits(128) for _ in range(4)]

    async def bench(ctx):
        for tag, subkey in ((17, h), (2, other)):
            ctx.set(dut.subkey, {"en": 1, "tag": tag, "data": subkey})
            await ctx.tick()
        ctx.set(dut.subkey.en, 0)
        for at, block in enumerate(blocks):
            for tag in (17, 2):
                ctx.set(dut.i, {"valid": 1, "tag": tag, "block": block, "first": at == 0})
                await ctx.tick()
            ctx.set(dut.i.valid, 0)
            await ctx.tick().repeat(dut.spacing - 2)
        ctx.set(dut.subkey, {"en": 1, "tag": 17, "data": 0})
        ctx.set(dut.i, {"valid": 1, "tag": 17, "block": 0, "first": 1})
        await ctx.tick()
        ctx.set(dut.subkey.en, 0)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(dut.spacing - 1)
        for rows, expected in ((dut.subkeys, other), (dut.sums, ghash(other, blocks)),
                               (dut.readable, ghash(other, blocks))):
            reverse = int(f"{expected:0128b}"[::-1], 2)
            assert [ctx.get(bank.data[row]) for bank in rows.memories for row in range(bank.depth)] == [
                reverse if tag == 2 else 0 for tag in range(18)
            ]
        assert not ctx.get(dut.multiplier.a)
        assert not ctx.get(dut.multiplier.b)
        assert not ctx.get(dut.multiplier.o)

    run(dut, bench)


@pytest.mark.parametrize("threads", [0, -1, 2.0, "3"])
def test_threads_is_checked(threads):
    with pytest.raises(ValueError, match=rf"^threads must be an integer of 1 or more, not {threads!r}$"):
        GhashPipe(threads)
