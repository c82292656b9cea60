# SPDX-License-Identifier: Apache-2.0
"""Where an SA stands, so that it can be deleted and go on later as if it had never left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..model.parse import Refused, number, walk
from ..model.sa import Bundle, Limits
from .device import SaCounts

__all__ = ["Standing", "frame_ivs", "resumed"]


@dataclass(frozen=True)
class Standing:
    """What an SA has counted since it was added; for each op the next generated IV or the lowest that is taken from a
    frame, and the high half of its sequence numbers."""

    counts: SaCounts
    counters: tuple[int, ...]
    highs: tuple[int, ...]


def _left(limit: int, used: int) -> int:
    # A soft limit that was passed has been told of; there is no more of it.
    return max(0, limit - used)


def resumed(bundle: Bundle, standing: Standing) -> Bundle | None:
    """The bundle with which an SA goes on that was added as ``bundle``; None if there is no way on.

    There is none when a hard limit is reached, or when a counter has no value left.
    """
    limits, counts = bundle.limits, standing.counts
    if limits.expired(counts.packets, counts.bytes):
        return None
    ops = []
    for op, counter, high in zip(bundle.ops, standing.counters, standing.highs, strict=True):
        counts_ivs = op.generates_iv or op.judges_iv
        if counts_ivs and counter >= 2**64:
            return None
        ops.append(replace(
            op, iv_init=counter if counts_ivs else op.iv_init, esn_high=high if op.esn else op.esn_high
        ))
    left = Limits(
        soft_packets=_left(limits.soft_packets, counts.packets),
        hard_packets=_left(limits.hard_packets, counts.packets),
        soft_bytes=_left(limits.soft_bytes, counts.bytes),
        hard_bytes=_left(limits.hard_bytes, counts.bytes),
    )
    return Bundle(bundle.mode, tuple(ops), left)


def frame_ivs(frame: bytes, bundles: Sequence[Bundle]) -> list[tuple[int, int, int]]:
    """IVs that the host put into ``frame`` and that must rise: number of the bundle, of its op, and the IV.

    ``bundles`` are innermost first, and so is the result: the order of passes. Empty if there is no way to them.
    """
    if not any(op.judges_iv for bundle in bundles for op in bundle.ops):
        return []
    try:
        levels = walk(frame, list(reversed(bundles))).levels
    except Refused:
        return []
    found = []
    for k, level in enumerate(reversed(levels)):
        for n, op in enumerate(level.bundle.ops):
            if op.judges_iv:
                at = (level.esp or 0) + 8 if op.protocol == "esp" else (level.ah or 0) + 12
                found.append((k, n, number(frame, at, op.iv_len)))
    return found
