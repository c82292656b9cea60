# SPDX-License-Identifier: Apache-2.0
"""One packet in flight: buffer, walker, sequencer and the units that a pass streams through. Only wiring."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .aead_tag import AeadTag
from .auth_feed import AuthFeed
from .cbc_mac import CbcMac
from .checksum import Checksum
from .cipher import Cipher
from .hmac import Hmac
from .iv_record import IVRecord
from .job import JobLayout, VerdictLayout, word_bits
from .mutable import Mutable
from .packet_buffer import PacketBuffer
from .ram_queue import RamQueue
from .reader import Reader
from .row_words import RowWords
from .sa_layout import RowRequest, inner_row, outer_row
from .sequencer import Sequencer
from .share import crypto_members, hashes, lane_crypto_members
from .stream import FrameWord
from .walker import Walker
from .words import Kind

__all__ = ["Lane"]

#: Words that may wait for a hash core: of a block of SHA-1 or SHA-256 all.
_HASH_WORDS = 16


class Lane(wiring.Component):
    """Processes packets one after another; loads and drains one beside the one at work.

    Parameters
    ----------
    config : Config

    Members
    -------
    load : In(stream of FrameWord)
    job : In(stream of JobLayout)
        One per frame, in the order of the frames.
    verdict : Out(stream of VerdictLayout)
        One per job, of one beat and as many more as it has IVs to be judged.
    freed : Out(1)
        Strobe: there is room for a frame more, because the oldest has left or was dropped.
    drain : Out(stream of FrameWord)
        The frames whose verdict was success, behind their verdicts.
    row_req, row_rsp : streams
        Rows of the SA table.
    claim, granted
        The crypto units.
    aes_chain : Out(1)
        Beside ``aes_i``: see :class:`~nicsec.crypto.aes.Aes`; low when nothing is asked.
    aes_key, aes_i, aes_o, <hash>_i, <hash>_o, ghash_h, ghash_i, ghash_o, mac_*, des_*, chacha_*,
    poly_* : streams
        Seams of docs/design.md section 8, as far as the config has the cores.
    """

    def __init__(self, config):
        self._config = config
        ports = {
            "load": In(stream.Signature(FrameWord)),
            "job": In(stream.Signature(JobLayout(config))),
            "verdict": Out(stream.Signature(VerdictLayout(config))),
            "freed": Out(1),
            "drain": Out(stream.Signature(FrameWord)),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(128)),
            "claim": Out(1),
            "granted": In(1),
            **crypto_members(config),
        }
        if config.has_aes:
            ports["aes_chain"] = Out(1)
        super().__init__({**ports, **lane_crypto_members(config)})

    def elaborate(self, platform):
        m = Module()
        config = self._config

        m.submodules.buffer = buffer = PacketBuffer(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.walker = walker = Walker(config)
        m.submodules.reader = reader = Reader(config)
        m.submodules.cipher = cipher = Cipher(config)
        m.submodules.feed = feed = AuthFeed()
        params, entry = sequencer.params, sequencer.plan_entry
        start, scanning = Signal(), Signal()
        m.d.comb += start.eq(sequencer.start & ~sequencer.scan)
        with m.If(sequencer.start):
            m.d.sync += scanning.eq(sequencer.scan)

        connect(m, flipped(self.load), buffer.load)
        connect(m, buffer.drain, flipped(self.drain))
        connect(m, flipped(self.job), sequencer.job)
        m.submodules.iv_record = iv_record = IVRecord(config)
        connect(m, sequencer.verdict, iv_record.status)
        connect(m, iv_record.o, flipped(self.verdict))
        m.d.comb += [
            self.claim.eq(sequencer.claim),
            sequencer.granted.eq(self.granted),
            sequencer.loaded.eq(buffer.loaded),
            sequencer.loaded_valid.eq(buffer.loaded_valid),
            buffer.emit.eq(sequencer.emit),
            buffer.drop.eq(sequencer.drop),
            self.freed.eq(buffer.freed),
            walker.start.eq(sequencer.walk_start),
            walker.job.eq(self.job.payload),
            walker.word.eq(buffer.word),
            sequencer.walk_done.eq(walker.done),
            sequencer.walk_status.eq(walker.status),
            sequencer.plan.eq(walker.plan),
            sequencer.informed.eq(walker.informed),
            sequencer.esp.eq(walker.lead[0].control),
        ]

        # The read port belongs to the walker or to the reader, the row port to the walker, to key set-up,
        # or, while a pass runs, to HMAC or to the MAC of AES.
        walking, running = Signal(), Signal()
        with m.If(walker.start):
            m.d.sync += walking.eq(1)
        with m.Elif(walker.done):
            m.d.sync += walking.eq(0)
        with m.If(start):
            m.d.sync += running.eq(1)
        with m.Elif(sequencer.pass_done):
            m.d.sync += running.eq(0)
        m.d.comb += [
            buffer.addr.eq(Mux(walking, walker.addr, reader.addr)),
            buffer.en.eq(walking | reader.en),
            reader.word.eq(buffer.word),
        ]
        early = sequencer.early
        row_users = [(walking & ~early, walker), ((~walking | early) & ~running, sequencer)]

        summing, sum_done = Signal(), Signal()
        sum_result = Signal(16)

        # The pass: reader, mask, cipher; then back into the buffer and on to authentication. What the cipher says to a
        # word, late in a cycle, reaches the memory in the next one; it takes a word every other cycle at best.
        m.d.comb += [
            reader.start.eq(sequencer.start | sequencer.sum_start),
            reader.esp.eq(params.esp),
            reader.first.eq(Mux(summing, sequencer.sum_first, entry.start)),
            reader.body.eq(entry.header),
            reader.end.eq(Mux(summing, sequencer.sum_end, Mux(scanning, entry.header << 2, entry.end))),
            cipher.start.eq(start),
            cipher.encr.eq(params.encr),
            cipher.tag.eq(params.tag | params.ccm),
            cipher.body_words.eq(params.body_words),
            cipher.salt.eq(params.salt),
            cipher.generate.eq(params.generate),
            cipher.iv.eq(params.iv),
            feed.start.eq(start),
            feed.aead.eq(params.aead),
            feed.gmac.eq(params.gmac_esp),
            feed.esn.eq(params.esn),
            feed.seq_high.eq(params.seq_high),
        ]
        if config.has_ah:
            m.submodules.mutable = mutable = Mutable(config)
            m.d.comb += [
                reader.route.active.eq(
                    mutable.route.active & entry.chained & ~params.esp & ~scanning & ~summing
                ),
                reader.route.first.eq(mutable.route.first),
                reader.route.end.eq(mutable.route.end),
                mutable.start.eq(sequencer.start),
                mutable.scan.eq(sequencer.scan),
                mutable.header_words.eq(params.header_words),
                mutable.iv_words.eq(params.iv_words),
                sequencer.scanned.eq(mutable.scanned),
                sequencer.scan_status.eq(mutable.status),
                mutable.enable.eq(~params.esp),
                mutable.ipv6.eq(params.ipv6),
                mutable.icv_start.eq(params.icv_start),
                mutable.icv_words.eq(params.icv_words),
            ]
            first = mutable
            connect(m, mutable.o, cipher.i)
        else:
            first = cipher
        m.d.comb += [
            first.i.payload.eq(reader.o.payload),
            first.i.valid.eq(reader.o.valid & ~summing),
            reader.o.ready.eq(first.i.ready),
        ]
        if config.checksum:
            m.submodules.checksum = checksum = Checksum()
            m.d.comb += [
                checksum.start.eq(sequencer.sum_start),
                checksum.header.eq(sequencer.sum_header),
                checksum.udp.eq(self.job.p.csum_udp & ~sequencer.sum_header),
                checksum.i.payload.eq(reader.o.payload),
                checksum.i.valid.eq(reader.o.valid & summing),
                sequencer.headers.eq(walker.headers),
                sequencer.region.eq(walker.region),
                sequencer.sum_done.eq(checksum.done),
                sum_done.eq(checksum.done),
                sum_result.eq(checksum.result),
                summing.eq(sequencer.summing),
            ]
            with m.If(summing):
                m.d.comb += reader.o.ready.eq(checksum.i.ready)
        authenticated = Signal()
        moved = Signal()
        m.d.comb += [
            authenticated.eq(params.hmac | params.mac | params.tag | params.poly),
            feed.i.payload.eq(cipher.o.payload),
            feed.i.valid.eq(cipher.o.valid & authenticated),
            cipher.o.ready.eq(feed.i.ready | ~authenticated),
            moved.eq(cipher.o.valid & cipher.o.ready),
            iv_record.start.eq(start),
            iv_record.number.eq(sequencer.number),
            iv_record.judged.eq(params.judged),
            iv_record.slot.eq(sequencer.slot),
            iv_record.op.eq(sequencer.op),
            iv_record.word.eq(cipher.o.p.data),
            iv_record.word_valid.eq(moved & (cipher.o.p.kind == Kind.IV)),
        ]

        icv_valid, icv_last = Signal(), Signal()
        icv_data = Signal(32)
        icv_sources = []
        units_busy = [cipher.busy]
        if config.has_ghash or config.has_chacha:
            m.submodules.aead_tag = aead_tag = AeadTag(config)
            m.d.comb += [
                aead_tag.start.eq(start),
                aead_tag.icv_words.eq(params.icv_words),
                aead_tag.poly.eq(params.poly),
                aead_tag.mask.eq(cipher.mask),
                aead_tag.mask_valid.eq(cipher.mask_valid),
            ]
            icv_sources.append((params.tag | params.poly, aead_tag))
        if config.has_ghash:
            connect(m, aead_tag.ghash_i, flipped(self.ghash_i))
            connect(m, flipped(self.ghash_o), aead_tag.ghash_o)
            connect(m, sequencer.ghash_h, flipped(self.ghash_h))
        if config.has_cbc_mac:
            m.submodules.cbc_mac = cbc_mac = CbcMac(config)
            m.d.comb += cbc_mac.icv_words.eq(params.icv_words)
            icv_sources.append((params.mac, cbc_mac))
            connect(m, sequencer.mac_key, flipped(self.mac_key))
            connect(m, cbc_mac.mac_i, flipped(self.mac_i))
            connect(m, flipped(self.mac_o), cbc_mac.mac_o)
        if config.has_mac_subkeys:
            m.d.comb += [cbc_mac.slot.eq(sequencer.slot), cbc_mac.op.eq(sequencer.op)]
            row_users.append((~walking & running & params.mac, cbc_mac))
        if config.has_ccm:
            m.d.comb += [
                cbc_mac.ccm.eq(params.ccm),
                cbc_mac.body_words.eq(params.body_words),
                cbc_mac.salt.eq(params.salt),
                cbc_mac.nonce.eq(cipher.nonce),
                cbc_mac.nonce_valid.eq(cipher.nonce_valid),
                cbc_mac.mask.eq(cipher.mask),
                cbc_mac.mask_valid.eq(cipher.mask_valid),
                feed.i.p.data.eq(cipher.covered),
            ]
        if config.has_des:
            connect(m, sequencer.des_key, flipped(self.des_key))
            connect(m, cipher.des_i, flipped(self.des_i))
            connect(m, flipped(self.des_o), cipher.des_o)
        if config.has_chacha:
            connect(m, sequencer.chacha_key, flipped(self.chacha_key))
            connect(m, cipher.chacha_i, flipped(self.chacha_i))
            connect(m, flipped(self.chacha_o), cipher.chacha_o)
            connect(m, cipher.poly_r, flipped(self.poly_r))
            connect(m, aead_tag.poly_i, flipped(self.poly_i))
            connect(m, flipped(self.poly_o), aead_tag.poly_o)
        if config.has_hmac:
            m.submodules.hmac = hmac = Hmac(config)
            m.submodules.row_words = row_words = RowWords(config)
            m.d.comb += [
                hmac.start.eq(start & params.hmac),
                hmac.auth.eq(params.auth),
                hmac.icv_words.eq(params.icv_words),
                row_words.start.eq(hmac.state_start),
                row_words.words.eq(hmac.state_words),
                row_words.first.slot.eq(sequencer.slot),
                row_words.first.op.eq(sequencer.op),
            ]
            with m.Switch(Cat(hmac.outer, params.auth)):
                for auth in hmac.auths:
                    with m.Case(auth.value << 1):
                        m.d.comb += row_words.first.row.eq(inner_row(auth))
                    with m.Case(auth.value << 1 | 1):
                        m.d.comb += row_words.first.row.eq(outer_row(auth))
            connect(m, row_words.o, hmac.state)
            self._queue_words(m, hmac)
            row_users.append((~walking & running & params.hmac, row_words))
            units_busy.append(hmac.busy)
            icv_sources.append((params.hmac, hmac))
        m.d.comb += sequencer.units_idle.eq(~Cat(units_busy).any())
        for enable, source in icv_sources:
            m.d.comb += [
                source.i.payload.eq(feed.o.payload), source.i.valid.eq(feed.o.valid & enable), source.o.ready.eq(1),
            ]
            with m.If(enable):
                m.d.comb += [
                    feed.o.ready.eq(source.i.ready),
                    icv_valid.eq(source.o.valid), icv_data.eq(source.o.p.data), icv_last.eq(source.o.p.last),
                ]

        for enable, user in row_users:
            m.d.comb += [
                user.row_req.ready.eq(self.row_req.ready & enable),
                user.row_rsp.payload.eq(self.row_rsp.payload),
                user.row_rsp.valid.eq(self.row_rsp.valid & enable),
            ]
            with m.If(enable):
                m.d.comb += [
                    self.row_req.valid.eq(user.row_req.valid), self.row_req.payload.eq(user.row_req.payload),
                    self.row_rsp.ready.eq(user.row_rsp.ready),
                ]

        if config.has_aes:
            connect(m, sequencer.aes_key, flipped(self.aes_key))
            connect(m, cipher.aes_i, flipped(self.aes_i))
            m.d.comb += self.aes_chain.eq(cipher.aes_chain)
            connect(m, flipped(self.aes_o), cipher.aes_o)

        # Words of an ESP pass go back where they came from, and the ICV lies behind them; of an AH pass only
        # the ICV field is written.
        write_addr = Signal(word_bits(config))
        write_en = Signal(2)
        store = Signal()
        m.d.comb += [
            store.eq(moved & (params.esp | (cipher.o.p.kind == Kind.IV))),
        ]
        m.d.sync += [
            sequencer.pass_done.eq((icv_valid & icv_last) | (moved & cipher.o.p.last & ~authenticated)),
            write_en.eq((running & (store | icv_valid)).replicate(2)),
            buffer.write_data.eq(Mux(icv_valid, icv_data, cipher.o.p.data)),
            buffer.write_addr.eq(write_addr),
        ]
        with m.If(sum_done):
            m.d.sync += [
                write_en.eq(Mux(sequencer.sum_low, 0b01, 0b10)),
                buffer.write_data.eq(sum_result.replicate(2)),
                buffer.write_addr.eq(sequencer.sum_word),
            ]
        m.d.comb += buffer.write_en.eq(write_en)
        with m.If(start):
            m.d.sync += write_addr.eq(Mux(params.esp, entry.start, entry.header + 3))
        with m.Elif(store | icv_valid):
            m.d.sync += write_addr.eq(write_addr + 1)
        return m

    def _queue_words(self, m, hmac):
        """Words wait here while the core works on the block ahead, so that cipher and hash never wait for each
        other. Of a message the last request is longer than the queue, and its last block is no secret: no midstate
        stays here."""
        cores = hashes(self._config)
        offers = [getattr(hmac, f"{name}_i") for name in cores]
        m.submodules.hash_words = queue = RamQueue(offers[0].payload.shape(), _HASH_WORDS)
        of_core = Signal(len(cores))
        m.d.comb += [
            # Words go to every core, and one of them is told so.
            queue.i.payload.eq(offers[0].payload),
            queue.i.valid.eq(Cat(offer.valid for offer in offers).any()),
        ]
        for n, (name, offer) in enumerate(zip(cores, offers, strict=True)):
            i = getattr(self, f"{name}_i")
            with m.If(offer.valid):
                m.d.sync += of_core.eq(1 << n)
            m.d.comb += [
                offer.ready.eq(queue.i.ready), i.payload.eq(queue.o.payload), i.valid.eq(queue.o.valid & of_core[n]),
            ]
            connect(m, flipped(getattr(self, f"{name}_o")), getattr(hmac, f"{name}_o"))
        taken = [getattr(self, f"{name}_i").ready & of_core[n] for n, name in enumerate(cores)]
        m.d.comb += queue.o.ready.eq(Cat(taken).any())
