# SPDX-License-Identifier: Apache-2.0
"""Binary structures of IPsec task offload version 1, as 64-bit and 32-bit hosts lay them out.

Integers are little-endian; addresses are four bytes in network order. Structures: OFFLOAD_IPSEC_ADD_SA,
OFFLOAD_IPSEC_DELETE_SA and their UDP-ESP forms.
"""

import enum
import struct
from dataclasses import dataclass

from ..model.sa import Bundle, Op
from .status import NdisStatus, OidError

__all__ = ["OUTBOUND", "AddSa", "AlgoInfo", "Conf", "Integrity", "Operation", "SecAssoc", "handles", "put_handle"]

INBOUND = 1
OUTBOUND = 2
MAX_SAS = 3


class Operation(enum.IntEnum):
    AUTHENTICATE = 1
    ENCRYPT = 2


class Conf(enum.IntEnum):
    NONE = 0
    DES = 1
    RESERVED = 2
    TRIPLE_DES = 3


class Integrity(enum.IntEnum):
    NONE = 0
    MD5 = 1
    SHA1 = 2


#: Name in a bundle, key bytes.
_CONF = {Conf.NONE: ("null", 0), Conf.DES: ("des-cbc", 8), Conf.TRIPLE_DES: ("3des-cbc", 24)}
_INTEGRITY = {Integrity.NONE: (None, 0), Integrity.MD5: ("hmac-md5-96", 16), Integrity.SHA1: ("hmac-sha1-96", 20)}


@dataclass(frozen=True)
class AlgoInfo:
    """OFFLOAD_ALGO_INFO; lengths in bytes."""

    algoIdentifier: int = 0
    algoKeylen: int = 0
    algoRounds: int = 0


@dataclass(frozen=True)
class SecAssoc:
    """OFFLOAD_SECURITY_ASSOCIATION."""

    Operation: int
    SPI: int
    IntegrityAlgo: AlgoInfo = AlgoInfo()
    ConfAlgo: AlgoInfo = AlgoInfo()

    FORMAT = "<II3I3I12x"

    def pack(self) -> bytes:
        words = (getattr(algo, name) for algo in (self.IntegrityAlgo, self.ConfAlgo) for name in _ALGO_FIELDS)
        return struct.pack(self.FORMAT, self.Operation, self.SPI, *words)

    @classmethod
    def unpack(cls, data: bytes, offset: int) -> "SecAssoc":
        operation, spi, *words = struct.unpack_from(cls.FORMAT, data, offset)
        return cls(operation, spi, AlgoInfo(*words[:3]), AlgoInfo(*words[3:]))


_ALGO_FIELDS = ("algoIdentifier", "algoKeylen", "algoRounds")
#: SrcAddr to NumSAs; then SecAssoc[3] at 36 and OffloadHandle at 168.
_HEAD = "<4s4s4s4sIHH4s4sHh"
_SECASSOC = 36
_HANDLE = 168


def offsets(udp: bool = False, bits: int = 64) -> dict[str, int]:
    """Offsets of what lies behind SecAssoc, for a host of ``bits`` (32 or 64); ``udp`` for the UDP-ESP form."""
    pointer = {64: 8, 32: 4}[bits]
    result = {"OffloadHandle": _HANDLE}
    at = _HANDLE + pointer
    if udp:
        result |= {"EncapTypeEntry": at, "EncapTypeEntryOffldHandle": at + 8}
        at += 8 + pointer
    return result | {"KeyLen": at, "KeyMat": at + 4}


