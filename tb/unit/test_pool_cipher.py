# SPDX-License-Identifier: Apache-2.0
# amaranth: UnusedElaboratable=no
"""Cipher tasks through `CipherStart` and `CipherPipe`, against the library's AES-CBC and AES-GCM."""

import random
from collections import deque
from itertools import pairwise

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nicsec.config import Config
from nicsec.pool.cipher_pipe import CipherPipe
from nicsec.pool.cipher_start import CipherStart
from nicsec.pool.ring import READ_LATENCY
from streams import put, run

_TASKS = 14
CONFIG = Config(lanes=8, units="shared", sa_slots=16, max_frame=254)


class Pair(wiring.Component):
    """Both blocks, with the ports that the pool connects."""

    def __init__(self, config):
        self.pipe = CipherPipe(config)
        self.start = CipherStart(config, key_latency=self.pipe.key_latency)
        members = {}
        for block, names in (
            (self.start, ("task", "row_req", "row_rsp", "iv")),
            (self.pipe, (
                "setup", "answered", "answer", "read", "read_data", "write", "progress", "half", "done",
            )),
        ):
            members |= {name: block.signature.members[name] for name in names}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipe, m.submodules.start = pipe, start = self.pipe, self.start
        for name in ("key", "header", "gcm", "cbc", "subkey"):
            connect(m, getattr(start, name), getattr(pipe, name))
        m.d.comb += [
            start.header_read.eq(pipe.header_read), start.header_words.eq(pipe.header_words),
            pipe.facts.eq(start.facts), start.keyed.eq(pipe.keyed.valid),
            pipe.read_data.eq(self.read_data), self.read.eq(pipe.read), self.write.eq(pipe.write),
            self.progress.eq(pipe.progress), self.half.eq(pipe.half), self.answered.eq(pipe.answered),
            self.answer.eq(pipe.answer),
        ]
        for name in ("task", "row_rsp"):
            connect(m, flipped(getattr(self, name)), getattr(start, name))
        for name in ("row_req", "iv"):
            connect(m, getattr(start, name), flipped(getattr(self, name)))
        connect(m, flipped(self.setup), pipe.setup)
        connect(m, pipe.done, flipped(self.done))
        return m


def _ecb(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block)


