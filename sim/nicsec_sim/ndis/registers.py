# SPDX-License-Identifier: Apache-2.0
"""Registers, descriptors, completions and the SA window as the driver knows them (docs/design.md sections 2, 3, 6)."""

import enum
import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model.engine import EventKind
from ..model.sa import Bundle, Limits, Op
from ..model.status import Status

__all__ = [
    "AUTH_IDS",
    "ENCR_IDS",
    "Completion",
    "Descriptor",
    "EventKind",
    "Feature",
    "Irq",
    "Reg",
    "SaCommand",
    "SaResult",
    "limit_words",
    "op_words",
    "update_writes",
    "window_writes",
]

IDENTITY = 0x4E494353


class Reg(enum.IntEnum):
    """Byte offsets."""

    ID = 0x0000
    VERSION = 0x0004
    CONFIG_HASH = 0x0008
    CAP_LANES = 0x000C
    CAP_SA_SLOTS = 0x0010
    CAP_MAX_FRAME = 0x0014
    CAP_ENCR = 0x0018
    CAP_AUTH = 0x001C
    CAP_FEATURES = 0x0020
    CTRL = 0x0040
    STATUS = 0x0044
    IRQ_STATUS = 0x0048
    IRQ_MASK = 0x004C
    SA_COMMAND = 0x0080
    SA_HANDLE = 0x0084
    SA_STATUS = 0x0088
    SA_FREE = 0x008C
    SA_EVENT = 0x0090
    SA_EVENT_KIND = 0x0094
    SA_PACKETS = 0x00A0
    SA_BYTES = 0x00A8
    SA_ERRORS = 0x00B0
    SA_OP0 = 0x0200
    SA_OP1 = 0x0300
    COUNTERS = 0x0400
    STATUS_COUNTERS = 0x0500


class SaCommand(enum.IntEnum):
    ADD = 1
    DELETE = 2
    UPDATE = 3
    QUERY = 4


class SaResult(enum.IntEnum):
    OK = 0
    FULL = 1
    BAD_HANDLE = 2
    UNSUPPORTED = 3
    INVALID = 4


class Irq(enum.IntFlag):
    """Bits of IRQ_STATUS and IRQ_MASK."""

    COMMAND_DONE = 1 << 0
    PACKET_DROPPED = 1 << 1
    SA_EVENT = 1 << 2


#: SA_EVENT_KIND: events were lost.
EVENTS_LOST = 1 << 31


class Feature(enum.IntFlag):
    """Bits of CAP_FEATURES."""

    AH = 1 << 0
    ESP = 1 << 1
    AH_ESP = 1 << 2
    NESTED = 1 << 3
    IPV6 = 1 << 4
    IPV4_OPTIONS = 1 << 5
    IPV6_EXT = 1 << 6
    UDP_ESP = 1 << 7
    ESN = 1 << 8
    IV_GENERATE = 1 << 9
    IV_FRAME = 1 << 10
    CSUM_IP = 1 << 11
    CSUM_L4 = 1 << 12
    LIFETIME = 1 << 13
    UTILISATION = 1 << 14


#: Counters of 64 bits behind ``Reg.COUNTERS``, in order.
COUNTER_NAMES = ("packets_in", "bytes_in", "packets_out", "bytes_out", "bypassed", "protected")
#: Those behind them, with ``UTILISATION``.
UNIT_COUNTERS = ("cycles", "aes", "ghash", "hash", "mac", "des", "chacha20")
#: Cycles from one move of those to the next.
SWEEP_CYCLES = 256

ENCR_IDS = {
    "null": 0,
    "aes-cbc": 1,
    "aes-gcm": 2,
    "aes-ctr": 3,
    "aes-gmac": 4,
    "des-cbc": 5,
    "3des-cbc": 6,
    "aes-ccm": 7,
    "chacha20-poly1305": 8,
}
AUTH_IDS = {
    None: 0,
    "hmac-sha1-96": 1,
    "hmac-sha256-128": 2,
    "hmac-sha384-192": 3,
    "hmac-sha512-256": 4,
    "hmac-md5-96": 5,
    "aes-xcbc-96": 6,
    "aes-cmac-96": 7,
    "aes-gmac": 8,
}

_HASHES = {
    "hmac-md5-96": hashlib.md5,
    "hmac-sha1-96": hashlib.sha1,
    "hmac-sha256-128": hashlib.sha256,
    "hmac-sha384-192": hashlib.sha384,
    "hmac-sha512-256": hashlib.sha512,
}

_ENCR_KEY = 0x20
_AUTH_KEY = 0x40
_SEQ_HIGH = 0x0C
_LIMITS = 0xC0
#: CONTROL of an update: the op is to be changed; the limits are (first op).
_PRESENT, _REPLACE_LIMITS = 1, 1 << 31


