# SPDX-License-Identifier: Apache-2.0
"""Key setup with the real cores behind the shared seam: rows, refusals, emptied window, constant time."""

import random
from itertools import pairwise

import pytest
from amaranth import *
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator
from nicsec.algorithm import Auth, Encr, SACommand, SAResult
from nicsec.config import PRESETS, Config
from nicsec.crypto.aes import Aes
from nicsec.crypto.md5 import Md5
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha256 import Sha256
from nicsec.crypto.sha512 import Sha512
from nicsec.sa_layout import Control, RowKind, TableOp, rows_per_op
from nicsec.sa_rules import verdict
from nicsec.sa_setup import SASetup
from nicsec.share import Share, crypto_members, hashes
from nicsec_sim.model.sa import Bundle, Op
from sa_window import rows_of, window_of
from streams import get, put, run

_CORES = {"md5": Md5, "sha1": Sha1, "sha256": Sha256, "sha512": Sha512}
_HMACS = ("hmac-md5-96", "hmac-sha1-96", "hmac-sha256-128", "hmac-sha384-192", "hmac-sha512-256")

#: Few cores each, for the simulator's sake; the last has all of them.
_CONFIGS = {
    "ghash": Config(sa_slots=16, encr=("aes-gcm", "aes-gmac"), auth=("aes-gmac",)),
    "narrow": Config(sa_slots=16, encr=("null",), auth=("hmac-md5-96", "hmac-sha1-96", "hmac-sha256-128")),
    "wide": Config(sa_slots=16, encr=("null",), auth=("hmac-sha1-96", "hmac-sha384-192", "hmac-sha512-256")),
    "macs": Config(sa_slots=16, encr=("null", "aes-cbc", "aes-ccm"), auth=("aes-xcbc-96", "aes-cmac-96")),
    "all": Config(
        sa_slots=16,
        encr=("null", "aes-cbc", "aes-gcm", "aes-ctr", "aes-gmac", "aes-ccm"),
        auth=(*_HMACS, "aes-gmac", "aes-xcbc-96", "aes-cmac-96"),
    ),
}


