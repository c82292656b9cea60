# SPDX-License-Identifier: Apache-2.0
"""Hash units, and who of them takes which pass."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..sa_layout import SA_ROW_WIDTH, RowRequest
from ..share import Share, hash_members, join
from ..units import Units
from .hash_order import HashOrder
from .hash_unit import HashUnit
from .layout import Done, HashTask, Patch, Progress, line_bits, thread_bits
from .queue import Queue

__all__ = ["HashPool", "ah_units"]


def ah_units(config):
    """Hash units that can do AH, which are the last ones."""
    return min(2, config.hash_units)


class HashPool(wiring.Component):
    """Keeps hash tasks by thread until they may begin, and hands each to an idle unit.

    A task that ``follows`` a cipher task may begin when that is half done; any other at once. The first unit lends its
    cores to key set-up.

    Parameters
    ----------
    config : Config
        With at least one HMAC.

    Members
    -------
    task : In(stream of HashTask)
        Ahead of the cipher task that it follows.
    half, progress : In
        See :class:`~nicsec.pool.cipher_pipe.CipherPipe`.
    written : In(units)
    fetch, rsp_valid, rsp_data, patch, row_req, row_rsp, done : arrays with one for each unit
        See :class:`~nicsec.pool.hash_unit.HashUnit`.
    working : Out(hash_units)
        With utilisation: the unit's core does a unit of work.
    claim : In(1), granted : Out(1), <hash>_i, <hash>_o
        Key set-up.
    """

    def __init__(self, config):
        self._config = config
        units = config.hash_units
        super().__init__({
            "task": In(stream.Signature(HashTask(config))),
            "half": In(data.StructLayout({"valid": 1, "thread": thread_bits(config)})),
            "progress": In(Progress(config)),
            "fetch": Out(stream.Signature(line_bits(config))).array(units),
            "rsp_valid": In(units),
            "rsp_data": In(128),
            "patch": Out(stream.Signature(Patch(config))).array(units),
            "written": In(units),
            "row_req": Out(stream.Signature(RowRequest(config))).array(units),
            "row_rsp": In(stream.Signature(SA_ROW_WIDTH)).array(units),
            "done": Out(stream.Signature(Done(config))).array(units),
            **({"working": Out(units)} if config.utilisation else {}),
            "claim": In(1),
            "granted": Out(1),
            **{name: member.flip() for name, member in hash_members(config).items()},
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        count, threads = config.hash_units, config.lanes
        ah = ah_units(config)
        task = HashTask(config)
        m.submodules.tasks = tasks = memory.Memory(
            shape=task.size, depth=max(threads, 2), init=[], attrs={"ram_style": "distributed"}
        )
        write, read = tasks.write_port(), tasks.read_port(domain="comb")
        m.submodules.plain = plain = Queue(thread_bits(config), threads)
        m.submodules.ah = masked = Queue(thread_bits(config), threads)

        # Threads come into the queues from here and from there, never more than there are. A task never waits, so that
        # it is here long before its cipher task is half done.
        m.submodules.halves = halves = Queue(thread_bits(config), threads)
        coming = self.task.p
        at_once = Signal()
        m.d.comb += [
            self.task.ready.eq(1),
            at_once.eq(self.task.valid & coming.esp & ~coming.follows),
            halves.i.valid.eq(self.half.valid), halves.i.payload.eq(self.half.thread), halves.o.ready.eq(~at_once),
            write.addr.eq(coming.thread), write.data.eq(coming), write.en.eq(self.task.valid),
            plain.i.valid.eq(halves.o.valid | at_once),
            plain.i.payload.eq(Mux(at_once, coming.thread, halves.o.payload)),
            masked.i.valid.eq(self.task.valid & ~coming.esp),
            masked.i.payload.eq(coming.thread),
        ]
        ciphered = Signal(threads)
        with m.If(self.progress.valid & self.progress.last):
            m.d.sync += ciphered.bit_select(self.progress.thread, 1).eq(1)
        with m.If(write.en):
            m.d.sync += ciphered.bit_select(coming.thread, 1).eq(0)

        idle, offer = Signal(count), Signal(count)
        taken, given = Signal(task, reset_less=True), Signal(HashOrder(config), reset_less=True)
        free_plain, take_ah, take_plain = Signal(count), Signal(), Signal()
        is_ah = C(((1 << ah) - 1) << (count - ah), count)
        candidates, seen, among, later = (Signal(count, name=name) for name in ("candidates", "seen", "among", "later"))
        picking = Signal()
        m.d.comb += [
            free_plain.eq(idle & ~is_ah),
            take_ah.eq(picking & masked.o.valid & (idle & is_ah).any()),
            take_plain.eq(picking & ~take_ah & plain.o.valid & idle.any()),
            candidates.eq(Mux(
                take_ah, idle & is_ah, Mux(take_plain, Mux(free_plain.any(), free_plain, idle), 0)
            )),
            masked.o.ready.eq(take_ah), plain.o.ready.eq(take_plain),
        ]
        thread = Signal(thread_bits(config))
        giving = Signal(count)
        follows, ended, ends = Signal(), Signal(), Signal()
        m.d.sync += ended.eq(ciphered.bit_select(thread, 1) | ends)
        m.d.comb += [
            read.addr.eq(thread),
            ends.eq(self.progress.valid & self.progress.last & (self.progress.thread == thread)),
        ]
        with m.FSM():
            with m.State("PICK"):
                m.d.comb += picking.eq(1)
                # Idle units stay so until one is given a task.
                m.d.sync += [
                    thread.eq(Mux(take_ah, masked.o.payload, plain.o.payload)), seen.eq(candidates), offer.eq(0),
                ]
                with m.If(take_ah | take_plain):
                    m.next = "READ"
            with m.State("READ"):
                # In turn: the first behind the one that was given a task last, or the first.
                behind = seen & later
                m.d.sync += [taken.eq(read.data), among.eq(Mux(behind.any(), behind, seen))]
                m.next = "ORDER"
            with m.State("ORDER"):
                m.d.sync += [
                    given.eq(HashOrder.of(m, config, taken)),
                    offer.eq(Cat(among[n] & ~among[:n].any() for n in range(count))),
                ]
                m.next = "CIPHERED"
            with m.State("CIPHERED"):
                m.d.sync += [
                    giving.eq(offer), later.eq(Cat(offer[:n].any() for n in range(count))),
                    follows.eq(given.follows & ~ended & ~ends),
                ]
                m.next = "GIVE"
            with m.State("GIVE"):
                # The unit is idle, so it takes the task; its answer to that is not looked at before it has. It counts
                # progress from the next cycle on.
                m.d.sync += [giving.eq(0), offer.eq(0)]
                m.next = "PICK"

        for n in range(count):
            m.submodules[f"unit{n}"] = unit = HashUnit(config, ah=n >= count - ah)
            m.submodules[f"cores{n}"] = cores = Units(config)
            members = hash_members(config)
            claim, claimed = Signal(name=f"claim{n}"), Signal(name=f"claimed{n}")
            m.d.sync += claimed.eq(claim)
            m.d.comb += cores.wipe.eq(claimed & ~claim)
            if n == 0:
                m.submodules.share = share = Share(config)
                m.d.comb += [
                    claim.eq(unit.claim | self.claim),
                    share.lane.claim.eq(unit.claim), unit.granted.eq(share.lane.granted),
                    share.setup.claim.eq(self.claim), self.granted.eq(share.setup.granted),
                ]
                join(m, members, unit, share.lane)
                join(m, members, flipped(self), share.setup)
                join(m, members, share, cores)
            else:
                m.d.comb += claim.eq(unit.claim)
                m.d.sync += unit.granted.eq(unit.claim)
                join(m, members, unit, cores)
            m.d.comb += [
                idle[n].eq(unit.task.ready), unit.task.valid.eq(giving[n]),
                unit.task.payload.eq(given), unit.task.p.follows.eq(follows & ~ends),
                unit.progress.eq(self.progress), unit.written.eq(self.written[n]),
                unit.rsp_valid.eq(self.rsp_valid[n]), unit.rsp_data.eq(self.rsp_data),
            ]
            if config.utilisation:
                m.d.comb += self.working[n].eq(cores.working.hash)
            connect(m, unit.fetch, flipped(self.fetch[n]))
            connect(m, unit.patch, flipped(self.patch[n]))
            connect(m, unit.row_req, flipped(self.row_req[n]))
            connect(m, flipped(self.row_rsp[n]), unit.row_rsp)
            connect(m, unit.done, flipped(self.done[n]))
        return m
