# SPDX-License-Identifier: Apache-2.0
"""HMAC over a frame in the ring, one pass after another."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..algorithm import Status
from ..choose import any_of, more_than
from ..sa_layout import RowRequest, hash_state_words
from ..share import hash_members, hashes
from .hash_order import AUTHS, BLOCK_BYTES, HashOrder
from .layout import Done, Patch, Progress, line_bits
from .line_reader import LineReader
from .masked import Masked
from .midstates import Midstates

__all__ = ["HashUnit"]

#: Words of a block, and those that wait for the core.
_BLOCK_WORDS, _QUEUE = 16, 16


class HashUnit(wiring.Component):
    """One HMAC pass at a time; what it writes is the ICV.

    The words of the two requests of a pass, states, message, digest and padding, go through one queue to the core.

    Parameters
    ----------
    config : Config
    ah : bool
        Whether it can do AH.

    Members
    -------
    task : In(stream of HashOrder)
        Taken when idle.
    fetch : Out(stream of line_bits(config)), rsp_valid : In(1), rsp_data : In(128)
        Lines of the ring, in the order of requests.
    patch : Out(stream of Patch)
        The words of the ICV.
    written : In(1)
        Strobe: the last of them is in the ring for whoever reads from now on. A pass is not done before.
    row_req, row_rsp : streams
        The SA table.
    progress : In(Progress(config))
        Counts from the cycle behind the transfer of the task on. A task that ``follows`` reads no line that is not
        wholly ahead of the last place that was reported of its thread, until one comes with ``last``.
    done : Out(stream of Done)
    claim : Out(1), granted : In(1), <hash>_i, <hash>_o
        The hash cores; see :class:`~nicsec.share.CryptoUser`.
    busy : Out(1)
        From the transfer of a task to that of its ``done``.
    """

    def __init__(self, config, *, ah):
        self._config = config
        self._ah = ah
        line = line_bits(config)
        super().__init__({
            "task": In(stream.Signature(HashOrder(config))),
            "fetch": Out(stream.Signature(line)),
            "rsp_valid": In(1),
            "rsp_data": In(128),
            "patch": Out(stream.Signature(Patch(config))),
            "written": In(1),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(128)),
            "progress": In(Progress(config)),
            "done": Out(stream.Signature(Done(config))),
            "claim": Out(1),
            "granted": In(1),
            "busy": Out(1),
            **hash_members(config),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        cores = hashes(config)
        digest_words = [hash_state_words(AUTHS[name]) for name in cores]

        # The task. `message` counts bytes: of the message, and then of the digest.
        ah = self._ah
        coming = self.task.p
        names = ["thread", "packet", "last", "slot", "op", "hash", "icv_last", "esn", "seq_high"]
        if ah:
            names += ["esp", "ipv6", "chained", "first", "head", "end", "icv", "header_words", "icv_start", "size"]
        order = Signal(data.StructLayout({name: HashOrder(config).members[name] for name in names}), reset_less=True)
        message = Signal.like(coming.bytes, reset_less=True)
        start, go = Signal(), Signal()
        m.d.comb += [self.task.ready.eq(~self.busy), start.eq(self.task.valid & ~self.busy), go.eq(start)]
        second_hash = order.hash if len(cores) > 1 else C(0, 1)

        # Phases of a pass, one at a time, all of them twice but for the last: state, words of message or digest, high
        # half of the ESN, marker, padding, answer.
        state, body, high, mark, pad, answer, end = (
            Signal(name=name) for name in ("state", "body", "high", "mark", "pad", "answer", "end")
        )
        outer = Signal()

        m.submodules.midstates = midstates = Midstates(config)
        m.d.comb += [
            midstates.start.eq(go), midstates.slot.eq(order.slot), midstates.op.eq(order.op),
            midstates.short.eq(Mux(second_hash, digest_words[-1] == 5, digest_words[0] == 5)),
        ]
        connect(m, midstates.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), midstates.row_rsp)
        m.submodules.reader = reader = LineReader(config, bytewise=ah)
        m.d.comb += [
            reader.start.eq(start), reader.first.eq(coming.first), reader.end.eq(coming.end),
            # Ranges that begin later, when the port shows another unit's task, are there already.
            reader.follows.eq(start & coming.follows),
            reader.thread.eq(order.thread), reader.progress.eq(self.progress),
            reader.rsp_valid.eq(self.rsp_valid), reader.rsp_data.eq(self.rsp_data),
        ]
        connect(m, reader.fetch, flipped(self.fetch))
        # What is read, or in AH up to the ICV what has been masked of it.
        body_valid, body_last, body_take, body_word = Signal(), Signal(), Signal(), Signal(32)
        unmasked, size = C(1, 1), C(0, 2)
        if ah:
            m.submodules.masked = masked = Masked(config)
            unmasked, size = ~masked.active, order.size
            m.d.comb += [
                masked.start.eq(start & ~coming.esp),
                *(getattr(masked, name).eq(order[name]) for name in (
                    "ipv6", "chained", "first", "head", "end", "header_words", "icv_start", "icv_last"
                )),
                masked.i_valid.eq(reader.valid), masked.i_last.eq(reader.last), masked.i_word.eq(reader.word),
                masked.take.eq(body_take & masked.active),
                go.eq((start & coming.esp) | masked.go),
                reader.take.eq(Mux(masked.active, masked.i_take, body_take)),
                reader.size.eq(Mux(masked.active, 0, size)),
                body_valid.eq(Mux(masked.active, masked.valid, reader.valid)),
                body_last.eq(Mux(masked.active, masked.last & masked.dry, reader.last)),
            ]
            was_read, was_masked = Signal(), Signal()
            m.d.sync += [was_read.eq(body_take & ~masked.active), was_masked.eq(masked.take)]
            m.d.comb += body_word.eq(
                (reader.word & was_read.replicate(32)) | (masked.word & was_masked.replicate(32))
            )
            with m.If(masked.read):
                m.d.comb += [reader.start.eq(1), reader.first.eq(masked.read_first), reader.end.eq(masked.read_end)]
            with m.Elif(start & ~coming.esp & coming.chained):
                m.d.comb += reader.end.eq(coming.head)
        else:
            m.d.comb += [
                reader.take.eq(body_take), body_valid.eq(reader.valid), body_last.eq(reader.last),
                body_word.eq(reader.word),
            ]

        # What comes from the core: the inner digest goes back to it, the outer one to the frame, through one register.
        from_valid, from_ready, from_last, taken = Signal(), Signal(), Signal(), Signal()
        from_core, result = Signal(32), Signal(32, reset_less=True)
        o = [getattr(self, f"{name}_o") for name in cores]
        m.d.comb += [
            from_valid.eq(any_of([port.valid for port in o])),
            from_core.eq(Mux(second_hash, o[-1].p.word, o[0].p.word)),
            from_last.eq(Mux(second_hash, o[-1].p.last, o[0].p.last)),
            taken.eq(from_valid & from_ready),
            *(port.ready.eq(from_ready) for port in o),
        ]
        patching = Signal()
        with m.If(~patching):
            with m.If(taken):
                m.d.sync += result.eq(from_core)
            with m.Else():
                m.d.sync += result.eq(0)

        # A word is chosen in one cycle, and put into the queue in the next.
        room, choose, there, chosen = Signal(), Signal(), Signal(), Signal()
        put, put_last = Signal(), Signal()
        with m.If(state):
            m.d.comb += there.eq(midstates.valid)
        with m.Elif(body):
            m.d.comb += there.eq(Mux(outer, from_valid, body_valid))
        with m.Else():
            m.d.comb += there.eq(1)
        m.d.comb += [
            choose.eq(state | body | high | mark | pad),
            chosen.eq(choose & room & there),
            midstates.take.eq(state & room & midstates.valid),
            body_take.eq(body & ~outer & room & body_valid),
            from_ready.eq((body & outer & room) | (answer & ~patching)),
        ]

        # Padding: a marker, zeros, and the length in the last word of a block, that behind the marker if there are two
        # words for it. A last word with less than four bytes takes in the first ones of what follows.
        index = Signal(4, reset_less=True)
        late = Signal(reset_less=True)
        block_ends, length = Signal(), Signal()
        padding = Signal(32, reset_less=True)
        m.d.comb += [block_ends.eq(index == _BLOCK_WORDS - 1), length.eq(pad & block_ends & ~late)]
        marked, short = Signal(), Signal()
        high_bytes, marks = [high] * 4, [mark, 0, 0, 0]  # the first byte is the highest
        m.d.comb += marked.eq(mark)
        if ah:
            tail = Signal()
            m.d.comb += [
                short.eq(size.any()), tail.eq(body & ~outer & unmasked & reader.last & short),
                marked.eq(mark | (short & high) | (tail & ~order.esn)),
            ]
            high_bytes = [
                Mux(high, ~short | more_than(size, n), tail & order.esn & ~more_than(size, n)) for n in range(4)
            ]
            marks = [marked & (size == n) for n in range(4)]
        bits = Cat(C(0, 3), message)
        for n in range(32):
            byte = 3 - n // 8
            from_high, from_others = high_bytes[byte], C(0, 1)
            if n % 8 == 7 and not isinstance(marks[byte], int):
                from_others |= marks[byte]
            if 3 <= n < len(bits):
                from_others |= bits[n] & length
            if isinstance(from_others, Const):
                with m.If(from_high):
                    m.d.sync += padding[n].eq(order.seq_high[n])
                with m.Else():
                    m.d.sync += padding[n].eq(0)
            else:
                m.d.sync += padding[n].eq((order.seq_high[n] & from_high) | from_others)
        m.d.sync += [put.eq(chosen), put_last.eq(length)]
        with m.If(state):
            m.d.sync += index.eq(0)
        with m.Elif(chosen | (answer & taken)):
            m.d.sync += index.eq(index + 1)
        with m.If(marked):
            m.d.sync += late.eq(index == _BLOCK_WORDS - 2)
        with m.Elif(block_ends & chosen):
            m.d.sync += late.eq(0)

        # Phases.
        with m.If(chosen):
            with m.If(state & midstates.last):
                m.d.sync += [state.eq(0), body.eq(1)]
            with m.If(body & Mux(outer, from_last, body_last)):
                m.d.sync += [
                    body.eq(0), high.eq(order.esn & ~outer), mark.eq((~order.esn & ~short) | outer),
                    pad.eq(~order.esn & short & ~outer),
                ]
            with m.If(high):
                m.d.sync += [high.eq(0), mark.eq(~short), pad.eq(short)]
            with m.If(mark):
                m.d.sync += [mark.eq(0), pad.eq(1)]
            with m.If(length):
                m.d.sync += [
                    pad.eq(0), state.eq(~outer), answer.eq(outer), outer.eq(1),
                    message.eq(Mux(second_hash, BLOCK_BYTES + 4 * digest_words[-1], BLOCK_BYTES + 4 * digest_words[0])),
                ]
                if ah:
                    m.d.sync += order.size.eq(0)

        if ah:
            # The ICV of AH is inside of what was read. A word of padding is there whenever there is room for it.
            with m.If(length & room):
                m.d.comb += reader.seek.eq(1)
                with m.If(~outer):
                    m.d.comb += [reader.start.eq(1), reader.first.eq(order.icv)]

        # The queue, and the word that the core is offered.
        m.submodules.queue = queue = memory.Memory(
            shape=33, depth=_QUEUE, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = queue.write_port(), queue.read_port(domain="comb")
        wanted_at, put_at, got_at = Signal(5), Signal(5), Signal(5)
        to_core, to_last, to_valid = Signal(32, reset_less=True), Signal(reset_less=True), Signal()
        got, to_ready = Signal(), Signal()
        m.d.comb += [
            write.addr.eq(put_at), write.en.eq(put), read.addr.eq(got_at),
            write.data.eq(Cat(midstates.word | body_word | result | padding, put_last)),
            got.eq((~to_valid | to_ready) & (got_at != put_at)),
        ]
        # In fours: with one left over there is room for what is chosen before this is known.
        m.d.sync += [put_at.eq(wanted_at), room.eq((wanted_at[2:] - got_at[2:])[:3] < 3)]
        with m.If(chosen):
            m.d.sync += wanted_at.eq(wanted_at + 1)
        with m.If(to_ready):
            m.d.sync += to_valid.eq(0)
        with m.If(got):
            m.d.sync += [Cat(to_core, to_last).eq(read.data), to_valid.eq(1), got_at.eq(got_at + 1)]
        ready = []
        for n, name in enumerate(cores):
            i, mine = getattr(self, f"{name}_i"), Signal(name=f"to_{name}")
            m.d.sync += mine.eq(self.granted & self.claim & (order.hash == n if len(cores) > 1 else 1))
            m.d.comb += [i.valid.eq(to_valid & mine), i.p.word.eq(to_core), i.p.last.eq(to_last)]
            ready.append(i.ready & mine)
        m.d.comb += to_ready.eq(any_of(ready))

        # The answer: as many words of it as the ICV has.
        rest = Signal(reset_less=True)
        # The next word is not there before the place has moved on.
        stepped = Signal()
        m.d.sync += stepped.eq(patching & self.patch.ready)
        final, written = Signal(reset_less=True), Signal()
        with m.If(self.written):
            m.d.sync += written.eq(1)
        m.d.comb += [
            self.patch.valid.eq(patching), self.patch.p.data.eq(result), self.patch.p.mask.eq(0b11),
            self.patch.p.last.eq(final),
            self.patch.p.place.eq(reader.place), reader.step.eq(stepped),
            self.done.valid.eq(end & written),
            self.done.p.thread.eq(order.thread), self.done.p.packet.eq(order.packet), self.done.p.last.eq(order.last),
        ]
        with m.If(self.patch.ready):
            m.d.sync += patching.eq(0)
        with m.If(answer & taken):
            m.d.sync += patching.eq(~rest)
            m.d.sync += final.eq(index[:3] == order.icv_last)
            with m.If(index[:3] == order.icv_last):
                m.d.sync += rest.eq(1)
            with m.If(from_last):
                m.d.sync += [answer.eq(0), end.eq(1), self.claim.eq(0)]

        with m.If(self.done.valid & self.done.ready):
            m.d.sync += [end.eq(0), written.eq(0), self.busy.eq(0)]
        with m.If(start):
            m.d.sync += [
                *(order[name].eq(coming[name]) for name in names), message.eq(coming.bytes),
                self.busy.eq(1), outer.eq(0), rest.eq(0),
            ]
        with m.If(go):
            m.d.sync += [self.claim.eq(1), state.eq(1)]
        if ah:
            refused = Signal()
            with m.If(masked.refused):
                m.d.sync += [refused.eq(1), end.eq(1), written.eq(1)]
            with m.Elif(go):
                m.d.sync += refused.eq(0)
            m.d.comb += self.done.p.status.eq(Mux(refused, masked.status, Status.SUCCESS))
        return m
