# SPDX-License-Identifier: Apache-2.0
"""Registers (docs/design.md section 6)."""

import enum
from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from . import __version__
from .algorithm import Feature, SAResult
from .axi_lite import RegisterBus
from .config import AUTH_NAMES, ENCR_NAMES
from .sa_layout import EventLayout, TableResult, UsageLayout
from .sa_setup import SetupCommand, WindowWrite

__all__ = ["Csr", "Reg", "features"]


class Reg(enum.IntEnum):
    """Byte offsets of the single registers."""

    ID = 0x00
    VERSION = 0x04
    CONFIG_HASH = 0x08
    CAP_LANES = 0x0C
    CAP_SA_SLOTS = 0x10
    CAP_MAX_FRAME = 0x14
    CAP_ENCR = 0x18
    CAP_AUTH = 0x1C
    CAP_FEATURES = 0x20
    CTRL = 0x40
    STATUS = 0x44
    IRQ_STATUS = 0x48
    IRQ_MASK = 0x4C
    SA_COMMAND = 0x80
    SA_HANDLE = 0x84
    SA_STATUS = 0x88
    SA_FREE = 0x8C
    SA_EVENT = 0x90
    SA_EVENT_KIND = 0x94
    SA_PACKETS = 0xA0
    SA_PACKETS_HIGH = 0xA4
    SA_BYTES = 0xA8
    SA_BYTES_HIGH = 0xAC
    SA_ERRORS = 0xB0


#: Pages of 256 bytes.
_PAGE_REGISTERS = 0
_PAGES_WINDOW = (2, 3)
#: The first of two, counters and statuses, half of which is their memory.
_PAGES_COUNTERS = 4


def features(config):
    """The :class:`Feature` bits of a build."""
    found = Feature.ESP | Feature.NESTED | Feature.IPV6 | Feature.IPV4_OPTIONS | Feature.IPV6_EXT | Feature.UDP_ESP
    found |= Feature.ESN | Feature.IV_GENERATE | Feature.IV_FRAME
    if config.auth:
        found |= Feature.AH | Feature.AH_ESP
    if config.checksum:
        found |= Feature.CSUM_IP | Feature.CSUM_L4
    if config.lifetimes:
        found |= Feature.LIFETIME
    if config.utilisation:
        found |= Feature.UTILISATION
    return found


def _constants(config):
    major, minor, patch = (int(part) for part in __version__.split("."))
    return {
        Reg.ID: 0x4E494353,
        Reg.VERSION: major << 24 | minor << 16 | patch << 8,
        Reg.CONFIG_HASH: int(config.hash[:8], 16),
        Reg.CAP_LANES: config.lanes,
        Reg.CAP_SA_SLOTS: config.sa_slots,
        Reg.CAP_MAX_FRAME: config.max_frame,
        Reg.CAP_ENCR: sum(1 << ENCR_NAMES[name].value for name in config.encr),
        Reg.CAP_AUTH: sum(1 << AUTH_NAMES[name].value for name in config.auth),
        Reg.CAP_FEATURES: features(config).value,
    }


