# SPDX-License-Identifier: Apache-2.0
"""Many clients before one unit: who is next, its payload, and the answers' way back."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..choose import any_of, round_robin, selected

__all__ = ["Arbiter", "FanIn", "FanOut"]


class Arbiter(wiring.Component):
    """Grants one of many requests a cycle: a round of groups, and in each group a round of its clients.

    A request that is up in cycle 0 may be granted from cycle 2 on. It is held up until then, and counts for nothing
    in the cycles of ``held`` and ``grant``, so that a client is granted every third cycle at most. With a request
    always up, a client waits for one turn of each client of its group in each group's turn at most.

    Members
    -------
    request : In(clients)
    enable : In(1)
        A client may be granted in the next cycle.
    held : Out(clients)
        Chosen for its group's next turn.
    grant : Out(clients)
        One-hot.
    valid, tag : Out
        Whether there is a grant, and to whom.
    """

    def __init__(self, clients):
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients!r}")
        self._clients = clients
        super().__init__({
            "request": In(clients), "enable": In(1), "held": Out(clients), "grant": Out(clients), "valid": Out(1),
            "tag": Out(range(max(clients, 2))),
        })

    @staticmethod
    def groups(clients):
        """Clients by group: four groups of four for 16, six of five or six for 34."""
        count = next(count for count in range(1, clients + 1) if count * (count + (count > 3)) >= clients)
        bounds = [clients * n // count for n in range(count + 1)]
        return [range(begin, end) for begin, end in pairwise(bounds)]

    def elaborate(self, platform):
        m = Module()
        groups = self.groups(self._clients)
        waiting, turn = Signal(len(groups)), Signal(len(groups))
        candidates = Signal(self._clients)
        m.d.comb += candidates.eq(self.request & ~self.held & ~self.grant)
        tags = []
        for g, group in enumerate(groups):
            ours = slice(group.start, group.stop)
            wanted, move = Signal(len(group), name=f"wanted{g}"), Signal(name=f"move{g}")
            tag = Signal(len(self.tag), name=f"tag{g}", reset_less=True)
            m.d.comb += [wanted.eq(candidates[ours]), move.eq(~waiting[g] | turn[g])]
            chosen = round_robin(m, f"group{g}", wanted, move)
            with m.If(move):
                m.d.sync += [self.held[ours].eq(chosen), waiting[g].eq(wanted.any())]
                for n, client in enumerate(group):
                    with m.If(chosen[n]):
                        m.d.sync += tag.eq(client)
            m.d.sync += self.grant[ours].eq(Mux(turn[g], self.held[ours], 0))
            tags.append(Mux(turn[g], tag, 0))
        ready = Signal(len(groups))
        m.d.comb += [ready.eq(Mux(self.enable, waiting, 0)), turn.eq(round_robin(m, "root", ready, 1))]
        m.d.sync += [self.valid.eq(ready.any()), self.tag.eq(any_of(tags))]
        return m


class FanIn(wiring.Component):
    """Takes payloads of many streams, one a cycle, in the order of :class:`Arbiter`.

    A payload offered in cycle 0 is accepted in cycle 2 or later; ``ready`` is a register. ``o`` follows one cycle
    behind ``valid`` and ``tag``, out of a register for each group of clients: an OR of few. It is 0 when nothing was
    accepted.

    Members
    -------
    i : array of In(stream of shape)
    open : In(clients)
        The client may be chosen in this cycle; it is accepted even if ``open`` falls then.
    enable : In(1)
    held, grant, valid, tag : Out
        Those of the arbiter: ``grant`` is up in the cycle of the transfer.
    o : Out(shape)
    """

    def __init__(self, clients, shape):
        self._clients = clients
        super().__init__({
            "i": In(stream.Signature(shape)).array(clients), "open": In(clients), "enable": In(1),
            "held": Out(clients), "grant": Out(clients), "valid": Out(1), "tag": Out(range(max(clients, 2))),
            "o": Out(shape),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = Arbiter(self._clients)
        m.d.comb += [
            arbiter.enable.eq(self.enable),
            arbiter.request.eq(Cat(i.valid for i in self.i) & self.open),
            *(getattr(self, name).eq(getattr(arbiter, name)) for name in ("held", "grant", "valid", "tag")),
        ]
        parts = []
        for g, group in enumerate(Arbiter.groups(self._clients)):
            part = Signal(len(Value.cast(self.o)), name=f"part{g}", reset_less=True)
            ours = slice(group.start, group.stop)
            m.d.sync += part.eq(selected(arbiter.grant[ours], [self.i[n].payload for n in group]))
            parts.append(part)
        m.d.comb += Value.cast(self.o).eq(any_of(parts))
        for n, i in enumerate(self.i):
            m.d.comb += i.ready.eq(arbiter.grant[n])
        return m


class FanOut(wiring.Component):
    """Gives payloads back to many clients, each behind a queue of its own in LUT RAM.

    A payload that comes in cycle 0 is offered from cycle 1 on. Nothing is held back at the input: whoever feeds it
    keeps count of each queue.

    Parameters
    ----------
    clients : int
    width : int
    depth : int
        Payloads in a queue, a power of two.

    Members
    -------
    valid, tag, i : In
        Strobe, client and payload.
    o : array of Out(stream of width)
    """

    def __init__(self, clients, width, depth):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 up, not {depth!r}")
        self._depth = depth
        super().__init__({
            "valid": In(1), "tag": In(range(max(clients, 2))), "i": In(width),
            "o": Out(stream.Signature(width)).array(clients),
        })

    def elaborate(self, platform):
        m = Module()
        for n, o in enumerate(self.o):
            m.submodules[f"queue{n}"] = queue = memory.Memory(
                shape=len(self.i), depth=self._depth, init=[], attrs={"ram_style": "distributed"}
            )
            write, read = queue.write_port(), queue.read_port(domain="comb")
            level = Signal(range(self._depth + 1), name=f"level{n}")
            put, got = Signal(name=f"put{n}"), Signal(name=f"got{n}")
            m.d.comb += [
                put.eq(self.valid & (self.tag == n)),
                got.eq(o.valid & o.ready),
                o.valid.eq(level != 0),
                o.payload.eq(read.data),
                write.data.eq(self.i),
                write.en.eq(put),
            ]
            with m.If(put):
                m.d.sync += write.addr.eq(write.addr + 1)
            with m.If(got):
                m.d.sync += read.addr.eq(read.addr + 1)
            with m.If(put & ~got):
                m.d.sync += level.eq(level + 1)
            with m.If(got & ~put):
                m.d.sync += level.eq(level - 1)
        return m
