# SPDX-License-Identifier: Apache-2.0
"""The control side as software and lanes see it: through AXI4-Lite on one side, look-ups and rows on the other."""

import random
from dataclasses import replace

import pytest
from amaranth import *
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from nicsec.algorithm import SACommand, SAResult
from nicsec.config import PRESETS
from nicsec.control import Control
from nicsec.crypto.aes import Aes
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha256 import Sha256
from nicsec.csr import Reg
from nicsec.share import Share, crypto_members, hashes
from nicsec_sim.model.sa import Bundle, Op
from sa_window import rows_of, window_of
from streams import get, put

_WINDOW = 0x200
_BUSY = 1 << 31
_SLVERR = 2
LIFETIMES = replace(PRESETS["tiny"], lifetimes=True)


def gcm(seed, **fields):
    rng = random.Random(seed)
    secrets = {"encr_key": rng.randbytes(16), "salt": rng.randbytes(4)}
    return Op(protocol="esp", spi=rng.randrange(1, 1 << 32), encr_alg="aes-gcm", icv_len=16, **secrets, **fields)


class Bench:
    """Control, and either the real cores behind the share or, quicker, an AES that the bench computes."""

    def __init__(self, config, *, real):
        self.config, self.real, self.done = config, real, False
        self.m = m = Module()
        m.submodules.control = self.dut = dut = Control(config)
        if not real:
            m.d.comb += dut.granted.eq(dut.claim)
            return
        m.submodules.share = share = Share(config)
        m.submodules.aes = aes = Aes()
        cores = {"sha1": Sha1, "sha256": Sha256}
        m.d.comb += [share.setup.claim.eq(dut.claim), dut.granted.eq(share.setup.granted)]
        for name in crypto_members(config):
            connect(m, getattr(dut, name), getattr(share.setup, name))
        connect(m, share.aes_key, aes.key)
        connect(m, share.aes_i, aes.i)
        connect(m, share.aes_o, aes.o)
        for name in hashes(config):
            m.submodules[name] = core = cores[name]()
            connect(m, getattr(share, f"{name}_i"), core.i)
            connect(m, getattr(share, f"{name}_o"), core.o)

    async def aes(self, ctx):
        dut = self.dut
        while not self.done:
            await ctx.tick()
            if ctx.get(dut.aes_key.valid):
                beats = [await get(ctx, dut.aes_key) for _ in range(2)]
                key = b"".join(beat.data.to_bytes(16, "big") for beat in beats)[: 16 + 8 * beats[0].size]
                block = (await get(ctx, dut.aes_i)).to_bytes(16, "big")
                answer = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)
                await put(ctx, dut.aes_o, int.from_bytes(answer, "big"))

    def run(self, bench):
        async def main(ctx):
            await self.poll(ctx, Reg.STATUS, 1, 1)
            await bench(ctx)
            self.done = True

        sim = Simulator(self.m)
        sim.add_clock(1e-8)
        sim.add_testbench(main)
        if not self.real:
            sim.add_testbench(self.aes)
        sim.run()

    async def write(self, ctx, offset, value, strobe=15):
        axi = self.dut.s_axil
        for signal, content in ((axi.awaddr, offset), (axi.wdata, value), (axi.wstrb, strobe), (axi.bready, 1)):
            ctx.set(signal, content)
        ctx.set(axi.awvalid, 1)
        ctx.set(axi.wvalid, 1)
        await ctx.tick()
        ctx.set(axi.awvalid, 0)
        ctx.set(axi.wvalid, 0)
        while not ctx.get(axi.bvalid):
            await ctx.tick()
        response = ctx.get(axi.bresp)
        await ctx.tick()
        return response

    async def read(self, ctx, offset):
        axi = self.dut.s_axil
        ctx.set(axi.araddr, offset)
        ctx.set(axi.arvalid, 1)
        ctx.set(axi.rready, 1)
        await ctx.tick()
        ctx.set(axi.arvalid, 0)
        while not ctx.get(axi.rvalid):
            await ctx.tick()
        assert ctx.get(axi.rresp) == 0
        value = ctx.get(axi.rdata)
        await ctx.tick()
        return value

    async def poll(self, ctx, offset, mask, value):
        for _ in range(2000):
            if (got := await self.read(ctx, offset)) & mask == value:
                return got
        raise TimeoutError(f"{got:#x} at {offset:#x}")

    async def command(self, ctx, command):
        await self.write(ctx, Reg.SA_COMMAND, command.value)
        return SAResult(await self.poll(ctx, Reg.SA_STATUS, _BUSY, 0))

    async def stage(self, ctx, bundle):
        for offset, value in window_of(bundle).items():
            if value:
                assert await self.write(ctx, _WINDOW + offset, value) == 0

    async def add(self, ctx, bundle):
        await self.stage(ctx, bundle)
        result = await self.command(ctx, SACommand.ADD)
        return result, await self.read(ctx, Reg.SA_HANDLE)

    async def delete(self, ctx, handle):
        await self.write(ctx, Reg.SA_HANDLE, handle)
        return await self.command(ctx, SACommand.DELETE)

    async def lookup(self, ctx, handle, length=0):
        await put(ctx, self.dut.lookup, {"handle": handle, "length": length})
        return await get(ctx, self.dut.found)

    async def update(self, ctx, handle, highs=(), limits=None):
        """Update: ``highs`` an op, ``None`` for none; ``limits`` in the order of the window."""
        for n, high in enumerate(highs):
            if high is not None:
                await self.write(ctx, _WINDOW + 0x100 * n + 0xC, high)
                await self.write(ctx, _WINDOW + 0x100 * n, 1)
        if limits is not None:
            await self.write(ctx, _WINDOW, (bool(highs) and highs[0] is not None) | 1 << 31)
            await self.limits(ctx, limits)
        await self.write(ctx, Reg.SA_HANDLE, handle)
        return await self.command(ctx, SACommand.UPDATE)

    async def limits(self, ctx, limits):
        for n, limit in enumerate(limits):
            await self.write(ctx, _WINDOW + 0xC0 + 8 * n, limit & 0xFFFFFFFF)
            await self.write(ctx, _WINDOW + 0xC4 + 8 * n, limit >> 32)

    async def query(self, ctx, handle):
        await self.write(ctx, Reg.SA_HANDLE, handle)
        if (result := await self.command(ctx, SACommand.QUERY)) != SAResult.OK:
            return result
        words = [await self.read(ctx, reg) for reg in range(Reg.SA_PACKETS, Reg.SA_ERRORS + 4, 4)]
        return words[0] | words[1] << 32, words[2] | words[3] << 32, words[4]

    async def event(self, ctx):
        """The oldest event, taken off: (handle, kind register)."""
        event = await self.read(ctx, Reg.SA_EVENT), await self.read(ctx, Reg.SA_EVENT_KIND)
        await self.write(ctx, Reg.SA_EVENT_KIND, 0)
        return event

    async def rows(self, ctx, slot):
        rows = []
        for op in range(2):
            for n in range(8):
                await put(ctx, self.dut.row_req, {"slot": slot, "op": op, "row": n})
                rows.append(await get(ctx, self.dut.row_rsp))
        return rows

    async def strobe(self, ctx, signal):
        ctx.set(signal, 1)
        await ctx.tick()
        ctx.set(signal, 0)


