# SPDX-License-Identifier: Apache-2.0
"""What AH hashes in place of the headers ahead of it (RFC 4302 section 3.3.3.1 and appendix A)."""

from amaranth import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .choose import gated
from .job import word_bits
from .words import Kind, PassWord

__all__ = ["Mutable", "RouteLayout"]

_END, _NOP, _LSRR, _SSRR = 0x00, 0x01, 0x83, 0x89
#: Security, extended security, commercial security, router alert, sender directed delivery.
_IMMUTABLE = (0x82, 0x85, 0x86, 0x94, 0x95)
_ROUTING = 43
_IPV4_WORDS, _IPV6_WORDS = 5, 10


class RouteLayout(data.StructLayout):
    """An IPv6 routing header with segments left. ``first`` is the word of the next address to be visited, ``end``
    the word behind the last, both counted from the IP header."""

    def __init__(self, words):
        super().__init__({"active": 1, "first": words, "end": words})


class _Phase(enum.IntEnum):
    """What the next byte of an option area is; bits of a one-hot register."""

    TYPE = 0
    LENGTH = 1
    DATA = 2
    END = 3  #: behind IPv4's end of options
    HEADER_NEXT = 4  #: of an IPv6 extension header
    HEADER_LENGTH = 5
    ROUTE_TYPE = 6
    ROUTE_LEFT = 7
    ROUTE_DATA = 8


