# SPDX-License-Identifier: Apache-2.0
"""The golden engine: a frame and up to two SAs in, the protected frame and its status out."""

import enum
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from . import ah, checksum, esp
from .algorithm import AUTHS, ENCRS
from .parse import Level, Refused, number, walk
from .sa import Bundle, Limits, Op
from .status import Status
from .suites import initial_vector

__all__ = ["FEATURES", "Engine", "Event", "EventKind", "Result", "SecurityAssociation", "Unsupported"]

#: What a build may lack beside algorithms.
FEATURES = frozenset(
    """ah esp ah_esp nested ipv6 ipv4_options ipv6_ext udp_esp esn iv_generate iv_frame csum_ip csum_l4
    lifetime""".split()
)


class Unsupported(ValueError):
    """The bundle needs something that the build lacks."""


@dataclass(frozen=True)
class Result:
    """Status of a packet and its protected frame, which is ``None`` for every status but ``success``."""

    status: Status
    frame: bytes | None = field(default=None, repr=False)


class EventKind(enum.IntFlag):
    """Limits that an SA has reached."""

    SOFT_PACKETS = 1 << 0
    SOFT_BYTES = 1 << 1
    HARD_PACKETS = 1 << 2
    HARD_BYTES = 1 << 3


@dataclass(eq=False)
class SecurityAssociation:
    """An added bundle and what moves while it is used.

    ``counters`` holds a number an op: the next generated IV, or the lowest that is taken from a frame; ``highs`` the
    high halves of its sequence numbers. ``packets``, ``octets`` and ``errors`` are as in docs/design.md section 5.2.
    """

    bundle: Bundle
    valid: bool = True
    counters: list[int] = field(init=False)
    highs: list[int] = field(init=False)
    limits: Limits = field(init=False)
    packets: int = 0
    octets: int = 0
    errors: int = 0
    told: EventKind = field(init=False)

    def __post_init__(self) -> None:
        self.counters = [op.iv_init or 0 for op in self.bundle.ops]
        self.highs = [op.esn_high or 0 for op in self.bundle.ops]
        self.limits = self.bundle.limits
        self.told = EventKind(0)

    def take(self) -> list[bytes | None]:
        """One IV for each op, ``None`` where the frame has it; raises ``Refused`` when a counter is used up.

        Every counter that is left moves on, whatever becomes of the packet.
        """
        ivs: list[bytes | None] = []
        exhausted = False
        for n, op in enumerate(self.bundle.ops):
            if not op.generates_iv:
                ivs.append(None)
            elif self.counters[n] >= 2**64:
                exhausted = True
            else:
                ivs.append(initial_vector(op, self.counters[n]))
                self.counters[n] += 1
        if exhausted:
            raise Refused(Status.IV_EXHAUSTED)
        return ivs

    def judge(self, n: int, iv: int) -> None:
        """Take ``iv`` from a frame for op ``n``; raises ``Refused`` if it does not rise."""
        if iv < self.counters[n]:
            raise Refused(Status.IV_REPEAT)
        self.counters[n] = iv + 1

    def count(self, length: int) -> bool:
        """Count a packet of ``length`` bytes; false, and nothing counted, if a hard limit was reached before."""
        if self.limits.expired(self.packets, self.octets):
            return False
        self.packets += 1
        self.octets += length
        return True

    def tell(self) -> EventKind:
        """The limits that are reached and not told of yet; they count as told."""
        kinds = EventKind(0)
        for kind, limit, value in (
            (EventKind.SOFT_PACKETS, self.limits.soft_packets, self.packets),
            (EventKind.SOFT_BYTES, self.limits.soft_bytes, self.octets),
            (EventKind.HARD_PACKETS, self.limits.hard_packets, self.packets),
            (EventKind.HARD_BYTES, self.limits.hard_bytes, self.octets),
        ):
            if 0 < limit <= value:
                kinds |= kind
        kinds &= ~self.told
        self.told |= kinds
        return kinds


@dataclass(frozen=True)
class Event:
    """Limits that a packet's look-up found reached."""

    sa: SecurityAssociation
    kinds: EventKind


