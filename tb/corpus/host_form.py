# SPDX-License-Identifier: Apache-2.0
"""From a finished frame back to what a host hands over: every ICV checked and blanked, every payload decrypted.

Written against `cryptography` alone, with scapy's masking for AH: neither the golden model nor the RTL has a part in
what the corpus says.
"""

import warnings

from cryptography.hazmat.primitives import cmac, hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import zero_mutable_fields

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

__all__ = ["host_form"]

IV_LENGTHS = {"null": 0, "aes-cbc": 16, "des-cbc": 8, "3des-cbc": 8}
AEADS = ("aes-gcm", "aes-gmac", "aes-ccm", "chacha20-poly1305")
HASHES = {"hmac-md5-96": hashes.MD5, "hmac-sha1-96": hashes.SHA1, "hmac-sha256-128": hashes.SHA256,
          "hmac-sha384-192": hashes.SHA384, "hmac-sha512-256": hashes.SHA512}


def _key(op, name):
    return bytes.fromhex(op.get(name) or "")


def _xcbc(key, message):
    """AES-XCBC-MAC (RFC 3566 section 4)."""
    def block(key, data):
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)

    k1, k2, k3 = (block(key, bytes([n]) * 16) for n in (1, 2, 3))
    head, tail = message[: -(len(message) % 16 or 16)], message[-(len(message) % 16 or 16) :]
    last = k2 if len(tail) == 16 else k3
    if len(tail) < 16:
        tail = (tail + b"\x80").ljust(16, b"\0")
    masked = head + bytes(a ^ b for a, b in zip(tail, last, strict=True))
    return Cipher(algorithms.AES(k1), modes.CBC(bytes(16))).encryptor().update(masked)[-16:]


def _mac(op, message):
    key = _key(op, "auth_key")
    if op["auth_alg"] == "aes-xcbc-96":
        return _xcbc(key, message)[: op["icv_len"]]
    context = (cmac.CMAC(algorithms.AES(key)) if op["auth_alg"] == "aes-cmac-96"
               else hmac.HMAC(key, HASHES[op["auth_alg"]]()))
    context.update(message)
    return context.finalize()[: op["icv_len"]]


def _check(found, expected, what):
    if found != expected:
        raise ValueError(f"{what}: the ICV is {found.hex()}, not {expected.hex()}")


def _gcm(key, nonce, icv, aad, data):
    context = Cipher(algorithms.AES(key), modes.GCM(nonce, icv, min_tag_length=len(icv))).decryptor()
    context.authenticate_additional_data(aad)
    return context.update(data) + context.finalize()


def _open_aead(op, nonce, aad, iv, data, icv):
    key = _key(op, "encr_key")
    if op["encr_alg"] == "aes-gcm":
        return _gcm(key, nonce, icv, aad, data)
    if op["encr_alg"] == "aes-gmac":
        _gcm(key, nonce, icv, aad + iv + data, b"")
        return data
    cipher = AESCCM(key, tag_length=len(icv)) if op["encr_alg"] == "aes-ccm" else ChaCha20Poly1305(key)
    return cipher.decrypt(nonce, data + icv, aad)


