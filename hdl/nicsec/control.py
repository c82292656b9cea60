# SPDX-License-Identifier: Apache-2.0
"""Control side: AXI4-Lite registers, SA table, key setup and counters. Only wiring."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .activity import Activity
from .axi_lite import AxiLite, AxiLiteSignature
from .counters import Counters, PacketEvent
from .csr import Csr
from .sa_events import Events
from .sa_layout import SA_ROW_WIDTH, Found, IVCheck, LookUp, RowRequest, slot_bits
from .sa_setup import SASetup
from .sa_table import SATable
from .share import crypto_members

__all__ = ["Control"]


class Control(wiring.Component):
    """Everything that software sees, and the SA table.

    Parameters
    ----------
    config : Config

    Members
    -------
    s_axil : In(AxiLiteSignature(16, 32))
    irq : Out(1)
        Level, high while an unmasked interrupt bit is set.
    enable : Out(1)
        CTRL bit 0.
    ready : Out(1)
        STATUS bit 0: the wipe after reset is done.
    lookup, found, row_req, row_rsp, check, checked, errors, started, retired
        See :class:`~nicsec.sa_table.SATable`; ``errors`` with lifetimes.
    event : In(stream of ``PacketEvent``)
        One per completion: ``length`` of the frame in bytes, ``status``, ``bypassed``.
    activity : In(Activity)
        With utilisation: what the crypto units do.
    claim : Out(1), granted : In(1)
        Key setup asks for the crypto units and may use them while ``granted``; ``claim`` falls when it is done.
    aes_key, aes_i : Out(stream), aes_o : In(stream)
        Present when the config has AES: the seam of :class:`~nicsec.crypto.aes.Aes`.
    sha1_i : Out(stream), sha1_o : In(stream), sha256_i, ...
        Present for each hash that the config has.
    """

    def __init__(self, config):
        self.config = config
        errors = {"errors": In(stream.Signature(slot_bits(config)))} if config.lifetimes else {}
        activity = {"activity": In(Activity(config))} if config.utilisation else {}
        super().__init__(
            {
                "s_axil": In(AxiLiteSignature(addr_width=16, data_width=32)),
                "irq": Out(1),
                "enable": Out(1),
                "ready": Out(1),
                "lookup": In(stream.Signature(LookUp)),
                "found": Out(stream.Signature(Found(config))),
                "row_req": In(stream.Signature(RowRequest(config))),
                "row_rsp": Out(stream.Signature(SA_ROW_WIDTH)),
                "check": In(stream.Signature(IVCheck(config))),
                "checked": Out(stream.Signature(1)),
                "started": In(1),
                "retired": In(1),
                "event": In(stream.Signature(PacketEvent)),
                "claim": Out(1),
                "granted": In(1),
                **errors,
                **activity,
                **crypto_members(config),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.axi_lite = axi_lite = AxiLite(addr_width=16, data_width=32)
        m.submodules.csr = csr = Csr(config)
        m.submodules.setup = setup = SASetup(config)
        m.submodules.table = table = SATable(config)
        m.submodules.counters = counters = Counters(Activity(config) if config.utilisation else None)

        connect(m, flipped(self.s_axil), axi_lite.s_axil)
        connect(m, axi_lite.bus, csr.bus)
        connect(m, csr.window, setup.window)
        connect(m, csr.cmd, setup.cmd)
        connect(m, setup.result, csr.result)
        connect(m, setup.table_cmd, table.cmd)
        connect(m, table.result, setup.table_result)
        connect(m, setup.write, table.write)
        connect(m, flipped(self.lookup), table.lookup)
        connect(m, table.found, flipped(self.found))
        connect(m, flipped(self.row_req), table.row_req)
        connect(m, table.row_rsp, flipped(self.row_rsp))
        connect(m, flipped(self.check), table.check)
        connect(m, table.checked, flipped(self.checked))
        connect(m, flipped(self.event), counters.event)
        for name in crypto_members(config):
            connect(m, getattr(setup, name), flipped(getattr(self, name)))
        m.d.comb += [
            table.started.eq(self.started),
            table.retired.eq(self.retired),
            setup.free.eq(table.free),
            csr.free.eq(table.free),
            self.claim.eq(setup.claim),
            setup.granted.eq(self.granted),
            counters.read.eq(csr.counter_read),
            counters.addr.eq(csr.counter_addr),
            csr.counter_done.eq(counters.done),
            csr.counter_value.eq(counters.value),
            csr.dropped.eq(counters.dropped),
            self.enable.eq(csr.enable),
            self.irq.eq(csr.irq),
        ]
        if config.utilisation:
            m.d.comb += counters.activity.eq(self.activity)
        told = C(0, 1)
        if config.lifetimes:
            m.submodules.events = events = Events()
            connect(m, flipped(self.errors), table.errors)
            told = table.event_valid
            m.d.comb += [
                events.i_valid.eq(table.event_valid),
                events.i.eq(table.event),
                events.take.eq(csr.event_taken),
                csr.event.eq(events.o),
                csr.events_lost.eq(events.lost),
                csr.usage.eq(table.usage),
            ]
        m.d.sync += [
            self.ready.eq(table.ready & setup.ready),
            csr.sa_event.eq(told | (table.found.valid & table.found.ready & table.found.p.exhausted)),
        ]
        m.d.comb += csr.ready.eq(self.ready)
        return m