class Bench:
    """Setup, the share and the cores; the test plays registers, lane and table."""

    def __init__(self, config):
        self.config = config
        self.m = m = Module()
        m.submodules.setup = self.dut = dut = SASetup(config)
        m.submodules.share = self.share = share = Share(config)
        m.d.comb += [share.setup.claim.eq(dut.claim), dut.granted.eq(share.setup.granted)]
        for name in crypto_members(config):
            connect(m, getattr(dut, name), getattr(share.setup, name))
        if config.has_aes:
            m.submodules.aes = aes = Aes()
            connect(m, share.aes_key, aes.key)
            connect(m, share.aes_i, aes.i)
            connect(m, share.aes_o, aes.o)
        for name in hashes(config):
            m.submodules[name] = core = _CORES[name]()
            connect(m, getattr(share, f"{name}_i"), core.i)
            connect(m, getattr(share, f"{name}_o"), core.o)
        self.rows, self.ivs, self.limits, self.highs, self.commands = {}, {}, {}, {}, []
        self.free, self.cycles, self.done = 5, 0, False

    async def ready(self, ctx):
        ctx.set(self.dut.free, self.free)
        await ctx.tick().until(self.dut.ready)

    async def stage(self, ctx, words):
        window = self.dut.window
        for offset, value in words.items():
            ctx.set(window.en, 1)
            ctx.set(window.addr, offset // 4)
            ctx.set(window.data, value)
            await ctx.tick()
        ctx.set(window.en, 0)

    async def command(self, ctx, op, handle=0):
        ctx.set(self.dut.cmd.payload, {"op": op.value if hasattr(op, "value") else op, "handle": handle})
        ctx.set(self.dut.cmd.valid, 1)
        ctx.set(self.dut.result.ready, 1)
        self.cycles = 0
        while not ctx.get(self.dut.result.valid):
            taken = ctx.get(self.dut.cmd.ready)
            await ctx.tick()
            self.cycles += 1
            if taken:
                ctx.set(self.dut.cmd.valid, 0)
        assert not ctx.get(self.dut.cmd.valid)
        result = ctx.get(self.dut.result.payload)
        await ctx.tick()
        ctx.set(self.dut.result.ready, 0)
        # Nothing that was staged is left.
        assert not any(ctx.get(self.dut._window.data[n]) for n in range(128))
        return SAResult(result.code), result.handle

    async def table(self, ctx):
        write = self.dut.write
        rng = random.Random(7)
        while not self.done:
            await ctx.tick()
            if ctx.get(write.valid):
                for _ in range(rng.randrange(3)):
                    await ctx.tick()
                w = await get(ctx, write)
                # An add writes a free slot, an update the one that its handle named.
                assert w.update == (ctx.get(self.dut.cmd.p.op) == SACommand.UPDATE.value)
                if w.kind == RowKind.IV:
                    self.ivs[w.op] = w.data & (1 << 64) - 1
                elif w.kind == RowKind.LIMITS:
                    assert not w.op
                    assert self.rows == {}
                    self.limits[w.row] = w.data & (1 << 48) - 1, w.data >> 64 & (1 << 48) - 1
                elif w.kind == RowKind.SEQ_HIGH:
                    assert not w.row
                    self.highs[w.op] = w.data & 0xFFFFFFFF
                else:
                    assert (w.op, w.row) not in self.rows
                    self.rows[w.op, w.row] = w.data
            if ctx.get(self.dut.table_cmd.valid):
                c = await get(ctx, self.dut.table_cmd)
                self.commands.append((c.op, c.handle, c.generate))
                code = SAResult.BAD_HANDLE if c.op != TableOp.ADD and c.handle == 0xBAD else SAResult.OK
                await put(ctx, self.dut.table_result, {"code": code.value, "handle": 0x00010002})

    def run(self, main_bench, beside=()):
        async def table(ctx):
            await self.table(ctx)

        async def main(ctx):
            await self.ready(ctx)
            await main_bench(ctx)
            self.done = True

        sim = Simulator(self.m)
        sim.add_clock(1e-8)
        sim.add_testbench(main)
        sim.add_testbench(table)
        for bench in beside:
            sim.add_testbench(bench)
        sim.run()


def flat(bench):
    per_op = rows_per_op(bench.config)
    return [bench.rows.get((op, n), 0) for op in range(2) for n in range(per_op)]


def op(encr=None, auth=None, *, size=16, icv=None, protocol=None, rng=None, **fields):
    rng = rng or random.Random(f"{encr} {auth} {size}")
    protocol = protocol or ("esp" if encr else "ah")
    aes = encr and encr.startswith("aes")
    lengths = {"hmac-md5-96": 12, "hmac-sha1-96": 12, "hmac-sha256-128": 16, "hmac-sha384-192": 24}
    lengths |= {"hmac-sha512-256": 32, "aes-gmac": 16, "aes-gcm": 16, "aes-ccm": 16, None: 0}
    lengths |= {"aes-xcbc-96": 12, "aes-cmac-96": 12}
    name = encr if encr in ("aes-gcm", "aes-gmac", "aes-ccm") else auth
    salted = encr in ("aes-gcm", "aes-gmac", "aes-ctr", "aes-ccm") or auth == "aes-gmac"
    if auth in ("aes-xcbc-96", "aes-cmac-96"):
        fields["auth_size"] = 16
    return Op(
        protocol=protocol,
        spi=rng.randrange(1, 1 << 32),
        encr_alg=encr,
        encr_key=rng.randbytes(size) if aes else None,
        salt=rng.randbytes(3 if encr == "aes-ccm" else 4) if salted else None,
        auth_alg=auth,
        auth_key=rng.randbytes(size if auth == "aes-gmac" else fields.pop("auth_size", 20)) if auth else None,
        icv_len=lengths[name] if icv is None else icv,
        iv_init=rng.getrandbits(64),
        **fields,
    )


GCM = Bundle("transport", [op("aes-gcm")])
CBC = Bundle("tunnel", [op("aes-cbc", "hmac-sha256-128", size=32, auth_size=64)])
XCBC_CMAC = Bundle("transport", [op("null", "aes-xcbc-96"), op(None, "aes-cmac-96")])
GCM_AH = Bundle("tunnel", [op("aes-gcm", size=32), op(None, "hmac-sha256-128", auth_size=32)])
BUNDLES = {
    "ghash": [
        GCM,
        Bundle("tunnel", [op("aes-gcm", size=24, icv=8, esn=True, esn_high=5)]),
        Bundle("tunnel", [op("aes-gcm", size=32, icv=12, udp_encap=True, iv="frame")]),
        Bundle("transport", [op("aes-gmac", size=32)]),
        Bundle("transport", [op(None, "aes-gmac", size=24)]),
        Bundle("transport", [op("aes-gcm"), op(None, "aes-gmac", size=32)]),
    ],
    "narrow": [
        Bundle("tunnel", [op("null", "hmac-sha256-128", icv=12, auth_size=1)]),
        Bundle("transport", [op("null", "hmac-md5-96", auth_size=16)]),
        Bundle("transport", [op(None, "hmac-sha1-96", auth_size=80)]),
        Bundle("transport", [op("null", "hmac-sha1-96"), op(None, "hmac-sha256-128", auth_size=64)]),
        Bundle("transport", [op("null"), op(None, "hmac-sha1-96")]),
    ],
    "wide": [
        Bundle("transport", [op("null", "hmac-sha384-192", auth_size=48)]),
        Bundle("transport", [op("null", "hmac-sha512-256", auth_size=131)]),
        Bundle("transport", [op("null", "hmac-sha1-96"), op(None, "hmac-sha512-256", auth_size=128)]),
    ],
    "macs": [
        XCBC_CMAC,
        Bundle("tunnel", [op("aes-cbc", "aes-cmac-96", size=24), op(None, "aes-xcbc-96")]),
        Bundle("transport", [op("aes-ccm", size=32, icv=8), op(None, "aes-cmac-96")]),
        Bundle("tunnel", [op("aes-ccm", icv=12)]),
    ],
    "all": [Bundle("transport", [op("aes-cbc"), op(None, "aes-gmac", size=32)]), GCM_AH, XCBC_CMAC],
}


@pytest.mark.parametrize("name", BUNDLES)
def test_rows(name):
    bench = Bench(_CONFIGS[name])

    async def adds(ctx):
        for bundle in BUNDLES[name]:
            bench.rows, bench.ivs, bench.commands = {}, {}, []
            await bench.stage(ctx, window_of(bundle))
            assert await bench.command(ctx, SACommand.ADD) == (SAResult.OK, 0x00010002)
            assert flat(bench) == rows_of(bundle, rows_per_op(bench.config))
            assert bench.ivs == {n: item.iv_init for n, item in enumerate(bundle.ops)}
            generate = sum(item.generates_iv << n for n, item in enumerate(bundle.ops))
            assert bench.commands == [(TableOp.ADD, 0, generate)]

    bench.run(adds)


def test_rows_of_the_presets():
    for name, bundle in (("tiny", GCM), ("basic", GCM_AH)):
        bench = Bench(PRESETS[name])

        async def add(ctx, bench=bench, bundle=bundle):
            await bench.stage(ctx, window_of(bundle))
            assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.OK
            assert flat(bench) == rows_of(bundle, 8)

        bench.run(add)


def test_units_are_shared_with_a_busy_lane():
    """The lane claims again and again, loads other keys, and setup still gets the units and right rows."""
    bench = Bench(PRESETS["basic"])
    turns = []

    async def lane(ctx):
        port, rng = bench.share.lane, random.Random(3)
        while not bench.done:
            ctx.set(port.claim, 1)
            await ctx.tick().until(port.granted)
            for _ in range(2):
                await put(ctx, port.aes_key, {"data": rng.getrandbits(128), "size": 2})
            await put(ctx, port.aes_i, rng.getrandbits(128))
            await get(ctx, port.aes_o)
            for n in range(21):
                await put(ctx, port.sha1_i, {"word": rng.getrandbits(32), "last": n == 20})
            for _ in range(5):
                await get(ctx, port.sha1_o)
            assert not ctx.get(bench.share.setup.granted)
            ctx.set(port.claim, 0)
            turns.append("lane")
            await ctx.tick()

    async def watch(ctx):
        before = 0
        while not bench.done:
            _, _, granted = await ctx.tick().sample(bench.share.setup.granted)
            if granted and not before:
                turns.append("setup")
            before = granted

    async def adds(ctx):
        for bundle in (GCM_AH, CBC):
            bench.rows = {}
            await bench.stage(ctx, window_of(bundle))
            assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.OK
            assert flat(bench) == rows_of(bundle, 8)

    bench.run(adds, beside=(lane, watch))
    # H, then two midstates, twice midstates alone; never twice in a row, so the lane waited for one task at most.
    assert turns.count("setup") == 5
    assert all(pair != ("setup", "setup") for pair in pairwise(turns))


def test_full_and_delete_and_unknown():
    bench = Bench(PRESETS["tiny"])

    async def commands(ctx):
        ctx.set(bench.dut.free, 0)
        await bench.stage(ctx, window_of(GCM))
        assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.FULL
        assert (bench.rows, bench.ivs, bench.commands) == ({}, {}, [])
        assert (await bench.command(ctx, SACommand.DELETE, 0xBAD))[0] == SAResult.BAD_HANDLE
        await bench.stage(ctx, window_of(GCM))
        assert (await bench.command(ctx, SACommand.DELETE, 0x70003))[0] == SAResult.OK
        assert bench.commands == [(TableOp.DELETE, 0xBAD, 0), (TableOp.DELETE, 0x70003, 0)]
        ctx.set(bench.dut.free, 1)
        for number in (0, 5, 255):
            await bench.stage(ctx, window_of(GCM))
            assert (await bench.command(ctx, number))[0] == SAResult.INVALID
        # Each of these emptied the window.
        assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.INVALID
        assert bench.rows == {}

    bench.run(commands)


def limit_words(*limits):
    """Limits in the order of the window: soft and hard packets, soft and hard bytes."""
    words = {}
    for n, limit in enumerate(limits):
        words |= {0xC0 + 8 * n: limit & 0xFFFFFFFF, 0xC4 + 8 * n: limit >> 32}
    return words


LIMITS = (1, 1 << 47, 0x123456789ABC, 0xFFFFFFFFFFFF)
UPDATE = 1 << 31


def test_limits():
    bench = Bench(PRESETS["basic"])

    async def adds(ctx):
        for limits in (LIMITS, (0, 0, 0, 0)):
            bench.rows, bench.limits = {}, {}
            await bench.stage(ctx, window_of(GCM_AH) | limit_words(*limits))
            assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.OK
            assert bench.limits == {0: limits[:2], 1: limits[2:]}
            assert flat(bench) == rows_of(GCM_AH, 8)

    bench.run(adds)


@pytest.mark.parametrize("present", range(4))
@pytest.mark.parametrize("limited", [False, True])
def test_update(present, limited):
    """SEQ_HIGH of the ops that are present and the limits with bit 31; no row, no counter, nothing for a bad handle."""
    bench = Bench(PRESETS["basic"])
    words = limit_words(*LIMITS)
    for n in range(2):
        words |= {n << 8: present >> n & 1 | (UPDATE if limited and n == 0 else 0), n << 8 | 0xC: 0xA5000000 + n}
        words |= {n << 8 | offset: 0x5EC2E7 for offset in (0x4, 0x8, 0x10, 0x20, 0x40)}

    async def updates(ctx):
        # A full table is no hindrance.
        ctx.set(bench.dut.free, 0)
        await bench.stage(ctx, words)
        assert (await bench.command(ctx, SACommand.UPDATE, 0xBAD))[0] == SAResult.BAD_HANDLE
        assert (bench.highs, bench.limits, bench.rows, bench.ivs) == ({}, {}, {}, {})
        await bench.stage(ctx, words)
        assert (await bench.command(ctx, SACommand.UPDATE, 0x70003))[0] == SAResult.OK
        assert bench.highs == {n: 0xA5000000 + n for n in range(2) if present >> n & 1}
        assert bench.limits == ({0: LIMITS[:2], 1: LIMITS[2:]} if limited else {})
        assert (bench.rows, bench.ivs) == ({}, {})
        assert bench.commands == [(TableOp.UPDATE, 0xBAD, 0), (TableOp.UPDATE, 0x70003, 0)]
        # What an update staged is gone, and an add is an add again.
        assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.INVALID

    bench.run(updates)


def test_query():
    bench = Bench(PRESETS["basic"])

    async def queries(ctx):
        assert (await bench.command(ctx, SACommand.QUERY, 0x70003))[0] == SAResult.OK
        assert (await bench.command(ctx, SACommand.QUERY, 0xBAD))[0] == SAResult.BAD_HANDLE
        assert bench.commands == [(TableOp.QUERY, 0x70003, 0), (TableOp.QUERY, 0xBAD, 0)]
        assert (bench.highs, bench.limits, bench.rows, bench.ivs) == ({}, {}, {}, {})

    bench.run(queries)


def test_build_without_lifetimes():
    """No add or update with a limit, no query; SEQ_HIGH is updated as elsewhere."""
    bench = Bench(PRESETS["tiny"])

    async def commands(ctx):
        for n in range(8):
            await bench.stage(ctx, window_of(GCM) | {0xC0 + 4 * n: 1 << 3 * n})
            assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.UNSUPPORTED
        for words in ({0: UPDATE}, {0: UPDATE | 1, 0xC: 1} | limit_words(*LIMITS)):
            await bench.stage(ctx, words)
            assert (await bench.command(ctx, SACommand.UPDATE, 0x70003))[0] == SAResult.UNSUPPORTED
        assert (await bench.command(ctx, SACommand.QUERY, 0x70003))[0] == SAResult.UNSUPPORTED
        assert (bench.rows, bench.ivs, bench.highs, bench.commands) == ({}, {}, {}, [])
        await bench.stage(ctx, {0: 1, 0xC: 77})
        assert (await bench.command(ctx, SACommand.UPDATE, 0x70003))[0] == SAResult.OK
        assert bench.highs == {0: 77}
        await bench.stage(ctx, window_of(GCM))
        assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.OK
        assert flat(bench) == rows_of(GCM, 8)

    bench.run(commands)


def control(**fields):
    word = {"present": 1, "key_size": 0, "encr": Encr.AES_GCM, "auth": Auth.NONE, "icv": 16} | fields
    flags = ("present", "ah", "tunnel", "iv_generate", "esn", "udp_encap")
    return (
        sum(bool(word.get(name)) << n for n, name in enumerate(flags))
        | word["key_size"] << 6
        | word["encr"].value << 8
        | word["auth"].value << 12
        | word["icv"] // 4 << 16
        | word.get("reserved", 0) << 20
    )


_AH = {"ah": 1, "encr": Encr.NULL, "auth": Auth.HMAC_SHA1, "icv": 12}
_CBC = {"encr": Encr.AES_CBC, "auth": Auth.HMAC_SHA1, "icv": 12}
_OK, _UNSUPPORTED, _INVALID = SAResult.OK, SAResult.UNSUPPORTED, SAResult.INVALID


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {"present": 0}, _OK),
        ({"present": 0}, {"present": 0}, _INVALID),
        ({"present": 0}, _AH, _INVALID),
        # Shape.
        (_AH, {"present": 0}, _OK),
        (_AH, _AH, _INVALID),
        (_AH, {}, _INVALID),
        ({}, {}, _INVALID),
        ({}, _AH, _OK),
        (_CBC, _AH, _OK),
        ({"tunnel": 1}, _AH, _INVALID),
        ({"tunnel": 1}, _AH | {"tunnel": 1}, _OK),
        ({"reserved": 1}, {"present": 0}, _INVALID),
        ({}, _AH | {"reserved": 0x800}, _INVALID),
        # Algorithms that the build lacks, and numbers that are none.
        *(({"encr": encr}, {"present": 0}, _UNSUPPORTED) for encr in Encr if encr.value >= 3),
        *((_CBC | {"auth": auth}, {"present": 0}, _UNSUPPORTED) for auth in Auth if auth.value >= 3),
        *((_AH | {"auth": auth}, {"present": 0}, _UNSUPPORTED) for auth in Auth if auth.value >= 3),
        ({}, _AH | {"auth": Auth.HMAC_SHA512}, _UNSUPPORTED),
        # ICV lengths.
        *(({"icv": icv}, {"present": 0}, _OK if icv in (8, 12, 16) else _INVALID) for icv in range(0, 36, 4)),
        *((_CBC | {"icv": icv}, {"present": 0}, _OK if icv == 12 else _INVALID) for icv in range(0, 36, 4)),
        *(
            (_AH | {"auth": Auth.HMAC_SHA256, "icv": icv}, {"present": 0}, _OK if icv in (12, 16) else _INVALID)
            for icv in range(0, 36, 4)
        ),
        # Authentication.
        (_CBC | {"auth": Auth.NONE, "icv": 0}, {"present": 0}, _INVALID),
        (_CBC | {"auth": Auth.NONE, "icv": 0}, _AH, _OK),
        (_CBC | {"auth": Auth.NONE}, _AH, _INVALID),
        (_CBC | {"encr": Encr.NULL}, {"present": 0}, _OK),
        ({"encr": Encr.NULL, "icv": 0}, {"present": 0}, _INVALID),
        ({"auth": Auth.HMAC_SHA1}, {"present": 0}, _INVALID),
        ({"auth": Auth.HMAC_SHA1, "icv": 12}, {"present": 0}, _INVALID),
        # AH.
        (_AH | {"encr": Encr.AES_CBC}, {"present": 0}, _INVALID),
        (_AH | {"udp_encap": 1}, {"present": 0}, _INVALID),
        (_AH | {"auth": Auth.NONE, "icv": 0}, {"present": 0}, _INVALID),
        ({}, _AH | {"encr": Encr.AES_GCM}, _INVALID),
        ({"udp_encap": 1}, _AH, _OK),
        # Key sizes.
        *(({"key_size": size}, {"present": 0}, _OK if size < 3 else _INVALID) for size in range(4)),
        (_CBC | {"key_size": 3}, {"present": 0}, _INVALID),
        (_AH | {"key_size": 3}, {"present": 0}, _OK),
    ],
)
def test_rules(first, second, expected):
    m = Module()
    one, two, result = Signal(Control), Signal(Control), Signal(SAResult)
    m.d.sync += result.eq(verdict(PRESETS["basic"], one, two))

    async def check(ctx):
        ctx.set(one.as_value(), control(**first))
        ctx.set(two.as_value(), control(**second))
        await ctx.tick()
        assert ctx.get(result) == expected

    run(m, check)