@dataclass(frozen=True)
class Descriptor:
    """What goes ahead of a frame; handles and ESN high halves are None where they are not given."""

    length: int
    sa1: int | None = None
    sa2: int | None = None
    seq_high1: int | None = None
    seq_high2: int | None = None
    csum_ip: bool = False
    csum_l4: bool = False
    csum_udp: bool = False
    csum_start: int = 0
    csum_offset: int = 0
    lso: bool = False
    cookie: int = 0

    def pack(self) -> bytes:
        """32 bytes, bit 0 of the descriptor in bit 0 of the first."""
        given = (self.sa1, self.sa2, self.seq_high1, self.seq_high2)
        flags = sum((value is not None) << n for n, value in enumerate(given))
        flags |= self.csum_ip << 4 | self.csum_l4 << 5 | self.lso << 6 | self.csum_udp << 7
        values = (self.length, flags, 0, self.sa1 or 0, self.sa2 or 0, self.csum_start, self.csum_offset)
        return struct.pack("<HBBIIHHIIQ", *values, self.seq_high1 or 0, self.seq_high2 or 0, self.cookie)

    @classmethod
    def unpack(cls, data: bytes) -> "Descriptor":
        length, flags, reserved, sa1, sa2, start, offset, high1, high2, cookie = struct.unpack("<HBBIIHHIIQ", data)
        if reserved:
            raise ValueError(f"descriptor bits 31:24 must be 0, not {reserved:#x}")
        sa1, sa2, high1, high2 = (
            value if flags >> n & 1 else None for n, value in enumerate((sa1, sa2, high1, high2))
        )
        csum_ip, csum_l4, lso, csum_udp = (bool(flags >> n & 1) for n in range(4, 8))
        return cls(length, sa1, sa2, high1, high2, csum_ip, csum_l4, csum_udp, start, offset, lso, cookie)


@dataclass(frozen=True)
class Completion:
    """The engine's answer to one descriptor."""

    cookie: int
    length: int
    status: Status

    def pack(self) -> bytes:
        """16 bytes, bit 0 of the completion in bit 0 of the first."""
        return struct.pack("<QHB5x", self.cookie, self.length, self.status)

    @classmethod
    def unpack(cls, data: bytes) -> "Completion":
        """Raises ``ValueError`` for a status without a name or reserved bits that are not 0."""
        cookie, length, status = struct.unpack_from("<QHB", data)
        if len(data) != 16 or any(data[11:]):
            raise ValueError(f"a completion is 16 bytes, the last five 0, not {data.hex()}")
        return cls(cookie, length, Status(status))


def _words(secret: bytes | None, count: int) -> list[int]:
    padded = (secret or b"").ljust(4 * count, b"\0")
    if len(padded) != 4 * count:
        raise ValueError(f"a key of {len(padded)} bytes does not fit {count} words")
    return list(struct.unpack(f">{count}I", padded))


def _auth_words(op: Op) -> list[int]:
    if op.auth_alg in (None, "aes-gmac"):
        return []
    key, block = op.auth_key, 64
    if (function := _HASHES.get(op.auth_alg)) is not None:
        block = function().block_size
        if key is not None and len(key) > block:
            key = function(key).digest()
    return _words(key, block // 4)


def op_words(op: Op, tunnel: bool) -> dict[int, int]:
    """Offsets in an op's staging window and the words that belong there.

    The key of AES-GMAC is a cipher key to the engine, in AH as in ESP.
    """
    gmac = op.auth_alg == "aes-gmac"
    cipher_key = op.auth_key if gmac else op.encr_key
    aes = gmac or (op.encr_alg or "").startswith("aes-")
    size = {24: 1, 32: 2}.get(len(cipher_key), 0) if aes and cipher_key else 0
    control = 1 | (op.protocol == "ah") << 1 | tunnel << 2 | op.generates_iv << 3 | op.esn << 4 | op.udp_encap << 5
    control |= size << 6 | ENCR_IDS[op.encr_alg or "null"] << 8 | AUTH_IDS[op.auth_alg] << 12
    control |= op.icv_len // 4 << 16
    words = [control, op.spi, *_words(op.salt, 1), (op.esn_high or 0) if op.esn else 0]
    first = op.iv_init or 0
    words += [first & 0xFFFFFFFF, first >> 32] if op.generates_iv or op.judges_iv else [0, 0]
    result = {4 * n: word for n, word in enumerate(words)}
    result |= {_ENCR_KEY + 4 * n: word for n, word in enumerate(_words(cipher_key, 8))}
    result |= {_AUTH_KEY + 4 * n: word for n, word in enumerate(_auth_words(op))}
    return result


def limit_words(limits: Limits) -> dict[int, int]:
    """Offsets in the first op's staging window and the words of ``limits``."""
    values = (limits.soft_packets, limits.hard_packets, limits.soft_bytes, limits.hard_bytes)
    words = [word for value in values for word in (value & 0xFFFFFFFF, value >> 32)]
    return {_LIMITS + 4 * n: word for n, word in enumerate(words)}


def window_writes(bundle: Bundle) -> Iterator[tuple[int, int]]:
    """Register writes that stage ``bundle``; a word of 0 is not written, for each command empties the window."""
    for base, op in zip((Reg.SA_OP0, Reg.SA_OP1), bundle.ops, strict=False):
        for offset, word in op_words(op, bundle.tunnel).items():
            if word:
                yield base + offset, word
    for offset, word in limit_words(bundle.limits).items():
        if word:
            yield Reg.SA_OP0 + offset, word


def update_writes(highs: Sequence[int | None], limits: Limits | None) -> Iterator[tuple[int, int]]:
    """Register writes that stage an update: the high half of each op's sequence numbers, where one is given."""
    words: dict[int, int] = {}
    for base, high in zip((Reg.SA_OP0, Reg.SA_OP1), highs, strict=False):
        if high is not None:
            words |= {int(base): _PRESENT, base + _SEQ_HIGH: high}
    if limits is not None:
        words[Reg.SA_OP0] = words.get(Reg.SA_OP0, 0) | _REPLACE_LIMITS
        words |= {Reg.SA_OP0 + offset: word for offset, word in limit_words(limits).items()}
    yield from ((offset, word) for offset, word in words.items() if word)
