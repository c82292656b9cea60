# SPDX-License-Identifier: Apache-2.0
"""AES-CBC and AES-GCM of many frames in one ring, a block a cycle (RFC 3602, RFC 4106)."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..algorithm import Status
from ..choose import any_of
from ..crypto.aes_pipe import AesPipe
from ..crypto.aes_schedule import ScheduleJob
from ..crypto.ghash_pipe import GhashPipe
from .delay import Delay
from .layout import Done, Progress, Read, Write, packet_bits, thread_bits
from .queue import Queue
from .ring import READ_LATENCY
from .tokens import CbcStart, Facts, GcmStart, HeaderRead, Kind, Token
from .turn_slots import TurnSlots

__all__ = ["CipherPipe"]


class CipherPipe(wiring.Component):
    """Tokens through AES, ring and GHASH, one a cycle, none of which ever waits inside.

    A token enters AES, meets the ring's words behind it, and is written with them. In CBC the sum of both
    enters AES again at once, so a chain takes a block every ``latency + READ_LATENCY + 1`` cycles and as many chains
    fill the pipe. Blocks of GCM come from eight turns, each of which has its cycle in eight, so that GHASH's
    sum of a frame is back when its next block comes.

    Parameters
    ----------
    config : Config

    Members
    -------
    key : In(stream of ScheduleJob)
        Keys and wipes of threads.
    keyed : Out({valid, thread})
        A key was taken in the cycle before.
    subkey : In(stream of {thread, data})
        GHASH's subkey of a thread.
    facts : In({en, thread, facts})
        Written ahead of a start.
    header : In(stream of HeaderRead), header_read : Out(1), header_words : Out(128)
        The words, in the order of requests, some cycles after each.
    gcm, cbc : In(streams of GcmStart, CbcStart)
        The thread's key was taken ``AesPipe.key_latency`` cycles ago or more.
    setup : In(stream of {thread, block}), answered : Out(1), answer : Out(128)
        A block of key set-up, one at a time.
    read, read_data, write
        The ring (:class:`~nicsec.pool.ring.FrameRing`).
    progress : Out(Progress)
    half : Out({valid, thread})
        Of a ``hashed`` task's blocks half are done, so that its hash will not catch up with it.
    done : Out(stream of Done)
        Of tasks that are not ``hashed``.
    aes_issued, ghash_issued : Out(1)
        A block that a pass needs went into the unit in this cycle.
    """

    #: Cycles from one block of a chain to the next.
    chain_latency = AesPipe.latency + READ_LATENCY + 1
    #: Cycles from ``keyed`` to a start.
    key_latency = AesPipe.key_latency

    def __init__(self, config):
        self._config = config
        self._aes = AesPipe(config.lanes, sbox=config.aes_sbox)
        thread = thread_bits(config)
        super().__init__({
            "key": In(stream.Signature(ScheduleJob(config.lanes))),
            "keyed": Out(data.StructLayout({"valid": 1, "thread": thread})),
            "subkey": In(stream.Signature(data.StructLayout({"thread": thread, "data": 128}))),
            "facts": In(data.StructLayout({"en": 1, "thread": thread, "facts": Facts(config)})),
            "header": In(stream.Signature(HeaderRead(config))),
            "header_read": Out(1),
            "header_words": Out(128),
            "gcm": In(stream.Signature(GcmStart(config))),
            "cbc": In(stream.Signature(CbcStart(config))),
            "setup": In(stream.Signature(data.StructLayout({"thread": thread, "block": 128}))),
            "answered": Out(1),
            "answer": Out(128),
            "read": Out(Read(config)),
            "read_data": In(128),
            "write": Out(Write(config)),
            "progress": Out(Progress(config)),
            "half": Out(data.StructLayout({"valid": 1, "thread": thread})),
            "done": Out(stream.Signature(Done(config))),
            "aes_issued": Out(1),
            "ghash_issued": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        threads = config.lanes
        token_layout = Token(config)
        m.submodules.aes = aes = self._aes
        m.submodules.turns = turns = TurnSlots(config)
        wiring.connect(m, wiring.flipped(self.key), aes.key)
        m.d.sync += [
            self.keyed.valid.eq(aes.key.valid & aes.key.ready & ~aes.key.p.wipe), self.keyed.thread.eq(aes.key.p.tag),
        ]
        wiring.connect(m, wiring.flipped(self.gcm), turns.start)

        def by_thread(name, width):
            """A memory with a row for each thread."""
            m.submodules[name] = rows = memory.Memory(
                shape=width, depth=max(threads, 2), init=[], attrs={"ram_style": "distributed"}
            )
            return rows.write_port(), rows.read_port(domain="comb")

        # The token that enters AES: the next block of a chain, whoever is ahead of the turns, or the turn's.
        issue, issued = Signal(token_layout, reset_less=True), Signal()
        block = Signal(128, reset_less=True)
        chain, chain_on = Signal(token_layout, reset_less=True), Signal()
        behind = Signal.like(self.write.place, reset_less=True)
        chain_block = Signal(128)
        side, side_waits = Signal(token_layout, reset_less=True), Signal()
        side_block = Signal(128, reset_less=True)
        side_on, turn_on = Signal(), Signal()
        # Who is injected behind AES needs a cycle in which nothing comes out of it.
        bubble = Signal()
        m.d.comb += [
            side_on.eq(side_waits & ~chain_on),
            turns.take.eq(~chain_on & ~side_waits & ~bubble),
            turn_on.eq(turns.valid & turns.take),
        ]
        m.d.sync += [
            issued.eq(chain_on | side_on | turn_on),
            block.eq(
                Mux(chain_on, chain_block, 0) | Mux(side_on, side_block, 0) | Mux(turn_on, turns.block, 0)
            ),
            Value.cast(issue).eq(any_of([
                Mux(chain_on, Value.cast(chain), 0), Mux(side_on, Value.cast(side), 0),
                Mux(turn_on, Value.cast(turns.token), 0),
            ])),
            self.aes_issued.eq(issued & (issue.kind != Kind.LENGTHS) & (issue.kind != Kind.ICV)),
        ]
        with m.If(side_on):
            m.d.sync += side_waits.eq(0)
        m.d.comb += [aes.i.valid.eq(issued), aes.i.tag.eq(issue.thread), aes.i.block.eq(block)]
        m.submodules.inside = inside = Delay(token_layout, aes.latency)
        m.d.comb += [inside.valid_i.eq(issued), inside.i.eq(issue)]

        # Generated IVs of CBC and blocks of key set-up enter from the side.
        cbc = self.cbc.p
        generate = Signal()
        m.d.comb += [
            generate.eq(self.cbc.valid & cbc.generate & ~side_waits),
            self.setup.ready.eq(~side_waits & ~(self.cbc.valid & cbc.generate)),
        ]
        with m.If(generate):
            m.d.sync += [
                side.kind.eq(Kind.CBC), side.thread.eq(cbc.thread), side.place.eq(cbc.place), side.left.eq(cbc.blocks),
                side_block.eq(cbc.value), side_waits.eq(1),
            ]
        with m.Elif(self.setup.valid & self.setup.ready):
            m.d.sync += [
                side.kind.eq(Kind.SETUP), side.thread.eq(self.setup.p.thread), side_block.eq(self.setup.p.block),
                side_waits.eq(1),
            ]

        # Behind AES, stage 0: results, or what is injected between them. One bubble is made for each injection, since
        # the turns alone could fill every cycle.
        stages = READ_LATENCY
        header, injected = Signal(), Signal()
        start, headed = Signal(), Signal()
        free = Signal()
        waits, made, made_now = Signal(), Signal(), Signal()
        reading = Signal(range(stages + 2))
        m.d.comb += [
            free.eq(~inside.next_valid),
            start.eq(self.cbc.valid & ~cbc.generate),
            header.eq(self.header.valid & (reading == 0)),
            waits.eq((start | header) & ~free),
            made_now.eq(made | (bubble & ~chain_on & ~side_waits)),
        ]
        m.d.sync += [made.eq(waits & made_now), bubble.eq(waits & ~made_now)]
        entering, entering_on = Signal(token_layout, reset_less=True), Signal()
        value = Signal(128, reset_less=True)
        m.d.sync += [entering_on.eq(0), value.eq(cbc.value), headed.eq(0)]
        m.d.comb += [
            self.cbc.ready.eq(generate | (start & free)),
            self.header.ready.eq(header & free & ~start),
        ]
        with m.If(reading != 0):
            m.d.sync += reading.eq(reading - 1)
        with m.If(free & start):
            m.d.sync += [
                entering_on.eq(1), entering.kind.eq(Kind.CBC), entering.thread.eq(cbc.thread),
                entering.place.eq(cbc.place), entering.left.eq(cbc.blocks),
            ]
        with m.Elif(free & header):
            m.d.sync += [
                entering_on.eq(1), entering.kind.eq(Kind.HEADER), entering.place.eq(self.header.p.place),
                headed.eq(1), reading.eq(stages + 1),
            ]
        m.d.comb += injected.eq(entering_on)

        first, first_on = Signal(token_layout), Signal()
        result = Signal(128)
        m.d.comb += [
            Value.cast(first).eq(Mux(injected, Value.cast(entering), Value.cast(inside.o))),
            first_on.eq(injected | inside.valid_o),
            result.eq(Mux(injected, value, aes.o.block)),
            self.read.place.eq(first.place),
            self.read.en.eq(first_on & (
                (first.kind == Kind.CTR) | (first.kind == Kind.HEADER) | ((first.kind == Kind.CBC) & (first.left != 0))
            )),
        ]

        # Stages 1 to READ_LATENCY: the ring's words are on their way.
        tokens = [first, *(Signal(token_layout, name=f"token{n}", reset_less=True) for n in range(1, stages + 1))]
        there = [first_on, *(Signal(name=f"there{n}") for n in range(1, stages + 1))]
        results = [result, *(Signal(128, name=f"result{n}", reset_less=True) for n in range(1, stages + 1))]
        for train in (tokens, there, results):
            m.d.sync += [Value.cast(later).eq(Value.cast(earlier)) for earlier, later in pairwise(train)]
        ahead, at = tokens[stages - 1], tokens[stages]

        def kind(token, on, *kinds):
            return on & any_of([token.kind == one for one in kinds])

        # One stage ahead of the last: what replaces or joins the result is made ready. Nothing but key stream,
        # ciphertext of CBC and E_K(J0) is left of the result.
        facts_in, facts_out = by_thread("facts", Facts(config))
        mask_in, mask_out = by_thread("masks", 128)
        facts = Signal(Facts(config))
        joins, hashes = Signal(128, reset_less=True), Signal(128, reset_less=True)
        lengths, aad = Signal(128), Signal(128)
        generated = Signal(64, reset_less=True)
        header_generates = Signal()
        with m.If(self.header.valid & self.header.ready):
            m.d.sync += [generated.eq(self.header.p.iv), header_generates.eq(self.header.p.generate)]
        m.d.comb += [
            facts_in.addr.eq(self.facts.thread), facts_in.data.eq(self.facts.facts), facts_in.en.eq(self.facts.en),
            facts_out.addr.eq(ahead.thread), facts.eq(facts_out.data),
            mask_out.addr.eq(ahead.thread),
            aad.eq(Cat(C(0, 32), facts.aad)),
            lengths.eq(Cat(
                C(0, 5), facts.body_words, C(0, 59 - len(facts.body_words)),
                C(0, 5), ~facts.esn, facts.esn, C(0, 57),
            )),
        ]
        # 64 bits of associated data, or 96 with ESN.
        m.d.comb += lengths[64:].eq(Mux(facts.esn, 96, 64))
        on = there[stages - 1]
        if config.has_ghash:
            m.submodules.ghash = ghash = GhashPipe(threads)
            m.d.comb += ghash.sum_tag.eq(tokens[stages - 2].thread)
            total = ghash.sum
        else:
            total = C(0, 128)
        m.d.sync += [
            joins.eq(
                Mux(kind(ahead, on, Kind.ICV), total ^ mask_out.data, 0)
                | Mux(kind(ahead, on, Kind.HEADER) & header_generates, generated, 0)
            ),
            hashes.eq(Mux(kind(ahead, on, Kind.J0), aad, 0) | Mux(kind(ahead, on, Kind.LENGTHS), lengths, 0)),
        ]
        with m.If(kind(ahead, on, Kind.ICV, Kind.HEADER, Kind.LENGTHS)):
            m.d.sync += results[stages].eq(0)
        mask = Signal(4)
        is_chain, is_ctr, is_icv, is_j0, is_header, is_setup = (
            Signal(name=f"is_{name}") for name in ("chain", "ctr", "icv", "j0", "header", "setup")
        )
        into_ghash, first_of_hash, is_half, is_end, is_free = (Signal() for _ in range(5))
        m.d.sync += [
            is_chain.eq(kind(ahead, on, Kind.CBC)), is_ctr.eq(kind(ahead, on, Kind.CTR)),
            is_icv.eq(kind(ahead, on, Kind.ICV)), is_j0.eq(kind(ahead, on, Kind.J0)),
            is_header.eq(kind(ahead, on, Kind.HEADER)), is_setup.eq(kind(ahead, on, Kind.SETUP)),
            chain_on.eq(kind(ahead, on, Kind.CBC) & (ahead.left != 0)),
            chain.kind.eq(Kind.CBC), chain.thread.eq(ahead.thread), chain.place.eq(ahead.place + 4),
            chain.left.eq(ahead.left - 1),
            behind.eq(Mux(ahead.kind == Kind.CBC, ahead.place - 4, ahead.place)),
            into_ghash.eq(kind(ahead, on, Kind.J0, Kind.CTR, Kind.LENGTHS, Kind.ICV)),
            first_of_hash.eq(kind(ahead, on, Kind.J0, Kind.ICV)),
            is_half.eq(kind(ahead, on, Kind.CBC) & facts.hashed & (ahead.left == facts.half)),
            is_end.eq(kind(ahead, on, Kind.CBC) & (ahead.left == 0)),
            is_free.eq(kind(ahead, on, Kind.ICV) | (kind(ahead, on, Kind.CBC) & (ahead.left == 0) & ~facts.hashed)),
        ]
        counted = Mux(ahead.kind == Kind.ICV, facts.icv_last, ahead.words)
        m.d.sync += mask.eq(Mux(
            ahead.kind == Kind.HEADER, Mux(header_generates, 0b1100, 0),
            Mux(ahead.kind == Kind.CBC, 0b1111, Cat(C(1, 1), counted >= 1, counted >= 2, counted >= 3)),
        ))
        with m.If(~kind(ahead, on, Kind.CBC, Kind.CTR, Kind.ICV, Kind.HEADER)):
            m.d.sync += mask.eq(0)

        # The last stage: the ring's words are here.
        last = results[stages]
        valid_words = Cat(mask[3 - n // 32] for n in range(128))
        m.d.comb += [
            chain_block.eq(last ^ self.read_data),
            mask_in.addr.eq(at.thread), mask_in.en.eq(is_j0 | is_icv), mask_in.data.eq(Mux(is_j0, last, 0)),
        ]
        m.d.sync += [
            self.write.data.eq(last ^ Mux(is_ctr, self.read_data, 0) ^ joins),
            self.write.mask.eq(mask),
            self.write.place.eq(behind),
            self.progress.valid.eq(is_chain), self.progress.thread.eq(at.thread), self.progress.place.eq(at.place),
            self.progress.last.eq(is_end),
            self.half.valid.eq(is_half), self.half.thread.eq(at.thread),
            self.header_read.eq(is_header), self.header_words.eq(self.read_data),
            self.answered.eq(is_setup), self.answer.eq(Mux(is_setup, last, 0)),
        ]

        if config.has_ghash:
            enter, subkey = Signal.like(ghash.i), Signal.like(ghash.subkey)
            m.d.sync += [
                enter.valid.eq(into_ghash), enter.tag.eq(at.thread), enter.first.eq(first_of_hash),
                enter.block.eq(Mux(is_ctr, (last ^ self.read_data) & valid_words, 0) | hashes),
                subkey.en.eq(is_icv | self.subkey.valid),
                subkey.tag.eq(Mux(is_icv, at.thread, self.subkey.p.thread)),
                subkey.data.eq(Mux(is_icv, 0, self.subkey.p.data)),
                self.ghash_issued.eq(into_ghash & ~is_icv),
            ]
            m.d.comb += [ghash.i.eq(enter), ghash.subkey.eq(subkey), self.subkey.ready.eq(~is_icv)]
        else:
            m.d.comb += self.subkey.ready.eq(1)

        # As many passes may end in a row as there are threads.
        m.submodules.ended = ended = Queue(data.StructLayout({
            "thread": thread_bits(config), "packet": packet_bits(config), "last": 1,
        }), threads)
        end_facts = Signal(data.StructLayout({"packet": packet_bits(config), "last": 1}), reset_less=True)
        m.d.sync += [end_facts.packet.eq(facts.packet), end_facts.last.eq(facts.last)]
        m.d.comb += [
            ended.i.valid.eq(is_free), ended.i.p.thread.eq(at.thread), ended.i.p.packet.eq(end_facts.packet),
            ended.i.p.last.eq(end_facts.last),
            self.done.valid.eq(ended.o.valid), ended.o.ready.eq(self.done.ready),
            self.done.p.thread.eq(ended.o.p.thread), self.done.p.packet.eq(ended.o.p.packet),
            self.done.p.last.eq(ended.o.p.last), self.done.p.status.eq(Status.SUCCESS),
        ]
        return m
