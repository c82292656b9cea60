# SPDX-License-Identifier: Apache-2.0
"""Poly1305 (RFC 8439, 2.5) on ten multipliers of 18 by 18 bits."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Poly1305", "PolyBlock"]

#: A block of the message: ``bytes`` of it, 1 to 16, count from bits 127:120 on; the rest is ignored.
PolyBlock = data.StructLayout({"block": 128, "bytes": 5, "last": 1})

_LIMBS = 10
_BITS = 13


def _little_endian(octets):
    """The number of which ``octets`` are the bytes, least significant first in the highest bits."""
    return Cat(octets[at : at + 8] for at in reversed(range(0, len(octets), 8)))


def _limbs(number):
    return [number[_BITS * n : _BITS * (n + 1)] for n in range(_LIMBS)]


class Poly1305(wiring.Component):
    """Authenticates one message per one-time key.

    Numbers are ten limbs of 13 bits, least significant first. For each block, h + block leaves the columns of the last
    product limb by limb, carries taken along, and each limb is multiplied by all limbs of r at once; r turns by one
    limb a cycle, and a limb that passes the top comes back times 5, as 2^130 = 5. What is carried out of the tenth limb
    is the eleventh factor. After the last block four passes reduce h and add s.

    A block takes 14 cycles. The tag is offered 55 cycles after the last block was accepted. The next key is accepted
    after the tag was taken; r and s are cleared then. Time depends on the number of blocks only.

    Members
    -------
    r : In(stream of 256)
        The one-time key, r and then s; first byte in bits 255:248. Clamped here.
    i : In(stream of PolyBlock)
        The message, at least one block; a block is accepted in its tenth cycle.
    o : Out(stream of 128)
        The tag; first byte in bits 127:120.
    """

    r: In(stream.Signature(256))
    i: In(stream.Signature(PolyBlock))
    o: Out(stream.Signature(128))

    def elaborate(self, platform):
        m = Module()

        r, s = Signal(128), Signal(128)
        clamped = Signal(128)
        m.d.comb += clamped.eq(_little_endian(self.r.payload[128:]) & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF)

        # The block with a one behind its last byte.
        padded = Signal(_LIMBS * _BITS)
        for n in range(17):
            octet = self.i.p.block[120 - 8 * n : 128 - 8 * n] if n < 16 else Const(0, 1)
            m.d.comb += padded[8 * n : 8 * n + 8].eq(Mux(self.i.p.bytes == n, 1, Mux(self.i.p.bytes > n, octet, 0)))

        # A train of limbs: eleven for a block, and three pauses until its product is complete; or ten for one of the
        # last passes, and two pauses until they have come round.
        limb = Signal(4)
        final, last, fresh = Signal(2), Signal(), Signal()
        issue = Signal(data.StructLayout({"valid": 1, "last_pass": 1, "feed": 1, "final": 2, "carry": 1, "end": 1}))
        with m.FSM():
            with m.State("KEY"):
                m.d.comb += [self.r.ready.eq(1), fresh.eq(1)]
                with m.If(self.r.valid):
                    m.d.sync += [r.eq(clamped), s.eq(_little_endian(self.r.payload[:128]))]
                    m.next = "FEED"
            with m.State("FEED"):
                with m.If(self.i.valid | (limb != 0)):
                    m.d.comb += [issue.valid.eq(limb <= _LIMBS), issue.feed.eq(1)]
                    m.d.sync += limb.eq(limb + 1)
                with m.If(limb == _LIMBS - 1):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += last.eq(self.i.p.last)
                with m.If(limb == 13):
                    m.d.sync += limb.eq(0)
                    with m.If(last):
                        m.next = "REDUCE"
            with m.State("REDUCE"):
                m.d.comb += [issue.valid.eq(1), issue.final.eq(final), issue.last_pass.eq(final == 3)]
                m.d.sync += limb.eq(limb + 1)
                with m.If(limb == 11):
                    m.d.sync += [limb.eq(0), final.eq(final + 1)]
                    with m.If(final == 3):
                        m.next = "TAG"
            with m.State("TAG"):
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += [self.o.valid.eq(0), r.eq(0), s.eq(0)]
                    m.next = "KEY"
        m.d.comb += [issue.carry.eq(limb == _LIMBS), issue.end.eq(limb >= _LIMBS)]
        at = [Signal.like(issue, name=f"issue_{n}") for n in range(1, 4)]
        m.d.sync += [after.eq(before) for before, after in zip([issue, *at], at, strict=False)]

        # Columns leave at the bottom. In the passes limbs come back at the top, and in the third the unchanged ones,
        # as it only finds out whether h + 5 reaches 2^130.
        columns = [Signal(34, name=f"column_{n}", reset_less=True) for n in range(_LIMBS)]
        addend, total = Signal(_BITS, reset_less=True), Signal(35, reset_less=True)
        unchanged, passed = Signal(_BITS, reset_less=True), Signal(_BITS, reset_less=True)
        carried, carry, more = Signal(36), Signal(22, reset_less=True), Signal(reset_less=True)
        factor = Signal(18, reset_less=True)
        m.d.sync += [
            addend.eq(Mux(issue.feed, Array([*_limbs(padded), 0])[limb], 0)),
            total.eq(columns[0] + addend),
            unchanged.eq(columns[0]),
            passed.eq(unchanged),
            factor.eq(carried[:_BITS]),
        ]
        with m.If(issue.last_pass):
            m.d.sync += addend.eq(Array(_limbs(s))[limb])
        m.d.comb += carried.eq(total + carry)
        with m.If(at[1].valid):
            m.d.sync += carry.eq(carried[_BITS:])
            with m.If(at[1].feed & at[1].carry):
                m.d.sync += [factor.eq(carried), carry.eq(0)]
            with m.Elif(at[1].carry):
                # What was carried out is folded into the first limb of the next pass.
                with m.Switch(at[1].final):
                    with m.Case(0):
                        m.d.sync += carry.eq((carry << 2) + carry)
                    with m.Case(1):
                        m.d.sync += [more.eq(carry[0]), carry.eq(5)]
                    with m.Default():
                        m.d.sync += carry.eq(Mux(more | carry[0], 5, 0))
            with m.Elif(at[1].end):
                m.d.sync += carry.eq(carry)
        with m.If(fresh):
            m.d.sync += carry.eq(0)

        # Products.
        turning = [Signal(16, name=f"turning_{n}", reset_less=True) for n in range(_LIMBS)]
        products = [Signal(33, name=f"product_{n}", reset_less=True) for n in range(_LIMBS)]
        sums = [Signal(33, name=f"sum_{n}") for n in range(_LIMBS)]
        sums_next = [Signal(33, name=f"sum_next_{n}") for n in range(_LIMBS)]
        back = Signal(_BITS)
        wrapped = turning[-1][:_BITS]
        adding, complete = Signal(), Signal()
        m.d.sync += [
            adding.eq(at[2].valid & at[2].feed),
            complete.eq(at[2].valid & at[2].feed & at[2].carry),
        ]
        m.d.comb += back.eq(Mux(at[0].feed, 0, Mux(at[0].final == 2, passed, factor)))
        for n in range(_LIMBS):
            m.d.comb += sums_next[n].eq(sums[n] + products[n])
            m.d.sync += products[n].eq(factor * turning[n])
            with m.If(at[2].valid & at[2].feed & ~at[2].carry):
                m.d.sync += turning[n].eq(turning[n - 1] if n else (wrapped << 2) + wrapped)
            with m.Else():
                m.d.sync += turning[n].eq(_limbs(Cat(r, C(0, 2)))[n])
            with m.If(at[0].valid):
                m.d.sync += columns[n].eq(columns[n + 1] if n + 1 < _LIMBS else back)
            with m.If(complete):
                m.d.sync += columns[n].eq(sums_next[n])
            with m.If(fresh):
                m.d.sync += columns[n].eq(0)
            # Pauses leave three cycles between the last product and the next block's first.
            m.d.sync += sums[n].eq(sums_next[n])
            with m.If(~adding):
                m.d.sync += sums[n].eq(0)

        tag = Signal(_LIMBS * _BITS, reset_less=True)
        with m.If(at[2].last_pass & ~at[2].end):
            m.d.sync += tag.eq(Cat(tag[_BITS:], factor[:_BITS]))
        with m.If(at[2].last_pass & at[2].carry):
            m.d.sync += self.o.valid.eq(1)
        m.d.comb += self.o.payload.eq(_little_endian(tag[:128]))
        return m
