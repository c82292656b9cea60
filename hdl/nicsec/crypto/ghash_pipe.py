# SPDX-License-Identifier: Apache-2.0
"""One pipelined GHASH for many threads (NIST SP 800-38D section 6.4)."""

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .gf128 import GfMultiply
from .thread_rows import ThreadRows, tag_bits

__all__ = ["GhashPipe"]


class GhashPipe(wiring.Component):
    """Hashes the messages of many threads, each under its own subkey, a block in any cycle.

    Sum Y of a thread becomes (Y xor block) * H, or with ``first`` block * H: ``first`` with a block of 0 leaves a sum
    of 0. Nothing is ever held back, nothing depends on data. No time passes between a subkey and the blocks and sums
    behind it: a block is under the subkey that was written in an earlier cycle.

    Parameters
    ----------
    threads : int

    Members
    -------
    subkey : In(StructLayout)
        With ``en``, ``data`` is H of thread ``tag``; 0 wipes.
    i : In(StructLayout)
        A block with ``valid``, and its thread ``tag``; first byte in bits 127:120. Two of one thread are ``spacing``
        cycles apart or more.
    sum_tag : In
    sum : Out(128)
        Sum of the thread that was asked for a cycle before, which includes blocks that came ``spacing`` cycles before
        that or more.
    """

    #: Cycles from a block to the thread's next, or to its sum.
    spacing = GfMultiply.latency + 4

    def __init__(self, threads):
        #: One subkey and one sum for each thread; the sums are there twice, to be read at two places.
        self.subkeys, self.sums, self.readable = (ThreadRows(threads, 128) for _ in range(3))
        self.multiplier = GfMultiply()
        bits = tag_bits(threads)
        super().__init__({
            "subkey": In(data.StructLayout({"en": 1, "tag": bits, "data": 128})),
            "i": In(data.StructLayout({"valid": 1, "tag": bits, "block": 128, "first": 1})),
            "sum_tag": In(bits), "sum": Out(128),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.subkeys, m.submodules.sums, m.submodules.readable = self.subkeys, self.sums, self.readable
        m.submodules.multiply = multiply = self.multiplier

        # Polynomials inside have the coefficient of x^n in bit n, the reverse of the ports.
        m.d.comb += [
            self.subkeys.write.eq(self.subkey),
            self.subkeys.write.data.eq(self.subkey.data[::-1]),
            self.subkeys.tag.eq(self.i.tag),
            self.subkeys.en.eq(self.i.valid),
            self.sums.tag.eq(self.i.tag),
            self.sums.en.eq(self.i.valid & ~self.i.first),
        ]
        # Registers become zero when nothing is inside, so that no subkey lingers.
        block = Signal(128, reset_less=True)
        m.d.sync += [
            block.eq(Mux(self.i.valid, self.i.block[::-1], 0)),
            multiply.a.eq(reduce(xor, self.sums.parts, block)),
            multiply.b.eq(reduce(xor, self.subkeys.parts)),
        ]

        # From ``i`` to the memory's port: block, factors, the product's stages, the product.
        stages = 3 + GfMultiply.latency
        valid, tag = Signal(stages), self.i.tag
        m.d.sync += valid.eq(Cat(self.i.valid, valid))
        for n in range(stages):
            later = Signal(len(tag), name=f"tag{n + 1}", reset_less=True)
            m.d.sync += later.eq(tag)
            tag = later
        total = Signal(128, reset_less=True)
        m.d.sync += [total.eq(multiply.o), self.sum.eq(self.readable.now[::-1])]
        for rows in (self.sums, self.readable):
            m.d.comb += [rows.write.en.eq(valid[-1]), rows.write.tag.eq(tag), rows.write.data.eq(total)]
        m.d.comb += self.readable.tag.eq(self.sum_tag)
        return m
