# SPDX-License-Identifier: Apache-2.0
"""The walker against the model's walk: well-formed frames of every shape, then damaged ones."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from nicsec.config import Config
from nicsec.walker import Walker
from nicsec_sim.hoststack import Framing, Tunnel, frame
from nicsec_sim.model.parse import Refused, walk
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status
from nicsec_sim.plain import ipv4, ipv6
from sa_rows import lead_row
from streams import run

CONFIG = Config()
KEY = bytes(range(32))

GCM = {"protocol": "esp", "encr_alg": "aes-gcm", "encr_key": KEY, "salt": bytes(4), "icv_len": 16, "iv": "frame"}
CBC = {
    "protocol": "esp", "encr_alg": "aes-cbc", "encr_key": KEY[:16], "auth_alg": "hmac-sha1-96", "auth_key": KEY[:20],
    "icv_len": 12, "iv": "frame",
}
NULL = {"protocol": "esp", "encr_alg": "null", "auth_alg": "hmac-sha256-128", "auth_key": KEY, "icv_len": 16}
AH = {"protocol": "ah", "auth_alg": "hmac-sha1-96", "auth_key": KEY[:20], "icv_len": 12}


def bundles(mode):
    spi = 0x100 if mode == "transport" else 0x200
    for ops in ((GCM,), (CBC,), (NULL,), ({**GCM, "udp_encap": True},), (AH,), (CBC, AH), (GCM, AH)):
        yield Bundle(mode=mode, ops=tuple(Op(**op, spi=spi + n) for n, op in enumerate(ops)))


def shapes(rng):
    """``(sa1, sa2, frame)`` for each bundle alone and for nestings, over both IP versions."""
    tunnels = (Tunnel(src="192.0.2.1", dst="192.0.2.2"), Tunnel(src="2001:db8::1", dst="2001:db8::2"))
    for version in (4, 6):
        for extra in ({}, {"vlan": (5,)}, {"vlan": (5, 6)}, {"snap": True}):
            payload = rng.randbytes(rng.randrange(0, 60))
            plain = (
                ipv4("10.0.0.1", "10.0.0.2", 17, payload)
                if version == 4
                else ipv6("2001:db8:1::1", "2001:db8:1::2", 17, payload)
            )
            for sa in bundles("transport"):
                yield sa, None, frame(plain, sa, **extra)
            for tunnel in tunnels:
                framing = Framing(tunnel=tunnel)
                for sa in bundles("tunnel"):
                    yield sa, None, frame(plain, sa, framing1=framing, **extra)
                    yield None, sa, frame(plain, None, sa, framing2=framing, **extra)
                    inner = rng.choice(list(bundles("transport")))
                    if not any(op.udp_encap for op in inner.ops + sa.ops):
                        yield inner, sa, frame(plain, inner, sa, framing2=framing, **extra)


def expected(sa1, sa2, raw):
    """Status and passes that the model finds: (active, start, header, end) in the walker's units."""
    levels = [sa for sa in (sa2, sa1) if sa is not None]
    try:
        found = walk(raw, levels)
    except Refused as refusal:
        return refusal.status, None
    passes = [None] * 4
    for index, level in zip((1, 0), found.levels, strict=False):
        if level.esp is not None:
            passes[2 * index] = ((level.esp + 2) // 4, (level.payload + 2) // 4, level.icv + 2)
        if level.ah is not None:
            passes[2 * index + 1] = ((level.ip.at + 2) // 4, (level.ah + 2) // 4, level.ip.end + 2)
    return Status.SUCCESS, passes


def check(cases, latency=lambda: 2, stalls=lambda: 0):
    """Walk all ``cases``; cycles from start to done of each. ``latency``: of a row, from request to answer;
    ``stalls``: cycles that the memory has the walker stand still for ahead of a word."""
    dut = Walker(CONFIG)
    frame_words, sas, cycles = [], [], []

    async def memory(ctx):
        addresses = [0, 0]
        while True:
            at = addresses[0]
            ctx.set(dut.word, frame_words[at] if at < len(frame_words) else 0xDEADBEEF)
            for _ in range(stalls()):
                ctx.set(dut.stall, 1)
                await ctx.tick()
            ctx.set(dut.stall, 0)
            addresses = [addresses[1], ctx.get(dut.addr)]
            await ctx.tick()

    async def table(ctx):
        requests, ticks = [], 0
        ctx.set(dut.row_req.ready, 1)
        while True:
            if ctx.get(dut.row_req.valid):
                requests.append((ticks + latency(), ctx.get(dut.row_req.payload)))
            due = bool(requests) and requests[0][0] <= ticks
            ctx.set(dut.row_rsp.valid, due)
            if due:
                request = requests[0][1]
                assert request.row == 0
                ops = sas[request.slot].ops
                row = lead_row(ops[request.op], sas[request.slot].tunnel) if request.op < len(ops) else 0
                ctx.set(dut.row_rsp.payload, row)
                if ctx.get(dut.row_rsp.ready):
                    requests.pop(0)
            await ctx.tick()
            ticks += 1

    async def walks(ctx):
        for sa1, sa2, raw in cases:
            sas[:] = [sa1, sa2 if sa2 is not None else sa1]
            stored = bytes(2) + raw
            frame_words[:] = [
                int.from_bytes(stored[n : n + 4].ljust(4, b"\xa5"), "big") for n in range(0, len(stored), 4)
            ]
            level = [{"slot": n, "iv": [0, 0], "seq_high": 0, "seq_high_valid": 0} for n in range(2)]
            nested = sa1 is not None and sa2 is not None
            job = {"length": len(raw), "status": 0, "bypass": 0, "bound": 1, "nested": nested, "levels": level}
            ctx.set(dut.job, job)
            ctx.set(dut.start, 1)
            await ctx.tick().until(~dut.stall)
            ctx.set(dut.start, 0)
            taken = 1
            while not ctx.get(dut.done):
                await ctx.tick()
                taken += 1
                assert taken < 3000, "the walker does not finish"
            cycles.append(taken)
            status, passes = expected(sa1, sa2, raw)
            assert Status(ctx.get(dut.status).value) == status, (sa1, sa2, raw.hex())
            if passes is not None:
                for entry, want in zip(dut.plan, passes, strict=True):
                    assert ctx.get(entry.active) == (want is not None)
                    if want is not None:
                        assert (ctx.get(entry.start), ctx.get(entry.header), ctx.get(entry.end)) == want
            await ctx.tick().until(~dut.stall)

    run(dut, walks, background=(memory, table), limit=2_000_000)
    return cycles


def test_every_shape():
    cases = list(shapes(random.Random(1)))
    assert len(cases) > 150
    assert all(expected(*case)[0] == Status.SUCCESS for case in cases)
    check(cases)


@pytest.mark.parametrize("seed", [21, 22])
def test_late_rows(seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    check(rng.sample(list(shapes(rng)), 60), lambda: rng.choice((1, 1, 3, 7, 20)))


@pytest.mark.parametrize("seed", [31, 32])
def test_standing_still(seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    check(
        rng.sample(list(shapes(rng)), 60), lambda: rng.choice((1, 3, 7, 20)),
        lambda: rng.randrange(1, 12) if rng.random() < 0.3 else 0,
    )


def test_cycles():
    """A level of IPv4 and ESP, and a second one."""
    tunnel = Tunnel(src="192.0.2.1", dst="192.0.2.2")
    plain = ipv4("10.0.0.1", "10.0.0.2", 17, bytes(20))
    inner, outer = (next(iter(bundles(mode))) for mode in ("transport", "tunnel"))
    single = frame(plain, inner)
    nested = frame(plain, inner, outer, framing2=Framing(tunnel=tunnel))
    assert check([(inner, None, single), (inner, outer, nested)]) == [13, 24]


@pytest.mark.parametrize("seed", [11, 12])
def test_damaged_frames(seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    cases = []
    for sa1, sa2, raw in shapes(rng):
        damaged = bytearray(raw)
        kind = rng.randrange(3)
        if kind == 0:
            del damaged[rng.randrange(14, len(damaged)) :]
        else:
            for _ in range(kind):
                damaged[rng.randrange(12, len(damaged))] = rng.choice((rng.randrange(256), 0, 255, 44, 50, 51, 4))
        cases.append((sa1, sa2, bytes(damaged)))
    statuses = {expected(*case)[0] for case in cases}
    assert len(statuses) > 6, statuses
    check(cases, lambda: rng.choice((1, 2, 9)))
