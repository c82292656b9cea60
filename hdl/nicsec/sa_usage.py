# SPDX-License-Identifier: Apache-2.0
"""What each SA has carried, and the limits of that (docs/design.md section 5.2)."""

from amaranth import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .sa_layout import EventLayout, HandleLayout, LimitsLayout, UsageLayout, slot_bits, slot_ram

__all__ = ["Usage"]

_BLOCK_RAM = {"ram_style": "block", "no_rw_check": 1}
#: Words of a slot in the memory of counts.
_PACKETS, _BYTES, _ERRORS = range(3)
_WORDS = 4


class _Flags(data.Struct):
    """State of an SA's limits, each in the order of ``EventLayout.kinds``.

    ``reached``: as the last look-up left it. ``untold``: no look-up has told of those yet. ``fresh``: the limits are
    new, so the rest is to be worked out.
    """

    reached: 4
    untold: 1
    fresh: 1


class _Item(enum.Enum, shape=2):
    """Whose count is in a stage of the pipeline."""

    NONE = 0
    LOOK_UP = 1
    ERROR = 2
    QUERY = 3


class Usage(wiring.Component):
    """Counts packets, bytes and errors, and compares them with the limits.

    Counts go through one pipeline of four stages, address, memory, old value, new value; look-ups have a fixed place in
    it, errors and queries go between them. Whether a hard limit is reached was worked out behind the look-up before,
    so it is known in time. Behind new limits it is not: the next look-up finds ``fresh``, counts nothing and comes
    again.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe, cycle 0: a look-up begins, not while ``busy``.
    busy : Out(1)
        Cycles 1 to 6.
    handle : In(32), length : In(16)
        Held from cycle 0 to 4.
    known : In(1)
        Cycle 3: the handle is good. A look-up counts if it is, and neither of the next two is high.
    expired, fresh : Out(1)
        From cycle 3 to the second of the next look-up.
    errors : In(stream of slot)
        One packet of the slot failed. Counted 3 cycles later.
    slot : In
        Of what follows.
    limits : In(stream of {``limits``, ``bytes``, ``update``})
        Limits of packets or of ``bytes``. Those of packets come first; with ``update`` the slot is in use, and both
        take effect with the second, for look-ups that start when it is taken and ``idle``.
    wipe, query : In(1)
        Strobes, not while ``~idle``: zero all that the slot has, which nobody looks up, or copy its counts of one
        moment to ``usage``.
    idle : Out(1)
        The last of the above is done.
    usage : Out(UsageLayout)
        Held from query to query.
    event_valid : Out(1), event : Out(EventLayout)
        Strobe, cycle 8: limits that the look-up found reached and no event told of since they were set.
    """

    def __init__(self, config):
        self._counts = Memory(shape=48, depth=config.sa_slots * _WORDS, init=[], attrs=_BLOCK_RAM)
        self._limits = Memory(shape=LimitsLayout, depth=config.sa_slots * 2, init=[], attrs=_BLOCK_RAM)
        self._flags = Memory(shape=_Flags, depth=config.sa_slots, init=[], attrs=slot_ram(config))
        slot = slot_bits(config)
        super().__init__({
            "start": In(1),
            "busy": Out(1),
            "handle": In(HandleLayout),
            "length": In(16),
            "known": In(1),
            "expired": Out(1),
            "fresh": Out(1),
            "errors": In(stream.Signature(slot)),
            "slot": In(slot),
            "limits": In(stream.Signature(data.StructLayout({"limits": LimitsLayout, "bytes": 1, "update": 1}))),
            "wipe": In(1),
            "query": In(1),
            "idle": Out(1),
            "usage": Out(UsageLayout),
            "event_valid": Out(1),
            "event": Out(EventLayout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.counts = self._counts
        m.submodules.limits = self._limits
        m.submodules.flags = self._flags
        count_read, count_write = self._counts.read_port(), self._counts.write_port()
        limit_read, limit_write = self._limits.read_port(), self._limits.write_port()
        flag_read, flag_write = self._flags.read_port(), self._flags.write_port()
        slot_width = len(self.slot)

        # Bit n: cycle n of a look-up.
        later = Signal(7)
        cycle = Cat(self.start, later)
        handle = Signal(HandleLayout, reset_less=True)
        slot = handle.slot[:slot_width]
        m.d.comb += self.busy.eq(cycle[1:7].any())
        m.d.sync += later.eq(cycle)
        with m.If(self.start):
            m.d.sync += handle.eq(self.handle)

        # Flags are read in cycle 1.
        flags = Signal(_Flags, reset_less=True)
        counting, counted, known = Signal(), Signal(), Signal()
        m.d.comb += [
            flag_read.addr.eq(slot),
            self.fresh.eq(flags.fresh),
            counting.eq(self.known & ~self.expired & ~flags.fresh),
        ]
        with m.If(cycle[2]):
            m.d.sync += [flags.eq(flag_read.data), self.expired.eq(flag_read.data.reached[2:].any())]
        with m.If(cycle[3]):
            m.d.sync += [counted.eq(counting), known.eq(self.known)]

        # Counts. A look-up names its words in cycles 2 and 3.
        address = Signal(data.StructLayout({"word": 2, "slot": slot_width}))
        item = Signal(_Item)
        stages = [(item, address)]
        for name in ("memory", "old", "new"):
            stage = Signal(_Item, name=f"{name}_item"), Signal.like(address, name=f"{name}_address", reset_less=True)
            m.d.sync += [b.eq(a) for a, b in zip(stages[-1], stage, strict=True)]
            stages.append(stage)
        _, (in_memory, _), (in_old, _), (in_new, new_address) = stages
        addend = Signal(16, reset_less=True)
        old, new = Signal(48, reset_less=True), Signal(48, reset_less=True)
        looking, erring, writing = Signal(), Signal(), Signal()
        querying = Signal()
        step = Signal(range(3))
        m.d.comb += [
            looking.eq(cycle[2] | cycle[3]),
            erring.eq((in_memory == _Item.ERROR) | (in_old == _Item.ERROR) | (in_new == _Item.ERROR)),
            self.errors.ready.eq(~looking & ~querying & ~erring),
            count_read.addr.eq(address),
        ]
        # Of what is in the last stage by then.
        m.d.sync += writing.eq(((in_old == _Item.LOOK_UP) & counted) | (in_old == _Item.ERROR))
        with m.If(looking):
            m.d.comb += item.eq(_Item.LOOK_UP)
            m.d.comb += [address.word.eq(Mux(cycle[3], _BYTES, _PACKETS)), address.slot.eq(slot)]
        with m.Elif(querying):
            # Not the word that is being written. A look-up writes its two in cycles 5 and 6, so packets are not read in
            # the first of them, and whatever its reads delay, packets and bytes are both of before or both of after.
            m.d.comb += [address.word.eq(step), address.slot.eq(self.slot)]
            with m.If(~(writing & (new_address.word == step))):
                m.d.comb += item.eq(_Item.QUERY)
                m.d.sync += step.eq(step + 1)
                with m.If(step == _ERRORS):
                    m.d.sync += [step.eq(0), querying.eq(0)]
        with m.Else():
            m.d.comb += [address.word.eq(_ERRORS), address.slot.eq(self.errors.payload)]
            with m.If(self.errors.valid & self.errors.ready):
                m.d.comb += item.eq(_Item.ERROR)
        with m.If(self.query):
            m.d.sync += querying.eq(1)
        m.d.sync += [addend.eq(in_memory == _Item.ERROR), old.eq(count_read.data), new.eq(old + addend)]
        with m.If(cycle[3]):
            m.d.sync += addend.eq(counting)
        with m.If(cycle[4]):
            m.d.sync += addend.eq(Mux(counted, self.length, 0))
        with m.If(in_new == _Item.QUERY):
            with m.Switch(new_address.word):
                with m.Case(_PACKETS):
                    m.d.sync += self.usage.packets.eq(new)
                with m.Case(_BYTES):
                    m.d.sync += self.usage.bytes.eq(new)
                with m.Default():
                    m.d.sync += self.usage.errors.eq(new)

        # Limits are read in cycles 3 and 4, so they meet the new counts in cycles 5 and 6.
        limits = Signal(LimitsLayout, reset_less=True)
        above, limited = Signal(2, reset_less=True), Signal(2, reset_less=True)
        packets, reached = Signal(2, reset_less=True), Signal(4)
        m.d.comb += [
            limit_read.addr.eq(Cat(cycle[4], slot)),
            reached.eq(Cat(packets[0], above[0] & limited[0], packets[1], above[1] & limited[1])),
        ]
        m.d.sync += [
            limits.eq(limit_read.data),
            above.eq(Cat(new >= limits.soft, new >= limits.hard)),
            limited.eq(Cat(limits.soft.any(), limits.hard.any())),
            packets.eq(above & limited),
        ]

        # While limits are replaced, look-ups of that slot leave its flags alone.
        held, holding = Signal(), Signal()
        known_before = Signal(4)
        verdict = Signal()
        m.d.comb += [
            known_before.eq(Mux(flags.untold, 0, flags.reached)),
            verdict.eq(cycle[7] & known & ~held & ~(holding & (slot == self.slot))),
        ]
        m.d.sync += [
            held.eq(~cycle[0] & (held | (holding & (slot == self.slot)))),
            self.event_valid.eq(verdict & ~flags.fresh & (reached & ~known_before).any()),
            self.event.handle.eq(handle),
            self.event.kinds.eq(reached & ~known_before),
        ]

        # Commands.
        wiping, renewing = Signal(), Signal()
        word = Signal(range(_WORDS))
        zero = Signal()
        limit_taken = Signal()
        m.d.comb += [
            self.idle.eq(
                ~wiping & ~renewing & ~querying & (in_memory != _Item.QUERY) & (in_old != _Item.QUERY)
                & (in_new != _Item.QUERY)
            ),
            zero.eq(wiping & ~writing & ~cycle[7]),
            # Not in the cycles in which a look-up may read them.
            self.limits.ready.eq(~cycle[3] & ~cycle[4] & ~wiping & ~renewing),
            limit_taken.eq(self.limits.valid & self.limits.ready),
            count_write.en.eq(writing | zero),
            count_write.addr.eq(Mux(writing, new_address, Cat(word, self.slot))),
            count_write.data.eq(Mux(writing, new, 0)),
            limit_write.en.eq(limit_taken | zero),
            limit_write.addr.eq(Cat(Mux(zero, word[0], self.limits.p.bytes), self.slot)),
            limit_write.data.eq(Mux(zero, 0, self.limits.p.limits)),
            flag_write.en.eq(verdict | zero | (renewing & ~cycle[7] & ~cycle[1])),
            flag_write.addr.eq(Mux(cycle[7], slot, self.slot)),
        ]
        with m.If(cycle[7]):
            m.d.comb += [flag_write.data.reached.eq(reached), flag_write.data.untold.eq(flags.fresh)]
        with m.Else():
            m.d.comb += flag_write.data.fresh.eq(renewing)
        with m.If(self.wipe):
            m.d.sync += wiping.eq(1)
        with m.If(zero):
            m.d.sync += word.eq(word + 1)
            with m.If(word == _WORDS - 1):
                m.d.sync += wiping.eq(0)
        with m.If(limit_taken & self.limits.p.update):
            m.d.sync += [holding.eq(1), renewing.eq(self.limits.p.bytes)]
        with m.If(renewing & ~cycle[7] & ~cycle[1]):
            m.d.sync += [holding.eq(0), renewing.eq(0)]
        return m
