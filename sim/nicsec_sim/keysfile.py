# SPDX-License-Identifier: Apache-2.0
"""Wireshark's ``esp_sa`` table: the SAs with which it decrypts ESP and verifies its ICVs."""

from collections.abc import Iterable
from pathlib import Path

from .model.sa import Bundle, Op

__all__ = ["TSHARK_OPTIONS", "line", "lines", "tshark_command", "verifies", "write"]

#: What tshark needs beside the table to decrypt and to check.
TSHARK_OPTIONS = ("-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE")

_ENCR = {
    "null": "NULL",
    "aes-cbc": "AES-CBC [RFC3602]",
    "aes-ctr": "AES-CTR [RFC3686]",
    "des-cbc": "DES-CBC [RFC2405]",
    "3des-cbc": "TripleDES-CBC [RFC2451]",
}
_AUTH = {
    None: "NULL",
    "hmac-md5-96": "HMAC-MD5-96 [RFC2403]",
    "hmac-sha1-96": "HMAC-SHA-1-96 [RFC2404]",
    "hmac-sha384-192": "HMAC-SHA-384-192 [RFC4868]",
    "hmac-sha512-256": "HMAC-SHA-512-256 [RFC4868]",
}


def _names(op: Op) -> tuple[str, str] | None:
    if op.protocol != "esp":
        return None
    if op.encr_alg == "aes-gcm":
        return f"AES-GCM with {op.icv_len} octet ICV [RFC4106]", "NULL"
    encr = _ENCR.get(op.encr_alg or "null")
    if op.auth_alg == "hmac-sha256-128":
        auth = {16: "HMAC-SHA-256-128 [RFC4868]", 12: "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]"}[op.icv_len]
    else:
        auth = _AUTH.get(op.auth_alg)
    return (encr, auth) if encr and auth else None


def verifies(op: Op) -> bool:
    """Whether Wireshark can check the ICV: ESP, a suite that it knows, and no ESN (it leaves the high half out)."""
    return op.authenticates and not op.esn and _names(op) is not None


def line(op: Op, version: int) -> str | None:
    """The table's line for ESP ``op`` under an IP header of ``version`` (4 or 6); None if Wireshark lacks the suite."""
    names = _names(op)
    if names is None:
        return None

    def key(secret: bytes | None) -> str:
        return f"0x{secret.hex()}" if secret else ""

    # The salt stands behind the key, as RFC 4106 and RFC 3686 write their keying material.
    encr_key = key((op.encr_key or b"") + (op.salt or b""))
    fields = (f"IPv{version}", "*", "*", f"0x{op.spi:08x}", names[0], encr_key, names[1], key(op.auth_key))
    return ",".join(f'"{field}"' for field in fields)


def lines(uses: Iterable[tuple[Bundle, int]]) -> list[str]:
    """Lines for the ESP ops of ``uses``, pairs of a bundle and the IP version of the header ahead of it, each once."""
    result: dict[str, None] = {}
    for bundle, version in uses:
        if bundle.esp is not None and (text := line(bundle.esp, version)) is not None:
            result[text] = None
    return list(result)


def write(directory: str | Path, uses: Iterable[tuple[Bundle, int]]) -> Path:
    """Write ``directory``/wireshark/esp_sa, readable by its owner only, and return its path."""
    path = Path(directory) / "wireshark" / "esp_sa"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(f"{text}\n" for text in lines(uses)))
    return path


def tshark_command(directory: str | Path, capture: str | Path) -> str:
    """The one-line command that makes tshark decrypt ``capture`` with the keys under ``directory``."""
    fields = "-T fields -e frame.number -e esp.spi -e esp.icv_good"
    return f"XDG_CONFIG_HOME={directory} tshark -r {capture} {' '.join(TSHARK_OPTIONS)} {fields}"
