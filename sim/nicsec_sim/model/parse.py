# SPDX-License-Identifier: Apache-2.0
"""The walk of docs/design.md section 4: where the headers that the bundles name lie in a frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .sa import Bundle
from .status import Status

__all__ = ["Extension", "IPHeader", "Level", "Refused", "Walk", "ip_header", "number", "walk"]

_IPV4, _IPV6 = 4, 41
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_UDP, _ESP, _AH, _NONE = 17, 50, 51, 59
_NAT_T_PORT = 4500


class Refused(Exception):
    """The frame cannot be protected; ``status`` says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.text)
        self.status = status


@dataclass(frozen=True)
class Extension:
    """An IPv6 extension header: its own protocol number, first byte and length."""

    protocol: int
    at: int
    length: int


@dataclass
class IPHeader:
    """An IP header with its extension headers; ``at`` to ``next`` is the header, the datagram ends at ``end``."""

    version: int
    at: int
    end: int
    protocol: int
    next: int
    fragmented: bool = False
    extensions: list[Extension] = field(default_factory=list)


@dataclass
class Level:
    """One bundle laid over a frame. Offsets are bytes of the frame, ``None`` where the bundle has no such header.

    ``ah`` is the first byte of AH, ``ah_len`` its length; ``esp`` the first byte of ESP, ``payload`` the byte
    after the IV, ``icv`` the first byte of the ESP ICV; ``inner`` to ``limit`` is what ``protocol`` names.
    """

    bundle: Bundle
    ip: IPHeader
    ah: int | None = None
    ah_len: int = 0
    esp: int | None = None
    payload: int = 0
    icv: int = 0
    inner: int = 0
    limit: int = 0
    protocol: int = 0


@dataclass
class Walk:
    """Result of a walk: levels, outermost first, and the region that is left inside the last."""

    levels: list[Level]
    version: int
    at: int
    limit: int


def number(frame: bytes | bytearray, at: int, length: int) -> int:
    """``length`` bytes at ``at`` as a number in network order."""
    return int.from_bytes(frame[at : at + length], "big")


def _need(condition: bool, status: Status = Status.MALFORMED) -> None:
    if not condition:
        raise Refused(status)


def _link(frame: bytes | bytearray) -> tuple[int, int]:
    """IP version and first byte of the IP header, behind Ethernet II or LLC/SNAP and up to two VLAN tags."""
    at, limit = 12, len(frame)
    _need(at + 2 <= limit)
    kind = number(frame, at, 2)
    at += 2
    for _ in range(2):
        if kind in (0x8100, 0x88A8):
            _need(at + 4 <= limit)
            kind = number(frame, at + 2, 2)
            at += 4
    if kind <= 1500:
        _need(at + 8 <= limit)
        _need(number(frame, at, 6) == 0xAAAA03000000, Status.INVALID_PROTOCOL)
        kind = number(frame, at + 6, 2)
        at += 8
    _need(kind in (0x0800, 0x86DD), Status.INVALID_PROTOCOL)
    return (4 if kind == 0x0800 else 6), at


def _extensions(frame: bytes | bytearray, header: IPHeader) -> None:
    """Move ``header.next`` over the extension headers that may stand ahead of AH or ESP (RFC 8200 section 4)."""
    while header.protocol in (_HOP_BY_HOP, _ROUTING, _DESTINATION):
        at = header.next
        _need(at + 8 <= header.end)
        length = 8 + 8 * frame[at + 1]
        _need(at + length <= header.end)
        header.extensions.append(Extension(header.protocol, at, length))
        header.protocol = frame[at]
        header.next = at + length
    _need(header.protocol != _FRAGMENT, Status.FRAGMENT)


