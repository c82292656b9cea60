# SPDX-License-Identifier: Apache-2.0
"""The streams of many clients made one."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .choose import round_robin, selected

__all__ = ["Merge", "dealt"]


class _Node(wiring.Component):
    """Takes one of few streams in turn, into a register.

    Parameters
    ----------
    full : bool
        In every cycle, where ``ready`` depends on that of ``o``, or in every second one.
    at_once : bool
        In the cycle in which it is chosen, or in the next one. With ``full`` always at once.
    """

    def __init__(self, shape, clients, *, full, at_once):
        self._full = full
        self._at_once = at_once or full
        super().__init__({
            "i": In(stream.Signature(shape)).array(clients),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        asks, free = Signal(len(self.i)), Signal()
        valid, payload = Signal(), Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += [
            asks.eq(Cat(i.valid for i in self.i)),
            free.eq(~valid | (self.o.ready if self._full else 0)),
            self.o.valid.eq(valid),
            self.o.payload.eq(payload),
        ]
        if self._at_once:
            grant = round_robin(m, "turn", asks, free)
        else:
            grant = Signal(len(self.i))
            unchosen = ~grant.any()
            chosen = round_robin(m, "turn", asks, unchosen)
            with m.If(unchosen):
                m.d.sync += grant.eq(chosen)
            with m.Elif(free):
                m.d.sync += grant.eq(0)
        m.d.comb += [i.ready.eq(granted & free) for i, granted in zip(self.i, grant, strict=True)]
        with m.If(free):
            m.d.sync += valid.eq(asks.any() if self._at_once else grant.any())
            m.d.sync += Value.cast(payload).eq(selected(grant, [i.payload for i in self.i]))
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        return m


def _bounds(clients):
    """Where each group of the clients of a :class:`Merge` begins, and where the last one ends."""
    if clients <= 4:
        return [0, clients]
    count = next(n for n in range(2, clients) if n * (n + 1) >= clients)
    return [clients * n // count for n in range(count + 1)]


def dealt(clients):
    """Places at a :class:`Merge` for clients in order, dealt out so that neighbours are in different groups."""
    groups = [range(begin, end) for begin, end in pairwise(_bounds(clients))]
    return [group[n] for n in range(clients) for group in groups if n < len(group)]


class Merge(wiring.Component):
    """Makes one stream of many, in turn; of more than four by groups, whose turn it is in turn.

    A payload is chosen in one cycle, accepted in the next, and comes out in the one behind; behind a group that takes
    four. Of a group there is a transfer in every second cycle at most. With ``full`` a payload is accepted in the cycle
    in which it is offered when no other one is in its way, and comes out a cycle later, or two behind a group; then
    ``ready`` depends on what the clients of the same group offer.

    Parameters
    ----------
    shape : ShapeLike
    clients : int
    full : bool
        Whether ``o`` has a transfer in every cycle, or in every second. With four clients or fewer ``ready`` then
        depends on that of ``o``.

    Members
    -------
    i : array of In(stream of shape)
    o : Out(stream of shape)
    """

    def __init__(self, shape, clients, *, full=False):
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients!r}")
        self._full = full
        super().__init__({
            "i": In(stream.Signature(shape)).array(clients), "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        shape, clients = self.o.payload.shape(), len(self.i)
        heads = [wiring.flipped(i) for i in self.i]
        bounds = _bounds(clients)
        if len(bounds) > 2:
            groups = []
            for g, (begin, end) in enumerate(pairwise(bounds)):
                m.submodules[f"group{g}"] = group = _Node(shape, end - begin, full=False, at_once=self._full)
                for i, head in zip(group.i, heads[begin:end], strict=True):
                    wiring.connect(m, head, i)
                groups.append(group.o)
            heads = groups
        m.submodules.root = root = _Node(shape, len(heads), full=self._full, at_once=False)
        for i, head in zip(root.i, heads, strict=True):
            wiring.connect(m, head, i)
        wiring.connect(m, root.o, wiring.flipped(self.o))
        return m
