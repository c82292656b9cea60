# SPDX-License-Identifier: Apache-2.0
"""The receiver: checks and removes the protection of a frame, outermost first.

It shares with the send side the header masking of AH and the keyed MACs; the walk and the ciphers are written
the other way round, as RFC 4301 section 5.2 goes, so that it tells more than the sender's agreement with itself.
"""

from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, GCM
from cryptography.hazmat.primitives.constant_time import bytes_eq

from .algorithm import AEADS
from .mutable import masked_headers
from .parse import Extension, IPHeader, Refused
from .sa import Bundle, Op
from .status import Status
from .suites import mac

__all__ = ["Verified", "verify"]


@dataclass(frozen=True)
class Verified:
    """Outcome: ``frame`` has payloads in clear, ICVs and generated IVs as zero; ``ivs`` by (handle, protocol)."""

    status: Status
    frame: bytes | None = None
    ivs: dict[tuple[int, str], bytes] = field(default_factory=dict)


def _gcm_open(key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes, icv: bytes) -> bytes | None:
    context = Cipher(AES(key), GCM(nonce, icv, min_tag_length=len(icv))).decryptor()
    context.authenticate_additional_data(aad)
    try:
        return context.update(ciphertext) + context.finalize()
    except InvalidTag:
        return None


def _aead_open(op: Op, header: bytes, iv: bytes, ciphertext: bytes, icv: bytes, high: bytes) -> bytes | None:
    assert op.encr_key is not None
    assert op.salt is not None
    nonce, aad = op.salt + iv, header[:4] + high + header[4:]
    if op.encr_alg == "aes-gmac":
        empty = _gcm_open(op.encr_key, nonce, aad + iv + ciphertext, b"", icv)
        return None if empty is None else ciphertext
    if op.encr_alg == "aes-gcm":
        return _gcm_open(op.encr_key, nonce, aad, ciphertext, icv)
    try:
        if op.encr_alg == "aes-ccm":
            return AESCCM(op.encr_key, tag_length=op.icv_len).decrypt(nonce, ciphertext + icv, aad)
        return ChaCha20Poly1305(op.encr_key).decrypt(nonce, ciphertext + icv, aad)
    except InvalidTag:
        return None


