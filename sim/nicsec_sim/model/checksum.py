# SPDX-License-Identifier: Apache-2.0
"""Checksum insertion ahead of the passes (ndis-facts section 2.9).

``csum_ip`` covers the IPv4 header of every level, and of the packet inside a tunnel-mode bundle (or of the frame,
without a bundle). ``csum_l4`` sums from ``csum_start`` to the end of the innermost datagram, or, inside a
transport-mode bundle, of its payload; the field's content is part of the sum, which is how the host seeds it with
the pseudo-header.

Refusals, after the walk and in this order: the innermost IP header is checked as the walk checks one; with
``csum_l4``, no datagram inside (next header 59) is ``invalid_protocol``, a fragment is ``fragment``, a
``csum_start`` off the word grid of the frame or an odd ``csum_offset`` is ``unaligned``, and a start ahead of the
payload or a field that does not end inside it is ``malformed``.
"""

from dataclasses import dataclass

from .parse import IPHeader, Refused, Walk, ip_header
from .status import Status

__all__ = ["Request", "insert", "internet_checksum"]


@dataclass(frozen=True)
class Request:
    """The checksum fields of a descriptor."""

    ip: bool = False
    l4: bool = False
    start: int = 0
    offset: int = 0
    udp: bool = False

    @property
    def any(self) -> bool:
        return self.ip or self.l4


def internet_checksum(data: bytes | bytearray) -> int:
    """One's complement of the one's complement sum of 16-bit words, an odd end filled with zero (RFC 1071)."""
    total = int.from_bytes(data + bytes(len(data) % 2), "big")
    # 2^16 is 1 modulo 65535, so the remainder is the folded sum; the sum is 0 only if every word is.
    folded = total % 0xFFFF or (0xFFFF if total else 0)
    return 0xFFFF ^ folded


def _ipv4(frame: bytearray, header: IPHeader) -> None:
    frame[header.at + 10 : header.at + 12] = bytes(2)
    value = internet_checksum(frame[header.at : header.next])
    frame[header.at + 10 : header.at + 12] = value.to_bytes(2, "big")


def insert(frame: bytearray, walk: Walk, request: Request) -> None:
    """Write the requested checksums into ``frame``; raises ``Refused`` before it changes anything."""
    if not request.any:
        return
    headers = [level.ip for level in walk.levels]
    first, end = walk.at, walk.limit
    if walk.version:
        inner = ip_header(frame, walk.version, walk.at, walk.limit)
        headers.append(inner)
        first, end = inner.next, inner.end
    if request.l4:
        if not walk.version and walk.levels[-1].bundle.tunnel:
            raise Refused(Status.INVALID_PROTOCOL)
        if walk.version and headers[-1].fragmented:
            raise Refused(Status.FRAGMENT)
        if request.start % 4 != 2 or request.offset % 2:
            raise Refused(Status.UNALIGNED)
        at = request.start + request.offset
        if request.start < first or at + 2 > end:
            raise Refused(Status.MALFORMED)
        value = internet_checksum(frame[request.start : end])
        if request.udp and value == 0:
            value = 0xFFFF
        frame[at : at + 2] = value.to_bytes(2, "big")
    if request.ip:
        for header in headers:
            if header.version == 4:
                _ipv4(frame, header)
