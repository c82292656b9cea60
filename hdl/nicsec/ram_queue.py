# SPDX-License-Identifier: Apache-2.0
"""A queue in block RAM."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RamQueue"]


class RamQueue(wiring.Component):
    """First in, first out. One transfer a cycle each way, latency 2; ``ready`` and ``valid`` are registers.

    For queues that a block RAM, which is there anyway, holds cheaper than LUTs. ``o.payload`` is the output of the
    memory, and comes late in the cycle.

    Parameters
    ----------
    shape : Shape
    depth : int
        Places, 2 at least; one of them is the memory's output.

    Members
    -------
    i : In(stream of shape)
    o : Out(stream of shape)
    """

    def __init__(self, shape, depth):
        if depth < 2:
            raise ValueError(f"depth must be 2 or more, not {depth!r}")
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        depth = self._depth - 1
        payload = Value.cast(self.i.payload)
        # No word is read in the cycle in which it is written: one that is written is seen in the next one.
        m.submodules.held = rows = memory.Memory(
            shape=len(payload), depth=1 << depth.bit_length(), init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        write, read = rows.write_port(), rows.read_port()
        level, put, got = Signal(range(depth + 1)), Signal(), Signal()
        full, some, valid = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full), put.eq(self.i.valid & ~full), got.eq(some & (~valid | self.o.ready)),
            write.data.eq(payload), write.en.eq(put), read.en.eq(got),
            self.o.valid.eq(valid), Value.cast(self.o.payload).eq(read.data),
        ]
        with m.If(self.o.ready):
            m.d.sync += valid.eq(0)
        with m.If(put):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(got):
            m.d.sync += [read.addr.eq(read.addr + 1), valid.eq(1)]
        with m.If(put & ~got):
            m.d.sync += [level.eq(level + 1), full.eq(level == depth - 1), some.eq(1)]
        with m.Elif(got & ~put):
            m.d.sync += [level.eq(level - 1), full.eq(0), some.eq(level != 1)]
        return m
