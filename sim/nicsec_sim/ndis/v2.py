# SPDX-License-Identifier: Apache-2.0
"""Binary structures of IPsec task offload version 2, as 64-bit and 32-bit hosts lay them out.

Integers are little-endian. ``Next``, a pointer to the next entry in NDIS, is here the offset of that entry from the
start of the buffer, 0 at the end of the list. A key with a salt is the key, then the salt (RFC 4106).
"""

import enum
import struct
from dataclasses import dataclass, field

from ..model.sa import Bundle, Op
from .status import NdisStatus, OidError

__all__ = ["AddSa", "AlgorithmInfo", "Auth", "DeleteSa", "Encr", "SecAssoc", "UpdateSa", "layout"]

OBJECT_TYPE_DEFAULT = 0x80
REVISION = 1
INBOUND = 0x01
IPV6 = 0x10
FLAG_ESN = 1
OPERATION_AH = 1
OPERATION_ESP = 2


class Auth(enum.IntFlag):
    MD5 = 0x01
    SHA1 = 0x02
    SHA256 = 0x04
    GMAC_128 = 0x08
    GMAC_192 = 0x10
    GMAC_256 = 0x20


class Encr(enum.IntFlag):
    NONE = 0x01
    DES = 0x02
    TRIPLE_DES = 0x04
    GCM_128 = 0x08
    GCM_192 = 0x10
    GCM_256 = 0x20
    CBC_128 = 0x40
    CBC_192 = 0x80
    CBC_256 = 0x100


class UdpEsp(enum.IntFlag):
    """UdpEspEncapsulation: which header of the packet is UDP-encapsulated."""

    TRANSPORT = 1
    TUNNEL = 2
    TRANSPORT_OVER_UDP_TUNNEL = 4
    UDP_TRANSPORT_OVER_TUNNEL = 8


#: Name, key bytes, salt bytes, ICV bytes (None: AdditionalInfo tells).
_AUTH = {
    Auth.MD5: ("hmac-md5-96", 16, 0, 12),
    Auth.SHA1: ("hmac-sha1-96", 20, 0, 12),
    Auth.SHA256: ("hmac-sha256-128", 32, 0, 16),
    Auth.GMAC_128: ("aes-gmac", 16, 4, 16),
    Auth.GMAC_192: ("aes-gmac", 24, 4, 16),
    Auth.GMAC_256: ("aes-gmac", 32, 4, 16),
}
_ENCR = {
    Encr.NONE: ("null", 0, 0, 0),
    Encr.DES: ("des-cbc", 8, 0, 0),
    Encr.TRIPLE_DES: ("3des-cbc", 24, 0, 0),
    Encr.GCM_128: ("aes-gcm", 16, 4, None),
    Encr.GCM_192: ("aes-gcm", 24, 4, None),
    Encr.GCM_256: ("aes-gcm", 32, 4, None),
    Encr.CBC_128: ("aes-cbc", 16, 0, 0),
    Encr.CBC_192: ("aes-cbc", 24, 0, 0),
    Encr.CBC_256: ("aes-cbc", 32, 0, 0),
}