def _decrypt(op, iv, data):
    key, name = _key(op, "encr_key"), op["encr_alg"]
    if name == "null":
        return data
    if name == "aes-ctr":
        mode, algorithm = modes.CTR(_key(op, "salt") + iv + b"\0\0\0\1"), algorithms.AES(key)
    else:
        mode = modes.CBC(iv)
        algorithm = algorithms.AES(key) if name == "aes-cbc" else TripleDES(key * (24 // len(key)))
    return Cipher(algorithm, mode).decryptor().update(data)


def _arrived4(datagram):
    """The final destination in place (RFC 791: the last address of a source route that is not used up)."""
    at, end = 20, 4 * (datagram[0] & 15)
    while at < end and datagram[at] != 0:
        if datagram[at] == 1:
            at += 1
            continue
        length = datagram[at + 1]
        if datagram[at] in (131, 137) and datagram[at + 2] < length:
            return datagram[:16] + datagram[at + length - 4 : at + length] + datagram[20:]
        at += length
    return datagram


def _arrived6(datagram):
    """Routing headers as they are when no segment is left, hop by hop (RFC 2460 section 4.4)."""
    data, kind, at = bytearray(datagram), datagram[6], 40
    while kind in (0, 43, 60):
        length = 8 + 8 * data[at + 1]
        while kind == 43 and data[at + 3]:
            segment = at + length - 16 * data[at + 3]
            data[24:40], data[segment : segment + 16] = data[segment : segment + 16], data[24:40]
            data[at + 3] -= 1
        kind, at = data[at], at + length
    return bytes(data)


class _Reader:
    def __init__(self, frame, rng):
        self.frame = bytearray(frame)
        self.rng = rng
        self.at = 14
        while self.frame[self.at - 2 : self.at] in (b"\x81\x00", b"\x88\xa8"):
            self.at += 4

    def blank(self, start, length):
        """What stands in the host's frame where the ICV goes is nobody's business: zeros or junk."""
        self.frame[start : start + length] = (bytes(length) if self.rng.random() < 0.5
                                              else self.rng.randbytes(length))

    def ip(self):
        """Take an IP header and what it carries ahead of IPsec."""
        data, self.ip_at = self.frame, self.at
        if data[self.at] >> 4 == 4:
            self.end = self.at + int.from_bytes(data[self.at + 2 : self.at + 4], "big")
            self.next, self.at = data[self.at + 9], self.at + 4 * (data[self.at] & 15)
        else:
            self.end = self.at + 40 + int.from_bytes(data[self.at + 4 : self.at + 6], "big")
            self.next, self.at = data[self.at + 6], self.at + 40
            self.extensions()

    def extensions(self):
        while self.next in (0, 43, 60):
            self.next, self.at = self.frame[self.at], self.at + 8 + 8 * self.frame[self.at + 1]

    def high(self, sa, low):
        """High half of the sequence number: the counter only rises, and by far less than 2^32."""
        if not sa["op"].get("esn"):
            return None, b""
        value = sa["oseq_high"] + (low <= sa["oseq"])
        return value, value.to_bytes(4, "big")

    def ah(self, sa):
        op, at = sa["op"], self.at
        if self.next != 51 or int.from_bytes(self.frame[at + 4 : at + 8], "big") != op["spi"]:
            raise ValueError(f"no AH with SPI {op['spi']:#x}")
        value, high = self.high(sa, int.from_bytes(self.frame[at + 8 : at + 12], "big"))
        length = op["icv_len"]
        icv = bytes(self.frame[at + 12 : at + 12 + length])
        self.frame[at + 12 : at + 12 + length] = bytes(length)
        datagram = bytes(self.frame[self.ip_at : self.end])
        kind = IP if datagram[0] >> 4 == 4 else IPv6
        arrived = _arrived4(datagram) if kind is IP else _arrived6(datagram)
        masked = bytes(zero_mutable_fields(kind(arrived)))[: at - self.ip_at]
        _check(icv, _mac(op, masked + datagram[at - self.ip_at :] + high), "AH")
        self.blank(at + 12, length)
        self.next, self.at = self.frame[at], at + 4 * (self.frame[at + 1] + 2)
        if kind is IPv6:
            self.extensions()
        return value

    def esp(self, sa):
        op = sa["op"]
        if op.get("udp_encap"):
            if self.next != 17:
                raise ValueError("no UDP ahead of ESP")
            self.at, self.next = self.at + 8, 50
        at, end = self.at, self.end
        header = bytes(self.frame[at : at + 8])
        if self.next != 50 or int.from_bytes(header[:4], "big") != op["spi"]:
            raise ValueError(f"no ESP with SPI {op['spi']:#x}")
        value, high = self.high(sa, int.from_bytes(header[4:], "big"))
        start = at + 8 + IV_LENGTHS.get(op["encr_alg"], 8)
        iv, data = bytes(self.frame[at + 8 : start]), bytes(self.frame[start : end - op["icv_len"]])
        icv = bytes(self.frame[end - op["icv_len"] : end])
        if op["encr_alg"] in AEADS:
            plain = _open_aead(op, _key(op, "salt") + iv, header[:4] + high + header[4:], iv, data, icv)
        else:
            if op.get("auth_alg"):
                _check(icv, _mac(op, header + iv + data + high), "ESP")
            plain = _decrypt(op, iv, data)
        self.frame[start : end - op["icv_len"]] = plain
        self.blank(end - op["icv_len"], op["icv_len"])
        self.at, self.end, self.next = start, start + len(plain) - 2 - plain[-2], plain[-1]
        return value


def host_form(frame, bundles, rng):
    """The host's frame for a finished one, and the bundles as replay has them, innermost first.

    Raises ``ValueError`` or cryptography's ``InvalidTag`` where the frame is not what ``bundles`` say.
    """
    reader, found = _Reader(frame, rng), []
    for bundle in reversed(bundles):
        reader.ip()
        ops = []
        for sa in reversed(bundle["sas"]):
            value = getattr(reader, sa["op"]["protocol"])(sa)
            ops.insert(0, sa["op"] | ({} if value is None else {"esn_high": value}))
        found.insert(0, {"mode": bundle["mode"], "ops": ops})
        if bundle["mode"] == "tunnel" and reader.next not in (4, 41):
            raise ValueError(f"next header {reader.next} in a tunnel")
    return bytes(reader.frame), found