class Csr(wiring.Component):
    """Register file behind a :class:`RegisterBus`.

    Whatever is write-only or not assigned reads as zero without an error, and takes writes without an effect: the read
    path has no input from the staging window, nor from anything derived from it. An error answers a write to the window
    or to SA_HANDLE while a command is executed or the SA table is not ready. SA_COMMAND is ignored then.

    Members
    -------
    bus : In(RegisterBus(14, 32))
    enable, irq : Out(1)
    ready : In(1)
        STATUS bit 0.
    window : Out(WindowWrite)
    cmd : Out(stream of ``SetupCommand``)
    result : In(stream of ``TableResult``)
    free : In(range(config.sa_slots + 1))
    counter_read, counter_addr, counter_done, counter_value
        To :class:`~nicsec.counters.Counters`.
    dropped, sa_event : In(1)
        Strobes for bits 1 and 2 of IRQ_STATUS.
    event, events_lost, event_taken, usage
        With lifetimes: to :class:`~nicsec.sa_events.Events`, and ``usage`` of :class:`~nicsec.sa_table.SATable`.
    """

    def __init__(self, config):
        self.config = config
        lifetimes = {}
        if config.lifetimes:
            lifetimes = {
                "event": In(EventLayout), "events_lost": In(1), "event_taken": Out(1), "usage": In(UsageLayout),
            }
        super().__init__(
            {
                "bus": In(RegisterBus(14, 32)),
                "enable": Out(1),
                "irq": Out(1),
                "ready": In(1),
                "window": Out(WindowWrite()),
                "cmd": Out(stream.Signature(SetupCommand)),
                "result": In(stream.Signature(TableResult)),
                "free": In(range(config.sa_slots + 1)),
                "counter_read": Out(1),
                "counter_addr": Out(6),
                "counter_done": In(1),
                "counter_value": In(32),
                "dropped": In(1),
                "sa_event": In(1),
                **lifetimes,
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        offset, page = bus.addr[:6], bus.addr[6:]

        handle = Signal(32)
        write_handle = Signal()
        code = Signal(SAResult)
        issued = Signal()
        waiting = Signal()
        busy = Signal()
        irq_status = Signal(3)
        irq_mask = Signal(3)
        # An access is worked on in the cycle behind its strobe, when registers say what it is for.
        read, write = Signal(), Signal()
        in_counters, in_registers, in_window = Signal(), Signal(), Signal()
        m.d.sync += [
            read.eq(bus.read), write.eq(bus.write),
            in_counters.eq((page[1:] == _PAGES_COUNTERS >> 1) & ~offset[5]),
            in_registers.eq(page == _PAGE_REGISTERS),
            in_window.eq((page == _PAGES_WINDOW[0]) | (page == _PAGES_WINDOW[1])),
        ]
        m.d.comb += [
            busy.eq(issued | ~self.ready),
            self.counter_read.eq(read & in_counters),
            self.counter_addr.eq(Cat(offset[:5], page[0])),
            self.cmd.valid.eq(waiting),
            self.cmd.p.handle.eq(handle),
            self.result.ready.eq(1),
        ]

        m.d.sync += [
            bus.ack.eq(write | (read & ~in_counters) | self.counter_done),
            bus.error.eq(0),
            self.window.en.eq(0),
            self.window.addr.eq(bus.addr),
            self.window.data.eq(bus.w_data),
            self.irq.eq((irq_status & irq_mask).any()),
        ]

        # An OR of what is selected: small, and whatever is not assigned is zero.
        readable = [
            *_constants(self.config).items(),
            (Reg.CTRL, self.enable),
            (Reg.STATUS, self.ready),
            (Reg.IRQ_STATUS, irq_status),
            (Reg.IRQ_MASK, irq_mask),
            (Reg.SA_HANDLE, handle),
            (Reg.SA_STATUS, Cat(code, C(0, 23), busy)),
            (Reg.SA_FREE, self.free),
        ]
        if self.config.lifetimes:
            usage = self.usage
            readable += [
                (Reg.SA_EVENT, self.event.handle),
                (Reg.SA_EVENT_KIND, Cat(self.event.kinds, C(0, 27), self.events_lost)),
                (Reg.SA_PACKETS, usage.packets[:32]),
                (Reg.SA_PACKETS_HIGH, usage.packets[32:]),
                (Reg.SA_BYTES, usage.bytes[:32]),
                (Reg.SA_BYTES_HIGH, usage.bytes[32:]),
                (Reg.SA_ERRORS, usage.errors),
            ]
            m.d.sync += self.event_taken.eq(write & in_registers & (offset == Reg.SA_EVENT_KIND // 4))
        terms = [Mux(in_counters, self.counter_value, 0)]
        for reg, value in readable:
            selected = Signal(name=f"select_{reg.name.lower()}")
            m.d.sync += selected.eq((page == _PAGE_REGISTERS) & (offset == reg // 4))
            terms.append(Mux(selected, value, 0))
        m.d.sync += bus.r_data.eq(reduce(or_, terms))

        with m.If(write):
            with m.If(in_registers):
                with m.Switch(offset):
                    with m.Case(Reg.CTRL // 4):
                        m.d.sync += self.enable.eq(bus.w_data[0])
                    with m.Case(Reg.IRQ_STATUS // 4):
                        m.d.sync += irq_status.eq(irq_status & ~bus.w_data)
                    with m.Case(Reg.IRQ_MASK // 4):
                        m.d.sync += irq_mask.eq(bus.w_data)
                    with m.Case(Reg.SA_COMMAND // 4):
                        with m.If(~busy):
                            m.d.sync += [self.cmd.p.op.eq(bus.w_data), issued.eq(1), waiting.eq(1)]
                    with m.Case(Reg.SA_HANDLE // 4):
                        m.d.sync += bus.error.eq(busy)
                        m.d.comb += write_handle.eq(~busy)
            with m.If(in_window):
                m.d.sync += [bus.error.eq(busy), self.window.en.eq(~busy)]
        with m.If(waiting & self.cmd.ready):
            m.d.sync += waiting.eq(0)
        with m.If(self.result.valid):
            m.d.sync += [code.eq(self.result.p.code), issued.eq(0), irq_status[0].eq(1)]
        with m.If(write_handle | (self.result.valid & (self.result.p.code == SAResult.OK.value))):
            m.d.sync += handle.eq(Mux(issued, self.result.p.handle, bus.w_data))
        with m.If(self.dropped):
            m.d.sync += irq_status[1].eq(1)
        with m.If(self.sa_event):
            m.d.sync += irq_status[2].eq(1)
        return m
