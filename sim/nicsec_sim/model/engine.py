# SPDX-License-Identifier: Apache-2.0
"""The golden engine: a frame and up to two SAs in, the protected frame and its status out."""

from collections.abc import Collection
from dataclasses import dataclass, field

from . import ah, checksum, esp
from .algorithm import AUTHS, ENCRS
from .parse import Refused, walk
from .sa import Bundle, Op
from .status import Status
from .suites import initial_vector

__all__ = ["FEATURES", "Engine", "Result", "SecurityAssociation", "Unsupported"]

#: What a build may lack beside algorithms.
FEATURES = frozenset(
    """ah esp ah_esp nested ipv6 ipv4_options ipv6_ext udp_esp esn iv_generate iv_frame csum_ip csum_l4""".split()
)


class Unsupported(ValueError):
    """The bundle needs something that the build lacks."""


@dataclass(frozen=True)
class Result:
    """Status of a packet and its protected frame, which is ``None`` for every status but ``success``."""

    status: Status
    frame: bytes | None = field(default=None, repr=False)


@dataclass(eq=False)
class SecurityAssociation:
    """An added bundle: its counters of generated IVs, one an op, and whether it may be used."""

    bundle: Bundle
    valid: bool = True
    counters: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counters = [op.iv_init for op in self.bundle.ops]

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


def _high(op: Op, override: int | None) -> int | None:
    if not op.esn:
        return None
    return override if override is not None else op.esn_high or 0


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

    def supports(self, feature: str) -> bool:
        """Whether the build has ``feature``."""
        return feature not in self.unsupported

    def _missing(self, bundle: Bundle) -> str | None:
        if len(bundle.ops) == 2 and not self.supports("ah_esp"):
            return "ah_esp"
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
        try:
            given = [(sa, high) for sa, high in ((sa1, esn_high1), (sa2, esn_high2)) if sa is not None]
            frame_status = self._judge_frame(frame, length, input_error)
            lacking = lso or (csum_ip and not self.supports("csum_ip")) or (csum_l4 and not self.supports("csum_l4"))
            looked_up = given and self.enabled and not lacking
            # The look-up follows the descriptor; the frame may be found bad later.
            taken = self._look_up(given) if looked_up else []
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

    @staticmethod
    def _look_up(given: list[tuple[SecurityAssociation, int | None]]) -> list[list[bytes | None]] | Status:
        """The IVs that the SAs give, an entry per SA, or why there are none."""
        ivs: list[list[bytes | None]] = []
        refusals: list[Status] = []
        for sa, _ in given:
            if not sa.valid:
                refusals.append(Status.BAD_HANDLE)
                continue
            try:
                ivs.append(sa.take())
            except Refused as refusal:
                refusals.append(refusal.status)
        for status in (Status.BAD_HANDLE, Status.IV_EXHAUSTED):
            if status in refusals:
                return status
        return ivs

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
        for (_, override), taken, level in zip(given, ivs, reversed(found.levels), strict=True):
            for op, iv in zip(level.bundle.ops, taken, strict=True):
                protect = esp.protect if op.protocol == "esp" else ah.protect
                protect(result, level, iv, _high(op, override))
        return bytes(result)