@dataclass(frozen=True)
class AddSa:
    """OFFLOAD_IPSEC_ADD_SA, or OFFLOAD_IPSEC_ADD_UDPESP_SA when ``UdpEncapType`` is given.

    Filter fields are zero for "any"; tunnel addresses are zero in a transport SA.
    """

    SecAssoc: tuple[SecAssoc, ...]
    KeyMat: bytes
    SrcAddr: bytes = bytes(4)
    SrcMask: bytes = bytes(4)
    DestAddr: bytes = bytes(4)
    DestMask: bytes = bytes(4)
    Protocol: int = 0
    SrcPort: int = 0
    DestPort: int = 0
    SrcTunnelAddr: bytes = bytes(4)
    DestTunnelAddr: bytes = bytes(4)
    Flags: int = OUTBOUND
    NumSAs: int | None = None
    UdpEncapType: int | None = None
    DstEncapPort: int = 4500

    def pack(self, bits: int = 64) -> bytearray:
        """The request as a host of ``bits`` writes it."""
        at = offsets(self.UdpEncapType is not None, bits)
        data = bytearray(at["KeyMat"])
        count = len(self.SecAssoc) if self.NumSAs is None else self.NumSAs
        values = (self.SrcAddr, self.SrcMask, self.DestAddr, self.DestMask, self.Protocol, self.SrcPort, self.DestPort)
        struct.pack_into(_HEAD, data, 0, *values, self.SrcTunnelAddr, self.DestTunnelAddr, self.Flags, count)
        for n, association in enumerate(self.SecAssoc):
            data[_SECASSOC + 44 * n : _SECASSOC + 44 * (n + 1)] = association.pack()
        if self.UdpEncapType is not None:
            struct.pack_into("<IH", data, at["EncapTypeEntry"], self.UdpEncapType, self.DstEncapPort)
        struct.pack_into("<I", data, at["KeyLen"], len(self.KeyMat))
        return data + self.KeyMat

    @classmethod
    def unpack(cls, data: bytes, udp: bool = False, bits: int = 64) -> "AddSa":
        """The request in ``data``; raises ``OidError`` when it is shorter than it says."""
        at = offsets(udp, bits)
        if len(data) < at["KeyMat"]:
            raise OidError(NdisStatus.BUFFER_TOO_SHORT, f"ADD_SA needs {at['KeyMat']} bytes, there are {len(data)}")
        (key_length,) = struct.unpack_from("<I", data, at["KeyLen"])
        if len(data) < at["KeyMat"] + key_length:
            left = len(data) - at["KeyMat"]
            raise OidError(NdisStatus.INVALID_LENGTH, f"KeyLen is {key_length}, KeyMat holds {left} bytes")
        *head, flags, count = struct.unpack_from(_HEAD, data)
        if not 1 <= count <= MAX_SAS:
            raise OidError(NdisStatus.INVALID_DATA, f"NumSAs must be 1 or 2, not {count}")
        associations = tuple(SecAssoc.unpack(data, _SECASSOC + 44 * n) for n in range(count))
        key = bytes(data[at["KeyMat"] : at["KeyMat"] + key_length])
        encap = struct.unpack_from("<IH", data, at["EncapTypeEntry"]) if udp else (None, 4500)
        return cls(associations, key, *head, flags, count, *encap)

    def bundle(self, *, iv: str = "generate", auth_first: bool = False) -> Bundle:
        """The bundle that the request describes; raises ``OidError`` with what NDIS is to be told.

        ``auth_first`` tells the order of the keys inside one SecAssoc, on which NDIS' pages disagree: by
        default confidentiality, then integrity.
        """
        if self.Flags != OUTBOUND:
            raise OidError(NdisStatus.NOT_SUPPORTED, f"Flags must be {OUTBOUND} (outbound), not {self.Flags}")
        if len(self.SecAssoc) > 2:
            raise OidError(NdisStatus.INVALID_DATA, f"NumSAs must be 1 or 2, not {len(self.SecAssoc)}")
        if self.UdpEncapType not in (None, 1):
            raise OidError(NdisStatus.NOT_SUPPORTED, f"UdpEncapType must be 1, not {self.UdpEncapType}")
        keys = _Keys(self.KeyMat)
        ops = [self._op(association, keys, iv, auth_first) for association in self.SecAssoc]
        keys.finish()
        tunnel = any(self.SrcTunnelAddr + self.DestTunnelAddr)
        try:
            return Bundle("tunnel" if tunnel else "transport", tuple(ops))
        except ValueError as error:
            raise OidError(NdisStatus.INVALID_DATA, str(error)) from None

    def _op(self, association: SecAssoc, keys: "_Keys", iv: str, auth_first: bool) -> Op:
        conf, integrity = association.ConfAlgo, association.IntegrityAlgo
        if association.Operation not in tuple(Operation):
            raise OidError(NdisStatus.INVALID_DATA, f"Operation must be 1 or 2, not {association.Operation}")
        esp = association.Operation == Operation.ENCRYPT
        if not esp and (conf.algoIdentifier or conf.algoKeylen):
            raise OidError(NdisStatus.INVALID_DATA, "ConfAlgo must be zero for AUTHENTICATE")
        secrets = {}
        order = (("conf", conf, _CONF), ("integrity", integrity, _INTEGRITY))
        for name, algo, known in reversed(order) if auth_first else order:
            if algo.algoIdentifier not in known:
                text = f"the {name} algoIdentifier must be one of {', '.join(str(int(n)) for n in known)}"
                raise OidError(NdisStatus.NOT_SUPPORTED, f"{text}, not {algo.algoIdentifier}")
            algorithm, length = known[algo.algoIdentifier]
            if algo.algoKeylen != length:
                text = f"algoKeylen must be {length} for {algorithm}, not {algo.algoKeylen}"
                raise OidError(NdisStatus.INVALID_DATA, text)
            secrets[name] = algorithm, keys.take(length)
        encr_alg, encr_key = secrets["conf"]
        auth_alg, auth_key = secrets["integrity"]
        try:
            return Op(
                protocol="esp" if esp else "ah",
                spi=association.SPI,
                encr_alg=encr_alg if esp else None,
                encr_key=encr_key,
                auth_alg=auth_alg,
                auth_key=auth_key,
                icv_len=12 if auth_alg else 0,
                iv=iv,
                udp_encap=esp and self.UdpEncapType is not None,
            )
        except ValueError as error:
            raise OidError(NdisStatus.INVALID_DATA, str(error)) from None


