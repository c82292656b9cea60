# SPDX-License-Identifier: Apache-2.0
"""The MACs that chain AES blocks: AES-XCBC (RFC 3566), AES-CMAC (RFC 4494) and the tag of AES-CCM (RFC 4309)."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .sa_layout import MAC_SUBKEY_ROW, RowRequest
from .words import AuthWord, IcvWord

__all__ = ["CbcMac"]


class CbcMac(wiring.Component):
    """Chains the blocks of a message through an AES of its own, whose key is in it already.

    XCBC and CMAC differ in their keys alone: a full last block is masked with row 5 of the op, one that had to be
    padded (a one, then zeros) with row 6. CCM has no masks and hides the result behind E_K(A0) instead; its blocks are
    B0 = flags || nonce || length of the plaintext, then the associated data (the words up to one with ``pad``) behind
    their length in two bytes, then the plaintext, each filled up with zeros (RFC 3610 section 2.2).

    Two cycles per word at best; a block takes one cycle more than the AES. Words of a block are gathered while the one
    before it is in the AES. Time depends on lengths and algorithms alone.

    Parameters
    ----------
    config : Config
        With ``has_cbc_mac``.

    Members
    -------
    icv_words : In(4)
        Held with all that follows from the first word to the last ICV word.
    i : In(stream of AuthWord)
        A message of one byte or more; for CCM of 8 or 12 bytes of associated data, then whole words.
    o : Out(stream of IcvWord)
    mac_i, mac_o : streams of 128-bit blocks
    slot, op : In
        The SA operation whose rows are asked for.
    row_req : Out(stream of RowRequest), row_rsp : In(stream of 128)
        One row per message. With XCBC or CMAC in the config.
    ccm : In(1)
    body_words : In(16)
        32-bit words of plaintext.
    salt : In(32)
        In bits 31:8.
    nonce, nonce_valid : In(64), In(1)
        The packet's IV.
    mask, mask_valid : In(128), In(1)
        E_K(A0). These six with CCM in the config.
    """

    def __init__(self, config):
        self._has_ccm = config.has_ccm
        self._has_subkeys = config.has_mac_subkeys
        ports = {
            "icv_words": In(4),
            "i": In(stream.Signature(AuthWord)),
            "o": Out(stream.Signature(IcvWord)),
            "mac_i": Out(stream.Signature(128)),
            "mac_o": In(stream.Signature(128)),
        }
        if self._has_subkeys:
            request = RowRequest(config)
            ports |= {
                "slot": In(request.members["slot"]),
                "op": In(1),
                "row_req": Out(stream.Signature(request)),
                "row_rsp": In(stream.Signature(128)),
            }
        if self._has_ccm:
            ports |= {
                "ccm": In(1),
                "body_words": In(16),
                "salt": In(32),
                "nonce": In(64),
                "nonce_valid": In(1),
                "mask": In(128),
                "mask_valid": In(1),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()

        ccm, hidden = C(not self._has_subkeys, 1), C(0, 1)
        if self._has_ccm:
            hidden = ~self.mask_valid
            if self._has_subkeys:
                ccm, hidden = self.ccm, self.ccm & ~self.mask_valid

        block = Signal(128)  # being gathered; at the end the ICV
        filled = Signal(2)
        whole = Signal()  # the block waits for the chain
        chain = Signal(128)  # on its way into the AES, or the last block that came out of it
        sending, awaiting = Signal(), Signal()
        merge = Signal()
        m.d.comb += [
            self.mac_i.payload.eq(chain),
            self.mac_i.valid.eq(sending),
            self.mac_o.ready.eq(1),
            merge.eq(whole & (~awaiting | self.mac_o.valid)),
        ]
        with m.If(self.mac_i.ready):
            m.d.sync += sending.eq(0)
        with m.If(self.mac_o.valid | merge):
            m.d.sync += [
                chain.eq(Mux(self.mac_o.valid, self.mac_o.payload, chain) ^ Mux(merge, block, 0)),
                sending.eq(merge), awaiting.eq(merge),
            ]
        with m.If(merge):
            m.d.sync += whole.eq(0)

        # The marker of XCBC and CMAC stands behind the last byte: in its word, or in one of its own.
        word = Signal(32)
        marker_due = Signal()
        padded = Signal()
        with m.Switch(self.i.p.size):
            with m.Case(0):
                m.d.comb += word.eq(self.i.p.data)
            for size in (1, 2, 3):
                with m.Case(size):
                    bits = 32 - 8 * size
                    m.d.comb += word.eq(Cat(C(1 << bits - 1, bits), self.i.p.data[bits:]))

        def shift_in(value):
            m.d.sync += [block.eq(Cat(value, block[:96])), filled.eq(filled + 1)]

        closing = Signal()
        three = Signal()  # words of associated data, else two
        left = Signal(4)

        with m.FSM():
            with m.State("WORDS"):
                m.d.comb += self.i.ready.eq(~whole)
                with m.If(self.i.valid & ~whole):
                    shift_in(word)
                    m.d.sync += [
                        closing.eq(self.i.p.last), three.eq(filled[1]),
                        padded.eq((self.i.p.size != 0) | (filled != 3)),
                        marker_due.eq(~ccm & (self.i.p.size == 0)),
                    ]
                    with m.If(self.i.p.last | (ccm & self.i.p.pad)):
                        m.next = "FILL"
                    with m.Elif(filled == 3):
                        m.d.sync += whole.eq(1)
            with m.State("FILL"):
                with m.If(filled != 0):
                    shift_in(Cat(C(0, 31), marker_due))
                    m.d.sync += marker_due.eq(0)
                if self._has_ccm:
                    with m.Elif(ccm & ~closing):
                        m.next = "ASSOCIATED"
                    with m.Elif(ccm):
                        m.d.sync += whole.eq(1)
                        m.next = "CHAIN"
                if self._has_subkeys:
                    with m.Else():
                        m.next = "ASK"
            if self._has_ccm:
                with m.State("ASSOCIATED"):
                    with m.If(self.nonce_valid):
                        # Adata is set, M' is icv_len / 2 - 1, L' is 3 for four bytes of length (RFC 4309 section 4).
                        flags = Cat(C(3, 3), C(1, 1), (self.icv_words - 1)[:2], C(1, 2))
                        m.d.sync += [
                            chain.eq(Cat(C(0, 2), self.body_words, C(0, 14), self.nonce, self.salt[8:], flags)),
                            block.eq(Cat(block[16:], Mux(three, C(12, 16), C(8, 16)))),
                            sending.eq(1), awaiting.eq(1), whole.eq(1),
                        ]
                        m.next = "WORDS"
            if self._has_subkeys:
                m.d.comb += [
                    self.row_req.p.slot.eq(self.slot),
                    self.row_req.p.op.eq(self.op),
                    self.row_req.p.row.eq(MAC_SUBKEY_ROW + padded),
                ]
                with m.State("ASK"):
                    m.d.comb += self.row_req.valid.eq(1)
                    with m.If(self.row_req.ready):
                        m.next = "SUBKEY"
                with m.State("SUBKEY"):
                    m.d.comb += self.row_rsp.ready.eq(1)
                    with m.If(self.row_rsp.valid):
                        m.d.sync += [block.eq(block ^ self.row_rsp.payload), whole.eq(1)]
                        m.next = "CHAIN"
            with m.State("CHAIN"):
                with m.If(~whole & ~awaiting & ~hidden):
                    result = chain
                    if self._has_ccm:
                        result = chain ^ Mux(ccm, self.mask, 0)
                    m.d.sync += [block.eq(result), left.eq(self.icv_words)]
                    m.next = "ICV"
            with m.State("ICV"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.data.eq(block[96:]), self.o.p.last.eq(left == 1)]
                with m.If(self.o.ready):
                    m.d.sync += [block.eq(block << 32), left.eq(left - 1)]
                    with m.If(left == 1):
                        # Every message starts from zero.
                        m.d.sync += [chain.eq(0), block.eq(0)]
                        m.next = "WORDS"
        return m
