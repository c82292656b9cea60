# SPDX-License-Identifier: Apache-2.0
"""One packet from its load to the hand-over of its passes: the frame's own faults, walk, checksums, tasks."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..algorithm import Auth, Encr, Status
from ..job import PassLayout
from ..sa_layout import RowRequest
from ..suite import judges_iv
from ..walker import Walker
from .layout import (
    CipherTask,
    FrontJob,
    HashTask,
    Patch,
    at_place,
    line_bits,
    place_bits,
    thread_bits,
)
from .line_cache import LineCache
from .range_sum import RangeSum
from .retire import FrontVerdict
from .threads import Ended

__all__ = ["Front"]

#: Passes of a plan.
_PASSES = 4


class Front(wiring.Component):
    """Takes packets one after another, from the frame in the ring to the tasks of its passes.

    Statuses and their order are those of docs/design.md section 4. A pass is handed over when the one before it is
    done, the last one without waiting for its end; the next packet begins while its tasks are still offered. Of a pass
    with both tasks the hash task goes first. ``done`` of a pass may come from the cycle on in which its last task is
    taken. 30 cycles from job to job for a packet of one pass without checksums whose lines and rows come in 10.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(stream of FrontJob)
        Read in place, and taken when the packet's last pass is handed over or its verdict is known. The frame is in
        the ring by then.
    fetch : Out(stream of line), rsp_valid : In(1), rsp_data : In(128)
        Lines of the ring, answered in the order of requests. What is asked for is always taken.
    row_req, row_rsp : streams
        Rows of the SA table.
    patch : Out(stream of Patch)
        Checksums. When one is taken the ring has it for whoever reads later.
    thread : In(stream of thread)
        An idle thread; one is taken for each pass, ahead of its tasks.
    cipher_task : Out(stream of CipherTask), hash_task : Out(stream of HashTask)
        All zero from the end of a hand-over to the cycle behind the next ``thread``: of fronts that are given threads
        one after another, each when the tasks of the one before it have gone, the payloads can be ORed.
    done : In(Ended)
        Strobe: a pass of any packet has ended.
    verdict : Out(stream of FrontVerdict)
        One per packet, in the end or, if it is not final, ahead of the last pass's thread.
    busy : Out(1)
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "job": In(stream.Signature(FrontJob(config))),
            "fetch": Out(stream.Signature(line_bits(config))),
            "rsp_valid": In(1),
            "rsp_data": In(128),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(128)),
            "patch": Out(stream.Signature(Patch(config))),
            "thread": In(stream.Signature(thread_bits(config))),
            "cipher_task": Out(stream.Signature(CipherTask(config))),
            "hash_task": Out(stream.Signature(HashTask(config))),
            "done": In(Ended(config)),
            "verdict": Out(stream.Signature(FrontVerdict(config))),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config

        m.submodules.cache = cache = LineCache(config)
        stall = cache.stall
        m.submodules.walker = walker = Walker(config)
        job, loaded = self.job.p.job, self.job.p.loaded
        connect(m, cache.fetch, flipped(self.fetch))
        connect(m, walker.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), walker.row_rsp)
        m.d.comb += [
            walker.job.eq(job),
            walker.word.eq(cache.word),
            walker.stall.eq(stall),
            cache.base.eq(self.job.p.base),
            cache.last.eq((loaded.length + 1) >> 4),
            cache.hint.eq(cache.last),
            cache.hint_valid.eq(1),
            cache.rsp_valid.eq(self.rsp_valid),
            cache.rsp_data.eq(self.rsp_data),
        ]

        walking, summing = Signal(), Signal()
        m.d.comb += [cache.active.eq(walking | summing), cache.addr.eq(walker.addr)]
        if config.checksum:
            m.submodules.sum = range_sum = RangeSum(config)
            m.d.comb += [
                range_sum.word.eq(cache.word),
                range_sum.stall.eq(stall),
                self.patch.p.place.eq(at_place(self.job.p.base, range_sum.target, place_bits(config))),
                self.patch.p.data.eq(range_sum.result.replicate(2)),
                self.patch.p.mask.eq(Mux(range_sum.target_low, 0b01, 0b10)),
            ]
            with m.If(summing):
                m.d.comb += cache.addr.eq(range_sum.addr)

        status = Signal(Status)
        wrong_length = Signal()
        m.d.sync += wrong_length.eq(loaded.length != job.length)

        # Passes that are left, the one at hand, and what it is. The rows at hand are those of the level that was
        # walked last, which is that of the first passes; of the outer level they are fetched again when it is the
        # next.
        left, picked = Signal(_PASSES), Signal(_PASSES)
        number, is_last = Signal(2), Signal()
        lead = walker.lead
        esp, op = Signal(), Signal()
        control = Signal.like(lead[0].control)
        fetched = Signal()
        due = Signal()
        m.d.comb += [
            picked.eq(left & -left),
            number.eq(Cat(picked[1] | picked[3], picked[2] | picked[3])),
            is_last.eq((left & (left - 1)) == 0),
            esp.eq(~number[0]),
            op.eq(~esp & ~lead[0].control.ah),
            control.eq(Mux(op, lead[1].control, lead[0].control)),
            due.eq(job.nested & ~left[0] & ~left[1] & ~fetched),
        ]

        # The pass at hand, settled a cycle ahead of its hand-over.
        entry = Signal(PassLayout(config), reset_less=True)
        level = Signal()
        last = Signal()
        has_cipher, has_hash, judges = Signal(), Signal(), Signal()
        judged = Signal(_PASSES)
        held_control = Signal.like(control)
        held_op, held_esp, held_number = Signal(), Signal(), Signal(2)
        cipher, hashed = Signal(), Signal()
        m.d.comb += [
            cipher.eq(esp & (control.encr != Encr.NULL)),
            hashed.eq(control.auth != Auth.NONE),
        ]

        # Tasks on offer.
        held = Signal()
        hash_due, cipher_due = Signal(), Signal()
        grant, given, told, waits = Signal(), Signal(), Signal(), Signal()
        mine = Signal(thread_bits(config), reset_less=True)
        task, hash_task = Signal(CipherTask(config), reset_less=True), Signal(HashTask(config), reset_less=True)
        at_hand = job.levels[level]
        seq_high = Mux(at_hand.seq_high_valid, at_hand.seq_high, lead[held_op].seq_high)
        values = {
            "thread": self.thread.payload, "packet": self.job.p.packet, "number": held_number, "last": last,
            "slot": at_hand.slot, "op": held_op, "key_size": held_control.key_size,
            "gcm": held_control.encr == Encr.AES_GCM, "generate": held_control.iv_generate, "judged": judges,
            "hashed": has_hash, "esn": held_control.esn, "icv_words": held_control.icv_words,
            "start": at_place(self.job.p.base, entry.start, place_bits(config)),
            "body_words": (entry.end >> 2) - entry.header,
            "salt": lead[0].salt, "iv": at_hand.iv[0], "seq_high": seq_high,
        }
        hash_values = {
            **values,
            "auth": held_control.auth, "esp": held_esp, "ipv6": entry.ipv6, "chained": entry.chained,
            "follows": has_cipher, "base": self.job.p.base,
            "start": entry.start, "header": entry.header, "end": entry.end,
        }
        m.d.comb += [
            self.cipher_task.payload.eq(task),
            self.hash_task.payload.eq(hash_task),
            self.hash_task.valid.eq(hash_due & ~waits),
            self.cipher_task.valid.eq(cipher_due & ~hash_due & ~waits),
            self.thread.ready.eq(grant & ~held),
        ]
        with m.If(~held):
            for record, source in ((task, values), (hash_task, hash_values)):
                for name in record.shape().members:
                    m.d.sync += record[name].eq(Mux(self.thread.valid & grant, source[name], 0))
            with m.If(self.thread.valid & grant):
                m.d.sync += [
                    held.eq(1), hash_due.eq(has_hash), cipher_due.eq(has_cipher), mine.eq(self.thread.payload),
                ]
        with m.Elif(waits):
            pass
        with m.Elif(hash_due):
            with m.If(self.hash_task.ready):
                m.d.sync += [hash_due.eq(0), held.eq(cipher_due)]
        with m.Else():
            with m.If(self.cipher_task.ready):
                m.d.sync += [cipher_due.eq(0), held.eq(0)]

        final = Signal()
        ended, running = Signal(), Signal()
        end_status = Signal(Status)
        m.d.sync += [
            ended.eq(running & self.done.valid & (self.done.done.thread == mine)),
            end_status.eq(self.done.done.status),
        ]
        m.d.comb += [
            self.verdict.p.packet.eq(self.job.p.packet),
            self.verdict.p.status.eq(status),
            self.verdict.p.final.eq(final),
            self.verdict.p.judged.eq(judged),
        ]

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [judged.eq(0), fetched.eq(0)]
                with m.If(self.job.valid):
                    m.next = "REFUSED"
                    with m.If(~job.bypass & (job.status == Status.SUCCESS) & ~loaded.too_long & ~loaded.error):
                        m.d.comb += [cache.start.eq(1), walker.start.eq(1)]
                        m.next = "WALK"
            with m.State("REFUSED"):
                m.d.sync += status.eq(Mux(
                    loaded.too_long, Status.TOO_LONG,
                    Mux(loaded.error, Status.INPUT_ERROR, Mux(wrong_length, Status.MALFORMED, job.status)),
                ))
                m.next = "FINAL"
            with m.State("WALK"):
                m.d.comb += walking.eq(1)
                m.d.sync += [
                    status.eq(Mux(wrong_length, Status.MALFORMED, walker.status)),
                    left.eq(Cat(entry.active for entry in walker.plan)),
                ]
                with m.If(walker.done):
                    with m.If(wrong_length | (walker.status != Status.SUCCESS)):
                        m.next = "FINAL"
                    if config.checksum:
                        with m.Elif(job.csum_l4):
                            m.next = "L4"
                        with m.Elif(job.csum_ip):
                            m.next = "HEADERS"
                    with m.Else():
                        m.next = "PASS"

            if config.checksum:
                region = walker.region
                l4_start, l4_field = Signal(18), Signal(18)
                header_number = Signal(2)
                m.d.sync += [l4_start.eq(job.csum_start + 2), l4_field.eq(job.csum_start + job.csum_offset + 2)]
                with m.State("L4"):
                    m.d.comb += [
                        range_sum.first.eq(l4_start >> 2), range_sum.end.eq(region.end),
                        range_sum.field.eq(l4_field >> 2), range_sum.low.eq(l4_field[1]),
                        range_sum.udp.eq(job.csum_udp),
                    ]
                    m.next = "FINAL"
                    with m.If(region.fragment):
                        m.d.sync += status.eq(Status.FRAGMENT)
                    with m.Elif(l4_start[:2].any() | l4_field[0]):
                        m.d.sync += status.eq(Status.UNALIGNED)
                    with m.Elif(((l4_start >> 2) < region.first) | (l4_field + 2 > region.end)):
                        m.d.sync += status.eq(Status.MALFORMED)
                    with m.Else():
                        m.d.comb += range_sum.start.eq(1)
                        m.next = "SUM"
                with m.State("HEADERS"):
                    header = walker.headers[header_number]
                    m.d.comb += [
                        range_sum.first.eq(header.start), range_sum.end.eq((header.start + header.words) << 2),
                        range_sum.header.eq(1), range_sum.low.eq(1), range_sum.field.eq(header.start + 2),
                    ]
                    m.d.sync += header_number.eq(header_number + 1)
                    with m.If(~job.csum_ip | (header_number == 3)):
                        m.d.sync += header_number.eq(0)
                        m.next = "PASS"
                        with m.If(~job.bound):
                            m.next = "FINAL"
                    with m.Elif(header.active):
                        m.d.comb += range_sum.start.eq(1)
                        m.next = "SUM"
                with m.State("SUM"):
                    m.d.comb += summing.eq(1)
                    with m.If(range_sum.done):
                        m.next = "PATCH"
                with m.State("PATCH"):
                    m.d.comb += self.patch.valid.eq(1)
                    with m.If(self.patch.ready):
                        m.next = "HEADERS"

            with m.State("PASS"):
                m.d.sync += [
                    entry.eq(walker.plan[number]), level.eq(number[1]), last.eq(is_last),
                    held_control.eq(control), held_op.eq(op), held_esp.eq(esp), held_number.eq(number),
                    has_cipher.eq(cipher), has_hash.eq(hashed), judges.eq(esp & judges_iv(config, control)),
                ]
                m.d.comb += walker.again.eq(due)
                with m.If(due):
                    m.d.sync += fetched.eq(1)
                with m.Elif(walker.informed):
                    m.d.sync += [
                        left.eq(left & ~picked),
                        judged.eq(judged | Mux(esp & judges_iv(config, control), picked, 0)),
                    ]
                    with m.If(cipher | hashed):
                        m.next = "HAND"
                    with m.Elif(is_last):
                        m.next = "FINAL"
            # The thread of a last pass may be there ahead of the verdict, but its tasks wait for that.
            with m.State("HAND"):
                m.d.comb += [self.verdict.valid.eq(last & ~told), grant.eq(~given), waits.eq(given)]
                granted = given | (self.thread.valid & ~held)
                informed = ~last | told | self.verdict.ready
                m.d.sync += [given.eq(granted & ~informed), told.eq(informed & last & ~granted)]
                with m.If(granted & informed):
                    m.next = "RUN"
                    with m.If(last):
                        m.next = "TAKE"
            # The rows of the next pass come while this one is at work.
            with m.State("RUN"):
                m.d.comb += [running.eq(1), walker.again.eq(due)]
                with m.If(due):
                    m.d.sync += fetched.eq(1)
                with m.If(ended):
                    m.d.sync += status.eq(end_status)
                    m.next = "PASS"
                    with m.If(end_status != Status.SUCCESS):
                        m.next = "FINAL"
            with m.State("FINAL"):
                m.d.comb += [self.verdict.valid.eq(1), final.eq(1)]
                with m.If(self.verdict.ready):
                    m.next = "TAKE"
            # The rows that a packet asked for have come before the next one is walked.
            with m.State("TAKE"):
                with m.If(walker.informed):
                    m.d.comb += self.job.ready.eq(1)
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE") | held | self.job.valid)
        return m
