# SPDX-License-Identifier: Apache-2.0
"""Key set-up as a user of the pool's AES."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..crypto.aes_key import AesKey
from ..crypto.aes_schedule import ScheduleJob
from .layout import Done, thread_bits

__all__ = ["SetupPort"]


class SetupPort(wiring.Component):
    """The seam of an AES with one block inside, under a thread that is borrowed from `claim` to its fall.

    Parameters
    ----------
    config : Config
    key_latency : int
        Cycles from ``keyed`` to the first block.

    Members
    -------
    claim : In(1), granted : Out(1), aes_key, aes_i, aes_o
        See :class:`~nicsec.share.CryptoUser`. ``granted`` comes when the hash cores are granted too, and goes a cycle
        behind ``claim``.
    hash_claim : Out(1), hash_granted : In(1)
        Those of a hash unit.
    thread : In(stream)
    done : Out(stream of Done)
        The thread is given back, with its keys to be wiped; ``last`` is never set.
    key : Out(stream of ScheduleJob), keyed : In({valid, thread})
        ``keyed``: a thread's key has reached AES.
    mine : Out(1)
        ``keyed`` is of this user's thread.
    block : Out(stream of {thread, block}), answer_valid : In(1), answer : In(128)
        See ``setup`` of :class:`~nicsec.pool.cipher_pipe.CipherPipe`.
    """

    def __init__(self, config, *, key_latency):
        self._config = config
        self._key_latency = key_latency
        thread = thread_bits(config)
        super().__init__({
            "claim": In(1),
            "granted": Out(1),
            "aes_key": In(stream.Signature(AesKey())),
            "aes_i": In(stream.Signature(128)),
            "aes_o": Out(stream.Signature(128)),
            "hash_claim": Out(1),
            "hash_granted": In(1),
            "thread": In(stream.Signature(thread)),
            "done": Out(stream.Signature(Done(config))),
            "key": Out(stream.Signature(ScheduleJob(config.lanes))),
            "keyed": In(data.StructLayout({"valid": 1, "thread": thread})),
            "mine": Out(1),
            "block": Out(stream.Signature(data.StructLayout({"thread": thread, "block": 128}))),
            "answer_valid": In(1),
            "answer": In(128),
        })

    def elaborate(self, platform):
        m = Module()
        thread = Signal.like(self.thread.payload)
        job, full, half = Signal(ScheduleJob(self._config.lanes)), Signal(), Signal()
        settling = Signal(range(self._key_latency + 1))
        keyed, asked = Signal(), Signal()
        answer, answered, taken = Signal(128), Signal(), Signal()
        opened = Signal()
        m.d.comb += [
            self.mine.eq(opened & self.keyed.valid & (self.keyed.thread == thread)),
            self.done.p.thread.eq(thread),
            self.key.payload.eq(job), self.key.p.tag.eq(thread), self.key.valid.eq(full),
            self.aes_key.ready.eq(opened & ~full & ~asked & (settling == 0)),
            self.block.p.thread.eq(thread), self.block.p.block.eq(self.aes_i.payload),
            # The user has a key taken before it offers a block.
            self.block.valid.eq(opened & self.aes_i.valid & keyed & ~asked),
            self.aes_i.ready.eq(opened & self.block.ready & keyed & ~asked),
            self.aes_o.valid.eq(answered & ~taken), self.aes_o.payload.eq(answer),
        ]
        # It is far from here: what it says ends at a register.
        m.d.sync += taken.eq(self.aes_o.valid & self.aes_o.ready)
        with m.If(self.aes_key.valid & self.aes_key.ready):
            m.d.sync += [half.eq(~half), full.eq(half), keyed.eq(0), job.size.eq(self.aes_key.p.size)]
            with m.If(half):
                m.d.sync += job.second.eq(self.aes_key.p.data)
            with m.Else():
                m.d.sync += job.first.eq(self.aes_key.p.data)
        with m.If(settling != 0):
            m.d.sync += [settling.eq(settling - 1), keyed.eq(settling == 1)]
        with m.If(full & self.key.ready):
            m.d.sync += [full.eq(0), job.first.eq(0), job.second.eq(0)]
        with m.If(self.mine):
            m.d.sync += settling.eq(self._key_latency)
        with m.If(self.block.valid & self.block.ready):
            m.d.sync += asked.eq(1)
        with m.If(self.answer_valid):
            m.d.sync += [answer.eq(self.answer), answered.eq(1)]
        with m.If(taken):
            m.d.sync += [answer.eq(0), answered.eq(0), asked.eq(0)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [half.eq(0), keyed.eq(0)]
                with m.If(self.claim):
                    m.next = "THREAD"
            with m.State("THREAD"):
                m.d.comb += self.thread.ready.eq(1)
                m.d.sync += thread.eq(self.thread.payload)
                with m.If(self.thread.valid):
                    m.next = "HASH"
            with m.State("HASH"):
                m.d.comb += self.hash_claim.eq(1)
                with m.If(self.hash_granted):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += [self.hash_claim.eq(1), self.granted.eq(1), opened.eq(1)]
                with m.If(~self.claim):
                    m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.comb += self.done.valid.eq(1)
                with m.If(self.done.ready):
                    m.next = "IDLE"
        return m
