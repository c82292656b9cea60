# SPDX-License-Identifier: Apache-2.0
"""From verdicts to completions: IVs judged in order, refused frames swallowed, errors counted before retirement."""

import random

import pytest
from nicsec.algorithm import Status
from nicsec.collect import Collect
from nicsec.config import PRESETS
from nicsec.iv_record import IVRecord
from nicsec.judge import Judge
from streams import collect, get, put, run, send

REFUSED = 1 << 63


def beats(status, ivs=()):
    none = {"slot": 0, "op": 0, "iv": 0}
    head = [{"status": Status.SUCCESS, "last": 0, "iv": dict(zip(none, iv, strict=True))} for iv in ivs]
    return [*head, {"status": status, "last": 1, "iv": none}]


async def table(ctx, dut, seen, rng):
    """Answers checks: the IVs with bit 63 are refused."""
    while True:
        check = await get(ctx, dut.check)
        seen.append((check.slot, check.op, check.iv))
        await ctx.tick().repeat(rng.randrange(1, 6))
        await put(ctx, dut.checked, not check.iv & REFUSED)


def test_judge():
    """The first refused IV is the status, those ahead of it were judged, those behind it are not."""
    dut = Judge(PRESETS["basic"])
    cases = [
        (Status.SUCCESS, [], Status.SUCCESS, 0),
        (Status.MALFORMED, [], Status.MALFORMED, 0),
        (Status.SUCCESS, [(1, 0, 5)], Status.SUCCESS, 1),
        (Status.SUCCESS, [(1, 0, REFUSED)], Status.IV_REPEAT, 1),
        (Status.SUCCESS, [], Status.SUCCESS, 0),
        (Status.SUCCESS, [(1, 0, 6), (1, 1, REFUSED), (2, 0, 7), (2, 1, REFUSED)], Status.IV_REPEAT, 2),
        (Status.SUCCESS, [(1, 0, 1), (1, 1, 2), (2, 0, 3), (255, 1, REFUSED - 1)], Status.SUCCESS, 4),
        (Status.SUCCESS, [(3, 0, REFUSED), (3, 1, 1)], Status.IV_REPEAT, 1),
        (Status.BAD_HANDLE, [], Status.BAD_HANDLE, 0),
    ]
    seen = []

    async def source(ctx):
        for status, ivs, _, _ in cases:
            await send(ctx, dut.verdict, beats(status, ivs))

    async def sink(ctx):
        assert await collect(ctx, dut.o, len(cases), random.Random(1)) == [case[2] for case in cases]
        assert seen == [iv for _, ivs, _, judged in cases for iv in ivs[:judged]]

    async def answers(ctx):
        await table(ctx, dut, seen, random.Random(2))

    run(dut, source, sink, background=[answers])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("preset", ["basic", "tiny"])
