# SPDX-License-Identifier: Apache-2.0
"""The Internet checksum over a range of a frame in a line cache (RFC 1071)."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..choose import more_than
from ..job import byte_bits, word_bits

__all__ = ["RangeSum"]


class RangeSum(wiring.Component):
    """Sums a word a cycle, and is done six cycles behind the last address.

    Parameters
    ----------
    config : Config

    Members
    -------
    turn : In(1)
        Without it ``addr`` is 0 from the next cycle on.
    load : In(1)
        The members up to ``udp`` are taken, and ``result`` is no more. Not while it sums.
    start : In(1)
        Strobe, with ``load``: the sum begins.
    header : In(1)
        The range is an IPv4 header of ``words`` from ``first`` on: its checksum field counts as zero and is where the
        result belongs. Otherwise it begins behind word ``first``, ends ahead of byte ``end``, and the result belongs
        into word ``field``, its lower half if ``low``; it holds a byte at least.
    udp : In(1)
        A result of zero is given as 0xFFFF (RFC 768), but for a header.
    addr : Out, word : In(32), stall : In(1)
        Read port: ``word`` follows two cycles without ``stall`` after ``addr``. Up to a word behind the range is read.
    done : Out(1)
        Strobe: ``result``, in network order, is there from the next cycle to the next ``load``.
    target, target_low : Out
        Word and half where it belongs.
    """

    def __init__(self, config):
        words, bits = word_bits(config), byte_bits(config)
        super().__init__({
            "turn": In(1),
            "load": In(1),
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
        mark, ends, enable = Signal(4), Signal(6), Signal(4)
        masked = Signal(32, reset_less=True)

        # The halves of a word are added, and then that to the sum, each in a cycle of its own. A carry out of either
        # goes in again with the next word (RFC 1071 section 2), the last ones with no word.
        pair, total = Signal(16, reset_less=True), Signal(16, reset_less=True)
        carry = Signal(2, reset_less=True)
        halves, both = Signal(18), Signal(18)
        m.d.comb += [
            # The lowest bits are there for the carry alone.
            halves.eq(Cat(carry[0], masked[16:]) + Cat(carry[0], masked[:16])),
            both.eq(Cat(carry[1], total) + Cat(carry[1], pair)),
        ]
        with m.If(~self.stall):
            m.d.sync += [
                reading.eq(reading & ~at_end),
                asked.eq(reading),
                ends.eq(Cat(reading & at_end, ends)),
                mark.eq(mark << 1),
                pair.eq(halves[1:]), total.eq(both[1:]), carry.eq(Cat(halves[17], both[17])),
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
            self.done.eq(ends[5]),
            self.result.eq(~total | (udp & total.all()).replicate(16)),
        ]
        with m.If(self.start):
            m.d.sync += reading.eq(1)
        with m.If(self.load):
            m.d.sync += [
                self.addr.eq(self.first),
                stop.eq(Cat(Mux(self.header, (self.first + self.words)[:4], self.end[2:6]), self.end[6:])),
                size.eq(Mux(self.header, 0, self.end[:2])),
                header.eq(self.header), udp.eq(self.udp & ~self.header),
                self.target.eq(self.field), self.target_low.eq(self.header | self.low),
                mark.eq(Mux(self.header, 0b001, 0b100)),
                pair.eq(0), total.eq(0), carry.eq(0),
            ]
        with m.If(~self.turn):
            m.d.sync += self.addr.eq(0)
        return m