def test_sa_from_registers_to_rows():
    """Real cores: every field of a bundle of two ops, staged over AXI4-Lite, arrives in its row."""
    bench = Bench(PRESETS["basic"], real=True)
    rng = random.Random(4)
    cbc = Op(
        protocol="esp",
        spi=0x01020304,
        encr_alg="aes-cbc",
        encr_key=rng.randbytes(24),
        auth_alg="hmac-sha1-96",
        auth_key=rng.randbytes(20),
        icv_len=12,
        iv_init=0xFFFFFFFF_FFFFFFFF,
        esn=True,
        esn_high=0x89ABCDEF,
    )
    ah = Op(protocol="ah", spi=5, auth_alg="hmac-sha256-128", auth_key=rng.randbytes(100), icv_len=16)
    bundles = [Bundle("tunnel", [gcm(1, iv_init=1 << 40), ah]), Bundle("transport", [cbc])]

    async def main(ctx):
        handles = []
        for slot, bundle in enumerate(bundles):
            result, handle = await bench.add(ctx, bundle)
            assert (result, handle) == (SAResult.OK, slot | 1 << 16)
            handles.append(handle)
        for slot, bundle in enumerate(bundles):
            assert await bench.rows(ctx, slot) == rows_of(bundle, 8)
        found = await bench.lookup(ctx, handles[0])
        assert (found.ok, found.exhausted, found.slot, found.iv[0]) == (1, 0, 0, 1 << 40)
        assert (await bench.lookup(ctx, handles[0])).iv[0] == (1 << 40) + 1
        assert (await bench.lookup(ctx, handles[1])).iv[0] == 0xFFFFFFFF_FFFFFFFF
        assert await bench.read(ctx, Reg.IRQ_STATUS) == 1
        found = await bench.lookup(ctx, handles[1])
        assert (found.ok, found.exhausted) == (1, 1)
        assert await bench.read(ctx, Reg.IRQ_STATUS) == 5

    bench.run(main)


