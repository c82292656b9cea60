# SPDX-License-Identifier: Apache-2.0
"""Takes many requests in turn, one a cycle."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Turns"]


class Turns(wiring.Component):
    """Grants requests in turn: the next in order behind the one granted last, around.

    A grant comes two cycles after its request at the earliest; there is one in every cycle as long as requests wait.

    Members
    -------
    ask : In(count)
        Strobes; who asks does not ask again before the grant.
    grant : Out(count)
        Strobes, registered, at most one at a time.
    granted : Out(1)
        Any of them, registered.
    """

    def __init__(self, count):
        self._count = count
        super().__init__({"ask": In(count), "grant": Out(count), "granted": Out(1)})

    def elaborate(self, platform):
        m = Module()

        # `ahead` are the requests behind the last grant in order. The lowest bit of either is found by a carry chain:
        # `x - 1` differs from `x` there and below.
        asked, ahead = Signal(self._count), Signal(self._count)
        below_asked, below_ahead = Signal(self._count), Signal(self._count)
        chosen, behind = Signal(self._count), Signal(self._count)
        m.d.comb += [below_asked.eq(asked - 1), below_ahead.eq(ahead - 1)]
        with m.If(ahead.any()):
            m.d.comb += [chosen.eq(ahead & ~below_ahead), behind.eq(~(ahead ^ below_ahead))]
        with m.Else():
            m.d.comb += [chosen.eq(asked & ~below_asked), behind.eq(~(asked ^ below_asked))]
        waiting = Signal(self._count)
        m.d.comb += waiting.eq((asked & ~chosen) | self.ask)
        m.d.sync += [
            self.grant.eq(chosen), self.granted.eq(asked.any()), asked.eq(waiting), ahead.eq(waiting & behind),
        ]
        return m
