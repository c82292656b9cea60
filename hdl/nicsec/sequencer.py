# SPDX-License-Identifier: Apache-2.0
"""Runs one packet through its plan: walk, then up to four passes, then the verdict."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Auth, Encr, Status
from .crypto.aes_key import AesKey
from .crypto.des import DesKey
from .job import HeaderLayout, JobLayout, PassLayout, RegionLayout, byte_bits, word_bits
from .packet_buffer import LoadedLayout
from .sa_layout import MAC_KEY_ROW, Control, LeadRow, RowRequest
from .sa_rules import uses_cbc_mac
from .suite import ah_iv_words, all_of, built, encrypts_with, is_any, iv_ops, judges_iv

__all__ = ["PassParameters", "Sequencer"]

_AEAD = (Encr.AES_GCM, Encr.AES_CCM, Encr.CHACHA20_POLY1305)
_HMAC = (Auth.HMAC_SHA1, Auth.HMAC_SHA256, Auth.HMAC_SHA384, Auth.HMAC_SHA512, Auth.HMAC_MD5)


class PassParameters(data.StructLayout):
    """What the units of a lane are told about a pass; held from two cycles before its start to its end."""

    def __init__(self, config):
        super().__init__({
            "esp": 1,
            "ipv6": 1,
            "encr": Encr,
            "auth": Auth,
            "aead": 1,
            "gmac_esp": 1,
            "tag": 1,
            "poly": 1,
            "hmac": 1,
            "ccm": 1,
            "mac": 1,
            "generate": 1,
            "judged": 1,
            "esn": 1,
            "icv_words": 4,
            "header_words": word_bits(config),
            "icv_start": word_bits(config),
            "iv_words": 2,
            "body_words": word_bits(config),
            "salt": 32,
            "seq_high": 32,
            "iv": 64,
        })


class Sequencer(wiring.Component):
    """The lane's control. Fail closed: ``emit`` comes only after every pass of the plan is complete.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(stream of JobLayout)
    loaded, loaded_valid, emit, drop
        The packet buffer's frame at work.
    verdict : Out(stream of Status)
        One per job.
    claim, granted
        The crypto units, from before the first pass to after the last.
    walk_start, walk_done, walk_status, plan
        The walker.
    informed : In(1), esp : In(Control)
        The walker knows the rows 0 of the level at hand, and needs no others of it; the control word of op 0.
    early : Out(1)
        Rows are fetched beside the walk: of a packet with one level, whose first pass encrypts with AES, the key is in
        the core when the walk ends, or on its way.
    params : Out(PassParameters), plan_entry : Out(PassLayout)
    start : Out(1)
        Strobe: a pass, or with ``scan`` a scan ahead of one, begins.
    scan : Out(1)
    scanned : In(1), scan_status : In(Status)
        Strobe: the scan is done.
    pass_done : In(1)
        Strobe: the last word of the pass is in the buffer.
    headers, region : In
        The walker's, for checksums.
    sum_start : Out(1), summing : Out(1), sum_done : In(1)
        Strobes around one checksum, and level from the first to the second: over words ``sum_first`` to byte
        ``sum_end``, an IPv4 header if ``sum_header``, into the half of word ``sum_word`` that ``sum_low`` names.
    units_idle : In(1)
        The units have nothing left of a pass: the next one, or another user of the cores, may begin.
    row_req, row_rsp : streams
    slot : Out, op : Out(1), number : Out(2)
        SA operation of the pass, and its place in the plan.
    aes_key, mac_key, des_key, chacha_key, ghash_h : Out(streams)
        When the config has those cores.
    """

    def __init__(self, config):
        self._config = config
        request = RowRequest(config)
        ports = {
            "job": In(stream.Signature(JobLayout(config))),
            "loaded": In(LoadedLayout),
            "loaded_valid": In(1),
            "emit": Out(1),
            "drop": Out(1),
            "verdict": Out(stream.Signature(Status)),
            "claim": Out(1),
            "granted": In(1),
            "walk_start": Out(1),
            "walk_done": In(1),
            "walk_status": In(Status),
            "plan": In(data.ArrayLayout(PassLayout(config), 4)),
            "informed": In(1),
            "esp": In(Control),
            "early": Out(1),
            "params": Out(PassParameters(config)),
            "plan_entry": Out(PassLayout(config)),
            "start": Out(1),
            "scan": Out(1),
            "scanned": In(1),
            "scan_status": In(Status),
            "pass_done": In(1),
            "units_idle": In(1),
            "headers": In(data.ArrayLayout(HeaderLayout(config), 3)),
            "region": In(RegionLayout(config)),
            "sum_start": Out(1),
            "summing": Out(1),
            "sum_done": In(1),
            "sum_header": Out(1),
            "sum_first": Out(word_bits(config)),
            "sum_end": Out(byte_bits(config)),
            "sum_word": Out(word_bits(config)),
            "sum_low": Out(1),
            "row_req": Out(stream.Signature(request)),
            "row_rsp": In(stream.Signature(128)),
            "slot": Out(request.members["slot"]),
            "op": Out(1),
            "number": Out(2),
        }
        if config.has_aes:
            ports["aes_key"] = Out(stream.Signature(AesKey()))
        if config.has_cbc_mac:
            ports["mac_key"] = Out(stream.Signature(AesKey()))
        if config.has_des:
            ports["des_key"] = Out(stream.Signature(DesKey))
        if config.has_chacha:
            ports["chacha_key"] = Out(stream.Signature(128))
        if config.has_ghash:
            ports["ghash_h"] = Out(stream.Signature(128))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config

        status = Signal(Status)
        number = Signal(3)
        entry = self.plan_entry
        level = Signal.like(self.job.p.levels[0])
        lead = Signal(LeadRow)
        row = Signal(128)
        wanted = Signal(3 if config.has_mac_subkeys else 2)
        # Row 2, which always comes behind row 1, is asked for ahead of the answer to that.
        ask, ask_second = Signal(), Signal()
        # The walk has ended; a key is fetched beside it; this packet's first key is in the core.
        walked, early, keyed = Signal(), Signal(), Signal()
        # Where AES is the one core with keys of rows 1 and 2, there is no doubt whose they are.
        may_be_early = config.has_aes and not (config.has_des or config.has_chacha or config.has_cbc_mac)
        params = self.params
        m.d.comb += [
            level.eq(self.job.p.levels[number[1]]),
            self.slot.eq(level.slot),
            self.op.eq(entry.op),
            self.number.eq(number),
            self.row_req.p.slot.eq(level.slot),
            self.row_req.p.op.eq(entry.op & ~early),
            self.row_req.p.row.eq(Mux(ask_second, 2, wanted)),
            self.row_req.valid.eq(ask | ask_second),
            self.verdict.payload.eq(status),
            self.early.eq(early),
        ]

        control = lead.control
        is_ah = control.ah if config.has_ah else C(0, 1)
        needs_key, needs_h, needs_mac_key = Signal(), Signal(), Signal()
        key_row = Signal()

        constants = []
        forget_row, forget_lead = Signal(), Signal()

        def hold(target, value):
            """Let ``target`` have ``value`` from the next cycle on, or all the time if that is constant."""
            if isinstance(value, Const):
                constants.append(target.eq(value))
            else:
                m.d.sync += target.eq(value)

        m.d.comb += key_row.eq((wanted == 1) | (wanted == 2) | ((wanted == 3) & needs_h))
        is_des = is_any(params.encr, built(config, Encr.DES_CBC, Encr.TDES_CBC))
        claim = Signal()
        m.d.comb += self.claim.eq(claim)

        other_length, walks = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            other_length.eq(self.loaded.length != self.job.p.length),
            walks.eq(~self.job.p.bypass & (self.job.p.status == Status.SUCCESS)),
        ]
        m.d.sync += [self.emit.eq(0), self.drop.eq(0)]
        with m.If(self.walk_done & early):
            m.d.sync += walked.eq(1)
        with m.If(ask_second & self.row_req.ready):
            m.d.sync += ask_second.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                # Without a level inside there are no passes for one.
                m.d.sync += [number.eq(Mux(self.job.p.nested, 0, 2)), status.eq(self.job.p.status), claim.eq(0)]
                m.d.sync += keyed.eq(0)
                # In the cycle behind a verdict its frame is still the one at work.
                with m.If(self.job.valid & self.loaded_valid & ~self.emit & ~self.drop):
                    m.next = "COMPARED"
            with m.State("COMPARED"):
                m.next = "VERDICT"
                with m.If(self.loaded.too_long):
                    m.d.sync += status.eq(Status.TOO_LONG)
                with m.Elif(self.loaded.error):
                    m.d.sync += status.eq(Status.INPUT_ERROR)
                with m.Elif(other_length):
                    m.d.sync += status.eq(Status.MALFORMED)
                with m.Elif(walks):
                    m.d.comb += self.walk_start.eq(1)
                    m.d.sync += claim.eq(self.job.p.bound)
                    m.next = "WALK"
            with m.State("WALK"):
                m.d.sync += status.eq(self.walk_status)
                with m.If(self.walk_done | walked):
                    m.d.sync += walked.eq(0)
                    with m.If(self.walk_status != Status.SUCCESS):
                        m.next = "VERDICT"
                    if config.checksum:
                        with m.Elif(self.job.p.csum_l4):
                            m.next = "L4"
                        with m.Elif(self.job.p.csum_ip):
                            m.next = "HEADERS"
                    with m.Else():
                        m.next = "CLAIM"
                if may_be_early:
                    encrypts = ~self.esp.ah & (self.esp.encr != Encr.NULL)
                    ready = self.informed & self.granted & self.job.p.bound & ~self.job.p.nested
                    with m.Elif(ready & encrypts & ~keyed):
                        m.d.sync += [early.eq(1), keyed.eq(1), wanted.eq(1), needs_key.eq(1)]
                        m.next = "ASK"

            if config.checksum:
                job = self.job.p
                l4_start, l4_field = Signal(18), Signal(18)
                header_number = Signal(2)
                m.d.sync += [l4_start.eq(job.csum_start + 2), l4_field.eq(job.csum_start + job.csum_offset + 2)]
                with m.State("L4"):
                    m.d.sync += [
                        self.sum_header.eq(0), self.sum_first.eq(l4_start >> 2), self.sum_end.eq(self.region.end),
                        self.sum_word.eq(l4_field >> 2), self.sum_low.eq(l4_field[1]),
                    ]
                    m.next = "VERDICT"
                    with m.If(self.region.fragment):
                        m.d.sync += status.eq(Status.FRAGMENT)
                    with m.Elif(l4_start[:2].any() | l4_field[0]):
                        m.d.sync += status.eq(Status.UNALIGNED)
                    with m.Elif(((l4_start >> 2) < self.region.first) | (l4_field + 2 > self.region.end)):
                        m.d.sync += status.eq(Status.MALFORMED)
                    with m.Else():
                        m.next = "SUM"
                with m.State("HEADERS"):
                    header = self.headers[header_number]
                    m.d.sync += [
                        self.sum_header.eq(1), self.sum_first.eq(header.start),
                        self.sum_end.eq((header.start + header.words) << 2),
                        self.sum_word.eq(header.start + 2), self.sum_low.eq(1),
                        header_number.eq(header_number + 1),
                    ]
                    with m.If(~job.csum_ip | (header_number == 3)):
                        m.d.sync += header_number.eq(0)
                        m.next = "CLAIM"
                        with m.If(~job.bound):
                            m.next = "VERDICT"
                    with m.Elif(header.active):
                        m.next = "SUM"
                with m.State("SUM"):
                    m.d.comb += [self.sum_start.eq(1), self.summing.eq(1)]
                    m.next = "SUMMING"
                with m.State("SUMMING"):
                    m.d.comb += self.summing.eq(1)
                    with m.If(self.sum_done):
                        m.next = "HEADERS"

            with m.State("CLAIM"):
                m.d.sync += claim.eq(1)
                with m.If(self.granted):
                    m.next = "PASS"

            with m.State("PASS"):
                m.d.sync += [entry.eq(self.plan[number[:2]]), wanted.eq(0)]
                with m.If((number != 4) & ~self.plan[number[:2]].active):
                    m.d.sync += number.eq(number + 1)
                with m.Elif(self.units_idle):
                    m.next = "ASK"
                    with m.If(number == 4):
                        m.next = "VERDICT"
            with m.State("ASK"):
                m.d.comb += ask.eq(1)
                with m.If(self.row_req.ready):
                    m.d.sync += ask_second.eq(wanted == 1)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.row_rsp.ready.eq(1)
                with m.If(self.row_rsp.valid):
                    m.d.sync += row.eq(self.row_rsp.payload)
                    with m.If(wanted == 0):
                        m.d.sync += lead.eq(self.row_rsp.payload)
                        m.next = "PARAMETERS"
                    if config.has_mac_subkeys:
                        with m.Elif(wanted == MAC_KEY_ROW):
                            m.next = "MAC-KEY"
                    with m.Else():
                        m.next = "KEY"
            with m.State("PARAMETERS"):
                esp = ~is_ah if config.has_ah else C(1, 1)
                ah_iv = Signal(2)
                m.d.comb += ah_iv.eq(ah_iv_words(config, control.auth))

                def esp_with(*members):
                    return all_of(esp, encrypts_with(config, control.encr, *members))

                gcm, ccm, gmac_esp = esp_with(Encr.AES_GCM), esp_with(Encr.AES_CCM), esp_with(Encr.AES_GMAC)
                gmac_ah = all_of(is_ah, ah_iv_words(config, control.auth)[1] if config.has_ah else C(0, 1))
                tag = gcm if isinstance(gcm, Const) and gcm.value else gcm | gmac_esp | gmac_ah
                hold(params.esp, esp)
                hold(params.aead, esp_with(*_AEAD))
                hold(params.gmac_esp, gmac_esp)
                hold(params.tag, tag)
                hold(params.poly, esp_with(Encr.CHACHA20_POLY1305))
                hold(params.hmac, is_any(control.auth, _HMAC) if config.has_hmac else C(0, 1))
                hold(params.ccm, ccm)
                hold(needs_h, tag)
                m.d.sync += [
                    params.ipv6.eq(entry.ipv6),
                    params.encr.eq(Mux(is_ah, Encr.NULL, control.encr)),
                    params.auth.eq(control.auth),
                    params.mac.eq(uses_cbc_mac(config, control) | ccm),
                    params.generate.eq(control.iv_generate),
                    params.judged.eq(judges_iv(config, control)),
                    params.esn.eq(control.esn),
                    params.icv_words.eq(control.icv_words),
                    params.header_words.eq(entry.header - entry.start),
                    params.icv_start.eq(entry.header - entry.start + 3 + ah_iv),
                    params.iv_words.eq(ah_iv),
                    params.body_words.eq((entry.end >> 2) - entry.header),
                    params.salt.eq(lead.salt),
                    params.seq_high.eq(Mux(level.seq_high_valid, level.seq_high, lead.seq_high)),
                    params.iv.eq(level.iv[entry.op if iv_ops(config) > 1 else 0]),
                    needs_key.eq((esp & (control.encr != Encr.NULL)) | gmac_ah),
                    needs_mac_key.eq(uses_cbc_mac(config, control)),
                    wanted.eq(Mux(keyed, 3, 1)), keyed.eq(0),
                ]
                m.next = "NEXT-ROW"
            with m.State("NEXT-ROW"):
                # Rows 1 and 2 are the cipher key, row 3 is H, row 4 the key of a MAC; none of them stays here.
                m.d.comb += forget_row.eq(1)
                with m.If(early & (wanted == 3)):
                    m.d.sync += early.eq(0)
                    m.next = "WALK"
                with m.Elif(needs_key & key_row):
                    m.next = "ASK"
                    with m.If(wanted == 2):
                        m.next = "ANSWER"
                if config.has_mac_subkeys:
                    with m.Elif(needs_mac_key & (wanted < MAC_KEY_ROW)):
                        m.d.sync += wanted.eq(MAC_KEY_ROW)
                        m.next = "ASK"
                    with m.Elif(needs_mac_key & (wanted == MAC_KEY_ROW + 1)):
                        # AES-128: the second beat of the key is zero, as `row` is by now.
                        m.next = "MAC-KEY"
                with m.Elif(is_ah & entry.chained):
                    m.next = "SCAN"
                with m.Else():
                    m.next = "START"
            with m.State("SCAN"):
                m.d.comb += [self.start.eq(1), self.scan.eq(1)]
                m.next = "SCANNING"
            with m.State("SCANNING"):
                with m.If(self.scanned):
                    m.next = "SCANNED"
            with m.State("SCANNED"):
                with m.If(self.scan_status == Status.SUCCESS):
                    m.next = "START"
                with m.Else():
                    m.d.sync += status.eq(self.scan_status)
                    m.next = "VERDICT"
            with m.State("KEY"):
                taken = Signal()
                with m.If(wanted == 3):
                    if config.has_ghash:
                        m.d.comb += [
                            self.ghash_h.valid.eq(1), self.ghash_h.payload.eq(row), taken.eq(self.ghash_h.ready),
                        ]
                if config.has_des:
                    with m.Elif(is_des):
                        m.d.comb += [
                            self.des_key.valid.eq(1), self.des_key.p.data.eq(row),
                            self.des_key.p.size.eq(control.encr == Encr.TDES_CBC), taken.eq(self.des_key.ready),
                        ]
                if config.has_chacha:
                    with m.Elif(params.poly):
                        m.d.comb += [
                            self.chacha_key.valid.eq(1),
                            self.chacha_key.payload.eq(row),
                            taken.eq(self.chacha_key.ready),
                        ]
                if config.has_aes:
                    with m.Else():
                        m.d.comb += [
                            self.aes_key.valid.eq(1), self.aes_key.p.data.eq(row),
                            self.aes_key.p.size.eq(Mux(early, self.esp.key_size, control.key_size)),
                            taken.eq(self.aes_key.ready),
                        ]
                with m.If(taken):
                    m.d.sync += wanted.eq(wanted + 1)
                    m.next = "NEXT-ROW"
                    if config.has_ccm:
                        with m.If(params.ccm):
                            m.d.sync += wanted.eq(wanted)
                            m.next = "MAC-KEY"
            if config.has_cbc_mac:
                with m.State("MAC-KEY"):
                    m.d.comb += [
                        self.mac_key.valid.eq(1), self.mac_key.p.data.eq(row),
                        self.mac_key.p.size.eq(Mux(params.ccm, control.key_size, 0)),
                    ]
                    with m.If(self.mac_key.ready):
                        m.d.sync += wanted.eq(wanted + 1)
                        m.next = "NEXT-ROW"
            with m.State("START"):
                m.d.comb += self.start.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.pass_done):
                    m.d.sync += number.eq(number + 1)
                    m.next = "PASS"

            with m.State("VERDICT"):
                m.d.sync += claim.eq(0)
                m.d.comb += [self.verdict.valid.eq(1), forget_lead.eq(1)]
                with m.If(self.verdict.ready):
                    m.d.comb += self.job.ready.eq(1)
                    m.d.sync += [self.emit.eq(status == Status.SUCCESS), self.drop.eq(status != Status.SUCCESS)]
                    m.next = "IDLE"
        # Behind all that sets them, so that synthesis finds resets in it and not an AND a bit.
        with m.If(forget_row):
            m.d.sync += row.eq(0)
        with m.If(forget_lead):
            m.d.sync += lead.eq(0)
        m.d.comb += constants
        return m
