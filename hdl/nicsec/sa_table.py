# SPDX-License-Identifier: Apache-2.0
"""SA table: slots with generations, rows of key material, IV counters, deletion that drains."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from .algorithm import SAResult
from .sa_layout import (
    OPS,
    SA_ROW_WIDTH,
    Found,
    HandleLayout,
    RowRequest,
    RowWrite,
    SlotState,
    TableCommand,
    TableResult,
    row_address,
    rows_per_op,
)
from .stream import SkidBuffer

__all__ = ["SATable"]

#: No word read while it is written is used, so the tools need not guard against that.
_COLLISION_FREE = {"no_rw_check": 1}
_BLOCK_RAM = {"ram_style": "block", **_COLLISION_FREE}
#: Packets that may be started and not retired.
_MAX_STARTED = 255


class _Slot(data.Struct):
    state: SlotState
    generate: OPS
    generation: 16


class _IVCounter(data.Struct):
    """The next value, and whether 2**64 - 1 was taken: the carry out of the increment."""

    value: 64
    exhausted: 1


def _matches(entry, handle, slot_bits):
    return (
        (entry.state == SlotState.VALID)
        & (entry.generation == handle.generation)
        & (handle.slot[slot_bits:] == 0)
    )


class SATable(wiring.Component):
    """Slots of SA bundles.

    Parameters
    ----------
    config : Config

    Members
    -------
    ready : Out(1)
        Every row, counter and slot has been wiped after reset. Look-ups and commands wait for it.
    lookup : In(stream of 32)
        A handle.
    found : Out(stream of :class:`Found`)
        One answer per look-up, in order, 6 cycles later; a look-up is taken every 7 cycles.
        ``ok``: the slot exists, is VALID and has the handle's generation. A look-up that is ``ok`` takes one
        value of the IV counter of each op that generates IVs and returns it in ``iv``; ``exhausted`` says that
        2**64 - 1 had been taken from one of them before.
    row_req : In(stream of :class:`RowRequest`)
    row_rsp : Out(stream of 128)
        One row per request, in order, 3 cycles later, one per cycle.
    started : In(1)
        Strobe: a packet that will look up SAs begins, no later than the transfer of its first look-up.
    retired : In(1)
        Strobe: the oldest packet that was started will look up and fetch no more. At most 255 packets may be
        between the two.
    cmd : In(stream of ``TableCommand``)
        Add: the slot at the head of the free list, whose rows came through ``write``, becomes VALID under a
        generation that differs from its last one. Delete: the slot becomes DRAINING at once; when every packet
        started by then has retired, its rows and counters are wiped, it becomes FREE, and the result is given.
    result : Out(stream of ``TableResult``)
        One per command.
    write : In(stream of :class:`RowWrite`)
        A row of the slot that the next add takes. Transfer only while ``free`` is not 0 and no command is
        outstanding.
    free : Out(range(config.sa_slots + 1))
        Free slots.
    """

    def __init__(self, config):
        self.config = config
        self._slots = Memory(shape=_Slot, depth=config.sa_slots, init=[], attrs=_COLLISION_FREE)
        super().__init__(
            {
                "ready": Out(1),
                "lookup": In(stream.Signature(32)),
                "found": Out(stream.Signature(Found(config))),
                "row_req": In(stream.Signature(RowRequest(config))),
                "row_rsp": Out(stream.Signature(SA_ROW_WIDTH)),
                "started": In(1),
                "retired": In(1),
                "cmd": In(stream.Signature(TableCommand)),
                "result": Out(stream.Signature(TableResult)),
                "write": In(stream.Signature(RowWrite(config))),
                "free": Out(range(config.sa_slots + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        slot_bits = (config.sa_slots - 1).bit_length()
        row_bits = (rows_per_op(config) - 1).bit_length()

        m.submodules.rows = rows = Memory(
            shape=SA_ROW_WIDTH, depth=config.sa_slots * OPS * rows_per_op(config), init=[], attrs=_BLOCK_RAM
        )
        m.submodules.slots = slots = self._slots
        m.submodules.counters = counters = Memory(
            shape=_IVCounter, depth=config.sa_slots * OPS, init=[], attrs=_BLOCK_RAM
        )
        m.submodules.free_list = free_list = Memory(
            shape=slot_bits, depth=config.sa_slots, init=[], attrs=_COLLISION_FREE
        )
        slot_read, slot_write = slots.read_port(), slots.write_port()
        counter_read, counter_write = counters.read_port(), counters.write_port()
        free_read, free_write = free_list.read_port(), free_list.write_port()
        row_write = rows.write_port()

        # Row fetch. The buffer ahead of the memory is the cheap place to break the ready path: an address is
        # a tenth of a row.
        m.submodules.requests = requests = SkidBuffer(self.row_req.payload.shape())
        connect(m, flipped(self.row_req), requests.i)
        row_read = rows.read_port()
        advance = Signal()
        fetched = Signal()
        row = Signal(SA_ROW_WIDTH, reset_less=True)
        row_valid = Signal()
        m.d.comb += [
            advance.eq(~row_valid | self.row_rsp.ready),
            row_read.addr.eq(row_address(requests.o.p.slot, requests.o.p.op, requests.o.p.row)),
            row_read.en.eq(advance),
            requests.o.ready.eq(advance),
            self.row_rsp.payload.eq(row),
            self.row_rsp.valid.eq(row_valid),
        ]
        with m.If(advance):
            m.d.sync += [fetched.eq(requests.o.valid), row.eq(row_read.data), row_valid.eq(fetched)]

        # Look-up.
        handle = Signal(HandleLayout, reset_less=True)
        entry = Signal(_Slot, reset_less=True)
        newest = Signal(_IVCounter, reset_less=True)
        taken = Signal(data.ArrayLayout(64, OPS), reset_less=True)
        successor = Signal(_IVCounter, reset_less=True)
        spent = Signal()
        ok = Signal(reset_less=True)
        exhausted = Signal(reset_less=True)
        found_slot = Signal(slot_bits, reset_less=True)
        found_valid = Signal()
        reading = Signal()
        taking = Signal(OPS)
        op = Signal()
        m.d.comb += [
            self.found.valid.eq(found_valid),
            self.found.p.ok.eq(ok),
            self.found.p.exhausted.eq(exhausted),
            self.found.p.slot.eq(found_slot),
            self.found.p.iv.eq(taken),
        ]
        with m.If(self.found.ready):
            m.d.sync += found_valid.eq(0)
        m.d.sync += successor.eq(newest.as_value() + 1)

        with m.FSM(name="lookup"):
            with m.State("IDLE"):
                m.d.comb += self.lookup.ready.eq(self.ready)
                m.d.sync += handle.eq(self.lookup.payload)
                with m.If(self.lookup.valid & self.ready):
                    m.next = "SLOT"
            with m.State("SLOT"):
                with m.If(~found_valid):
                    m.d.comb += reading.eq(1)
                    m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.comb += op.eq(1)
                m.d.sync += [entry.eq(slot_read.data), newest.eq(counter_read.data)]
                m.next = "MATCH"
            with m.State("MATCH"):
                m.d.sync += [
                    ok.eq(_matches(entry, handle, slot_bits)),
                    found_slot.eq(handle.slot),
                    taken[0].eq(newest.value),
                    spent.eq(newest.exhausted),
                    newest.eq(counter_read.data),
                ]
                m.next = "TAKE0"
            with m.State("TAKE0"):
                m.d.comb += taking[0].eq(ok & entry.generate[0] & ~spent)
                m.d.sync += [exhausted.eq(ok & entry.generate[0] & spent), spent.eq(newest.exhausted)]
                m.d.sync += taken[1].eq(newest.value)
                m.next = "TAKE1"
            with m.State("TAKE1"):
                m.d.comb += op.eq(1)
                m.d.comb += taking[1].eq(ok & entry.generate[1] & ~spent)
                m.d.sync += [exhausted.eq(exhausted | (ok & entry.generate[1] & spent)), found_valid.eq(1)]
                m.next = "IDLE"

        # Rows and first counter values from key setup, and the zeros of a wipe, enter through one register.
        slot = Signal(slot_bits)
        offset = Signal(range(OPS * rows_per_op(config)))
        head_slot = Signal(slot_bits, reset_less=True)
        wiping = Signal(init=1)
        row_waits = Signal()
        counter_waits = Signal()
        row_at = Signal(row_read.addr.shape(), reset_less=True)
        incoming = Signal(SA_ROW_WIDTH, reset_less=True)
        m.d.sync += row_waits.eq(0)
        m.d.comb += [
            row_write.en.eq(row_waits),
            row_write.addr.eq(row_at),
            row_write.data.eq(incoming),
            self.write.ready.eq(~wiping & ~counter_waits),
        ]
        m.d.comb += [
            counter_write.en.eq(taking.any() | counter_waits),
            counter_write.addr.eq(Mux(taking.any(), counter_read.addr, row_at[row_bits:])),
            counter_write.data.eq(Mux(taking.any(), successor, incoming[:64])),
        ]
        with m.If(~taking.any()):
            m.d.sync += counter_waits.eq(0)
        with m.If(wiping):
            m.d.sync += [incoming.eq(0), row_waits.eq(1), row_at.eq(Cat(offset, slot))]
            # A look-up delays this by two cycles at most, the op has eight rows.
            with m.If(offset[:row_bits] == 0):
                m.d.sync += counter_waits.eq(1)
        with m.Elif(~counter_waits):
            m.d.sync += [
                incoming.eq(self.write.p.data),
                row_waits.eq(self.write.valid & ~self.write.p.iv),
                counter_waits.eq(self.write.valid & self.write.p.iv),
                row_at.eq(row_address(head_slot, self.write.p.op, self.write.p.row)),
            ]

        m.d.comb += [
            slot_read.addr.eq(Mux(reading, handle.slot, slot)),
            counter_read.addr.eq(Cat(op, handle.slot[:slot_bits])),
        ]

        # Commands. A delete and the wipe after reset share one routine; after reset it runs over every slot.
        ready = Signal()
        retiring = Signal(range(_MAX_STARTED + 1))
        in_flight = Signal.like(retiring)
        command = Signal(TableCommand, reset_less=True)
        target = HandleLayout(command.handle)
        found_entry = Signal(_Slot, reset_less=True)
        generation = Signal(16, reset_less=True)
        code = Signal(SAResult, reset_less=True)
        head = Signal(slot_bits)
        tail = Signal(slot_bits)
        free = Signal.like(self.free)
        m.d.comb += [
            self.ready.eq(ready),
            self.free.eq(free),
            self.result.p.code.eq(code),
            self.result.p.handle.eq(command.handle),
            slot_write.addr.eq(slot),
            free_read.addr.eq(head),
            free_write.addr.eq(tail),
            free_write.data.eq(slot),
        ]
        m.d.sync += [
            head_slot.eq(free_read.data),
            # Never 0, so that no handle is 0.
            generation.eq(Mux(found_entry.generation.all(), 1, found_entry.generation + 1)),
        ]
        with m.If(self.started & ~self.retired):
            m.d.sync += in_flight.eq(in_flight + 1)
        with m.Elif(self.retired & ~self.started):
            m.d.sync += in_flight.eq(in_flight - 1)

        with m.FSM(name="command", init="WIPE"):
            with m.State("IDLE"):
                m.d.comb += self.cmd.ready.eq(1)
                m.d.sync += [command.eq(self.cmd.payload), offset.eq(0)]
                with m.If(self.cmd.valid):
                    m.next = "SELECT"
            with m.State("SELECT"):
                m.d.sync += slot.eq(Mux(command.delete, target.slot, head_slot))
                m.next = "READ"
            with m.State("READ"):
                with m.If(~reading):
                    m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.sync += found_entry.eq(slot_read.data)
                m.next = "MATCH"
            with m.State("MATCH"):
                with m.If(~command.delete):
                    m.d.sync += code.eq(Mux(free == 0, SAResult.FULL, SAResult.OK))
                    m.next = "ADD"
                with m.Elif(_matches(found_entry, target, slot_bits)):
                    m.d.sync += code.eq(SAResult.OK)
                    m.next = "DRAIN"
                with m.Else():
                    m.d.sync += code.eq(SAResult.BAD_HANDLE)
                    m.next = "RESULT"
            with m.State("ADD"):
                m.d.comb += [
                    slot_write.data.state.eq(SlotState.VALID),
                    slot_write.data.generation.eq(generation),
                    slot_write.data.generate.eq(command.generate),
                ]
                with m.If(code == SAResult.FULL):
                    m.next = "RESULT"
                with m.Elif(~reading):
                    m.d.comb += slot_write.en.eq(1)
                    m.d.sync += [target.slot.eq(slot), target.generation.eq(generation)]
                    m.d.sync += [head.eq(head + 1), free.eq(free - 1)]
                    m.next = "NEXT"
            with m.State("NEXT"):
                # The next slot of the free list is known before the next rows may come.
                m.next = "RESULT"
            with m.State("DRAIN"):
                m.d.comb += [
                    slot_write.en.eq(~reading),
                    slot_write.data.state.eq(SlotState.DRAINING),
                    slot_write.data.generation.eq(found_entry.generation),
                ]
                with m.If(~reading):
                    m.next = "COUNT"
            with m.State("COUNT"):
                # From here on no look-up sees the slot as VALID; whoever saw it so has been counted.
                m.d.sync += retiring.eq(in_flight - self.retired)
                m.next = "RETIRE"
            with m.State("RETIRE"):
                with m.If(retiring == 0):
                    m.d.sync += wiping.eq(1)
                    m.next = "WIPE"
                with m.Elif(self.retired):
                    m.d.sync += retiring.eq(retiring - 1)
            with m.State("WIPE"):
                m.d.sync += offset.eq(offset + 1)
                with m.If(offset.all()):
                    m.d.sync += wiping.eq(0)
                    m.next = "FREE"
            with m.State("FREE"):
                # Two cycles after the last row was named it is in the memory.
                m.d.comb += [
                    slot_write.en.eq(~reading),
                    slot_write.data.generation.eq(Mux(ready, found_entry.generation, 0)),
                    free_write.en.eq(~reading),
                ]
                with m.If(~reading):
                    m.d.sync += [tail.eq(tail + 1), free.eq(free + 1)]
                    with m.If(ready):
                        m.next = "RESULT"
                    with m.Elif(slot.all()):
                        m.d.sync += ready.eq(1)
                        m.next = "IDLE"
                    with m.Else():
                        m.d.sync += [slot.eq(slot + 1), wiping.eq(1)]
                        m.next = "WIPE"
            with m.State("RESULT"):
                m.d.comb += self.result.valid.eq(1)
                with m.If(self.result.ready):
                    m.next = "IDLE"
        return m
