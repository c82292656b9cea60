# SPDX-License-Identifier: Apache-2.0
"""Finds the IPsec headers of a stored frame and makes the plan of passes over it.

NDIS gives the card no offsets, so the headers are walked. Every step and the order of the checks
are those of docs/design.md section 4; the first failure is the packet's status.
"""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .job import INNER, OUTER, JobLayout, PassLayout, byte_bits, word_bits
from .sa_layout import LeadRow, RowRequest
from .suite import ah_iv_words, esp_align_mask, esp_iv_words

__all__ = ["Walker"]

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_ETHERTYPE_VLAN, _ETHERTYPE_QINQ = 0x8100, 0x88A8
_HOP_BY_HOP, _IPV4, _UDP, _IPV6, _ROUTING, _FRAGMENT, _ESP, _AH, _NONE, _DESTINATION = 0, 4, 17, 41, 43, 44, 50, 51, 59, 60
_UDP_ENCAP_PORT = 4500  # RFC 3948


class Walker(wiring.Component):
    """Walks one frame per ``start``; about 4 cycles for every word that is looked at, 35 to 160 in all.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; ``job`` is then held until ``done``.
    job : In(JobLayout)
    done : Out(1)
        Strobe; ``status`` and ``plan`` hold until the next start.
    plan : Out(array of 4 PassLayout)
        In order of execution: inner ESP, inner AH, outer ESP, outer AH.
    addr : Out
        Word of the frame to be read; ``word`` follows three cycles later.
    row_req, row_rsp : streams
        Rows of the SA table.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "start": In(1),
            "job": In(JobLayout(config)),
            "done": Out(1),
            "status": Out(Status),
            "plan": Out(data.ArrayLayout(PassLayout(config), 4)),
            "addr": Out(word_bits(config)),
            "word": In(32),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(128)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        bits, words = byte_bits(config), word_bits(config)

        level = Signal(1)
        lead = Signal(data.ArrayLayout(LeadRow, 2))
        op = Signal(1)
        esp, ah = lead[0], Signal(LeadRow)
        has_esp, has_ah, ah_op, tunnel = Signal(), Signal(), Signal(), Signal()

        base = Signal(words)  # word of the level's IP header
        pos = Signal(words)  # word of the header at hand
        limit = Signal(bits)  # bytes: end of the region that the level may use
        end = Signal(bits)  # bytes: end of the level's datagram
        icv_start = Signal(bits)  # bytes: where the ESP ICV begins
        body = Signal(words)  # word of the ESP payload
        ipv6 = Signal()
        tags = Signal(2)
        next_header = Signal(8)
        chained = Signal()  # extension headers or options stand ahead of the AH
        behind_ah = Signal()
        wait = Signal(2)
        settled = Signal()
        m.d.comb += settled.eq(~wait.any())
        m.d.sync += wait.eq(wait >> 1)

        word = self.word
        job_level = Signal.like(self.job.levels[0])
        m.d.comb += job_level.eq(self.job.levels[level])

        def read(at, state):
            m.d.sync += [self.addr.eq(at), wait.eq(0b11)]
            m.next = state

        def fail(status):
            m.d.sync += self.status.eq(status)
            m.next = "DONE"

        # Sums are one bit wider than what they are compared with, so that nothing wraps; each is
        # used by one state and compared in the cycle that forms it.
        def past(offset_words, bound):
            """Whether ``offset_words`` words behind ``pos`` lie beyond ``bound``."""
            return ((pos + offset_words) << 2) > bound

        esp_iv, esp_mask, ah_iv = Signal(3), Signal(4), Signal(2)
        esp_icv, ah_icv = Signal(4), Signal(4)
        m.d.comb += [
            esp_iv.eq(esp_iv_words(config, esp.control.encr)),
            esp_mask.eq(esp_align_mask(config, esp.control.encr)),
            esp_icv.eq(esp.control.icv_words),
            ah_iv.eq(ah_iv_words(config, ah.control.auth)),
            ah_icv.eq(ah.control.icv_words),
        ]

        ah_words = Signal(9)
        ah_need = Signal(6)
        payload = Signal(bits + 1)
        outer_nested = Signal()
        m.d.comb += outer_nested.eq(self.job.nested & (level == OUTER))

        def next_region(at, bound, protocol):
            """The level is done: go on inside it, or finish."""
            with m.If(outer_nested):
                with m.If(tunnel & ((protocol == _IPV4) | (protocol == _IPV6))):
                    m.d.sync += [
                        level.eq(INNER), base.eq(at), pos.eq(at), limit.eq(bound), ipv6.eq(protocol == _IPV6),
                    ]
                    m.next = "BUNDLE"
                with m.Else():
                    fail(Status.INVALID_PROTOCOL)
            with m.Else():
                m.next = "DONE"

        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        self.status.eq(Status.SUCCESS), level.eq(OUTER), limit.eq(self.job.length + 2), tags.eq(0),
                    ]
                    m.d.sync += [pos.eq(3), *(entry.active.eq(0) for entry in self.plan)]
                    read(3, "LINK")

            # The EtherType is the low half of a word, also behind tags and LLC/SNAP.
            with m.State("LINK"):
                with m.If(settled):
                    with m.If(past(1, limit)):
                        fail(Status.MALFORMED)
                    with m.Elif((word[:16] == _ETHERTYPE_VLAN) | (word[:16] == _ETHERTYPE_QINQ)):
                        with m.If(tags == 2):
                            fail(Status.INVALID_PROTOCOL)
                        with m.Else():
                            m.d.sync += [tags.eq(tags + 1), pos.eq(pos + 1)]
                            read(pos + 1, "LINK")
                    with m.Elif(word[:16] <= 1500):
                        m.d.sync += pos.eq(pos + 1)
                        read(pos + 1, "LLC")
                    with m.Else():
                        m.next = "ETHERTYPE"
            with m.State("LLC"):
                with m.If(settled):
                    with m.If(past(2, limit)):
                        fail(Status.MALFORMED)
                    with m.Elif(word != 0xAAAA0300):
                        fail(Status.INVALID_PROTOCOL)
                    with m.Else():
                        m.d.sync += pos.eq(pos + 1)
                        read(pos + 1, "SNAP")
            with m.State("SNAP"):
                with m.If(settled):
                    with m.If(word[16:] != 0):
                        fail(Status.INVALID_PROTOCOL)
                    with m.Else():
                        m.next = "ETHERTYPE"
            with m.State("ETHERTYPE"):
                m.d.sync += [base.eq(pos + 1), pos.eq(pos + 1), ipv6.eq(word[:16] == _ETHERTYPE_IPV6)]
                with m.If((word[:16] == _ETHERTYPE_IPV4) | (word[:16] == _ETHERTYPE_IPV6)):
                    m.next = "BUNDLE"
                with m.Else():
                    fail(Status.INVALID_PROTOCOL)

            with m.State("BUNDLE"):
                m.d.sync += [op.eq(0), chained.eq(0), behind_ah.eq(0)]
                m.next = "LEAD"
            with m.State("LEAD"):
                m.d.comb += [
                    self.row_req.valid.eq(1),
                    self.row_req.p.slot.eq(job_level.slot),
                    self.row_req.p.op.eq(op),
                    self.row_req.p.row.eq(0),
                ]
                with m.If(self.row_req.ready):
                    m.next = "LEAD-ANSWER"
            with m.State("LEAD-ANSWER"):
                m.d.comb += self.row_rsp.ready.eq(1)
                with m.If(self.row_rsp.valid):
                    m.d.sync += [lead[op].eq(self.row_rsp.payload), op.eq(1)]
                    with m.If(op == 0):
                        m.next = "LEAD"
                    with m.Else():
                        m.next = "OPS"
            with m.State("OPS"):
                m.d.sync += [
                    has_esp.eq(~lead[0].control.ah),
                    has_ah.eq(lead[0].control.ah | lead[1].control.present),
                    ah_op.eq(~lead[0].control.ah),
                    ah.eq(Mux(lead[0].control.ah, lead[0], lead[1])),
                    tunnel.eq(lead[0].control.tunnel),
                ]
                read(base, "IP")

            with m.State("IP"):
                with m.If(settled):
                    with m.If(ipv6):
                        with m.If(past(10, limit)):
                            fail(Status.MALFORMED)
                        with m.Elif(word[28:] != 6):
                            fail(Status.INVALID_PROTOCOL)
                        with m.Else():
                            read(base + 1, "IPV6-LENGTH")
                    with m.Else():
                        m.d.sync += [end.eq((base << 2) + word[:16]), pos.eq(base + word[24:28])]
                        m.d.sync += chained.eq(word[24:28] != 5)
                        total_too_big = Signal()
                        total_too_small = Signal()
                        m.d.comb += [
                            total_too_big.eq(((base << 2) + word[:16]) > limit),
                            total_too_small.eq(word[:16] < (word[24:28] << 2)),
                        ]
                        with m.If(past(5, limit)):
                            fail(Status.MALFORMED)
                        with m.Elif(word[28:] != 4):
                            fail(Status.INVALID_PROTOCOL)
                        with m.Elif((word[24:28] < 5) | total_too_small | total_too_big):
                            fail(Status.MALFORMED)
                        with m.Else():
                            read(base + 1, "IPV4-FRAGMENT")
            with m.State("IPV4-FRAGMENT"):
                with m.If(settled):
                    with m.If(word[:14] != 0):
                        fail(Status.FRAGMENT)
                    with m.Else():
                        read(base + 2, "IPV4-PROTOCOL")
            with m.State("IPV4-PROTOCOL"):
                with m.If(settled):
                    m.d.sync += next_header.eq(word[16:24])
                    read(pos, "EXTENSION")
            with m.State("IPV6-LENGTH"):
                with m.If(settled):
                    m.d.sync += [end.eq(((base + 10) << 2) + word[16:]), next_header.eq(word[8:16]), pos.eq(base + 10)]
                    with m.If((((base + 10) << 2) + word[16:]) > limit):
                        fail(Status.MALFORMED)
                    with m.Else():
                        read(base + 10, "EXTENSION")

            # `word` is the first of the header at `pos`, whatever that is.
            with m.State("EXTENSION"):
                is_extension = Signal()
                m.d.comb += is_extension.eq(
                    (next_header == _HOP_BY_HOP) | (next_header == _ROUTING) | (next_header == _DESTINATION)
                )
                with m.If(settled):
                    with m.If(ipv6 & is_extension):
                        with m.If(past(2 + (word[16:24] << 1), end)):
                            fail(Status.MALFORMED)
                        with m.Else():
                            m.d.sync += [
                                pos.eq(pos + 2 + (word[16:24] << 1)), next_header.eq(word[24:]), chained.eq(1),
                            ]
                            read(pos + 2 + (word[16:24] << 1), "EXTENSION")
                    with m.Elif(ipv6 & (next_header == _FRAGMENT)):
                        fail(Status.FRAGMENT)
                    with m.Elif(has_ah & ~behind_ah):
                        m.next = "AH"
                    with m.Else():
                        m.next = "ESP"

            with m.State("AH"):
                m.d.sync += [ah_words.eq(word[16:24] + 2), ah_need.eq(ah_iv + ah_icv + 3)]
                with m.If(next_header != _AH):
                    fail(Status.MISSING_AH)
                with m.Elif(past(3, end)):
                    fail(Status.MALFORMED)
                with m.Else():
                    m.d.sync += next_header.eq(word[24:])
                    read(pos + 1, "AH-SPI")
            with m.State("AH-SPI"):
                for index in (INNER, OUTER):
                    entry = self.plan[2 * index + 1]
                    with m.If(level == index):
                        m.d.sync += [
                            entry.active.eq(1), entry.op.eq(ah_op), entry.ipv6.eq(ipv6), entry.chained.eq(chained),
                            entry.start.eq(base), entry.header.eq(pos), entry.end.eq(end),
                        ]
                with m.If(settled):
                    m.d.sync += [behind_ah.eq(1), pos.eq(pos + ah_words)]
                    with m.If(word != ah.spi):
                        fail(Status.SPI_MISMATCH)
                    with m.Elif(past(ah_words, end)):
                        fail(Status.MALFORMED)
                    with m.Elif(ah_words < ah_need):
                        fail(Status.NO_ROOM)
                    with m.Elif(has_esp | ipv6):
                        read(pos + ah_words, "EXTENSION")
                    with m.Else():
                        m.next = "ESP"

            with m.State("ESP"):
                with m.If(has_esp):
                    with m.If(esp.control.udp_encap):
                        with m.If(next_header != _UDP):
                            fail(Status.MISSING_ESP)
                        with m.Elif(past(2, end)):
                            fail(Status.MALFORMED)
                        with m.Elif(word[:16] != _UDP_ENCAP_PORT):
                            fail(Status.MISSING_ESP)
                        with m.Else():
                            m.d.sync += payload.eq(end - (pos << 2))
                            read(pos + 1, "UDP")
                    with m.Elif(next_header != _ESP):
                        fail(Status.MISSING_ESP)
                    with m.Else():
                        m.next = "ESP-HEADER"
                with m.Else():
                    with m.If(tunnel & (next_header != _IPV4) & (next_header != _IPV6)):
                        fail(Status.INVALID_PROTOCOL)
                    with m.Else():
                        next_region(pos, end, next_header)
            with m.State("UDP"):
                with m.If(settled):
                    m.d.sync += pos.eq(pos + 2)
                    with m.If(word[16:] != payload):
                        fail(Status.MALFORMED)
                    with m.Else():
                        read(pos + 2, "ESP-HEADER")
            with m.State("ESP-HEADER"):
                with m.If(settled):
                    m.d.sync += [body.eq(pos + 2 + esp_iv), icv_start.eq(end - (esp_icv << 2))]
                    with m.If(past(2, end)):
                        fail(Status.MALFORMED)
                    with m.Elif(word != esp.spi):
                        fail(Status.SPI_MISMATCH)
                    with m.Elif(past(2 + esp_iv + esp_icv, end - 2)):
                        fail(Status.NO_ROOM)
                    with m.Else():
                        m.next = "ESP-LENGTH"
            with m.State("ESP-LENGTH"):
                m.d.sync += payload.eq(icv_start - (body << 2))
                read((icv_start >> 2) - 1, "ESP-TRAILER")
                for index in (INNER, OUTER):
                    entry = self.plan[2 * index]
                    with m.If(level == index):
                        m.d.sync += [
                            entry.active.eq(1), entry.op.eq(0), entry.ipv6.eq(ipv6),
                            entry.start.eq(pos), entry.header.eq(body), entry.end.eq(icv_start),
                        ]
            with m.State("ESP-TRAILER"):
                with m.If(settled):
                    m.d.sync += limit.eq(icv_start - 2 - word[8:16])
                    m.d.sync += next_header.eq(word[:8])
                    with m.If((payload[:4] & esp_mask).any()):
                        fail(Status.UNALIGNED)
                    with m.Elif(word[8:16] + 2 > payload):
                        fail(Status.MALFORMED)
                    with m.Else():
                        m.next = "ESP-NEXT"
            with m.State("ESP-NEXT"):
                with m.If(tunnel & (next_header != _IPV4) & (next_header != _IPV6) & (next_header != _NONE)):
                    fail(Status.INVALID_PROTOCOL)
                with m.Else():
                    next_region(body, limit, next_header)

            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"

        return m
