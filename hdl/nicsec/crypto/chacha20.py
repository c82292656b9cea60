# SPDX-License-Identifier: Apache-2.0
"""ChaCha20 key stream (RFC 8439, 2.3), two blocks in flight."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ChaCha20", "ChaChaBlock"]

#: Which block of key stream to make; the nonce's first byte is in bits 95:88.
ChaChaBlock = data.StructLayout({"counter": 32, "nonce": 96})

_CONSTANTS = [int.from_bytes(b"expand 32-byte k"[at : at + 4], "little") for at in range(0, 16, 4)]


def _swap(word):
    return Cat(word[24:32], word[16:24], word[8:16], word[0:8])


class ChaCha20(wiring.Component):
    """Makes blocks of ChaCha20 key stream.

    The four rows of the state lie in four memories. Each cycle one quarter round starts: its four words are read, go
    through the four steps of add, exclusive-or and rotate, a cycle each, and are written back where they were, so
    that diagonal rounds differ from column rounds in the addresses alone. Four quarter rounds are half of what the
    loop holds, and a second block fills the other half.

    The first beat is offered 167 cycles after a request was accepted by an idle core, the others 4 cycles apart. Of a
    stream of requests one is accepted every 80 cycles. Four blocks may be inside, finished ones included. A
    key's first beat is accepted when no block is inside. Nothing depends on key or nonce.

    A request that is offered no earlier than the key's first beat uses that key: while ``key`` is valid, no request is
    begun. Before the first key and after a wipe ``i`` is not ready.

    Members
    -------
    key : In(stream of 128)
        The key's bytes 0-15, then 16-31; first byte in bits 127:120.
    i : In(stream of ChaChaBlock)
        Requests; a request is accepted in its fourth cycle.
    o : Out(stream of 128)
        Four beats a request, in order; first byte in bits 127:120.
    wipe : In(1)
        A pulse clears the key and the states, 21 cycles long, as soon as no block is inside.
    busy : Out(1)
        A key is being loaded or wiped, or a block is inside.
    working : Out(1)
        A quarter round was begun in the cycle before: 80 times a block.
    """

    key: In(stream.Signature(128))
    i: In(stream.Signature(ChaChaBlock))
    o: Out(stream.Signature(128))
    wipe: In(1)
    busy: Out(1)
    working: Out(1)

    def __init__(self):
        super().__init__()
        self._rows = [memory.Memory(shape=32, depth=16, init=[]) for _ in range(4)]

    def elaborate(self, platform):
        m = Module()

        # Blocks go through four banks in turn: accepted, started, finished, read.
        bank_in, bank_start, bank_out = Signal(2), Signal(2), Signal(2)
        inside, waiting, finished = Signal(3), Signal(3), Signal(3)
        accepted, started, completed, removed = Signal(), Signal(), Signal(), Signal()
        inside_next = Signal(3)
        m.d.comb += inside_next.eq(inside + accepted - removed)
        m.d.sync += [
            inside.eq(inside_next),
            waiting.eq(waiting + accepted - started),
            finished.eq(finished + completed - removed),
            bank_in.eq(bank_in + accepted),
            bank_start.eq(bank_start + started),
            bank_out.eq(bank_out + removed),
        ]

        # Rows of the initial state: constants, the key's halves, counter and nonce.
        key_low, key_high = Signal(128), Signal(128)
        m.submodules.nonces = nonces = memory.Memory(shape=32, depth=16, init=[])
        nonce_write = nonces.write_port()
        nonce_read = [nonces.read_port(domain="comb") for _ in range(2)]

        def initial(lane, port):
            rows = [Signal(32) for _ in range(4)]
            m.d.comb += [
                rows[0].eq(Array(_CONSTANTS)[lane]),
                *(
                    row.eq(Array(_swap(key[96 - 32 * n : 128 - 32 * n]) for n in range(4))[lane])
                    for row, key in ((rows[1], key_low), (rows[2], key_high))
                ),
                rows[3].eq(port.data),
            ]
            return rows

        place = Signal(2)
        begun, second, keyed, wanted, wiping = Signal(), Signal(), Signal(), Signal(), Signal()
        room, empty = Signal(init=1), Signal(init=1)
        nonce = self.i.p.nonce
        m.d.comb += [
            begun.eq(self.i.valid & keyed & room & ((place != 0) | (~self.key.valid & ~wanted))),
            accepted.eq(begun & (place == 3)),
            self.i.ready.eq(keyed & room & (place == 3)),
            self.key.ready.eq(empty & ~wanted & ~wiping),
            nonce_write.en.eq(begun),
            nonce_write.addr.eq(Cat(place, bank_in)),
            nonce_write.data.eq(
                Array([self.i.p.counter, _swap(nonce[64:]), _swap(nonce[32:64]), _swap(nonce[:32])])[place]
            ),
            self.busy.eq((inside != 0) | (place != 0) | second | wanted | wiping),
        ]
        m.d.sync += [room.eq(inside_next != 4), empty.eq((inside == 0) & (place == 0) & ~begun)]
        with m.If(begun):
            m.d.sync += place.eq(place + 1)
        with m.If(self.key.valid & self.key.ready):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += [key_high.eq(self.key.payload), keyed.eq(1)]
            with m.Else():
                m.d.sync += [key_low.eq(self.key.payload), keyed.eq(0)]
        clearing = Signal(range(21))
        with m.If(wanted & empty & ~begun & ~second):
            m.d.sync += [wanted.eq(0), wiping.eq(1), keyed.eq(0)]
        with m.If(self.wipe):
            m.d.sync += wanted.eq(1)
        with m.If(wiping):
            m.d.sync += [clearing.eq(clearing + 1), key_low.eq(0), key_high.eq(0)]
            with m.If(clearing == 20):
                m.d.sync += [wiping.eq(0), clearing.eq(0)]

        # Eight quarter rounds are started in turn, four of each block in the loop.
        phase = Signal(3)
        active = [Signal(name=f"active_{n}") for n in range(2)]
        half_round = [Signal(range(20), name=f"half_round_{n}") for n in range(2)]
        bank = [Signal(2, name=f"bank_{n}") for n in range(2)]
        idle = Signal()
        lane = phase[:2]
        m.d.comb += idle.eq(~active[0] & ~active[1])
        m.d.sync += phase.eq(Mux(idle, 0, phase + 1))
        issue = Signal(data.StructLayout({"valid": 1, "final": 1, "diagonal": 1, "lane": 2, "bank": 2}))
        fresh = Signal()
        with m.If(waiting != 0):
            with m.If(idle | ((phase == 7) & ~active[0])):
                m.d.comb += started.eq(1)
                m.d.sync += [active[0].eq(1), half_round[0].eq(0), bank[0].eq(bank_start)]
            with m.Elif((phase == 3) & ~active[1]):
                m.d.comb += started.eq(1)
                m.d.sync += [active[1].eq(1), half_round[1].eq(0), bank[1].eq(bank_start)]
        for n in range(2):
            with m.If(phase[2] == n):
                m.d.comb += [
                    issue.valid.eq(active[n]),
                    issue.final.eq(active[n] & (lane == 3) & (half_round[n] == 19)),
                    issue.diagonal.eq(half_round[n][0]),
                    issue.lane.eq(lane),
                    issue.bank.eq(bank[n]),
                    fresh.eq(half_round[n] == 0),
                ]
                with m.If(active[n] & (lane == 3)):
                    m.d.sync += half_round[n].eq(half_round[n] + 1)
                with m.If(issue.final):
                    m.d.sync += active[n].eq(0)
        m.d.sync += self.working.eq(issue.valid & ~wiping)
        with m.If(wiping):
            m.d.comb += [issue.valid.eq(clearing < 16), Cat(issue.lane, issue.bank).eq(clearing[:4])]

        m.submodules += self._rows
        write = [row.write_port() for row in self._rows]
        read = [row.read_port(domain="comb") for row in self._rows]
        read_out = [row.read_port(domain="comb") for row in self._rows]
        trail = [Signal.like(issue, name=f"issue_{n}") for n in range(1, 5)]
        m.d.sync += [after.eq(before) for before, after in zip([issue, *trail], trail, strict=False)]
        at, to = issue, trail[-1]
        m.d.comb += completed.eq(to.final)
        for n in range(4):
            m.d.comb += [
                read[n].addr.eq(Cat((at.lane + Mux(at.diagonal, n, 0))[:2], at.bank)),
                write[n].addr.eq(Cat((to.lane + Mux(to.diagonal, n, 0))[:2], to.bank)),
                write[n].en.eq(to.valid),
            ]

        def registers(stage):
            return [Signal(32, name=f"{name}_{stage}", reset_less=True) for name in "abcd"]

        # Wiping sends zeros through: no step makes anything else of them.
        m.d.comb += nonce_read[0].addr.eq(Cat(at.lane, at.bank))
        a, b, c, d = registers(0)
        for row, port, start in zip((a, b, c, d), read, initial(at.lane, nonce_read[0]), strict=True):
            m.d.sync += row.eq(Mux(wiping, 0, Mux(fresh, start, port.data)))
        for step, amount in enumerate((16, 12, 8, 7)):
            # Even steps change a and d, odd ones c and b.
            x, y, z = (a, b, d) if step % 2 == 0 else (c, d, b)
            total, turned = Signal(32, name=f"sum_{step}"), Signal(32, name=f"turned_{step}")
            m.d.comb += [total.eq(x + y), turned.eq((z ^ total).rotate_left(amount))]
            values = (total, b, c, turned) if step % 2 == 0 else (a, turned, total, d)
            if step < 3:
                a, b, c, d = registers(step + 1)
                m.d.sync += [register.eq(value) for register, value in zip((a, b, c, d), values, strict=True)]
            else:
                m.d.comb += [port.data.eq(value) for port, value in zip(write, values, strict=True)]

        # A finished block is read word by word, and the initial state added.
        go, fetch = Signal(), Signal()
        word, gathered = Signal(4), Signal(2)
        left, right = Signal(32, reset_less=True), Signal(32, reset_less=True)
        fetched, total = Signal(), Signal(32)
        m.d.comb += [
            total.eq(left + right),
            go.eq(~self.o.valid | self.o.ready),
            fetch.eq(go & (finished != 0)),
            removed.eq(fetch & (word == 15)),
            nonce_read[1].addr.eq(Cat(word[:2], bank_out)),
            *(port.addr.eq(Cat(word[:2], bank_out)) for port in read_out),
        ]
        with m.If(go):
            m.d.sync += [
                fetched.eq(fetch),
                word.eq(word + fetch),
                left.eq(Array(port.data for port in read_out)[word[2:]]),
                right.eq(Array(initial(word[:2], nonce_read[1]))[word[2:]]),
                self.o.valid.eq(fetched & (gathered == 3)),
            ]
            with m.If(fetched):
                m.d.sync += [gathered.eq(gathered + 1), self.o.payload.eq(Cat(_swap(total), self.o.payload))]
        return m