def test_delete_while_a_packet_is_in_flight():
    bench = Bench(PRESETS["tiny"], real=False)
    dut = bench.dut

    async def main(ctx):
        bundle = Bundle("transport", [gcm(1)])
        _, handle = await bench.add(ctx, bundle)
        _, other = await bench.add(ctx, bundle)
        await bench.write(ctx, Reg.IRQ_STATUS, 7)
        await bench.write(ctx, Reg.IRQ_MASK, 1)
        await bench.strobe(ctx, dut.started)
        assert (await bench.lookup(ctx, handle)).ok
        await bench.write(ctx, Reg.SA_HANDLE, handle)
        await bench.write(ctx, Reg.SA_COMMAND, SACommand.DELETE.value)
        await ctx.tick().repeat(300)
        # The packet's rows are there, new packets are refused, the other SA works.
        assert await bench.read(ctx, Reg.SA_STATUS) & _BUSY
        assert await bench.rows(ctx, 0) == rows_of(bundle, 8)
        assert not (await bench.lookup(ctx, handle)).ok
        assert (await bench.lookup(ctx, other)).ok
        assert await bench.read(ctx, Reg.SA_FREE) == 14
        assert not ctx.get(dut.irq)
        await bench.strobe(ctx, dut.retired)
        await ctx.tick().until(dut.irq)
        assert await bench.read(ctx, Reg.SA_STATUS) == SAResult.OK.value
        assert await bench.read(ctx, Reg.SA_FREE) == 15
        assert await bench.rows(ctx, 0) == [0] * 16
        assert not (await bench.lookup(ctx, handle)).ok
        assert await bench.delete(ctx, handle) == SAResult.BAD_HANDLE
        assert await bench.rows(ctx, 1) == rows_of(bundle, 8)

    bench.run(main)


def test_lifetime():
    """Limits of an add, events and their interrupt, query, errors, update, and what a delete leaves of it."""
    bench = Bench(LIFETIMES, real=False)
    dut = bench.dut

    async def main(ctx):
        bundle = Bundle("transport", [gcm(1)])
        await bench.limits(ctx, (2, 3, 0, 1 << 40))
        _, handle = await bench.add(ctx, bundle)
        await bench.write(ctx, Reg.IRQ_STATUS, 7)
        await bench.write(ctx, Reg.IRQ_MASK, 4)
        assert await bench.event(ctx) == (0, 0)
        found = [await bench.lookup(ctx, handle, 1000) for _ in range(4)]
        assert [(one.ok, one.expired) for one in found] == [(1, 0)] * 3 + [(1, 1)]
        await put(ctx, dut.errors, 0)
        assert ctx.get(dut.irq)
        await bench.write(ctx, Reg.IRQ_STATUS, 4)
        await ctx.tick()
        assert not ctx.get(dut.irq)
        assert await bench.query(ctx, handle) == (3, 3000, 1)
        assert [await bench.event(ctx) for _ in range(3)] == [(handle, 1), (handle, 4), (0, 0)]
        assert await bench.query(ctx, handle ^ 1 << 16) == SAResult.BAD_HANDLE
        assert await bench.update(ctx, handle ^ 1 << 16, limits=(0, 0, 0, 0)) == SAResult.BAD_HANDLE
        assert (await bench.lookup(ctx, handle)).expired
        # More room in packets, but the bytes are used up by now, which is told of once.
        assert await bench.update(ctx, handle, limits=(0, 10, 0, 2999)) == SAResult.OK
        assert await bench.event(ctx) == (0, 0)
        assert [(await bench.lookup(ctx, handle)).expired for _ in range(2)] == [1, 1]
        assert await bench.update(ctx, handle, limits=(0, 10, 0, 0)) == SAResult.OK
        found = await bench.lookup(ctx, handle, 7)
        assert (found.expired, found.iv[0]) == (0, 4)
        # What an update does not name stays: limits without bit 31, SEQ_HIGH without bit 0.
        assert await bench.update(ctx, handle, highs=(None,)) == SAResult.OK
        assert await bench.rows(ctx, 0) == rows_of(bundle, 8)
        assert await bench.query(ctx, handle) == (4, 3007, 1)
        await bench.delete(ctx, handle)
        # The event outlives the SA, under its handle; its counts do not.
        assert await bench.event(ctx) == (handle, 8)
        for _ in range(16):
            _, handle = await bench.add(ctx, bundle)
        assert handle == 2 << 16
        assert await bench.query(ctx, handle) == (0, 0, 0)
        assert await bench.event(ctx) == (0, 0)

    bench.run(main)


