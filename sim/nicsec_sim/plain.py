# SPDX-License-Identifier: Apache-2.0
"""Plain IP, UDP and TCP packets, as a host has them before IPsec."""

import ipaddress

from .model.checksum import internet_checksum

__all__ = ["ipv4", "ipv6", "tcp", "udp"]


def ipv4(
    src: str,
    dst: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    df: bool = False,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet; ``options`` are filled up with end-of-list to four bytes."""
    options += bytes(-len(options) % 4)
    if len(options) > 40:
        raise ValueError(f"options must be at most 40 bytes, not {len(options)}")
    total = 20 + len(options) + len(payload)
    if total > 0xFFFF:
        raise ValueError(f"payload must make a packet of at most 65535 bytes, not {total}")
    header = bytearray([0x45 + len(options) // 4, tos])
    header += total.to_bytes(2, "big") + ident.to_bytes(2, "big") + bytes([0x40 if df else 0, 0, ttl, protocol, 0, 0])
    header += ipaddress.IPv4Address(src).packed + ipaddress.IPv4Address(dst).packed + options
    header[10:12] = internet_checksum(header).to_bytes(2, "big")
    return bytes(header) + payload


def ipv6(
    src: str,
    dst: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    flow: int = 0,
    extensions: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """An IPv6 packet; an extension is its protocol number and its header, whose first byte is filled in here."""
    chain = b""
    for number, header in reversed(extensions):
        if len(header) < 8 or len(header) != 8 + 8 * header[1]:
            raise ValueError(f"extensions must have the length that their second byte says, not {len(header)}")
        chain = bytes([protocol]) + header[1:] + chain
        protocol = number
    length = len(chain) + len(payload)
    if length > 0xFFFF:
        raise ValueError(f"payload must make at most 65535 bytes, not {length}")
    head = (6 << 28 | tos << 20 | flow).to_bytes(4, "big") + length.to_bytes(2, "big") + bytes([protocol, ttl])
    return head + ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed + chain + payload


def _pseudo(src: str, dst: str, protocol: int, length: int) -> bytes:
    addresses = ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed
    return addresses + length.to_bytes(4, "big") + bytes([0, 0, 0, protocol])


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes, *, seed: bool = False) -> bytes:
    """A UDP datagram with its checksum, or with what seeds it, the pseudo-header's sum, when it is offloaded."""
    length = 8 + len(payload)
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + length.to_bytes(2, "big")
    pseudo = _pseudo(src, dst, 17, length)
    if seed:
        value = 0xFFFF ^ internet_checksum(pseudo)
    else:
        value = internet_checksum(pseudo + head + bytes(2) + payload) or 0xFFFF
    return head + value.to_bytes(2, "big") + payload


def tcp(
    src: str, dst: str, sport: int, dport: int, payload: bytes, *, seq: int = 0, flags: int = 0x18, seed: bool = False
) -> bytes:
    """A TCP segment without options; ``seed`` as for ``udp``."""
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + seq.to_bytes(4, "big") + bytes(4)
    head += bytes([0x50, flags, 0xFF, 0xFF])
    pseudo = _pseudo(src, dst, 6, 20 + len(payload))
    if seed:
        value = 0xFFFF ^ internet_checksum(pseudo)
    else:
        value = internet_checksum(pseudo + head + bytes(4) + payload)
    return head + value.to_bytes(2, "big") + bytes(2) + payload
