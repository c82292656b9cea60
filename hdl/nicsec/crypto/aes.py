# SPDX-License-Identifier: Apache-2.0
"""AES encryption, two cycles a round with two blocks in flight (FIPS 197)."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .aes_key import AesKey, KeySchedule
from .sbox import SubBytes

__all__ = ["Aes"]


class Aes(wiring.Component):
    """Encrypts blocks with AES-128, -192 or -256.

    Two blocks are in flight, one a half-round behind the other. A block's result is offered 21, 25 or 29 cycles
    after the block was accepted; a stream of blocks takes one every 10, 12 or 14 cycles, a ``chain`` one every 20, 24
    or 28. A key's first beat is taken when no block is inside; the first block under it is taken 44, 52 or
    60 cycles later. Nothing depends on data or key bits, only on the key's size.

    A block that is offered no earlier than the key's first beat is encrypted under that key: while ``key`` is
    valid, ``i`` is not ready. Before the first key and after a wipe ``i`` is not ready. A result that is not
    taken stops the core when the next one is due.

    Parameters
    ----------
    sbox : str
        ``"bram"``: 20 S-boxes in 10 dual-ported block RAMs; ``"logic"``: in LUTs, same timing.

    Members
    -------
    key : In(stream of AesKey)
        Two beats a key.
    i, o : In(stream of 128), Out(stream of 128)
        Plaintext and ciphertext blocks, in order; first byte in bits 127:120.
    chain : In(1)
        Beside ``i``: it is added to the result of the block before it, which need not have been offered yet (CBC).
    wipe : In(1)
        A pulse overwrites the round keys with zeros, as soon as no block is inside.
    busy : Out(1)
        A key is being set up or wiped, or a block or result is inside.
    working : Out(1)
        A round was begun in the cycle before: 10, 12 or 14 times a block.
    """

    key: In(stream.Signature(AesKey()))
    i: In(stream.Signature(128))
    o: Out(stream.Signature(128))
    chain: In(1)
    wipe: In(1)
    busy: Out(1)
    working: Out(1)

    def __init__(self, *, sbox="bram"):
        if sbox not in ("bram", "logic"):
            raise ValueError(f"sbox must be one of bram, logic, not {sbox!r}")
        self._sbox = sbox
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.schedule = schedule = KeySchedule(sbox=self._sbox)
        m.submodules.sub_bytes = sub_bytes = SubBytes(16, self._sbox)
        connect(m, flipped(self.key), schedule.key)

        # The loop holds two registers, so two blocks: "near" has its S-boxes' outputs, "far" is on its way to
        # their inputs. Every cycle in which the core runs they change places. left counts round keys to come.
        near, far = Signal(), Signal()
        near_left, far_left = Signal(4, reset_less=True), Signal(4, reset_less=True)
        final = Signal()
        free = Signal(init=1)
        loaded, load, run, goes_on = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            run.eq(~(final & self.o.valid)),
            load.eq(self.i.valid & self.i.ready),
            # Two loads in successive cycles would end so too, and the second would find o occupied.
            # A chain goes on when the last block inside ends, or has ended.
            goes_on.eq(~self.chain | (~far & (final | ~near))),
            self.i.ready.eq(run & free & goes_on & schedule.keyed & ~loaded & ~self.key.valid & ~schedule.wiping),
            schedule.left.eq(near_left),
            schedule.idle.eq(~near & ~far),
            schedule.wipe.eq(self.wipe),
            self.busy.eq(schedule.busy | near | far | self.o.valid),
        ]
        m.d.sync += self.working.eq(run & near)
        with m.If(run):
            m.d.sync += [
                near.eq(far),
                near_left.eq(far_left),
                final.eq(far & (far_left == 0)),
                free.eq(~far | (far_left == 0)),
                far.eq(load | (near & ~final)),
                far_left.eq(Mux(free, schedule.rounds, near_left) - 1),
                loaded.eq(load),
            ]

        # A free slot always takes up the input: with the S-boxes' outputs cleared, the round passes it on as it is.
        sub, double, addend = (Signal(128, reset_less=True) for _ in range(3))
        shifted, result, chained = Signal(128), Signal(128), Signal(128)
        # The last result stays at the output behind its transfer.
        m.d.comb += [
            result.eq(shifted ^ schedule.round_key),
            chained.eq(Mux(free & self.chain, Mux(final, result, self.o.payload), 0)),
        ]
        m.d.comb += sub_bytes.en.eq(run)
        for column in range(4):
            for row in range(4):
                source = 15 - (4 * ((column + row) % 4) + row)
                m.d.comb += shifted.word_select(15 - (4 * column + row), 8).eq(sub_bytes.o.word_select(source, 16)[:8])
        with m.If(run):
            m.d.sync += addend.eq(Mux(free, self.i.payload ^ schedule.first_key, schedule.round_key) ^ chained)
            for k in range(16):
                m.d.sync += Cat(sub.word_select(k, 8), double.word_select(k, 8)).eq(
                    Mux(free, 0, sub_bytes.o.word_select(k, 16))
                )

        # MixColumns in two levels of four-input functions.
        partial, mixed = Signal(128), Signal(128)
        for column in range(4):
            for row in range(4):
                a, b, c, d = (15 - (4 * ((column + r) % 4) + r) for r in ((row + k) % 4 for k in range(4)))
                at = 15 - (4 * column + row)
                part = partial.word_select(at, 8)
                m.d.comb += [
                    part.eq(addend.word_select(at, 8) ^ sub.word_select(c, 8) ^ sub.word_select(d, 8)),
                    mixed.word_select(at, 8).eq(
                        part ^ double.word_select(a, 8) ^ double.word_select(b, 8) ^ sub.word_select(b, 8)
                    ),
                ]
        m.d.comb += sub_bytes.i.eq(mixed)

        with m.If(self.o.valid):
            m.d.sync += self.o.valid.eq(~self.o.ready)
        with m.Elif(final):
            m.d.sync += [self.o.payload.eq(result), self.o.valid.eq(1)]
        return m
