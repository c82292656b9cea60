# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite subordinate: accesses become single transfers on a register bus."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLite", "AxiLiteSignature", "RegisterBus"]

_SLVERR = 2


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite, seen from the manager.

    Parameters
    ----------
    addr_width : int
        Width of the byte addresses in bits.
    data_width : int
        Width of the data in bits, 32 or 64.
    """

    def __init__(self, addr_width, data_width):
        if data_width not in (32, 64):
            raise ValueError(f"AXI4-Lite data width must be 32 or 64 bits, not {data_width!r}")
        self.addr_width = addr_width
        self.data_width = data_width
        super().__init__(
            {
                "awaddr": Out(addr_width),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(data_width),
                "wstrb": Out(data_width // 8),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(addr_width),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(data_width),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class RegisterBus(wiring.Signature):
    """One access at a time: ``write`` or ``read`` is high for one cycle; one cycle or more later ``ack`` is, with
    ``r_data`` and ``error``. ``addr`` counts words and, like ``w_data``, is stable from the strobe to the ack.
    """

    def __init__(self, addr_width, data_width):
        super().__init__(
            {
                "addr": Out(addr_width),
                "write": Out(1),
                "w_data": Out(data_width),
                "read": Out(1),
                "ack": In(1),
                "r_data": In(data_width),
                "error": In(1),
            }
        )


class AxiLite(wiring.Component):
    """AXI4-Lite subordinate.

    Write address and write data may come in any order. A write that does not name every byte lane is answered with
    SLVERR and has no effect. Protection bits are ignored. One access is in progress at a time; a read waits for at
    most one write and the other way round. Every output is a register.

    Parameters
    ----------
    addr_width, data_width : int
        Widths of the byte address and of the data in bits.

    Members
    -------
    s_axil : In(AxiLiteSignature)
    bus : Out(RegisterBus)
    """

    def __init__(self, addr_width, data_width):
        self._shift = (data_width // 8 - 1).bit_length()
        super().__init__(
            {
                "s_axil": In(AxiLiteSignature(addr_width, data_width)),
                "bus": Out(RegisterBus(addr_width - self._shift, data_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi, bus = self.s_axil, self.bus

        aw_ready = Signal(init=1)
        w_ready = Signal(init=1)
        ar_ready = Signal(init=1)
        aw_addr = Signal.like(bus.addr, reset_less=True)
        ar_addr = Signal.like(bus.addr, reset_less=True)
        whole = Signal(reset_less=True)
        b_valid = Signal()
        b_error = Signal(reset_less=True)
        r_valid = Signal()
        m.d.comb += [
            axi.awready.eq(aw_ready),
            axi.wready.eq(w_ready),
            axi.arready.eq(ar_ready),
            axi.bvalid.eq(b_valid),
            axi.bresp.eq(Mux(b_error, _SLVERR, 0)),
            axi.rvalid.eq(r_valid),
        ]
        with m.If(aw_ready):
            m.d.sync += [aw_ready.eq(~axi.awvalid), aw_addr.eq(axi.awaddr[self._shift :])]
        with m.If(w_ready):
            m.d.sync += [w_ready.eq(~axi.wvalid), bus.w_data.eq(axi.wdata), whole.eq(axi.wstrb.all())]
        with m.If(ar_ready):
            m.d.sync += [ar_ready.eq(~axi.arvalid), ar_addr.eq(axi.araddr[self._shift :])]
        with m.If(axi.bready):
            m.d.sync += b_valid.eq(0)
        with m.If(axi.rready):
            m.d.sync += r_valid.eq(0)

        m.d.sync += [bus.write.eq(0), bus.read.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += bus.addr.eq(aw_addr)
                with m.If(~aw_ready & ~w_ready & ~b_valid):
                    with m.If(whole):
                        m.d.sync += bus.write.eq(1)
                        m.next = "WRITE"
                    with m.Else():
                        m.d.sync += [b_valid.eq(1), b_error.eq(1), aw_ready.eq(1), w_ready.eq(1)]
                with m.Elif(~ar_ready & ~r_valid):
                    m.d.sync += [bus.addr.eq(ar_addr), bus.read.eq(1)]
                    m.next = "READ"
            with m.State("WRITE"):
                with m.If(bus.ack):
                    m.d.sync += [b_valid.eq(1), b_error.eq(bus.error), aw_ready.eq(1), w_ready.eq(1)]
                    m.next = "IDLE"
            with m.State("READ"):
                with m.If(bus.ack):
                    m.d.sync += [r_valid.eq(1), axi.rdata.eq(bus.r_data), axi.rresp.eq(Mux(bus.error, _SLVERR, 0))]
                    m.d.sync += ar_ready.eq(1)
                    m.next = "IDLE"
        return m
