# SPDX-License-Identifier: Apache-2.0
"""What AH hashes in place of the headers ahead of it (RFC 4302 section 3.3.3.1 and appendix A).

A field that routers change counts as zero; one that they change in a known way counts as what arrives.
"""

from .parse import Extension, IPHeader, Refused
from .status import Status

__all__ = ["masked_headers"]

_END, _NOP, _LSRR, _SSRR = 0x00, 0x01, 0x83, 0x89
#: Security, extended security, commercial security (CIPSO), router alert, sender directed delivery.
_IMMUTABLE = {0x82, 0x85, 0x86, 0x94, 0x95}
_HOP_BY_HOP, _ROUTING, _DESTINATION = 0, 43, 60


def _need(condition: bool, status: Status = Status.MALFORMED) -> None:
    if not condition:
        raise Refused(status)


def _ipv4_options(header: bytearray) -> None:
    at = 20
    while at < len(header):
        kind = header[at]
        if kind == _END:
            return
        if kind == _NOP:
            at += 1
            continue
        _need(at + 2 <= len(header))
        length = header[at + 1]
        _need(length >= 2 and at + length <= len(header))
        if kind in (_LSRR, _SSRR):
            _need(length >= 3 and length % 4 == 3 and header[at + 2] >= 4)
            # A pointer past the end says that the list is used up: the destination is already the last one.
            if header[at + 2] <= length:
                header[16:20] = header[at + length - 4 : at + length]
        if kind not in _IMMUTABLE:
            header[at : at + length] = bytes(length)
        at += length


def _ipv4(header: bytearray) -> None:
    header[1] = 0  # TOS
    header[6:9] = bytes(3)  # flags, fragment offset, TTL
    header[10:12] = bytes(2)  # checksum
    _ipv4_options(header)


def _ipv6_options(headers: bytearray, at: int, end: int) -> None:
    at += 2
    while at < end:
        kind = headers[at]
        if kind == 0:
            at += 1
            continue
        _need(at + 2 <= end)
        length = headers[at + 1]
        _need(at + 2 + length <= end)
        if kind & 0x20:
            headers[at + 2 : at + 2 + length] = bytes(length)
        at += 2 + length


def _routing(headers: bytearray, at: int, length: int) -> None:
    """Type 0 as it arrives: each router on the way swaps the destination with the next address (RFC 2460 4.4)."""
    left = headers[at + 3]
    if left == 0:
        return
    # Type 2 (RFC 6275) is type 0 with one address. How other types change is not known here.
    _need(headers[at + 2] in (0, 2), Status.UNSUPPORTED)
    _need(length % 16 == 8)
    count = length // 16
    _need(left <= count)
    for n in range(count - left, count):
        address = slice(at + 8 + 16 * n, at + 24 + 16 * n)
        headers[24:40], headers[address] = headers[address], headers[24:40]
    headers[at + 3] = 0


def _ipv6(headers: bytearray, start: int, extensions: list[Extension]) -> None:
    headers[0:4] = bytes([0x60, 0, 0, 0])  # traffic class, flow label
    headers[7] = 0  # hop limit
    routed = False
    for extension in extensions:
        at = extension.at - start
        if extension.protocol == _ROUTING:
            # At most one in a datagram (RFC 8200 section 4.1); which destination a second one would begin with is
            # nowhere said.
            _need(not (routed and headers[at + 3]), Status.UNSUPPORTED)
            routed = routed or headers[at + 3] != 0
            _routing(headers, at, extension.length)
        else:
            assert extension.protocol in (_HOP_BY_HOP, _DESTINATION)
            _ipv6_options(headers, at, at + extension.length)


def masked_headers(frame: bytes | bytearray, ip: IPHeader) -> bytes:
    """The bytes from ``ip.at`` to ``ip.next`` as AH hashes them.

    Raises ``Refused``: ``malformed`` for options that overrun their header or a broken source route,
    ``unsupported`` for a routing header of unknown type with segments left, or a second one with segments left.
    """
    headers = bytearray(frame[ip.at : ip.next])
    if ip.version == 4:
        _ipv4(headers)
    else:
        _ipv6(headers, ip.at, ip.extensions)
    return bytes(headers)
