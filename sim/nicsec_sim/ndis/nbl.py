# SPDX-License-Identifier: Apache-2.0
"""NET_BUFFER_LIST, NET_BUFFER and MDL with the names that NDIS gives their fields."""

import enum
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .status import NdisStatus

__all__ = [
    "ChecksumInfo",
    "HeaderInfoV2",
    "Info",
    "IpsecInfoV1",
    "LsoInfo",
    "Mdl",
    "NblFlags",
    "NetBuffer",
    "NetBufferList",
    "chain",
    "make_nbl",
]


class Info(enum.IntEnum):
    """Slots of ``NetBufferListInfo``; version 2's SA handle shares the slot of version 1's structure."""

    TcpIpChecksumNetBufferListInfo = 0
    IPsecOffloadV1NetBufferListInfo = 1
    TcpLargeSendNetBufferListInfo = 2
    IPsecOffloadV2TunnelNetBufferListInfo = 11
    IPsecOffloadV2HeaderNetBufferListInfo = 12


IPSEC_OFFLOAD_V2_SLOT = Info.IPsecOffloadV1NetBufferListInfo
SLOTS = 13


class NblFlags(enum.IntFlag):
    """``NblFlags``."""

    SEND_READ_ONLY = 0x00000001


@dataclass(frozen=True)
class IpsecInfoV1:
    """IPsecOffloadV1NetBufferListInfo with the second handle that NDIS 5 had beside the first.

    ``OffloadHandle`` names the SA of the transport portion, or of the only IPsec portion; ``NextOffloadHandle``
    that of the tunnel around it. 0 is none.
    """

    OffloadHandle: int = 0
    NextOffloadHandle: int = 0


@dataclass(frozen=True)
class ChecksumInfo:
    """NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO on send; ``TcpHeaderOffset`` counts bytes from the frame's start."""

    IsIPv4: bool = False
    IsIPv6: bool = False
    TcpChecksum: bool = False
    UdpChecksum: bool = False
    IpHeaderChecksum: bool = False
    TcpHeaderOffset: int = 0

    def pack(self) -> int:
        """The slot's 32 bits."""
        flags = (self.IsIPv4, self.IsIPv6, self.TcpChecksum, self.UdpChecksum, self.IpHeaderChecksum)
        return sum(bool(flag) << n for n, flag in enumerate(flags)) | self.TcpHeaderOffset << 16

    @classmethod
    def unpack(cls, value: int) -> "ChecksumInfo":
        return cls(*(bool(value >> n & 1) for n in range(5)), TcpHeaderOffset=value >> 16 & 0x3FF)


@dataclass(frozen=True)
class LsoInfo:
    """NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO: present means that segmentation is asked for."""

    MSS: int
    TcpHeaderOffset: int = 0


@dataclass(frozen=True)
class HeaderInfoV2:
    """NDIS_IPSEC_OFFLOAD_V2_HEADER_NET_BUFFER_LIST_INFO: offsets in bytes from the IP header, multiples of 4."""

    NextHeader: int = 0
    PadLength: int = 0
    AhHeaderOffset: int = 0
    EspHeaderOffset: int = 0

    def pack(self) -> int:
        """The slot's 32 bits; the offsets are stored in units of 4 bytes."""
        for name in ("AhHeaderOffset", "EspHeaderOffset"):
            if (value := getattr(self, name)) % 4 or not 0 <= value <= 1020:
                raise ValueError(f"{name} must be a multiple of 4 from 0 to 1020, not {value}")
        return self.NextHeader | self.PadLength << 8 | self.AhHeaderOffset << 14 | self.EspHeaderOffset << 22

    @classmethod
    def unpack(cls, value: int) -> "HeaderInfoV2":
        return cls(value & 0xFF, value >> 8 & 0xFF, (value >> 16 & 0xFF) * 4, (value >> 24 & 0xFF) * 4)


@dataclass
class Mdl:
    """One memory fragment: ``ByteCount`` bytes from ``ByteOffset`` of ``page``, then ``Next``."""

    page: bytes
    ByteOffset: int = 0
    ByteCount: int = -1
    Next: "Mdl | None" = None

    def __post_init__(self) -> None:
        if self.ByteCount < 0:
            self.ByteCount = len(self.page) - self.ByteOffset
        if not 0 <= self.ByteOffset <= self.ByteOffset + self.ByteCount <= len(self.page):
            raise ValueError(
                f"ByteOffset {self.ByteOffset} and ByteCount {self.ByteCount} must lie within {len(self.page)} bytes"
            )

    @property
    def data(self) -> bytes:
        return bytes(self.page[self.ByteOffset : self.ByteOffset + self.ByteCount])


