# SPDX-License-Identifier: Apache-2.0
"""SA table: slots with generations, rows of key material, deletion that drains."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from .algorithm import SAResult
from .sa_iv import IVCounters
from .sa_layout import (
    OPS,
    SA_ROW_WIDTH,
    EventLayout,
    Found,
    HandleLayout,
    IVCheck,
    LookUp,
    RowKind,
    RowRequest,
    RowWrite,
    SlotState,
    TableCommand,
    TableOp,
    TableResult,
    UsageLayout,
    row_address,
    rows_per_op,
    slot_bits,
    slot_ram,
)
from .sa_usage import Usage
from .stream import SkidBuffer

__all__ = ["SATable", "usage_members"]

#: No word read while it is written is used, so the tools need not guard against that.
_BLOCK_RAM = {"ram_style": "block", "no_rw_check": 1}
#: Packets that may be started and not retired.
_MAX_STARTED = 255


class _Slot(data.Struct):
    state: SlotState
    generate: OPS
    generation: 16


def _matches(entry, handle, bits):
    return (entry.state == SlotState.VALID) & (entry.generation == handle.generation) & (handle.slot[bits:] == 0)


def usage_members(config):
    """Ports of a table that counts, none without lifetimes."""
    if not config.lifetimes:
        return {}
    return {
        "errors": In(stream.Signature(slot_bits(config))),
        "event_valid": Out(1),
        "event": Out(EventLayout),
        "usage": Out(UsageLayout),
    }


class SATable(wiring.Component):
    """Slots of SA bundles.

    Parameters
    ----------
    config : Config

    Members
    -------
    ready : Out(1)
        Every row, counter and slot has been wiped after reset. Look-ups and commands wait for it.
    lookup : In(stream of :class:`LookUp`)
        A handle, and the bytes that the packet counts for.
    found : Out(stream of :class:`Found`)
        One answer per look-up, in order, 6 cycles later, but 13 or so for the first behind new limits; a look-up is
        taken every 7 cycles. ``ok``: the slot exists, is VALID and has the handle's generation. ``expired``: it is, and
        a hard limit has been reached. A look-up that is ``ok`` and not ``expired`` takes one value of the IV counter
        of each op that generates IVs and returns it in ``iv``; ``exhausted`` says that 2**64 - 1 had been taken from
        one of them before.
    check, checked
        IVs that frames brought: see :class:`~nicsec.sa_iv.IVCounters`. The packet has not retired yet.
    errors : In(stream of slot)
        With lifetimes; a packet that a look-up counted has failed, and not retired yet.
    event_valid, event : Out
        With lifetimes: see :class:`~nicsec.sa_usage.Usage`.
    usage : Out(UsageLayout)
        With lifetimes: what the last query found.
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
        started by then has retired, its rows, counters and limits are wiped, it becomes FREE, and the result is given.
        Update: until the next command, what comes through ``write`` with ``update`` goes to the slot of the handle.
        Query, with lifetimes: copies to ``usage``.
    result : Out(stream of ``TableResult``)
        One per command.
    write : In(stream of :class:`RowWrite`)
        While no command is outstanding: of the slot that the next add takes, if ``free`` is not 0; with ``update``,
        behind an update that was ok, SEQ_HIGH or both LIMITS in turn of the slot in use. Without such an update it is
        dropped.
    free : Out(range(config.sa_slots + 1))
        Free slots.
    """

    def __init__(self, config):
        self.config = config
        self._slots = Memory(shape=_Slot, depth=config.sa_slots, init=[], attrs=slot_ram(config))
        super().__init__(
            {
                "ready": Out(1),
                "lookup": In(stream.Signature(LookUp)),
                "found": Out(stream.Signature(Found(config))),
                "row_req": In(stream.Signature(RowRequest(config))),
                "row_rsp": Out(stream.Signature(SA_ROW_WIDTH)),
                "started": In(1),
                "retired": In(1),
                "cmd": In(stream.Signature(TableCommand)),
                "result": Out(stream.Signature(TableResult)),
                "write": In(stream.Signature(RowWrite(config))),
                "free": Out(range(config.sa_slots + 1)),
                "check": In(stream.Signature(IVCheck(config))),
                "checked": Out(stream.Signature(1)),
                **usage_members(config),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        bits = slot_bits(config)
        row_bits = (rows_per_op(config) - 1).bit_length()

        m.submodules.rows = rows = Memory(
            shape=SA_ROW_WIDTH, depth=config.sa_slots * OPS * rows_per_op(config), init=[], attrs=_BLOCK_RAM
        )
        m.submodules.slots = slots = self._slots
        m.submodules.ivs = ivs = IVCounters(config)
        m.submodules.free_list = free_list = Memory(
            shape=bits, depth=config.sa_slots, init=[], attrs=slot_ram(config)
        )
        slot_read, slot_write = slots.read_port(), slots.write_port()
        free_read, free_write = free_list.read_port(), free_list.write_port()
        row_write = rows.write_port(granularity=32)

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
        asked = Signal(LookUp, reset_less=True)
        handle = HandleLayout(asked.handle)
        entry = Signal(_Slot, reset_less=True)
        ok = Signal(reset_less=True)
        found_slot = Signal(bits, reset_less=True)
        found_valid = Signal()
        # A register, which much depends on: who looks up has the slots' port in the next cycle.
        reading, may_read = Signal(), Signal()
        # The cycle behind a look-up: one that comes again would meet the counting of its first time.
        ended = Signal()
        expired, fresh = Signal(), Signal()
        refused, again = Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            self.found.valid.eq(found_valid),
            self.found.p.ok.eq(ok),
            self.found.p.expired.eq(refused),
            self.found.p.exhausted.eq(ivs.exhausted),
            self.found.p.slot.eq(found_slot),
            self.found.p.iv.eq(ivs.taken),
            may_read.eq(~found_valid & ~ended),
            ivs.start.eq(reading),
            ivs.slot.eq(handle.slot),
            ivs.take.eq(entry.generate & (ok & ~expired & ~fresh).replicate(OPS)),
        ]
        connect(m, flipped(self.check), ivs.check)
        connect(m, ivs.checked, flipped(self.checked))
        with m.If(self.found.ready):
            m.d.sync += found_valid.eq(0)

        m.d.sync += [reading.eq(0), ended.eq(0)]
        with m.FSM(name="lookup"):
            with m.State("IDLE"):
                m.d.comb += self.lookup.ready.eq(self.ready)
                m.d.sync += [asked.eq(self.lookup.payload), reading.eq(self.lookup.valid & self.ready & may_read)]
                with m.If(self.lookup.valid & self.ready):
                    m.next = "SLOT"
            with m.State("SLOT"):
                with m.If(reading):
                    m.next = "ENTRY"
                with m.Else():
                    m.d.sync += reading.eq(may_read)
            with m.State("ENTRY"):
                m.d.sync += entry.eq(slot_read.data)
                m.next = "MATCH"
            with m.State("MATCH"):
                m.d.sync += [ok.eq(_matches(entry, handle, bits)), found_slot.eq(handle.slot)]
                m.next = "TAKE0"
            with m.State("TAKE0"):
                m.d.sync += [refused.eq(ok & expired), again.eq(ok & fresh)]
                m.next = "TAKE1"
            with m.State("TAKE1"):
                m.d.sync += [found_valid.eq(~again), ended.eq(1)]
                m.next = "IDLE"
                with m.If(again):
                    m.next = "SLOT"

        # Rows, first counter values and limits from key setup, and the zeros of a wipe, enter through one register.
        slot = Signal(bits)
        offset = Signal(range(OPS * rows_per_op(config)))
        head_slot = Signal(bits, reset_less=True)
        wiping = Signal(init=1)
        updating, in_use = Signal(), Signal()
        row_waits, iv_waits, limits_wait = Signal(), Signal(), Signal()
        row_blocked, limits_taken = Signal(), Signal()
        in_part = Signal(reset_less=True)
        row_at = Signal(row_read.addr.shape(), reset_less=True)
        incoming = Signal(SA_ROW_WIDTH, reset_less=True)
        m.d.comb += [
            # A row in use is not written while it is read.
            row_blocked.eq(in_use & requests.o.valid & (row_read.addr == row_at)),
            row_write.en.eq(Cat(row_waits & ~row_blocked, (row_waits & ~in_part).replicate(3))),
            row_write.addr.eq(row_at),
            row_write.data.eq(incoming),
            self.write.ready.eq(~wiping & ~iv_waits & ~limits_wait & ~row_waits),
            ivs.set_valid.eq(iv_waits),
            Cat(ivs.set_op, ivs.set_slot).eq(row_at[row_bits:]),
            ivs.set_value.eq(incoming),
        ]
        with m.If(~row_blocked):
            m.d.sync += row_waits.eq(0)
        with m.If(ivs.set_ready):
            m.d.sync += iv_waits.eq(0)
        with m.If(limits_taken):
            m.d.sync += limits_wait.eq(0)
        with m.If(wiping):
            m.d.sync += [incoming.eq(0), row_waits.eq(1), in_part.eq(0), in_use.eq(0), row_at.eq(Cat(offset, slot))]
            # A look-up delays this by two cycles at most, the op has eight rows.
            with m.If(offset[:row_bits] == 0):
                m.d.sync += iv_waits.eq(1)
        with m.Elif(self.write.ready):
            kind, update = self.write.p.kind, self.write.p.update
            write_slot = Signal(bits)
            whole, part = Signal(), Signal()
            # Of a slot in use nothing but these two kinds can be written.
            m.d.comb += [
                write_slot.eq(Mux(update, slot, head_slot)),
                whole.eq(self.write.valid & ~update),
                part.eq(self.write.valid & (~update | updating)),
            ]
            m.d.sync += [
                incoming.eq(self.write.p.data),
                row_waits.eq((whole & (kind == RowKind.ROW)) | (part & (kind == RowKind.SEQ_HIGH))),
                in_part.eq(kind == RowKind.SEQ_HIGH),
                in_use.eq(update),
                iv_waits.eq(whole & (kind == RowKind.IV)),
                row_at.eq(row_address(write_slot, self.write.p.op, self.write.p.row)),
            ]
            if config.lifetimes:
                m.d.sync += limits_wait.eq(part & (kind == RowKind.LIMITS))

        m.d.comb += slot_read.addr.eq(Mux(reading, handle.slot, slot))

        idle = C(1, 1)
        wipe_usage, query = Signal(), Signal()
        if config.lifetimes:
            m.submodules.usage = usage = Usage(config)
            connect(m, flipped(self.errors), usage.errors)
            idle = usage.idle
            m.d.comb += [
                usage.start.eq(reading),
                usage.handle.eq(handle),
                usage.length.eq(asked.length),
                usage.known.eq(ok),
                expired.eq(usage.expired),
                fresh.eq(usage.fresh),
                usage.slot.eq(Mux(limits_wait, row_at[row_bits + 1 :], slot)),
                usage.limits.valid.eq(limits_wait),
                usage.limits.p.limits.soft.eq(incoming[:48]),
                usage.limits.p.limits.hard.eq(incoming[64:112]),
                usage.limits.p.bytes.eq(row_at[0]),
                usage.limits.p.update.eq(in_use),
                limits_taken.eq(usage.limits.ready),
                usage.wipe.eq(wipe_usage),
                usage.query.eq(query),
                self.usage.eq(usage.usage),
                self.event_valid.eq(usage.event_valid),
                self.event.eq(usage.event),
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
        head = Signal(bits)
        tail = Signal(bits)
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
                    m.d.sync += updating.eq(0)
                    m.next = "SELECT"
            with m.State("SELECT"):
                m.d.sync += slot.eq(Mux(command.op == TableOp.ADD, head_slot, target.slot))
                m.next = "READ"
            with m.State("READ"):
                with m.If(~reading):
                    m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.sync += found_entry.eq(slot_read.data)
                m.next = "MATCH"
            with m.State("MATCH"):
                with m.If(command.op == TableOp.ADD):
                    m.d.sync += code.eq(Mux(free == 0, SAResult.FULL, SAResult.OK))
                    m.next = "ADD"
                with m.Elif(_matches(found_entry, target, bits)):
                    m.d.sync += [code.eq(SAResult.OK), updating.eq(command.op == TableOp.UPDATE)]
                    with m.Switch(command.op):
                        with m.Case(TableOp.DELETE):
                            m.next = "DRAIN"
                        with m.Case(TableOp.QUERY):
                            m.next = "QUERY"
                        with m.Default():
                            m.next = "RESULT"
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
            with m.State("QUERY"):
                m.d.comb += query.eq(1)
                m.next = "COPY"
            with m.State("COPY"):
                with m.If(idle):
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
                # Whatever a packet counted is in the memory by now: it retired before.
                m.d.comb += wipe_usage.eq(offset == rows_per_op(config))
                m.d.sync += offset.eq(offset + 1)
                with m.If(offset.all()):
                    m.d.sync += wiping.eq(0)
                    m.next = "FREE"
            with m.State("FREE"):
                # Two cycles after the last row was named it is in the memory.
                freeing = Signal()
                m.d.comb += [
                    freeing.eq(~reading & idle),
                    slot_write.en.eq(freeing),
                    slot_write.data.generation.eq(Mux(ready, found_entry.generation, 0)),
                    free_write.en.eq(freeing),
                ]
                with m.If(freeing):
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
