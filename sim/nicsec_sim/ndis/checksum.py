# SPDX-License-Identifier: Apache-2.0
"""Checksum requests of a NET_BUFFER_LIST, turned into fields of a descriptor."""

from collections.abc import Sequence
from typing import Any

from ..model.parse import Refused, ip_header, walk
from ..model.sa import Bundle
from .nbl import ChecksumInfo

__all__ = ["checksum_fields", "l4_offset"]

_EXTENSIONS = (0, 43, 60)


def l4_offset(frame: bytes, bundles: Sequence[Bundle]) -> int | None:
    """First byte of the innermost L4 header, through ``bundles`` (outermost first); None where there is no way to it.

    NDIS tells the driver where a TCP header starts, but never a UDP header (NDIS_TCP_IP_CHECKSUM's TcpHeaderOffset).
    """
    try:
        found = walk(frame, bundles)
        if not found.version:
            return found.at
        header = ip_header(frame, found.version, found.at, found.limit)
    except Refused:
        return None
    at, protocol = header.next, header.protocol
    while found.version == 6 and protocol in _EXTENSIONS and at + 8 <= header.end:
        protocol, at = frame[at], at + 8 + 8 * frame[at + 1]
    return at


def checksum_fields(info: ChecksumInfo | int | None, frame: bytes, bundles: Sequence[Bundle]) -> dict[str, Any]:
    """Descriptor fields for the checksum slot ``info``; ``bundles`` are those of the handles, outermost first.

    Where no L4 header is found, the start stays 0, which the engine refuses.
    """
    if isinstance(info, int):
        info = ChecksumInfo.unpack(info)
    if info is None:
        return {}
    fields: dict[str, Any] = {"csum_ip": info.IpHeaderChecksum, "csum_l4": info.TcpChecksum or info.UdpChecksum}
    if info.TcpChecksum:
        start = info.TcpHeaderOffset or l4_offset(frame, bundles)
        fields |= {"csum_start": start or 0, "csum_offset": 16}
    elif info.UdpChecksum:
        fields |= {"csum_udp": True, "csum_start": l4_offset(frame, bundles) or 0, "csum_offset": 6}
    return fields
