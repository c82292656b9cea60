# SPDX-License-Identifier: Apache-2.0
"""Global and per-status counters in one block RAM."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .activity import UNIT_KINDS
from .algorithm import Status

__all__ = ["CYCLES", "STATUS_BASE", "SWEEP_CYCLES", "Counters", "PacketEvent"]

#: One finished packet: ``length`` in bytes, ``status`` of its completion, ``bypassed``: no handle was given.
PacketEvent = data.StructLayout({"length": 16, "status": 8, "bypassed": 1})

#: First word of the counters per status; below are the 64-bit ones, low word first.
STATUS_BASE = 32
#: Number of the counter of cycles; those of the kinds of units follow it.
CYCLES = 6
#: Cycles from one time that the units' counters move to the next.
SWEEP_CYCLES = 256

_LAST_STEP = 4
_PACKETS_OUT = 4
_PROTECTED = 10
_WORDS = 64
_BLOCK_RAM = {"ram_style": "block", "no_rw_check": 1}


class Counters(wiring.Component):
    """Counts packet events, and the work of units.

    Word ``2 * n`` and ``2 * n + 1`` are the low and high half of: 0 packets in, 1 bytes in, 2 packets out, 3 bytes out,
    4 packets out that had no handle, 5 packets out that had one; with ``activity`` also of 6 cycles and from 7 on the
    work of each of ``UNIT_KINDS``. Word ``STATUS_BASE + n`` counts status n modulo 2**32; status 0 is packets out.

    An event is taken every 5 cycles, every 4 when its status is an error; the stream waits meanwhile, so nothing is
    lost. A read is answered between two events, at most 50 cycles after it was asked. Reading a low half keeps the high
    half of that moment for the next read of any high half.

    An event adds to low halves alone, which are kept with a bit more. When that is set, and every ``SWEEP_CYCLES``
    cycles, a sweep goes over all halves: it brings what was carried to the high ones and adds what the units did, which
    short registers have gathered since the last one. Cycles and units thus move together, and belong together whenever
    they are read between two sweeps. What they are by then is some cycles old, for all of them the same.

    Parameters
    ----------
    activity : Activity, optional
        Without it no cycles and units are counted.

    Members
    -------
    event : In(stream of ``PacketEvent``)
    activity : In(Activity)
        What was done in this cycle, or some cycles earlier.
    read : In(1)
        Strobe: read word ``addr``, stable until the cycle after ``done``.
    addr : In(6)
    done : Out(1)
        Strobe: ``value`` holds the word.
    value : Out(32)
    dropped : Out(1)
        Strobe: an event with an error was counted.
    """

    def __init__(self, activity=None):
        self._words = Memory(shape=33, depth=_WORDS, init=[], attrs=_BLOCK_RAM)
        self._activity = activity
        super().__init__(
            {
                "event": In(stream.Signature(PacketEvent)),
                "read": In(1),
                "addr": In(range(_WORDS)),
                "done": Out(1),
                "value": Out(32),
                "dropped": Out(1),
                **({} if activity is None else {"activity": In(activity)}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = self._words
        port, write_port = words.read_port(), words.write_port()

        event = Signal(PacketEvent, reset_less=True)
        failed, ends = Signal(reset_less=True), Signal()
        step = Signal(range(_LAST_STEP + 1))
        asked = Signal()
        high = Signal(32, reset_less=True)

        # Four stages: address, memory, old value, sum. In a sweep a high half adds the carry of the low half ahead of
        # it, which thereby loses it. No word recurs within four cycles, so there is nothing to forward.
        word = Signal(range(_WORDS))
        counting, sweeping = Signal(), Signal()
        wiping = Signal(init=1)
        fetched, swept, lengths, failing = Signal(), Signal(), Signal(reset_less=True), Signal()
        loaded, written_word = Signal(), Signal(range(_WORDS))
        fetched_word, loaded_word = (Signal(range(_WORDS), name=name) for name in ("fetched_word", "loaded_word"))
        addend = Signal(16, reset_less=True)
        old = Signal(33, reset_less=True)
        is_high, carries = Signal(reset_less=True), Signal(reset_less=True)
        is_kept, keeps = Signal(reset_less=True), Signal(reset_less=True)
        total = Signal(33, reset_less=True)
        total_keeps = Signal(reset_less=True)
        # Some low half has a carry, or units are to be added.
        owed, due = Signal(), Signal()
        place = Signal(range(_WORDS // 2))
        gathered, last_place = [C(0, 1)], 2 * CYCLES - 1
        if self._activity is not None:
            gathered, last_place = self._gather(m, sweeping, place)
            timer, tick = Signal(range(SWEEP_CYCLES)), Signal()
            m.d.sync += [timer.eq(timer + 1), tick.eq(timer == 0)]
        free = Signal()
        m.d.comb += free.eq(~asked & ~owed & ~due)
        with m.If(self.event.valid & self.event.ready):
            m.d.sync += [event.eq(self.event.payload), failed.eq(self.event.p.status != Status.SUCCESS.value)]
        m.d.comb += [port.addr.eq(word), write_port.data.eq(Cat(total[:32], total[32] & total_keeps))]
        m.d.sync += [
            fetched.eq(counting | sweeping),
            swept.eq(sweeping),
            fetched_word.eq(word),
            is_high.eq(sweeping & place[0]),
            # A status wraps, and a sweep carries.
            is_kept.eq(counting & ~word[5]),
            lengths.eq(step[0]),
            loaded.eq(fetched),
            loaded_word.eq(fetched_word),
            old.eq(port.data),
            addend.eq(Mux(swept, reduce(or_, gathered), Mux(lengths, event.length, 1))),
            carries.eq(is_high),
            keeps.eq(is_kept),
            total.eq(old + addend + (total[32] & carries)),
            total_keeps.eq(keeps),
            write_port.en.eq(loaded | wiping),
            write_port.addr.eq(Mux(wiping, written_word, loaded_word)),
            self.dropped.eq(0),
            self.done.eq(0),
        ]
        with m.If(self.read):
            m.d.sync += asked.eq(1)
        # Of an error the fourth step is a pause, for the sake of the word of the first.
        m.d.comb += [failing.eq(failed & step[1]), ends.eq(Mux(failed, step[:2].all(), step[2]))]
        with m.FSM(init="WIPE"):
            with m.State("WIPE"):
                m.d.sync += [written_word.eq(written_word + 1), total.eq(0)]
                with m.If(written_word.all()):
                    m.d.sync += wiping.eq(0)
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += self.event.ready.eq(free)
                with m.If(owed | due):
                    m.next = "SWEEP"
                with m.Elif(asked):
                    m.next = "SETTLE"
                with m.Elif(self.event.valid):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += [
                    counting.eq(~(failing & step[0])), word.eq(Cat(C(0, 1), step)), self.event.ready.eq(ends & free),
                ]
                with m.If(step[2] & ~event.bypassed):
                    m.d.comb += word.eq(_PROTECTED)
                with m.If(failing):
                    m.d.comb += word.eq(STATUS_BASE | event.status[:5])
                    m.d.sync += self.dropped.eq(~step[0])
                m.d.sync += step.eq(step + 1)
                with m.If(ends):
                    m.d.sync += step.eq(0)
                    with m.If(~(self.event.valid & self.event.ready)):
                        m.next = "IDLE"
            with m.State("SWEEP"):
                m.d.comb += [sweeping.eq(1), word.eq(place)]
                m.d.sync += place.eq(place + 1)
                with m.If(place == 0):
                    m.d.sync += [owed.eq(0), due.eq(0)]
                with m.If(place == last_place):
                    m.d.sync += place.eq(0)
                    m.next = "IDLE"
            with m.State("SETTLE"):
                # The last sum is being made, and then written.
                m.next = "SETTLED"
            with m.State("SETTLED"):
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += word.eq(Mux(self.addr == STATUS_BASE, _PACKETS_OUT, self.addr))
                m.next = "READ_HIGH"
                with m.If(owed):
                    # It left a carry.
                    m.next = "IDLE"
            with m.State("READ_HIGH"):
                m.d.comb += word.eq(self.addr | 1)
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.sync += [self.value.eq(Mux(~self.addr[5] & self.addr[0], high, old)), self.done.eq(1)]
                m.d.sync += asked.eq(0)
                m.next = "KEEP_HIGH"
            with m.State("KEEP_HIGH"):
                with m.If(~self.addr[5] & ~self.addr[0]):
                    m.d.sync += high.eq(old)
                m.next = "IDLE"
        # Told anew in the cycle in which a sweep begins, either brings another sweep.
        with m.If(total[32] & total_keeps):
            m.d.sync += owed.eq(1)
        if self._activity is not None:
            with m.If(tick):
                m.d.sync += due.eq(1)
        return m

    def _gather(self, m, sweeping, place):
        """What cycles and units have added up to since a sweep took it, each for the place of its counter."""
        counted = {"cycles": C(1, 1)} | {kind: self.activity[kind] for kind in self.activity.shape().members}
        numbers = {name: CYCLES + n for n, name in enumerate(("cycles", *UNIT_KINDS))}
        gathered = []
        for name, value in counted.items():
            # A sweep waits for an event, a read and the sweep before it, which are some sixty cycles.
            since = Signal(range(2 * SWEEP_CYCLES * ((1 << len(value)) - 1)), name=f"{name}_since")
            taken = Signal(name=f"{name}_taken")
            m.d.sync += taken.eq(sweeping & (place == 2 * numbers[name]))
            m.d.sync += since.eq(Mux(taken, 0, since) + value)
            gathered.append(Mux(taken, since, 0))
        return gathered, 2 * max(numbers[name] for name in counted) + 1
