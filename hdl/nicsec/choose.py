# SPDX-License-Identifier: Apache-2.0
"""Choosing among many: round robin, and multiplexers by one-hot selection."""

from functools import reduce
from operator import or_

from amaranth import *

__all__ = ["first_from", "selected"]


def first_from(m, name, candidates, start):
    """The first of ``candidates`` at or behind position ``start``, around: ``(found, index)``, both combinational."""
    count = len(candidates)
    found, index = Signal(name=f"{name}_found"), Signal(range(count), name=f"{name}_index")
    above = Signal(count, name=f"{name}_above")
    m.d.comb += [found.eq(candidates.any()), above.eq(candidates & (C(-1, count) << start)[:count])]
    for vector in (candidates, above):
        for n in reversed(range(count)):
            with m.If(vector[n]):
                m.d.comb += index.eq(n)
    return found, index


def selected(one_hot, values):
    """The one of ``values`` whose bit of ``one_hot`` is set; 0 when none is."""
    return reduce(or_, (Value.cast(value) & bit.replicate(len(Value.cast(value)))
                        for bit, value in zip(one_hot, values, strict=True)))
