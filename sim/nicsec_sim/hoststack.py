# SPDX-License-Identifier: Apache-2.0
"""The host's TCP/IP stack, as far as IPsec offload sees it: it frames plain IP packets, the engine does the rest.

Headers, sequence numbers, ESP trailer, lengths and IPv4 header checksums are final; room for IVs and ICVs is there
and zero, except that an IV is given where the SA says that the frame has it.
"""

import hmac
import ipaddress
from dataclasses import dataclass

from .model.checksum import internet_checksum
from .model.sa import Bundle, Op
from .plain import ipv4, ipv6

__all__ = ["Framing", "Tunnel", "encapsulate", "ethernet", "frame"]

_EXTENSIONS = (0, 43, 60)


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    """Outer IP header of a tunnel; the addresses' version decides the header's."""

    src: str
    dst: str
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    df: bool = False
    flow: int = 0
    options: bytes = b""
    extensions: tuple[tuple[int, bytes], ...] = ()

    def wrap(self, protocol: int, payload: bytes) -> bytes:
        if ipaddress.ip_address(self.src).version == 4:
            return ipv4(
                self.src, self.dst, protocol, payload,
                ttl=self.ttl, tos=self.tos, ident=self.ident, df=self.df, options=self.options,
            )
        return ipv6(
            self.src, self.dst, protocol, payload,
            ttl=self.ttl, tos=self.tos, flow=self.flow, extensions=self.extensions,
        )


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How the host frames one packet for one bundle.

    Parameters
    ----------
    seq, seq_high : int
        Sequence number; the high half enters only IVs made here.
    tunnel : Tunnel, optional
        Outer header; needed in tunnel mode.
    iv, ah_iv : bytes, optional
        IVs of SAs that take them from the frame. Made here when not given: the sequence number for counter modes,
        for CBC a keyed function of it.
    pad, pad_blocks
        Content of the ESP padding, ``"count"`` (1, 2, 3, ...), ``"zero"`` or ``"ones"``, and blocks of it beyond need.
    tfc : bytes
        Traffic flow confidentiality padding behind the payload (RFC 4303 section 2.7).
    next_header : int, optional
        Next header in place of the true one: 59 makes ``packet`` a dummy (RFC 4303 section 2.6).
    udp_ports : tuple of int
        Ports of the UDP header where the SA says so.
    ah_pad, ah_align
        Value of the bytes behind the AH ICV; bytes that AH is a multiple of (IPv4 4, IPv6 8).
    outside : bool
        IPv6 destination options that are last in the chain stay ahead of AH and ESP.
    """

    seq: int = 1
    seq_high: int = 0
    tunnel: Tunnel | None = None
    iv: bytes | None = None
    ah_iv: bytes | None = None
    pad: str = "count"
    pad_blocks: int = 0
    tfc: bytes = b""
    next_header: int | None = None
    udp_ports: tuple[int, int] = (4500, 4500)
    ah_pad: int = 0
    ah_align: int | None = None
    outside: bool = True


def _iv(op: Op, framing: Framing, given: bytes | None) -> bytes:
    if op.iv == "generate" or not op.iv_len:
        return bytes(op.iv_len)
    if given is not None:
        if len(given) != op.iv_len:
            raise ValueError(f"iv must be {op.iv_len} bytes, not {len(given)}")
        return given
    sequence = framing.seq_high.to_bytes(4, "big") + framing.seq.to_bytes(4, "big")
    if op.protocol == "esp" and op.encr_alg is not None and op.encr_alg.endswith("cbc"):
        assert op.encr_key is not None
        return hmac.digest(op.encr_key, op.spi.to_bytes(4, "big") + sequence, "sha256")[: op.iv_len]
    return sequence


def _esp(op: Op, framing: Framing, protocol: int, payload: bytes) -> bytes:
    body = payload + framing.tfc
    pad_len = -(len(body) + 2) % op.align + framing.pad_blocks * op.align
    if pad_len > 255:
        raise ValueError(f"pad_blocks must leave at most 255 bytes of padding, not {pad_len}")
    if framing.pad not in ("count", "zero", "ones"):
        raise ValueError(f"pad must be count, zero or ones, not {framing.pad!r}")
    pad = {"count": bytes(range(1, pad_len + 1)), "zero": bytes(pad_len), "ones": b"\xff" * pad_len}[framing.pad]
    header = op.spi.to_bytes(4, "big") + framing.seq.to_bytes(4, "big") + _iv(op, framing, framing.iv)
    packet = header + body + pad + bytes([pad_len, protocol]) + bytes(op.icv_len)
    if op.udp_encap:
        sport, dport = framing.udp_ports
        length = (8 + len(packet)).to_bytes(2, "big")
        packet = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + length + bytes(2) + packet
    return packet


def _ah(op: Op, framing: Framing, version: int, protocol: int, payload: bytes) -> bytes:
    field = _iv(op, framing, framing.ah_iv) + bytes(op.icv_len)
    field += bytes([framing.ah_pad]) * (-(12 + len(field)) % (framing.ah_align or (4 if version == 4 else 8)))
    head = bytes([protocol, (12 + len(field)) // 4 - 2, 0, 0])
    return head + op.spi.to_bytes(4, "big") + framing.seq.to_bytes(4, "big") + field + payload


def _cut(packet: bytes, outside: bool) -> tuple[int, int]:
    """Where transport mode inserts its headers, and the offset of the protocol number to replace."""
    if packet[0] >> 4 == 4:
        return 4 * (packet[0] & 15), 9
    at, field, kept = 40, 6, (40, 6)
    while packet[field] in _EXTENSIONS:
        protocol = packet[field]
        field, at = at, at + 8 + 8 * packet[at + 1]
        if protocol != 60 or outside:
            kept = (at, field)
    return kept


_DEFAULT = Framing()


def encapsulate(packet: bytes, bundle: Bundle, framing: Framing = _DEFAULT) -> bytes:
    """The IP packet that carries ``packet`` (an IP packet) under ``bundle``, framed but not protected."""
    if bundle.tunnel:
        if framing.tunnel is None:
            raise ValueError("tunnel must be given for a bundle in tunnel mode, not None")
        version: int = ipaddress.ip_address(framing.tunnel.src).version
        protocol = 4 if packet[0] >> 4 == 4 else 41
        at = field = 0
    else:
        version = packet[0] >> 4
        at, field = _cut(packet, framing.outside)
        protocol = packet[field]
    if framing.next_header is not None:
        protocol = framing.next_header
    payload = packet[at:]
    if (esp := bundle.esp) is not None:
        payload, protocol = _esp(esp, framing, protocol, payload), 17 if esp.udp_encap else 50
    if (ah := bundle.ah) is not None:
        payload, protocol = _ah(ah, framing, version, protocol, payload), 51
    if framing.tunnel is not None and bundle.tunnel:
        return framing.tunnel.wrap(protocol, payload)
    head = bytearray(packet[:at])
    head[field] = protocol
    length = at + len(payload) - (0 if version == 4 else 40)
    if length > 0xFFFF:
        raise ValueError(f"packet must grow to at most 65535 bytes, not {length}")
    if version == 4:
        head[2:4] = length.to_bytes(2, "big")
        head[10:12] = bytes(2)
        head[10:12] = internet_checksum(head).to_bytes(2, "big")
    else:
        head[4:6] = length.to_bytes(2, "big")
    return bytes(head) + payload


def ethernet(
    packet: bytes,
    *,
    dst: bytes = bytes.fromhex("020000000002"),
    src: bytes = bytes.fromhex("020000000001"),
    vlan: tuple[int, ...] = (),
    snap: bool = False,
    min_length: int = 0,
) -> bytes:
    """An Ethernet frame around an IP packet.

    ``vlan`` are the tag control words, outermost first (of two, the outer gets type 0x88A8); ``snap`` selects
    LLC/SNAP; the frame is filled up with zeros to ``min_length``.
    """
    kind = (0x0800 if packet[0] >> 4 == 4 else 0x86DD).to_bytes(2, "big")
    head = dst + src
    for n, tag in enumerate(vlan):
        head += (0x88A8 if n + 1 < len(vlan) else 0x8100).to_bytes(2, "big") + tag.to_bytes(2, "big")
    if snap:
        if len(packet) > 1492:
            raise ValueError(f"snap must carry at most 1492 bytes, not {len(packet)}")
        head += (8 + len(packet)).to_bytes(2, "big") + bytes.fromhex("aaaa03000000")
    return (head + kind + packet).ljust(min_length, b"\0")


def frame(
    packet: bytes,
    sa1: Bundle | None = None,
    sa2: Bundle | None = None,
    *,
    framing1: Framing = _DEFAULT,
    framing2: Framing = _DEFAULT,
    vlan: tuple[int, ...] = (),
    snap: bool = False,
    min_length: int = 0,
) -> bytes:
    """The Ethernet frame that the host hands over with ``sa1`` as OffloadHandle and ``sa2`` as NextOffloadHandle."""
    if sa1 is not None:
        packet = encapsulate(packet, sa1, framing1)
    if sa2 is not None:
        packet = encapsulate(packet, sa2, framing2)
    return ethernet(packet, vlan=vlan, snap=snap, min_length=min_length)
