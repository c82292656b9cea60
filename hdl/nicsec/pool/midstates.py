# SPDX-License-Identifier: Apache-2.0
"""The midstates of an HMAC, out of the SA table."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..algorithm import Auth
from ..sa_layout import RowRequest, inner_row, outer_row

__all__ = ["Midstates"]


class Midstates(wiring.Component):
    """Words of an SA's inner midstate and then of its outer one.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; the members below are then held to the last word.
    slot, op : In
        The SA.
    short : In(1)
        A midstate has five words, not eight.
    row_req, row_rsp : streams
        The SA table.
    valid : Out(1), last : Out(1)
        There is a word; it is the last of its midstate.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
        With ``valid``.
    """

    def __init__(self, config):
        request = RowRequest(config)
        super().__init__({
            "start": In(1),
            "slot": In(request.members["slot"]),
            "op": In(1),
            "short": In(1),
            "row_req": Out(stream.Signature(request)),
            "row_rsp": In(stream.Signature(128)),
            "valid": Out(1),
            "last": Out(1),
            "take": In(1),
            "word": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        # Four rows, two for a midstate; the fourth has been asked for when `row` is 4.
        first = inner_row(Auth.HMAC_SHA1)
        assert first == inner_row(Auth.HMAC_SHA256) == outer_row(Auth.HMAC_SHA1) - 2 == outer_row(Auth.HMAC_SHA256) - 2
        row = Signal(3, init=4)
        pending = Signal()
        held, valid = Signal(128), Signal()
        number = Signal(2)
        second, outer = Signal(), Signal()
        used = Signal()

        # The words of the inner midstate are taken at once, so the next row may be on its way before they are. Those
        # of the outer one wait for the message.
        m.d.comb += [
            self.row_req.valid.eq(~row[2] & ~pending & (~valid | ~outer)),
            self.row_req.p.slot.eq(self.slot),
            self.row_req.p.op.eq(self.op),
            self.row_req.p.row.eq(Cat(row[:2], C(first >> 2, len(self.row_req.p.row) - 2))),
            self.row_rsp.ready.eq(~valid),
            self.valid.eq(valid), self.word.eq(held[96:]),
            used.eq(self.take & (self.last | (number == 3))),
        ]
        with m.If(self.row_req.valid & self.row_req.ready):
            m.d.sync += [row.eq(row + 1), pending.eq(1)]
        with m.If(self.row_rsp.valid & self.row_rsp.ready):
            m.d.sync += [held.eq(self.row_rsp.payload), valid.eq(1), pending.eq(0)]
        with m.If(self.take):
            # A midstate is as good as a key: it does not stay here.
            m.d.sync += [
                held.eq(Cat(C(0, 32), held)),
                number.eq(Mux(self.last, 0, Cat(~number[0], number.xor()))),
                # Of the second row the fourth or, when short, the first word.
                self.last.eq((second ^ self.short) & number[1] & (number[0] == self.short)),
            ]
        with m.If(used):
            m.d.sync += [valid.eq(0), second.eq(~second), outer.eq(outer | second)]
        with m.If(self.start):
            m.d.sync += [row.eq(0), outer.eq(0)]
        return m
