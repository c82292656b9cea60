# SPDX-License-Identifier: Apache-2.0
"""One AES for many threads, a block a cycle (FIPS 197)."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .aes_rounds import AesRounds
from .aes_schedule import KeyLoop, ScheduleJob
from .thread_rows import tag_bits

__all__ = ["AesPipe"]


class AesPipe(wiring.Component):
    """Encrypts a block in any cycle, each under the key of its thread, and gives it ``latency`` cycles later.

    Nothing is ever held back, and no time depends on keys, their sizes or data.

    A key is expanded by a schedule that works on four at once (:class:`.aes_schedule.KeyLoop`), one in 8 cycles, into
    memories that hold a row for each thread (:class:`.aes_rounds.AesRounds`). A key and a wipe may be transferred from
    the cycle on in which the thread's last block under the key before comes out; they may follow each other at once,
    and the last one holds. A block under a key may come ``key_latency`` cycles behind it. Nothing of the key before it
    is left 32 cycles after a key, and 6 cycles after a wipe.

    Parameters
    ----------
    threads : int
    sbox : str
        ``"bram"``: 16 S-boxes a round in 8 block RAMs, and 4 block RAMs for the schedule; ``"logic"``: in LUTs.

    Members
    -------
    key : In(stream of ScheduleJob)
        A thread's key, or a wipe, which overwrites its round keys with zeros.
    i : In(StructLayout)
        A block with ``valid``, and its thread ``tag``; first byte in bits 127:120.
    o : Out(StructLayout)
        It, encrypted.
    """

    #: Cycles from a block's ``i`` to its ``o``.
    latency = AesRounds.latency
    #: Cycles from a key's transfer to the first block under it.
    key_latency = 4

    def __init__(self, threads, *, sbox="bram"):
        if sbox not in ("bram", "logic"):
            raise ValueError(f"sbox must be one of bram, logic, not {sbox!r}")
        self._threads = threads
        self._sbox = sbox
        self._rounds = AesRounds(threads, sbox=sbox)
        super().__init__({
            "key": In(stream.Signature(ScheduleJob(threads))),
            "i": In(data.StructLayout({"valid": 1, "tag": tag_bits(threads), "block": 128})),
            "o": Out(data.StructLayout({"valid": 1, "block": 128})),
        })

    @property
    def key_memories(self):
        """Everything that holds keys for longer than they are at work, a row for each thread."""
        return [bank for rows in self._rounds.rows for bank in rows.memories]

    def elaborate(self, platform):
        m = Module()
        m.submodules.rounds = rounds = self._rounds
        m.submodules.loop = loop = KeyLoop(self._threads, sbox=self._sbox)
        m.submodules.sizes = sizes = memory.Memory(
            shape=2, depth=max(self._threads, 2), init=[], attrs={"ram_style": "distributed"}
        )
        write, read = sizes.write_port(), sizes.read_port(domain="comb")
        size = Signal(2, reset_less=True)
        m.d.sync += size.eq(read.data)
        connect(m, flipped(self.key), loop.i)
        m.d.comb += [
            write.addr.eq(self.key.p.tag),
            write.data.eq(self.key.p.size),
            write.en.eq(self.key.valid & self.key.ready),
            read.addr.eq(self.i.tag),
            rounds.i.eq(self.i),
            rounds.size.eq(size),
            rounds.even.eq(loop.even),
            rounds.odd.eq(loop.odd),
            self.o.eq(rounds.o),
        ]
        return m