def test_events_are_lost_when_nobody_takes_them():
    bench = Bench(LIFETIMES, real=False)

    async def main(ctx):
        handles = []
        for n in range(16):
            await bench.limits(ctx, (1, 2, 0, 0))
            handles.append((await bench.add(ctx, Bundle("transport", [gcm(n)])))[1])
        for handle in (*handles, handles[3]):
            await bench.lookup(ctx, handle, 1)
        await ctx.tick().repeat(12)
        events = [await bench.event(ctx) for _ in range(17)]
        assert events == [(handles[0], 1 | 1 << 31), *((handle, 1) for handle in handles[1:]), (0, 0)]

    bench.run(main)


@pytest.mark.parametrize("config", [PRESETS["tiny"], LIFETIMES])
def test_update_of_seq_high(config):
    """It changes one word of each op named, and nothing that was staged beside it gets anywhere."""
    bench = Bench(config, real=False)

    async def main(ctx):
        bundle = Bundle("transport", [gcm(1, esn=True, esn_high=5)])
        _, handle = await bench.add(ctx, bundle)
        _, other = await bench.add(ctx, bundle)
        await bench.stage(ctx, Bundle("transport", [gcm(2)]))
        assert await bench.update(ctx, handle, highs=(0x89ABCDEF,)) == SAResult.OK
        rows = rows_of(bundle, 8)
        assert await bench.rows(ctx, 1) == rows
        rows[0] = rows[0] >> 32 << 32 | 0x89ABCDEF
        assert await bench.rows(ctx, 0) == rows
        assert (await bench.lookup(ctx, handle)).iv[0] == 1
        await bench.delete(ctx, other)
        assert await bench.update(ctx, other, highs=(7,)) == SAResult.BAD_HANDLE
        assert await bench.rows(ctx, 1) == [0] * 16
        # An add behind it takes the next free slot.
        third = Bundle("tunnel", [gcm(3)])
        assert await bench.add(ctx, third) == (SAResult.OK, 2 | 1 << 16)
        assert await bench.rows(ctx, 2) == rows_of(third, 8)
        assert await bench.rows(ctx, 0) == rows

    bench.run(main)


def test_ivs_of_frames():
    bench = Bench(PRESETS["tiny"], real=False)

    async def judge(ctx, iv):
        await put(ctx, bench.dut.check, {"slot": 0, "op": 0, "iv": iv})
        return await get(ctx, bench.dut.checked)

    async def main(ctx):
        _, handle = await bench.add(ctx, Bundle("transport", [gcm(1, iv="frame", iv_init=1 << 40)]))
        assert [await judge(ctx, iv) for iv in (5, (1 << 40) - 1, 1 << 40, 1 << 40)] == [0, 0, 1, 0]
        # Look-ups take nothing of it, and an update leaves it.
        found = await bench.lookup(ctx, handle)
        assert (found.ok, found.exhausted) == (1, 0)
        assert await bench.update(ctx, handle, highs=(1,)) == SAResult.OK
        assert [await judge(ctx, iv) for iv in (1 << 40, (1 << 40) + 1)] == [0, 1]

    bench.run(main)


