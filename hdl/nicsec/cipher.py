# SPDX-License-Identifier: Apache-2.0
"""Encrypts the words of a pass: AES in CBC (RFC 3602), CTR (RFC 3686), GCM (RFC 4106) or CCM (RFC 4309), DES and 3DES
in CBC (RFC 2405, RFC 2451), ChaCha20 (RFC 7634), or not at all."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Encr
from .crypto.chacha20 import ChaChaBlock
from .job import word_bits
from .suite import built, is_any
from .words import Kind, PassWord

__all__ = ["Cipher"]


class Cipher(wiring.Component):
    """Streams a pass through the block ciphers' seams.

    Header words pass unchanged. IV words pass, or with ``generate`` are replaced: by ``iv`` in
    counter modes, by E_K(0^64 || iv) in AES-CBC and E_K(iv) in DES-CBC (SP 800-38A appendix C). Body
    words are encrypted; CBC takes whole blocks, counter modes any number of words. Two cycles per word
    at best; the AES sets the pace.

    Members
    -------
    start : In(1)
        Strobe, with the key already in the AES; the members below are held from the cycle before it
        to the end of the pass.
    encr : In(Encr)
        ``NULL`` for AH as well.
    tag : In(1)
        The pass ends with a tag that hides behind E_K(J0), or E_K(A0): GCM, GMAC and CCM.
    body_words : In(16)
        Words that counter modes will encrypt.
    salt : In(32)
    generate : In(1)
    iv : In(64)
    mask, mask_valid : Out
        E_K(J0), in CCM E_K(A0), from its arrival to the next start.
    i, o : streams of PassWord
    covered : Out(32)
        Beside ``o``: the word as it is authenticated, which in CCM is the plaintext.
    nonce, nonce_valid : Out(64), Out(1)
        In CCM the packet's IV, from when it went by to the next start. These three with CCM in the config.
    busy : Out(1)
        Key stream that the pass had no use for is still to be swallowed.
    aes_i, aes_o : streams of 128-bit blocks
    aes_chain : Out(1)
        Beside ``aes_i``: the core adds its last result; low when nothing is asked.
    des_i, des_o : streams of 64-bit blocks
        An answer that was taken stays there until the next block is taken.
    chacha_i, chacha_o : streams of ChaChaBlock and of four 128-bit beats for each
        Each pair when the config has the cipher.
    poly_r : Out(stream of 256)
        With ChaCha20, the one-time key of Poly1305: the first half of block 0 (RFC 8439 section 2.6).
    """

    def __init__(self, config):
        self._config = config
        ports = {
            "start": In(1),
            "encr": In(Encr),
            "tag": In(1),
            "body_words": In(16),
            "salt": In(32),
            "generate": In(1),
            "iv": In(64),
            "mask": Out(128),
            "mask_valid": Out(1),
            "busy": Out(1),
            "i": In(stream.Signature(PassWord)),
            "o": Out(stream.Signature(PassWord)),
        }
        if config.has_ccm:
            ports |= {"covered": Out(32), "nonce": Out(64), "nonce_valid": Out(1)}
        if config.has_aes:
            ports |= {"aes_i": Out(stream.Signature(128)), "aes_o": In(stream.Signature(128)), "aes_chain": Out(1)}
        if config.has_des:
            ports |= {"des_i": Out(stream.Signature(64)), "des_o": In(stream.Signature(64))}
        if config.has_chacha:
            ports |= {
                "chacha_i": Out(stream.Signature(ChaChaBlock)),
                "chacha_o": In(stream.Signature(128)),
                "poly_r": Out(stream.Signature(256)),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()

        config = self._config
        cbc, counter, des, chacha, ccm = Signal(), Signal(), Signal(), Signal(), Signal()
        for signal, members in (
            (cbc, (Encr.AES_CBC, Encr.DES_CBC, Encr.TDES_CBC)),
            (counter, (Encr.AES_CTR, Encr.AES_GCM, Encr.AES_CCM, Encr.CHACHA20_POLY1305)),
            (ccm, (Encr.AES_CCM,)),
            (chacha, (Encr.CHACHA20_POLY1305,)),
            (des, (Encr.DES_CBC, Encr.TDES_CBC)),
        ):
            chosen = built(config, *members)
            # Without AH there is no pass that has another algorithm than those that are built.
            if not config.has_ah and len(chosen) == len(config.encr):
                m.d.comb += signal.eq(1)
            elif chosen:
                m.d.sync += signal.eq(is_any(self.encr, chosen))

        # `nonce` is the IV of a counter mode as it goes by; `block` gathers a CBC block, the first one on top of its
        # IV, or holds E_K(J0); `out` is shifted out word by word: ciphertext, key stream or a generated IV.
        nonce, block, out = Signal(64), Signal(128), Signal(128)
        # Words gathered in `block`, words left in `out`, in unary.
        gathered, gathered_all = Signal(4), Signal()
        out_left, out_any = Signal(4), Signal()
        m.d.comb += [gathered_all.eq(Mux(des, gathered[1], gathered[3])), out_any.eq(out_left[0])]
        block_last, asking_last, flying_last, out_last = Signal(), Signal(), Signal(), Signal()
        # A block is in the core, and one behind it.
        flying, overtaken = Signal(), Signal()
        make_iv = Signal()
        # The block at hand is the first, and its IV came from the frame: no answer of the core goes into it.
        first = Signal()

        words = word_bits(config)
        number = Signal(words)
        # One less than the key stream's blocks to come, so that the sign ends them.
        blocks_left = Signal(signed(words))
        mask_due = Signal()
        counting = Signal()
        iv_half = Signal()

        valid = Signal()
        held = Signal(PassWord)
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(held), self.mask.eq(block)]
        with m.If(valid & self.o.ready):
            m.d.sync += valid.eq(0)

        # Ahead of IV and counter: a salt of four bytes, in CCM one of three behind the counter's width (RFC 4309
        # section 3).
        prefix = Signal(32)
        m.d.comb += prefix.eq(Mux(ccm, Cat(self.salt[8:], C(3, 8)), self.salt))

        # Answers.
        ended = Signal()  # the last word has left
        # Of a 64-bit block the upper half of a register is used where words leave it, the lower where they enter.
        take, free = Signal(), Signal()
        answer = Signal(128)
        m.d.comb += free.eq(mask_due | ~out_any)
        if config.has_aes:
            m.d.comb += [self.aes_o.ready.eq(free), answer.eq(self.aes_o.payload), take.eq(self.aes_o.valid & free)]
        if config.has_des:
            m.d.comb += self.des_o.ready.eq(free)
            with m.If(des):
                m.d.comb += [answer.eq(self.des_o.payload), take.eq(self.des_o.valid & free)]
        if config.has_chacha:
            # Of block 0 two beats are the one-time key and two are for nobody; behind the last word the rest
            # of the last block is for nobody either.
            beats_left = Signal(12)
            block_0 = Signal(3)
            beat_taken, swallow = Signal(), Signal()
            m.d.comb += [
                self.busy.eq(beats_left != 0),
                self.poly_r.payload.eq(Cat(self.chacha_o.payload, block)),
                self.poly_r.valid.eq(self.chacha_o.valid & (block_0 == 3)),
                swallow.eq(block_0.any() | ended),
                self.chacha_o.ready.eq(Mux(block_0 == 3, self.poly_r.ready, swallow | ~out_any)),
                beat_taken.eq(self.chacha_o.valid & self.chacha_o.ready),
            ]
            with m.If(beat_taken):
                m.d.sync += beats_left.eq(beats_left - 1)
                with m.If(block_0.any()):
                    m.d.sync += block_0.eq(block_0 - 1)
                with m.If(block_0 == 4):
                    m.d.sync += block.eq(self.chacha_o.payload)
            with m.If(chacha):
                m.d.comb += [answer.eq(self.chacha_o.payload), take.eq(beat_taken & ~swallow)]
            with m.If(self.start):
                m.d.sync += [
                    block_0.eq(4), beats_left.eq(Mux(chacha, ((self.body_words + 31) >> 4) << 2, 0)),
                ]
        with m.If(take):
            with m.If(mask_due):
                m.d.sync += [block.eq(answer), self.mask_valid.eq(1), mask_due.eq(0)]
            with m.Else():
                m.d.sync += [out.eq(Mux(des, answer << 64, answer)), out_left.eq(Mux(des, 0b0011, 0b1111))]
            m.d.sync += [flying.eq(overtaken), overtaken.eq(0), out_last.eq(flying_last & ~overtaken)]

        # Requests.
        asking, taken, chain = Signal(), Signal(), Signal()
        request = Signal(128)
        if config.has_aes:
            m.d.comb += [
                self.aes_chain.eq(chain & ~des),
                self.aes_i.valid.eq(asking & ~des & ~chacha),
                self.aes_i.payload.eq(request),
                taken.eq(self.aes_i.ready),
            ]
        if config.has_des:
            m.d.comb += [self.des_i.valid.eq(asking & des), self.des_i.payload.eq(request)]
            with m.If(des):
                m.d.comb += taken.eq(self.des_i.ready)
        if config.has_chacha:
            m.d.comb += [
                self.chacha_i.valid.eq(asking & chacha),
                self.chacha_i.p.counter.eq(request[:32]),
                self.chacha_i.p.nonce.eq(request[32:]),
            ]
            with m.If(chacha):
                m.d.comb += taken.eq(self.chacha_i.ready)
        # AES adds the block before to a block of CBC. To one of DES it is added here, from the core's output, where it
        # stays until the core takes the next block.
        with m.If(~asking):
            m.d.sync += asking_last.eq(0)
            with m.If(make_iv):
                m.d.sync += [request.eq(self.iv), asking.eq(1), make_iv.eq(0)]
            with m.Elif(cbc & gathered_all & (~des | ~flying | take)):
                m.d.sync += [
                    request.eq(block ^ Mux(des & ~first, answer, 0)), chain.eq(~first), asking.eq(1), gathered.eq(0),
                    asking_last.eq(block_last), first.eq(0),
                ]
            with m.Elif(counting & ~blocks_left[-1]):
                m.d.sync += [
                    request.eq(Cat(number, C(0, 32 - words), nonce, prefix)), asking.eq(1),
                    number.eq(number + 1), blocks_left.eq(blocks_left - 1),
                ]
        # Nothing is left of a request that was taken. Key set-up relies on it, whose own are zero (lanes.py).
        with m.If(asking & taken):
            m.d.sync += [asking.eq(0), request.eq(0), chain.eq(0)]
            m.d.sync += [flying.eq(1), flying_last.eq(asking_last), overtaken.eq(flying & ~take)]

        # Words. What follows from the kind of one is judged while it comes in.
        here, word = Signal(), Signal(PassWord, reset_less=True)
        ready = Signal()
        emit = Signal()
        emit_data, made_word, onto = Signal(32), Signal(32), Signal(32)
        shift = Signal()
        is_body, is_iv = Signal(), Signal()
        # What `out` holds goes into IVs that CBC makes and, in counter modes, into every word of the body; a CBC block
        # comes out beside the words that go in, and is gathered beside the one that comes out. That is sticky, since
        # the block comes out after the last word went in.
        in_block, made, made_of_out, streamed, go = Signal(), Signal(), Signal(), Signal(), Signal()
        coming = self.i.p.kind
        m.d.comb += self.i.ready.eq(~here)
        with m.If(~here):
            m.d.sync += [
                here.eq(self.i.valid), word.eq(self.i.payload),
                is_body.eq(coming == Kind.BODY), is_iv.eq(coming == Kind.IV),
                streamed.eq(counter & (coming == Kind.BODY)),
                made.eq(self.generate & (coming == Kind.IV)), made_of_out.eq(self.generate & cbc & (coming == Kind.IV)),
            ]
            with m.If(self.i.valid & cbc & (coming == Kind.BODY)):
                m.d.sync += in_block.eq(1)
        with m.Elif(ready):
            m.d.sync += here.eq(0)
        m.d.comb += [
            made_word.eq(Mux(iv_half, self.iv[:32], self.iv[32:])),
            onto.eq(Mux(first & is_body, Mux(des, block[32:64], block[96:]), 0)),
            go.eq(~(streamed | made_of_out) | out_any),
            emit.eq(~valid & Mux(in_block, out_any, here & go)),
            ready.eq(Mux(in_block, ~gathered_all, ~valid & go)),
            shift.eq(emit & (in_block | streamed | made_of_out)),
            emit_data.eq(
                Mux(in_block | made_of_out, 0, Mux(made, made_word, word.data))
                ^ Mux(in_block | streamed | made_of_out, out[96:], 0)
            ),
        ]
        with m.If(cbc & here & ready):
            m.d.sync += block.eq(Cat(word.data ^ onto, block[:96]))
        with m.If(in_block & here & ready):
            m.d.sync += [gathered.eq(Cat(C(1, 1), gathered)), block_last.eq(word.last)]

        if config.has_ccm:
            m.d.comb += self.nonce.eq(nonce)
            with m.If(emit):
                m.d.sync += self.covered.eq(Mux(ccm, word.data, emit_data))
                with m.If(is_iv & iv_half):
                    m.d.sync += self.nonce_valid.eq(1)
            with m.If(self.start):
                m.d.sync += self.nonce_valid.eq(0)
        with m.If(emit):
            m.d.sync += [valid.eq(1), held.eq(word), held.data.eq(emit_data)]
            with m.If(in_block):
                m.d.sync += [held.size.eq(0), held.kind.eq(Kind.BODY), held.last.eq(out_last & ~out_left[1])]
            with m.Elif(is_iv):
                m.d.sync += [nonce.eq(Cat(emit_data, nonce[:32])), iv_half.eq(~iv_half)]
                with m.If(iv_half):
                    m.d.sync += counting.eq(1)
        with m.If(shift):
            m.d.sync += [out.eq(out << 32), out_left.eq(out_left >> 1)]
        # What is left of a key stream is no block of the next pass, whose parameters come ahead of its start.
        with m.If(emit & Mux(in_block, out_last & ~out_left[1], word.last)):
            m.d.sync += [in_block.eq(0), ended.eq(1)]

        body_words = self.body_words[:words]
        with m.If(self.start):
            m.d.sync += [
                make_iv.eq(cbc & self.generate), first.eq(~self.generate), iv_half.eq(0), in_block.eq(0),
                number.eq(~(chacha | ccm)), counting.eq(0), ended.eq(0),
                blocks_left.eq(Mux(
                    chacha, (body_words + 15) >> 4, (Mux(counter, body_words, 0) + Mux(self.tag, 3, -1)) >> 2
                )),
                mask_due.eq(self.tag), self.mask_valid.eq(0), gathered.eq(0), out_left.eq(0), flying.eq(0),
                overtaken.eq(0),
            ]
        return m
