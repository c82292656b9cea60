# SPDX-License-Identifier: Apache-2.0
"""A word for each thread, in LUT RAM."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ThreadRows", "tag_bits"]

#: Rows of a LUT RAM.
_BANK_BITS = 4


def tag_bits(threads):
    """Bits of a thread's number; no signal is 0 wide."""
    if not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be an integer of 1 or more, not {threads!r}")
    return max((threads - 1).bit_length(), 1)


class ThreadRows(wiring.Component):
    """A word for each thread, in banks of 16.

    A word that is read comes in ``parts``, a register for each bank that is zero unless it is the thread's: where they
    are added up anyway that costs nothing, while a multiplexer of two banks takes a LUT a bit.

    Parameters
    ----------
    threads : int
    width : int

    Members
    -------
    write : In(StructLayout)
        With ``en``, ``data`` is the word of ``tag`` from the next cycle on.
    en, tag : In
        Read; without ``en`` the parts are zero.
    now : Out(width)
        The word of ``tag``, in the same cycle, whether ``en`` or not.
    parts : array of Out(width)
        It, a cycle later: their XOR.
    """

    def __init__(self, threads, width):
        bits = tag_bits(threads)
        count = -(-threads // (1 << _BANK_BITS))
        depths = [min(threads - (n << _BANK_BITS), 1 << _BANK_BITS) for n in range(count)]
        #: One for each bank.
        self.memories = [
            memory.Memory(shape=width, depth=max(depth, 2), init=[], attrs={"ram_style": "distributed"})
            for depth in depths
        ]
        self._width = width
        super().__init__({
            "write": In(data.StructLayout({"en": 1, "tag": bits, "data": width})),
            "en": In(1), "tag": In(bits), "now": Out(width), "parts": Out(width).array(count),
        })

    def elaborate(self, platform):
        m = Module()
        words = []
        for n, bank in enumerate(self.memories):
            m.submodules[f"bank{n}"] = bank
            write, read = bank.write_port(), bank.read_port(domain="comb")
            part = Signal(self._width, name=f"part{n}", reset_less=True)
            m.d.comb += [
                write.addr.eq(self.write.tag),
                write.data.eq(self.write.data),
                write.en.eq(self.write.en & (self.write.tag >> _BANK_BITS == n)),
                read.addr.eq(self.tag),
                self.parts[n].eq(part),
            ]
            m.d.sync += part.eq(Mux(self.en & (self.tag >> _BANK_BITS == n), read.data, 0))
            words.append(read.data)
        m.d.comb += self.now.eq(Array(words)[self.tag >> _BANK_BITS] if len(words) > 1 else words[0])
        return m
