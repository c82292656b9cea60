# SPDX-License-Identifier: Apache-2.0
"""Hash units of the pool with their cores, over frames in a ring played by the bench, against Python's HMAC."""

# amaranth: UnusedElaboratable=no

import hmac
import random
from dataclasses import dataclass, field

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import connect
from nicsec.algorithm import Auth, Status
from nicsec.config import Config
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha256 import Sha256
from nicsec.pool.hash_order import HashOrder
from nicsec.pool.hash_unit import HashUnit
from nicsec.pool.layout import HashTask
from nicsec_sim.model.mutable import masked_headers
from nicsec_sim.model.parse import Refused
from streams import get, put, run
from test_hmac import midstates
from test_mutable import damaged, good, ipv4, ipv6, routed_twice, tlvs

CONFIG = Config(lanes=4, units="shared", sa_slots=16)
LINES = CONFIG.ring_lines
CORES = {"sha1": Sha1, "sha256": Sha256}
AUTHS = {"sha1": Auth.HMAC_SHA1, "sha256": Auth.HMAC_SHA256}
KEYS = [(name, bytes([n]) * 20) for n in range(2) for name in CORES]
GARBAGE = 0xDEADBEEF


def rows_of_keys():
    """Rows 4 to 7 by slot: a midstate is two rows, its first word highest."""
    table = {}
    for slot, (name, key) in enumerate(KEYS):
        for n, state in enumerate(midstates(CORES[name], name, key)):
            words = [*state, *[0] * 8][:8]
            for row in range(2):
                table[slot, 4 + 2 * n + row] = sum(words[4 * row + at] << 96 - 32 * at for at in range(4))
    return table


@dataclass
class Case:
    """A task, the frame's words from its base on, and what is to come of it."""

    task: dict
    words: list[int]
    covered: bytes
    icv_at: int = 0  #: word of the frame
    status: Status = Status.SUCCESS
    final: int = 0  #: words that are final at the beginning
    steps: list = field(default_factory=list)  #: (cycles, words that are final then, `last`) of progress

    @property
    def icv(self):
        name, key = KEYS[self.task["slot"]]
        high = self.task["seq_high"].to_bytes(4, "big") if self.task["esn"] else b""
        return hmac.digest(key, self.covered + high, name)[: 4 * self.task["icv_words"]]


def esp_case(rng, slot, words, *, follows=False, esn=False, start=None, base=None, thread=None, short=False):
    """An ESP pass over ``words`` words, IV among them."""
    name, _ = KEYS[slot]
    start = rng.randrange(4, 20) if start is None else start
    end = start + words
    content = [rng.getrandbits(32) for _ in range(end + 8)]
    header = min(start + rng.choice((2, 6)), end - 1)
    task = {
        "thread": rng.randrange(CONFIG.lanes) if thread is None else thread,
        "packet": rng.randrange(CONFIG.packets), "last": rng.randrange(2), "slot": slot, "op": rng.randrange(2),
        "auth": AUTHS[name], "icv_words": 4 if name == "sha256" and not short else 3, "esn": esn,
        "seq_high": rng.getrandbits(32), "esp": 1, "ipv6": rng.randrange(2), "chained": 0, "follows": follows,
        "base": rng.randrange(LINES) if base is None else base, "start": start, "header": header, "end": 4 * end,
    }
    covered = b"".join(word.to_bytes(4, "big") for word in content[start:end])
    case = Case(task, content, covered, icv_at=end)
    case.final = end + 8
    if follows:
        case.final, at = header - header % 4, header
        while at < end:
            at = min(at + rng.choice((4, 4, 4, 8, 12)), end)
            case.steps.append((rng.choice((1, 3, 12, 40)), at, at == end))
    return case


