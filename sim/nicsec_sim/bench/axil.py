# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite manager."""

from cocotb.simtime import get_sim_time
from cocotb.triggers import Lock

from .axis import raw

__all__ = ["AxiLite", "AxiLiteError"]

_DRIVEN = ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arprot", "arvalid", "rready")


class AxiLiteError(Exception):
    """An access was answered with something else than OKAY."""


class AxiLite:
    """Reads and writes registers at ports ``dut.PREFIX_awaddr`` and so on, one access at a time.

    Addresses are in bytes; values are as wide as the data port.
    """

    def __init__(self, dut, prefix, clock):
        self._edge = clock.rising_edge
        self._lock = Lock()
        self._at = None
        self._ports = {
            name: getattr(dut, f"{prefix}_{name}")
            for name in (*_DRIVEN, "awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")
        }
        self._read = {name: raw(self._ports[name])
                      for name in ("awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")}
        self._strobes = (1 << len(self._ports["wstrb"])) - 1

    def clear(self):
        """Drive every port low, as before and in reset; an access under way is forgotten."""
        self._lock = Lock()
        for name in _DRIVEN:
            self._ports[name].value = 0

    async def _begin(self):
        """Wait for an edge, unless one access follows another: ports change after an edge only."""
        if get_sim_time() != self._at:
            await self._edge

    async def _offer(self, *channels):
        """Hold valid of each channel until it is taken."""
        ports, waiting = self._ports, list(channels)
        for channel in channels:
            ports[channel + "valid"].value = 1
        while waiting:
            await self._edge
            for channel in [channel for channel in waiting if self._read[channel + "ready"]()]:
                ports[channel + "valid"].value = 0
                waiting.remove(channel)

    async def _answer(self, channel):
        """Take a response: resp, with ready high for its one transfer."""
        ports = self._ports
        ports[channel + "ready"].value = 1
        await self._edge
        while not self._read[channel + "valid"]():
            await ports[channel + "valid"].rising_edge
            await self._edge
        ports[channel + "ready"].value = 0
        self._at = get_sim_time()
        return self._read[channel + "resp"]()

    async def write(self, address, value, strobes=None):
        """Write ``value``; ``strobes`` selects bytes, all without. Returns when the response is there."""
        async with self._lock:
            await self._begin()
            ports = self._ports
            ports["awaddr"].value = address
            ports["wdata"].value = value
            ports["wstrb"].value = self._strobes if strobes is None else strobes
            await self._offer("aw", "w")
            if resp := await self._answer("b"):
                raise AxiLiteError(f"write of {value:#x} to {address:#06x} was answered with {resp}")

    async def read(self, address):
        """Read a register."""
        async with self._lock:
            await self._begin()
            ports = self._ports
            ports["araddr"].value = address
            await self._offer("ar")
            # Data is valid with the response, so it is read in the very cycle of the transfer.
            if resp := await self._answer("r"):
                raise AxiLiteError(f"read of {address:#06x} was answered with {resp}")
            return self._read["rdata"]()
