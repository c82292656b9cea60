# SPDX-License-Identifier: Apache-2.0
"""The blocks of AES-GCM tasks in turn (NIST SP 800-38D section 7.1)."""

from amaranth import *
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .tokens import GcmStart, Kind, Token

__all__ = ["TurnSlots"]

#: Turns, and so cycles from one block of a task to the next.
_SLOTS = 8


class _Phase(enum.Enum, shape=3):
    """What a slot gives in its turn."""

    J0 = 0
    CTR = 1
    LENGTHS = 2
    GAP = 3  #: nothing: GHASH's sum of all blocks is not there yet
    ICV = 4


class TurnSlots(wiring.Component):
    """Eight tasks, each of which gives a token in every eighth cycle: J0, counters, lengths, and the ICV 16 behind.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(stream of GcmStart)
        Taken when a slot without a task has its turn.
    valid, token, block : Out
        The slot whose turn it is has this token and the block that AES makes a mask or key stream of.
    take : In(1)
        It goes; else the slot gives it again eight cycles later.
    """

    def __init__(self, config):
        self._start, self._token = GcmStart(config), Token(config)
        super().__init__({
            "start": In(stream.Signature(self._start)), "valid": Out(1), "token": Out(self._token), "block": Out(128),
            "take": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        state = data.StructLayout({
            "active": 1, "phase": _Phase, "thread": self._start["thread"].shape, "place": self._start["place"].shape,
            "left": self._start["words"].shape, "counter": len(self.token.left) + 2,
            "few": 1,  # the next block is the last one
        })

        def slots(name, width):
            m.submodules[name] = rows = memory.Memory(
                shape=width, depth=_SLOTS, init=[], attrs={"ram_style": "distributed"}
            )
            return rows.write_port(), rows.read_port(domain="comb")

        states_in, states_out = slots("states", state.size)
        nonces_in, nonces_out = slots("nonces", 96)
        coming, slot = Signal(range(_SLOTS)), Signal(range(_SLOTS), init=_SLOTS - 1)
        now, after = Signal(state), Signal(state)
        nonce = Signal(96, reset_less=True)
        # What the memory holds behind a reset is of before it.
        fresh = Signal(range(_SLOTS + 1), init=_SLOTS)
        m.d.sync += [
            coming.eq(coming + 1), slot.eq(coming), now.eq(states_out.data), nonce.eq(nonces_out.data),
        ]
        with m.If(fresh != 0):
            m.d.sync += [fresh.eq(fresh - 1), now.active.eq(0)]
        begins = Signal()
        m.d.comb += [
            states_out.addr.eq(coming), nonces_out.addr.eq(coming),
            states_in.addr.eq(slot), states_in.data.eq(after), states_in.en.eq(1),
            nonces_in.addr.eq(slot), nonces_in.data.eq(self.start.p.nonce), nonces_in.en.eq(begins),
            self.start.ready.eq(~now.active), begins.eq(self.start.valid & ~now.active),
            self.valid.eq(now.active & (now.phase != _Phase.GAP)),
            self.token.thread.eq(now.thread), self.token.place.eq(now.place),
            self.token.words.eq(Mux(now.few, now.left - 1, 3)),
            self.block.eq(Cat(now.counter, C(0, 32 - len(now.counter)), nonce)),
            after.eq(now),
        ]
        with m.Switch(now.phase):
            for phase, kind in (
                (_Phase.J0, Kind.J0), (_Phase.CTR, Kind.CTR), (_Phase.LENGTHS, Kind.LENGTHS), (_Phase.ICV, Kind.ICV),
            ):
                with m.Case(phase):
                    m.d.comb += self.token.kind.eq(kind)
        with m.If(begins):
            m.d.comb += [
                after.active.eq(1), after.phase.eq(_Phase.J0), after.thread.eq(self.start.p.thread),
                after.place.eq(self.start.p.place), after.left.eq(self.start.p.words), after.counter.eq(1),
                after.few.eq(self.start.p.words <= 4),
            ]
        with m.Elif(self.take | (now.phase == _Phase.GAP)):
            m.d.comb += after.counter.eq(now.counter + 1)
            with m.Switch(now.phase):
                with m.Case(_Phase.J0):
                    m.d.comb += after.phase.eq(_Phase.CTR)
                with m.Case(_Phase.CTR):
                    m.d.comb += [
                        after.place.eq(now.place + Mux(now.few, now.left[:3], 4)), after.left.eq(now.left - 4),
                        after.few.eq(now.left <= 8),
                    ]
                    with m.If(now.few):
                        m.d.comb += after.phase.eq(_Phase.LENGTHS)
                with m.Case(_Phase.LENGTHS):
                    m.d.comb += after.phase.eq(_Phase.GAP)
                with m.Case(_Phase.GAP):
                    m.d.comb += after.phase.eq(_Phase.ICV)
                with m.Case(_Phase.ICV):
                    m.d.comb += after.active.eq(0)
        return m
