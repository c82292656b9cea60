# SPDX-License-Identifier: Apache-2.0
"""HMAC over a frame in the ring, one pass after another."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..algorithm import Status
from ..choose import any_of, gated, more_than
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
            names += ["esp", "ipv6", "chained", "first", "end", "header_words", "icv_start"]
        order = Signal(data.StructLayout({name: HashOrder(config).members[name] for name in names}), reset_less=True)
        message = Signal.like(coming.bytes, reset_less=True)
        start, go = Signal(), Signal()
        m.d.comb += [self.task.ready.eq(~self.busy), start.eq(self.task.valid & ~self.busy), go.eq(start)]
        second_hash = order.hash if len(cores) > 1 else C(0, 1)

        # Phases of a pass, one at a time: the midstate, what AH masks, the message, and its padding; the other
        # midstate, the inner digest, and its padding; the answer, the end. The padding is the high half of the ESN, a
        # marker, zeros, and the length.
        state, masking, body, fixed, digest, answer, end = (
            Signal(name=name) for name in ("state", "masking", "body", "fixed", "digest", "answer", "end")
        )
        high, mark, length = (Signal(name=name) for name in ("high", "mark", "length"))
        outer = Signal()

        m.submodules.midstates = midstates = Midstates(config)
        m.d.comb += [
            midstates.start.eq(go), midstates.slot.eq(order.slot), midstates.op.eq(order.op),
            midstates.short.eq(Mux(second_hash, digest_words[-1] == 5, digest_words[0] == 5)),
        ]
        connect(m, midstates.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), midstates.row_rsp)
        m.submodules.reader = reader = LineReader(config)
        m.d.comb += [
            reader.begin.eq(start), reader.follows.eq(coming.follows),
            reader.thread.eq(order.thread), reader.progress.eq(self.progress),
            reader.rsp_valid.eq(self.rsp_valid), reader.rsp_data.eq(self.rsp_data),
        ]
        connect(m, reader.fetch, flipped(self.fetch))

        # A word is chosen in one cycle, and put into the queue in the next.
        room, there = Signal(), Signal()
        from_ready, taken = Signal(), Signal()
        put, put_last = Signal(), Signal()
        body_word, masked_word = reader.word, 0
        message_ends = Signal()
        short = C(0, 1)
        m.d.comb += midstates.take.eq(state & room & midstates.valid)
        if ah:
            m.submodules.masked = masked = Masked(config)
            over = Signal(4, reset_less=True)  # bytes of the last word behind the message, the first one first
            short = over[3]
            m.d.comb += [
                masked.start.eq(start),
                *(getattr(masked, name).eq(order[name]) for name in (
                    "esp", "ipv6", "chained", "first", "end", "header_words", "icv_start", "icv_last"
                )),
                masked.i_valid.eq(reader.valid), masked.i_last.eq(reader.last), masked.i_word.eq(reader.word),
                masked.take.eq(masking & room & masked.valid), masked.hashed.eq(length & ~outer),
                go.eq((start & coming.esp) | masked.go),
                reader.start.eq(masked.read | masked.seek), reader.first.eq(masked.place),
                reader.bound.eq(masked.bound | masked.seek), reader.end.eq(masked.place),
                reader.seek.eq(masked.seek),
                reader.take.eq((body & room & reader.valid) | masked.i_take),
                there.eq((masking & masked.valid) | (body & reader.valid) | fixed),
                message_ends.eq(
                    (body & room & reader.valid & reader.last) | (masked.take & masked.last & masked.dry)
                ),
            ]
            masked_word = gated(masked.word, masking)
            body_word = Cat(
                gated(reader.word[24 - 8 * n :][:8], ~(reader.last & over[n])) for n in reversed(range(4))
            )
        else:
            m.d.comb += [
                reader.start.eq(start), reader.first.eq(coming.first),
                reader.bound.eq(start), reader.end.eq(coming.end),
                reader.take.eq(body & room & reader.valid),
                there.eq((body & reader.valid) | fixed), message_ends.eq(reader.take & reader.last),
            ]

        # What comes from the core: the inner digest goes back to it, the outer one to the frame.
        patching, rest = Signal(), Signal(reset_less=True)
        from_valid, from_last, from_core = Signal(), Signal(), Signal(32)
        o = [getattr(self, f"{name}_o") for name in cores]
        m.d.comb += [
            from_valid.eq(any_of([port.valid for port in o])),
            from_core.eq(Mux(second_hash, o[-1].p.word, o[0].p.word)),
            from_last.eq(Mux(second_hash, o[-1].p.last, o[0].p.last)),
            taken.eq(from_valid & from_ready),
            *(port.ready.eq(from_ready) for port in o),
        ]
        # It gates what comes from the core, so it is not to outlast the digest.
        m.d.sync += from_ready.eq(
            (digest & room & ~(taken & from_last)) | (answer & (rest | (~taken & (~patching | self.patch.ready))))
        )

        # Padding: a marker, zeros, and the length in the last word of a block, if the one ahead of it is a zero as
        # well: there are to be two words for it. A last word with less than four bytes takes in the first ones of what
        # follows.
        index = Signal(4, reset_less=True)
        high_bytes, marks = [high] * 4, [mark, 0, 0, 0]  # the first byte is the highest
        if ah:
            tail, marked = Signal(), Signal()
            m.d.comb += [tail.eq(body & reader.last), marked.eq(high | (tail & ~order.esn))]
            high_bytes = [Mux(over[n], tail & order.esn, high) for n in range(4)]
            marks = [mark, *(marked & over[n] & ~over[n - 1] for n in range(1, 4))]
        padding = Signal(32)
        bits = Cat(C(0, 3), message)
        for n in range(32):
            byte = 3 - n // 8
            m.d.comb += padding[n].eq(
                (order.seq_high[n] & high_bytes[byte]) | (bits[n] & length if 3 <= n < len(bits) else 0)
                | (marks[byte] if n % 8 == 7 else 0)
            )
        # It holds a word of the ICV until that is written.
        word = Signal(32, reset_less=True)
        with m.If(~patching):
            m.d.sync += word.eq(
                gated(midstates.word, state) | masked_word | gated(body_word, body) | gated(from_core, from_ready)
                | padding
            )
        m.d.sync += [put.eq(midstates.take | (room & there) | (taken & ~answer)), put_last.eq(length)]
        with m.If(state):
            m.d.sync += index.eq(0)
        with m.Elif((room & there) | taken):
            m.d.sync += [bit.eq(bit ^ index[:n].all()) for n, bit in enumerate(index)]

        # Phases.
        with m.If(midstates.take & midstates.last):
            m.d.sync += [state.eq(0), digest.eq(outer)]
            if ah:
                m.d.sync += [body.eq(~outer & order.esp), masking.eq(~outer & ~order.esp)]
            else:
                m.d.sync += body.eq(~outer)
        if ah:
            with m.If(masked.take & masked.last):
                m.d.sync += [masking.eq(0), body.eq(~masked.dry)]
        with m.If(message_ends):
            m.d.sync += [body.eq(0), fixed.eq(1), high.eq(order.esn), mark.eq(~order.esn & ~short)]
        with m.If(digest & taken & from_last):
            m.d.sync += [digest.eq(0), fixed.eq(1), mark.eq(1)]
        with m.If(fixed & room):
            m.d.sync += [
                high.eq(0), mark.eq(high & ~short), length.eq(~high & ~mark & (index == _BLOCK_WORDS - 2)),
            ]
            with m.If(length):
                m.d.sync += [fixed.eq(0), state.eq(~outer), answer.eq(outer), outer.eq(1)]
        with m.If(state & outer):
            m.d.sync += message.eq(
                Mux(second_hash, BLOCK_BYTES + 4 * digest_words[-1], BLOCK_BYTES + 4 * digest_words[0])
            )
            if ah:
                m.d.sync += over.eq(0)

        # The queue, whose first word is offered to the core. In fours: with one left over there is room for what is
        # chosen, or lets itself be taken from the core, before this is known.
        m.submodules.queue = queue = memory.Memory(
            shape=33, depth=_QUEUE, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = queue.write_port(), queue.read_port(domain="comb")
        put_at, got_at, got_next = Signal(5), Signal(5), Signal(5, init=1)
        some, got = Signal(), Signal()
        m.d.comb += [
            write.addr.eq(put_at), write.en.eq(put), write.data.eq(Cat(word, put_last)), read.addr.eq(got_at),
        ]
        m.d.sync += [
            room.eq((put_at[2:] - got_at[2:])[:3] < 3), some.eq(put | (some & ~(got & (got_next == put_at)))),
        ]
        with m.If(put):
            m.d.sync += put_at.eq(put_at + 1)
        with m.If(got):
            m.d.sync += [got_at.eq(got_next), got_next.eq(got_next + 1)]
        ready = []
        for n, name in enumerate(cores):
            i, mine = getattr(self, f"{name}_i"), Signal(name=f"to_{name}")
            m.d.sync += mine.eq(self.granted & self.claim & (order.hash == n if len(cores) > 1 else 1))
            m.d.comb += [i.valid.eq(some & mine), Cat(i.p.word, i.p.last).eq(read.data)]
            ready.append(i.ready & mine)
        m.d.comb += got.eq(some & any_of(ready))

        # The answer: as many words of it as the ICV has.
        # The next word is not there before the place has moved on.
        stepped = Signal()
        m.d.sync += stepped.eq(patching & self.patch.ready)
        final, written = Signal(reset_less=True), Signal()
        with m.If(self.written):
            m.d.sync += written.eq(1)
        m.d.comb += [
            self.patch.valid.eq(patching), self.patch.p.data.eq(word), self.patch.p.mask.eq(0b11),
            self.patch.p.last.eq(final),
            self.patch.p.place.eq(reader.place), reader.step.eq(stepped),
            self.done.valid.eq(end & written),
            self.done.p.thread.eq(order.thread), self.done.p.packet.eq(order.packet), self.done.p.last.eq(order.last),
        ]
        with m.If(self.patch.ready):
            m.d.sync += patching.eq(0)
        with m.If(answer & taken):
            with m.If(~rest):
                m.d.sync += [patching.eq(1), final.eq(index[:3] == order.icv_last)]
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
            with m.If(start):
                m.d.sync += over.eq(Cat(coming.size.any() & ~more_than(coming.size, n) for n in range(4)))
            refused = Signal()
            with m.If(masked.refused):
                m.d.sync += [refused.eq(1), end.eq(1), written.eq(1)]
            with m.Elif(go):
                m.d.sync += refused.eq(0)
            m.d.comb += self.done.p.status.eq(Mux(refused, masked.status, Status.SUCCESS))
        return m
