# SPDX-License-Identifier: Apache-2.0
"""The rounds of AES unrolled, and the merging of blocks that leave early (FIPS 197 section 5.1)."""

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..choose import any_of, round_robin
from .sbox import SubBytes

__all__ = ["AesRounds", "Merge", "Result", "RowWrite"]


#: Clients for whom a LUT RAM has rows.
_BANK_BITS = 4
_BANK = 1 << _BANK_BITS


def _bank(clients):
    """A round key for each of some clients; a single one is cheaper in registers."""
    return memory.Memory(
        shape=128, depth=max(clients, 2), init=[], attrs={"ram_style": "distributed" if clients > 1 else "logic"}
    )


class RowWrite(data.StructLayout):
    """A write of one round key for one client: ``rows`` has a bit for each round key of the bus."""

    def __init__(self, clients, rows):
        super().__init__({"row": 128, "tag": range(max(clients, 2)), "rows": rows})


class Result(data.StructLayout):
    """An encrypted block and whose it is."""

    def __init__(self, clients):
        super().__init__({"block": 128, "tag": range(max(clients, 2))})


class Merge(wiring.Component):
    """Gives out results from several sources, one a cycle, each source in its order.

    In a cycle in which there is any, one leaves. A result that comes in cycle 1 leaves in cycle 2 if no other does.
    Sources that in all do not have more than one result a cycle, each with a fixed delay, never need more places
    than those delays differ by. ``depth`` is a power of two.

    Members
    -------
    coming : array of In(1)
        A result comes in the next cycle.
    i : array of In(shape)
    valid, o : Out
    """

    def __init__(self, ways, shape, depth):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 up, not {depth!r}")
        self._ways = ways
        self._depth = depth
        super().__init__({
            "coming": In(1).array(ways), "i": In(shape).array(ways), "valid": Out(1), "o": Out(shape),
        })

    def elaborate(self, platform):
        m = Module()
        width = len(Value.cast(self.o))
        there, turn = Signal(self._ways), Signal(self._ways)
        left = Signal()
        parts = []
        for n in range(self._ways):
            m.submodules[f"queue{n}"] = queue = memory.Memory(
                shape=width, depth=self._depth, init=[], attrs={"ram_style": "distributed"}
            )
            write, read = queue.write_port(), queue.read_port(domain="comb")
            # Whether the next one to leave is in the queue or comes fresh is settled a cycle ahead.
            here, old, fresh = Signal(name=f"here{n}"), Signal(name=f"old{n}"), Signal(name=f"fresh{n}")
            level, next_level = (Signal(range(self._depth + 1), name=f"{name}{n}") for name in ("level", "next_level"))
            m.d.comb += [
                write.data.eq(Value.cast(self.i[n])),
                write.en.eq(here & ~fresh),
                next_level.eq(level + write.en - old),
                there[n].eq(self.coming[n] | (next_level != 0)),
            ]
            m.d.sync += [
                here.eq(self.coming[n]),
                level.eq(next_level),
                old.eq(turn[n] & (next_level != 0)),
                fresh.eq(turn[n] & (next_level == 0)),
                write.addr.eq(write.addr + write.en),
                read.addr.eq(read.addr + old),
            ]
            parts.append(Mux(fresh, Value.cast(self.i[n]), 0) | Mux(old, read.data, 0))
        m.d.comb += turn.eq(round_robin(m, "turn", there, 1))
        m.d.sync += [left.eq(turn.any()), self.valid.eq(left), Value.cast(self.o).eq(any_of(parts))]
        return m


