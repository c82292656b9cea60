# SPDX-License-Identifier: Apache-2.0
"""One packet from its load to the hand-over of its passes: the frame's own faults, walk, checksums, tasks."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..algorithm import Auth, Encr, Status
from ..choose import any_of
from ..job import INNER, OUTER, HeaderLayout
from ..sa_layout import RowRequest
from ..suite import judges_iv
from ..walker import Walker
from .layout import CipherTask, FrontJob, HashTask, Patch, at_place, line_bits, place_bits, thread_bits
from .line_cache import LineCache
from .range_sum import RangeSum
from .retire import FrontVerdict
from .threads import Ended

__all__ = ["Front"]

#: Passes of a plan.
_PASSES = 4
#: The last line that is fetched before it is asked for, where there is no more to be read than headers of IPv4 and ESP,
#: SPI and IV, and the trailer of a short packet. What the ring can give is better spent on other packets.
_EARLY = 3
#: Bits of a status; the others are zero.
_STATUS_BITS = max(status.value for status in Status).bit_length()


class Front(wiring.Component):
    """Takes packets one after another, from the frame in the ring to the tasks of its passes.

    Statuses and their order are those of docs/design.md section 4. A pass is handed over when the one before it is
    done, the last one without waiting for its end; the next packet begins while its tasks are still offered. Of a pass
    with both tasks the hash task goes first.

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
        Checksums, all of them ``last``.
    written : In(1)
        Strobe: what was taken is in the ring for whoever reads from now on. No pass of a packet begins, and it does not
        leave, before its checksums are there.
    thread : In(stream of thread)
        An idle thread; one is taken for each pass, ahead of its tasks. ``valid`` is only looked at while it is
        ``ready``, and may fall at any time.
    cipher_task : Out(stream of CipherTask), hash_task : Out(stream of HashTask)
        All zero from the second cycle behind a hand-over until a thread has been taken. ``ipv6`` and ``chained`` are
        zero for ESP.
    done : In(Ended)
        Strobe: a pass of any packet has ended; of a pass at hand at the earliest in the cycle behind its last task.
    verdict : Out(stream of FrontVerdict)
        One per packet. A final one ends it; any other one is taken ahead of the tasks of the last pass.
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
            "written": In(1),
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
        m.submodules.walker = walker = Walker(config)
        packet, job, loaded = self.job.p, self.job.p.job, self.job.p.loaded
        connect(m, cache.fetch, flipped(self.fetch))
        connect(m, walker.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), walker.row_rsp)
        reads, sums = Signal(), Signal()  # the walker or the sum has words read; it is the sum's turn
        last_line, hint, deep = (
            Signal.like(cache.last, name="last_line", reset_less=True),
            Signal.like(cache.hint, name="hint", reset_less=True), Signal(),
        )
        lead = walker.lead
        m.d.sync += [
            last_line.eq(Mux(deep, (loaded.length + 1) >> 4, _EARLY)),
            # Where the trailer is if the ICV has 16 bytes; with 12 it may be one line behind.
            hint.eq((loaded.length - 18) >> 4),
            deep.eq(job.nested | job.csum_ip | job.csum_l4 | lead[0].control.ah | lead[1].control.present),
        ]
        m.d.comb += [
            walker.job.eq(job),
            walker.word.eq(cache.word),
            walker.stall.eq(cache.stall),
            cache.active.eq(reads),
            cache.base.eq(packet.base),
            cache.last.eq(last_line),
            cache.hint.eq(hint),
            cache.rsp_valid.eq(self.rsp_valid),
            cache.rsp_data.eq(self.rsp_data),
        ]

        # The pass at hand: the first of those that are left. What it is follows from that and from the rows, a cycle
        # later. The rows are those of the level that was walked last, which is that of the first passes; those of the
        # outer level are fetched again when it is the next.
        left, picked = Signal(_PASSES), Signal(_PASSES)
        picked_ah, picked_outer, ah_alone = Signal(), Signal(), Signal()
        m.d.comb += [
            picked.eq(Cat(left[n] & ~left[:n].any() for n in range(_PASSES))),
            picked_ah.eq(picked[1] | picked[3]), picked_outer.eq(picked[2] | picked[3]),
            ah_alone.eq(lead[0].control.ah),
        ]
        pick, last = Signal(_PASSES), Signal()
        ah, outer, op = Signal(), Signal(), Signal()
        control = Signal.like(lead[0].control)
        encrypts, authenticates = Signal(), Signal(2)
        high_given = Mux(picked_outer, job.levels[OUTER].seq_high_valid, job.levels[INNER].seq_high_valid)
        high_from = Signal(4)
        m.d.sync += [
            pick.eq(picked), last.eq(left == picked), ah.eq(picked_ah), outer.eq(picked_outer),
            op.eq(picked_ah & ~ah_alone),
            control.eq(Mux(picked_ah & ~ah_alone, lead[1].control, lead[0].control)),
            high_from.eq(Cat(
                ~high_given & ~(picked_ah & ~ah_alone), ~high_given & picked_ah & ~ah_alone,
                high_given & ~picked_outer, high_given & picked_outer,
            )),
        ]
        ciphers, hashes, has_task, judges, known = Signal(), Signal(), Signal(), Signal(), Signal()
        judged = Signal(_PASSES)
        level = job.levels
        # Of the ops, a cycle behind their rows.
        m.d.sync += [
            encrypts.eq(lead[0].control.encr != Encr.NULL),
            authenticates.eq(Cat(row.control.auth != Auth.NONE for row in lead)), known.eq(walker.informed),
        ]
        has_cipher, has_hash = ~picked_ah & encrypts, Mux(picked_ah & ~ah_alone, authenticates[1], authenticates[0])
        m.d.sync += [ciphers.eq(has_cipher), hashes.eq(has_hash), has_task.eq(has_cipher | has_hash)]
        judged_yet = judged | Mux(judges, pick, 0)
        m.d.comb += [
            judges.eq(~ah & judges_iv(config, control)),
        ]
        # The walker is at its beginning a cycle behind its end, and what is asked of it is as late.
        fetched, wanted, due = Signal(), Signal(), Signal()
        m.d.sync += wanted.eq(job.nested & ~left[0] & ~left[1])
        m.d.comb += due.eq(wanted & ~fetched)

        # Its tasks. All registers are zero but while they are offered, and what has several sources is the OR of as
        # many registers.
        held, granted = Signal(), Signal()

        def kept(value, condition=None):
            register = Signal(len(Value.cast(value)), reset_less=True)
            with m.If(~held):
                chosen = granted if condition is None else granted & condition
                m.d.sync += register.eq(Mux(chosen, value, 0))
            return register

        plan = walker.plan
        start, header, end = (
            any_of([kept(plan[n][name], pick[n]) for n in range(_PASSES)]) for name in ("start", "header", "end")
        )
        base = kept(packet.base)
        both = {
            "thread": kept(self.thread.payload), "packet": kept(packet.packet), "last": kept(last),
            "slot": kept(Mux(outer, level[OUTER].slot, level[INNER].slot)), "esn": kept(control.esn),
            "icv_words": kept(control.icv_words),
            "seq_high": any_of([kept(value, source) for value, source in zip(
                (lead[0].seq_high, lead[1].seq_high, level[INNER].seq_high, level[OUTER].seq_high), high_from,
                strict=True,
            )]),
        }
        ciphered, hashed = kept(ciphers), kept(hashes)
        cipher_values = {
            **both, "number": Cat(C(0, 1), kept(outer)), "op": 0, "key_size": kept(control.key_size),
            "gcm": kept(control.encr == Encr.AES_GCM), "generate": kept(control.iv_generate), "judged": kept(judges),
            "hashed": hashed, "start": at_place(base, start, place_bits(config)), "body_words": end[2:] - header,
            "salt": kept(lead[0].salt), "iv": kept(Mux(outer, level[OUTER].iv[0], level[INNER].iv[0])),
        }
        hash_values = {
            **both, "op": kept(op), "auth": kept(control.auth), "esp": kept(~ah), "follows": ciphered, "base": base,
            "ipv6": kept(ah & Mux(outer, plan[3].ipv6, plan[1].ipv6)),
            "chained": kept(ah & Mux(outer, plan[3].chained, plan[1].chained)),
            "start": start, "header": header, "end": end,
        }
        for task, values in ((self.cipher_task, cipher_values), (self.hash_task, hash_values)):
            m.d.comb += [task.p[name].eq(value) for name, value in values.items()]

        # Offering them: the hash task first, and of a last pass when the verdict that goes ahead of it is taken.
        hash_due, cipher_due = Signal(), Signal()
        asks, given, told = Signal(), Signal(), Signal()
        mine = Signal(thread_bits(config), reset_less=True)
        m.d.comb += [
            self.hash_task.valid.eq(hash_due & ~given),
            self.cipher_task.valid.eq(cipher_due & ~hash_due & ~given),
            self.thread.ready.eq(asks & ~held),
            granted.eq(asks & self.thread.valid),
        ]
        with m.If(~held):
            with m.If(granted):
                m.d.sync += [held.eq(1), hash_due.eq(hashes), cipher_due.eq(ciphers), mine.eq(self.thread.payload)]
        with m.Elif(~given):
            with m.If(hash_due):
                with m.If(self.hash_task.ready):
                    m.d.sync += [hash_due.eq(0), held.eq(cipher_due)]
            with m.Elif(self.cipher_task.ready):
                m.d.sync += [cipher_due.eq(0), held.eq(0)]

        ended, running = Signal(), Signal()
        end_status = Signal(_STATUS_BITS)
        m.d.sync += [
            ended.eq(running & self.done.valid & (self.done.done.thread == mine)),
            end_status.eq(self.done.done.status),
        ]
        status = Signal(_STATUS_BITS)
        final = Signal()
        m.d.comb += [
            self.verdict.p.packet.eq(packet.packet),
            Value.cast(self.verdict.p.status).eq(status),
            self.verdict.p.final.eq(final),
            self.verdict.p.judged.eq(Mux(final, judged, judged_yet)),
        ]

        wrong_length = Signal()
        m.d.sync += wrong_length.eq(loaded.length != job.length)
        bad_walk = Signal()
        m.d.comb += bad_walk.eq(wrong_length | Value.cast(walker.status)[:_STATUS_BITS].any())

        m.d.comb += cache.addr.eq(walker.addr)
        if config.checksum:
            m.submodules.sum = range_sum = RangeSum(config)
            # The one whose turn it is not asks for word 0.
            m.d.comb += [range_sum.turn.eq(sums), cache.addr.eq(walker.addr | range_sum.addr)]
            begin, refused, summed = self._checksums(m, range_sum, cache, walker, sums, reads, status)

        # The state IDLE, without a comparison ahead of all that a start sets going.
        idle = Signal(init=1)
        m.d.comb += [walker.start.eq(idle & self.job.valid & packet.walked), cache.start.eq(walker.start)]

        def leave():
            m.d.comb += self.job.ready.eq(1)
            m.d.sync += [idle.eq(1), sums.eq(0)]
            m.next = "IDLE"

        def hand():
            m.d.sync += asks.eq(1)
            m.next = "HAND"

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [judged.eq(0), fetched.eq(0), reads.eq(walker.start)]
                with m.If(self.job.valid):
                    m.d.sync += idle.eq(0)
                    m.next = "REFUSED"
                    with m.If(packet.walked):
                        m.next = "WALK"
            with m.State("REFUSED"):
                m.d.sync += status.eq(Mux(
                    loaded.too_long, Status.TOO_LONG,
                    Mux(loaded.error, Status.INPUT_ERROR, Mux(wrong_length, Status.MALFORMED, job.status)),
                ))
                m.next = "FINAL"
            # What the plan says is settled some cycles ahead of the end.
            with m.State("WALK"):
                m.d.sync += [
                    reads.eq(~walker.done), sums.eq(walker.done),
                    status.eq(Mux(wrong_length, Status.MALFORMED, walker.status)),
                    left.eq(Cat(entry.active for entry in plan)),
                ]
                with m.If(walker.done):
                    with m.If(bad_walk):
                        m.next = "FINAL"
                    if config.checksum:
                        with m.Elif(job.csum_l4 | job.csum_ip):
                            m.d.comb += begin.eq(1)
                            m.next = "SUMS"
                    with m.Elif(has_task):
                        hand()
                    with m.Else():
                        m.next = "PASS"

            if config.checksum:
                with m.State("SUMS"):
                    with m.If(refused | (summed & ~job.bound)):
                        m.next = "FINAL"
                    with m.Elif(summed):
                        m.next = "PASS"

            with m.State("PASS"):
                m.d.comb += walker.again.eq(due)
                with m.If(due):
                    m.d.sync += fetched.eq(1)
                with m.Elif(walker.informed & known):
                    with m.If(has_task):
                        hand()
                    with m.Else():
                        # A pass without tasks is done.
                        m.d.sync += left.eq(left & ~pick)
                        m.next = "NEXT"
            with m.State("NEXT"):
                m.next = "PASS"
                with m.If(last):
                    m.next = "FINAL"
            with m.State("HAND"):
                m.d.comb += self.verdict.valid.eq(last & ~told)
                has_thread = given | (self.thread.valid & ~held)
                with m.If(self.verdict.ready):
                    m.d.sync += told.eq(last)
                m.d.sync += [given.eq(has_thread), asks.eq(~has_thread)]
                with m.If(has_thread & (~last | told | self.verdict.ready)):
                    m.d.sync += [
                        given.eq(0), told.eq(0), left.eq(left & ~pick), judged.eq(judged_yet),
                    ]
                    m.next = "RUN"
                    with m.If(last):
                        m.next = "TAKE"
                with m.If(has_thread & last & told):
                    leave()
            # The rows of the next pass come while this one is at work.
            with m.State("RUN"):
                m.d.comb += [running.eq(1), walker.again.eq(due)]
                with m.If(due):
                    m.d.sync += fetched.eq(1)
                m.d.sync += status.eq(end_status)
                with m.If(ended):
                    m.next = "PASS"
                    with m.If(end_status != 0):
                        m.next = "FINAL"
            with m.State("FINAL"):
                m.d.comb += [self.verdict.valid.eq(1), final.eq(1)]
                with m.If(self.verdict.ready):
                    m.next = "TAKE"
            # The rows that a packet asked for have come before the next one is walked.
            with m.State("TAKE"):
                with m.If(walker.informed):
                    leave()
        m.d.comb += self.busy.eq(~idle | held | self.job.valid)
        return m

    def _checksums(self, m, range_sum, cache, walker, sums, reads, status):
        """What is done between walk and passes: L4 first, then each IPv4 header.

        Returns the strobe to begin with, and those that tell that the packet is refused or the sums are there.
        """
        config = self._config
        job, region = self.job.p.job, walker.region
        m.d.comb += [
            range_sum.word.eq(cache.word),
            range_sum.stall.eq(cache.stall),
            self.patch.p.place.eq(at_place(self.job.p.base, range_sum.target, place_bits(config))),
            self.patch.p.data.eq(range_sum.result.replicate(2)),
            self.patch.p.mask.eq(Cat(range_sum.target_low, ~range_sum.target_low)), self.patch.p.last.eq(1),
        ]
        # L4 begins behind word `ahead` of the buffer, since `csum_start` is 2 modulo 4 as the frame is two bytes late;
        # the field is in word `field`. The first must not be ahead of the region, nor the end of the other behind it.
        words = len(region.first)
        ahead, offset = job.csum_start[2 : 2 + words], job.csum_offset
        field = Signal(words + 1, reset_less=True)
        room = Signal(words + 1)
        unaligned, far, outside = Signal(), Signal(), Signal()
        m.d.comb += room.eq(region.first + (~ahead)[:words])
        m.d.sync += [
            field.eq((Cat(C(1, 1), ahead) + Cat(C(1, 1), offset[2 : 2 + words]))[1:]),
            unaligned.eq((job.csum_start[:2] != 2) | offset[0]),
            far.eq(job.csum_start[2 + words :].any() | offset[2 + words :].any()),
            outside.eq(far | (room[-1] & room[:words].any()) | (Cat(offset[1], field) >= region.end[1:])),
        ]
        # The header at hand, and the number of the next one.
        header, header_number = Signal(HeaderLayout(config), reset_less=True), Signal(2)
        with m.If(~sums):
            m.d.sync += [header.eq(walker.headers[0]), header_number.eq(1)]
        m.d.comb += [
            range_sum.first.eq(header.start), range_sum.header.eq(1), range_sum.words.eq(header.words),
            range_sum.end.eq(region.end), range_sum.field.eq(field), range_sum.low.eq(offset[1]),
            range_sum.udp.eq(job.csum_udp),
        ]
        begin, refused, summed = Signal(), Signal(), Signal()
        m.d.sync += [refused.eq(0), summed.eq(0)]
        with m.FSM(name="sum_fsm"):
            with m.State("IDLE"):
                with m.If(begin):
                    m.next = "HEADERS"
                    with m.If(job.csum_l4):
                        m.next = "L4"
            with m.State("L4"):
                m.d.comb += [range_sum.load.eq(1), range_sum.header.eq(0), range_sum.first.eq(ahead)]
                with m.If(region.fragment | unaligned | outside):
                    m.d.sync += refused.eq(1)
                    m.d.sync += status.eq(Mux(
                        region.fragment, Status.FRAGMENT, Mux(unaligned, Status.UNALIGNED, Status.MALFORMED)
                    ))
                    m.next = "IDLE"
                with m.Else():
                    m.d.comb += range_sum.start.eq(1)
                    m.d.sync += reads.eq(1)
                    m.next = "SUM"
            with m.State("HEADERS"):
                m.d.comb += range_sum.load.eq(1)
                m.d.sync += [header.eq(walker.headers[header_number]), header_number.eq(header_number + 1)]
                with m.If(~job.csum_ip | (header_number == 0)):
                    m.d.sync += summed.eq(1)
                    m.next = "IDLE"
                with m.Elif(header.active):
                    m.d.comb += range_sum.start.eq(1)
                    m.d.sync += reads.eq(1)
                    m.next = "SUM"
            with m.State("SUM"):
                with m.If(range_sum.done):
                    m.d.sync += reads.eq(0)
                    m.next = "PATCH"
            with m.State("PATCH"):
                m.d.comb += self.patch.valid.eq(1)
                with m.If(self.patch.ready):
                    m.next = "WRITTEN"
            with m.State("WRITTEN"):
                with m.If(self.written):
                    m.next = "HEADERS"
        return begin, refused, summed
