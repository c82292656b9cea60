# SPDX-License-Identifier: Apache-2.0
"""What AH hashes of the headers ahead of it, out of the ring."""

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
    """The part of an AH pass from the IP header to the ICV, as it is hashed; and what is to be read for it.

    With options or extension headers it is scanned first. The addresses of an IPv6 routing header come in the order in
    which they arrive at the last hop (RFC 8200 section 4.4): the last one as destination, the others one place on, the
    destination in front.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: a task of AH is taken. The members below are held from the next cycle on.
    ipv6, chained, first, head, end, header_words, icv_start, icv_last
        See :class:`~nicsec.pool.hash_order.HashOrder`.
    go : Out(1), refused : Out(1), status : Out(Status)
        Strobes: there will be words; there will be none because of ``status``, which holds.
    active : Out(1)
        Words go through here, from the cycle behind ``start`` to ``last``.
    read, read_first, read_end : Out
        To a LineReader, but for the first range, which begins with ``start``: from ``first`` to ``head`` if ``chained``
        and else to ``end``.
    i_valid, i_last : In(1), i_take : Out(1), i_word : In(32)
        From the LineReader.
    valid : Out(1), last : Out(1), dry : Out(1)
        There is a word; it is the last here; there are no others behind.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
        What was taken in the cycle before; meaningless in others.
    """

    def __init__(self, config):
        self._config = config
        place, order = place_bits(config), HashOrder(config).members
        super().__init__({
            "start": In(1),
            **{name: In(order[name]) for name in (
                "ipv6", "chained", "first", "head", "end", "header_words", "icv_start", "icv_last"
            )},
            "go": Out(1),
            "refused": Out(1),
            "status": Out(Status),
            "active": Out(1),
            "read": Out(1),
            "read_first": Out(place),
            "read_end": Out(place),
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
        taken = Signal()
        m.d.sync += taken.eq(self.i_take)
        m.d.comb += [
            mutable.enable.eq(1), mutable.ipv6.eq(self.ipv6), mutable.header_words.eq(self.header_words),
            mutable.icv_start.eq(self.icv_start), mutable.icv_words.eq(self.icv_last + 1),
            mutable.i.valid.eq(taken), mutable.i.p.data.eq(self.i_word), mutable.o.ready.eq(self.take),
            self.i_take.eq(self.active & self.i_valid & mutable.i.ready & ~taken),
            self.valid.eq(mutable.o.valid), self.word.eq(mutable.o.p.data), self.last.eq(mutable.icv_end),
            self.status.eq(mutable.status),
        ]
        with m.If(self.take & mutable.icv_end):
            m.d.sync += self.active.eq(0)

        # Six ranges for a routed header. From and to: the destination field holds what will be the last address in
        # the routing header's list, whose others have moved back by one; and so on.
        route = mutable.route
        number = Signal(3)
        offset = Signal.like(route.end)
        last_address = Signal.like(route.end)
        following = Signal()
        m.d.comb += last_address.eq(route.end - _ADDRESS)
        ranges = [
            (0, _DESTINATION),
            (last_address, route.end),
            (_DESTINATION + _ADDRESS, route.first),
            (_DESTINATION, _DESTINATION + _ADDRESS),
            (route.first, last_address),
            (route.end, None),
        ]
        with m.Switch(Cat(following, number)):
            for n, bounds in enumerate(ranges):
                for which, bound in enumerate(bounds):
                    if bound is not None:
                        with m.Case(2 * n + which):
                            m.d.comb += offset.eq(bound)
        at = Signal.like(self.first)
        ends = Signal()
        m.d.comb += [
            at.eq(self.first + offset), ends.eq(number == len(ranges) - 1),
            self.read_end.eq(Mux(ends, self.end, at)),
        ]
        one_address = Signal()
        m.d.sync += one_address.eq(route.first == last_address)

        reading = Signal()  # the range that is read is the last one
        with m.If(self.i_take & self.i_last & reading):
            m.d.sync += self.dry.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += number.eq(0)
                with m.If(self.start):
                    m.d.sync += [self.active.eq(1), self.dry.eq(0)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [mutable.start.eq(1), mutable.scan.eq(self.chained), self.go.eq(~self.chained)]
                m.d.sync += reading.eq(~self.chained)
                m.next = "IDLE"
                with m.If(self.chained):
                    m.next = "SCAN"
            with m.State("SCAN"):
                with m.If(mutable.scanned):
                    m.next = "SCANNED"
            with m.State("SCANNED"):
                m.d.comb += [
                    self.go.eq(mutable.status == Status.SUCCESS), self.refused.eq(mutable.status != Status.SUCCESS),
                    mutable.start.eq(self.go),
                ]
                with m.If(self.refused):
                    m.d.sync += self.active.eq(0)
                    m.next = "IDLE"
                with m.Else():
                    m.next = "FROM"
            with m.State("FROM"):
                m.d.sync += self.read_first.eq(at)
                with m.If(~route.active):
                    m.d.sync += number.eq(len(ranges) - 1)
                m.next = "TO"
            with m.State("TO"):
                m.d.comb += [following.eq(1), self.read.eq(1)]
                m.d.sync += reading.eq(ends)
                with m.If(ends):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "READ"
            with m.State("READ"):
                with m.If(self.i_take & self.i_last):
                    m.d.sync += number.eq(number + 1)
                    with m.If((number == 3) & one_address):
                        m.d.sync += number.eq(5)
                    m.next = "FROM"
        return m
