# SPDX-License-Identifier: Apache-2.0
"""One 64-bit IV counter per op: the next value to generate, or the lowest that is taken from a frame."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .sa_layout import OPS, IVCheck, slot_bits
from .suite import iv_ops

__all__ = ["IVCounters"]

_BLOCK_RAM = {"ram_style": "block", "no_rw_check": 1}


class _IVCounter(data.Struct):
    """The next value, and whether 2**64 - 1 was taken: the carry out of the increment."""

    value: 64
    exhausted: 1


class IVCounters(wiring.Component):
    """Gives counter values to look-ups, and judges the IVs of frames (docs/design.md sections 5 and 5.1).

    Look-ups and checks go through one pipeline of four stages, address, memory, counter, successor, so the one of them
    never waits in the middle of the other.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: a look-up of ``slot`` begins; at most every 5 cycles.
    slot : In
        Held for 5 cycles from ``start``.
    take : In(OPS)
        Bit n, in the third cycle and the fourth after ``start``: op n takes a value. Op 1 is AH, and never does in a
        build without AES-GMAC as AH.
    taken : Out(ArrayLayout(64, OPS)), exhausted : Out(1)
        Stable from the fifth cycle after ``start`` until the third after the next: the values, and whether an op that
        takes one had none left.
    check : In(stream of :class:`IVCheck`), checked : Out(stream of 1)
        Whether ``iv`` is not below the counter, which then becomes ``iv`` plus 1. An answer 4 to 6 cycles behind its
        check, and then the next check. The op is none that takes values.
    set_valid : In(1), set_slot : In, set_op : In(1), set_value : In(64), set_ready : Out(1)
        Writes a counter; a look-up delays it by two cycles at most.
    """

    def __init__(self, config):
        self._ops = iv_ops(config)
        self._counters = Memory(shape=_IVCounter, depth=config.sa_slots * OPS, init=[], attrs=_BLOCK_RAM)
        super().__init__({
            "start": In(1),
            "slot": In(slot_bits(config)),
            "take": In(OPS),
            "taken": Out(data.ArrayLayout(64, OPS)),
            "exhausted": Out(1),
            "check": In(stream.Signature(IVCheck(config))),
            "checked": Out(stream.Signature(1)),
            "set_valid": In(1),
            "set_ready": Out(1),
            "set_slot": In(slot_bits(config)),
            "set_op": In(1),
            "set_value": In(64),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.counters = counters = self._counters
        read, write = counters.read_port(), counters.write_port()

        check = Signal.like(self.check.payload, reset_less=True)
        asking, kept = Signal(), Signal(reset_less=True)
        # Bit 0, 1: op of a look-up; bit 2: check.
        address, memory, counter, successor = (
            Signal(3, name=name) for name in ("address", "memory", "counter", "successor")
        )
        second = Signal()
        m.d.comb += [
            address.eq(Cat(self.start, second, asking & ~self.start & ~second)),
            read.addr.eq(Mux(address[2], Cat(check.op, check.slot), Cat(second, self.slot))),
        ]
        if self._ops > 1:
            m.d.sync += second.eq(self.start)
        m.d.sync += [memory.eq(address), counter.eq(memory), successor.eq(counter)]

        newest = Signal(_IVCounter, reset_less=True)
        following = Signal(_IVCounter, reset_less=True)
        spent, fits = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            newest.eq(read.data),
            following.eq(Mux(counter[2], check.iv, newest.as_value()) + 1),
            spent.eq(newest.exhausted),
            fits.eq((check.iv >= newest.value) & ~newest.exhausted),
        ]
        for op in range(self._ops):
            with m.If(counter[op]):
                m.d.sync += self.taken[op].eq(newest.value)

        # Whose turn the last stage is says what would be written, and later in the cycle comes whether it is.
        taking, accepted = Signal(OPS), Signal()
        m.d.comb += [
            taking.eq(self.take & successor[:OPS] & (~spent).replicate(OPS)),
            accepted.eq(successor[2] & fits),
            self.set_ready.eq(~successor.any()),
            write.en.eq(taking.any() | accepted | (self.set_valid & self.set_ready)),
            write.addr.eq(Mux(successor[2], Cat(check.op, check.slot), Cat(self.set_op, self.set_slot))),
            write.data.eq(Mux(self.set_ready, self.set_value, following)),
        ]
        with m.If(successor[:OPS].any()):
            m.d.comb += write.addr.eq(Cat(successor[1], self.slot))
        for op in range(self._ops):
            with m.If(successor[op]):
                m.d.sync += self.exhausted.eq((self.take[op] & spent) | (self.exhausted if op else 0))

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.check.ready.eq(1)
                m.d.sync += check.eq(self.check.payload)
                with m.If(self.check.valid):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += asking.eq(1)
                with m.If(address[2]):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(counter[2]):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.checked.valid.eq(1), self.checked.payload.eq(Mux(successor[2], fits, kept))]
                m.d.sync += kept.eq(self.checked.payload)
                with m.If(self.checked.ready):
                    m.next = "IDLE"
        return m