class Mutable(wiring.Component):
    """Passes words on; when ``enable``, what routers change as zero, what they change predictably as it will
    arrive, and the ICV as zero. Two cycles per word, six for a word of options or extension headers.

    Options are read twice: a scan, which ends ahead of AH and gives nothing out, finds a source route's last
    address and an IPv6 routing header before the destination address is passed. The reader then swaps the
    addresses of ``route``.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe ahead of a scan or a pass; the members below are then held until its last word was taken.
    scan : In(1)
        With ``start``: this is a scan.
    enable : In(1)
        The pass is one of AH.
    ipv6 : In(1)
    header_words : In
        Words from the IP header to AH.
    icv_start : In
        Words from the IP header to the ICV proper.
    icv_words : In(4)
    iv_words : In(2)
        Words of IV ahead of the ICV; they are marked as :attr:`Kind.IV`.
    scanned : Out(1)
        Strobe, a cycle behind the scan: it is done, and from the next cycle on ``status`` and ``route`` hold to the
        next one.
    status : Out(Status)
        ``MALFORMED`` for options that overrun their header or a broken source route, ``UNSUPPORTED`` for a
        routing header of unknown type with segments left.
    route : Out(RouteLayout)
    i, o : streams of PassWord
    icv_end : Out(1)
        With ``o``: the last word of the ICV.
    """

    def __init__(self, config):
        words = word_bits(config)
        self._words = words
        super().__init__({
            "start": In(1),
            "scan": In(1),
            "enable": In(1),
            "ipv6": In(1),
            "header_words": In(words),
            "icv_start": In(words),
            "icv_words": In(4),
            "iv_words": In(2),
            "scanned": Out(1),
            "status": Out(Status),
            "route": Out(RouteLayout(words)),
            "i": In(stream.Signature(PassWord)),
            "o": Out(stream.Signature(PassWord)),
            "icv_end": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        index = Signal(self._words)
        held = Signal(PassWord, reset_less=True)
        ready, valid = Signal(init=1), Signal()
        scanning = Signal()
        icv_left = Signal(4)
        step = Signal(2)

        phase = Signal(len(_Phase), init=1 << _Phase.TYPE)
        protocol = Signal(8)  # of the IPv6 header at hand
        following = Signal(8)
        left = Signal(12)  # bytes of the option area from the next one on
        last_of_area = Signal()  # of an IPv6 extension header
        option_left = Signal(8)
        option_first = Signal()
        option_length = Signal(8)
        option_route = Signal()
        wipe = Signal()
        last_address = Signal(32)
        route_known = Signal()  # the pointer of a source route is not past its end
        destination = Signal(32)
        redirected = Signal()
        units = Signal(8)

        byte, result = Signal(8), Signal(8)
        m.d.comb += [
            byte.eq(held.data[24:]),
            self.i.ready.eq(ready),
            self.o.valid.eq(valid),
            self.o.payload.eq(held),
        ]

        # Which options are kept, and what stands for none.
        kept, skipped, hidden = Signal(), Signal(), Signal()
        m.d.comb += [
            kept.eq(Mux(
                self.ipv6, ~byte[5], Cat(byte == kind for kind in (_END, _NOP, *_IMMUTABLE)).any()
            )),
            skipped.eq(Mux(self.ipv6, byte == 0, byte == _NOP)),
            hidden.eq(
                (phase[_Phase.TYPE] & ~self.ipv6 & ~kept) | (phase[_Phase.LENGTH] & ~self.ipv6 & wipe)
                | (phase[_Phase.DATA] & wipe) | phase[_Phase.ROUTE_LEFT]
            ),
            result.eq(gated(byte, ~hidden)),
        ]

        # What is wrong with a byte is judged a cycle later, when `option_left` is there as well.
        judged, malformed, unsupported, measured, routed, beyond = (
            Signal(name=name) for name in ("judged", "malformed", "unsupported", "measured", "routed", "beyond")
        )
        m.d.sync += [
            judged.eq(0), unsupported.eq(0), measured.eq(0), routed.eq(0), self.scanned.eq(0),
            malformed.eq(
                (phase[_Phase.TYPE] & ~skipped & (self.ipv6 | (byte != _END)) & (left < 2))
                | (phase[_Phase.LENGTH] & ~self.ipv6 & ((byte < 2) | (option_route & (byte[:2] != 3))))
                | (phase[_Phase.DATA] & option_route & option_first & (byte < 4))
            ),
            beyond.eq(units[0] | (byte > units[1:])),
        ]
        with m.If(self.status == Status.SUCCESS):
            with m.If((judged & malformed) | (measured & (option_left > left)) | (routed & beyond)):
                m.d.sync += self.status.eq(Status.MALFORMED)
            with m.Elif(unsupported):
                m.d.sync += self.status.eq(Status.UNSUPPORTED)

        # A word is looked at two cycles behind the one ahead of it at the earliest: what follows from its number is in
        # registers by then.
        next_index, fixed_words = Signal.like(index), Signal(range(_IPV6_WORDS + 1))
        last_of_header, last_of_fixed, before_icv, at_icv, in_icv = (
            Signal(name=name) for name in ("last_of_header", "last_of_fixed", "before_icv", "at_icv", "in_icv")
        )
        version, address, cleared = Signal(), Signal(), Signal(4)
        at = Signal(_IPV4_WORDS)  # one-hot
        optional = Signal()
        # Behind the length of an IPv6 extension header: the word behind the header.
        behind = Signal.like(index)
        m.d.comb += [
            next_index.eq(Cat(bit ^ index[:n].all() for n, bit in enumerate(index))),
            fixed_words.eq(Mux(self.ipv6, _IPV6_WORDS, _IPV4_WORDS)),
        ]
        m.d.sync += [
            last_of_header.eq(next_index == self.header_words), last_of_fixed.eq(next_index == fixed_words),
            before_icv.eq((next_index == self.icv_start) | (index + 2 == self.icv_start)),
            at_icv.eq(index == self.icv_start), in_icv.eq((index == self.icv_start) | (icv_left != 0)),
            # Bytes of the word, the last one first. Of an IPv6 header's first word the version is left.
            version.eq(at[0] & self.ipv6), address.eq(at[4] & ~self.ipv6 & redirected),
            cleared.eq(Cat(
                at[1] | Mux(self.ipv6, at[0], at[2]), Mux(self.ipv6, at[0], at[1] | at[2]), at[0],
                Mux(self.ipv6, at[0], at[2]),
            )),
            # One is carried in from below.
            behind.eq(Cat(index[0], (Cat(C(1, 1), index[1:]) + Cat(C(1, 1), units))[1:])),
        ]

        def finish():
            """The word is ready to go, or in a scan to be forgotten."""
            m.d.sync += [
                index.eq(next_index), at.eq(at << 1), optional.eq((optional | last_of_fixed) & ~last_of_header),
            ]
            with m.If(scanning):
                m.d.sync += ready.eq(1)
                m.next = "TAKE"
                with m.If(last_of_header):
                    m.d.sync += [self.scanned.eq(1), scanning.eq(0)]
            with m.Else():
                m.d.sync += valid.eq(1)
                m.next = "GIVE"

        with m.FSM():
            with m.State("TAKE"):
                m.d.sync += [held.eq(self.i.payload), step.eq(0)]
                with m.If(self.i.valid):
                    m.d.sync += ready.eq(0)
                    m.next = "MASK"
            with m.State("MASK"):
                m.d.sync += self.icv_end.eq(self.enable & (icv_left == 1))
                with m.If(self.enable & optional):
                    m.next = "OPTIONS"
                with m.Else():
                    finish()
                    with m.If(self.enable):
                        m.d.sync += held.data.eq(
                            gated(Mux(address, destination, held.data), ~in_icv)
                            & ~Cat(bit.replicate(8) for bit in cleared) | (version << 29 | version << 30)
                        )
                        with m.If(at[1]):
                            m.d.sync += protocol.eq(held.data[8:16])
                        with m.If(self.iv_words.any() & before_icv):
                            m.d.sync += held.kind.eq(Kind.IV)
                        with m.If(at_icv):
                            m.d.sync += icv_left.eq(self.icv_words - 1)
                        with m.Elif(in_icv):
                            m.d.sync += icv_left.eq(icv_left - 1)
            with m.State("OPTIONS"):
                m.d.sync += [held.data.eq(Cat(result, held.data[:24])), step.eq(step + 1), left.eq(left - 1)]
                m.d.sync += [judged.eq(1), last_of_area.eq(self.ipv6 & (left == 2))]
                with m.If(step == 3):
                    finish()
                with m.If(phase[_Phase.TYPE]):
                    with m.If(~self.ipv6 & (byte == _END)):
                        m.d.sync += phase.eq(1 << _Phase.END)
                    with m.Elif(~skipped):
                        m.d.sync += [
                            phase.eq(1 << _Phase.LENGTH), wipe.eq(~kept),
                            option_route.eq(~self.ipv6 & ((byte == _LSRR) | (byte == _SSRR))),
                        ]
                with m.If(phase[_Phase.LENGTH]):
                    size = Signal(8)
                    m.d.comb += size.eq(Mux(self.ipv6, byte, byte - 2))
                    m.d.sync += [
                        option_left.eq(size), option_length.eq(byte), option_first.eq(1), measured.eq(1),
                    ]
                    with m.If(byte == Mux(self.ipv6, 0, 2)):
                        m.d.sync += phase.eq(1 << _Phase.TYPE)
                    with m.Else():
                        m.d.sync += phase.eq(1 << _Phase.DATA)
                with m.If(phase[_Phase.DATA]):
                    m.d.sync += [
                        option_left.eq(option_left - 1), option_first.eq(0),
                        last_address.eq(Cat(byte, last_address[:24])),
                    ]
                    with m.If(option_route & option_first):
                        m.d.sync += route_known.eq(byte <= option_length)
                    with m.If(option_left == 1):
                        m.d.sync += phase.eq(1 << _Phase.TYPE)
                        with m.If(option_route & ~option_first & route_known & scanning):
                            m.d.sync += [destination.eq(Cat(byte, last_address[:24])), redirected.eq(1)]
                with m.If(phase[_Phase.HEADER_NEXT]):
                    m.d.sync += [following.eq(byte), phase.eq(1 << _Phase.HEADER_LENGTH)]
                with m.If(phase[_Phase.HEADER_LENGTH]):
                    m.d.sync += [units.eq(byte), left.eq((byte << 3) + 6), last_of_area.eq(0)]
                    m.d.sync += phase.eq(Mux(protocol == _ROUTING, 1 << _Phase.ROUTE_TYPE, 1 << _Phase.TYPE))
                with m.If(phase[_Phase.ROUTE_TYPE]):
                    m.d.sync += [option_length.eq(byte), phase.eq(1 << _Phase.ROUTE_LEFT)]
                with m.If(phase[_Phase.ROUTE_LEFT]):
                    m.d.sync += phase.eq(1 << _Phase.ROUTE_DATA)
                    with m.If(scanning & (byte != 0)):
                        m.d.sync += [
                            self.route.active.eq(1),
                            self.route.first.eq(behind - (byte << 2)),
                            self.route.end.eq(behind),
                        ]
                        with m.If((option_length != 0) & (option_length != 2)):
                            m.d.sync += unsupported.eq(1)
                        with m.Elif(self.route.active):
                            m.d.sync += unsupported.eq(1)
                        with m.Else():
                            m.d.sync += routed.eq(1)
                # An extension header ends with its last byte; `left` counts none ahead of its length.
                with m.If(last_of_area):
                    m.d.sync += [phase.eq(1 << _Phase.HEADER_NEXT), protocol.eq(following)]
            with m.State("GIVE"):
                with m.If(self.o.ready):
                    m.d.sync += [valid.eq(0), ready.eq(1)]
                    m.next = "TAKE"

        with m.If(self.start):
            m.d.sync += [
                index.eq(0), at.eq(1), last_of_area.eq(0), optional.eq(0), icv_left.eq(0), scanning.eq(self.scan),
                phase.eq(Mux(self.ipv6, 1 << _Phase.HEADER_NEXT, 1 << _Phase.TYPE)),
                # Of an IPv4 header; IPv6's tell theirs.
                left.eq((self.header_words[:4] - _IPV4_WORDS)[:4] << 2),
            ]
            # A header without options is not scanned, and must not inherit what the last scan found.
            with m.If(self.scan | (self.header_words == fixed_words)):
                m.d.sync += [self.status.eq(Status.SUCCESS), redirected.eq(0), self.route.active.eq(0)]
        return m
