# SPDX-License-Identifier: Apache-2.0
"""What the Merkle-Damgard hash cores share: streams, chaining state, and the train of slots."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import gated

__all__ = ["HashCore", "Slot", "Word"]


#: A 32-bit word, and whether it is the last of its request or answer.
Word = data.StructLayout({"word": 32, "last": 1})


class Slot(data.Struct):
    """What one pipeline stage works on when it is not a round."""

    #: Push one word of the chaining state, plus the word that leaves the shift chain, into the chain.
    load: 1
    #: With ``load``: push the word of the chaining state alone, which a new request brought.
    fresh: 1
    #: Write what is pushed to the chaining state. With ``fresh`` that is a zero, which wipes.
    store: 1
    #: The last ``load`` of a request.
    final: 1
    #: Which word of the chaining state, and in which bank.
    index: 3
    bank: 1


class HashCore(wiring.Component):
    """Iterative hash: compresses padded blocks onto a chaining state that the client sends.

    A request is the chaining state, then one or more blocks; the answer is the chaining state after
    them. Nothing is kept from one request to the next. The state words of the next request are
    accepted while the rounds of the last block run, and an answer may wait until the rounds of the
    next request have ended.

    A block runs through the stages as a train of slots, one per cycle: sixteen message rounds as the
    words come, the other rounds, then one slot per state word that adds the old chaining state. The
    sum enters the chain of working variables, where the next block needs it, and the memory, where
    the answer is read. A message word that is late freezes all stages.

    Time depends on the number of blocks only: with N state words of ``WIDTH`` bits, ``ROUNDS`` + N slots
    a block, and N slots and about eight cycles a request. A slot takes ``INTERVAL`` cycles. Words of 64 bits
    arrive in halves, 16 cycles more a block.

    Subclasses set the constants below and add the rounds.

    Members
    -------
    i : In(stream.Signature(Word))
        Request. The first byte of the message is in bits 31:24; a 64-bit word is sent high half first.
        ``last`` goes with the last word of the last block, and is ignored elsewhere.
    o : Out(stream.Signature(Word))
        Answer, in the order of the state; ``last`` goes with its last word.
    wipe : In(1)
        A pulse clears the chaining states and the variables of the rounds as soon as no request is inside. Requests
        wait for it, some 22 slots.
    working : Out(1)
        A slot of a request was handed out in one of the ``INTERVAL`` cycles before: N slots a request, and ``ROUNDS``
        + N a block.
    """

    #: Bits in a word of the algorithm.
    WIDTH = 32
    #: 32-bit words of the chaining state and of a block. Of a core of several algorithms, the largest.
    STATE_WORDS = 0
    BLOCK_WORDS = 16
    ROUNDS = 0
    #: Least cycles from one slot to the next, 1 or 2.
    INTERVAL = 1
    #: Stages to which slots are handed.
    STAGES = 4
    #: Whether bytes are swapped between stream and rounds.
    LITTLE_ENDIAN = False

    i: In(stream.Signature(Word))
    o: Out(stream.Signature(Word))
    wipe: In(1)
    working: Out(1)

    def __init__(self):
        super().__init__()
        self._state = memory.Memory(shape=self.WIDTH, depth=16, init=[])

    def sizes(self):
        """Words of the chaining state less one, and rounds whose words the schedule makes less one.

        Values of a core of several algorithms hold while a request is inside.
        """
        return self.STATE_WORDS * 32 // self.WIDTH - 1, self.ROUNDS - 17

    def order(self, count):
        """Index of the state word that is pushed with ``count`` more to come."""
        return count

    def rounds(self, m, *, step, slots, word, schedule, rests):
        """Add the rounds to ``m``.

        Parameters
        ----------
        step : Signal
            All stages move on.
        slots : list of Slot
            What each stage works on. Stage 0 forms the word of the slot, stage 1 adds the constant, stage 2
            adds the word that leaves the chain.
        word : Signal
            Message or state word for stage 0; zero if the message schedule is to make it.
        schedule, rests : Signal
            The slot behind the one in stage 0 takes its word from the message schedule; that slot is no round.

        Returns
        -------
        Signal
            The sum that stage 2 formed.
        """
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()

        halves = self.WIDTH // 32
        end_word, end_schedule = self.sizes()
        end_turn = end_word * halves + halves - 1

        def swap(word):
            return Cat(word[24:32], word[16:24], word[8:16], word[0:8]) if self.LITTLE_ENDIAN else word

        # Two banks of chaining state: one for the request in the rounds, the other for the next request's
        # or the previous answer.
        m.submodules.state = state = self._state
        write, read = state.write_port(), state.read_port(domain="comb")
        bank_in, bank_run, bank_out = Signal(), Signal(), Signal()
        held, done = Signal(2), Signal(2)

        # The source of slots; at most one of the phases is set.
        load, message, schedule, clear = Signal(), Signal(), Signal(), Signal()
        fresh = Signal(reset_less=True)
        last = Signal(reset_less=True)
        count = Signal(range(self.ROUNDS - 16), reset_less=True)
        end = Signal(reset_less=True)
        tick = Signal()
        step = Signal()

        # Requests: `taking` lets state words in, `message` those of blocks.
        heading, taking, loaded = Signal(init=1), Signal(), Signal()
        head = Signal(3)
        whole, state_word, state_end = Signal(), Signal(), Signal()
        incoming = Signal(self.WIDTH)
        space, wanted, hold = Signal(), Signal(), Signal()
        m.d.comb += space.eq(~step if self.INTERVAL == 2 else 1)
        m.d.comb += self.i.ready.eq(taking | (message & space))
        if halves == 2:
            half = Signal()
            high = Signal(32, reset_less=True)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [half.eq(~half), high.eq(self.i.p.word)]
            m.d.comb += [incoming.eq(Cat(self.i.p.word, high)), whole.eq(self.i.valid & half)]
        else:
            m.d.comb += [incoming.eq(swap(self.i.p.word)), whole.eq(self.i.valid)]
        m.d.comb += [
            state_word.eq(taking & whole),
            state_end.eq(state_word & (head == end_word)),
        ]
        with m.If(state_word):
            m.d.sync += head.eq(head + 1)
        with m.If(state_end):
            m.d.sync += [head.eq(0), heading.eq(0), loaded.eq(1), bank_in.eq(~bank_in)]

        idle, begin, busy = Signal(), Signal(), Signal()
        first = Signal.like(count)
        m.d.sync += self.working.eq(busy)
        if self.INTERVAL == 2:
            again = Signal()
            m.d.sync += [again.eq(busy), self.working.eq(busy | again)]
        m.d.comb += [
            tick.eq(space & (~message | whole)),
            idle.eq(~(load | message | schedule | clear)),
            busy.eq((load | message | schedule) & tick),
            begin.eq(tick & loaded & (idle | (load & ~fresh & last & end))),
            first.eq(Mux(message, end_schedule, Mux(load & (fresh | ~last), 15, end_word))),
        ]
        with m.If(tick):
            # The last count is seen one early, so that the phases do not wait for a comparison.
            m.d.sync += [count.eq(Mux(end, first, count - 1)), end.eq(count == 1)]
        with m.If(idle):
            m.d.sync += [count.eq(end_word), end.eq(0)]
        with m.If(tick & end):
            m.d.sync += [
                load.eq(schedule),
                message.eq(load & (fresh | ~last)),
                schedule.eq(message),
                clear.eq(0),
                fresh.eq(0),
                bank_run.eq(bank_run ^ (load & ~fresh & last)),
            ]
            with m.If(message):
                m.d.sync += [last.eq(self.i.p.last), heading.eq(self.i.p.last)]
        with m.If(begin):
            m.d.sync += [load.eq(1), fresh.eq(1), loaded.eq(0)]

        # A wipe shuts the input between requests, waits for the last answer to leave, and sends sixteen zeros, which
        # is as many as there are words in the chaining states and in the message schedule.
        begun, quiet = Signal(), Signal()
        m.d.comb += [begun.eq(half | (head != 0) if halves == 2 else head != 0), hold.eq(wanted & ~begun)]
        m.d.sync += quiet.eq(hold & heading & ~taking & (held == 0) & idle)
        with m.If(quiet):
            m.d.sync += [clear.eq(1), count.eq(15), wanted.eq(0), quiet.eq(0)]
        with m.If(self.wipe):
            m.d.sync += wanted.eq(1)

        slots = [Signal(Slot, name=f"slot_{n}") for n in range(self.STAGES)]
        index, rests = Signal(3), Signal()
        m.d.comb += [index.eq(self.order(count)), rests.eq(~(message | schedule))]
        m.d.sync += [
            slots[0].load.eq(load | clear),
            slots[0].fresh.eq(fresh | clear),
            slots[0].store.eq((load & ~fresh) | clear),
            slots[0].final.eq(load & ~fresh & last & end),
            slots[0].index.eq(Mux(clear, count[:3], index)),
            slots[0].bank.eq(Mux(clear, count[3], bank_run)),
        ]
        with m.If(step):
            m.d.sync += [after.eq(before) for before, after in pairwise(slots)]

        # Sums are in stages 0 to 3 until they have been written. The last ones of a request move on by
        # themselves when no slots follow; they never wait for the next request's message, as four or
        # more fresh loads are between.
        sums = Signal(4)
        m.d.comb += sums.eq(Cat(slot.store for slot in slots[:4]))
        m.d.sync += step.eq(space & Mux(message, whole, load | schedule | clear | sums.any()))

        word = Signal(self.WIDTH, reset_less=True)
        m.d.sync += word.eq(gated(incoming, message) | gated(read.data, load))
        total = self.rounds(m, step=step, slots=slots, word=word, schedule=schedule, rests=rests)

        # The memory has one write port, for sums and for incoming state, which is held off.
        with m.If(sums[3]):
            m.d.sync += [write.data.eq(total), write.addr.eq(Cat(slots[3].index, slots[3].bank))]
        with m.Else():
            m.d.sync += [write.data.eq(incoming), write.addr.eq(Cat(head, bank_in))]
        written = Signal()
        m.d.sync += [
            write.en.eq(state_word | (step & sums[3])),
            written.eq(step & slots[3].final),
            taking.eq(heading & ~state_end & (held != 2) & ~sums[2] & ~sums[3] & ~hold & ~clear),
        ]

        # The read port serves the rounds first.
        turn = Signal(2 + halves)
        fetch, out_end = Signal(), Signal()
        m.d.comb += [
            read.addr.eq(Mux(load, Cat(index, bank_run), Cat(turn[halves - 1 :], bank_out))),
            fetch.eq((done != 0) & ~load & (~self.o.valid | self.o.ready)),
            out_end.eq(fetch & (turn == end_turn)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(fetch):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.p.word.eq(swap(Mux(turn[0], read.data[:32], read.data[-32:]) if halves == 2 else read.data)),
                self.o.p.last.eq(turn == end_turn),
                turn.eq(turn + 1),
            ]
        with m.If(quiet):
            m.d.sync += self.o.p.word.eq(0)
        with m.If(out_end):
            m.d.sync += [turn.eq(0), bank_out.eq(~bank_out)]
        m.d.sync += [
            held.eq(held + state_end - out_end),
            done.eq(done + written - out_end),
        ]
        return m
