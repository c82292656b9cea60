# SPDX-License-Identifier: Apache-2.0
"""Algorithms by name and the sizes that belong to them."""

from dataclasses import dataclass

__all__ = ["AEADS", "AUTHS", "ENCRS", "Auth", "Encr"]

_AES = (16, 24, 32)


@dataclass(frozen=True)
class Encr:
    """Sizes of an encryption algorithm: bytes of key, salt and IV, payload alignment, ICV lengths of an AEAD."""

    keys: tuple[int, ...]
    salt: int
    iv: int
    align: int
    icvs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Auth:
    """Sizes of an authentication algorithm; no ``keys`` means any length of one byte or more."""

    keys: tuple[int, ...]
    icvs: tuple[int, ...]


#: Encryption algorithms: RFC 2410, 3602, 4106, 4543, 3686, 2405, 2451, 4309, 7634.
ENCRS = {
    "null": Encr((), 0, 0, 4),
    "aes-cbc": Encr(_AES, 0, 16, 16),
    "aes-gcm": Encr(_AES, 4, 8, 4, (8, 12, 16)),
    "aes-gmac": Encr(_AES, 4, 8, 4, (16,)),
    "aes-ctr": Encr(_AES, 4, 8, 4),
    "des-cbc": Encr((8,), 0, 8, 8),
    "3des-cbc": Encr((24,), 0, 8, 8),
    "aes-ccm": Encr(_AES, 3, 8, 4, (8, 12, 16)),
    "chacha20-poly1305": Encr((32,), 4, 8, 4, (16,)),
}

#: Authentication algorithms: RFC 2403, 2404, 4868, 3566, 4494, 4543. SHA-256 cut to 96 bits is what the
#: first implementations sent and some still do.
AUTHS = {
    "hmac-md5-96": Auth((), (12,)),
    "hmac-sha1-96": Auth((), (12,)),
    "hmac-sha256-128": Auth((), (16, 12)),
    "hmac-sha384-192": Auth((), (24,)),
    "hmac-sha512-256": Auth((), (32,)),
    "aes-xcbc-96": Auth((16,), (12,)),
    "aes-cmac-96": Auth((16,), (12,)),
    "aes-gmac": Auth(_AES, (16,)),
}

#: Encryption algorithms that make the ICV themselves.
AEADS = frozenset(name for name, suite in ENCRS.items() if suite.icvs)
