# SPDX-License-Identifier: Apache-2.0
"""Serialises consecutive rows of the SA table into words."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .sa_layout import RowRequest

__all__ = ["RowWords"]


class RowWords(wiring.Component):
    """Fetches ``words`` 32-bit words from ``first`` on, highest word of a row first.

    Members
    -------
    start : In(1)
        Strobe; ``first`` and ``words`` are then held to the last word.
    first : In(RowRequest)
    words : In(5)
    row_req, row_rsp : streams
        The SA table.
    o : Out(stream of 32)
        One word per cycle, the first after the table's latency; a gap at each row.
    """

    def __init__(self, config):
        self._request = RowRequest(config)
        super().__init__({
            "start": In(1),
            "first": In(self._request),
            "words": In(5),
            "row_req": Out(stream.Signature(self._request)),
            "row_rsp": In(stream.Signature(128)),
            "o": Out(stream.Signature(32)),
        })

    def elaborate(self, platform):
        m = Module()
        row = Signal.like(self.first.row)
        left = Signal(5)
        held = Signal(128)
        in_row = Signal(3)
        forget = Signal()

        m.d.comb += [
            self.row_req.p.slot.eq(self.first.slot),
            self.row_req.p.op.eq(self.first.op),
            self.row_req.p.row.eq(row),
            self.o.payload.eq(held[96:]),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [row.eq(self.first.row), left.eq(self.words)]
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.row_req.valid.eq(1)
                with m.If(self.row_req.ready):
                    m.d.sync += row.eq(row + 1)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.row_rsp.ready.eq(1)
                with m.If(self.row_rsp.valid):
                    m.d.sync += [held.eq(self.row_rsp.payload), in_row.eq(4)]
                    m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [held.eq(held << 32), in_row.eq(in_row - 1), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.d.comb += forget.eq(1)
                        m.next = "IDLE"
                    with m.Elif(in_row == 1):
                        m.next = "ASK"
        # A midstate is as good as a key: it does not stay here. Outside, so that synthesis finds a reset in it.
        with m.If(forget):
            m.d.sync += held.eq(0)
        return m
