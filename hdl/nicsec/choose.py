# SPDX-License-Identifier: Apache-2.0
"""Choosing among many: gates, round robin, and multiplexers and numbers of a one-hot choice."""

from functools import reduce
from operator import or_

from amaranth import *

__all__ = ["any_of", "gated", "more_than", "number_of", "round_robin", "selected"]


def more_than(value, count):
    """Whether ``value`` is more than the number ``count``; the constant 0 where it cannot be."""
    return value > count if count < (1 << len(value)) - 1 else C(0, 1)


def gated(value, enable):
    """``value``, or zero without ``enable``, as logic.

    Synthesis turns a register's ``Mux(enable, value, 0)`` into a reset of its own. On ECP5 all flip-flops of a tile
    have one, so that many resets of few flip-flops fill a device before its flip-flops do.
    """
    return value & enable.replicate(len(value))


def any_of(values):
    """OR of ``values``."""
    return reduce(or_, values)


def selected(one_hot, values):
    """The one of ``values`` whose bit of ``one_hot`` is set; 0 when none is."""
    return any_of([Mux(bit, Value.cast(value), 0) for bit, value in zip(one_hot, values, strict=True)])


def number_of(one_hot):
    """The position of the bit that is set; 0 when none is."""
    count = len(one_hot)
    bits = range((count - 1).bit_length())
    return Cat(Cat(one_hot[n] for n in range(count) if n >> bit & 1).any() for bit in bits)


def round_robin(m, name, candidates, served):
    """One-hot: of ``candidates`` the first behind the one that was chosen last while ``served``; zero without any."""
    count = len(candidates)
    chosen, above, later = (Signal(count, name=f"{name}_{role}") for role in ("chosen", "above", "later"))
    m.d.comb += above.eq(candidates & later)
    for n in range(count):
        first = candidates[n] & ~candidates[:n].any() & ~above.any()
        m.d.comb += chosen[n].eq((above[n] & ~above[:n].any()) | first)
    with m.If(served & candidates.any()):
        m.d.sync += later.eq(Cat(chosen[:n].any() for n in range(count)))
    return chosen
