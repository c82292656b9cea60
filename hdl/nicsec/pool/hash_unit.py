# SPDX-License-Identifier: Apache-2.0
"""HMAC over a frame in the ring, one pass after another."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..algorithm import Auth, Status
from ..choose import any_of
from ..sa_layout import RowRequest, hash_state_words, inner_row, outer_row
from ..share import hash_members, hashes
from .layout import Done, HashTask, Patch, Progress, line_bits, place_bits
from .line_reader import LineReader, gated_word

__all__ = ["HashOrder", "HashUnit"]

_AUTHS = {"sha1": Auth.HMAC_SHA1, "sha256": Auth.HMAC_SHA256}
#: Words of a block, and its bytes.
_BLOCK_WORDS, _BLOCK = 16, 64
#: Words that wait for the core.
_QUEUE = 16


class HashOrder(data.StructLayout):
    """A :class:`~nicsec.pool.layout.HashTask` with all that can be reckoned for all units in one place.

    ``hash`` numbers the cores as :func:`~nicsec.share.hashes` does. ``first`` and ``icv`` are the places of the range's
    first word and of the ICV, which is written to ``icv_last`` + 1 words. ``bytes`` counts the block of the key and
    ESN. ``follows``: only what progress is reported of is final.
    """

    def __init__(self, config):
        task = HashTask(config).members
        names = ("thread", "packet", "last", "slot", "op", "esn", "seq_high", "esp", "ipv6", "chained", "follows",
                 "base", "start", "header", "end")
        super().__init__({
            **{name: task[name] for name in names},
            "hash": 1, "icv_last": 3, "first": place_bits(config), "icv": place_bits(config),
            "bytes": (4 * config.frame_words + _BLOCK + 4).bit_length(),
        })

    @staticmethod
    def of(m, config, task):
        """A HashOrder with the values for ``task``, a HashTask; combinational."""
        order = Signal(HashOrder(config))
        for name in order.shape().members:
            if name in task.shape().members:
                m.d.comb += order[name].eq(task[name])
        names = hashes(config)
        if len(names) > 1:
            m.d.comb += order.hash.eq(task.auth == _AUTHS[names[1]])
        m.d.comb += [
            order.icv_last.eq(task.icv_words - 1),
            order.first.eq(Cat(C(0, 2), task.base) + task.start),
            order.icv.eq(Cat(C(0, 2), task.base) + Mux(task.esp, task.end >> 2, task.header + 3)),
            order.bytes.eq(task.end - (task.start << 2) + Mux(task.esn, _BLOCK + 4, _BLOCK)),
        ]
        return order


class Midstates(wiring.Component):
    """Words of an SA's inner midstate and then of its outer one.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; the members below are then held to the last word.
    slot, op : In
        The SA.
    short : In(1)
        A midstate has five words, not eight.
    row_req, row_rsp : streams
        The SA table.
    valid : Out(1), last : Out(1)
        There is a word; it is the last of its midstate.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
        What was taken in the cycle before, or zero.
    """

    def __init__(self, config):
        request = RowRequest(config)
        super().__init__({
            "start": In(1),
            "slot": In(request.members["slot"]),
            "op": In(1),
            "short": In(1),
            "row_req": Out(stream.Signature(request)),
            "row_rsp": In(stream.Signature(128)),
            "valid": Out(1),
            "last": Out(1),
            "take": In(1),
            "word": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        # Four rows, two for a midstate; the fourth has been asked for when `row` is 4.
        first = inner_row(Auth.HMAC_SHA1)
        assert first == inner_row(Auth.HMAC_SHA256) == outer_row(Auth.HMAC_SHA1) - 2 == outer_row(Auth.HMAC_SHA256) - 2
        row = Signal(3, init=4)
        pending = Signal()
        held, valid = Signal(128), Signal()
        number = Signal(2)
        second, outer = Signal(), Signal()
        used = Signal()

        # The words of the inner midstate are taken at once, so the next row may be on its way before they are. Those
        # of the outer one wait for the message.
        m.d.comb += [
            self.row_req.valid.eq(~row[2] & ~pending & (~valid | ~outer)),
            self.row_req.p.slot.eq(self.slot),
            self.row_req.p.op.eq(self.op),
            self.row_req.p.row.eq(Cat(row[:2], C(first >> 2, len(self.row_req.p.row) - 2))),
            self.row_rsp.ready.eq(~valid),
            self.valid.eq(valid),
            self.last.eq(second & Mux(self.short, 1, number == 3)),
            used.eq(self.take & ((number == 3) | (second & self.short))),
        ]
        with m.If(self.row_req.valid & self.row_req.ready):
            m.d.sync += [row.eq(row + 1), pending.eq(1)]
        with m.If(self.row_rsp.valid & self.row_rsp.ready):
            m.d.sync += [held.eq(self.row_rsp.payload), valid.eq(1), pending.eq(0)]
        with m.If(self.take):
            m.d.sync += number.eq(number + 1)
        with m.If(used):
            # A midstate is as good as a key: it does not stay here.
            m.d.sync += [held.eq(0), valid.eq(0), number.eq(0), second.eq(~second), outer.eq(outer | second)]
        with m.If(self.start):
            m.d.sync += [row.eq(0), outer.eq(0)]
        m.d.comb += self.word.eq(gated_word(m, held, number, self.take))
        return m


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
        digest_words = [hash_state_words(_AUTHS[name]) for name in cores]

        # The task. `message` counts bytes: of the message, and then of the digest.
        coming = self.task.p
        names = ("thread", "packet", "last", "slot", "op", "hash", "icv_last", "esn", "seq_high")
        order = Signal(data.StructLayout({name: HashOrder(config).members[name] for name in names}), reset_less=True)
        message = Signal.like(coming.bytes, reset_less=True)
        start = Signal()
        m.d.comb += [self.task.ready.eq(~self.busy), start.eq(self.task.valid & ~self.busy)]
        second_hash = order.hash if len(cores) > 1 else C(0, 1)

        # Phases of a pass, one at a time, all of them twice but for the last: state, words of message or digest, high
        # half of the ESN, marker, padding, answer.
        state, body, high, mark, pad, answer, end = (
            Signal(name=name) for name in ("state", "body", "high", "mark", "pad", "answer", "end")
        )
        outer = Signal()

        m.submodules.midstates = midstates = Midstates(config)
        m.d.comb += [
            midstates.start.eq(start), midstates.slot.eq(order.slot), midstates.op.eq(order.op),
            midstates.short.eq(Mux(second_hash, digest_words[-1] == 5, digest_words[0] == 5)),
        ]
        connect(m, midstates.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), midstates.row_rsp)
        m.submodules.reader = reader = LineReader(config)
        m.d.comb += [
            reader.start.eq(start), reader.first.eq(coming.first), reader.end.eq(coming.icv),
            reader.follows.eq(coming.follows), reader.thread.eq(order.thread), reader.progress.eq(self.progress),
            reader.rsp_valid.eq(self.rsp_valid), reader.rsp_data.eq(self.rsp_data),
        ]
        connect(m, reader.fetch, flipped(self.fetch))

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
        with m.If(~patching | self.patch.ready):
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
            m.d.comb += there.eq(Mux(outer, from_valid, reader.valid))
        with m.Else():
            m.d.comb += there.eq(1)
        m.d.comb += [
            choose.eq(state | body | high | mark | pad),
            chosen.eq(choose & room & there),
            midstates.take.eq(state & room & midstates.valid),
            reader.take.eq(body & ~outer & room & reader.valid),
            from_ready.eq((body & outer & room) | (answer & ~patching)),
        ]

        # Padding: a marker, zeros, and the length in the last word of a block, that behind the marker if there are two
        # words for it.
        index = Signal(4, reset_less=True)
        late = Signal(reset_less=True)
        block_ends, length = Signal(), Signal()
        padding = Signal(32, reset_less=True)
        m.d.comb += [block_ends.eq(index == _BLOCK_WORDS - 1), length.eq(pad & block_ends & ~late)]
        bits = Cat(C(0, 3), message)
        for n in range(32):
            if n == 31:
                m.d.sync += padding[n].eq((order.seq_high[n] & high) | mark)
            elif 3 <= n < len(bits):
                m.d.sync += padding[n].eq((order.seq_high[n] & high) | (bits[n] & length))
            else:
                with m.If(high):
                    m.d.sync += padding[n].eq(order.seq_high[n])
                with m.Else():
                    m.d.sync += padding[n].eq(0)
        m.d.sync += [put.eq(chosen), put_last.eq(length)]
        with m.If(state):
            m.d.sync += index.eq(0)
        with m.Elif(chosen | (answer & taken)):
            m.d.sync += index.eq(index + 1)
        with m.If(mark):
            m.d.sync += late.eq(index == _BLOCK_WORDS - 2)
        with m.Elif(block_ends & chosen):
            m.d.sync += late.eq(0)

        # Phases.
        with m.If(chosen):
            with m.If(state & midstates.last):
                m.d.sync += [state.eq(0), body.eq(1)]
            with m.If(body & Mux(outer, from_last, reader.last)):
                m.d.sync += [body.eq(0), high.eq(order.esn & ~outer), mark.eq(~order.esn | outer)]
            with m.If(high):
                m.d.sync += [high.eq(0), mark.eq(1)]
            with m.If(mark):
                m.d.sync += [mark.eq(0), pad.eq(1)]
            with m.If(length):
                m.d.sync += [
                    pad.eq(0), state.eq(~outer), answer.eq(outer), outer.eq(1),
                    message.eq(Mux(second_hash, _BLOCK + 4 * digest_words[-1], _BLOCK + 4 * digest_words[0])),
                ]

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
            write.data.eq(Cat(midstates.word | reader.word | result | padding, put_last)),
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
        m.d.comb += [
            self.patch.valid.eq(patching), self.patch.p.data.eq(result), self.patch.p.mask.eq(0b11),
            self.patch.p.place.eq(reader.place), reader.step.eq(patching & self.patch.ready),
            self.done.valid.eq(end & ~patching), self.done.p.status.eq(Status.SUCCESS),
            self.done.p.thread.eq(order.thread), self.done.p.packet.eq(order.packet), self.done.p.last.eq(order.last),
        ]
        with m.If(self.patch.ready):
            m.d.sync += patching.eq(0)
        with m.If(answer & taken):
            m.d.sync += patching.eq(~rest)
            with m.If(index[:3] == order.icv_last):
                m.d.sync += rest.eq(1)
            with m.If(from_last):
                m.d.sync += [answer.eq(0), end.eq(1), self.claim.eq(0)]

        with m.If(self.done.valid & self.done.ready):
            m.d.sync += [end.eq(0), self.busy.eq(0)]
        with m.If(start):
            m.d.sync += [
                *(order[name].eq(coming[name]) for name in names), message.eq(coming.bytes),
                self.busy.eq(1), self.claim.eq(1), state.eq(1), outer.eq(0), rest.eq(0),
            ]
        return m
