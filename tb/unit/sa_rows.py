# SPDX-License-Identifier: Apache-2.0
"""Row 0 of the SA table (docs/design.md section 7) from the model's ops, for benches that play the table."""

from nicsec.config import AUTH_NAMES, ENCR_NAMES

__all__ = ["lead_row"]


def lead_row(op, tunnel=None):
    """Row 0. ``tunnel`` is the bundle's mode."""
    key = op.encr_key or b""
    control = (
        1
        | (op.protocol == "ah") << 1
        | bool(tunnel) << 2
        | (op.iv == "generate") << 3
        | op.esn << 4
        | op.udp_encap << 5
        | max(len(key) // 8 - 2, 0) << 6
        | ENCR_NAMES[op.encr_alg or "null"].value << 8
        | (AUTH_NAMES[op.auth_alg].value if op.auth_alg else 0) << 12
        | op.icv_len // 4 << 16
    )
    salt = int.from_bytes((op.salt or b"").ljust(4, b"\0"), "big")
    return control << 96 | op.spi << 64 | salt << 32 | (op.esn_high or 0)
