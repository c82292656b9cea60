# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of the transactors on the loop-back device; run by test_runner.py."""

import random

import cocotb
import pytest
from cocotb.triggers import with_timeout
from nicsec_sim.bench import AxiLiteError, EngineLink, random_pause

SIZES = [*range(1, 65), 512, *[1] * 32, 1518]


def frames(rng, lanes):
    sizes = [*SIZES, *(lanes * n + extra for n in (1, 2, 3) for extra in (-1, 0, 1))]
    return [rng.randbytes(size) for size in sizes]


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(gaps=[False, True], back_pressure=[False, True])
async def frames_come_back(dut, gaps, back_pressure):
    rng = random.Random(cocotb.RANDOM_SEED)
    link = EngineLink(dut)
    await link.start()
    if gaps:
        link.s_axis.pause, link.s_desc.pause = random_pause(rng), random_pause(rng, 0.5)
    if back_pressure:
        link.m_axis.pause, link.m_cpl.pause = random_pause(rng), random_pause(rng, 0.6)
    lanes = len(dut.s_axis_tkeep)
    sent = []
    for data in frames(rng, lanes):
        bad = {rng.randrange(-(-len(data) // lanes))} if rng.random() < 0.2 else ()
        descriptor = rng.randbytes(32)
        sent.append((descriptor, await link.send(descriptor, data, errors=bad)))
    cycle = link.cycle
    for descriptor, frame in sent:
        assert await link.completion() == descriptor[:16]
        got = await link.m_axis.recv()
        assert (got.data, got.errors) == (frame.data, frame.errors)
        # Two registers lie between, and a beat moves every other cycle at best.
        beats = -(-len(got.data) // lanes)
        assert cycle <= frame.first <= got.first - 2
        assert got.last - got.first >= 2 * (beats - 1)
        if not gaps and not back_pressure:
            assert got.last == frame.last + 2
        cycle = frame.last
    await link.wait(20)
    link.assert_idle()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def error_marks_the_last_beat(dut):
    link = EngineLink(dut)
    await link.start()
    await link.send(bytes(32), bytes(100), error=True)
    await link.send(bytes(32), bytes(100))
    assert await link.frame() == (bytes(100), True)
    assert await link.frame() == (bytes(100), False)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def registers_keep_values(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    link = EngineLink(dut)
    await link.start()
    values = {offset: rng.getrandbits(32) for offset in range(0, 0x100, 4)}
    for offset, value in values.items():
        await link.write(offset, value)
    await link.axil.write(0x10, 0xAABBCCDD, strobes=0b0101)
    values[0x10] = values[0x10] & 0xFF00FF00 | 0x00BB00DD
    for offset, value in values.items():
        assert await link.read(offset) == value
    with pytest.raises(AxiLiteError, match="read of 0x0100 was answered with 2"):
        await link.read(0x100)
    with pytest.raises(AxiLiteError, match="write of 0x1 to 0x4000 was answered with 2"):
        await link.write(0x4000, 1)
    await link.write(0, 1)
    assert link.irq
    await link.write(0, 0)
    assert not link.irq


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_forgets_everything(dut):
    link = EngineLink(dut)
    await link.start()
    link.m_axis.pause = iter(lambda: True, None)
    for n in range(5):
        await link.send(bytes([n] * 32), bytes(64))
    await link.wait(30)
    with pytest.raises(AssertionError, match="were not taken"):
        link.assert_idle()
    await link.reset()
    link.m_axis.pause = None
    await link.wait(10)
    link.assert_idle()
    await link.send(bytes([9] * 32), b"after")
    assert await link.frame() == (b"after", False)
    with pytest.raises(AssertionError, match="left over"):
        link.assert_idle()
    assert await link.completion() == bytes([9] * 16)
    link.assert_idle()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def waits_count_cycles(dut):
    link = EngineLink(dut)
    await link.start()
    for cycles in (1, 2, 3, 10, 1000):
        before = link.cycle
        await link.wait(cycles)
        assert link.cycle == before + cycles
        assert isinstance(before, int)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def third_party_transactors_agree(dut):
    import logging

    from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

    link = EngineLink(dut)
    await link.start()
    for port in (link.s_axis, link.m_axis):
        port.stop()
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
    for port in (source, sink, master.write_if, master.read_if):
        port.log.setLevel(logging.WARNING)
    for size in (1, 15, 16, 17, 100):
        await source.send(bytes(range(size)))
        frame = await with_timeout(sink.recv(), 10, "us")
        assert bytes(frame.tdata) == bytes(range(size))
    await master.write_dword(0x20, 0x12345678)
    assert await master.read_dword(0x20) == 0x12345678