def _iv_of(frame: bytes, level: Level, op: Op) -> int:
    """The IV field of ``op`` in the frame as the host framed it, as a number."""
    at = level.esp if op.protocol == "esp" else level.ah
    assert at is not None
    return number(frame, at + (8 if op.protocol == "esp" else 12), op.iv_len)


def _high(op: Op, stored: int, override: int | None) -> int | None:
    if not op.esn:
        return None
    return override if override is not None else stored


class Engine:
    """Golden model of the engine.

    Parameters
    ----------
    encr, auth : collection of str, optional
        Algorithms of the build; all when not given.
    max_frame : int
        Longest frame in bytes.
    enabled : bool
        CTRL.enable.
    unsupported : collection of str
        Members of ``FEATURES`` that the build lacks.
    """

    def __init__(
        self,
        *,
        encr: Collection[str] | None = None,
        auth: Collection[str] | None = None,
        max_frame: int = 9600,
        enabled: bool = True,
        unsupported: Collection[str] = (),
    ) -> None:
        for name, values, known in (
            ("encr", encr, ENCRS),
            ("auth", auth, AUTHS),
            ("unsupported", unsupported, FEATURES),
        ):
            for value in values or ():
                if value not in known:
                    raise ValueError(f"{name} must be among {', '.join(sorted(known))}, not {value!r}")
        self.encr = frozenset(ENCRS if encr is None else encr)
        self.auth = frozenset(AUTHS if auth is None else auth)
        self.max_frame = max_frame
        self.enabled = enabled
        self.unsupported = frozenset(unsupported)
        #: Limits reached, oldest first; whoever looks takes them off.
        self.events: deque[Event] = deque()

    def supports(self, feature: str) -> bool:
        """Whether the build has ``feature``."""
        return feature not in self.unsupported

    def _missing(self, bundle: Bundle) -> str | None:
        if len(bundle.ops) == 2 and not self.supports("ah_esp"):
            return "ah_esp"
        if bundle.limits and not self.supports("lifetime"):
            return "lifetime"
        for op in bundle.ops:
            for name, built in ((op.encr_alg, self.encr), (op.auth_alg, self.auth)):
                if name is not None and name not in built:
                    return name
            for feature, wanted in (
                (op.protocol, True),
                ("udp_esp", op.udp_encap),
                ("esn", op.esn),
                ("iv_generate", op.generates_iv),
                ("iv_frame", op.iv == "frame" and op.iv_len > 0),
            ):
                if wanted and not self.supports(feature):
                    return feature
        return None

    def add_sa(self, bundle: Bundle) -> SecurityAssociation:
        """Add an SA; raises ``Unsupported`` naming what the build lacks for it."""
        if (missing := self._missing(bundle)) is not None:
            raise Unsupported(f"this build has no {missing}")
        return SecurityAssociation(bundle)

    def delete_sa(self, sa: SecurityAssociation) -> None:
        """Delete an SA: packets that name it from now on are refused as ``bad_handle``."""
        sa.valid = False

    def update_sa(
        self, sa: SecurityAssociation, highs: Sequence[int | None] = (), limits: Limits | None = None
    ) -> None:
        """Replace the high halves of the ops' sequence numbers, where one is given, and the limits, where they are.

        Raises ``Unsupported`` for limits in a build without lifetimes.
        """
        if limits is not None and not self.supports("lifetime"):
            raise Unsupported("this build has no lifetime")
        for n, high in enumerate(highs[: len(sa.highs)]):
            if high is not None:
                sa.highs[n] = high
        if limits is not None:
            sa.limits, sa.told = limits, EventKind(0)

    def process(
        self,
        frame: bytes,
        sa1: SecurityAssociation | None = None,
        sa2: SecurityAssociation | None = None,
        *,
        length: int | None = None,
        esn_high1: int | None = None,
        esn_high2: int | None = None,
        csum_ip: bool = False,
        csum_l4: bool = False,
        csum_start: int = 0,
        csum_offset: int = 0,
        csum_udp: bool = False,
        lso: bool = False,
        input_error: bool = False,
    ) -> Result:
        """What the engine makes of one Ethernet frame.

        ``sa1`` is OffloadHandle, ``sa2`` NextOffloadHandle; both given, ``sa1`` is the inner. ``length`` is the
        descriptor's, the frame's when not given; the other arguments are the descriptor's fields, and
        ``input_error`` is ``tuser[0]``.
        """
        request = checksum.Request(csum_ip, csum_l4, csum_start, csum_offset, csum_udp)
        given = [(sa, high) for sa, high in ((sa1, esn_high1), (sa2, esn_high2)) if sa is not None]
        lacking = lso or (csum_ip and not self.supports("csum_ip")) or (csum_l4 and not self.supports("csum_l4"))
        counted: list[SecurityAssociation] = []
        try:
            frame_status = self._judge_frame(frame, length, input_error)
            looked_up = given and self.enabled and not lacking
            # The look-up follows the descriptor; the frame may be found bad later.
            taken = self._look_up(given, len(frame) if length is None else length, counted) if looked_up else []
            if frame_status is not None:
                raise Refused(frame_status)
            if lacking:
                raise Refused(Status.UNSUPPORTED)
            if not given and not request.any:
                return Result(Status.SUCCESS, bytes(frame))
            if given and not self.enabled:
                raise Refused(Status.DISABLED)
            if isinstance(taken, Status):
                raise Refused(taken)
            return Result(Status.SUCCESS, self._protect(frame, given, taken, request))
        except Refused as refusal:
            for sa in counted:
                sa.errors = (sa.errors + 1) % 2**32
            return Result(refusal.status)

    def _judge_frame(self, frame: bytes, length: int | None, input_error: bool) -> Status | None:
        """What is wrong with a frame before anything is looked for in it."""
        if len(frame) > self.max_frame:
            return Status.TOO_LONG
        if input_error:
            return Status.INPUT_ERROR
        if length is not None and length != len(frame):
            return Status.MALFORMED
        return None

    def _look_up(
        self,
        given: list[tuple[SecurityAssociation, int | None]],
        length: int,
        counted: list[SecurityAssociation],
    ) -> list[list[bytes | None]] | Status:
        """The IVs that the SAs give, an entry per SA, or why there are none; ``counted`` gets who counts the packet."""
        ivs: list[list[bytes | None]] = []
        refusals: list[Status] = []
        for sa, _ in given:
            if not sa.valid:
                refusals.append(Status.BAD_HANDLE)
                continue
            try:
                if self.supports("lifetime"):
                    self._count(sa, length, counted)
                ivs.append(sa.take())
            except Refused as refusal:
                refusals.append(refusal.status)
        for status in (Status.BAD_HANDLE, Status.LIFETIME_EXPIRED, Status.IV_EXHAUSTED):
            if status in refusals:
                return status
        return ivs

    def _count(self, sa: SecurityAssociation, length: int, counted: list[SecurityAssociation]) -> None:
        alive = sa.count(length)
        if kinds := sa.tell():
            self.events.append(Event(sa, kinds))
        if not alive:
            raise Refused(Status.LIFETIME_EXPIRED)
        counted.append(sa)

    def _protect(
        self,
        frame: bytes,
        given: list[tuple[SecurityAssociation, int | None]],
        ivs: list[list[bytes | None]],
        request: checksum.Request,
    ) -> bytes:
        if len(given) == 2 and not self.supports("nested"):
            raise Refused(Status.UNSUPPORTED)

        found = walk(frame, [sa.bundle for sa, _ in reversed(given)], self.supports)
        result = bytearray(frame)
        checksum.insert(result, found, request)
        # SA 1 is the last level of the walk, so its passes come first: innermost to outermost.
        passes = [
            (sa, n, level, iv, override)
            for (sa, override), taken, level in zip(given, ivs, reversed(found.levels), strict=True)
            for n, iv in enumerate(taken)
        ]
        for sa, n, level, iv, override in passes:
            op = level.bundle.ops[n]
            protect = esp.protect if op.protocol == "esp" else ah.protect
            protect(result, level, iv, _high(op, sa.highs[n], override))
        for sa, n, level, _, _ in passes:
            if (op := level.bundle.ops[n]).judges_iv:
                sa.judge(n, _iv_of(frame, level, op))
        return bytes(result)
