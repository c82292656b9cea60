# SPDX-License-Identifier: Apache-2.0
"""A device with an engine's ports that gives back what it gets, to test transactors and runners with."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect

__all__ = ["Loopback"]

_AXIL = {
    "awaddr": Out(16), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
    "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
    "bresp": In(2), "bvalid": In(1), "bready": Out(1),
    "araddr": Out(16), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
    "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
}  # fmt: skip


def _axis(width, frame=True):
    members = {"tdata": Out(width), "tvalid": Out(1), "tready": In(1)}
    return wiring.Signature(members | ({"tkeep": Out(width // 8), "tlast": Out(1), "tuser": Out(1)} if frame else {}))


class _Buffer(wiring.Component):
    """A register that holds one payload: half speed, so that sources meet a low ready."""

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(self.i.payload)]
        return m


class Loopback(wiring.Component):
    """Frames go through two registers, or come back broken as ``fault`` says; a descriptor's low half is its
    completion; registers 0x000 to 0x0FC are memory, and others answer SLVERR. ``irq`` is bit 0 of register 0.

    ``fault`` is None, ``"data"`` (bit 0 of every beat flips), ``"hold"`` (the payload changes while it waits) or
    ``"keep"`` (the lowest byte of the last beat is missing).
    """

    def __init__(self, width=128, fault=None):
        self._width = width
        self._fault = fault
        super().__init__({
            "s_axis": In(_axis(width)), "m_axis": Out(_axis(width)),
            "s_desc": In(_axis(256, frame=False)), "m_cpl": Out(_axis(128, frame=False)),
            "s_axil": In(wiring.Signature(_AXIL)), "irq": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        beat = data.StructLayout({"data": self._width, "keep": self._width // 8, "last": 1, "user": 1})
        m.submodules.first = first = _Buffer(beat)
        m.submodules.second = second = _Buffer(beat)
        m.submodules.words = words = _Buffer(128)
        connect(m, first.o, second.i)
        noise = Signal()
        m.d.sync += noise.eq(self.m_axis.tvalid & ~self.m_axis.tready)
        m.d.comb += [
            Cat(first.i.p.data, first.i.p.keep, first.i.p.last, first.i.p.user).eq(
                Cat(self.s_axis.tdata, self.s_axis.tkeep, self.s_axis.tlast, self.s_axis.tuser)),
            first.i.valid.eq(self.s_axis.tvalid), self.s_axis.tready.eq(first.i.ready),
            self.m_axis.tdata.eq(second.o.p.data ^ {"data": 1, "hold": noise}.get(self._fault, 0)),
            self.m_axis.tkeep.eq(
                Mux(second.o.p.last & int(self._fault == "keep"), second.o.p.keep[1:] << 1, second.o.p.keep)),
            self.m_axis.tlast.eq(second.o.p.last), self.m_axis.tuser.eq(second.o.p.user),
            self.m_axis.tvalid.eq(second.o.valid), second.o.ready.eq(self.m_axis.tready),
            words.i.payload.eq(self.s_desc.tdata), words.i.valid.eq(self.s_desc.tvalid),
            self.s_desc.tready.eq(words.i.ready),
            self.m_cpl.tdata.eq(words.o.payload), self.m_cpl.tvalid.eq(words.o.valid),
            words.o.ready.eq(self.m_cpl.tready),
        ]
        self._registers(m)
        return m

    def _registers(self, m):
        bus = self.s_axil
        m.submodules.cells = cells = memory.Memory(shape=32, depth=64, init=[])
        write, read = cells.write_port(granularity=8), cells.read_port(transparent_for=())
        with m.FSM(name="write"):
            with m.State("IDLE"):
                with m.If(bus.awvalid & bus.wvalid):
                    # Taken one after the other, so that the manager meets both orders.
                    m.d.comb += bus.awready.eq(1)
                    m.d.sync += [write.addr.eq(bus.awaddr[2:]), bus.bresp.eq(Mux(bus.awaddr[8:].any(), 2, 0))]
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [bus.wready.eq(1), write.data.eq(bus.wdata)]
                with m.If(bus.wvalid):
                    m.d.comb += write.en.eq(Mux(bus.bresp == 0, bus.wstrb, 0))
                    with m.If((bus.bresp == 0) & (write.addr == 0) & bus.wstrb[0]):
                        m.d.sync += self.irq.eq(bus.wdata[0])
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += bus.bvalid.eq(1)
                with m.If(bus.bready):
                    m.next = "IDLE"
        m.d.comb += read.addr.eq(bus.araddr[2:])
        with m.FSM(name="read"):
            with m.State("IDLE"):
                m.d.comb += [bus.arready.eq(1), read.en.eq(1)]
                with m.If(bus.arvalid):
                    m.d.sync += bus.rresp.eq(Mux(bus.araddr[8:].any(), 2, 0))
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [bus.rvalid.eq(1), bus.rdata.eq(read.data), read.en.eq(0)]
                with m.If(bus.rready):
                    m.next = "IDLE"
