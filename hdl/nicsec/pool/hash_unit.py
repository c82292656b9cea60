# SPDX-License-Identifier: Apache-2.0
"""HMAC over a frame in the ring, one pass after another."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..algorithm import Auth, Status
from ..choose import any_of, more_than
from ..job import word_bits
from ..mutable import Mutable
from ..sa_layout import RowRequest, hash_state_words, inner_row, outer_row
from ..share import hash_members, hashes
from .layout import Done, HashTask, Patch, Progress, line_bits, place_bits
from .line_reader import LineReader, gated_word

__all__ = ["HashOrder", "HashUnit", "Masked"]

_AUTHS = {"sha1": Auth.HMAC_SHA1, "sha256": Auth.HMAC_SHA256}
#: Words of a block, and its bytes.
_BLOCK_WORDS, _BLOCK = 16, 64
#: Words that wait for the core.
_QUEUE = 16
#: Words from an IPv6 header to its destination address, and of an address.
_DESTINATION, _ADDRESS = 6, 4


class HashOrder(data.StructLayout):
    """A :class:`~nicsec.pool.layout.HashTask` with what is reckoned in one place for all units.

    ``hash`` numbers the cores as :func:`~nicsec.share.hashes` does. Places: ``first`` and ``end`` of the range, ``icv``
    where ``icv_last`` + 1 words of ICV go; AH has its ICV inside, and there ``head`` is that of the AH header,
    ``header_words`` and ``icv_start`` count from the IP header, and of the last word ``size`` bytes count, modulo four.
    ``bytes`` are those of the message, the block of the key and the ESN. ``seq_high`` is turned right by ``size``
    bytes. ``follows``: only what progress is reported of is final.
    """

    def __init__(self, config):
        task = HashTask(config).members
        names = ("thread", "packet", "last", "slot", "op", "esn", "seq_high", "esp", "ipv6", "chained", "follows")
        place = place_bits(config)
        super().__init__({
            **{name: task[name] for name in names},
            "hash": 1, "icv_last": 3, "first": place, "end": place, "icv": place, "head": place, "size": 2,
            "header_words": word_bits(config), "icv_start": word_bits(config),
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
        base, size = Cat(C(0, 2), task.base), task.end[:2]
        m.d.comb += [
            order.icv_last.eq(task.icv_words - 1),
            order.first.eq(base + task.start),
            order.end.eq(base + (task.end >> 2) + size.any()),
            order.icv.eq(base + Mux(task.esp, task.end >> 2, task.header + 3)),
            order.head.eq(base + task.header),
            order.size.eq(size),
            order.header_words.eq(task.header - task.start),
            order.icv_start.eq(task.header - task.start + 3),
            order.bytes.eq(task.end - (task.start << 2) + Mux(task.esn, _BLOCK + 4, _BLOCK)),
            order.seq_high.eq(Cat(task.seq_high, task.seq_high).bit_select(size << 3, 32)),
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


class Masked(wiring.Component):
    """The part of an AH pass from the IP header to the ICV, as it is hashed; and what is to be read for it.

    With options or extension headers it is scanned first. The addresses of an IPv6 routing header come in the order in
    which they arrive at the last hop (RFC 8200 section 4.4): the last one as destination, the others one place on, the
    destination in front.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: a task of AH is taken. The members below are held from the next cycle on.
    ipv6, chained, first, head, end, header_words, icv_start, icv_last
        See :class:`HashOrder`.
    go : Out(1), refused : Out(1), status : Out(Status)
        Strobes: there will be words; there will be none because of ``status``, which holds.
    active : Out(1)
        Words go through here, from the cycle behind ``start`` to ``last``.
    read, read_first, read_end : Out
        To a LineReader, but for the first range, which begins with ``start``: from ``first`` to ``head`` if ``chained``
        and else to ``end``.
    i_valid, i_last : In(1), i_take : Out(1), i_word : In(32)
        From the LineReader.
    valid : Out(1), last : Out(1), dry : Out(1)
        There is a word; it is the last here; there are no others behind.
    take : In(1)
        Strobe, with ``valid``.
    word : Out(32)
        What was taken in the cycle before; meaningless in others.
    """

    def __init__(self, config):
        self._config = config
        place, order = place_bits(config), HashOrder(config).members
        super().__init__({
            "start": In(1),
            **{name: In(order[name]) for name in (
                "ipv6", "chained", "first", "head", "end", "header_words", "icv_start", "icv_last"
            )},
            "go": Out(1),
            "refused": Out(1),
            "status": Out(Status),
            "active": Out(1),
            "read": Out(1),
            "read_first": Out(place),
            "read_end": Out(place),
            "i_valid": In(1),
            "i_last": In(1),
            "i_take": Out(1),
            "i_word": In(32),
            "valid": Out(1),
            "last": Out(1),
            "dry": Out(1),
            "take": In(1),
            "word": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.mutable = mutable = Mutable(self._config)
        taken = Signal()
        m.d.sync += taken.eq(self.i_take)
        m.d.comb += [
            mutable.enable.eq(1), mutable.ipv6.eq(self.ipv6), mutable.header_words.eq(self.header_words),
            mutable.icv_start.eq(self.icv_start), mutable.icv_words.eq(self.icv_last + 1),
            mutable.i.valid.eq(taken), mutable.i.p.data.eq(self.i_word), mutable.o.ready.eq(self.take),
            self.i_take.eq(self.active & self.i_valid & mutable.i.ready & ~taken),
            self.valid.eq(mutable.o.valid), self.word.eq(mutable.o.p.data), self.last.eq(mutable.icv_end),
            self.status.eq(mutable.status),
        ]
        with m.If(self.take & mutable.icv_end):
            m.d.sync += self.active.eq(0)

        # Six ranges for a routed header. From and to: the destination field holds what will be the last address in
        # the routing header's list, whose others have moved back by one; and so on.
        route = mutable.route
        number = Signal(3)
        offset = Signal.like(route.end)
        last_address = Signal.like(route.end)
        following = Signal()
        m.d.comb += last_address.eq(route.end - _ADDRESS)
        ranges = [
            (0, _DESTINATION),
            (last_address, route.end),
            (_DESTINATION + _ADDRESS, route.first),
            (_DESTINATION, _DESTINATION + _ADDRESS),
            (route.first, last_address),
            (route.end, None),
        ]
        with m.Switch(Cat(following, number)):
            for n, bounds in enumerate(ranges):
                for which, bound in enumerate(bounds):
                    if bound is not None:
                        with m.Case(2 * n + which):
                            m.d.comb += offset.eq(bound)
        at = Signal.like(self.first)
        ends = Signal()
        m.d.comb += [
            at.eq(self.first + offset), ends.eq(number == len(ranges) - 1),
            self.read_end.eq(Mux(ends, self.end, at)),
        ]
        one_address = Signal()
        m.d.sync += one_address.eq(route.first == last_address)

        reading = Signal()  # the range that is read is the last one
        with m.If(self.i_take & self.i_last & reading):
            m.d.sync += self.dry.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += number.eq(0)
                with m.If(self.start):
                    m.d.sync += [self.active.eq(1), self.dry.eq(0)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [mutable.start.eq(1), mutable.scan.eq(self.chained), self.go.eq(~self.chained)]
                m.d.sync += reading.eq(~self.chained)
                m.next = "IDLE"
                with m.If(self.chained):
                    m.next = "SCAN"
            with m.State("SCAN"):
                with m.If(mutable.scanned):
                    m.next = "SCANNED"
            with m.State("SCANNED"):
                m.d.comb += [
                    self.go.eq(mutable.status == Status.SUCCESS), self.refused.eq(mutable.status != Status.SUCCESS),
                    mutable.start.eq(self.go),
                ]
                with m.If(self.refused):
                    m.d.sync += self.active.eq(0)
                    m.next = "IDLE"
                with m.Else():
                    m.next = "FROM"
            with m.State("FROM"):
                m.d.sync += self.read_first.eq(at)
                with m.If(~route.active):
                    m.d.sync += number.eq(len(ranges) - 1)
                m.next = "TO"
            with m.State("TO"):
                m.d.comb += [following.eq(1), self.read.eq(1)]
                m.d.sync += reading.eq(ends)
                with m.If(ends):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "READ"
            with m.State("READ"):
                with m.If(self.i_take & self.i_last):
                    m.d.sync += number.eq(number + 1)
                    with m.If((number == 3) & one_address):
                        m.d.sync += number.eq(5)
                    m.next = "FROM"
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
            reader.follows.eq(coming.follows), reader.thread.eq(order.thread), reader.progress.eq(self.progress),
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
                    message.eq(Mux(second_hash, _BLOCK + 4 * digest_words[-1], _BLOCK + 4 * digest_words[0])),
                ]
                if ah:
                    # The ICV of AH is inside of what was read.
                    m.d.comb += reader.seek.eq(1)
                    m.d.sync += order.size.eq(0)
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
        m.d.comb += [
            self.patch.valid.eq(patching), self.patch.p.data.eq(result), self.patch.p.mask.eq(0b11),
            self.patch.p.place.eq(reader.place), reader.step.eq(patching & self.patch.ready),
            self.done.valid.eq(end & ~patching),
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
                self.busy.eq(1), outer.eq(0), rest.eq(0),
            ]
        with m.If(go):
            m.d.sync += [self.claim.eq(1), state.eq(1)]
        if ah:
            refused = Signal()
            with m.If(masked.refused):
                m.d.sync += [refused.eq(1), end.eq(1)]
            with m.Elif(go):
                m.d.sync += refused.eq(0)
            m.d.comb += self.done.p.status.eq(Mux(refused, masked.status, Status.SUCCESS))
        return m
