# SPDX-License-Identifier: Apache-2.0
"""Finds the IPsec headers of a stored frame and makes the plan of passes over it.

NDIS gives the card no offsets, so the headers are walked. Every step and the order of the checks
are those of docs/design.md section 4; the first failure is the packet's status.
"""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .job import INNER, OUTER, HeaderLayout, JobLayout, PassLayout, RegionLayout, byte_bits, word_bits
from .sa_layout import LeadRow, RowRequest
from .suite import ah_iv_words, esp_align_mask, esp_iv_words

__all__ = ["Walker"]

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_ETHERTYPE_VLAN, _ETHERTYPE_QINQ = 0x8100, 0x88A8
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_IPV4, _UDP, _IPV6, _ESP, _AH, _NONE = 4, 17, 41, 50, 51, 59
_UDP_ENCAP_PORT = 4500  # RFC 3948


class Walker(wiring.Component):
    """Walks one frame per ``start``; about 4 cycles for every word that is looked at, 35 to 200 in all.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; ``job`` is then held until ``done``.
    job : In(JobLayout)
    done : Out(1)
        Strobe; the members below hold until the next start.
    status : Out(Status)
    plan : Out(array of 4 PassLayout)
        In order of execution: inner ESP, inner AH, outer ESP, outer AH.
    headers : Out(array of 3 HeaderLayout)
        The IPv4 headers of the levels and, when a checksum is asked for, of the packet inside.
    region : Out(RegionLayout)
        When a checksum is asked for: what is left inside the innermost level.
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
            "headers": Out(data.ArrayLayout(HeaderLayout(config), 3)),
            "region": Out(RegionLayout(config)),
            "addr": Out(word_bits(config)),
            "word": In(32),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(128)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        bits, words = byte_bits(config), word_bits(config)

        level = Signal(1, init=OUTER)
        lead = Signal(data.ArrayLayout(LeadRow, 2))
        op = Signal(1)
        esp, ah = lead[0], Signal(LeadRow)
        has_esp, has_ah, ah_op, tunnel = Signal(), Signal(), Signal(), Signal()

        # `pos` is the word of the header at hand, `bound` the byte behind what may be used, and `room`, a cycle
        # later than either, the bytes between the two.
        base, pos, target = Signal(words), Signal(words), Signal(words)
        step = Signal(9)
        bound = Signal(bits)
        room = Signal(signed(bits + 2))
        m.d.comb += target.eq(pos + step)
        m.d.sync += room.eq(bound - (pos << 2))

        ipv6, probing = Signal(), Signal()
        tags = Signal(2)
        index = Signal(range(3))
        length = Signal(16)
        header_words = Signal(4)
        next_header = Signal(8)
        chained = Signal()  # extension headers or options stand ahead of the AH
        behind_ah = Signal()
        icv_start = Signal(bits)
        payload = Signal(bits)

        word = self.word
        wait = Signal(2)
        settled = Signal()
        m.d.comb += settled.eq(~wait.any())
        m.d.sync += wait.eq(wait >> 1)
        job_level = Signal.like(self.job.levels[0])
        m.d.comb += job_level.eq(self.job.levels[level])

        def read(at, state):
            m.d.sync += [self.addr.eq(at), wait.eq(0b11)]
            m.next = state

        def peek(state):
            """Look at the next word without moving."""
            read(self.addr + 1, state)

        def move(words, state):
            m.d.comb += step.eq(words)
            m.d.sync += pos.eq(target)
            read(target, state)

        def fail(status):
            m.d.sync += self.status.eq(status)
            m.next = "DONE"

        esp_iv, esp_mask, esp_icv, ah_need = Signal(3), Signal(4), Signal(4), Signal(6)
        esp_overhead = Signal(7)
        m.d.sync += [
            esp_iv.eq(esp_iv_words(config, esp.control.encr)),
            esp_mask.eq(esp_align_mask(config, esp.control.encr)),
            esp_icv.eq(esp.control.icv_words),
            esp_overhead.eq((2 + esp_iv + esp_icv) << 2),
            ah_need.eq(ah_iv_words(config, ah.control.auth) + ah.control.icv_words + 3),
        ]
        ah_words = Signal(9)

        is_inner_ip, inner_ipv6 = Signal(), Signal()
        m.d.comb += [
            is_inner_ip.eq((next_header == _IPV4) | (next_header == _IPV6)),
            inner_ipv6.eq(next_header == _IPV6),
        ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [level.eq(OUTER), bound.eq(self.job.length + 2), tags.eq(0), index.eq(0), probing.eq(0)]
                with m.If(self.start):
                    m.d.sync += [self.status.eq(Status.SUCCESS), pos.eq(3)]
                    m.d.sync += [entry.active.eq(0) for entry in (*self.plan, *self.headers)]
                    m.d.sync += self.region.fragment.eq(0)
                    read(3, "LINK")

            # The EtherType is the low half of a word, also behind tags and LLC/SNAP.
            with m.State("LINK"):
                with m.If(settled):
                    with m.If(room < 4):
                        fail(Status.MALFORMED)
                    with m.Elif((word[:16] == _ETHERTYPE_VLAN) | (word[:16] == _ETHERTYPE_QINQ)):
                        with m.If(tags == 2):
                            fail(Status.INVALID_PROTOCOL)
                        with m.Else():
                            m.d.sync += tags.eq(tags + 1)
                            move(1, "LINK")
                    with m.Elif(word[:16] <= 1500):
                        move(1, "LLC")
                    with m.Else():
                        m.next = "ETHERTYPE"
            with m.State("LLC"):
                with m.If(settled):
                    with m.If(room < 8):
                        fail(Status.MALFORMED)
                    with m.Elif(word != 0xAAAA0300):
                        fail(Status.INVALID_PROTOCOL)
                    with m.Else():
                        move(1, "SNAP")
            with m.State("SNAP"):
                with m.If(settled):
                    with m.If(word[16:] != 0):
                        fail(Status.INVALID_PROTOCOL)
                    with m.Else():
                        m.next = "ETHERTYPE"
            with m.State("ETHERTYPE"):
                m.d.sync += ipv6.eq(word[:16] == _ETHERTYPE_IPV6)
                with m.If((word[:16] != _ETHERTYPE_IPV4) & (word[:16] != _ETHERTYPE_IPV6)):
                    fail(Status.INVALID_PROTOCOL)
                with m.Elif(self.job.bound):
                    move(1, "BUNDLE")
                with m.Else():
                    m.d.sync += probing.eq(1)
                    move(1, "IP")

            with m.State("BUNDLE"):
                m.d.sync += [op.eq(0), chained.eq(0), behind_ah.eq(0), base.eq(pos)]
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
                    has_esp.eq(~lead[0].control.ah if config.has_ah else 1),
                    has_ah.eq((lead[0].control.ah | lead[1].control.present) if config.has_ah else 0),
                    ah_op.eq(~lead[0].control.ah),
                    ah.eq(Mux(lead[0].control.ah, lead[0], lead[1])),
                    tunnel.eq(lead[0].control.tunnel),
                ]
                m.next = "IP"

            with m.State("IP"):
                header = self.headers[index]
                with m.If(settled):
                    m.d.sync += [index.eq(index + 1), header_words.eq(word[24:28])]
                    with m.If(room < 20):
                        fail(Status.MALFORMED)
                    with m.Elif(ipv6):
                        with m.If(room < 40):
                            fail(Status.MALFORMED)
                        with m.Elif(word[28:] != 6):
                            fail(Status.INVALID_PROTOCOL)
                        with m.Else():
                            peek("IPV6-LENGTH")
                    with m.Else():
                        m.d.sync += [
                            bound.eq((pos << 2) + word[:16]),
                            chained.eq(word[24:28] != 5),
                            header.active.eq(1),
                            header.start.eq(pos),
                            header.words.eq(word[24:28]),
                        ]
                        with m.If(word[28:] != 4):
                            fail(Status.INVALID_PROTOCOL)
                        with m.Elif((word[24:28] < 5) | (word[:16] < (word[24:28] << 2)) | (word[:16] > room)):
                            fail(Status.MALFORMED)
                        with m.Else():
                            peek("IPV4-FRAGMENT")
            with m.State("IPV4-FRAGMENT"):
                with m.If(settled):
                    m.d.sync += self.region.fragment.eq(word[:14] != 0)
                    with m.If(~probing & (word[:14] != 0)):
                        fail(Status.FRAGMENT)
                    with m.Else():
                        peek("IPV4-PROTOCOL")
            with m.State("IPV4-PROTOCOL"):
                with m.If(settled):
                    m.d.sync += next_header.eq(word[16:24])
                    with m.If(probing):
                        move(header_words, "REGION")
                    with m.Else():
                        move(header_words, "EXTENSION")
            with m.State("IPV6-LENGTH"):
                with m.If(settled):
                    m.d.sync += [length.eq(word[16:]), next_header.eq(word[8:16])]
                    move(10, "IPV6-END")
            with m.State("IPV6-END"):
                with m.If(settled):
                    m.d.sync += bound.eq((pos << 2) + length)
                    with m.If(length > room):
                        fail(Status.MALFORMED)
                    with m.Elif(probing):
                        m.next = "REGION"
                    with m.Else():
                        move(0, "EXTENSION")

            # `word` is the first of the header at `pos`, whatever that is.
            with m.State("EXTENSION"):
                extension = Signal(10)
                m.d.comb += extension.eq(2 + (word[16:24] << 1))
                with m.If(settled):
                    with m.If(ipv6 & (
                        (next_header == _HOP_BY_HOP) | (next_header == _ROUTING) | (next_header == _DESTINATION)
                    )):
                        with m.If((extension << 2) > room):
                            fail(Status.MALFORMED)
                        with m.Else():
                            m.d.sync += [next_header.eq(word[24:]), chained.eq(1)]
                            move(extension, "EXTENSION")
                    with m.Elif(ipv6 & (next_header == _FRAGMENT)):
                        fail(Status.FRAGMENT)
                    with m.Elif(has_ah & ~behind_ah):
                        m.next = "AH"
                    with m.Else():
                        m.next = "ESP"

            with m.State("AH"):
                m.d.sync += ah_words.eq(word[16:24] + 2)
                with m.If(next_header != _AH):
                    fail(Status.MISSING_AH)
                with m.Elif(room < 12):
                    fail(Status.MALFORMED)
                with m.Else():
                    m.d.sync += next_header.eq(word[24:])
                    peek("AH-SPI")
            with m.State("AH-SPI"):
                for number in (INNER, OUTER):
                    entry = self.plan[2 * number + 1]
                    with m.If(level == number):
                        m.d.sync += [
                            entry.active.eq(1), entry.op.eq(ah_op), entry.ipv6.eq(ipv6), entry.chained.eq(chained),
                            entry.start.eq(base), entry.header.eq(pos), entry.end.eq(bound),
                        ]
                with m.If(settled):
                    m.d.sync += behind_ah.eq(1)
                    with m.If(word != ah.spi):
                        fail(Status.SPI_MISMATCH)
                    with m.Elif((ah_words << 2) > room):
                        fail(Status.MALFORMED)
                    with m.Elif(ah_words < ah_need):
                        fail(Status.NO_ROOM)
                    with m.Else():
                        move(ah_words, "EXTENSION")

            with m.State("ESP"):
                with m.If(~has_esp):
                    with m.If(tunnel & ~is_inner_ip):
                        fail(Status.INVALID_PROTOCOL)
                    with m.Else():
                        m.next = "INSIDE"
                with m.Elif(esp.control.udp_encap):
                    with m.If(next_header != _UDP):
                        fail(Status.MISSING_ESP)
                    with m.Elif(room < 8):
                        fail(Status.MALFORMED)
                    with m.Elif(word[:16] != _UDP_ENCAP_PORT):
                        fail(Status.MISSING_ESP)
                    with m.Else():
                        peek("UDP")
                with m.Elif(next_header != _ESP):
                    fail(Status.MISSING_ESP)
                with m.Else():
                    m.next = "ESP-HEADER"
            with m.State("UDP"):
                with m.If(settled):
                    with m.If(word[16:] != room):
                        fail(Status.MALFORMED)
                    with m.Else():
                        move(2, "ESP-HEADER")
            with m.State("ESP-HEADER"):
                with m.If(settled):
                    m.d.comb += step.eq(2 + esp_iv)
                    m.d.sync += [base.eq(target), icv_start.eq(bound - (esp_icv << 2)), payload.eq(room - esp_overhead)]
                    with m.If(room < 8):
                        fail(Status.MALFORMED)
                    with m.Elif(word != esp.spi):
                        fail(Status.SPI_MISMATCH)
                    with m.Elif(room < esp_overhead + 2):
                        fail(Status.NO_ROOM)
                    with m.Else():
                        m.next = "ESP-LENGTH"
            with m.State("ESP-LENGTH"):
                for number in (INNER, OUTER):
                    entry = self.plan[2 * number]
                    with m.If(level == number):
                        m.d.sync += [
                            entry.active.eq(1), entry.op.eq(0), entry.ipv6.eq(ipv6), entry.chained.eq(0),
                            entry.start.eq(pos), entry.header.eq(base), entry.end.eq(icv_start),
                        ]
                read((icv_start >> 2) - 1, "ESP-TRAILER")
            with m.State("ESP-TRAILER"):
                with m.If(settled):
                    m.d.sync += [bound.eq(icv_start - 2 - word[8:16]), next_header.eq(word[:8])]
                    with m.If((payload[:4] & esp_mask).any()):
                        fail(Status.UNALIGNED)
                    with m.Elif(word[8:16] + 2 > payload):
                        fail(Status.MALFORMED)
                    with m.Else():
                        m.d.sync += pos.eq(base)
                        m.next = "ESP-NEXT"
            with m.State("ESP-NEXT"):
                with m.If(tunnel & ~is_inner_ip & (next_header != _NONE)):
                    fail(Status.INVALID_PROTOCOL)
                with m.Else():
                    m.next = "INSIDE"

            # A level is done: `pos` to `bound` is what `next_header` names.
            with m.State("INSIDE"):
                m.d.sync += ipv6.eq(inner_ipv6)
                with m.If(self.job.nested & (level == OUTER)):
                    with m.If(tunnel & is_inner_ip):
                        m.d.sync += level.eq(INNER)
                        move(0, "BUNDLE")
                    with m.Else():
                        fail(Status.INVALID_PROTOCOL)
                with m.Elif((self.job.csum_ip | self.job.csum_l4) & tunnel & is_inner_ip):
                    m.d.sync += probing.eq(1)
                    move(0, "IP")
                with m.Elif(self.job.csum_l4 & tunnel):
                    fail(Status.INVALID_PROTOCOL)
                with m.Else():
                    m.next = "REGION"
            with m.State("REGION"):
                m.d.sync += [self.region.first.eq(pos), self.region.end.eq(bound)]
                m.next = "DONE"

            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"

        return m
