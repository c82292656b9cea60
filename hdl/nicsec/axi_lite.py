# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite subordinate: accesses become single transfers on a register bus."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLiteSignature"]


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
