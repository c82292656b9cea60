# SPDX-License-Identifier: Apache-2.0
"""One lane with real cores and an SA table played by the bench: frames against the golden model."""

# amaranth: UnusedElaboratable=no

import random

from amaranth import Module
from amaranth.lib.wiring import connect
from nicsec.config import Config
from nicsec.crypto.aes import Aes
from nicsec.crypto.ghash import Ghash
from nicsec.lane import Lane
from nicsec_sim.hoststack import Framing, frame
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status
from sa_rows import key_rows, lead_row
from streams import get, put, run

CONFIG = Config(encr=("null", "aes-cbc", "aes-gcm"), auth=(), sa_slots=16)


def words(raw):
    raw = bytes(2) + raw
    for at in range(0, len(raw), 4):
        part = raw[at : at + 4]
        last = at + 4 >= len(raw)
        yield {"data": int.from_bytes(part.ljust(4, b"\xee"), "big"), "size": len(part) % 4, "last": last, "error": 0}


def build():
    m = Module()
    m.submodules.lane = lane = Lane(CONFIG)
    m.submodules.aes = aes = Aes(sbox="bram")
    m.submodules.ghash = ghash = Ghash(digit=16)
    connect(m, lane.aes_key, aes.key)
    connect(m, lane.aes_i, aes.i)
    connect(m, aes.o, lane.aes_o)
    connect(m, lane.ghash_h, ghash.h)
    connect(m, lane.ghash_i, ghash.i)
    connect(m, ghash.o, lane.ghash_o)
    m.d.comb += lane.granted.eq(lane.claim)
    return m, lane


def test_frames_match_the_model():
    seed = 7
    print(f"seed {seed}")
    rng = random.Random(seed)
    gcm = {"encr_alg": "aes-gcm", "salt": rng.randbytes(4), "icv_len": 16}
    table, cases = {}, []
    for slot, op in enumerate([
        Op(protocol="esp", spi=0x1001, encr_key=rng.randbytes(16), iv="frame", **gcm),
        Op(protocol="esp", spi=0x1002, encr_key=rng.randbytes(32), iv="generate", esn=True, esn_high=7, **gcm),
        Op(protocol="esp", spi=0x1003, encr_key=rng.randbytes(24), iv="frame", **{**gcm, "icv_len": 8}),
    ]):
        bundle = Bundle(mode="transport", ops=(op,))
        engine = Engine()
        sa = engine.add_sa(bundle)
        table[slot] = [lead_row(op), *key_rows(op)]
        for size in (1, 20, 33, 70, 128, 600):
            plain = bytes.fromhex("4500000000004000401100000a0000010a000002") + rng.randbytes(size)
            plain = plain[:2] + len(plain).to_bytes(2, "big") + plain[4:]
            framed = frame(plain, bundle, framing1=Framing(seq=size, iv=rng.randbytes(op.iv_len)))
            framed += rng.randbytes(max(0, 60 - len(framed)))
            counter = sa.counters[0]
            result = engine.process(framed, sa, None)
            assert result.status == Status.SUCCESS
            cases.append((slot, counter, framed, result))

    m, lane = build()

    async def loader(ctx):
        for _, _, framed, _ in cases:
            for word in words(framed):
                await put(ctx, lane.load, word)

    async def jobs(ctx):
        for slot, counter, framed, _ in cases:
            level = {"slot": slot, "iv": [counter, 0], "seq_high": 0, "seq_high_valid": 0}
            job = {"length": len(framed), "status": 0, "bypass": 0, "bound": 1, "nested": 0, "levels": [level, level]}
            await put(ctx, lane.job, job)

    async def table_server(ctx):
        while True:
            request = await get(ctx, lane.row_req)
            value = table[request.slot][request.row] if request.op == 0 else 0
            await put(ctx, lane.row_rsp, value)

    async def sink(ctx):
        for index, (_, _, framed, result) in enumerate(cases):
            assert (await get(ctx, lane.verdict)).value == result.status, index
            out = b""
            while True:
                word = await get(ctx, lane.drain)
                out += word.data.to_bytes(4, "big")
                if word.last:
                    break
            assert out[2 : 2 + len(framed)].hex() == result.frame.hex(), index

    run(m, loader, jobs, sink, background=[table_server], limit=60_000)
