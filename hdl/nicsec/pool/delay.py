# SPDX-License-Identifier: Apache-2.0
"""A fixed delay in LUT RAM."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Delay"]


class Delay(wiring.Component):
    """``o`` is what ``i`` was ``cycles`` cycles ago; a marker that is reset goes with it.

    Parameters
    ----------
    shape : Shape
    cycles : int
        2 or more.

    Members
    -------
    valid_i, i : In
    valid_o, o : Out
        ``valid_o`` is 0 for what came before a reset. Both are registers.
    next_valid : Out(1)
        ``valid_o`` of the next cycle.
    """

    def __init__(self, shape, cycles):
        if cycles < 2:
            raise ValueError(f"cycles must be at least 2, not {cycles!r}")
        self._shape = shape
        self._cycles = cycles
        super().__init__({
            "valid_i": In(1), "i": In(shape), "valid_o": Out(1), "o": Out(shape), "next_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        width = len(Value.cast(self.i))
        # Written in a cycle, a row can be read from the next one on, and the answer is registered once more.
        depth = 1 << (self._cycles - 1).bit_length()
        m.submodules.rows = rows = memory.Memory(
            shape=width, depth=depth, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = rows.write_port(), rows.read_port(domain="comb")
        at, behind = Signal(range(depth)), Signal(range(depth), init=(1 - self._cycles) % depth)
        marks = Signal(self._cycles - 1)
        m.d.comb += [
            write.addr.eq(at), write.data.eq(Value.cast(self.i)), write.en.eq(1), read.addr.eq(behind),
            self.next_valid.eq(marks[-1]),
        ]
        m.d.sync += [
            at.eq(at + 1), behind.eq(behind + 1), Value.cast(self.o).eq(read.data),
            marks.eq(Cat(self.valid_i, marks)), self.valid_o.eq(marks[-1]),
        ]
        return m
