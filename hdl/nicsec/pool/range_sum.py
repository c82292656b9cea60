# SPDX-License-Identifier: Apache-2.0
"""The Internet checksum over a range of a frame in a line cache (RFC 1071)."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..job import byte_bits, word_bits

__all__ = ["RangeSum"]


class RangeSum(wiring.Component):
    """Sums a word a cycle, and is done four cycles behind the last address.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe, with the members up to ``low``.
    first, end : In
        First word, and the byte behind the range; behind that, up to a word is read and does not count.
    header : In(1)
        The range is an IPv4 header: its checksum field counts as zero.
    udp : In(1)
        A result of zero is given as 0xFFFF (RFC 768).
    field, low : In
        Word of the checksum, and whether its low half is it.
    addr : Out, word : In(32), stall : In(1)
        Read port: ``word`` follows two cycles without ``stall`` after ``addr``.
    done : Out(1)
        Strobe: ``result``, in network order, is there from the next cycle to the next start.
    target, target_low : Out
        ``field`` and ``low``, held.
    """

    def __init__(self, config):
        words, bits = word_bits(config), byte_bits(config)
        super().__init__({
            "start": In(1),
            "first": In(words),
            "end": In(bits),
            "header": In(1),
            "udp": In(1),
            "field": In(words),
            "low": In(1),
            "addr": Out(words),
            "word": In(32),
            "stall": In(1),
            "done": Out(1),
            "result": Out(16),
            "target": Out(words),
            "target_low": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        stop = Signal.like(self.addr, reset_less=True)
        size = Signal(2, reset_less=True)
        udp = Signal(reset_less=True)

        # Words from the address to the adder; `third` marks the word of an IPv4 header that holds its checksum.
        # Of the last word `size` bytes count, and of the other ones all.
        reading, asked = Signal(), Signal()
        third = Signal(4)
        enable = Signal(4)
        at_end = Signal()
        m.d.comb += at_end.eq(self.addr == stop)

        # A carry out of the sum goes in again with the next word (RFC 1071 section 2), the last ones with no word.
        total = Signal(16, reset_less=True)
        carry = Signal(2, reset_less=True)
        masked = Signal(32)
        high, both = Signal(17), Signal(17)
        m.d.comb += [
            masked.eq(Cat(Mux(enable[n], self.word[8 * n : 8 * n + 8], 0) for n in range(4))),
            high.eq(total + masked[16:] + carry[0]),
            both.eq(high[:16] + masked[:16] + carry[1]),
        ]

        ends = Signal(4)
        with m.If(~self.stall):
            m.d.sync += [
                reading.eq(reading & ~at_end),
                asked.eq(reading),
                ends.eq(Cat(reading & at_end, ends)),
                third.eq(third << 1),
            ]
            with m.If(reading & ~at_end):
                m.d.sync += self.addr.eq(self.addr + 1)
            for n in range(4):
                whole = Mux(ends[0], size > 3 - n, ~(third[3] & (n < 2)))
                m.d.sync += enable[n].eq(asked & whole)
            m.d.sync += [total.eq(both), carry.eq(Cat(high[16], both[16]))]
        m.d.comb += [
            self.done.eq(ends[3]),
            self.result.eq(~total | (udp & total.all()).replicate(16)),
        ]
        with m.If(self.start):
            m.d.sync += [
                self.addr.eq(self.first), stop.eq(self.end >> 2), size.eq(self.end[:2]), udp.eq(self.udp),
                self.target.eq(self.field), self.target_low.eq(self.low),
                reading.eq(1), third.eq(self.header), total.eq(0), carry.eq(0),
            ]
        return m
