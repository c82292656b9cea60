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
from .sa_layout import Control, LeadRow, RowRequest
from .suite import ah_iv_words, esp_align_mask, esp_iv_words

__all__ = ["Walker"]

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_ETHERTYPE_VLAN, _ETHERTYPE_QINQ = 0x8100, 0x88A8
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_IPV4, _UDP, _IPV6, _ESP, _AH, _NONE = 4, 17, 41, 50, 51, 59
_UDP_ENCAP_PORT = 4500  # RFC 3948


class Walker(wiring.Component):
    """Walks one frame per ``start``: 14 cycles for a level of IPv4 and ESP, 11 for a second one, one more for IPv6
    and for each VLAN tag, two for LLC/SNAP, 4 for each extension header, 7 for an AH and 6 for UDP. Rows that are
    answered later than three cycles after they were asked for make it longer by as much for each level.

    Words are read one behind the other through link and IP header, then by jumps; a jump goes where earlier words and
    rows say, so what a word holds is compared and added in no path to the memory.

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
        When the config has checksums: the IPv4 headers of the levels and, if one is asked for, of the packet inside.
    region : Out(RegionLayout)
        When a checksum is asked for: what is left inside the innermost level.
    addr : Out
        Word of the frame to be read; ``word`` shows it from the second cycle behind.
    stall : In(1)
        The walk stands still, and such cycles count nowhere here; rows that it has asked for come nevertheless.
    row_req, row_rsp : streams
        Rows of the SA table. Both ops of a level are asked for at once.
    lead : Out(array of 2 LeadRow), informed : Out(1)
        Row 0 of the ops of the level that was walked last; they are there from the cycle ``informed`` is 1.
    again : In(1)
        Strobe, from the second cycle without ``stall`` behind ``done`` on: row 0 of the ops of the outer level is
        fetched into ``lead``.
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
            "stall": In(1),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(128)),
            "lead": Out(data.ArrayLayout(LeadRow, 2)),
            "informed": Out(1),
            "again": In(1),
        })

    def elaborate(self, platform):
        rows, m = Module(), Module()
        rows.submodules.walk = EnableInserter(~self.stall)(m)
        config = self._config
        bits, words = byte_bits(config), word_bits(config)

        level = Signal(1, init=OUTER)
        lead = self.lead
        esp, ah = lead[0], Signal(Control)
        has_esp, has_ah, ah_op, tunnel = Signal(), Signal(), Signal(), Signal()

        # Row 0 of the ops of a level, fetched while the headers ahead of theirs are walked. An op that a build cannot
        # have is not asked for. What follows from the rows is settled when `informed` says so, or a cycle later where
        # it is needed later.
        ops = 2 if config.has_ah else 1
        fetch = Signal()
        asked, answered = Signal(range(ops + 1), init=ops), Signal(range(ops + 1), init=ops)
        informed = self.informed
        rows.d.comb += [
            self.row_req.valid.eq(asked != ops),
            self.row_req.p.slot.eq(self.job.levels[level].slot),
            self.row_req.p.op.eq(asked[0]),
            self.row_req.p.row.eq(0),
            self.row_rsp.ready.eq(answered != ops),
        ]
        rows.d.sync += informed.eq(answered == ops)
        with rows.If(self.row_req.valid & self.row_req.ready):
            rows.d.sync += asked.eq(asked + 1)
        with rows.If(self.row_rsp.valid & self.row_rsp.ready):
            rows.d.sync += [lead[answered[0]].eq(self.row_rsp.payload), answered.eq(answered + 1)]
        with rows.If((fetch & ~self.stall) | self.again):
            rows.d.sync += [asked.eq(0), answered.eq(0), informed.eq(0)]
        rows.d.sync += [
            has_esp.eq(~lead[0].control.ah if config.has_ah else 1),
            has_ah.eq((lead[0].control.ah | lead[1].control.present) if config.has_ah else 0),
            ah_op.eq(~lead[0].control.ah),
            tunnel.eq(lead[0].control.tunnel),
        ]

        # `pos` is the word of the header at hand, `bound` the byte behind what may be used, and `room`, a cycle
        # later than either, the bytes between the two.
        base, pos, target = Signal(words), Signal(words), Signal(words)
        step = Signal(10)  # words to the next header or word of interest, put there by the state before
        bound = Signal(bits)
        room = Signal(signed(bits + 2))
        m.d.comb += target.eq(pos + step)
        m.d.sync += room.eq(bound - (pos << 2))

        def room_below(count):
            """Whether ``room`` is less than ``count``, a multiple of four, without a carry chain."""
            count //= 4
            low = count.bit_length()
            is_low = C((1 << count) - 1, 1 << low).bit_select(room[2 : 2 + low], 1)
            return room[-1] | (~room[2 + low :].any() & is_low)

        ipv6, probing = Signal(), Signal()
        tags = Signal(2)
        index = Signal(range(3))
        length = Signal(16)
        next_header = Signal(8)
        chained = Signal()  # extension headers or options stand ahead of the AH
        behind_ah = Signal()
        # What is at hand ends `length` behind `pos`; in the beginning two bytes further, since the frame is stored
        # that much late.
        bounds, late = Signal(), Signal()
        with m.If(bounds):
            m.d.sync += [bound.eq(Cat(C(0, 1), late, pos) + length), bounds.eq(0), late.eq(0)]
        # What is left of the room behind pad length and next header, with its sign.
        payload = Signal(signed(bits + 2))
        # Comparisons that take a cycle: what is wrong with a header is told by the state behind it.
        short, bad_version, bad_length, cramped = Signal(), Signal(), Signal(), Signal()

        word = self.word
        wait = Signal(2)
        settled, following = Signal(), Signal()
        m.d.comb += settled.eq(~wait.any())
        m.d.sync += wait.eq(wait >> 1)
        with m.If(following):
            m.d.sync += self.addr.eq(self.addr + 1)

        def look(at, *, follow=0):
            """Read from word ``at`` on: this one alone, or it and those behind it. It comes three cycles later."""
            m.d.sync += [self.addr.eq(at), following.eq(follow), wait.eq(0b11)]

        def go():
            """Make the header ``step`` words further the one at hand, and read its first word."""
            m.d.sync += pos.eq(target)
            look(target)

        def fail(status):
            m.d.sync += self.status.eq(status)
            m.next = "DONE"

        # Words of ESP header and IV, and of these and the ICV. Pad length and next header are at `trailer`, in one word
        # if the payload is aligned, and the ICV behind them.
        esp_head, esp_mask, esp_icv, esp_overhead = Signal(3), Signal(4), Signal(4), Signal(5)
        icv_start, trailer = Signal(words), Signal(bits)
        rows.d.sync += [
            esp_head.eq(2 + esp_iv_words(config, esp.control.encr)),
            esp_mask.eq(esp_align_mask(config, esp.control.encr)),
            esp_icv.eq(esp.control.icv_words),
            esp_overhead.eq(esp_head + esp_icv),
        ]
        m.d.sync += trailer.eq(bound - Cat(C(2, 2), esp_icv))
        ah_need = Signal(6)
        if config.has_ah:
            rows.d.sync += [
                ah.eq(Mux(lead[0].control.ah, lead[0].control, lead[1].control)),
                ah_need.eq(ah_iv_words(config, ah.auth) + ah.icv_words + 3),
            ]

        # The SPI of the op whose header is next, `second` or first, and whether the last one was another.
        second, bad_spi = Signal(), Signal()
        other_spi = word != Mux(second, lead[1].spi, lead[0].spi)

        is_inner_ip, inner_ipv6 = Signal(), Signal()
        m.d.comb += [
            is_inner_ip.eq((next_header == _IPV4) | (next_header == _IPV6)),
            inner_ipv6.eq(next_header == _IPV6),
        ]

        link_ipv4, link_ipv6 = Signal(), Signal()
        m.d.comb += [link_ipv4.eq(word[:16] == _ETHERTYPE_IPV4), link_ipv6.eq(word[:16] == _ETHERTYPE_IPV6)]

        def ethertype():
            with m.If(~link_ipv4 & ~link_ipv6):
                fail(Status.INVALID_PROTOCOL)
            with m.Else():
                m.d.sync += [ipv6.eq(link_ipv6), step.eq(10)]
                m.next = "IP"

        def behind_ip():
            m.next = "HEADER"
            if config.checksum:
                with m.If(probing):
                    m.next = "REGION"

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [level.eq(OUTER), tags.eq(0), index.eq(0), pos.eq(0), step.eq(2)]
                m.d.sync += [length.eq(self.job.length), bounds.eq(1), late.eq(1), chained.eq(0), behind_ah.eq(0)]
                m.d.sync += [bad_spi.eq(0), short.eq(0), cramped.eq(0)]
                look(3, follow=1)
                with m.If(self.start):
                    m.d.comb += fetch.eq(self.job.bound)
                    m.d.sync += [entry.active.eq(0) for entry in self.plan]
                    if config.checksum:
                        m.d.sync += [probing.eq(~self.job.bound), self.region.fragment.eq(0)]
                        m.d.sync += [entry.active.eq(0) for entry in self.headers]
                    m.next = "LINK"

            # The EtherType is the low half of a word, also behind tags and LLC/SNAP. `room` is that of the word before.
            with m.State("LINK"):
                m.d.sync += [pos.eq(target), step.eq(1)]
                with m.If(settled):
                    with m.If(room_below(8)):
                        fail(Status.MALFORMED)
                    with m.Elif((word[:16] == _ETHERTYPE_VLAN) | (word[:16] == _ETHERTYPE_QINQ)):
                        m.d.sync += tags.eq(tags + 1)
                        with m.If(tags == 2):
                            fail(Status.INVALID_PROTOCOL)
                    with m.Elif(word[:16] <= 1500):
                        m.next = "LLC"
                    with m.Else():
                        ethertype()
            with m.State("LLC"):
                m.d.sync += pos.eq(target)
                with m.If(room_below(12)):
                    fail(Status.MALFORMED)
                with m.Elif(word != 0xAAAA0300):
                    fail(Status.INVALID_PROTOCOL)
                with m.Else():
                    m.next = "SNAP"
            with m.State("SNAP"):
                m.d.sync += pos.eq(target)
                with m.If(word[16:] != 0):
                    fail(Status.INVALID_PROTOCOL)
                with m.Else():
                    ethertype()

            # The words of an IP header come one behind the other, and are taken as they come.
            with m.State("IP"):
                header = self.headers[index]
                with m.If(settled):
                    m.d.sync += base.eq(pos)
                    with m.If(ipv6):
                        m.d.sync += [self.addr.eq(target), following.eq(0)]
                        m.d.sync += [bad_version.eq(word[28:] != 6), bad_length.eq(0)]
                        m.next = "IPV6-LENGTH"
                    with m.Else():
                        m.d.sync += [length.eq(word[:16]), bounds.eq(1), chained.eq(word[24:28] != 5)]
                        if config.checksum:
                            m.d.sync += [header.active.eq(1), header.start.eq(pos), header.words.eq(word[24:28])]
                        m.d.sync += [
                            bad_version.eq(word[28:] != 4),
                            bad_length.eq(
                                word[24:28].matches("00--", "0100") | (~word[6:16].any() & (word[2:6] < word[24:28]))
                            ),
                            step.eq(word[24:28]),
                        ]
                        m.next = "IPV4-FRAGMENT"

            def refuse_ip(size):
                """Tell what is wrong with an IP header of ``size`` by its first word; an ``Elif`` follows."""
                with m.If(room_below(size)):
                    fail(Status.MALFORMED)
                with m.Elif(bad_version):
                    fail(Status.INVALID_PROTOCOL)
                with m.Elif(bad_length):
                    fail(Status.MALFORMED)

            # `room` is what was left behind `pos` for one cycle more.
            too_long = Signal()
            m.d.comb += too_long.eq(length > room)
            with m.State("IPV4-FRAGMENT"):
                m.d.sync += [pos.eq(target), self.addr.eq(target), following.eq(0), index.eq(index + 1)]
                if config.checksum:
                    m.d.sync += self.region.fragment.eq(word[:14] != 0)
                refuse_ip(20)
                with m.Elif(too_long):
                    fail(Status.MALFORMED)
                with m.Elif(~probing & (word[:14] != 0)):
                    fail(Status.FRAGMENT)
                with m.Else():
                    m.next = "IPV4-PROTOCOL"
            with m.State("IPV4-PROTOCOL"):
                m.d.sync += next_header.eq(word[16:24])
                behind_ip()
            with m.State("IPV6-LENGTH"):
                m.d.sync += [pos.eq(target), index.eq(index + 1)]
                m.d.sync += [length.eq(word[16:]), bounds.eq(1), next_header.eq(word[8:16])]
                refuse_ip(40)
                with m.Else():
                    m.next = "IPV6-PAYLOAD"
            with m.State("IPV6-PAYLOAD"):
                m.next = "IPV6-END"
            with m.State("IPV6-END"):
                with m.If(too_long):
                    fail(Status.MALFORMED)
                with m.Else():
                    behind_ip()

            # `word` is the first of the header at `pos`, whatever that is, from the next state on.
            with m.State("HEADER"):
                m.d.sync += [step.eq(1), second.eq(0)]
                with m.If(bad_spi):
                    fail(Status.SPI_MISMATCH)
                with m.Elif(short):
                    fail(Status.MALFORMED)
                with m.Elif(cramped):
                    fail(Status.NO_ROOM)
                with m.Elif(settled & informed):
                    with m.If(ipv6 & (
                        (next_header == _HOP_BY_HOP) | (next_header == _ROUTING) | (next_header == _DESTINATION)
                    )):
                        m.d.sync += step.eq(2 + (word[16:24] << 1))
                        m.next = "EXTENSION"
                    with m.Elif(ipv6 & (next_header == _FRAGMENT)):
                        fail(Status.FRAGMENT)
                    if config.has_ah:
                        with m.Elif(has_ah & ~behind_ah):
                            m.next = "AH"
                    with m.Else():
                        m.next = "ESP"
            with m.State("EXTENSION"):
                m.d.sync += [next_header.eq(word[24:]), chained.eq(1), short.eq((step << 2) > room)]
                go()
                m.next = "HEADER"

            if config.has_ah:
                with m.State("AH"):
                    m.d.sync += [step.eq(word[16:24] + 2), next_header.eq(word[24:]), second.eq(ah_op)]
                    look(target)
                    with m.If(next_header != _AH):
                        fail(Status.MISSING_AH)
                    with m.Elif(room_below(12)):
                        fail(Status.MALFORMED)
                    with m.Else():
                        m.next = "AH-SPI"
                with m.State("AH-SPI"):
                    for number in (INNER, OUTER):
                        entry = self.plan[2 * number + 1]
                        with m.If(level == number):
                            m.d.sync += [
                                entry.active.eq(1), entry.op.eq(ah_op), entry.ipv6.eq(ipv6), entry.chained.eq(chained),
                                entry.start.eq(base), entry.header.eq(pos), entry.end.eq(bound),
                            ]
                    with m.If(settled):
                        m.d.sync += [behind_ah.eq(1), bad_spi.eq(other_spi)]
                        m.d.sync += [short.eq((step << 2) > room), cramped.eq(step < ah_need)]
                        go()
                        m.next = "HEADER"

            # The trailer is on its way while the ESP header is looked at.
            with m.State("ESP"):
                m.d.sync += [step.eq(Mux(esp.control.udp_encap, 2, esp_head)), bad_spi.eq(other_spi & has_esp)]
                with m.If(esp.control.udp_encap):
                    look(target)
                with m.Else():
                    look(trailer[2:])
                with m.If(~has_esp):
                    m.next = "INSIDE"
                with m.Elif(esp.control.udp_encap):
                    with m.If(next_header != _UDP):
                        fail(Status.MISSING_ESP)
                    with m.Elif(room_below(8)):
                        fail(Status.MALFORMED)
                    with m.Elif(word[:16] != _UDP_ENCAP_PORT):
                        fail(Status.MISSING_ESP)
                    with m.Else():
                        m.next = "UDP"
                with m.Elif(next_header != _ESP):
                    fail(Status.MISSING_ESP)
                with m.Else():
                    m.next = "ESP-HEADER"
            with m.State("UDP"):
                with m.If(settled):
                    m.d.sync += step.eq(esp_head)
                    go()
                    with m.If(word[16:] != room):
                        fail(Status.MALFORMED)
                    with m.Else():
                        m.next = "UDP-ESP"
            with m.State("UDP-ESP"):
                m.d.sync += bad_spi.eq(other_spi)
                with m.If(settled):
                    look(trailer[2:])
                    m.next = "ESP-HEADER"
            with m.State("ESP-HEADER"):
                m.d.sync += [
                    base.eq(target), icv_start.eq(bound[2:] - esp_icv),
                    payload.eq(room - Cat(C(2, 2), esp_overhead)),
                ]
                with m.If(room_below(8)):
                    fail(Status.MALFORMED)
                with m.Elif(bad_spi):
                    fail(Status.SPI_MISMATCH)
                with m.Else():
                    m.next = "ESP-TRAILER"
            with m.State("ESP-TRAILER"):
                for number in (INNER, OUTER):
                    entry = self.plan[2 * number]
                    with m.If(level == number):
                        m.d.sync += [
                            entry.active.eq(1), entry.op.eq(0), entry.ipv6.eq(ipv6), entry.chained.eq(0),
                            entry.start.eq(pos), entry.header.eq(base), entry.end.eq(Cat(bound[:2], icv_start)),
                        ]
                with m.If(payload[-1]):
                    fail(Status.NO_ROOM)
                with m.Elif(settled):
                    # `trailer` is behind the padding, `payload` what may be padding, and a multiple of four less two.
                    m.d.sync += [bound.eq(trailer - word[8:16]), next_header.eq(word[:8]), pos.eq(base)]
                    with m.If(((payload[:4] ^ 0b1110) & esp_mask).any()):
                        fail(Status.UNALIGNED)
                    with m.Elif(word[8:16] > payload):
                        fail(Status.MALFORMED)
                    with m.Else():
                        m.next = "INSIDE"

            # A level is done: `pos` to `bound` is what `next_header` names.
            with m.State("INSIDE"):
                m.d.sync += [ipv6.eq(inner_ipv6), chained.eq(0), behind_ah.eq(0), step.eq(10)]
                with m.If(tunnel & ~is_inner_ip & ~(has_esp & (next_header == _NONE))):
                    fail(Status.INVALID_PROTOCOL)
                with m.Elif(self.job.nested & (level == OUTER)):
                    m.d.sync += level.eq(INNER)
                    with m.If(tunnel & is_inner_ip):
                        m.d.comb += fetch.eq(1)
                        look(pos, follow=1)
                        m.next = "IP"
                    with m.Else():
                        fail(Status.INVALID_PROTOCOL)
                if config.checksum:
                    with m.Elif((self.job.csum_ip | self.job.csum_l4) & tunnel & is_inner_ip):
                        m.d.sync += probing.eq(1)
                        look(pos, follow=1)
                        m.next = "IP"
                    with m.Elif(self.job.csum_l4 & tunnel):
                        fail(Status.INVALID_PROTOCOL)
                with m.Else():
                    m.d.sync += self.status.eq(Status.SUCCESS)
                    m.next = "DONE"
                    if config.checksum:
                        with m.If(self.job.csum_l4):
                            m.next = "REGION"
            if config.checksum:
                with m.State("REGION"):
                    m.d.sync += [self.status.eq(Status.SUCCESS), self.region.first.eq(pos), self.region.end.eq(bound)]
                    m.next = "DONE"

            # Rows that were asked for are taken before another walk may begin.
            with m.State("DONE"):
                with m.If(informed):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"

        return rows
