# SPDX-License-Identifier: Apache-2.0
"""One pipelined GHASH for many clients (NIST SP 800-38D section 6.4)."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import any_of, number_of
from ..turns import Turns
from .gf128 import GfMultiply
from .ghash import GhashBlock

__all__ = ["GhashPipe", "GhashPort"]


class GhashPort(wiring.Signature):
    """The members of :class:`.ghash.Ghash`, as the core sees them."""

    def __init__(self):
        super().__init__({
            "h": In(stream.Signature(128)),
            "i": In(stream.Signature(GhashBlock())),
            "o": Out(stream.Signature(128)),
            "wipe": In(1),
        })


class GhashPipe(wiring.Component):
    """Hashes the messages of many clients, each under its own subkey, one block per cycle.

    Towards each client it behaves as :class:`.ghash.Ghash` does. A client's blocks follow each other by six cycles at
    least, so six clients that never pause fill the multiplier. With no one else asking, a block is accepted two cycles
    after it is offered and its result is offered eight cycles after that. Clients wait for each other in turn; apart
    from that nothing depends on data or key bits. After reset there is no answer for as many cycles as there are
    clients, while subkeys and sums are cleared.

    Parameters
    ----------
    clients : int
        Ports, 1 or more.

    Members
    -------
    client : array of GhashPort
        ``h``: subkey; ``i``: blocks; ``o``: Y after each ``last``; a pulse of ``wipe`` clears the subkey as soon as no
        message is inside. Y is 0 between messages.
    issued : Out(1)
        A block entered in this cycle.
    """

    def __init__(self, clients):
        if not isinstance(clients, int) or clients < 1:
            raise ValueError(f"clients must be an integer of 1 or more, not {clients!r}")
        self._clients = clients
        super().__init__({"client": Out(GhashPort()).array(clients), "issued": Out(1)})

    def elaborate(self, platform):
        m = Module()
        clients = self._clients
        ports = self.client

        m.submodules.block_turns = block_turns = Turns(clients)
        m.submodules.key_turns = key_turns = Turns(clients)
        grant, key_grant = block_turns.grant, key_turns.grant

        # A client is busy from its request to the cycle from which its next block would meet its sum in the memory,
        # and owes from its last block to the answer's departure. After reset all are busy until the memories are clear.
        keyed, between, wiping = Signal(clients), Signal(clients, init=-1), Signal(clients)
        busy, owes = Signal(clients, init=-1), Signal(clients)
        clearing = Signal(init=1)
        cleared = Signal(range(clients))
        with m.If(clearing):
            m.d.sync += [cleared.eq(cleared + 1), clearing.eq(cleared != clients - 1)]

        # Stage n is n cycles behind the grant: 0 gives the block, 2 meets the sum, 3 to 6 multiply, 7 writes the sum.
        def train(name, first, stages):
            """``first`` and, one cycle later each, its copies up to stage ``stages``."""
            copies = [first, *(Signal.like(first, name=f"{name}_{n}") for n in range(1, stages + 1))]
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(copies)]
            return copies

        any_last = Signal()
        m.d.comb += [
            any_last.eq((grant & Cat(port.i.p.last for port in ports)).any()),
            self.issued.eq(block_turns.granted),
        ]
        granted, last = train("grant", grant, 6), train("last", any_last, 6)
        valid = train("valid", block_turns.granted, 7)

        answer = Signal(128, reset_less=True)
        landed = Signal(clients)
        m.d.sync += landed.eq(granted[6] & last[6].replicate(clients))
        for n, port in enumerate(ports):
            rekey = Signal(name=f"rekey_{n}")
            m.d.comb += [
                rekey.eq(between[n] & (port.h.valid | wiping[n])),
                block_turns.ask[n].eq(port.i.valid & keyed[n] & ~busy[n] & ~owes[n] & ~rekey),
                key_turns.ask[n].eq(~busy[n] & rekey),
                port.i.ready.eq(grant[n]),
                port.h.ready.eq(key_grant[n]),
            ]
            with m.If(granted[3][n] | key_grant[n] | (clearing & (cleared == clients - 1))):
                m.d.sync += busy[n].eq(0)
            with m.Elif(block_turns.ask[n] | key_turns.ask[n]):
                m.d.sync += busy[n].eq(1)
            with m.If(port.wipe):
                m.d.sync += wiping[n].eq(1)
            with m.If(key_grant[n]):
                m.d.sync += [keyed[n].eq(port.h.valid), wiping[n].eq(0)]
            with m.If(grant[n]):
                m.d.sync += [between[n].eq(port.i.p.last), owes[n].eq(port.i.p.last)]
            with m.Elif(port.o.valid & port.o.ready):
                m.d.sync += owes[n].eq(0)
            with m.If(landed[n]):
                m.d.sync += [port.o.payload.eq(answer), port.o.valid.eq(1)]
            with m.Elif(port.o.ready):
                m.d.sync += port.o.valid.eq(0)

        def gathered(name, one_hot, values):
            """The value that ``one_hot`` names, as signals yet to be ORed, two cycles later."""
            chosen = [value & bit.replicate(len(value)) for bit, value in zip(one_hot, values, strict=True)]
            for stage, branches in enumerate((2, 4)):
                parts = [any_of(chosen[n : n + branches]) for n in range(0, len(chosen), branches)]
                chosen = [Signal(len(part), name=f"{name}_{stage}_{n}") for n, part in enumerate(parts)]
                m.d.sync += [signal.eq(part) for signal, part in zip(chosen, parts, strict=True)]
            return chosen

        def gathered_name(name, one_hot):
            """The number of the bit that is set, a cycle later."""
            number = Signal(range(max(clients, 2)), name=name)
            m.d.sync += number.eq(number_of(one_hot))
            return number

        tag = [None, *train("tag", gathered_name("tag", grant), 6)]
        block = gathered("block", grant, [port.i.p.block for port in ports])

        depth = max(clients, 2)
        m.submodules.subkeys = subkeys = memory.Memory(shape=128, depth=depth, init=[])
        m.submodules.sums = sums = memory.Memory(shape=128, depth=depth, init=[])
        keys_in, keys_out = subkeys.write_port(), subkeys.read_port(domain="comb")
        sums_in, sums_out = sums.write_port(), sums.read_port(domain="comb")

        # Polynomials inside have the coefficient of x^n in bit n, the reverse of the ports. Registers are zeroed when
        # nothing is inside, so that no subkey lingers.
        m.submodules.multiply = multiply = GfMultiply()
        total = Signal(128)
        m.d.comb += [keys_out.addr.eq(tag[2]), sums_out.addr.eq(tag[2])]
        m.d.sync += [multiply.a.eq(0), multiply.b.eq(0), total.eq(0), answer.eq(multiply.o[::-1])]
        with m.If(valid[2]):
            m.d.sync += [multiply.a.eq(any_of(block)[::-1] ^ sums_out.data), multiply.b.eq(keys_out.data)]
        with m.If(valid[6] & ~last[6]):
            m.d.sync += total.eq(multiply.o)
        m.d.comb += [
            sums_in.addr.eq(Mux(clearing, cleared, tag[7])),
            sums_in.data.eq(total),
            sums_in.en.eq(clearing | valid[7]),
        ]

        # A wipe is a subkey of 0. The next block of a client comes to its subkey two cycles behind the write.
        any_key = Signal()
        m.d.comb += any_key.eq((key_grant & Cat(port.h.valid for port in ports)).any())
        key_tag = [None, *train("key_tag", gathered_name("key_tag", key_grant), 2)]
        key_valid, key_is_new = train("key_valid", key_turns.granted, 3), train("key_is_new", any_key, 2)
        parts = gathered("key", key_grant, [port.h.payload for port in ports])
        subkey = Signal(128)
        m.d.sync += subkey.eq(Mux(key_is_new[2], any_of(parts)[::-1], 0))
        m.d.comb += [
            keys_in.addr.eq(Mux(clearing, cleared, key_tag[3])),
            keys_in.data.eq(subkey),
            keys_in.en.eq(clearing | key_valid[3]),
        ]
        return m
