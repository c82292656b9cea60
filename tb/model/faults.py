# SPDX-License-Identifier: Apache-2.0
"""One-field faults of a framed packet, in the order in which the walk meets them, with the status each must give.

``faulty()`` makes a packet of two levels, each AH over ESP, so that every check of the walk stands on its path;
``faults()`` lists what can be broken in it. Model tests and system benches draw on the same list.
"""

from collections.abc import Callable
from dataclasses import dataclass

from model.cases import ADDRESSES, ah_op, esp_op
from nicsec_sim import hoststack, plain
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.parse import Level, walk
from nicsec_sim.model.sa import Bundle
from nicsec_sim.model.status import Status

__all__ = ["Fault", "Packet", "faults", "faulty"]

#: An empty destination options header, filled with PadN.
DESTINATION = (60, bytes.fromhex("0000010400000000"))


@dataclass(frozen=True)
class Packet:
    """A framed packet with its bundles and where their headers are, outermost level first."""

    frame: bytes
    sa1: Bundle
    sa2: Bundle | None
    levels: list[Level]


@dataclass(frozen=True)
class Fault:
    """``apply`` breaks a copy of the frame in place."""

    name: str
    status: Status
    apply: Callable[[bytearray], None]

    def broken(self, frame):
        """``frame`` with the fault."""
        result = bytearray(frame)
        self.apply(result)
        return bytes(result)


def faulty(rng, inner=4, outer=4, *, nested=True, udp_encap=False, size=64, **fields):
    """A packet for ``faults``: AH over ESP in transport mode; with ``nested``, inside AH over ESP in tunnel mode."""
    fields = {"iv": "frame", **fields}
    sa1 = Bundle("transport", (
        esp_op(rng, "aes-cbc", "hmac-sha1-96", udp_encap=udp_encap, **fields), ah_op(rng, "hmac-sha256-128", **fields),
    ))
    sa2 = Bundle("tunnel", (
        esp_op(rng, "aes-gcm", icv_len=16, udp_encap=udp_encap, **fields), ah_op(rng, "hmac-sha1-96", **fields),
    )) if nested else None
    (src, dst), ends = ADDRESSES[inner][0], ADDRESSES[outer][1]
    body = plain.udp(src, dst, 7, 9, rng.randbytes(size))
    packet = (plain.ipv4(src, dst, 17, body) if inner == 4
              else plain.ipv6(src, dst, 17, body, extensions=(DESTINATION,)))
    tunnel = Tunnel(src=ends[0], dst=ends[1], extensions=(DESTINATION,) if outer == 6 else ())
    frame = hoststack.frame(packet, sa1, sa2, framing2=Framing(tunnel=tunnel), vlan=(5,))
    return Packet(frame, sa1, sa2, walk(frame, [sa for sa in (sa2, sa1) if sa]).levels)


def _store(at, value):
    def apply(frame):
        frame[at : at + len(value)] = value

    return apply


def _flip(at, bits):
    def apply(frame):
        frame[at] ^= bits

    return apply


def _level_faults(level, followed):
    """Faults of one level in walk order; ``followed`` says that another bundle lies inside."""
    ip, at = level.ip, level.ip.at
    if ip.version == 4:
        yield Fault("version", Status.INVALID_PROTOCOL, _flip(at, 0x20))
        yield Fault("header length", Status.MALFORMED, _flip(at, 0x01))
        yield Fault("total length", Status.MALFORMED, _store(at + 2, b"\xff\xff"))
        yield Fault("total length below header", Status.MALFORMED, _store(at + 2, b"\x00\x13"))
        yield Fault("more fragments", Status.FRAGMENT, _flip(at + 6, 0x20))
        yield Fault("fragment offset", Status.FRAGMENT, _flip(at + 7, 0x01))
        yield Fault("protocol", Status.MISSING_AH, _store(at + 9, b"\x32"))
    else:
        extension = ip.extensions[0].at
        yield Fault("version", Status.INVALID_PROTOCOL, _flip(at, 0x20))
        yield Fault("payload length", Status.MALFORMED, _store(at + 4, b"\xff\xff"))
        yield Fault("fragment header first", Status.FRAGMENT, _store(at + 6, b"\x2c"))
        yield Fault("extension length", Status.MALFORMED, _store(extension + 1, b"\xff"))
        yield Fault("fragment header", Status.FRAGMENT, _store(extension, b"\x2c"))
        yield Fault("next header", Status.MISSING_AH, _store(extension, b"\x32"))
    ah, esp = level.ah, level.esp
    yield Fault("AH SPI", Status.SPI_MISMATCH, _flip(ah + 7, 0x01))
    yield Fault("AH length", Status.MALFORMED, _store(ah + 1, b"\xff"))
    yield Fault("AH without room", Status.NO_ROOM, _store(ah + 1, b"\x01"))
    if level.bundle.esp.udp_encap:
        yield Fault("AH next header", Status.MISSING_ESP, _store(ah, b"\x32"))
        yield Fault("UDP port", Status.MISSING_ESP, _flip(esp - 5, 0x01))
        yield Fault("UDP length", Status.MALFORMED, _flip(esp - 3, 0x04))
    else:
        yield Fault("AH next header", Status.MISSING_ESP, _store(ah, b"\x11"))
    yield Fault("ESP SPI", Status.SPI_MISMATCH, _flip(esp, 0x80))
    if level.icv - level.payload < 257:
        yield Fault("pad length", Status.MALFORMED, _store(level.icv - 2, b"\xff"))
    if level.bundle.tunnel:
        yield Fault("tunnel next header", Status.INVALID_PROTOCOL, _store(level.icv - 1, b"\x06"))
    if followed:
        yield Fault("dummy packet", Status.INVALID_PROTOCOL, _store(level.icv - 1, b"\x3b"))


def faults(packet):
    """Every fault of ``packet`` in the order of the walk; names start with the level, ``outer`` or ``inner``."""
    start = packet.levels[0].ip.at
    yield Fault("type", Status.INVALID_PROTOCOL, _store(start - 2, b"\x08\x06"))
    for n, level in enumerate(packet.levels):
        name = "inner" if n + 1 == len(packet.levels) else "outer"
        for fault in _level_faults(level, n + 1 < len(packet.levels)):
            yield Fault(f"{name} {fault.name}", fault.status, fault.apply)
