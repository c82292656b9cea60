# SPDX-License-Identifier: Apache-2.0
"""Brings jobs and frames together, numbers the packets, and hands them to fronts."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..job import JobLayout
from .layout import FrameLayout, FrontJob, LoadedFrame, packet_bits

__all__ = ["Pair"]


class Pair(wiring.Component):
    """One job per frame, both in order. Each front has a packet waiting beside the one that it holds.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(stream of JobLayout)
    loaded : In(stream of LoadedFrame)
    front : Out(stream of FrontJob, one per front)
    frame : Out(stream of FrameLayout)
        One per packet; it holds up the packet while there are ``config.packets`` of them.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "job": In(stream.Signature(JobLayout(config))),
            "loaded": In(stream.Signature(LoadedFrame(config))),
            "front": Out(stream.Signature(FrontJob(config))).array(config.walkers),
            "frame": Out(stream.Signature(FrameLayout(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        number = Signal(packet_bits(config))
        idle, chosen = Signal(config.walkers), Signal(config.walkers)
        give, both, go = Signal(config.walkers), Signal(), Signal()
        job, loaded = self.job.p, self.loaded.p.loaded
        refused = Cat(job.bypass, Value.cast(job.status), loaded.too_long, loaded.error).any()
        for n in reversed(range(config.walkers)):
            with m.If(idle[n]):
                m.d.comb += chosen.eq(1 << n)
        m.d.comb += [
            both.eq(self.job.valid & self.loaded.valid & self.frame.ready & ~go),
            go.eq(give.any()), self.frame.valid.eq(go),
            self.frame.p.length.eq(self.loaded.p.loaded.length), self.frame.p.lines.eq(self.loaded.p.lines),
            self.job.ready.eq(go), self.loaded.ready.eq(go),
        ]
        # Nothing but the transfer itself takes away what it waits for, so it may be a cycle later.
        m.d.sync += give.eq(Mux(both, chosen, 0))
        with m.If(go):
            m.d.sync += number.eq(number + 1)
        for n, front in enumerate(self.front):
            m.d.comb += idle[n].eq(~front.valid)
            with m.If(front.valid & front.ready):
                m.d.sync += front.valid.eq(0)
            with m.If(give[n]):
                m.d.sync += [
                    front.valid.eq(1), front.p.packet.eq(number), front.p.base.eq(self.loaded.p.base),
                    front.p.job.eq(job), front.p.loaded.eq(loaded), front.p.walked.eq(~refused),
                ]
        return m
