# SPDX-License-Identifier: Apache-2.0
"""What bounds an engine's speed: units and how much work each can do in a cycle, the bus, and Ethernet's line rates.

An AES round needs 16 S-box look-ups, so a core with 16 S-boxes spends at least one cycle a round: 12.8 bit a cycle for
AES-128, 9.1 for AES-256. A hash core with one round a cycle is bound to 6.4 bit (SHA-1) or 8 (SHA-256). A pipelined
unit takes a block a cycle. The bus takes a beat a cycle. In the pool (docs/design.md section 9.2) a GCM packet takes
two tokens more through AES than it has blocks for it, and a chain of CBC takes a block each time that it comes round.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nicsec import activity
from nicsec.crypto.md5 import Md5
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha256 import Sha256
from nicsec.crypto.sha512 import Sha512
from nicsec.pool.cipher_pipe import CipherPipe
from nicsec.share import hashes

__all__ = ["ETHERNET_OVERHEAD", "LINE_RATES", "Bound", "Units", "bounds", "line_bits", "unit_cycles", "units_of"]

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
_HASH_CORES = {"md5": Md5, "sha1": Sha1, "sha256": Sha256, "sha512": Sha512}
#: Tokens of a GCM packet that bring GHASH its lengths and the ICV its place.
_GCM_TOKENS = 2


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
    """Units by kind of work: as the engine counts them, but each kind of hash by itself."""
    counts = activity.units_of(config)
    hash_units = counts.pop("hash", 0)
    counts |= dict.fromkeys(hashes(config), hash_units)
    pipelined = {"aes", "ghash"} if config.units == "shared" else set()
    return {kind: Units(count, kind in pipelined) for kind, count in sorted(counts.items())}


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

    def add(unit: str, blocks: float, bits: float, cycles: float) -> None:
        total = sums.setdefault(unit, [0, 0, 0])
        for at, value in enumerate((blocks, bits, cycles)):
            total[at] += value

    for one in works:
        for name, blocks in one.items():
            if name not in _BLOCKS or _kind(name) not in units or not blocks:
                continue
            kind = _kind(name)
            bits, cycles = _BLOCKS[name]
            if units[kind].pipelined:
                cycles = 1
                if kind == "aes" and "ghash" in one:
                    add("aes", 0, 0, _GCM_TOKENS)
                elif kind == "aes":
                    add("threads", blocks, blocks * bits, blocks * CipherPipe.chain_latency)
            elif kind == "ghash":
                cycles = -(-128 // config.ghash_digit)
            add(kind, blocks, blocks * bits, blocks * cycles)
    units |= {"threads": Units(config.lanes)}
    found = [Bound(kind, units[kind].count, units[kind].pipelined, *(value / packets for value in total))
             for kind, total in sums.items()]
    beats = sum(-(-8 * length // config.data_width) for length in lengths) / packets
    return [*found, Bound("bus", 1, True, beats, 8 * sum(lengths) / packets, beats)]


def unit_cycles(config: Any, work: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """What the engine counts for packets of ``work``, by kind of unit; the iterative GHASH's digits and so on.

    Exactly, if no packet is refused: HMAC sends two requests to its hash core.
    """
    counts = dict.fromkeys(activity.units_of(config), 0)
    for one in work:
        for name, blocks in one.items():
            kind = _kind(name)
            if name in _HASH_CORES:
                core = _HASH_CORES[name]
                state = core.STATE_WORDS * 32 // core.WIDTH
                counts["hash"] += core.INTERVAL * (blocks * (core.ROUNDS + state) + 2 * state)
            elif kind in counts:
                shared = config.units == "shared"
                counts[kind] += blocks * (1 if shared else -(-128 // config.ghash_digit) if kind == "ghash" else
                                          _BLOCKS[name][1])
    return counts
