# SPDX-License-Identifier: Apache-2.0
"""Fetches keys and IVs of cipher tasks and starts them in the cipher pipe."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..crypto.aes_schedule import ScheduleJob
from ..sa_layout import SA_ROW_WIDTH, IVCheck, RowRequest
from ..stream import Register
from .layout import CipherTask, packet_bits, thread_bits
from .queue import Queue
from .tokens import CbcStart, Facts, GcmStart, HeaderRead

__all__ = ["CipherStart", "IVNote"]

_KEY, _KEY_HIGH, _SUBKEY = 1, 2, 3
#: Tasks whose rows are on their way.
_COMING = 4


class IVNote(data.StructLayout):
    """The IV that a frame brought for pass ``number`` of a packet."""

    def __init__(self, config):
        super().__init__({"packet": packet_bits(config), "number": 2, "check": IVCheck(config)})


class CipherStart(wiring.Component):
    """Tasks in, in order; each is started when its key is in place. A task every eight cycles or so, as keys go.

    Parameters
    ----------
    config : Config
    key_latency : int
        Cycles from ``keyed`` to the first block.

    Members
    -------
    keyed : In(1)
        Strobe: a key of ``key`` has reached AES.
    task : In(stream of CipherTask)
    row_req, row_rsp : streams
        The SA table's rows of keys and GHASH subkeys. None of them stays here.
    header, header_read, header_words, key, subkey, facts, gcm, cbc
        See :class:`~nicsec.pool.cipher_pipe.CipherPipe`.
    iv : Out(stream of IVNote)
        Of tasks that are ``judged``, before they start.
    """

    def __init__(self, config, *, key_latency):
        self._config = config
        self._key_latency = key_latency
        thread = thread_bits(config)
        super().__init__({
            "keyed": In(1),
            "task": In(stream.Signature(CipherTask(config))),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(SA_ROW_WIDTH)),
            "header": Out(stream.Signature(HeaderRead(config))),
            "header_read": In(1),
            "header_words": In(128),
            "key": Out(stream.Signature(ScheduleJob(config.lanes))),
            "subkey": Out(stream.Signature(data.StructLayout({"thread": thread, "data": 128}))),
            "facts": Out(data.StructLayout({"en": 1, "thread": thread, "facts": Facts(config)})),
            "gcm": Out(stream.Signature(GcmStart(config))),
            "cbc": Out(stream.Signature(CbcStart(config))),
            "iv": Out(stream.Signature(IVNote(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        task = self.task.p

        # Ask: rows, and the four words that hold the IV (behind SPI and sequence number, which GCM wants as well).
        row_kind = data.StructLayout({
            "row": 2, "ends": 1, "thread": thread_bits(config), "size": 2,
        })
        m.submodules.rows = rows = Queue(row_kind, 4 * _COMING)
        m.submodules.tasks = tasks = Queue(CipherTask(config), 2 * _COMING)
        m.submodules.headers = headers = Queue(128, 2 * _COMING)
        wanted = Signal(2, init=_KEY)
        rows_asked, header_asked, listed = Signal(), Signal(), Signal()
        long_key = Signal()
        # A header that was asked for has its place in the queue.
        places = Signal(range(2 * _COMING + 1), init=2 * _COMING)
        ask, asked, taken_header = Signal(), Signal(), Signal()
        m.d.comb += [
            long_key.eq(task.key_size != 0),
            self.row_req.p.slot.eq(task.slot), self.row_req.p.op.eq(task.op), self.row_req.p.row.eq(wanted),
            self.row_req.valid.eq(self.task.valid & ~rows_asked & rows.i.ready),
            ask.eq(self.row_req.valid & self.row_req.ready),
            rows.i.valid.eq(ask), rows.i.p.row.eq(wanted), rows.i.p.thread.eq(task.thread),
            rows.i.p.size.eq(task.key_size), rows.i.p.ends.eq((wanted == _KEY_HIGH) | ~long_key),
            self.header.valid.eq(self.task.valid & ~header_asked & (places != 0)),
            self.header.p.place.eq(task.start + Mux(task.gcm, 0, 2)),
            self.header.p.generate.eq(task.gcm & task.generate),
            self.header.p.iv.eq(task.iv),
            asked.eq(self.header.valid & self.header.ready),
            tasks.i.valid.eq(self.task.valid & ~listed), tasks.i.payload.eq(task),
            self.task.ready.eq(rows_asked & header_asked & listed),
        ]
        with m.If(ask):
            m.d.sync += wanted.eq(Mux((wanted == _KEY) & long_key, _KEY_HIGH, _SUBKEY))
            with m.If((wanted == _SUBKEY) | (~task.gcm & ((wanted == _KEY_HIGH) | ~long_key))):
                m.d.sync += rows_asked.eq(1)
        with m.If(asked):
            m.d.sync += header_asked.eq(1)
        with m.If(tasks.i.valid & tasks.i.ready):
            m.d.sync += listed.eq(1)
        with m.If(self.task.valid & self.task.ready):
            m.d.sync += [rows_asked.eq(0), header_asked.eq(0), listed.eq(0), wanted.eq(_KEY)]
        m.d.sync += places.eq(places - asked + taken_header)

        # Rows, in the order in which they were asked for.
        m.submodules.next_row = next_row = Register(row_kind)
        wiring.connect(m, rows.o, next_row.i)
        coming = next_row.o.p
        job, job_valid = Signal(ScheduleJob(config.lanes)), Signal()
        is_subkey, passed = Signal(), Signal()
        m.d.comb += [
            self.key.valid.eq(job_valid), self.key.payload.eq(job),
            is_subkey.eq(coming.row == _SUBKEY),
            self.subkey.valid.eq(self.row_rsp.valid & next_row.o.valid & is_subkey),
            self.subkey.p.thread.eq(coming.thread), self.subkey.p.data.eq(self.row_rsp.payload),
            self.row_rsp.ready.eq(next_row.o.valid & Mux(is_subkey, self.subkey.ready, ~job_valid)),
            passed.eq(self.row_rsp.valid & self.row_rsp.ready), next_row.o.ready.eq(passed),
        ]
        with m.If(job_valid & self.key.ready):
            m.d.sync += [job_valid.eq(0), job.first.eq(0), job.second.eq(0)]
        with m.If(passed & ~is_subkey):
            m.d.sync += [job.tag.eq(coming.thread), job.size.eq(coming.size), job_valid.eq(coming.ends)]
            with m.If(coming.row == _KEY):
                m.d.sync += job.first.eq(self.row_rsp.payload)
            with m.Else():
                m.d.sync += job.second.eq(self.row_rsp.payload)

        # Start. The counts are of keys and subkeys that are in place for tasks which have not started.
        settling = Signal(max(self._key_latency, 2))
        keys, subkeys = Signal(range(2 * _COMING + 2)), Signal(range(2 * _COMING + 2))
        ready, started, noted = Signal(), Signal(), Signal()
        written = Signal(2)
        now, words = tasks.o.p, headers.o.payload
        # Who is started depends on these, and many things on that: they do not wait for the queue's memory.
        gcm, judged, generate = (Signal(name=f"now_{name}") for name in ("gcm", "judged", "generate"))
        m.d.sync += [
            settling.eq(Cat(self.keyed, settling)), written.eq(Cat(passed & is_subkey, written)),
            keys.eq(keys + settling[-1] - started), subkeys.eq(subkeys + written[-1] - (started & gcm)),
            gcm.eq(now.gcm), judged.eq(now.judged), generate.eq(now.generate),
            ready.eq(tasks.o.valid & headers.o.valid & (keys != 0) & ((subkeys != 0) | ~now.gcm) & ~started),
        ]
        m.d.comb += [
            headers.i.valid.eq(self.header_read), headers.i.payload.eq(self.header_words),
            started.eq((self.gcm.valid & self.gcm.ready) | (self.cbc.valid & self.cbc.ready)),
            tasks.o.ready.eq(started), headers.o.ready.eq(started), taken_header.eq(started),
            self.iv.valid.eq(ready & judged & ~noted),
            self.iv.p.packet.eq(now.packet), self.iv.p.number.eq(now.number),
            self.iv.p.check.slot.eq(now.slot), self.iv.p.check.op.eq(now.op), self.iv.p.check.iv.eq(words[:64]),
            self.gcm.valid.eq(ready & gcm & (noted | ~judged)),
            self.gcm.p.thread.eq(now.thread), self.gcm.p.place.eq(now.start + 4), self.gcm.p.words.eq(now.body_words),
            self.gcm.p.nonce.eq(Cat(Mux(generate, now.iv, words[:64]), now.salt)),
            self.cbc.valid.eq(ready & ~gcm),
            self.cbc.p.thread.eq(now.thread), self.cbc.p.generate.eq(generate),
            self.cbc.p.value.eq(Mux(generate, now.iv, words)),
            self.cbc.p.place.eq(now.start + 6), self.cbc.p.blocks.eq(now.body_words >> 2),
            self.facts.en.eq(ready), self.facts.thread.eq(now.thread),
            self.facts.facts.packet.eq(now.packet), self.facts.facts.last.eq(now.last),
            self.facts.facts.hashed.eq(now.hashed), self.facts.facts.esn.eq(now.esn),
            self.facts.facts.icv_last.eq(now.icv_words - 1), self.facts.facts.body_words.eq(now.body_words),
            self.facts.facts.half.eq(now.body_words >> 3),
            self.facts.facts.aad.eq(Mux(
                now.esn, Cat(words[64:96], now.seq_high, words[96:]), Cat(C(0, 32), words[64:])
            )),
        ]
        with m.If(self.iv.valid & self.iv.ready):
            m.d.sync += noted.eq(1)
        with m.If(started):
            m.d.sync += noted.eq(0)
        return m