def ah_case(rng, slot, packet, header, *, tail=None, short=False, padded=False, esn=None):
    """An AH pass over a datagram whose headers are ``packet``; ``tail`` bytes follow the AH header."""
    name, _ = KEYS[slot]
    icv_words = 4 if name == "sha256" and not short else 3
    start = rng.randrange(4, 20)
    tail = rng.randrange(90) if tail is None else tail
    fixed, field_, rest = rng.randbytes(12), bytes(4 * icv_words), rng.randbytes(4 * padded + tail)
    before, junk = rng.randbytes(4 * start), rng.randbytes(40)
    raw = before + packet + fixed + rng.randbytes(4 * icv_words) + rest
    end = len(raw)
    raw += junk
    raw = raw[: len(raw) // 4 * 4]
    status, covered = Status.SUCCESS, b""
    try:
        covered = masked_headers(packet, header) + fixed + field_ + rest
    except Refused as refusal:
        status = Status(refusal.status.value)
    head = start + len(packet) // 4
    task = {
        "thread": rng.randrange(CONFIG.lanes), "packet": rng.randrange(CONFIG.packets), "last": rng.randrange(2),
        "slot": slot, "op": rng.randrange(2), "auth": AUTHS[name], "icv_words": icv_words,
        "esn": rng.randrange(2) if esn is None else esn, "seq_high": rng.getrandbits(32), "esp": 0,
        "ipv6": header.version == 6, "chained": len(packet) > (20 if header.version == 4 else 40), "follows": 0,
        "base": rng.randrange(LINES), "start": start, "header": head, "end": end,
    }
    words = [int.from_bytes(raw[at : at + 4], "big") for at in range(0, len(raw), 4)]
    return Case(task, words, covered, icv_at=head + 3, status=status, final=len(words))


class Bench(wiring.Component):
    """The unit, and its cores as the pool has them: wiped when the claim falls, granted a cycle after it."""

    task: wiring.In(stream.Signature(HashTask(CONFIG)))

    def __init__(self, ah):
        super().__init__()
        self.unit = HashUnit(CONFIG, ah=ah)
        self.cores = {name: core() for name, core in CORES.items()}

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        m.d.comb += [
            unit.task.valid.eq(self.task.valid), self.task.ready.eq(unit.task.ready),
            unit.task.payload.eq(HashOrder.of(m, CONFIG, self.task.p)),
        ]
        m.d.sync += unit.granted.eq(unit.claim)
        for name, core in self.cores.items():
            m.submodules[name] = core
            connect(m, getattr(unit, f"{name}_i"), core.i)
            connect(m, core.o, getattr(unit, f"{name}_o"))
            m.d.comb += core.wipe.eq(unit.granted & ~unit.claim)
        return m


def hashed(cases, rng, *, ah=False, slow=True, latency=(8, 20), row_latency=8):
    """Run ``cases`` one after another; the cycles at which each was taken."""
    bench = Bench(ah)
    unit = bench.unit
    table = rows_of_keys()
    ring = [(GARBAGE, False)] * (4 * LINES)
    taken, queue = [], []
    cycle = 0
    at_work = Status.SUCCESS

    async def clock(ctx):
        nonlocal cycle
        async for _ in ctx.tick():
            cycle += 1

    other_task = {name: rng.getrandbits(2) for name in HashTask(CONFIG).members if name != "auth"}
    other_task |= {"follows": 1, "esp": 1}

    def place(case, word):
        return (4 * case.task["base"] + word) % (4 * LINES)

    async def fetches(ctx):
        while True:
            if slow and rng.random() < 0.3:
                await ctx.tick().repeat(rng.randrange(1, 12))
            line = await get(ctx, unit.fetch)
            words = [ring[4 * line + n] for n in range(4)]
            value = 0
            for word, final in words:
                value = value << 32 | (word if final else GARBAGE)
            queue.append((cycle + rng.randrange(*latency) if len(latency) > 1 else cycle + latency[0], value))

    async def answers(ctx):
        while True:
            due = queue and queue[0][0] <= cycle
            ctx.set(unit.rsp_valid, bool(due))
            ctx.set(unit.rsp_data, queue.pop(0)[1] if due else GARBAGE)
            await ctx.tick()

    async def rows(ctx):
        while True:
            request = await get(ctx, unit.row_req)
            assert request.op == at_work.task["op"]
            await ctx.tick().repeat(row_latency if not slow else rng.randrange(2, 20))
            await put(ctx, unit.row_rsp, table[request.slot, request.row])

    async def progress(ctx, case):
        for wait, final, last in case.steps:
            await ctx.tick().repeat(wait)
            for word in range(final):
                ring[place(case, word)] = (case.words[word], True)
            ctx.set(unit.progress, {
                "valid": 1, "thread": case.task["thread"], "place": place(case, final), "last": last,
            })
            await ctx.tick()
            other = (case.task["thread"] + 1) % CONFIG.lanes
            ctx.set(unit.progress, {"valid": rng.randrange(2), "thread": other, "place": 5, "last": 1})
        await ctx.tick()
        ctx.set(unit.progress.valid, 0)

    steps = []

    async def cipher(ctx):
        while True:
            if steps:
                await progress(ctx, steps.pop(0))
            else:
                await ctx.tick()

    async def control(ctx):
        nonlocal at_work
        for case in cases:
            for word in range(len(case.words)):
                ring[place(case, word)] = (case.words[word], word < case.final)
            at_work = case
            if slow and rng.random() < 0.5:
                await ctx.tick().repeat(rng.randrange(1, 30))
            await put(ctx, bench.task, case.task)
            # The port shows what is next for another unit.
            ctx.set(bench.task.payload, other_task)
            assert ctx.get(unit.busy)
            taken.append(cycle)
            if case.steps:
                steps.append(case)
            icv, at = b"", place(case, case.icv_at)
            while len(icv) < 4 * case.task["icv_words"] and case.status == Status.SUCCESS:
                if slow and rng.random() < 0.3:
                    await ctx.tick().repeat(rng.randrange(1, 6))
                patch = await get(ctx, unit.patch)
                assert (patch.place, patch.mask) == (at, 3)
                assert patch.last == (len(icv) + 4 == 4 * case.task["icv_words"])
                at = (at + 1) % (4 * LINES)
                icv += patch.data.to_bytes(4, "big")
            if case.status == Status.SUCCESS:
                assert icv.hex() == case.icv.hex(), case.task
            ctx.set(unit.patch.ready, 1)
            # The last word may take its time to the ring.
            if case.status == Status.SUCCESS:
                for _ in range(rng.choice((2, 30)) if slow else 2):
                    await ctx.tick()
                    assert not ctx.get(unit.done.valid)
                ctx.set(unit.written, 1)
                await ctx.tick()
                ctx.set(unit.written, 0)
            done = await get(ctx, unit.done)
            ctx.set(unit.patch.ready, 0)
            assert (done.thread, done.packet, done.last, done.status) == (
                *(case.task[name] for name in ("thread", "packet", "last")), case.status
            )
            assert not ctx.get(unit.busy)
            assert not ctx.get(unit.claim)

    async def no_patch(ctx):
        """Nothing is written but the ICV, and nothing of a pass that fails."""
        async for _, _, patch, work in ctx.tick().sample(unit.patch.valid, unit.busy):
            assert not patch or (work and at_work.status == Status.SUCCESS)

    run(bench, control, background=[clock, fetches, answers, rows, cipher, no_patch], limit=60_000)
    return taken


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("ah", [False, True])
def test_esp(ah, seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    sizes = [4, *range(11, 18), 28, 29, 30, 44, 100]
    rng.shuffle(sizes)
    cases = [
        esp_case(rng, n % len(KEYS), size, esn=rng.randrange(2), short=rng.randrange(2)) for n, size in enumerate(sizes)
    ]
    hashed(cases, rng, ah=ah)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("ah", [False, True])
def test_follows(ah, slow):
    seed = 3
    print(f"seed {seed}")
    rng = random.Random(seed)
    cases = [
        esp_case(rng, rng.randrange(len(KEYS)), rng.choice((7, 20, 40, 90)), follows=True, esn=rng.randrange(2))
        for _ in range(16)
    ]
    hashed(cases, rng, ah=ah, slow=slow)


def test_tails_of_ah():
    """Every length of the last word and of the last block, with ESN and without."""
    seed = 5
    print(f"seed {seed}")
    rng = random.Random(seed)
    cases = []
    for n, tail in enumerate((*range(0, 24), *range(40, 48))):
        for esn in range(2):
            packet, header = ipv4(rng, b"") if rng.randrange(2) else ipv6(rng, [(60, tlvs(rng))])
            cases.append(ah_case(rng, n % 2 + 2 * esn, packet, header, tail=tail, esn=esn))
    hashed(cases, rng, ah=True, slow=False)


@pytest.mark.parametrize("make", [good, damaged, routed_twice])
@pytest.mark.parametrize("seed", [6, 7])
def test_headers_of_ah(make, seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    cases = []
    for packet, header in make(rng):
        cases.append(ah_case(
            rng, rng.randrange(len(KEYS)), packet, header, tail=rng.randrange(12), short=rng.randrange(2),
            padded=rng.randrange(2),
        ))
        if rng.random() < 0.2:
            cases.append(esp_case(rng, rng.randrange(len(KEYS)), rng.randrange(4, 40), follows=rng.randrange(2)))
    for left in range(4):
        packet, header = ipv6(rng, [(43, bytes([0, left]) + rng.randbytes(4 + 16 * 3))])
        cases.append(ah_case(rng, left, packet, header, tail=0))
    refused = sum(case.status != Status.SUCCESS for case in cases)
    assert (refused > 0) == (make is not good)
    hashed(cases, rng, ah=True, slow=seed == 6)


@pytest.mark.parametrize("ah", [False, True])
@pytest.mark.parametrize("slot", range(2))
@pytest.mark.parametrize(("length", "share"), [(1476, 0.95), (462 // 4 * 4, 0.88)])
def test_keeps_its_core_busy(slot, length, share, ah):
    """The share of the cycles from task to task in which the rounds of a block are at work."""
    rng = random.Random(4)
    cases = [esp_case(rng, slot, length // 4, start=11) for _ in range(3)]
    taken = hashed(cases, rng, ah=ah, slow=False, latency=(12,))
    name, _ = KEYS[slot]
    blocks = -(-(length + 9) // 64) + 1
    block = CORES[name].ROUNDS + CORES[name].STATE_WORDS
    period = taken[2] - taken[1]
    print(f"{name}, {length} bytes: {blocks} blocks, {period} cycles, {period - blocks * block} beside the rounds, "
          f"{blocks * block / period:.1%}")
    assert blocks * block >= share * period