@dataclass(eq=False)
class NetBuffer:
    """One packet: ``DataLength`` bytes that start ``CurrentMdlOffset`` bytes into ``CurrentMdl``.

    The last three are for benches: ``result`` is what the engine answered; ``error`` marks the frame as bad on its
    way in; ``overrides`` replaces fields of the descriptor, to provoke what a sound driver never sends.
    """

    MdlChain: Mdl | None
    CurrentMdl: Mdl | None
    CurrentMdlOffset: int
    DataLength: int
    DataOffset: int
    result: Any = None
    error: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)

    def gather(self) -> bytes:
        """The frame; raises ``ValueError`` when the MDLs hold less than ``DataLength`` bytes."""
        pieces = []
        left, offset, mdl = self.DataLength, self.CurrentMdlOffset, self.CurrentMdl
        while left:
            if mdl is None:
                raise ValueError(f"DataLength is {self.DataLength}, the MDLs hold {self.DataLength - left} bytes")
            if offset > mdl.ByteCount:
                raise ValueError(f"CurrentMdlOffset must be at most {mdl.ByteCount}, not {offset}")
            piece = mdl.data[offset : offset + left]
            pieces.append(piece)
            left -= len(piece)
            offset, mdl = 0, mdl.Next
        return b"".join(pieces)


@dataclass(eq=False)
class NetBufferList:
    """Packets that share one set of metadata and one completion ``Status``.

    ``esn_high`` is no field of NDIS, which tells it per SA only: the high half of these packets' sequence numbers.
    """

    NetBuffers: list[NetBuffer]
    NetBufferListInfo: list[Any] = field(default_factory=lambda: [None] * SLOTS)
    NblFlags: int = 0
    Status: NdisStatus = NdisStatus.PENDING
    Context: Any = None
    esn_high: int | None = None

    def __iter__(self) -> Iterator[NetBuffer]:
        return iter(self.NetBuffers)

    @property
    def handles(self) -> tuple[int, int]:
        """OffloadHandle and NextOffloadHandle, of version 1's structure or of version 2's slots; 0 is none."""
        info = self.NetBufferListInfo[Info.IPsecOffloadV1NetBufferListInfo]
        if isinstance(info, IpsecInfoV1):
            return info.OffloadHandle, info.NextOffloadHandle
        return info or 0, self.NetBufferListInfo[Info.IPsecOffloadV2TunnelNetBufferListInfo] or 0


def chain(fragments: Iterable[bytes]) -> Mdl | None:
    """An MDL chain, one MDL a fragment; each lies somewhere inside its page, as in a real host."""
    first = last = None
    for n, fragment in enumerate(fragments):
        margin = 5 * n % 16
        mdl = Mdl(bytes(margin) + bytes(fragment) + b"\xa5" * 3, margin, len(fragment))
        if last is None:
            first = mdl
        else:
            last.Next = mdl
        last = mdl
    return first


def make_nbl(
    frames: Iterable[bytes], handles: tuple[int, int] = (0, 0), cuts: Sequence[int] = (14, 34), headroom: int = 0
) -> NetBufferList:
    """A NET_BUFFER_LIST of ``frames``, each cut into MDLs after ``cuts`` bytes, ``headroom`` unused bytes ahead."""
    buffers = []
    for frame in frames:
        data = bytes(headroom) + frame
        edges = [0, *(min(headroom + cut, len(data)) for cut in cuts), len(data)]
        first = chain(data[start:end] for start, end in itertools.pairwise(edges))
        current, offset = first, headroom
        while current is not None and current.Next is not None and offset >= current.ByteCount:
            offset -= current.ByteCount
            current = current.Next
        buffers.append(NetBuffer(first, current, offset, len(frame), headroom))
    nbl = NetBufferList(buffers)
    if any(handles):
        nbl.NetBufferListInfo[Info.IPsecOffloadV1NetBufferListInfo] = IpsecInfoV1(*handles)
    return nbl
