# SPDX-License-Identifier: Apache-2.0
"""Finds the IPsec headers of a stored frame and makes the plan of passes over it.

NDIS gives the card no offsets, so the headers are walked. Every step and the order of the checks
are those of docs/design.md section 4; the first failure is the packet's status.
"""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .choose import any_of, selected
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
    """Walks one frame per ``start``: 14 cycles for a level of IPv4 and ESP, 11 for a second one, two more for IPv6,
    one for each VLAN tag, two for LLC/SNAP, 4 for each extension header, 7 for an AH and 6 for UDP. Rows that are
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
        Strobe, never with ``stall``; the members below hold until the next start.
    status : Out(Status)
    plan : Out(array of 4 PassLayout)
        In order of execution: inner ESP, inner AH, outer ESP, outer AH.
    headers : Out(array of 3 HeaderLayout)
        When the config has checksums: the IPv4 headers of the levels and, if one is asked for, of the packet inside.
    region : Out(RegionLayout)
        When a checksum is asked for: what is left inside the innermost level.
    addr : Out
        Word of the frame to be read; ``word`` shows it from the second cycle behind. 0 between ``done`` and ``start``.
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
        udp_encap = esp.control.udp_encap
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
        # later than either, the bytes between the two. Whether they are few is known a cycle later again.
        base, pos, target = Signal(words), Signal(words), Signal(words)
        step = Signal(10)  # words to the next header or word of interest, put there by the state before
        bound = Signal(bits)
        room = Signal(signed(bits + 2))
        m.d.comb += target.eq(pos + step)
        m.d.sync += room.eq(bound - (pos << 2))

        def room_below(count):
            """Whether ``room``, a cycle ago, was less than ``count``, a multiple of four."""
            fewer = count // 4
            low = fewer.bit_length()
            is_low = C((1 << fewer) - 1, 1 << low).bit_select(room[2 : 2 + low], 1)
            below = Signal(name=f"below_{count}")
            m.d.sync += below.eq(room[-1] | (~room[2 + low :].any() & is_low))
            return below

        below_8, below_12, below_20, below_40 = (room_below(count) for count in (8, 12, 20, 40))

        ipv6, probing = Signal(), Signal()
        tags = Signal(2)
        index = Signal(range(3))
        bad_llc = Signal()
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
        # Comparisons that take a cycle: what is wrong with a header is told by the state behind it, in its first cycle.
        bad_version, bad_length, bad_port, bad_udp, bad_spi = (Signal() for _ in range(5))
        too_long, misfit, cramped, bad_padding, unaligned = (Signal() for _ in range(5))
        fragment = Signal()
        m.d.sync += [flag.eq(0) for flag in (bad_port, bad_udp, bad_spi)]
        # Those with a carry chain are done always, and count behind one state: one of them behind a jump to a header,
        # another behind an AH. They are signs of differences, since "more" would be "neither less nor equal".
        jumped, from_ah, much = Signal(), Signal(), Signal()
        m.d.sync += [
            # `room` is what was left behind `pos` for one cycle more.
            too_long.eq((room - length)[-1]), misfit.eq((room - (step << 2))[-1]),
            much.eq(payload[8:].any()), bad_padding.eq(~much & (payload[:8] - self.word[8:16])[-1]),
            jumped.eq(0), from_ah.eq(0),
        ]

        word = self.word
        wait = Signal(2)
        settled, following = Signal(), Signal()
        m.d.comb += settled.eq(~wait.any())
        m.d.sync += wait.eq(wait >> 1)
        # Where the address jumps to says the state alone, in most of them: while one waits for a word, that has been
        # asked for.
        to_target, to_trailer, to_pos = (Signal() for _ in range(3))
        jumps = to_target | to_trailer | to_pos

        def look(jump, *, follow=0):
            """Read where ``jump`` goes: this word alone, or it and those behind it. It comes three cycles later."""
            m.d.comb += jump.eq(1)
            m.d.sync += [following.eq(follow), wait.eq(0b11)]

        def go():
            """Make the header ``step`` words further the one at hand, and read its first word."""
            m.d.comb += to_target.eq(1)
            with m.If(settled):
                m.d.sync += [pos.eq(target), wait.eq(0b11)]

        # The states DONE and INSIDE.
        over, inside = Signal(), Signal()
        m.d.sync += inside.eq(0)
        m.d.comb += self.done.eq(over & informed & ~self.stall)

        def end():
            m.d.sync += over.eq(1)
            m.next = "DONE"

        def behind_level():
            m.d.sync += inside.eq(1)
            m.next = "INSIDE"

        def refuse(*faults):
            """End the walk with the status of the first condition that holds; an ``Else`` follows.

            The status counts for nothing until the end, and is written without regard to the last condition.
            """
            *others, (condition, status) = faults
            for other, its_status in reversed(others):
                status = Mux(other, its_status, status)
            m.d.sync += self.status.eq(status)
            with m.If(any_of([other for other, _ in others]) | condition if others else condition):
                end()

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
        m.d.sync += [
            trailer.eq(bound - Cat(C(2, 2), esp_icv)),
            self.addr.eq(Mux(
                jumps, selected(Cat(to_target, to_trailer, to_pos), (target, trailer[2:], pos)), self.addr + following
            )),
        ]
        ah_need = Signal(6)
        if config.has_ah:
            rows.d.sync += [
                ah.eq(Mux(lead[0].control.ah, lead[0].control, lead[1].control)),
                ah_need.eq(ah_iv_words(config, ah.auth) + ah.icv_words + 3),
            ]
            m.d.sync += cramped.eq(step < ah_need)

        # The SPI of the op whose header is next, `second` or first.
        second = Signal()
        other_spi = word != Mux(second, lead[1].spi, lead[0].spi)

        # What `next_header` names, a cycle later than that.
        is_esp, is_ah, is_udp, is_ip, is_ipv6, is_none = (Signal() for _ in range(6))
        is_extension, is_fragment = Signal(), Signal()

        def inside_is(number):
            return [is_ip.eq((number == _IPV4) | (number == _IPV6)), is_ipv6.eq(number == _IPV6),
                    is_none.eq(number == _NONE)]

        m.d.sync += [
            is_esp.eq(next_header == _ESP), is_ah.eq(next_header == _AH), is_udp.eq(next_header == _UDP),
            is_extension.eq(ipv6 & (
                (next_header == _HOP_BY_HOP) | (next_header == _ROUTING) | (next_header == _DESTINATION)
            )),
            is_fragment.eq(ipv6 & (next_header == _FRAGMENT)),
            *inside_is(next_header),
        ]

        # What is asked for behind a level: another level, the packet inside for its checksums.
        more, nests, sums, sum_l4 = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [more.eq(self.job.nested & (level == OUTER)), nests.eq(more & tunnel)]
        if config.checksum:
            m.d.sync += [sums.eq(self.job.csum_ip | self.job.csum_l4), sum_l4.eq(self.job.csum_l4)]
            m.d.comb += self.region.fragment.eq(fragment)

        tagged, link_ip, link_ipv6, is_length = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            # Up to 1500, without a carry chain.
            is_length.eq(
                ~word[11:16].any()
                & ~(word[10] & (word[9] | (word[6:9].all() & (word[5] | (word[2:5].all() & word[:2].any())))))
            ),
            tagged.eq((word[:16] == _ETHERTYPE_VLAN) | (word[:16] == _ETHERTYPE_QINQ)),
            link_ipv6.eq(word[:16] == _ETHERTYPE_IPV6), link_ip.eq((word[:16] == _ETHERTYPE_IPV4) | link_ipv6),
        ]

        m.d.comb += fetch.eq((self.start & self.job.bound) | (inside & nests & is_ip & ~(has_esp & bad_padding)))

        def ip():
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
                m.d.sync += [self.addr.eq(Mux(self.start, 3, 0)), following.eq(self.start), wait.eq(0b11)]
                with m.If(self.start):
                    m.d.sync += [entry.active.eq(0) for entry in self.plan]
                    if config.checksum:
                        m.d.sync += [probing.eq(~self.job.bound), fragment.eq(0)]
                        m.d.sync += [entry.active.eq(0) for entry in self.headers]
                    m.next = "LINK"

            # The EtherType is the low half of a word, also behind tags and LLC/SNAP. Where there was no room for one
            # that is known, there is none for the IP header either.
            with m.State("LINK"):
                m.d.sync += [pos.eq(target), step.eq(1), tags.eq(tags + settled)]
                with m.If(settled):
                    with m.If(link_ip):
                        ip()
                    with m.Elif(is_length):
                        m.next = "LLC"
                    with m.Elif(~tagged | (tags == 2)):
                        m.next = "UNKNOWN"
            with m.State("LLC"):
                m.d.sync += [pos.eq(target), bad_llc.eq(word != 0xAAAA0300)]
                m.next = "SNAP"
            with m.State("SNAP"):
                m.d.sync += pos.eq(target)
                m.next = "UNKNOWN"
                with m.If(~bad_llc & ~word[16:].any() & link_ip):
                    ip()
            # `room` was that of the word before the EtherType, and that of LLC is 4 more.
            with m.State("UNKNOWN"):
                refuse((below_8, Status.MALFORMED), (C(1, 1), Status.INVALID_PROTOCOL))

            # The words of an IP header come one behind the other, and are taken as they come.
            with m.State("IP"):
                header = self.headers[index]
                with m.If(settled):
                    m.d.sync += base.eq(pos)
                    with m.If(ipv6):
                        m.d.comb += to_target.eq(1)
                        m.d.sync += following.eq(0)
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

            header_faults = (bad_version, Status.INVALID_PROTOCOL), (bad_length, Status.MALFORMED)
            with m.State("IPV4-FRAGMENT"):
                m.d.comb += to_target.eq(1)
                m.d.sync += [pos.eq(target), following.eq(0), index.eq(index + 1)]
                m.d.sync += fragment.eq(word[:14] != 0)
                m.next = "IPV4-PROTOCOL"
            with m.State("IPV4-PROTOCOL"):
                m.d.sync += next_header.eq(word[16:24])
                refuse(
                    (below_20, Status.MALFORMED), *header_faults, (too_long, Status.MALFORMED),
                    (~probing & fragment, Status.FRAGMENT),
                )
                with m.Else():
                    behind_ip()
            with m.State("IPV6-LENGTH"):
                m.d.sync += [pos.eq(target), index.eq(index + 1), fragment.eq(0)]
                m.d.sync += [length.eq(word[16:]), bounds.eq(1), next_header.eq(word[8:16])]
                m.next = "IPV6-PAYLOAD"
            with m.State("IPV6-PAYLOAD"):
                refuse((below_40, Status.MALFORMED), *header_faults)
                with m.Else():
                    m.next = "IPV6-END"
            with m.State("IPV6-END"):
                m.next = "IPV6-LONG"
            with m.State("IPV6-LONG"):
                refuse((too_long, Status.MALFORMED))
                with m.Else():
                    behind_ip()

            # `word` is the first of the header at `pos`, whatever that is, from the next state on.
            with m.State("HEADER"):
                m.d.sync += [step.eq(Mux(is_extension, 2 + (word[16:24] << 1), 1)), second.eq(0)]
                ready = settled & informed
                refuse(
                    (bad_spi, Status.SPI_MISMATCH), (jumped & misfit, Status.MALFORMED),
                    (from_ah & cramped, Status.NO_ROOM),
                    (is_fragment & ready, Status.FRAGMENT),
                )
                with m.Elif(ready):
                    m.next = "ESP"
                    with m.If(is_extension):
                        m.next = "EXTENSION"
                    if config.has_ah:
                        with m.Elif(has_ah & ~behind_ah):
                            m.next = "AH"
            with m.State("EXTENSION"):
                m.d.sync += [next_header.eq(word[24:]), chained.eq(1), jumped.eq(1)]
                go()
                m.next = "HEADER"

            if config.has_ah:
                with m.State("AH"):
                    m.d.sync += [step.eq(word[16:24] + 2), next_header.eq(word[24:]), second.eq(ah_op)]
                    look(to_target)
                    refuse((~is_ah, Status.MISSING_AH), (below_12, Status.MALFORMED))
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
                    m.d.sync += [behind_ah.eq(1), bad_spi.eq(other_spi), jumped.eq(1), from_ah.eq(1)]
                    go()
                    with m.If(settled):
                        m.next = "HEADER"

            # The trailer is on its way while the ESP header is looked at.
            with m.State("ESP"):
                m.d.sync += [step.eq(Mux(udp_encap, 2, esp_head)), bad_spi.eq(other_spi & has_esp)]
                m.d.sync += bad_port.eq(word[:16] != _UDP_ENCAP_PORT)
                m.d.comb += [to_target.eq(udp_encap), to_trailer.eq(~udp_encap)]
                m.d.sync += wait.eq(0b11)
                refuse(
                    (has_esp & ~Mux(udp_encap, is_udp, is_esp), Status.MISSING_ESP),
                    (has_esp & udp_encap & below_8, Status.MALFORMED),
                )
                with m.Elif(~has_esp):
                    behind_level()
                with m.Elif(udp_encap):
                    m.next = "UDP"
                with m.Else():
                    m.next = "ESP-HEADER"
            with m.State("UDP"):
                m.d.sync += bad_udp.eq(word[16:] != room)
                go()
                refuse((bad_port, Status.MISSING_ESP))
                with m.Elif(settled):
                    m.d.sync += step.eq(esp_head)
                    m.next = "UDP-ESP"
            with m.State("UDP-ESP"):
                m.d.sync += bad_spi.eq(other_spi)
                m.d.comb += to_trailer.eq(1)
                refuse((bad_udp, Status.MALFORMED))
                with m.Elif(settled):
                    m.d.sync += wait.eq(0b11)
                    m.next = "ESP-HEADER"
            with m.State("ESP-HEADER"):
                m.d.sync += [
                    base.eq(target), icv_start.eq(bound[2:] - esp_icv),
                    payload.eq(room - Cat(C(2, 2), esp_overhead)),
                ]
                refuse((below_8, Status.MALFORMED), (bad_spi, Status.SPI_MISMATCH))
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
                # `trailer` is behind the padding, `payload` what may be padding, and a multiple of four less two.
                m.d.sync += [unaligned.eq(((payload[:4] ^ 0b1110) & esp_mask).any()), *inside_is(word[:8])]
                with m.If(settled):
                    m.d.sync += [bound.eq(trailer - word[8:16]), next_header.eq(word[:8]), pos.eq(base)]
                refuse((payload[-1], Status.NO_ROOM), (settled & unaligned, Status.UNALIGNED))
                with m.Elif(settled):
                    behind_level()

            # A level is done: `pos` to `bound` is what `next_header` names.
            with m.State("INSIDE"):
                m.d.sync += [ipv6.eq(is_ipv6), chained.eq(0), behind_ah.eq(0), step.eq(10)]
                look(to_pos, follow=1)
                refuse(
                    (has_esp & bad_padding, Status.MALFORMED),
                    (Mux(tunnel, ~is_ip & (more | sum_l4 | ~(has_esp & is_none)), more), Status.INVALID_PROTOCOL),
                )
                with m.Elif(tunnel & is_ip & (more | sums)):
                    with m.If(more):
                        m.d.sync += level.eq(INNER)
                    with m.Else():
                        m.d.sync += probing.eq(1)
                    m.next = "IP"
                if config.checksum:
                    with m.Elif(sum_l4):
                        m.next = "REGION"
                with m.Else():
                    m.d.sync += self.status.eq(Status.SUCCESS)
                    end()
            if config.checksum:
                with m.State("REGION"):
                    m.d.sync += [self.status.eq(Status.SUCCESS), self.region.first.eq(pos), self.region.end.eq(bound)]
                    end()

            # Rows that were asked for are taken before another walk may begin.
            with m.State("DONE"):
                m.d.sync += [self.addr.eq(0), following.eq(0)]
                with m.If(informed):
                    m.d.sync += over.eq(0)
                    m.next = "IDLE"

        return rows