def test_refusal_leaves_nothing():
    """Through the whole block: a refused add writes no row, issues no command, empties the window."""
    bench = Bench(PRESETS["basic"])

    async def adds(ctx):
        for words, code in (
            (window_of(GCM) | {0: control(icv=4)}, _INVALID),
            (window_of(GCM) | {0: control(encr=Encr.AES_CTR)}, _UNSUPPORTED),
            (window_of(GCM_AH) | {0x100: control(**_AH | {"tunnel": 0})}, _INVALID),
        ):
            await bench.stage(ctx, words)
            assert (await bench.command(ctx, SACommand.ADD))[0] == code
            assert (bench.rows, bench.ivs, bench.commands) == ({}, {}, [])

    bench.run(adds)


@pytest.mark.parametrize(
    ("config", "bundle"),
    [(PRESETS["basic"], GCM), (PRESETS["basic"], CBC), (PRESETS["basic"], GCM_AH), (_CONFIGS["macs"], XCBC_CMAC)],
)
def test_time_does_not_depend_on_keys(config, bundle):
    bench = Bench(config)
    cycles = []

    async def adds(ctx):
        rng = random.Random(1)
        for n in range(4):
            words = window_of(bundle)
            for offset in words:
                if offset % 0x100 >= 0x20:
                    words[offset] = (0, 0xFFFFFFFF, rng.getrandbits(32), rng.getrandbits(32))[n]
            await bench.stage(ctx, words)
            assert (await bench.command(ctx, SACommand.ADD))[0] == SAResult.OK
            cycles.append(bench.cycles)

    async def table(ctx):
        ctx.set(bench.dut.write.ready, 1)
        while not bench.done:
            await ctx.tick()
            if ctx.get(bench.dut.table_cmd.valid):
                await get(ctx, bench.dut.table_cmd)
                await put(ctx, bench.dut.table_result, {"code": 0, "handle": 1})

    bench.table = table
    bench.run(adds)
    print(f"{cycles[0]} cycles")
    assert len(set(cycles)) == 1
    assert cycles[0] > 200
