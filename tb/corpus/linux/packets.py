# SPDX-License-Identifier: Apache-2.0
"""Packets to send: what the guest's sockets are given, and the IP options and extension headers under AH."""

import ipaddress
import struct

__all__ = ["EXTENSIONS", "IPV4_OPTIONS", "extension_packet", "packet"]


def _payload(rng, size):
    """Bytes that compress: the file is kept in version control."""
    start = rng.randrange(256)
    return bytes((start + n) % 256 for n in range(size))


def packet(rng, version, size, kind=None):
    """A packet with ``size`` bytes behind its IP header's upper-layer header: UDP, ICMP echo, TCP SYN or bare."""
    kind = kind or rng.choices(("udp", "icmp", "tcp", "raw"), (6, 2, 1, 2))[0]
    if kind == "tcp" and size > 100:
        kind = "udp"
    data = _payload(rng, size)
    result = {"kind": kind, "data": data.hex(), "tos": rng.choice((0, 0, 0xB8, 0x28))}
    if kind in ("udp", "tcp"):
        result |= {"sport": rng.randrange(1024, 4000), "dport": rng.randrange(5000, 65536)}
    elif kind == "icmp":
        head = struct.pack(">BBHHH", 8 if version == 4 else 128, 0, 0, rng.randrange(65536), rng.randrange(65536))
        words = head + data + bytes(len(data) % 2)
        total = sum(struct.unpack(f">{len(words) // 2}H", words))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        if version == 4:  # over IPv6 the kernel fills it in
            head = head[:2] + struct.pack(">H", 0xFFFF ^ total) + head[4:]
        result |= {"kind": "raw", "protocol": 1 if version == 4 else 58, "data": (head + data).hex()}
    else:
        result["protocol"] = 253
    return result


def _v4(*addresses):
    return b"".join(ipaddress.ip_address(address).packed for address in addresses)


def _route(kind, *hops):
    return bytes([kind, 3 + 4 * len(hops), 4]) + _v4(*hops)


_HOPS = [f"192.0.2.{n}" for n in range(20, 29)]

#: Options by name: what the socket option takes, and the first hop where there is a source route: the kernel sends
#: to that, moves the others up and puts the destination last.
IPV4_OPTIONS = {name: (options.hex(), first) for name, (options, first) in {
    "record route": (bytes([7, 11, 4]) + bytes(8) + b"\0", None),
    "record route of nine": (bytes([7, 39, 4]) + bytes(36) + b"\0", None),
    "timestamp": (bytes([68, 12, 5, 0]) + bytes(8), None),
    "router alert": (bytes([148, 4, 0, 0]), None),
    "basic security": (bytes([130, 11]) + bytes(range(1, 10)) + b"\1", None),
    "extended security, no operation": (bytes([1, 133, 6, 1, 2, 3, 1, 0]), None),
    "stream id": (bytes([136, 4, 0x12, 0x34]), None),
    "unknown": (bytes([0x9E, 6, 1, 2, 3, 4, 1, 1]), None),
    "lsrr of one": (_route(131, _HOPS[0]) + b"\0", _HOPS[0]),
    "lsrr of three": (b"\1" + _route(131, *_HOPS[:3]), _HOPS[0]),
    "lsrr of nine": (b"\1" + _route(131, *_HOPS), _HOPS[0]),
    "ssrr of two, router alert": (bytes([148, 4, 0, 0]) + _route(137, *_HOPS[4:6]) + b"\1", _HOPS[4]),
    "lsrr of one, record route, timestamp": (_route(131, _HOPS[7]) + bytes([7, 7, 4]) + bytes(4)
                                             + bytes([68, 8, 5, 0]) + bytes(4) + b"\1\0\0", _HOPS[7]),
}.items()}


def _tlvs(*items):
    """Hop-by-hop or destination options: (type, data) items, padded to eight bytes with PadN."""
    body = b"".join(bytes([kind]) if kind == 0 else bytes([kind, len(data)]) + data for kind, data in items)
    gap = -(2 + len(body)) % 8
    if gap == 1:
        body += b"\0"
    elif gap:
        body += bytes([1, gap - 2]) + bytes(gap - 2)
    return bytes([(2 + len(body)) // 8 - 1]) + body


def _routing(kind, left, *addresses):
    return bytes([2 * len(addresses), kind, left]) + bytes(4) + b"".join(
        ipaddress.ip_address(address).packed for address in addresses)


_VIA = [f"2001:db8:1::{n:x}" for n in range(0x20, 0x26)]
_ALERT, _STAYS, _CHANGES = (5, b"\0\0"), (0x1E, b"stays as it is"), (0x3E, b"changes")

#: Extension headers by name: (protocol number, the header without its next header field).
EXTENSIONS = {
    "hop-by-hop": [(0, _tlvs(_ALERT))],
    "hop-by-hop, mutable option": [(0, _tlvs(_CHANGES, _STAYS, (0, b""), _CHANGES))],
    "destination options": [(60, _tlvs(_STAYS))],
    "destination options, mutable option": [(60, _tlvs(_CHANGES, (0x7F, bytes(range(40)))))],
    "routing header of one": [(43, _routing(0, 1, _VIA[0]))],
    "routing header of four": [(43, _routing(0, 4, *_VIA[:4]))],
    "routing header of four, two left": [(43, _routing(0, 2, *_VIA[:4]))],
    "routing header, none left": [(43, _routing(0, 0, *_VIA[:2]))],
    "routing header type 2": [(43, _routing(2, 1, _VIA[5]))],
    "hop-by-hop, destination options, routing header": [(0, _tlvs(_CHANGES)), (60, _tlvs(_STAYS)),
                                                        (43, _routing(0, 3, *_VIA[:3]))],
    "routing header, destination options": [(43, _routing(0, 2, *_VIA[3:5])), (60, _tlvs(_CHANGES, _STAYS))],
}


def extension_packet(rng, chain, src, dst):
    """A whole IPv6 packet behind ``chain``; the kernel puts AH and ESP where RFC 4302 section 3.1.1 has them."""
    data = _payload(rng, rng.randrange(100))
    protocols = [protocol for protocol, _ in chain] + [253]
    body = b"".join(bytes([following]) + header for (_, header), following in zip(chain, protocols[1:], strict=True))
    first = 6 << 28 | rng.randrange(256) << 20 | rng.randrange(1 << 20)
    ends = ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed
    head = struct.pack(">IHBB", first, len(body) + len(data), protocols[0], rng.randrange(2, 256)) + ends
    return {"kind": "whole", "data": (head + body + data).hex()}
