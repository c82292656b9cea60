# SPDX-License-Identifier: Apache-2.0
"""A short queue in LUT RAM."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]


class Queue(wiring.Component):
    """First in, first out. One transfer a cycle each way, latency 1; ``ready`` is a register, as is ``valid``.

    Parameters
    ----------
    shape : Shape
    depth : int
        Places; rounded up to a power of two, 2 at least.

    Members
    -------
    i : In(stream of shape)
    o : Out(stream of shape)
    """

    def __init__(self, shape, depth):
        self._depth = max(2, 1 << (depth - 1).bit_length())
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        depth = self._depth
        payload = Value.cast(self.i.payload)
        m.submodules.held = rows = memory.Memory(
            shape=len(payload), depth=depth, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = rows.write_port(), rows.read_port(domain="comb")
        level, put, got = Signal(range(depth + 1)), Signal(), Signal()
        full, some = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full), self.o.valid.eq(some), put.eq(self.i.valid & ~full), got.eq(some & self.o.ready),
            write.data.eq(payload), write.en.eq(put), Value.cast(self.o.payload).eq(read.data),
        ]
        with m.If(put):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(got):
            m.d.sync += read.addr.eq(read.addr + 1)
        with m.If(put & ~got):
            m.d.sync += [level.eq(level + 1), full.eq(level == depth - 1), some.eq(1)]
        with m.Elif(got & ~put):
            m.d.sync += [level.eq(level - 1), full.eq(0), some.eq(level != 1)]
        return m
