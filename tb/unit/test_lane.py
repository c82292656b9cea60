# SPDX-License-Identifier: Apache-2.0
"""One lane with real cores and an SA table played by the bench: frames against the golden model."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Module
from amaranth.lib.wiring import Out, connect
from nicsec.config import Config
from nicsec.lane import Lane
from nicsec.sa_layout import rows_per_op
from nicsec.share import crypto_members, lane_crypto_members
from nicsec.units import Units
from nicsec_sim.hoststack import Framing, frame
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status
from sa_window import rows_of
from streams import get, put, run

CONFIGS = {
    "gcm": Config(encr=("null", "aes-cbc", "aes-gcm"), auth=(), sa_slots=16),
    "macs": Config(encr=("null", "aes-ccm"), auth=("aes-xcbc-96", "aes-cmac-96"), sa_slots=16),
}


def bundles(name, rng):
    """Transport-mode bundles for the algorithms of a config."""
    if name == "gcm":
        gcm = {"protocol": "esp", "encr_alg": "aes-gcm", "salt": rng.randbytes(4)}
        return [
            Bundle("transport", [Op(spi=0x1001, encr_key=rng.randbytes(16), iv="frame", icv_len=16, **gcm)]),
            Bundle("transport", [
                Op(spi=0x1002, encr_key=rng.randbytes(32), iv="generate", icv_len=16, esn=True, esn_high=7, **gcm)
            ]),
            Bundle("transport", [Op(spi=0x1003, encr_key=rng.randbytes(24), iv="frame", icv_len=8, **gcm)]),
        ]
    ccm = {"protocol": "esp", "encr_alg": "aes-ccm", "salt": rng.randbytes(3)}
    xcbc, cmac = ({"auth_alg": name, "auth_key": rng.randbytes(16), "icv_len": 12} for name in (
        "aes-xcbc-96", "aes-cmac-96"
    ))
    return [
        Bundle("transport", [Op(spi=0x1001, encr_key=rng.randbytes(32), icv_len=8, esn=True, esn_high=9, **ccm)]),
        Bundle("transport", [Op(spi=0x1002, encr_key=rng.randbytes(16), iv="frame", icv_len=16, **ccm),
                             Op(protocol="ah", spi=0x1003, **xcbc)]),
        Bundle("transport", [Op(protocol="esp", spi=0x1004, **cmac), Op(protocol="ah", spi=0x1005, **cmac)]),
    ]


def words(raw):
    raw = bytes(2) + raw
    for at in range(0, len(raw), 4):
        part = raw[at : at + 4]
        last = at + 4 >= len(raw)
        yield {"data": int.from_bytes(part.ljust(4, b"\xee"), "big"), "size": len(part) % 4, "last": last, "error": 0}


def build(config):
    m = Module()
    m.submodules.lane = lane = Lane(config)
    m.submodules.units = units = Units(config)
    for name, member in {**crypto_members(config), **lane_crypto_members(config)}.items():
        ends = getattr(lane, name), getattr(units, name)
        connect(m, *(ends if member.flow == Out else ends[::-1]))
    m.d.comb += lane.granted.eq(lane.claim)
    if config.has_aes:
        m.d.comb += units.aes_chain.eq(lane.aes_chain)
    return m, lane


@pytest.mark.parametrize("name", CONFIGS)
def test_frames_match_the_model(name):
    seed = 7
    print(f"seed {seed}")
    rng = random.Random(seed)
    config = CONFIGS[name]
    per_op = rows_per_op(config)
    table, cases = {}, []
    for slot, bundle in enumerate(bundles(name, rng)):
        engine = Engine()
        sa = engine.add_sa(bundle)
        table[slot] = rows_of(bundle, per_op)
        # IVs that the frame brought go ahead of the verdict, to be judged.
        judged = [n for n, op in enumerate(bundle.ops) if op.judges_iv]
        for turn, size in enumerate((1, 20, 33, 70, 128, 600) if name == "gcm" else (1, 33, 128)):
            plain = bytes.fromhex("4500000000004000401100000a0000010a000002") + rng.randbytes(size)
            plain = plain[:2] + len(plain).to_bytes(2, "big") + plain[4:]
            iv = turn << 61 | rng.getrandbits(61)
            framed = frame(plain, bundle, framing1=Framing(seq=size, iv=iv.to_bytes(8, "big") if judged else None))
            framed += rng.randbytes(max(0, 60 - len(framed)))
            counter = sa.counters[0]
            result = engine.process(framed, sa, None)
            assert result.status == Status.SUCCESS
            cases.append((slot, counter, [(slot, n, iv) for n in judged], framed, result))

    m, lane = build(config)

    async def loader(ctx):
        for *_, framed, _ in cases:
            for word in words(framed):
                await put(ctx, lane.load, word)

    async def jobs(ctx):
        for slot, counter, _, framed, _ in cases:
            level = {"slot": slot, "iv": [counter, 0], "seq_high": 0, "seq_high_valid": 0}
            job = {"length": len(framed), "status": 0, "bypass": 0, "bound": 1, "nested": 0, "levels": [level, level]}
            await put(ctx, lane.job, job)

    async def table_server(ctx):
        while True:
            request = await get(ctx, lane.row_req)
            await put(ctx, lane.row_rsp, table[request.slot][per_op * request.op + request.row])

    async def sink(ctx):
        for index, (_, _, ivs, framed, result) in enumerate(cases):
            for expected in ivs:
                beat = await get(ctx, lane.verdict)
                assert (beat.last, beat.iv.slot, beat.iv.op, beat.iv.iv) == (0, *expected), index
            beat = await get(ctx, lane.verdict)
            assert (beat.last, beat.status.value) == (1, result.status), index
            out = b""
            while True:
                word = await get(ctx, lane.drain)
                out += word.data.to_bytes(4, "big")
                if word.last:
                    break
            assert out[2 : 2 + len(framed)].hex() == result.frame.hex(), index

    run(m, loader, jobs, sink, background=[table_server], limit=60_000)
