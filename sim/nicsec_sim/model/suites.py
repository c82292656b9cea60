# SPDX-License-Identifier: Apache-2.0
"""The algorithms: what an op's ICV and ciphertext are, given the byte strings that the RFCs name."""

import hmac
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from .algorithm import AEADS
from .sa import Op

__all__ = ["aes_xcbc", "encrypt", "esp_icv", "gmac", "initial_vector", "mac", "seal"]

_HASHES = {
    "hmac-md5-96": "md5",
    "hmac-sha1-96": "sha1",
    "hmac-sha256-128": "sha256",
    "hmac-sha384-192": "sha384",
    "hmac-sha512-256": "sha512",
}


def _ecb(algorithm: AES | TripleDES, block: bytes) -> bytes:
    # A single block under ECB is the raw cipher: what XCBC and the IVs of SP 800-38A appendix C are built of.
    context = Cipher(algorithm, ECB()).encryptor()
    return context.update(block) + context.finalize()


def _des(key: bytes) -> TripleDES:
    """DES is EDE with three equal keys."""
    return TripleDES(key * 3 if len(key) == 8 else key)


def aes_xcbc(key: bytes, message: bytes) -> bytes:
    """AES-XCBC-MAC, all 16 bytes (RFC 3566 section 4)."""
    k1, k2, k3 = (_ecb(AES(key), bytes([n]) * 16) for n in (1, 2, 3))
    last = message[(max(len(message), 1) - 1) // 16 * 16 :]
    whole = message[: len(message) - len(last)]
    mask = k2 if len(last) == 16 else k3
    if len(last) < 16:
        last = (last + b"\x80").ljust(16, b"\0")
    context = Cipher(AES(k1), CBC(bytes(16))).encryptor()
    return (context.update(whole + bytes(a ^ b for a, b in zip(last, mask, strict=True))) + context.finalize())[-16:]


def mac(name: str, key: bytes, message: bytes) -> bytes:
    """The whole authenticator over ``message``, before it is cut to the ICV's length."""
    if name in _HASHES:
        return hmac.digest(key, message, _HASHES[name])
    if name == "aes-xcbc-96":
        return aes_xcbc(key, message)
    if name == "aes-cmac-96":
        context = CMAC(AES(key))
        context.update(message)
        return context.finalize()
    raise ValueError(f"mac must be keyed without an IV, not {name!r}")


def gmac(key: bytes, nonce: bytes, message: bytes) -> bytes:
    """AES-GMAC: the tag of GCM over additional data alone (RFC 4543 section 2)."""
    return AESGCM(key).encrypt(nonce, b"", message)


def encrypt(op: Op, iv: bytes, plaintext: bytes) -> bytes:
    """Ciphertext of an ESP op that encrypts and authenticates apart."""
    assert op.encr_alg not in AEADS
    if op.encr_alg == "null":
        return plaintext
    assert op.encr_key is not None
    cipher: Cipher[Any]
    if op.encr_alg == "aes-cbc":
        cipher = Cipher(AES(op.encr_key), CBC(iv))
    elif op.encr_alg == "aes-ctr":
        assert op.salt is not None
        cipher = Cipher(AES(op.encr_key), CTR(op.salt + iv + bytes([0, 0, 0, 1])))
    else:
        cipher = Cipher(_des(op.encr_key), CBC(iv))
    context = cipher.encryptor()
    return context.update(plaintext) + context.finalize()


def seal(op: Op, iv: bytes, aad: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and ICV of an ESP op with an AEAD; ``aad`` is SPI and sequence number (RFC 4106 section 5)."""
    assert op.encr_key is not None
    assert op.salt is not None
    nonce = op.salt + iv
    if op.encr_alg == "aes-gmac":
        return plaintext, gmac(op.encr_key, nonce, aad + iv + plaintext)
    if op.encr_alg == "aes-gcm":
        # Shorter ICVs of GCM are the leading bytes of the tag; those of CCM are not, its length enters the first block.
        sealed = AESGCM(op.encr_key).encrypt(nonce, plaintext, aad)
    elif op.encr_alg == "aes-ccm":
        sealed = AESCCM(op.encr_key, tag_length=op.icv_len).encrypt(nonce, plaintext, aad)
    else:
        sealed = ChaCha20Poly1305(op.encr_key).encrypt(nonce, plaintext, aad)
    return sealed[: len(plaintext)], sealed[len(plaintext) :][: op.icv_len]


def esp_icv(op: Op, message: bytes) -> bytes:
    """ICV of an ESP op with its own authentication algorithm; empty without one."""
    if op.auth_alg is None:
        return b""
    assert op.auth_key is not None
    return mac(op.auth_alg, op.auth_key, message)[: op.icv_len]


def initial_vector(op: Op, counter: int) -> bytes:
    """IV field generated from a counter value (docs/design.md section 5)."""
    value = counter.to_bytes(8, "big")
    if op.protocol == "esp" and op.encr_key is not None:
        if op.encr_alg == "aes-cbc":
            return _ecb(AES(op.encr_key), bytes(8) + value)
        if op.encr_alg in ("des-cbc", "3des-cbc"):
            return _ecb(_des(op.encr_key), value)
    return value