def test_full_and_reuse():
    bench = Bench(PRESETS["tiny"], real=False)

    async def main(ctx):
        handles = []
        for n in range(16):
            result, handle = await bench.add(ctx, Bundle("transport", [gcm(n)]))
            assert result == SAResult.OK
            handles.append(handle)
        assert await bench.read(ctx, Reg.SA_FREE) == 0
        result, handle = await bench.add(ctx, Bundle("transport", [gcm(99)]))
        assert (result, handle) == (SAResult.FULL, handles[-1])
        for n, handle in enumerate(handles):
            assert (await bench.lookup(ctx, handle)).ok
            if n % 5 == 0:
                assert await bench.rows(ctx, n) == rows_of(Bundle("transport", [gcm(n)]), 8)
        assert await bench.delete(ctx, handles[7]) == SAResult.OK
        result, handle = await bench.add(ctx, Bundle("tunnel", [gcm(99)]))
        assert (result, handle) == (SAResult.OK, 7 | 2 << 16)
        assert await bench.rows(ctx, 7) == rows_of(Bundle("tunnel", [gcm(99)]), 8)
        assert not (await bench.lookup(ctx, handles[7])).ok

    bench.run(main)


def test_keys_are_not_readable():
    """With an SA in the table and another one staged: no word of a key, subkey or midstate is read anywhere.

    All assigned pages and some words of every other page; test_csr reads all 64 KiB of the register file.
    """
    bench = Bench(PRESETS["tiny"], real=False)
    held, staged = (Bundle("transport", [gcm(n, iv_init=0x0123456789ABCDEF)]) for n in (1, 2))
    secrets = set()
    for bundle in (held, staged):
        rows = rows_of(bundle, 8)
        secrets |= {row >> shift & 0xFFFFFFFF for row in rows[1:] for shift in range(0, 128, 32)}
        secrets |= {rows[0] >> 64 & 0xFFFFFFFF, rows[0] >> 32 & 0xFFFFFFFF}
    secrets -= {0}

    async def main(ctx):
        await bench.add(ctx, held)
        assert await bench.rows(ctx, 0) == rows_of(held, 8)
        await bench.stage(ctx, staged)
        axi = bench.dut.s_axil
        values = {}
        ctx.set(axi.rready, 1)
        rng = random.Random(3)
        sample = [page | rng.randrange(0, 0x100, 4) for page in range(0x800, 0x10000, 0x100) for _ in range(4)]
        for offset in (*range(0, 0x800, 4), *sample):
            ctx.set(axi.araddr, offset)
            ctx.set(axi.arvalid, 1)
            await ctx.tick()
            ctx.set(axi.arvalid, 0)
            while not ctx.get(axi.rvalid):
                await ctx.tick()
            if value := ctx.get(axi.rdata):
                values[offset] = value
        assert len(secrets) >= 16
        assert not secrets & set(values.values())
        assert set(values) <= {reg.value for reg in Reg} | {*range(0x400, 0x430, 4)} | {*range(0x500, 0x55C, 4)}
        assert values[Reg.SA_HANDLE] == 0x00010000
        # The sweep took nothing away: the staged SA is still added.
        assert await bench.command(ctx, SACommand.ADD) == SAResult.OK
        assert await bench.rows(ctx, 1) == rows_of(staged, 8)

    bench.run(main)


@pytest.mark.parametrize("strobe", [0, 1, 7, 8, 14])
def test_partial_writes_are_refused(strobe):
    bench = Bench(PRESETS["tiny"], real=False)

    async def main(ctx):
        bundle = Bundle("transport", [gcm(1)])
        await bench.stage(ctx, bundle)
        assert await bench.write(ctx, _WINDOW + 0x20, 0xFFFFFFFF, strobe) == _SLVERR
        assert await bench.write(ctx, Reg.CTRL, 1, strobe) == _SLVERR
        assert await bench.read(ctx, Reg.CTRL) == 0
        assert await bench.command(ctx, SACommand.ADD) == SAResult.OK
        assert await bench.rows(ctx, 0) == rows_of(bundle, 8)

    bench.run(main)


def test_counters_through_registers():
    bench = Bench(PRESETS["tiny"], real=False)
    dut = bench.dut

    async def main(ctx):
        await bench.write(ctx, Reg.IRQ_MASK, 2)
        for length, status, bypassed in ((64, 0, 1), (1518, 0, 0), (100, 8, 0), (90, 0, 0)):
            assert ctx.get(dut.irq) == (length == 90)
            await put(ctx, dut.event, {"length": length, "status": status, "bypassed": bypassed})
            await ctx.tick().repeat(12)
        words = [await bench.read(ctx, 0x400 + 4 * n) for n in range(12)]
        assert words == [4, 0, 1772, 0, 3, 0, 1672, 0, 1, 0, 2, 0]
        assert [await bench.read(ctx, 0x500 + 4 * n) for n in range(32)] == [3, *[0] * 7, 1, *[0] * 23]

    bench.run(main)
