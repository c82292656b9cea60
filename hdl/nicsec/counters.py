# SPDX-License-Identifier: Apache-2.0
"""Global and per-status counters in one block RAM."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .algorithm import Status

__all__ = ["STATUS_BASE", "Counters", "PacketEvent"]

#: One finished packet: ``length`` in bytes, ``status`` of its completion, ``bypassed``: no handle was given.
PacketEvent = data.StructLayout({"length": 16, "status": 8, "bypassed": 1})

#: First word of the counters per status; below are the 64-bit ones, low word first.
STATUS_BASE = 32

_PACKETS_OUT = 4
_BYPASSED = 8
_PROTECTED = 10
_WORDS = 64
_BLOCK_RAM = {"ram_style": "block", "no_rw_check": 1}


class Counters(wiring.Component):
    """Counts packet events.

    Word ``2 * n`` and ``2 * n + 1`` are the low and high half of: 0 packets in, 1 bytes in, 2 packets out, 3 bytes out,
    4 packets out that had no handle, 5 packets out that had one. Word ``STATUS_BASE + n`` counts status n modulo 2**32;
    status 0 is packets out.

    An event is taken every 11 cycles, every 6 when its status is an error; the stream waits meanwhile, so nothing is
    lost. A read is answered between two events, at most 16 cycles after it was asked. Reading a low half keeps the high
    half of that moment for the next read of any high half.

    Members
    -------
    event : In(stream of ``PacketEvent``)
    read : In(1)
        Strobe: read word ``addr``, stable until the cycle after ``done``.
    addr : In(6)
    done : Out(1)
        Strobe: ``value`` holds the word.
    value : Out(32)
    dropped : Out(1)
        Strobe: an event with an error was counted.
    """

    def __init__(self):
        self._words = Memory(shape=32, depth=_WORDS, init=[], attrs=_BLOCK_RAM)
        super().__init__(
            {
                "event": In(stream.Signature(PacketEvent)),
                "read": In(1),
                "addr": In(range(_WORDS)),
                "done": Out(1),
                "value": Out(32),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = self._words
        port, write_port = words.read_port(), words.write_port()

        event = Signal(PacketEvent, reset_less=True)
        failed = Signal(reset_less=True)
        step = Signal(range(10))
        asked = Signal()
        high = Signal(32, reset_less=True)

        # Three stages: address, memory, sum. A high half adds the carry of the low half ahead of it. No word
        # recurs within five cycles, so there is nothing to forward.
        word = Signal(range(_WORDS))
        counting = Signal()
        wiping = Signal(init=1)
        fetched = Signal()
        fetched_word = Signal(range(_WORDS))
        addend = Signal(16, reset_less=True)
        carries = Signal(reset_less=True)
        total = Signal(33, reset_less=True)
        m.d.comb += [port.addr.eq(word), write_port.data.eq(total[:32])]
        m.d.sync += [
            fetched.eq(counting),
            fetched_word.eq(word),
            carries.eq(step[0]),
            addend.eq(Mux(step[0], 0, Mux(step[1], event.length, 1))),
            total.eq(port.data + addend + (total[32] & carries)),
            write_port.en.eq(fetched | wiping),
            write_port.addr.eq(fetched_word),
            self.dropped.eq(0),
            self.done.eq(0),
        ]
        with m.If(self.read):
            m.d.sync += asked.eq(1)

        with m.FSM(init="WIPE"):
            with m.State("WIPE"):
                m.d.sync += [fetched_word.eq(fetched_word + 1), total.eq(0)]
                with m.If(fetched_word == _WORDS - 1):
                    m.d.sync += wiping.eq(0)
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += self.event.ready.eq(~asked)
                m.d.sync += [event.eq(self.event.payload), step.eq(0)]
                m.d.sync += failed.eq(self.event.p.status != Status.SUCCESS.value)
                with m.If(asked):
                    m.next = "SETTLE"
                with m.Elif(self.event.valid):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += [counting.eq(1), word.eq(step)]
                with m.If(step[3] & ~event.bypassed):
                    m.d.comb += word.eq(_PROTECTED | step[0])
                m.d.sync += step.eq(step + 1)
                with m.If((step == _PACKETS_OUT) & failed):
                    m.d.comb += word.eq(STATUS_BASE | event.status[:5])
                    m.d.sync += self.dropped.eq(1)
                    m.next = "IDLE"
                with m.If(step == _BYPASSED + 1):
                    m.next = "IDLE"
            with m.State("SETTLE"):
                # The last sum is being written.
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += word.eq(Mux(self.addr == STATUS_BASE, _PACKETS_OUT, self.addr))
                m.next = "READ_HIGH"
            with m.State("READ_HIGH"):
                m.d.comb += word.eq(self.addr | 1)
                m.d.sync += [self.value.eq(Mux(~self.addr[5] & self.addr[0], high, port.data)), self.done.eq(1)]
                m.d.sync += asked.eq(0)
                m.next = "KEEP_HIGH"
            with m.State("KEEP_HIGH"):
                with m.If(~self.addr[5] & ~self.addr[0]):
                    m.d.sync += high.eq(port.data)
                m.next = "IDLE"
        return m
