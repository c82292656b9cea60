# SPDX-License-Identifier: Apache-2.0
"""What a pass reads of the ring, and what AH hashes of the headers ahead of it."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..algorithm import Status
from ..mutable import Mutable
from .hash_order import HashOrder
from .layout import place_bits

__all__ = ["Masked"]

#: Words from an IPv6 header to its destination address, and of an address.
_DESTINATION, _ADDRESS = 6, 4


class Masked(wiring.Component):
    """The ranges that are read for a pass; and of AH the part from the IP header to the ICV, as it is hashed.

    With options or extension headers that part is scanned first. The addresses of an IPv6 routing header come in the
    order in which they arrive at the last hop (RFC 8200 section 4.4): the last one as destination, the others one place
    on, the destination in front.

    The first range begins three cycles behind ``start`` and is bounded in the next. A word of the part takes three.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: a task is taken. The members below are held from the next cycle on.
    esp, ipv6, chained, first, end, header_words, icv_start, icv_last
        See :class:`~nicsec.pool.hash_order.HashOrder`.
    go : Out(1), refused : Out(1), status : Out(Status)
        Strobes of AH: there will be words; there will be none because of ``status``, which holds.
    read : Out(1), bound : Out(1), seek : Out(1), place : Out
        Strobes to a LineReader, for which ``place`` is both ends of the range. AH seeks the ICV.
    hashed : In(1)
        Strobe: all words of the task have been taken.
    i_valid, i_last : In(1), i_take : Out(1), i_word : In(32)
        From the LineReader, for AH.
    valid : Out(1), last : Out(1), dry : Out(1)
        There is a word; it is the last here; there are no others behind.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
    """

    def __init__(self, config):
        self._config = config
        order = HashOrder(config).members
        super().__init__({
            "start": In(1),
            **{name: In(order[name]) for name in (
                "esp", "ipv6", "chained", "first", "end", "header_words", "icv_start", "icv_last"
            )},
            "go": Out(1),
            "refused": Out(1),
            "status": Out(Status),
            "read": Out(1),
            "bound": Out(1),
            "seek": Out(1),
            "place": Out(place_bits(config)),
            "hashed": In(1),
            "i_valid": In(1),
            "i_last": In(1),
            "i_take": Out(1),
            "i_word": In(32),
            "valid": Out(1),
            "last": Out(1),
            "dry": Out(1),
            "take": In(1),
            "word": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.mutable = mutable = Mutable(self._config)
        active = Signal()
        m.d.comb += [
            mutable.enable.eq(1), mutable.ipv6.eq(self.ipv6), mutable.header_words.eq(self.header_words),
            mutable.icv_start.eq(self.icv_start), mutable.icv_words.eq(self.icv_last + 1),
            mutable.i.valid.eq(active & self.i_valid), mutable.i.p.data.eq(self.i_word),
            mutable.o.ready.eq(self.take),
            self.i_take.eq(active & self.i_valid & mutable.i.ready),
            self.valid.eq(mutable.o.valid), self.word.eq(mutable.o.p.data), self.last.eq(mutable.icv_end),
            self.status.eq(mutable.status),
        ]
        with m.If(self.take & self.last):
            m.d.sync += active.eq(0)

        # Places, counted from the IP header. Six ranges for a routed header: the destination field holds what will be
        # the last address in the routing header's list, whose others have moved back by one; and so on. The end of the
        # sixth is also that of the only one for other headers, which begins with the first.
        route = mutable.route
        last_address = Signal.like(route.end)
        m.d.comb += last_address.eq(route.end - _ADDRESS)
        places = [
            0, _DESTINATION,
            last_address, route.end,
            _DESTINATION + _ADDRESS, route.first,
            _DESTINATION, _DESTINATION + _ADDRESS,
            route.first, last_address,
            route.end,
        ]
        routed_end, one_less, to_end, to_head, to_icv = 1, 7, len(places), len(places) + 1, len(places) + 2
        # What is chosen is in `place` three cycles later, that is while the sum of what was chosen before it is there.
        chosen = Signal(range(to_icv + 1))
        offset, ends = Signal.like(route.end, reset_less=True), Signal(reset_less=True)
        with m.Switch(chosen):
            for n, place in enumerate((*places, 0, self.header_words, self.icv_start)):
                with m.Case(n):
                    m.d.sync += offset.eq(place)
        m.d.sync += [ends.eq(chosen == to_end), self.place.eq(Mux(ends, self.end, self.first + offset))]
        one_address, scanning = Signal(), Signal()
        m.d.sync += one_address.eq(route.first == last_address)

        # Strobes come a cycle behind their states.
        m.d.sync += [self.go.eq(0), self.read.eq(0), self.bound.eq(0), self.seek.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += chosen.eq(0)
                with m.If(self.start):
                    m.d.sync += self.dry.eq(0)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                scan = self.chained & ~self.esp
                m.d.comb += [mutable.start.eq(1), mutable.scan.eq(scan)]
                m.d.sync += [self.go.eq(~self.chained & ~self.esp)]
                m.d.sync += [active.eq(~self.esp), scanning.eq(scan), chosen.eq(Mux(scan, to_head, to_end))]
                m.next = "READ"
            with m.State("READ"):
                m.d.sync += self.read.eq(1)
                m.next = "BOUND"
            with m.State("BOUND"):
                m.d.sync += self.bound.eq(1)
                with m.If(scanning):
                    m.d.sync += chosen.eq(0)
                    m.next = "SCAN"
                with m.Elif(chosen == to_end):
                    m.d.sync += chosen.eq(to_icv)
                    m.next = "LAST"
                with m.Else():
                    m.d.sync += chosen.eq(chosen + 1)
                    with m.If((chosen == one_less) & one_address):
                        m.d.sync += chosen.eq(to_end - 1)
                    m.next = "RANGE"
            with m.State("SCAN"):
                m.d.sync += scanning.eq(0)
                with m.If(mutable.scanned):
                    m.next = "SCANNED"
            with m.State("SCANNED"):
                with m.If(mutable.status != Status.SUCCESS):
                    m.d.comb += self.refused.eq(1)
                    m.d.sync += active.eq(0)
                    m.next = "IDLE"
                with m.Else():
                    m.d.comb += mutable.start.eq(1)
                    m.d.sync += self.go.eq(1)
                    m.d.sync += chosen.eq(Mux(route.active, routed_end, to_end))
                    m.next = "READ"
            with m.State("RANGE"):
                with m.If(self.i_take & self.i_last):
                    m.d.sync += chosen.eq(chosen + 1)
                    m.next = "READ"
            with m.State("LAST"):
                with m.If(self.i_take & self.i_last):
                    m.d.sync += self.dry.eq(1)
                with m.If(self.hashed):
                    m.d.sync += [self.seek.eq(~self.esp), chosen.eq(0)]
                    m.next = "IDLE"
        return m
