# SPDX-License-Identifier: Apache-2.0
"""Descriptors to jobs: which look-ups are made, whose refusal counts, and what the ticket says of who counted."""

import random
from itertools import product

import pytest
from nicsec.algorithm import Status
from nicsec.config import PRESETS
from nicsec.dispatch import Dispatch
from streams import collect, get, put, run, send

BASIC, TINY = PRESETS["basic"], PRESETS["tiny"]
GOOD, BAD, EXPIRED, EXHAUSTED = range(4)
#: (ok, expired, exhausted) as the table gives them.
ANSWERS = {GOOD: (1, 0, 0), BAD: (0, 0, 0), EXPIRED: (1, 1, 0), EXHAUSTED: (1, 0, 1)}
RANK = {BAD: Status.BAD_HANDLE, EXPIRED: Status.LIFETIME_EXPIRED, EXHAUSTED: Status.IV_EXHAUSTED}


def descriptor(rng, cookie, **fields):
    return {"length": rng.randrange(60, 2000), "sa1": rng.getrandbits(32), "sa2": rng.getrandbits(32), "cookie": cookie,
            "seq_high1": rng.getrandbits(32), "seq_high2": rng.getrandbits(32)} | fields


def play(config, descriptors, answers, rng, enable=1):
    """Jobs, tickets and look-ups; ``answers`` are kinds and slots in the order of look-ups."""
    dut = Dispatch(config)
    jobs, tickets, lookups = [], [], []

    async def source(ctx):
        ctx.set(dut.enable, enable)
        await send(ctx, dut.i, descriptors, rng)

    async def table(ctx):
        for kind, slot in answers:
            asked = await get(ctx, dut.lookup)
            lookups.append((asked.handle, asked.length))
            await ctx.tick().repeat(rng.randrange(1, 8))
            ok, expired, exhausted = ANSWERS[kind]
            iv = [slot * 3, slot * 5]
            await put(ctx, dut.found, {"ok": ok, "expired": expired, "exhausted": exhausted, "slot": slot, "iv": iv})

    async def sink(ctx):
        jobs.extend(await collect(ctx, dut.job, len(descriptors), rng))

    async def ticket_sink(ctx):
        tickets.extend(await collect(ctx, dut.ticket, len(descriptors), rng))

    run(dut, source, table, sink, ticket_sink)
    return jobs, tickets, lookups


def test_refusals():
    """Both handles are looked up whatever the first says; bad handle before lifetime before IVs."""
    rng = random.Random(3)
    cases = [(kind,) for kind in ANSWERS] + list(product(ANSWERS, repeat=2))
    descriptors, answers, asked = [], [], []
    for n, kinds in enumerate(cases):
        one = descriptor(rng, n, sa1_valid=len(kinds) == 2 or n % 2, sa2_valid=len(kinds) == 2 or not n % 2)
        descriptors.append(one)
        handles = [one[name] for name in ("sa1", "sa2") if one[name + "_valid"]]
        asked += [(handle, one["length"]) for handle in handles]
        answers += [(kind, rng.randrange(256)) for kind in kinds]
    jobs, tickets, lookups = play(BASIC, descriptors, answers, rng)
    assert lookups == asked
    at = 0
    for kinds, one, job, ticket in zip(cases, descriptors, jobs, tickets, strict=True):
        expected = next((RANK[kind] for kind in (BAD, EXPIRED, EXHAUSTED) if kind in kinds), Status.SUCCESS)
        assert (job.status, job.nested, job.bound) == (expected, len(kinds) == 2, 1), kinds
        assert (ticket.cookie, ticket.length) == (one["cookie"], one["length"])
        slots = [slot for _, slot in answers[at : at + len(kinds)]]
        at += len(kinds)
        # Exhausted ones have counted the packet, refused ones have not.
        counted = [slot for kind, slot in zip(kinds, slots, strict=True) if kind in (GOOD, EXHAUSTED)]
        assert [ticket.slots[n] for n in range(2) if ticket.counted >> n & 1] == counted, kinds
        # The outer level is the last handle given.
        assert (job.levels[1].slot, tuple(job.levels[1].iv)) == (slots[-1], (slots[-1] * 3, slots[-1] * 5))
        if len(kinds) == 2:
            assert job.levels[0].slot == slots[0]


def test_nothing_is_looked_up_or_counted():
    """Without a handle, for what the build lacks, and while the engine is off."""
    rng = random.Random(4)
    for config, enable, fields, status in (
        (BASIC, 1, {}, Status.SUCCESS),
        (BASIC, 1, {"sa1_valid": 1, "lso": 1}, Status.UNSUPPORTED),
        (BASIC, 0, {"sa1_valid": 1, "sa2_valid": 1}, Status.DISABLED),
        (TINY, 1, {"sa1_valid": 1, "csum_ip": 1}, Status.UNSUPPORTED),
    ):
        jobs, tickets, lookups = play(config, [descriptor(rng, 1, **fields)] * 2, [], rng, enable)
        assert [job.status for job in jobs] == [status] * 2
        assert lookups == []
        if config.lifetimes:
            assert [ticket.counted for ticket in tickets] == [0, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_counted_does_not_outlive_its_packet(count):
    """A packet behind one that was counted by two SAs starts from none."""
    rng = random.Random(5)
    both = descriptor(rng, 0, sa1_valid=1, sa2_valid=1)
    then = [descriptor(rng, n, sa1_valid=1) for n in range(count)]
    answers = [(GOOD, 1), (GOOD, 2), *((BAD, 3) for _ in then)]
    _, tickets, _ = play(BASIC, [both, *then, descriptor(rng, 9)], answers, rng)
    assert [ticket.counted for ticket in tickets] == [3, *(0 for _ in then), 0]