def _decrypt(op: Op, iv: bytes, ciphertext: bytes) -> bytes:
    if op.encr_alg == "null":
        return ciphertext
    assert op.encr_key is not None
    cipher: Cipher[Any]
    if op.encr_alg == "aes-ctr":
        assert op.salt is not None
        cipher = Cipher(AES(op.encr_key), CTR(op.salt + iv + (1).to_bytes(4, "big")))
    elif op.encr_alg == "aes-cbc":
        cipher = Cipher(AES(op.encr_key), CBC(iv))
    else:
        cipher = Cipher(TripleDES(op.encr_key * (24 // len(op.encr_key))), CBC(iv))
    context = cipher.decryptor()
    return context.update(ciphertext) + context.finalize()


class _Receiver:
    """Cursor over a frame on its way from the wire to the host."""

    def __init__(self, frame: bytes) -> None:
        self.frame = bytearray(frame)
        self.at = 12
        self.end = len(frame)
        self.protocol = 0
        self.ivs: dict[tuple[int, str], bytes] = {}

    def take(self, length: int) -> bytes:
        if self.at + length > self.end:
            raise Refused(Status.MALFORMED)
        self.at += length
        return bytes(self.frame[self.at - length : self.at])

    def link(self) -> None:
        kind = self.take(2)
        while kind in (b"\x81\x00", b"\x88\xa8"):
            kind = self.take(4)[2:]
        if int.from_bytes(kind, "big") <= 1500:
            kind = self.take(8)[6:]
        self.protocol = {b"\x08\x00": 4, b"\x86\xdd": 41}.get(kind, -1)

    def ip(self) -> IPHeader:
        """Take an IP header and IPv6 extension headers; leaves the cursor behind them."""
        start, protocol = self.at, self.protocol
        first = self.take(20)
        if protocol == 4 and first[0] >> 4 == 4:
            header = IPHeader(4, start, start + int.from_bytes(first[2:4], "big"), first[9], 0)
            self.take(4 * (first[0] & 15) - 20)
        elif protocol == 41 and first[0] >> 4 == 6:
            self.take(20)
            header = IPHeader(6, start, start + 40 + int.from_bytes(first[4:6], "big"), first[6], 0)
        else:
            raise Refused(Status.INVALID_PROTOCOL)
        if header.end > self.end:
            raise Refused(Status.MALFORMED)
        self.end, self.protocol = header.end, header.protocol
        header.extensions = self.extensions() if header.version == 6 else []
        header.next, header.protocol = self.at, self.protocol
        return header

    def extensions(self) -> list[Extension]:
        found = []
        while self.protocol in (0, 43, 60):
            start, protocol = self.at, self.protocol
            first = self.take(8)
            self.take(8 * first[1])
            found.append(Extension(protocol, start, self.at - start))
            self.protocol = first[0]
        return found

    def ah(self, op: Op, ip: IPHeader, high: bytes, handle: int) -> bool:
        if self.protocol != 51:
            raise Refused(Status.MISSING_AH)
        start = self.at
        header = self.take(12)
        if int.from_bytes(header[4:8], "big") != op.spi:
            raise Refused(Status.SPI_MISMATCH)
        iv, icv = self.take(op.iv_len), self.take(op.icv_len)
        self.frame[self.at - op.icv_len : self.at] = bytes(op.icv_len)
        message = masked_headers(self.frame, ip) + self.frame[start : self.end] + high
        assert op.auth_alg is not None
        assert op.auth_key is not None
        if op.auth_alg == "aes-gmac":
            assert op.salt is not None
            good = _gcm_open(op.auth_key, op.salt + iv, message, b"", icv) is not None
        else:
            good = bytes_eq(mac(op.auth_alg, op.auth_key, message)[: op.icv_len], icv)
        if op.generates_iv:
            self.frame[start + 12 : start + 12 + op.iv_len] = bytes(op.iv_len)
        if op.iv_len:
            self.ivs[handle, "ah"] = iv
        self.at = start
        self.take(4 * (header[1] + 2))
        self.protocol = header[0]
        if ip.version == 6:
            self.extensions()
        return good

    def esp(self, op: Op, high: bytes, handle: int) -> bool:
        if op.udp_encap:
            if self.protocol != 17 or self.take(8)[2:4] != (4500).to_bytes(2, "big"):
                raise Refused(Status.MISSING_ESP)
        elif self.protocol != 50:
            raise Refused(Status.MISSING_ESP)
        header, iv = self.take(8), self.take(op.iv_len)
        if int.from_bytes(header[:4], "big") != op.spi:
            raise Refused(Status.SPI_MISMATCH)
        start = self.at
        ciphertext, icv = self.take(self.end - op.icv_len - self.at), self.take(op.icv_len)
        plaintext: bytes | None
        if op.encr_alg in AEADS:
            plaintext = _aead_open(op, header, iv, ciphertext, icv, high)
        else:
            plaintext = _decrypt(op, iv, ciphertext)
            if op.auth_alg is not None:
                assert op.auth_key is not None
                expected = mac(op.auth_alg, op.auth_key, header + iv + ciphertext + high)[: op.icv_len]
                plaintext = plaintext if bytes_eq(expected, icv) else None
        if plaintext is None:
            return False
        if op.iv_len:
            self.ivs[handle, "esp"] = iv
        if op.generates_iv:
            self.frame[start - op.iv_len : start] = bytes(op.iv_len)
        self.frame[start : self.end] = plaintext + bytes(op.icv_len)
        self.at, self.end, self.protocol = start, start + len(plaintext) - 2 - plaintext[-2], plaintext[-1]
        return True


def verify(
    frame: bytes,
    sa1: Bundle | None,
    sa2: Bundle | None = None,
    *,
    esn_high1: int | None = None,
    esn_high2: int | None = None,
) -> Verified:
    """Undo what the engine did to a frame with ``sa1`` (inner, if both are given) and ``sa2``.

    ``status`` is ``success``, one of the four failures of CryptoStatus, or what is wrong with the headers.
    """
    receiver = _Receiver(frame)
    try:
        receiver.link()
        for handle, bundle, override in ((2, sa2, esn_high2), (1, sa1, esn_high1)):
            if bundle is None:
                continue
            ip = receiver.ip()
            for op in reversed(bundle.ops):
                value = override if override is not None else op.esn_high or 0
                high = value.to_bytes(4, "big") if op.esn else b""
                if op.protocol == "ah":
                    good = receiver.ah(op, ip, high, handle)
                else:
                    good = receiver.esp(op, high, handle)
                if not good:
                    return Verified(Status[f"{bundle.mode}_{op.protocol}_auth_failed".upper()])
    except Refused as refusal:
        return Verified(refusal.status)
    return Verified(Status.SUCCESS, bytes(receiver.frame), receiver.ivs)
