# SPDX-License-Identifier: Apache-2.0
"""The host of ``nicsec protect``: takes plain packets out of captured frames, chooses their SAs and frames them."""

import ipaddress
from dataclasses import dataclass

from . import hoststack
from .model.sa import Bundle
from .ndis.player import Packet
from .sas import Policy, SecurityAssociation

__all__ = ["NOT_TAKEN", "Plain", "Sent", "frame_packet", "split"]

#: Reason for the one kind of drop that is as it should be.
NOT_TAKEN = "no SA takes it"

_VLAN = (b"\x81\x00", b"\x88\xa8")
_SNAP = bytes.fromhex("aaaa03000000")
_IP = {b"\x08\x00": 4, b"\x86\xdd": 6}


@dataclass(frozen=True)
class Plain:
    """A captured frame, taken apart; ``packet`` is None unless it is a whole IP packet, which ``ip`` claims."""

    dst: bytes
    src: bytes
    vlan: tuple[int, ...] = ()
    snap: bool = False
    ip: bool = False
    packet: bytes | None = None

    def wrap(self, packet: bytes) -> bytes:
        """The frame with another packet in it."""
        return hoststack.ethernet(packet, dst=self.dst, src=self.src, vlan=self.vlan, snap=self.snap)


@dataclass(frozen=True)
class Sent:
    """What the host made of one captured frame: the frame for the engine, or None and why there is none.

    ``sas`` are the SAs of the packet, innermost first, and ``versions`` the IP versions of the headers ahead of them.
    """

    packet: Packet | None
    sas: tuple[SecurityAssociation, ...] = ()
    versions: tuple[int, ...] = ()
    reason: str | None = None


def _trim(packet: bytes, version: int) -> bytes | None:
    """The packet without what Ethernet padded it with; None if its header does not hold."""
    if len(packet) < (20 if version == 4 else 40) or packet[0] >> 4 != version:
        return None
    if version == 6:
        length = 40 + int.from_bytes(packet[4:6], "big")
    else:
        length = int.from_bytes(packet[2:4], "big")
        if packet[0] & 15 < 5 or length < 4 * (packet[0] & 15):
            return None
    return packet[:length] if length <= len(packet) else None


def split(frame: bytes) -> Plain:
    """Take an Ethernet frame (Ethernet II or LLC/SNAP, up to two VLAN tags) apart."""
    at, tags = 12, []
    while frame[at : at + 2] in _VLAN and len(tags) < 2:
        tags.append(int.from_bytes(frame[at + 2 : at + 4], "big"))
        at += 4
    snap = int.from_bytes(frame[at : at + 2], "big") <= 1500 and frame[at + 2 : at + 8] == _SNAP
    at += 8 if snap else 0
    version = _IP.get(frame[at : at + 2])
    packet = _trim(frame[at + 2 :], version) if version else None
    return Plain(frame[:6], frame[6:12], tuple(tags), snap, version is not None, packet)


def _protocol(packet: bytes) -> int:
    """The protocol behind the extension headers of an IPv6 packet, or of an IPv4 packet."""
    if packet[0] >> 4 == 4:
        return packet[9]
    protocol, at = packet[6], 40
    while protocol in (0, 43, 60) and at + 8 <= len(packet):
        protocol, at = packet[at], at + 8 + 8 * packet[at + 1]
    return protocol


def frame_packet(policy: Policy, plain: Plain, frame: bytes, bundles: dict[str, Bundle]) -> Sent:
    """Frame one packet for its SAs, whose bundles are put into ``bundles`` by name.

    A frame that no SA takes is sent as it came, or dropped, as the policy says. What an SA takes and cannot be framed,
    and a broken IP packet, of which nobody knows whether an SA would take it, is dropped: it must not leave as it is.
    """
    sa = None
    if plain.ip and plain.packet is None:
        return Sent(None, reason="it is no whole IP packet")
    if plain.packet is not None:
        packet = plain.packet
        ends = (packet[12:16], packet[16:20]) if packet[0] >> 4 == 4 else (packet[8:24], packet[24:40])
        sa = policy.choose(*map(ipaddress.ip_address, ends), _protocol(packet))
    if sa is None:
        return Sent(Packet(frame)) if policy.otherwise == "bypass" else Sent(None, reason=NOT_TAKEN)
    sas = (sa,) if sa.through is None else (sa, sa.through)
    versions = []
    try:
        for each in sas:
            packet = hoststack.encapsulate(packet, each.bundle, each.next_framing())
            versions.append(packet[0] >> 4)
        framed = plain.wrap(packet)
    except (ValueError, IndexError, OverflowError) as error:
        return Sent(None, sas, reason=f"it cannot be framed: {error}")
    bundles.update({each.name: each.bundle for each in sas})
    return Sent(Packet(framed, *(each.name for each in sas)), sas, tuple(versions))
