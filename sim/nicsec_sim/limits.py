# SPDX-License-Identifier: Apache-2.0
"""What bounds an engine's speed: units and how much work each can do in a cycle, the bus, and Ethernet's line rates.

An AES round needs 16 S-box look-ups, so a core with 16 S-boxes spends at least one cycle a round: 12.8 bit a cycle for
AES-128, 9.1 for AES-256. A hash core with one round a cycle is bound to 6.4 bit (SHA-1) or 8 (SHA-256). A pipelined
unit takes a block a cycle. The bus takes a beat a cycle.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nicsec.share import hashes

__all__ = ["ETHERNET_OVERHEAD", "LINE_RATES", "Bound", "Units", "bounds", "line_bits", "units_of"]

#: Bytes on the wire beside the frame as the engine sees it: preamble with start delimiter, FCS, gap.
ETHERNET_OVERHEAD = 8 + 4 + 12
#: Ethernet's rates in Gb/s.
LINE_RATES = (1.0, 2.5, 10.0, 25.0)

#: Bits of one block of each kind of work, and the least cycles that an iterative unit needs for it.
_BLOCKS = {
    "aes-128": (128, 10),
    "aes-192": (128, 12),
    "aes-256": (128, 14),
    "mac-128": (128, 10),
    "mac-192": (128, 12),
    "mac-256": (128, 14),
    "des": (64, 16),
    "3des": (64, 48),
    "chacha20": (512, 80),
    "md5": (512, 64),
    "sha1": (512, 80),
    "sha256": (512, 64),
    "sha512": (1024, 80),
    "ghash": (128, 128),
}


def line_bits(rate: float, frame: float) -> float:
    """Bits of frame a second, as the engine sees frames, at ``rate`` Gb/s with ``frame`` bytes each."""
    return rate * 1e9 * frame / (frame + ETHERNET_OVERHEAD)


@dataclass(frozen=True)
class Units:
    """How many units of one kind a build has, and whether they are pipelined (a block a cycle) or iterative."""

    count: int
    pipelined: bool = False


def _kind(work: str) -> str:
    return "des" if work == "3des" else work.partition("-")[0]


def units_of(config: Any) -> dict[str, Units]:
    """Units by kind: one of each that the configuration needs in every lane, but for pipelines that all lanes share."""
    kinds = set(hashes(config))
    built = {"aes": "has_aes", "mac": "has_cbc_mac", "ghash": "has_ghash", "des": "has_des", "chacha20": "has_chacha"}
    kinds |= {kind for kind, name in built.items() if getattr(config, name, False)}
    shared = {"aes", "ghash"} if config.units == "shared" else set()
    return {kind: Units(1, True) if kind in shared else Units(config.lanes) for kind in sorted(kinds)}


@dataclass(frozen=True)
class Bound:
    """One limit: ``unit``, how many there are, and for a packet the unit's bits of work and its least unit-cycles."""

    unit: str
    count: int
    pipelined: bool
    blocks: float
    bits: float
    cycles: float

    @property
    def bits_per_cycle(self) -> float:
        """Most bits of its own work that all units together can do in a cycle."""
        return self.count * self.bits / self.cycles

    def share(self, cycles_per_packet: float) -> float:
        """Part of the limit that is reached when a packet takes ``cycles_per_packet``: unit-cycles needed over had."""
        return self.cycles / (self.count * cycles_per_packet)


def bounds(config: Any, work: Iterable[Mapping[str, int]], lengths: Iterable[int]) -> list[Bound]:
    """The limits that hold for packets of ``work`` (blocks by kind) and ``lengths`` in bytes, on average a packet.

    Kinds of work without a stated limit are left out.
    """
    lengths, works = list(lengths), list(work)
    units, packets = units_of(config), len(lengths)
    sums: dict[str, list[float]] = {}
    for one in works:
        for name, blocks in one.items():
            if name not in _BLOCKS or _kind(name) not in units or not blocks:
                continue
            kind = _kind(name)
            bits, cycles = _BLOCKS[name]
            if units[kind].pipelined:
                cycles = 1
            elif kind == "ghash":
                cycles = 128 // config.ghash_digit
            total = sums.setdefault(kind, [0, 0, 0])
            for at, value in enumerate((blocks, blocks * bits, blocks * cycles)):
                total[at] += value
    found = [Bound(kind, units[kind].count, units[kind].pipelined, *(value / packets for value in total))
             for kind, total in sums.items()]
    beats = sum(-(-8 * length // config.data_width) for length in lengths) / packets
    return [*found, Bound("bus", 1, True, beats, 8 * sum(lengths) / packets, beats)]
