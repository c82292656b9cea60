# SPDX-License-Identifier: Apache-2.0
"""How many units of each kind a build has, and how many of them are at work."""

from amaranth import *
from amaranth.lib import data

from .share import hashes

__all__ = ["UNIT_KINDS", "Activity", "population", "units_of"]

#: Kinds of units, in the order of their counters.
UNIT_KINDS = ("aes", "ghash", "hash", "mac", "des", "chacha20")


def units_of(config):
    """Units by kind, as far as the build has them.

    A lane is given one unit of a kind, and works on one packet: its hash cores, of which one is at work, count as one
    unit. Shared pipelines are one each, and there are ``config.hash_units`` beside them.
    """
    built = {
        "aes": config.has_aes, "ghash": config.has_ghash, "hash": bool(hashes(config)), "mac": config.has_cbc_mac,
        "des": config.has_des, "chacha20": config.has_chacha,
    }
    shared = {"aes": 1, "ghash": 1, "hash": config.hash_units} if config.units == "shared" else {}
    return {kind: shared.get(kind, config.lanes) for kind in UNIT_KINDS if built[kind]}


class Activity(data.StructLayout):
    """For each kind of unit that the build has, how many of them did a unit of work in one cycle.

    A unit of work is a round of the iterative AES, of DES or a quarter round of ChaCha20, a block of a pipeline, a
    digit of the iterative GHASH, and a slot of a hash core.
    """

    def __init__(self, config):
        super().__init__({kind: range(count + 1) for kind, count in units_of(config).items()})


def population(m, name, bits):
    """How many of ``bits`` are set, two cycles later; four of them are one LUT a bit."""
    fours = []
    for n, first in enumerate(range(0, len(bits), 4)):
        part = bits[first : first + 4]
        four = Signal(range(len(part) + 1), name=f"{name}_{n}", reset_less=True)
        m.d.sync += four.eq(sum(part, C(0, 1)))
        fours.append(four)
    total = Signal(range(len(bits) + 1), name=name, reset_less=True)
    m.d.sync += total.eq(sum(fours, C(0, 1)))
    return total
