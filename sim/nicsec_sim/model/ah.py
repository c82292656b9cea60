# SPDX-License-Identifier: Apache-2.0
"""The AH pass (RFC 4302)."""

from .mutable import masked_headers
from .parse import Level
from .sa import Op
from .suites import gmac, mac

__all__ = ["authenticated", "icv", "protect"]


def authenticated(frame: bytes | bytearray, level: Level, high: int | None) -> bytes:
    """What the ICV of AH is computed over: the datagram with the ICV as zero, then the ESN's high half.

    The IV of GMAC counts as sent (RFC 4543 section 4), and so does padding behind the ICV.
    """
    op, at = level.bundle.ah, level.ah
    assert op is not None
    assert at is not None
    first = at + 12 + op.iv_len
    return b"".join(
        (
            masked_headers(frame, level.ip),
            frame[at:first],
            bytes(op.icv_len),
            frame[first + op.icv_len : level.ip.end],
            b"" if high is None else high.to_bytes(4, "big"),
        )
    )


def icv(op: Op, iv: bytes, message: bytes) -> bytes:
    """The ICV over ``message``."""
    assert op.auth_alg is not None
    assert op.auth_key is not None
    if op.auth_alg == "aes-gmac":
        assert op.salt is not None
        return gmac(op.auth_key, op.salt + iv, message)
    return mac(op.auth_alg, op.auth_key, message)[: op.icv_len]


def protect(frame: bytearray, level: Level, iv: bytes | None, high: int | None) -> None:
    """Write the IV, if one was generated, and the ICV; ``high`` is the ESN's high half or ``None``."""
    op, at = level.bundle.ah, level.ah
    assert op is not None
    assert at is not None
    first = at + 12 + op.iv_len
    if iv is not None:
        frame[at + 12 : first] = iv
    frame[first : first + op.icv_len] = icv(op, bytes(frame[at + 12 : first]), authenticated(frame, level, high))