class _Keys:
    """Hands out KeyMat from its start; every byte must be used."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        if self._at + length > len(self._data):
            raise OidError(NdisStatus.INVALID_LENGTH, f"the algorithms need more key than KeyLen {len(self._data)}")
        self._at += length
        return self._data[self._at - length : self._at]

    def finish(self) -> None:
        if self._at != len(self._data):
            text = f"KeyLen must be {self._at} for these algorithms, not {len(self._data)}"
            raise OidError(NdisStatus.INVALID_LENGTH, text)


def put_handle(data: bytearray, handle: int, bits: int = 64) -> None:
    """Write the ``OffloadHandle`` of an ADD_SA."""
    struct.pack_into("<Q" if bits == 64 else "<I", data, _HANDLE, handle)


def get_handle(data: bytes, bits: int = 64) -> int:
    """Read the ``OffloadHandle`` of an ADD_SA."""
    return struct.unpack_from("<Q" if bits == 64 else "<I", data, _HANDLE)[0]


def pack_delete(*values: int, bits: int = 64) -> bytearray:
    """OFFLOAD_IPSEC_DELETE_SA of one handle, or OFFLOAD_IPSEC_DELETE_UDPESP_SA of two (SA, parser entry)."""
    return bytearray(struct.pack(f"<{len(values)}{'Q' if bits == 64 else 'I'}", *values))


def handles(data: bytes, count: int = 1, bits: int = 64) -> tuple[int, ...]:
    """The handles of a DELETE_SA (1) or DELETE_UDPESP_SA (2); raises ``OidError``."""
    form = struct.Struct(f"<{count}{'Q' if bits == 64 else 'I'}")
    if len(data) < form.size:
        raise OidError(NdisStatus.BUFFER_TOO_SHORT, f"DELETE_SA needs {form.size} bytes, there are {len(data)}")
    return form.unpack_from(data)