class AesRounds(wiring.Component):
    """Encrypts a block a cycle, each under the round keys of its client.

    There is a small memory for each of the round keys, with a row for each client, which is read when a block of that
    client passes. Keys that travelled with the blocks would cost 256 registers and two more block RAMs a round. A
    block leaves at the end of its key's last round, so that smaller keys are faster; blocks of three sizes that are
    ready at once wait for each other, up to 4 * ``registers`` cycles in all.

    With ``tag`` in cycle 0 and ``block`` in cycle 1, the result is there in cycle 5 + registers * (rounds - 1), or
    one earlier if there is a single size. Round key r > 0 is read in cycle 2 + registers * (r - 1).

    Parameters
    ----------
    clients : int
    sbox : str
        ``"bram"``: 16 S-boxes a round in 8 block RAMs; ``"logic"``.
    sizes : tuple of int
        Key sizes in bits.
    registers : int
        Registers a round: 2, or 3 with one more ahead of the S-boxes.

    Members
    -------
    valid, tag : In
    block : In(128)
        Next to ``valid``, a cycle later.
    size : In(2)
        Next to ``block``: 0, 1, 2 for 128, 192, 256 bits.
    even, odd : In(RowWrite)
        Writes of round keys 0, 2, 4... and 1, 3, 5...
    done : Out(1)
    o : Out(Result)
    """

    def __init__(self, clients, *, sbox="bram", sizes=(128, 192, 256), registers=2):
        if not sizes or not {128, 192, 256} >= set(sizes):
            raise ValueError(f"sizes must be some of 128, 192, 256, not {sizes!r}")
        if registers not in (2, 3):
            raise ValueError(f"registers must be 2 or 3, not {registers!r}")
        self._clients = clients
        self._sbox = sbox
        self._exits = {size // 32 + 6: size // 64 - 2 for size in sorted(set(sizes))}
        self._registers = registers
        #: Round keys by number, then by bank of clients.
        self.round_keys = [
            [_bank(min(clients - first, _BANK)) for first in range(0, clients, _BANK)]
            for _ in range(max(self._exits) + 1)
        ]
        super().__init__({
            "valid": In(1), "tag": In(range(max(clients, 2))), "block": In(128), "size": In(2),
            "even": In(RowWrite(clients, 8)), "odd": In(RowWrite(clients, 7)), "done": Out(1),
            "o": Out(Result(clients)),
        })

    def elaborate(self, platform):
        m = Module()
        rounds = max(self._exits)

        def round_key(number, tag):
            """Round key ``number`` of client ``tag``, a cycle later.

            A register for each bank, cleared unless it is the client's: their sum has room in the LUTs behind, where a
            multiplexer of banks would take as many again.
            """
            bus = (self.even, self.odd)[number % 2]
            keys = []
            for n, bank in enumerate(self.round_keys[number]):
                m.submodules[f"round_keys{number}_{n}"] = bank
                write, read = bank.write_port(), bank.read_port(domain="comb")
                key = Signal(128, name=f"key{number}_{n}", reset_less=True)
                m.d.comb += [
                    write.addr.eq(bus.tag),
                    write.data.eq(bus.row),
                    write.en.eq(bus.rows[number // 2] & (bus.tag >> _BANK_BITS == n)),
                    read.addr.eq(tag),
                ]
                m.d.sync += key.eq(Mux(tag >> _BANK_BITS == n, read.data, 0))
                keys.append(key)
            return reduce(xor, keys)

        valid, tag, size = self.valid, self.tag, self.size
        stage = 0

        def step():
            """Move valid, tag and size to the next cycle; the size is there from the second on."""
            nonlocal valid, tag, size, stage
            stage += 1
            valid_next = Signal(name=f"valid{stage}")
            tag_next = Signal(len(self.tag), name=f"tag{stage}", reset_less=True)
            m.d.sync += [valid_next.eq(valid), tag_next.eq(tag)]
            valid, tag = valid_next, tag_next
            if stage > 1:
                size_next = Signal(2, name=f"size{stage}", reset_less=True)
                m.d.sync += size_next.eq(size)
                size = size_next

        state = Signal(128, name="state0")
        m.d.comb += state.eq(self.block ^ round_key(0, tag))
        step()
        results = []
        for number in range(1, rounds + 1):
            m.submodules[f"sub_bytes{number}"] = sub_bytes = SubBytes(16, self._sbox)
            m.d.comb += [sub_bytes.i.eq(state), sub_bytes.en.eq(1)]
            step()
            key = round_key(number, tag)
            sub, double = (Signal(128, name=f"{name}{number}", reset_less=True) for name in ("sub", "double"))
            # ShiftRows on the way to the register: byte (row, column) comes from (row, column + row).
            for column in range(4):
                for row in range(4):
                    at, source = 15 - (4 * column + row), 15 - (4 * ((column + row) % 4) + row)
                    m.d.sync += Cat(sub.word_select(at, 8), double.word_select(at, 8)).eq(
                        sub_bytes.o.word_select(source, 16)
                    )
            step()
            if number in self._exits:
                results.append((valid & (size == self._exits[number]), sub ^ key, tag))
            if number < rounds:
                state = self._mix_columns(m, number, sub, double, key)
                for k in range(2, self._registers):
                    step()
                    held = Signal(128, name=f"mixed{number}_{k}", reset_less=True)
                    m.d.sync += held.eq(state)
                    state = held

        merge = None
        if len(results) > 1:
            m.submodules.merge = merge = Merge(len(results), Result(self._clients), 16)
            m.d.comb += [self.done.eq(merge.valid), self.o.eq(merge.o)]
        for n, (there, block, tag) in enumerate(results):
            result = Signal(Result(self._clients), name=f"result{n}", reset_less=True)
            m.d.sync += [result.block.eq(block), result.tag.eq(tag)]
            if merge is None:
                m.d.sync += self.done.eq(there)
                m.d.comb += self.o.eq(result)
            else:
                m.d.comb += [merge.coming[n].eq(there), merge.i[n].eq(result)]
        return m

    @staticmethod
    def _mix_columns(m, number, sub, double, key):
        """MixColumns and AddRoundKey of whole blocks (FIPS 197 section 5.1.3), in two levels of four inputs."""

        def below(value, rows):
            """Each byte of a column replaced by the one ``rows`` below it."""
            return Cat(value.word_select(4 * (at // 4) + (at - rows) % 4, 8) for at in range(16))

        partial, mixed = Signal(128, name=f"partial{number}"), Signal(128, name=f"state{number}")
        m.d.comb += [
            partial.eq(key ^ below(sub, 2) ^ below(sub, 3)),
            mixed.eq(partial ^ double ^ below(double, 1) ^ below(sub, 1)),
        ]
        return mixed
