# SPDX-License-Identifier: Apache-2.0
"""The Internet checksum over a range of a frame in a line cache (RFC 1071)."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..choose import more_than
from ..job import byte_bits, word_bits

__all__ = ["RangeSum"]


class RangeSum(wiring.Component):
    """Sums a word a cycle, and is done five cycles behind the last address.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe, with the members up to ``udp``.
    header : In(1)
        The range is an IPv4 header of ``words`` from ``first`` on: its checksum field counts as zero and is where the
        result belongs. Otherwise it begins behind word ``first``, ends ahead of byte ``end``, and the result belongs
        into word ``field``, its lower half if ``low``; it holds a byte at least.
    udp : In(1)
        A result of zero is given as 0xFFFF (RFC 768), but for a header.
    addr : Out, word : In(32), stall : In(1)
        Read port: ``word`` follows two cycles without ``stall`` after ``addr``. Up to a word behind the range is read.
    done : Out(1)
        Strobe: ``result``, in network order, is there from the next cycle to the next start.
    target, target_low : Out
        Word and half where it belongs.
    """

    def __init__(self, config):
        words, bits = word_bits(config), byte_bits(config)
        super().__init__({
            "start": In(1),
            "header": In(1),
            "first": In(words),
            "words": In(4),
            "end": In(bits),
            "field": In(words),
            "low": In(1),
            "udp": In(1),
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
        header, udp = Signal(reset_less=True), Signal(reset_less=True)
        size = Signal(2, reset_less=True)

        # The last word is `stop`: of it `size` bytes count, which may be none. A header is shorter than 16 words.
        stop = Signal.like(self.addr, reset_less=True)
        reading, asked, at_end = Signal(), Signal(), Signal()
        m.d.comb += at_end.eq((self.addr[:4] == stop[:4]) & (header | (self.addr[4:] == stop[4:])))

        # Words from the address to the adder. `mark` comes to its end with the word of a header that holds the
        # checksum, or with the one ahead of the range.
        mark, ends, enable = Signal(4), Signal(5), Signal(4)
        masked = Signal(32, reset_less=True)

        # A carry out of the sum goes in again with the next word (RFC 1071 section 2), the last ones with no word.
        total = Signal(16, reset_less=True)
        carry = Signal(2, reset_less=True)
        high, both = Signal(18), Signal(18)
        m.d.comb += [
            # The lowest bits are there for the carry alone.
            high.eq(Cat(carry[0], total) + Cat(carry[0], masked[16:])),
            both.eq(Cat(carry[1], high[1:17]) + Cat(carry[1], masked[:16])),
        ]
        with m.If(~self.stall):
            m.d.sync += [
                reading.eq(reading & ~at_end),
                asked.eq(reading),
                ends.eq(Cat(reading & at_end, ends)),
                mark.eq(mark << 1),
                total.eq(both[1:]), carry.eq(Cat(high[17], both[17])),
            ]
            with m.If(reading & ~at_end):
                m.d.sync += self.addr.eq(self.addr + 1)
            with m.If(header & mark[2]):
                m.d.sync += self.target.eq(self.addr)
            for n in range(4):
                counts = Mux(ends[0], more_than(size, 3 - n), ~(mark[3] & ((n < 2) | ~header)))
                m.d.sync += enable[n].eq(asked & counts)
                m.d.sync += masked[8 * n : 8 * n + 8].eq(Mux(enable[n], self.word[8 * n : 8 * n + 8], 0))
        m.d.comb += [
            self.done.eq(ends[4]),
            self.result.eq(~total | (udp & total.all()).replicate(16)),
        ]
        with m.If(self.start):
            m.d.sync += [
                self.addr.eq(self.first),
                stop.eq(Cat(Mux(self.header, (self.first + self.words)[:4], self.end[2:6]), self.end[6:])),
                size.eq(Mux(self.header, 0, self.end[:2])),
                header.eq(self.header), udp.eq(self.udp & ~self.header),
                self.target.eq(self.field), self.target_low.eq(self.header | self.low),
                mark.eq(Mux(self.header, 0b001, 0b100)), reading.eq(1),
                total.eq(0), carry.eq(0),
            ]
        return m
