# SPDX-License-Identifier: Apache-2.0
"""Gives verdicts in the order of packets, however their passes end."""

from amaranth import *
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..algorithm import Status
from ..job import VerdictLayout
from .cipher_start import IVNote
from .layout import FrameLayout, packet_bits
from .threads import Ended

__all__ = ["FrontVerdict", "Retire"]

#: Passes of a plan.
_PASSES = 4


class FrontVerdict(data.StructLayout):
    """What a front says of a packet: with ``final`` its ``status``, else which passes (bits of ``judged``) put IVs on
    record, and that the pass handed over as its last decides."""

    def __init__(self, config):
        super().__init__({"packet": packet_bits(config), "status": Status, "final": 1, "judged": _PASSES})


class Retire(wiring.Component):
    """Waits for the oldest packet's end, and gives its IVs, its verdict and its frame to those who are next.

    A packet in four cycles, and one for each IV.

    Parameters
    ----------
    config : Config

    Members
    -------
    frame : In(stream of FrameLayout)
        One per packet as it comes; ``keep`` is not looked at.
    front : In(stream of FrontVerdict)
    ended : In(Ended)
    iv : In(stream of IVNote)
        Ahead of the end of its pass.
    verdict : Out(stream of VerdictLayout)
    o : Out(stream of FrameLayout)
        One per packet, with its verdict.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "frame": In(stream.Signature(FrameLayout(config))),
            "front": In(stream.Signature(FrontVerdict(config))),
            "ended": In(Ended(config)),
            "iv": In(stream.Signature(IVNote(config))),
            "verdict": Out(stream.Signature(VerdictLayout(config))),
            "o": Out(stream.Signature(FrameLayout(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        packets = config.packets
        bits = packet_bits(config) - 1

        def by_packet(name, width):
            m.submodules[name] = rows = memory.Memory(
                shape=width, depth=packets, init=[], attrs={"ram_style": "distributed"}
            )
            return rows.write_port(), rows.read_port(domain="comb")

        # A packet's row says how it ended, and by the top bit of its number in which round, so that nothing has to be
        # cleared. Only what a reset leaves behind must be.
        end_in, end_out = by_packet("ends", data.StructLayout({"round": 1, "status": Status}).size)
        judged_in, judged_out = by_packet("judged", _PASSES)
        note = data.StructLayout({"check": IVNote(config)["check"].shape})
        m.submodules.notes = notes = memory.Memory(
            shape=note.size, depth=packets * _PASSES, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        notes_in, notes_out = notes.write_port(), notes.read_port()
        fresh = Signal(range(packets + 1))
        clearing = Signal()
        m.d.comb += clearing.eq(fresh != packets)
        with m.If(clearing):
            m.d.sync += fresh.eq(fresh + 1)

        last, front = Signal(), self.front.p
        done = self.ended.done
        m.d.comb += [
            last.eq(self.ended.valid & done.last),
            self.front.ready.eq(~last & ~clearing),
            end_in.en.eq(clearing | last | (self.front.valid & front.final)),
            end_in.addr.eq(Mux(clearing, fresh, Mux(last, done.packet[:bits], front.packet[:bits]))),
            end_in.data.eq(Mux(clearing, 1, Mux(
                last, Cat(done.packet[-1], done.status), Cat(front.packet[-1], front.status)
            ))),
            judged_in.en.eq(self.front.valid & self.front.ready),
            judged_in.addr.eq(front.packet[:bits]), judged_in.data.eq(Mux(front.final, 0, front.judged)),
            self.iv.ready.eq(1),
            notes_in.en.eq(self.iv.valid), notes_in.addr.eq(Cat(self.iv.p.number, self.iv.p.packet[:bits])),
            notes_in.data.eq(self.iv.p.check),
        ]

        m.submodules.frames = frames = fifo.SyncFIFOBuffered(width=FrameLayout(config).size, depth=packets)
        m.d.comb += [
            frames.w_data.eq(self.frame.payload), frames.w_en.eq(self.frame.valid), self.frame.ready.eq(frames.w_rdy),
        ]

        head = Signal(packet_bits(config))
        status, waiting = Signal(Status), Signal(_PASSES)
        round_ = Signal()
        first = Signal(range(_PASSES))
        for n in reversed(range(_PASSES)):
            with m.If(waiting[n]):
                m.d.comb += first.eq(n)
        m.d.comb += [
            end_out.addr.eq(head[:bits]), judged_out.addr.eq(head[:bits]),
            notes_out.addr.eq(Cat(first, head[:bits])),
            self.verdict.p.status.eq(status), self.verdict.p.iv.eq(notes_out.data),
            self.o.payload.eq(frames.r_data), self.o.p.keep.eq(status == Status.SUCCESS),
        ]
        m.d.sync += [Cat(round_, status).eq(end_out.data), waiting.eq(judged_out.data)]
        with m.FSM():
            with m.State("LOOK"):
                with m.If(~clearing):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If((round_ == head[-1]) & frames.r_rdy):
                    m.d.sync += waiting.eq(Mux(status == Status.SUCCESS, waiting, 0))
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += waiting.eq(waiting)
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.sync += waiting.eq(waiting)
                m.d.comb += [self.verdict.valid.eq(1), self.verdict.p.last.eq(~waiting.any())]
                with m.If(self.verdict.ready):
                    m.d.sync += waiting.eq(waiting & (waiting - 1))
                    m.next = "READ"
                    with m.If(~waiting.any()):
                        m.next = "FRAME"
            with m.State("FRAME"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += frames.r_en.eq(1)
                    m.d.sync += head.eq(head + 1)
                    m.next = "LOOK"
        return m
