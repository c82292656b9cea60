# SPDX-License-Identifier: Apache-2.0
"""Registers: values, write access, busy, interrupts, and nothing to read elsewhere."""

import random

import pytest
from amaranth.sim import Simulator
from nicsec import __version__
from nicsec.algorithm import Feature, SACommand, SAResult
from nicsec.config import PRESETS
from nicsec.csr import Csr, Reg, features
from streams import run

_WINDOW = 0x200
_CONSTANT = (Reg.ID, Reg.VERSION, Reg.CONFIG_HASH, *range(Reg.CAP_LANES, Reg.CAP_FEATURES + 4, 4))


def simulate(dut, bench, beside):
    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.add_testbench(beside, background=True)
    sim.run()


async def _access(ctx, dut, offset):
    ctx.set(dut.bus.addr, offset // 4)
    await ctx.tick()
    ctx.set(dut.bus.write, 0)
    ctx.set(dut.bus.read, 0)
    for _ in range(4):
        if ctx.get(dut.bus.ack):
            break
        await ctx.tick()
    assert ctx.get(dut.bus.ack)
    value, error = ctx.get(dut.bus.r_data), ctx.get(dut.bus.error)
    await ctx.tick()
    assert not ctx.get(dut.bus.ack)
    return value, error


async def read(ctx, dut, offset):
    ctx.set(dut.bus.read, 1)
    value, error = await _access(ctx, dut, offset)
    assert not error
    return value


async def write(ctx, dut, offset, value):
    """Returns whether the write was refused."""
    ctx.set(dut.bus.write, 1)
    ctx.set(dut.bus.w_data, value)
    return (await _access(ctx, dut, offset))[1]


@pytest.mark.parametrize("preset", ["tiny", "basic"])
def test_constants(preset):
    config = PRESETS[preset]
    dut = Csr(config)

    async def bench(ctx):
        got = [await read(ctx, dut, offset) for offset in _CONSTANT]
        encr, auth = {"tiny": (0b100, 0), "basic": (0b111, 0b110)}[preset]
        major, minor, patch = __version__.split(".")
        version = int(major) << 24 | int(minor) << 16 | int(patch) << 8
        expected = [0x4E494353, version, int(config.hash[:8], 16), config.lanes, config.sa_slots]
        assert got == [*expected, config.max_frame, encr, auth, features(config).value]
        for offset in _CONSTANT:
            assert not await write(ctx, dut, offset, 0xFFFFFFFF)
        assert [await read(ctx, dut, offset) for offset in _CONSTANT] == got

    run(dut, bench)
    assert bool(features(config) & Feature.AH) == bool(config.auth)


def test_control_and_interrupts():
    dut = Csr(PRESETS["tiny"])

    async def strobe(ctx, signal):
        ctx.set(signal, 1)
        await ctx.tick()
        ctx.set(signal, 0)
        await ctx.tick().repeat(2)

    async def bench(ctx):
        assert not ctx.get(dut.enable)
        await write(ctx, dut, Reg.CTRL, 0xFFFFFFFF)
        assert await read(ctx, dut, Reg.CTRL) == 1
        assert ctx.get(dut.enable)
        assert await read(ctx, dut, Reg.STATUS) == 0
        ctx.set(dut.ready, 1)
        assert await read(ctx, dut, Reg.STATUS) == 1
        for bit, signal in ((1, dut.dropped), (2, dut.sa_event)):
            await strobe(ctx, signal)
            assert await read(ctx, dut, Reg.IRQ_STATUS) == 1 << bit
            assert not ctx.get(dut.irq)
            await write(ctx, dut, Reg.IRQ_MASK, 1 << bit)
            assert ctx.get(dut.irq)
            await write(ctx, dut, Reg.IRQ_STATUS, 7 & ~(1 << bit))
            assert ctx.get(dut.irq)
            await write(ctx, dut, Reg.IRQ_STATUS, 1 << bit)
            await ctx.tick()
            assert not ctx.get(dut.irq)
        await write(ctx, dut, Reg.IRQ_MASK, 0xFFFFFFFF)
        assert await read(ctx, dut, Reg.IRQ_MASK) == 7
        # An event in the cycle in which its bit is cleared is not lost.
        ctx.set(dut.dropped, 1)
        await write(ctx, dut, Reg.IRQ_STATUS, 7)
        ctx.set(dut.dropped, 0)
        assert await read(ctx, dut, Reg.IRQ_STATUS) == 2

    run(dut, bench)


def test_events_and_usage():
    """Registers of lifetimes follow what they show; only a write to SA_EVENT_KIND takes an event off."""
    dut = Csr(PRESETS["basic"])
    rng = random.Random(8)
    taken = []

    async def watch(ctx):
        while True:
            _, _, strobe = await ctx.tick().sample(dut.event_taken)
            taken.extend([1] * strobe)

    async def bench(ctx):
        for lost in (0, 1):
            handle, kinds = rng.getrandbits(32), rng.randrange(1, 16)
            usage = {"packets": rng.getrandbits(48), "bytes": rng.getrandbits(48), "errors": rng.getrandbits(32)}
            ctx.set(dut.event, {"handle": handle, "kinds": kinds})
            ctx.set(dut.events_lost, lost)
            ctx.set(dut.usage, usage)
            assert await read(ctx, dut, Reg.SA_EVENT) == handle
            assert await read(ctx, dut, Reg.SA_EVENT_KIND) == kinds | lost << 31
            words = [await read(ctx, dut, reg) for reg in (0xA0, 0xA4, 0xA8, 0xAC, 0xB0)]
            assert words[0] | words[1] << 32 == usage["packets"]
            assert words[2] | words[3] << 32 == usage["bytes"]
            assert words[4] == usage["errors"]
        for reg in (Reg.SA_EVENT, 0x98, 0xA0, 0xB0, 0x400):
            assert not await write(ctx, dut, reg, 0xFFFFFFFF)
        assert taken == []
        for n in range(1, 3):
            await write(ctx, dut, Reg.SA_EVENT_KIND, 0)
            await ctx.tick()
            assert len(taken) == n

    simulate(dut, bench, watch)
    assert features(PRESETS["basic"]) & Feature.LIFETIME
    assert not features(PRESETS["tiny"]) & Feature.LIFETIME


def test_commands():
    dut = Csr(PRESETS["tiny"])

    async def bench(ctx):
        busy = 1 << 31
        # Not ready: nothing gets through.
        assert await read(ctx, dut, Reg.SA_STATUS) == busy
        assert await write(ctx, dut, _WINDOW, 1)
        assert await write(ctx, dut, Reg.SA_HANDLE, 5)
        assert not await write(ctx, dut, Reg.SA_COMMAND, 1)
        ctx.set(dut.ready, 1)
        await ctx.tick()
        assert not ctx.get(dut.cmd.valid)
        assert await read(ctx, dut, Reg.SA_HANDLE) == 0
        assert await read(ctx, dut, Reg.SA_STATUS) == 0

        for command, code, answer in (
            (SACommand.ADD.value, SAResult.OK, 0x00030007),
            (SACommand.DELETE.value, SAResult.BAD_HANDLE, 0x1234),
            (99, SAResult.INVALID, 0x1234),
        ):
            handle = random.Random(command).getrandbits(32)
            assert not await write(ctx, dut, Reg.SA_HANDLE, handle)
            assert not await write(ctx, dut, Reg.SA_COMMAND, command)
            for _ in range(3):
                assert ctx.get(dut.cmd.valid)
                assert (ctx.get(dut.cmd.p.op), ctx.get(dut.cmd.p.handle)) == (command, handle)
                await ctx.tick()
            ctx.set(dut.cmd.ready, 1)
            await ctx.tick()
            ctx.set(dut.cmd.ready, 0)
            assert not ctx.get(dut.cmd.valid)
            # Busy: a second command is ignored, the window and the handle refuse.
            assert await read(ctx, dut, Reg.SA_STATUS) & busy
            assert not await write(ctx, dut, Reg.SA_COMMAND, 1)
            assert not ctx.get(dut.cmd.valid)
            assert await write(ctx, dut, _WINDOW + 0x1FC, 1)
            assert await write(ctx, dut, Reg.SA_HANDLE, 1)
            ctx.set(dut.result.payload, {"code": code.value, "handle": answer})
            ctx.set(dut.result.valid, 1)
            await ctx.tick()
            ctx.set(dut.result.valid, 0)
            assert await read(ctx, dut, Reg.SA_STATUS) == code.value
            assert await read(ctx, dut, Reg.SA_HANDLE) == (answer if code == SAResult.OK else handle)
            assert await read(ctx, dut, Reg.IRQ_STATUS) == 1
            await write(ctx, dut, Reg.IRQ_STATUS, 1)

    run(dut, bench)


def test_command_to_an_idle_setup():
    """Key setup that waits with ready high gets each command once."""
    dut = Csr(PRESETS["tiny"])
    seen = []

    async def watch(ctx):
        while True:
            _, _, valid, op = await ctx.tick().sample(dut.cmd.valid, dut.cmd.p.op)
            if valid:
                seen.append(op)

    async def bench(ctx):
        ctx.set(dut.ready, 1)
        ctx.set(dut.cmd.ready, 1)
        for command in (1, 2):
            await write(ctx, dut, Reg.SA_COMMAND, command)
            await ctx.tick().repeat(3)
            assert await read(ctx, dut, Reg.SA_STATUS) >> 31
            ctx.set(dut.result.valid, 1)
            await ctx.tick()
            ctx.set(dut.result.valid, 0)
        assert seen == [1, 2]

    simulate(dut, bench, watch)


def test_window_writes_go_out_once():
    dut = Csr(PRESETS["tiny"])
    seen = []

    async def watch(ctx):
        while True:
            tick = ctx.tick().sample(dut.window.en, dut.window.addr, dut.window.data)
            _, _, en, addr, value = await tick
            if en:
                seen.append((addr, value))

    async def bench(ctx):
        ctx.set(dut.ready, 1)
        rng = random.Random(1)
        sent = []
        for offset in range(0x1F0, 0x408, 4):
            value = rng.getrandbits(32)
            assert not await write(ctx, dut, offset, value)
            if 0x200 <= offset < 0x400:
                sent.append((offset // 4 - 0x80, value))
        await ctx.tick().repeat(3)
        assert seen == sent

    simulate(dut, bench, watch)


def test_whole_space():
    """Every word of the 64 KiB: what is not a readable register or counter is zero, whatever was written."""
    dut = Csr(PRESETS["basic"])
    words = {}
    counters = {0x400 + 4 * n: n for n in range(32)} | {0x500 + 4 * n: 32 + n for n in range(32)}

    async def counter(ctx):
        while True:
            _, _, asked, addr = await ctx.tick().sample(dut.counter_read, dut.counter_addr)
            if asked:
                ctx.set(dut.counter_value, 0xC0000000 | addr)
                ctx.set(dut.counter_done, 1)
                await ctx.tick()
                ctx.set(dut.counter_done, 0)
                ctx.set(dut.counter_value, 0xBAD)

    async def bench(ctx):
        ctx.set(dut.ready, 1)
        ctx.set(dut.free, 77)
        for offset in reversed(range(0, 0x800, 4)):
            await write(ctx, dut, offset, 0x5EC2E7 << 8 | offset & 0xFF)
        for offset in range(0, 0x10000, 4):
            ctx.set(dut.bus.addr, offset // 4)
            ctx.set(dut.bus.read, 1)
            await ctx.tick()
            ctx.set(dut.bus.read, 0)
            while not ctx.get(dut.bus.ack):
                await ctx.tick()
            assert not ctx.get(dut.bus.error)
            if value := ctx.get(dut.bus.r_data):
                words[offset] = value

    simulate(dut, bench, counter)
    handle = 0x5EC2E784
    expected = {Reg.CTRL: 0, Reg.STATUS: 1, Reg.IRQ_MASK: 4, Reg.SA_STATUS: 1 << 31, Reg.SA_FREE: 77}
    expected = {reg: value for reg, value in expected.items() if value} | {Reg.SA_HANDLE: handle}
    expected |= {offset: 0xC0000000 | n for offset, n in counters.items()}
    assert {offset: value for offset, value in words.items() if offset not in _CONSTANT} == expected