def layout(name: str, bits: int = 64) -> dict[str, int]:
    """Offsets of the fields of ``name`` (ADD_SA, ADD_SA_EX, UPDATE_SA, DELETE_SA) on a host of ``bits``.

    ``end`` is where the fixed part ends: the keys of ADD_SA begin there, those of ADD_SA_EX where KeyOffset says.
    """
    pointer = {64: 8, 32: 4}[bits]

    def aligned(at: int) -> int:
        return -(-at // pointer) * pointer

    if name in ("UPDATE_SA", "DELETE_SA"):
        first = aligned(4)
        if name == "DELETE_SA":
            return {"Header": 0, "Next": first, "OffloadHandle": first + pointer, "end": first + 2 * pointer}
        at = first + pointer
        names = ("Operation", "Spi", "SequenceNumberHighOrder")
        return {"Header": 0, "OffloadHandle": first} | {n: at + 4 * i for i, n in enumerate(names)} | {"end": at + 12}
    result = {"Header": 0}
    at = 4
    if name == "ADD_SA":
        result["Next"] = aligned(at)
        at = result["Next"] + pointer
    result |= {"NumExtHdrs": at, "Flags": at + 4, "Endpoints": at + 8}
    result["OffloadHandle"] = aligned(at + 40)
    at = result["OffloadHandle"] + pointer
    result |= {"UdpEspEncapsulation": at, "SecAssoc": at + 4, "KeyLength": at + 100}
    at += 104
    if name == "ADD_SA_EX":
        result |= {"KeyOffset": at, "SourceSwitchPortId": at + 4, "VlanId": at + 8}
        return result | {"end": aligned(at + 10)}
    return result | {"KeyData": at, "end": at}


@dataclass(frozen=True)
class AlgorithmInfo:
    """IPSEC_OFFLOAD_V2_ALGORITHM_INFO; lengths and offset in bytes, the offset from the start of the keys."""

    Identifier: int = 0
    KeyLength: int = 0
    KeyOffsetBytes: int = 0
    AdditionalInfo: int = 0


@dataclass(frozen=True)
class SecAssoc:
    """IPSEC_OFFLOAD_V2_SECURITY_ASSOCIATION."""

    Operation: int
    Spi: int
    AuthenticationAlgorithm: AlgorithmInfo = AlgorithmInfo()
    EncryptionAlgorithm: AlgorithmInfo = AlgorithmInfo()
    SequenceNumberHighOrder: int = 0
    Flags: int = 0

    def pack(self) -> bytes:
        words = [self.Flags, self.Operation, self.Spi]
        for algo in (self.AuthenticationAlgorithm, self.EncryptionAlgorithm):
            words += [algo.Identifier, algo.KeyLength, algo.KeyOffsetBytes, algo.AdditionalInfo]
        return struct.pack("<12I", *words, self.SequenceNumberHighOrder)

    @classmethod
    def unpack(cls, data: bytes, offset: int) -> "SecAssoc":
        flags, operation, spi, *words, high = struct.unpack_from("<12I", data, offset)
        return cls(operation, spi, AlgorithmInfo(*words[:4]), AlgorithmInfo(*words[4:]), high, flags)


def _fixed(data: bytes, name: str, bits: int, base: int = 0) -> dict[str, int]:
    at = layout(name, bits)
    if len(data) < base + at["end"]:
        raise OidError(NdisStatus.BUFFER_TOO_SHORT, f"{name} needs {at['end']} bytes, there are {len(data) - base}")
    kind, revision, size = struct.unpack_from("<BBH", data, base)
    if kind != OBJECT_TYPE_DEFAULT or revision < REVISION or size < at["end"]:
        expected = f"type {OBJECT_TYPE_DEFAULT:#x}, revision {REVISION}, size {at['end']} or more"
        raise OidError(NdisStatus.INVALID_DATA, f"Header must be {expected}, not {kind:#x}, {revision}, {size}")
    return at


def _pointer(bits: int) -> str:
    return "<Q" if bits == 64 else "<I"


def following(data: bytes, name: str, bits: int = 64, base: int = 0) -> int:
    """``Next`` of the ADD_SA or DELETE_SA at ``base``; raises ``OidError`` if there is no such structure."""
    at = _fixed(data, name, bits, base)
    return struct.unpack_from(_pointer(bits), data, base + at["Next"])[0]


@dataclass(frozen=True)
class AddSa:
    """IPSEC_OFFLOAD_V2_ADD_SA, or ..._ADD_SA_EX with ``extended``; ``Endpoints`` holds source and destination."""

    SecAssoc: tuple[SecAssoc, ...]
    KeyData: bytes
    Flags: int = 0
    Endpoints: bytes = bytes(32)
    UdpEspEncapsulation: int = 0
    NumExtHdrs: int | None = None
    Next: int = 0
    extended: bool = field(default=False, kw_only=True)

    def pack(self, bits: int = 64) -> bytearray:
        """The request as a host of ``bits`` writes it."""
        name = "ADD_SA_EX" if self.extended else "ADD_SA"
        at = layout(name, bits)
        data = bytearray(at["end"])
        struct.pack_into("<BBH", data, 0, OBJECT_TYPE_DEFAULT, REVISION, at["end"])
        count = len(self.SecAssoc) if self.NumExtHdrs is None else self.NumExtHdrs
        struct.pack_into("<II32s", data, at["NumExtHdrs"], count, self.Flags, self.Endpoints)
        struct.pack_into("<I", data, at["UdpEspEncapsulation"], self.UdpEspEncapsulation)
        for n, association in enumerate(self.SecAssoc):
            data[at["SecAssoc"] + 48 * n : at["SecAssoc"] + 48 * (n + 1)] = association.pack()
        struct.pack_into("<I", data, at["KeyLength"], len(self.KeyData))
        if self.extended:
            struct.pack_into("<I", data, at["KeyOffset"], at["end"])
        else:
            struct.pack_into(_pointer(bits), data, at["Next"], self.Next)
        return data + self.KeyData

    @classmethod
    def unpack(cls, data: bytes, *, extended: bool = False, bits: int = 64, base: int = 0) -> "AddSa":
        """The request at ``base`` of ``data``; raises ``OidError``."""
        at = _fixed(data, "ADD_SA_EX" if extended else "ADD_SA", bits, base)
        at = {name: base + offset for name, offset in at.items()}
        count, flags, endpoints = struct.unpack_from("<II32s", data, at["NumExtHdrs"])
        if count not in (1, 2):
            raise OidError(NdisStatus.INVALID_PARAMETER, f"NumExtHdrs must be 1 or 2, not {count}")
        (udp,) = struct.unpack_from("<I", data, at["UdpEspEncapsulation"])
        (length,) = struct.unpack_from("<I", data, at["KeyLength"])
        following = 0
        if extended:
            (offset,) = struct.unpack_from("<I", data, at["KeyOffset"])
            start = base + offset
            if start < at["end"]:
                text = f"KeyOffset must be at least {at['end'] - base}, not {offset}"
                raise OidError(NdisStatus.INVALID_PARAMETER, text)
        else:
            start = at["KeyData"]
            (following,) = struct.unpack_from(_pointer(bits), data, at["Next"])
        if len(data) < start + length:
            text = f"KeyLength is {length}, the buffer holds {max(0, len(data) - start)} bytes of key"
            raise OidError(NdisStatus.INVALID_LENGTH, text)
        associations = tuple(SecAssoc.unpack(data, at["SecAssoc"] + 48 * n) for n in range(count))
        key = bytes(data[start : start + length])
        return cls(associations, key, flags, endpoints, udp, count, following, extended=extended)

    def bundle(self, *, iv: str = "generate") -> Bundle:
        """The bundle that the request describes; raises ``OidError``.

        The structure does not say whether the SA is a tunnel's, unless ``UdpEspEncapsulation`` does: the miniport
        learns it from the handle's slot.
        """
        if self.Flags & INBOUND:
            raise OidError(NdisStatus.NOT_SUPPORTED, "Flags must not hold INBOUND: the engine only sends")
        if self.UdpEspEncapsulation and self.UdpEspEncapsulation not in tuple(UdpEsp):
            text = f"UdpEspEncapsulation must be 0, 1, 2, 4 or 8, not {self.UdpEspEncapsulation}"
            raise OidError(NdisStatus.INVALID_PARAMETER, text)
        tunnel = self.UdpEspEncapsulation in (UdpEsp.TUNNEL, UdpEsp.TRANSPORT_OVER_UDP_TUNNEL)
        try:
            ops = tuple(self._op(association, iv) for association in self.SecAssoc)
            return Bundle("tunnel" if tunnel else "transport", ops)
        except OidError:
            raise
        except ValueError as error:
            raise OidError(NdisStatus.INVALID_PARAMETER, str(error)) from None

    def _secret(self, field_name: str, algo: AlgorithmInfo, known: dict) -> tuple:
        if algo.Identifier not in known:
            text = f"{field_name}.Identifier must be one of {', '.join(hex(n) for n in known)}"
            raise OidError(NdisStatus.NOT_SUPPORTED, f"{text}, not {algo.Identifier:#x}")
        name, key, salt, icv = known[algo.Identifier]
        if algo.KeyLength != key + salt:
            text = f"{field_name}.KeyLength must be {key + salt} for {name}, not {algo.KeyLength}"
            raise OidError(NdisStatus.INVALID_PARAMETER, text)
        end = algo.KeyOffsetBytes + algo.KeyLength
        if end > len(self.KeyData):
            text = f"{field_name}: key bytes {algo.KeyOffsetBytes} to {end} exceed KeyLength {len(self.KeyData)}"
            raise OidError(NdisStatus.INVALID_LENGTH, text)
        blob = self.KeyData[algo.KeyOffsetBytes : end]
        return name, blob[:key], blob[key:], algo.AdditionalInfo if icv is None else icv

    def _op(self, association: SecAssoc, iv: str) -> Op:
        if association.Operation not in (OPERATION_AH, OPERATION_ESP):
            text = f"Operation must be 1 or 2, not {association.Operation}"
            raise OidError(NdisStatus.INVALID_PARAMETER, text)
        esp = association.Operation == OPERATION_ESP
        encr = auth = (None, b"", b"", 0)
        if esp:
            encr = self._secret("EncryptionAlgorithm", association.EncryptionAlgorithm, _ENCR)
        # AES-GCM leaves AuthenticationAlgorithm unused; ESP without integrity leaves it 0.
        if encr[0] != "aes-gcm" and (not esp or association.AuthenticationAlgorithm.Identifier):
            auth = self._secret("AuthenticationAlgorithm", association.AuthenticationAlgorithm, _AUTH)
        esn = bool(association.Flags & FLAG_ESN)
        return Op(
            protocol="esp" if esp else "ah",
            spi=association.Spi,
            encr_alg=encr[0],
            encr_key=encr[1],
            salt=encr[2] or auth[2] or None,
            auth_alg=auth[0],
            auth_key=auth[1],
            icv_len=auth[3] or encr[3],
            iv=iv,
            esn=esn,
            esn_high=association.SequenceNumberHighOrder if esn else None,
            udp_encap=esp and self.UdpEspEncapsulation != 0,
        )


def put_handle(data: bytearray, handle: int, *, extended: bool = False, bits: int = 64, base: int = 0) -> None:
    """Write the ``OffloadHandle`` of an ADD_SA or ADD_SA_EX."""
    offset = layout("ADD_SA_EX" if extended else "ADD_SA", bits)["OffloadHandle"]
    struct.pack_into(_pointer(bits), data, base + offset, handle)


def get_handle(data: bytes, *, extended: bool = False, bits: int = 64, base: int = 0) -> int:
    """Read the ``OffloadHandle`` of an ADD_SA or ADD_SA_EX."""
    offset = layout("ADD_SA_EX" if extended else "ADD_SA", bits)["OffloadHandle"]
    return struct.unpack_from(_pointer(bits), data, base + offset)[0]


@dataclass(frozen=True)
class DeleteSa:
    """IPSEC_OFFLOAD_V2_DELETE_SA."""

    OffloadHandle: int
    Next: int = 0

    def pack(self, bits: int = 64) -> bytearray:
        at = layout("DELETE_SA", bits)
        data = bytearray(at["end"])
        struct.pack_into("<BBH", data, 0, OBJECT_TYPE_DEFAULT, REVISION, at["end"])
        struct.pack_into(_pointer(bits), data, at["Next"], self.Next)
        struct.pack_into(_pointer(bits), data, at["OffloadHandle"], self.OffloadHandle)
        return data

    @classmethod
    def unpack(cls, data: bytes, bits: int = 64, base: int = 0) -> "DeleteSa":
        at = _fixed(data, "DELETE_SA", bits, base)
        values = (struct.unpack_from(_pointer(bits), data, base + at[name])[0] for name in ("OffloadHandle", "Next"))
        return cls(*values)


@dataclass(frozen=True)
class UpdateSa:
    """IPSEC_OFFLOAD_V2_UPDATE_SA: a new high half of the sequence number for one op."""

    OffloadHandle: int
    Operation: int
    Spi: int
    SequenceNumberHighOrder: int

    def pack(self, bits: int = 64) -> bytearray:
        at = layout("UPDATE_SA", bits)
        data = bytearray(at["end"])
        struct.pack_into("<BBH", data, 0, OBJECT_TYPE_DEFAULT, REVISION, at["end"])
        struct.pack_into(_pointer(bits), data, at["OffloadHandle"], self.OffloadHandle)
        struct.pack_into("<3I", data, at["Operation"], self.Operation, self.Spi, self.SequenceNumberHighOrder)
        return data

    @classmethod
    def unpack(cls, data: bytes, bits: int = 64) -> "UpdateSa":
        at = _fixed(data, "UPDATE_SA", bits)
        (handle,) = struct.unpack_from(_pointer(bits), data, at["OffloadHandle"])
        return cls(handle, *struct.unpack_from("<3I", data, at["Operation"]))
