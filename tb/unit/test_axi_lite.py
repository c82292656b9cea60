# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite front end: any arrival order, back-pressure, strobes, errors."""

import random

import pytest
from amaranth import *
from nicsec.axi_lite import AxiLite, AxiLiteSignature
from streams import run

_WORDS = 16


async def _channel(ctx, valid, ready, values, rng):
    for signals in values:
        await ctx.tick().repeat(rng.randrange(1, 6))
        for signal, value in signals:
            ctx.set(signal, value)
        ctx.set(valid, 1)
        await ctx.tick().until(ready)
        ctx.set(valid, 0)


async def _answers(ctx, valid, ready, sample, count, rng, out):
    for _ in range(count):
        await ctx.tick().repeat(rng.randrange(1, 6))
        ctx.set(ready, 1)
        got = await ctx.tick().sample(*sample).until(valid)
        ctx.set(ready, 0)
        out.append(got)


def target(dut, words, log, rng, count):
    """Registers behind the bus: word 15 answers every access with an error."""

    async def bench(ctx):
        bus = dut.bus
        for _ in range(count):
            tick = ctx.tick().sample(bus.addr, bus.w_data, bus.write, bus.read)
            addr, value, write, read = await tick.until(bus.write | bus.read)
            assert write != read
            log.append((addr, write))
            for _ in range(rng.randrange(4)):
                assert (ctx.get(bus.addr), ctx.get(bus.write), ctx.get(bus.read)) == (addr, 0, 0)
                await ctx.tick()
            if write:
                words[addr] = value
            ctx.set(bus.r_data, words.get(addr, 0))
            ctx.set(bus.error, addr == 15)
            ctx.set(bus.ack, 1)
            await ctx.tick()
            ctx.set(bus.ack, 0)
            ctx.set(bus.r_data, 0)
            ctx.set(bus.error, 1)

    return bench


@pytest.mark.parametrize("seed", range(4))
def test_random_accesses(seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = AxiLite(16, 32)
    axi = dut.s_axil
    words, log, written, read = {}, [], [], []
    writes = [(rng.randrange(_WORDS), rng.getrandbits(32), rng.choice((15, 15, 15, 0, 7, 8))) for _ in range(60)]
    reads = [rng.randrange(_WORDS, 2 * _WORDS) for _ in range(60)]
    words.update({n: n * 0x01010101 for n in range(_WORDS, 2 * _WORDS)})
    address = [[(axi.awaddr, addr * 4 + rng.randrange(4))] for addr, _, _ in writes]
    content = [[(axi.wdata, value), (axi.wstrb, strobe)] for _, value, strobe in writes]
    asked = [[(axi.araddr, addr * 4)] for addr in reads]

    async def b_channel(ctx):
        await _answers(ctx, axi.bvalid, axi.bready, (axi.bresp,), len(writes), random.Random(seed + 1), written)

    async def r_channel(ctx):
        part = random.Random(seed + 2)
        await _answers(ctx, axi.rvalid, axi.rready, (axi.rdata, axi.rresp), len(reads), part, read)

    def source(valid, ready, values, part):
        async def bench(ctx):
            await _channel(ctx, valid, ready, values, random.Random(seed + part))

        return bench

    run(
        dut,
        target(dut, words, log, random.Random(seed), len(reads) + sum(strobe == 15 for _, _, strobe in writes)),
        source(axi.awvalid, axi.awready, address, 3),
        source(axi.wvalid, axi.wready, content, 4),
        source(axi.arvalid, axi.arready, asked, 5),
        b_channel,
        r_channel,
    )
    assert [resp for (resp,) in written] == [2 if strobe != 15 or addr == 15 else 0 for addr, _, strobe in writes]
    assert read == [(addr * 0x01010101, 0) for addr in reads]
    expected = {addr: value for addr, value, strobe in writes if strobe == 15}
    assert {addr: value for addr, value in words.items() if addr < _WORDS} == expected
    # Every whole write reached the bus once and in order, no other did.
    assert [addr for addr, write in log if write] == [addr for addr, _, strobe in writes if strobe == 15]
    assert [addr for addr, write in log if not write] == reads


def test_nothing_combinational_from_inputs():
    """Outputs do not move within the cycle in which inputs move."""
    dut = AxiLite(16, 32)
    axi = dut.s_axil
    outputs = [axi.awready, axi.wready, axi.arready, axi.bvalid, axi.bresp, axi.rvalid, axi.rdata, axi.rresp]
    inputs = [axi.awaddr, axi.awvalid, axi.wdata, axi.wstrb, axi.wvalid, axi.bready]
    inputs += [axi.araddr, axi.arvalid, axi.rready]

    async def bench(ctx):
        rng = random.Random(1)
        for _ in range(500):
            before = [ctx.get(signal) for signal in outputs]
            for signal in inputs:
                ctx.set(signal, rng.getrandbits(len(signal)))
            ctx.set(dut.bus.ack, rng.getrandbits(1))
            ctx.set(dut.bus.r_data, rng.getrandbits(32))
            assert [ctx.get(signal) for signal in outputs] == before
            await ctx.tick()

    run(dut, bench)


def test_width_is_checked():
    with pytest.raises(ValueError, match=r"^AXI4-Lite data width must be 32 or 64 bits, not 16$"):
        AxiLiteSignature(16, 16)