class Ring:
    """Words of a ring behind the pipe's ports."""

    def __init__(self, config, rng):
        self.words = [rng.getrandbits(32) for _ in range(4 * config.ring_lines)]
        self.events = []

    def get(self, place, count):
        return b"".join(self.words[(place + n) % len(self.words)].to_bytes(4, "big") for n in range(count))

    def set(self, place, data):
        for n in range(len(data) // 4):
            self.words[(place + n) % len(self.words)] = int.from_bytes(data[4 * n : 4 * n + 4], "big")

    async def serve(self, ctx, dut):
        on_the_way = deque([0] * (READ_LATENCY - 1))
        cycle = 0
        while True:
            *_, read, write, progress, half = await ctx.tick().sample(dut.read, dut.write, dut.progress, dut.half)
            cycle += 1
            on_the_way.append(int.from_bytes(self.get(read.place, 4), "big") if read.en else random.getrandbits(128))
            ctx.set(dut.read_data, on_the_way.popleft())
            for n in range(4):
                if write.mask >> n & 1:
                    self.words[(write.place + n) % len(self.words)] = write.data >> (96 - 32 * n) & 0xFFFFFFFF
            if progress.valid:
                self.events.append(("progress", progress.thread, progress.place, progress.last, cycle))
            if half.valid:
                self.events.append(("half", half.thread, cycle))


def _case(rng, config, ring, thread, base, gcm):
    """A task with what must become of its words."""
    key = rng.randbytes(rng.choice((16, 24, 32)))
    words = rng.choice((1, 2, 3, 4, 5, 8, 9, rng.randrange(1, 40)))
    words = words if gcm else 4 * ((words + 3) // 4)
    esn, generate, icv_words = rng.random() < 0.5, rng.random() < 0.5, rng.choice((2, 3, 4))
    salt, iv, seq_high = rng.randbytes(4), rng.randbytes(8), rng.randbytes(4)
    iv_words = 2 if gcm else 4
    header = ring.get(base, 2 + iv_words)
    plain = ring.get(base + 2 + iv_words, words)
    hashed = not gcm and rng.random() < 0.5
    if gcm:
        spi, seq, field = header[:4], header[4:8], iv if generate else header[8:16]
        sealed = AESGCM(key).encrypt(salt + field, plain, spi + (seq_high if esn else b"") + seq)
        body, icv = sealed[:-16], sealed[-16:][: 4 * icv_words]
    else:
        field = _ecb(key, bytes(8) + iv) if generate else header[8:24]
        encryptor = Cipher(algorithms.AES(key), modes.CBC(field)).encryptor()
        body, icv = encryptor.update(plain), b""
    expected = header[:8] + field + body + icv
    task = {
        "thread": thread, "packet": rng.getrandbits(4), "number": rng.getrandbits(2), "last": rng.getrandbits(1),
        "slot": thread, "op": rng.getrandbits(1), "key_size": len(key) // 8 - 2, "gcm": gcm, "generate": generate,
        "judged": gcm and not generate, "hashed": hashed, "esn": esn, "icv_words": icv_words, "start": base,
        "body_words": words, "salt": int.from_bytes(salt, "big"), "iv": int.from_bytes(iv, "big"),
        "seq_high": int.from_bytes(seq_high, "big"),
    }
    return {"task": task, "key": key, "expected": expected, "blocks": (words + 3) // 4, "field": field}


def _row(case, row):
    key = case["key"].ljust(32, b"\0")
    found = {1: key[:16], 2: key[16:], 3: _ecb(case["key"], bytes(16))}[row]
    return int.from_bytes(found, "big")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kinds", ["gcm", "cbc", "both"])
def test_tasks(kinds, seed):
    print(f"seed {seed}")
    rng = random.Random(f"{kinds}{seed}")
    config = CONFIG
    ring = Ring(config, rng)
    dut = Pair(config)
    size = len(ring.words) // config.lanes
    cases = []
    idle, running, ended, notes = deque(range(config.lanes)), {}, [], []

    async def feed(ctx):
        for _ in range(_TASKS):
            while not idle:
                await ctx.tick()
            thread = idle.popleft()
            gcm = kinds == "gcm" or (kinds == "both" and rng.random() < 0.5)
            base = (thread * size + rng.randrange(8) - 4) % len(ring.words)
            case = _case(rng, config, ring, thread, base, gcm)
            cases.append(case)
            running[thread] = case
            if rng.random() < 0.3:
                await ctx.tick().repeat(max(rng.randrange(40), 1))
            await put(ctx, dut.task, case["task"])
        while running:
            await ctx.tick()

    def end(thread):
        case = running.pop(thread)
        ended.append(thread)
        idle.append(thread)
        found = ring.get(case["task"]["start"], len(case["expected"]) // 4)
        assert found == case["expected"], f"task {case['task']}"

    async def rows(ctx):
        waiting = deque()
        while True:
            ctx.set(dut.row_req.ready, rng.random() < 0.7)
            ctx.set(dut.row_rsp.valid, bool(waiting) and waiting[0][0] <= 0)
            if waiting:
                ctx.set(dut.row_rsp.payload, waiting[0][1])
            *_, asked, ready, request, valid, taken = await ctx.tick().sample(
                dut.row_req.valid, dut.row_req.ready, dut.row_req.payload, dut.row_rsp.valid, dut.row_rsp.ready
            )
            if valid and taken:
                waiting.popleft()
            waiting = deque((left - 1, row) for left, row in waiting)
            if asked and ready:
                waiting.append((rng.randrange(3, 12), _row(running[request.slot], request.row)))

    async def dones(ctx):
        ctx.set(dut.iv.ready, 1)
        due = deque()
        while True:
            ctx.set(dut.done.ready, rng.random() < 0.5)
            # What was written last is in the ring some cycles later.
            due = deque((left - 1, thread) for left, thread in due)
            while due and due[0][0] < 0:
                end(due.popleft()[1])
            *_, valid, ready, done, iv_valid, note = await ctx.tick().sample(
                dut.done.valid, dut.done.ready, dut.done.payload, dut.iv.valid, dut.iv.payload
            )
            if iv_valid:
                notes.append((note.packet, note.number, note.check.slot, note.check.op, note.check.iv))
            if valid and ready:
                case = running[done.thread]
                assert (done.packet, done.last) == (case["task"]["packet"], case["task"]["last"])
                due.append((3, done.thread))

    async def hashed(ctx):
        seen = 0
        while True:
            await ctx.tick()
            while seen < len(ring.events):
                event = ring.events[seen]
                seen += 1
                if event[0] == "progress" and event[3] and running[event[1]]["task"]["hashed"]:
                    await ctx.tick().repeat(3)
                    end(event[1])

    async def serve(ctx):
        await ring.serve(ctx, dut)

    run(dut, feed, background=(rows, dones, hashed, serve), limit=6000)
    assert len(ended) == _TASKS
    # Halves: once for each hashed task. Progress: each block, in order.
    hashed_cases = [case for case in cases if case["task"]["hashed"]]
    assert sum(event[0] == "half" for event in ring.events) == len(hashed_cases)
    cbc = [case for case in cases if not case["task"]["gcm"]]
    assert sum(event[0] == "progress" for event in ring.events) == sum(case["blocks"] + 1 for case in cbc)
    judged = [case["task"] | {"iv": case["field"]} for case in cases if case["task"]["judged"]]
    assert notes == [
        (task["packet"], task["number"], task["slot"], task["op"], int.from_bytes(task["iv"], "big")) for task in judged
    ]


def test_cycles():
    """A chain takes a block in as many cycles as the docstring says."""
    rng = random.Random(1)
    ring, dut = Ring(CONFIG, rng), Pair(CONFIG)
    case = _case(rng, CONFIG, ring, 0, 40, False)
    case["task"]["body_words"] = 24

    async def feed(ctx):
        ctx.set(dut.iv.ready, 1)
        await put(ctx, dut.task, case["task"] | {"hashed": 1})
        while not any(event[0] == "progress" and event[3] for event in ring.events):
            await ctx.tick()

    async def rows(ctx):
        while True:
            ctx.set(dut.row_req.ready, 1)
            (request,) = await ctx.tick().sample(dut.row_req.payload).until(dut.row_req.valid)
            ctx.set(dut.row_req.ready, 0)
            await put(ctx, dut.row_rsp, _row(case, request.row))

    async def serve(ctx):
        await ring.serve(ctx, dut)

    run(dut, feed, background=(rows, serve))
    cycles = [event[-1] for event in ring.events if event[0] == "progress"]
    assert {later - earlier for earlier, later in pairwise(cycles)} == {dut.pipe.chain_latency}