def test_random_packets(preset, seed):
    """Frames of successes leave whole and in order, of refused IVs not a beat; one completion, event, strobe each."""
    print(f"seed {seed}")
    config = PRESETS[preset]
    dut = Collect(config)
    rng = random.Random(seed)
    packets, seen, log = [], [], []
    for n in range(60):
        ok = rng.random() < 0.7
        ivs = [(rng.randrange(16), rng.randrange(2), rng.getrandbits(63) | (rng.random() < 0.3) << 63)
               for _ in range(rng.choice((0, 0, 1, 1, 2, 4)) if ok else 0)]
        status = Status.SUCCESS if ok else rng.choice((Status.BAD_HANDLE, Status.MALFORMED, Status.LIFETIME_EXPIRED))
        refused = any(iv & REFUSED for *_, iv in ivs)
        beat = {"keep": 0xFFFF, "last": 0, "error": 0}
        frame = [beat | {"data": rng.getrandbits(128)} for _ in range(rng.randrange(1, 9))]
        frame[-1]["last"] = 1
        ticket = {"cookie": n, "length": rng.randrange(1500), "bypass": 0}
        if config.lifetimes:
            ticket |= {"counted": rng.randrange(4), "slots": [rng.randrange(256), rng.randrange(256)]}
        packets.append((ok, ivs, Status.IV_REPEAT if refused else status, frame, ticket))

    async def tickets(ctx):
        await send(ctx, dut.ticket, [packet[4] for packet in packets], random.Random(seed + 1))

    async def verdicts(ctx):
        part = random.Random(seed + 2)
        for ok, ivs, status, *_ in packets:
            await send(ctx, dut.verdict, beats(Status.SUCCESS if ok else status, ivs), part)

    async def frames(ctx):
        part = random.Random(seed + 3)
        for ok, _, _, frame, _ in packets:
            if ok:
                await send(ctx, dut.i, frame, part)

    async def out(ctx):
        expected = [beat["data"] for _, _, status, frame, _ in packets if status == Status.SUCCESS for beat in frame]
        assert [beat.data for beat in await collect(ctx, dut.o, len(expected), random.Random(seed + 4))] == expected
        log.append("out")

    async def completions(ctx):
        got = await collect(ctx, dut.completion, len(packets), random.Random(seed + 5))
        assert [(c.cookie, c.length, c.status) for c in got] == [
            (ticket["cookie"], ticket["length"], status) for _, _, status, _, ticket in packets
        ]
        log.append("completions")

    async def events(ctx):
        got = await collect(ctx, dut.event, len(packets), random.Random(seed + 6))
        assert [event.status for event in got] == [status.value for _, _, status, *_ in packets]

    retired, errors = [], []

    async def strobes(ctx):
        while True:
            _, _, strobe = await ctx.tick().sample(dut.retired)
            if strobe:
                retired.append(len(errors))

    async def counting(ctx):
        part = random.Random(seed + 7)
        while True:
            await ctx.tick().repeat(part.randrange(1, 6))
            errors.append(await get(ctx, dut.errors))

    async def answers(ctx):
        await table(ctx, dut, seen, random.Random(seed + 8))

    beside = [strobes, answers, *([counting] if config.lifetimes else [])]
    run(dut, tickets, verdicts, frames, out, completions, events, background=beside)
    assert sorted(log) == ["completions", "out"]
    judged = []
    for _, ivs, *_ in packets:
        stop = next((n for n, (*_, iv) in enumerate(ivs) if iv & REFUSED), len(ivs))
        judged += ivs[: stop + 1]
    assert seen == judged
    if config.lifetimes:
        expected, before = [], []
        for _, _, status, _, ticket in packets:
            for n in range(2):
                if status != Status.SUCCESS and ticket["counted"] >> n & 1:
                    expected.append(ticket["slots"][n])
            before.append(len(expected))
        assert errors == expected
        # Counted before the packet retired, so a delete that waits for it finds nothing to come.
        assert retired == before
    else:
        assert len(retired) == len(packets)


@pytest.mark.parametrize("seed", range(3))
def test_record(seed):
    """IVs of judged passes alone, first two words of each, none of a packet that is refused or of one before."""
    print(f"seed {seed}")
    dut = IVRecord(PRESETS["basic"])
    rng = random.Random(seed)
    packets = []
    for _ in range(40):
        passes = [
            (n, rng.random() < 0.6, rng.randrange(256), rng.randrange(2), [rng.getrandbits(32) for _ in range(words)])
            for n in range(4)
            for words in (rng.choice((0, 2, 4)),)
            if rng.random() < 0.6
        ]
        # Only IVs of two words are judged.
        passes = [(n, judged and len(words) == 2, *rest, words) for n, judged, *rest, words in passes]
        packets.append((passes, rng.choice((Status.SUCCESS, Status.SUCCESS, Status.UNSUPPORTED))))

    async def source(ctx):
        for passes, status in packets:
            for number, judged, slot, op, words in passes:
                for signal, value in ((dut.number, number), (dut.judged, judged), (dut.slot, slot), (dut.op, op)):
                    ctx.set(signal, value)
                ctx.set(dut.start, 1)
                await ctx.tick()
                ctx.set(dut.start, 0)
                for word in words:
                    await ctx.tick().repeat(rng.randrange(1, 4))
                    ctx.set(dut.word, word)
                    ctx.set(dut.word_valid, 1)
                    await ctx.tick()
                    ctx.set(dut.word_valid, 0)
                    ctx.set(dut.word, 0)
            await put(ctx, dut.status, status)

    async def sink(ctx):
        for passes, status in packets:
            expected = []
            if status == Status.SUCCESS:
                expected = [(0, slot, op, words[0] << 32 | words[1]) for _, judged, slot, op, words in passes if judged]
            for wanted in expected:
                (beat,) = await collect(ctx, dut.o, 1, rng)
                assert (beat.last, beat.iv.slot, beat.iv.op, beat.iv.iv) == wanted
            (beat,) = await collect(ctx, dut.o, 1, rng)
            assert (beat.last, beat.status) == (1, status)

    run(dut, source, sink)
