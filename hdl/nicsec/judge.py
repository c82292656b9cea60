# SPDX-License-Identifier: Apache-2.0
"""Has the IVs of a packet judged before its verdict counts."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .job import VerdictLayout
from .sa_layout import IVCheck

__all__ = ["Judge"]


class Judge(wiring.Component):
    """Turns verdicts, in the order of descriptors, into statuses; runs one packet ahead of whoever takes those.

    A success one of whose IVs is refused becomes ``IV_REPEAT``, and its later IVs are not judged
    (docs/design.md section 5.1). No other packet gets that status. 2 cycles per packet, and per IV one more than the
    check takes.

    Parameters
    ----------
    config : Config

    Members
    -------
    verdict : In(stream of VerdictLayout)
    check : Out(stream of IVCheck), checked : In(stream of 1)
        The SA table.
    o : Out(stream of Status)
    """

    def __init__(self, config):
        super().__init__({
            "verdict": In(stream.Signature(VerdictLayout(config))),
            "check": Out(stream.Signature(IVCheck(config))),
            "checked": In(stream.Signature(1)),
            "o": Out(stream.Signature(Status)),
        })

    def elaborate(self, platform):
        m = Module()
        refused = Signal()
        m.d.comb += self.check.payload.eq(self.verdict.p.iv)
        with m.FSM():
            with m.State("BEAT"):
                with m.If(self.verdict.p.last | refused):
                    m.d.comb += self.verdict.ready.eq(1)
                with m.Else():
                    m.d.comb += [self.check.valid.eq(self.verdict.valid), self.verdict.ready.eq(self.check.ready)]
                m.d.sync += self.o.payload.eq(Mux(refused, Status.IV_REPEAT, self.verdict.p.status))
                with m.If(self.verdict.valid & self.verdict.p.last):
                    m.d.sync += refused.eq(0)
                    m.next = "STATUS"
                with m.Elif(self.check.valid & self.check.ready):
                    m.next = "CHECKED"
            with m.State("CHECKED"):
                m.d.comb += self.checked.ready.eq(1)
                with m.If(self.checked.valid):
                    m.d.sync += refused.eq(~self.checked.payload)
                    m.next = "BEAT"
            with m.State("STATUS"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "BEAT"
        return m
