# SPDX-License-Identifier: Apache-2.0
"""The ESP pass (RFC 4303; AEADs RFC 4106, 4309, 4543, 7634)."""

from .algorithm import AEADS
from .parse import Level
from .suites import encrypt, esp_icv, seal

__all__ = ["additional_data", "protect"]


def additional_data(header: bytes, high: int | None) -> bytes:
    """AAD of an AEAD: SPI and sequence number, with the ESN's high half between them (RFC 4106 section 5)."""
    return header if high is None else header[:4] + high.to_bytes(4, "big") + header[4:]


def protect(frame: bytearray, level: Level, iv: bytes | None, high: int | None) -> None:
    """Write the IV, if one was generated, encrypt payload and trailer, and write the ICV."""
    op, at = level.bundle.esp, level.esp
    assert op is not None
    assert at is not None
    payload, end = level.payload, level.icv
    if iv is not None:
        frame[at + 8 : payload] = iv
    iv = bytes(frame[at + 8 : payload])
    plaintext = bytes(frame[payload:end])
    if op.encr_alg in AEADS:
        ciphertext, icv = seal(op, iv, additional_data(bytes(frame[at : at + 8]), high), plaintext)
        frame[payload:end] = ciphertext
    else:
        frame[payload:end] = encrypt(op, iv, plaintext)
        tail = b"" if high is None else high.to_bytes(4, "big")
        icv = esp_icv(op, bytes(frame[at:end]) + tail)
    frame[end : end + op.icv_len] = icv
