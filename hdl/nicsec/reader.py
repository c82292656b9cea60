# SPDX-License-Identifier: Apache-2.0
"""Reads the range of a pass out of the packet buffer."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .job import byte_bits, word_bits
from .mutable import RouteLayout
from .words import Kind, PassWord

__all__ = ["Reader"]

#: Words from an IPv6 header to its destination address, and of an address.
_DESTINATION, _ADDRESS = 6, 4


class Reader(wiring.Component):
    """Streams the words of one pass. One word per cycle, the first four cycles after ``start``.

    With ``route`` the addresses of an IPv6 routing header come in the order in which they arrive at the last
    hop (RFC 8200 section 4.4): the last one as destination, the others one place on, the destination in front.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; the members below are then held until the last word has left.
    first, body : In
        First word, and for ESP the first word of the payload.
    end : In
        Byte behind the range.
    esp : In(1)
        Words are header, IV and body; without it all are header.
    route : In(RouteLayout)
    addr, en : Out
        Read port: ``word`` follows two enabled cycles after ``addr``.
    o : Out(stream of PassWord)
    """

    def __init__(self, config):
        words, bits = word_bits(config), byte_bits(config)
        self._routed = config.has_ah
        super().__init__({
            "start": In(1),
            "first": In(words),
            "body": In(words),
            "end": In(bits),
            "esp": In(1),
            "route": In(RouteLayout(words)),
            "addr": Out(words),
            "en": Out(1),
            "word": In(32),
            "o": Out(stream.Signature(PassWord)),
        })

    def elaborate(self, platform):
        m = Module()
        at = Signal.like(self.addr)
        active = Signal()
        last = Signal()

        # What a read will bring, one per stage: address, RAM, output register.
        asked, read, out = (Signal(PassWord, name=name) for name in ("asked", "read", "out"))
        asked_valid, read_valid, out_valid = Signal(), Signal(), Signal()

        # Where a word is, is told by flags that change as the position goes by, so nothing but sums has a carry chain.
        step = Signal()
        following = Signal.like(at)
        heading, in_body = Signal(2), Signal()
        kind = Signal(Kind)
        m.d.comb += [step.eq(self.en & active), following.eq(at + 1)]
        with m.If(~self.esp | heading.any()):
            m.d.comb += kind.eq(Kind.HEADER)
        with m.Elif(in_body | (at == self.body)):
            m.d.comb += kind.eq(Kind.BODY)
        with m.Else():
            m.d.comb += kind.eq(Kind.IV)
        with m.If(step):
            m.d.sync += [heading.eq(heading >> 1), in_body.eq(~heading.any() & (in_body | (at == self.body)))]
        with m.If(self.start):
            m.d.sync += [heading.eq(0b11), in_body.eq(0)]

        source = Signal.like(at)
        m.d.comb += source.eq(at)
        if self._routed:
            m.d.comb += source.eq(at + self._shift(m, step))

        m.d.comb += [
            self.en.eq(~out_valid | self.o.ready),
            last.eq(Mux(self.end[:2].any(), at, following) == self.end[2:]),
            self.o.valid.eq(out_valid),
            self.o.p.data.eq(self.word),
            self.o.p.size.eq(out.size),
            self.o.p.kind.eq(out.kind),
            self.o.p.last.eq(out.last),
        ]
        with m.If(self.en):
            m.d.sync += [
                self.addr.eq(source),
                asked_valid.eq(active),
                asked.size.eq(Mux(last, self.end[:2], 0)),
                asked.kind.eq(kind),
                asked.last.eq(last),
                read_valid.eq(asked_valid),
                read.eq(asked),
                out_valid.eq(read_valid),
                out.eq(read),
            ]
            with m.If(active):
                m.d.sync += [at.eq(following), active.eq(~last)]
        with m.If(self.start):
            m.d.sync += [at.eq(self.first), active.eq(1)]
        return m

    def _shift(self, m, step):
        """How far from its place the word at hand is read: not at all, but for the addresses of ``route``."""
        route = self.route
        # Number of the next word.
        index = Signal.like(self.addr)
        # Words that are left of the destination, and of the address that goes there.
        destination, first = Signal(_ADDRESS), Signal(_ADDRESS)
        others = Signal()
        shift = Signal.like(self.addr)
        with m.If(destination.any()):
            m.d.comb += shift.eq(route.end - (_DESTINATION + _ADDRESS))
        with m.Elif(first.any()):
            m.d.comb += shift.eq(_DESTINATION - route.first)
        with m.Elif(others):
            m.d.comb += shift.eq(-_ADDRESS)
        with m.If(step):
            m.d.sync += [
                index.eq(index + 1), destination.eq(destination >> 1), first.eq(first >> 1),
                others.eq((others | (first == 1)) & (index != route.end)),
            ]
            with m.If(route.active & (index == _DESTINATION)):
                m.d.sync += destination.eq((1 << _ADDRESS) - 1)
            with m.If(route.active & (index == route.first)):
                m.d.sync += first.eq((1 << _ADDRESS) - 1)
        with m.If(self.start):
            m.d.sync += [index.eq(1), destination.eq(0), first.eq(0), others.eq(0)]
        return shift
