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

        kind = Signal(Kind)
        with m.If(~self.esp | (at < self.first + 2)):
            m.d.comb += kind.eq(Kind.HEADER)
        with m.Elif(at < self.body):
            m.d.comb += kind.eq(Kind.IV)
        with m.Else():
            m.d.comb += kind.eq(Kind.BODY)

        source = Signal.like(at)
        m.d.comb += source.eq(at)
        if self._routed:
            index = Signal.like(at)
            route = self.route
            with m.If(route.active):
                with m.If((index >= _DESTINATION) & (index < _DESTINATION + _ADDRESS)):
                    m.d.comb += source.eq(at + route.end - (_DESTINATION + _ADDRESS))
                with m.Elif((index >= route.first) & (index < route.first + _ADDRESS)):
                    m.d.comb += source.eq(at - route.first + _DESTINATION)
                with m.Elif((index >= route.first) & (index < route.end)):
                    m.d.comb += source.eq(at - _ADDRESS)
            with m.If(self.start):
                m.d.sync += index.eq(0)
            with m.Elif(self.en & active):
                m.d.sync += index.eq(index + 1)

        m.d.comb += [
            self.en.eq(~out_valid | self.o.ready),
            last.eq(((at + 1) << 2) >= self.end),
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
                m.d.sync += [at.eq(at + 1), active.eq(~last)]
        with m.If(self.start):
            m.d.sync += [at.eq(self.first), active.eq(1)]
        return m
