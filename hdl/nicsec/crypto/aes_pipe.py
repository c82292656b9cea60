# SPDX-License-Identifier: Apache-2.0
"""One AES for many clients, a block a cycle (FIPS 197)."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .aes_key import AesKey
from .aes_rounds import AesRounds
from .aes_schedule import KeyLoop, ScheduleJob
from .fan import Arbiter, FanIn, FanOut

__all__ = ["AesPipe"]


class AesPipe(wiring.Component):
    """Encrypts a block a cycle for ``clients`` users, each of which sees the seam of :class:`Aes` with its own key.

    A block is accepted two cycles after it was offered or later, a client's next one three cycles behind it. Its
    answer is offered 26, 30 or 34 cycles after it was offered when nobody else asks (see ``latency``). A client has at
    most ``depth`` blocks inside, answers that were not taken among them, so that an answer always has a place and the
    rounds never stop. Who is next goes round in groups (:class:`Arbiter`). A client's time depends on key sizes and on
    what the others ask for, never on keys or data.

    The round keys of all clients are in small memories, one for each round key (:class:`AesRounds`), filled by a
    schedule that works on four keys at once (:class:`KeyLoop`), one key in 8 cycles. A beat of a key is accepted when
    none of the client's blocks is inside. Both wait in a mailbox, so that a client may pause between them without
    stopping others; the first block under a key may be accepted 11 cycles after its second beat.

    A block that is offered no earlier than the key's first beat is encrypted under that key: while ``key`` is valid,
    ``i`` is not accepted. Before the first key and after a wipe neither. A key that is smaller than the one before it,
    and a wipe, leave nothing of that one behind.

    Parameters
    ----------
    clients : int
    sbox : str
        ``"bram"``: 16 S-boxes a round in 8 block RAMs, and 4 block RAMs for the schedule; ``"logic"``: in LUTs.
    sizes : tuple of int
        Key sizes in bits. Without 256 there are 12 rounds or 10. No other size may come.
    depth : int
        Blocks that a client may have inside, a power of two.
    registers : int
        Registers a round: 2 or 3.

    Members
    -------
    key : array of In(stream of AesKey)
        Two beats a key.
    i, o : array of In(stream of 128), Out(stream of 128)
        Plaintext and ciphertext blocks, each client's in order; first byte in bits 127:120.
    wipe : array of In(1)
        A pulse overwrites the client's round keys with zeros, as soon as none of its blocks is inside. A key that
        comes behind it and is first makes that unnecessary; one whose first beat was accepted before it is
        forgotten as well.
    issued : Out(1)
        A block went into the rounds.
    """

    def __init__(self, clients, *, sbox="bram", sizes=(128, 192, 256), depth=8, registers=2):
        if sbox not in ("bram", "logic"):
            raise ValueError(f"sbox must be one of bram, logic, not {sbox!r}")
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients!r}")
        self._rounds = AesRounds(clients, sbox=sbox, sizes=sizes, registers=registers)
        self._clients = clients
        self._sbox = sbox
        self._sizes = sizes
        self._registers = registers
        self._answers = FanOut(clients, 128, depth)
        self._depth = depth
        self._mailbox = [
            memory.Memory(shape=width, depth=max(clients, 2), init=[], attrs={"ram_style": "distributed"})
            for width in (128, 130)
        ]
        super().__init__({
            "key": In(stream.Signature(AesKey())).array(clients),
            "i": In(stream.Signature(128)).array(clients),
            "o": Out(stream.Signature(128)).array(clients),
            "wipe": In(1).array(clients),
            "issued": Out(1),
        })

    @property
    def key_memories(self):
        """Everything that holds keys for longer than a few cycles, a row for each client."""
        return [*(bank for banks in self._rounds.round_keys for bank in banks), *self._mailbox]

    def latency(self, size):
        """Cycles from a block's offer to its answer's under a key of ``size`` bits, when nobody else asks."""
        return self._registers * (size // 32 + 5) + 8 - (len(set(self._sizes)) == 1)

    def elaborate(self, platform):
        m = Module()
        clients = self._clients
        m.submodules.rounds = rounds = self._rounds
        m.submodules.blocks = blocks = FanIn(clients, 128)
        m.submodules.answers = answers = self._answers
        quiet, keyed = Signal(clients), Signal(clients)

        for n in range(clients):
            inside = Signal(range(self._depth + 1), name=f"inside{n}")
            left = Signal(name=f"left{n}")
            m.d.comb += [
                blocks.i[n].valid.eq(self.i[n].valid),
                blocks.i[n].payload.eq(self.i[n].payload),
                self.i[n].ready.eq(blocks.i[n].ready),
                self.o[n].valid.eq(answers.o[n].valid),
                self.o[n].payload.eq(answers.o[n].payload),
                answers.o[n].ready.eq(self.o[n].ready),
                left.eq(self.o[n].valid & self.o[n].ready),
                blocks.open[n].eq(keyed[n] & ~self.key[n].valid & (inside != self._depth)),
                quiet[n].eq((inside == 0) & ~blocks.held[n] & ~blocks.grant[n]),
            ]
            with m.If(blocks.grant[n] & ~left):
                m.d.sync += inside.eq(inside + 1)
            with m.If(left & ~blocks.grant[n]):
                m.d.sync += inside.eq(inside - 1)
        m.submodules.sizes = sizes = memory.Memory(
            shape=2, depth=max(clients, 2), init=[], attrs={"ram_style": "distributed"}
        )
        size_write, size_read = sizes.write_port(), sizes.read_port(domain="comb")
        size = Signal(2, reset_less=True)
        m.d.sync += size.eq(size_read.data)
        m.d.comb += [
            blocks.enable.eq(1),
            self.issued.eq(blocks.valid),
            rounds.valid.eq(blocks.valid),
            rounds.tag.eq(blocks.tag),
            rounds.block.eq(blocks.o),
            size_read.addr.eq(blocks.tag),
            rounds.size.eq(size),
            answers.valid.eq(rounds.done),
            answers.tag.eq(rounds.o.tag),
            answers.i.eq(rounds.o.block),
        ]
        self._keys(m, quiet, keyed, size_write)
        return m

    def _keys(self, m, quiet, keyed, size_write):
        """From the clients' key streams into the round keys; says in ``keyed`` whose blocks may enter."""
        clients = self._clients
        m.submodules.loop = loop = KeyLoop(clients, sbox=self._sbox)
        m.submodules.beats = beats = FanIn(clients, AesKey())
        m.submodules.jobs = jobs = Arbiter(clients)
        m.d.comb += [self._rounds.even.eq(loop.even), self._rounds.odd.eq(loop.odd)]

        # A key in hand: its first beat is in the mailbox, its second is on its way there, both are there.
        half, second, full = Signal(clients), Signal(clients), Signal(clients)
        # Round keys are to be wiped; the key in hand is to be forgotten; its first round keys are being written.
        wipe, stale, fresh = Signal(clients), Signal(clients), Signal(clients)
        for n in range(clients):
            key = self.key[n]
            m.d.comb += [
                beats.i[n].valid.eq(key.valid),
                beats.i[n].payload.eq(key.payload),
                key.ready.eq(beats.i[n].ready),
                beats.open[n].eq(quiet[n] & ~second[n] & ~full[n]),
                jobs.request[n].eq((full[n] | wipe[n]) & quiet[n]),
            ]
            m.d.sync += [second[n].eq(0), fresh[n].eq(0)]
            with m.If(second[n]):
                m.d.sync += full[n].eq(1)
            with m.If(beats.grant[n]):
                m.d.sync += [half[n].eq(~half[n]), second[n].eq(half[n]), keyed[n].eq(0)]
            with m.If(fresh[n]):
                m.d.sync += keyed[n].eq(1)
            with m.If(jobs.grant[n]):
                m.d.sync += [
                    full[n].eq(0), wipe[n].eq(full[n] & stale[n]), stale[n].eq(stale[n] & ~full[n]),
                    fresh[n].eq(full[n] & ~stale[n]),
                ]
            with m.If(self.wipe[n]):
                in_hand = half[n] | second[n] | beats.grant[n] | (full[n] & ~jobs.grant[n])
                m.d.sync += [wipe[n].eq(1), keyed[n].eq(0), fresh[n].eq(0), stale[n].eq(in_hand)]

        # The mailbox is written a cycle behind a beat's grant, and zeroed when its key is taken out: ``beats.o`` is
        # zero then, since no beat was granted in the cycle before.
        tag, is_first, is_second = Signal(len(beats.tag), reset_less=True), Signal(), Signal()
        granted = Signal()
        m.d.comb += granted.eq((beats.grant & half).any())
        m.d.sync += [tag.eq(beats.tag), is_first.eq(beats.valid & ~granted), is_second.eq(granted)]
        job, load = Signal(ScheduleJob(clients), reset_less=True), Signal()
        is_key = Signal()
        m.d.comb += [
            beats.enable.eq(1),
            jobs.enable.eq(loop.free & ~beats.valid),
            is_key.eq((jobs.grant & full).any()),
            loop.job.eq(job),
            loop.load.eq(load),
            size_write.addr.eq(job.tag),
            size_write.data.eq(job.size),
            size_write.en.eq(load),
        ]
        m.d.sync += [load.eq(jobs.valid), job.tag.eq(jobs.tag), job.wipe.eq(~is_key)]
        halves = ((is_first, job.first), (is_second, Cat(job.second, job.size)))
        for n, (box, (strobe, destination)) in enumerate(zip(self._mailbox, halves, strict=True)):
            m.submodules[f"mailbox{n}"] = box
            write, read = box.write_port(), box.read_port(domain="comb")
            m.d.comb += [
                write.addr.eq(Mux(jobs.valid, jobs.tag, tag)),
                write.data.eq(Value.cast(beats.o)),
                write.en.eq(strobe | is_key),
                read.addr.eq(jobs.tag),
            ]
            m.d.sync += destination.eq(Mux(is_key, read.data, 0))