def ip_header(frame: bytes | bytearray, version: int, at: int, limit: int) -> IPHeader:
    """The fixed part of an IP header (IPv4: with its options), checked against ``limit``."""
    if version == 4:
        _need(at + 20 <= limit)
        _need(frame[at] >> 4 == 4, Status.INVALID_PROTOCOL)
        ihl, total = 4 * (frame[at] & 15), number(frame, at + 2, 2)
        _need(ihl >= 20 and total >= ihl and at + total <= limit)
        fragmented = number(frame, at + 6, 2) & 0x3FFF != 0
        return IPHeader(4, at, at + total, frame[at + 9], at + ihl, fragmented)
    _need(at + 40 <= limit)
    _need(frame[at] >> 4 == 6, Status.INVALID_PROTOCOL)
    end = at + 40 + number(frame, at + 4, 2)
    _need(end <= limit)
    return IPHeader(6, at, end, frame[at + 6], at + 40)


def _level(
    frame: bytes | bytearray,
    bundle: Bundle,
    version: int,
    at: int,
    limit: int,
    supported: Callable[[str], bool],
) -> Level:
    header = ip_header(frame, version, at, limit)
    _need(not header.fragmented, Status.FRAGMENT)
    if version == 6:
        _extensions(frame, header)
    level = Level(bundle, header)
    at, end, protocol = header.next, header.end, header.protocol

    if (ah := bundle.ah) is not None:
        _need(protocol == _AH, Status.MISSING_AH)
        _need(at + 12 <= end)
        _need(number(frame, at + 4, 4) == ah.spi, Status.SPI_MISMATCH)
        length = 4 * (frame[at + 1] + 2)
        _need(at + length <= end)
        _need(length >= 12 + ah.iv_len + ah.icv_len, Status.NO_ROOM)
        # A build without the masking of options or extension headers cannot hash them.
        _need(version == 6 or header.next == header.at + 20 or supported("ipv4_options"), Status.UNSUPPORTED)
        _need(not header.extensions or supported("ipv6_ext"), Status.UNSUPPORTED)
        level.ah, level.ah_len = at, length
        behind = IPHeader(version, header.at, end, frame[at], at + length)
        if version == 6:
            _extensions(frame, behind)
        at, protocol = behind.next, behind.protocol

    if (esp := bundle.esp) is not None:
        if esp.udp_encap:
            _need(protocol == _UDP, Status.MISSING_ESP)
            _need(at + 8 <= end)
            _need(number(frame, at + 2, 2) == _NAT_T_PORT, Status.MISSING_ESP)
            _need(number(frame, at + 4, 2) == end - at)
            at += 8
        else:
            _need(protocol == _ESP, Status.MISSING_ESP)
        _need(at + 8 <= end)
        _need(number(frame, at, 4) == esp.spi, Status.SPI_MISMATCH)
        level.esp, level.payload, level.icv = at, at + 8 + esp.iv_len, end - esp.icv_len
        size = level.icv - level.payload
        _need(size >= 2, Status.NO_ROOM)
        _need(size % esp.align == 0, Status.UNALIGNED)
        pad, protocol = frame[level.icv - 2], frame[level.icv - 1]
        _need(pad + 2 <= size)
        _need(not bundle.tunnel or protocol in (_IPV4, _IPV6, _NONE), Status.INVALID_PROTOCOL)
        level.inner, level.limit = level.payload, level.icv - 2 - pad
    else:
        _need(not bundle.tunnel or protocol in (_IPV4, _IPV6), Status.INVALID_PROTOCOL)
        level.inner, level.limit = at, end
    level.protocol = protocol
    return level


def walk(
    frame: bytes | bytearray, bundles: Sequence[Bundle], supported: Callable[[str], bool] = lambda feature: True
) -> Walk:
    """Lay ``bundles``, outermost first, over ``frame``; raises ``Refused`` at the first thing that does not fit."""
    version, at = _link(frame)
    limit = len(frame)
    levels: list[Level] = []
    for n, bundle in enumerate(bundles):
        _need(version == 4 or supported("ipv6"), Status.UNSUPPORTED)
        level = _level(frame, bundle, version, at, limit, supported)
        levels.append(level)
        at, limit = level.inner, level.limit
        version = {_IPV4: 4, _IPV6: 6}.get(level.protocol, 0) if bundle.tunnel else 0
        _need(version != 0 or n + 1 == len(bundles), Status.INVALID_PROTOCOL)
    return Walk(levels, version, at, limit)
