# SPDX-License-Identifier: Apache-2.0
"""What software writes for a bundle and which rows must come of it, derived apart from the RTL.

The compression functions follow FIPS 180-4 and RFC 1321; hashlib gives no chaining state away, so they are
checked against its digests instead.
"""

import hashlib
from math import floor, isqrt, sin

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from sa_rows import lead_row

__all__ = ["initial_state", "mac_keys", "midstate", "rows_of", "window_of"]

_PRIMES = [n for n in range(2, 410) if all(n % d for d in range(2, isqrt(n) + 1))]
_HASH = {
    "hmac-md5-96": ("md5", 64),
    "hmac-sha1-96": ("sha1", 64),
    "hmac-sha256-128": ("sha256", 64),
    "hmac-sha384-192": ("sha384", 128),
    "hmac-sha512-256": ("sha512", 128),
}
_MACS = ("aes-xcbc-96", "aes-cmac-96")


def _fraction_of_root(prime, degree, bits):
    low, high = 0, prime << bits
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= prime << bits * degree else (low, middle)
    return low % (1 << bits)


def initial_state(name):
    """Initial chaining state as bytes in the order of a digest."""
    if name in ("md5", "sha1"):
        state = bytes.fromhex("0123456789abcdeffedcba9876543210")
        if name == "md5":
            return state
        return b"".join(state[n : n + 4][::-1] for n in range(0, 16, 4)) + bytes.fromhex("c3d2e1f0")
    bits = 32 if name == "sha256" else 64
    primes = _PRIMES[8:16] if name == "sha384" else _PRIMES[:8]
    return b"".join(_fraction_of_root(prime, 2, bits).to_bytes(bits // 8, "big") for prime in primes)


def _rotl(x, n, bits=32):
    n %= bits
    return (x << n | x >> bits - n) & (1 << bits) - 1


def _sha1(state, w):
    w = list(w)
    for t in range(16, 80):
        w.append(_rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1))
    a, b, c, d, e = state
    for t in range(80):
        f = (b & c | ~b & d, b ^ c ^ d, b & c | b & d | c & d, b ^ c ^ d)[t // 20]
        k = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)[t // 20]
        a, b, c, d, e = (_rotl(a, 5) + f + e + k + w[t]) % 2**32, a, _rotl(b, 30), c, d
    return a, b, c, d, e


def _md5(state, x):
    a, b, c, d = state
    for t in range(64):
        f = (b & c | ~b & d, b & d | c & ~d, b ^ c ^ d, c ^ (b | ~d & 0xFFFFFFFF))[t // 16]
        index = (t, 5 * t + 1, 3 * t + 5, 7 * t)[t // 16] % 16
        turn = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))[t // 16][t % 4]
        total = (a + f + x[index] + floor(abs(sin(t + 1)) * 2**32)) % 2**32
        a, b, c, d = d, (b + _rotl(total, turn)) % 2**32, b, c
    return a, b, c, d


def _sha2(state, w, bits):
    rounds, turns = (64, ((7, 18, 3), (17, 19, 10), (6, 11, 25), (2, 13, 22)))
    if bits == 64:
        rounds, turns = (80, ((1, 8, 7), (19, 61, 6), (14, 18, 41), (28, 34, 39)))
    mask, w = (1 << bits) - 1, list(w)

    def sigma(x, n):
        p, q, s = turns[n]
        return _rotl(x, -p, bits) ^ _rotl(x, -q, bits) ^ (x >> s if n < 2 else _rotl(x, -s, bits))

    for t in range(16, rounds):
        w.append((sigma(w[t - 2], 1) + w[t - 7] + sigma(w[t - 15], 0) + w[t - 16]) & mask)
    a, b, c, d, e, f, g, h = state
    for t in range(rounds):
        one = h + sigma(e, 2) + (e & f ^ ~e & g) + _fraction_of_root(_PRIMES[t], 3, bits) + w[t]
        two = sigma(a, 3) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) & mask, a, b, c, (d + one) & mask, e, f, g
    return a, b, c, d, e, f, g, h


def _compress(name, state, block):
    size, order = (8 if name in ("sha384", "sha512") else 4), ("little" if name == "md5" else "big")

    def words(text):
        return [int.from_bytes(text[n : n + size], order) for n in range(0, len(text), size)]

    old, w = words(state), words(block)
    new = {"md5": _md5, "sha1": _sha1}.get(name, lambda state, w: _sha2(state, w, size * 8))(old, w)
    return b"".join(((x + y) % (1 << size * 8)).to_bytes(size, order) for x, y in zip(old, new, strict=True))


def midstate(name, key, pad):
    """Chaining state after the block ``key`` xor ``pad``; the function is first tried against hashlib."""
    size = hashlib.new(name).block_size
    padded = b"abc\x80".ljust(size - 8, b"\0") + (24).to_bytes(8, "little" if name == "md5" else "big")
    digest = hashlib.new(name, b"abc").digest()
    assert _compress(name, initial_state(name), padded)[: len(digest)] == digest
    return _compress(name, initial_state(name), bytes(byte ^ pad for byte in key.ljust(size, b"\0")))


def _ecb(key, block):
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def _doubled(block):
    """SP 800-38B section 6.1."""
    value = int.from_bytes(block, "big") << 1
    return (value & (1 << 128) - 1 ^ (0x87 if value >> 128 else 0)).to_bytes(16, "big")


def mac_keys(name, key):
    """Key of the chain, mask of a full and mask of a padded last block (RFC 3566 section 4, SP 800-38B section 6.1)."""
    if name == "aes-xcbc-96":
        return [_ecb(key, bytes([n]) * 16) for n in (1, 2, 3)]
    first = _doubled(_ecb(key, bytes(16)))
    return [key, first, _doubled(first)]


def _auth_key(op):
    """The key as software writes it: none for AES-GMAC, hashed if it is longer than the block (RFC 2104)."""
    if op.auth_alg in _MACS:
        return op.auth_key
    if op.auth_alg not in _HASH:
        return b""
    name, block = _HASH[op.auth_alg]
    return hashlib.new(name, op.auth_key).digest() if len(op.auth_key) > block else op.auth_key


def _cipher_key(op):
    return (op.auth_key if op.auth_alg == "aes-gmac" else op.encr_key) or b""


def _lead(bundle, op):
    # AES-GMAC as AH takes its key from the cipher key window, and its size from the same field as a cipher.
    size = max(len(_cipher_key(op)) // 8 - 2, 0)
    return lead_row(op, bundle.mode == "tunnel") & ~(3 << 6 + 96) | size << 6 + 96


def window_of(bundle):
    """{byte offset in the window: word} for every word of it."""
    words = {}
    for n, op in enumerate(bundle.ops):
        base = n * 0x100
        lead = _lead(bundle, op).to_bytes(16, "big")
        fields = lead + (op.iv_init & 0xFFFFFFFF).to_bytes(4, "big") + (op.iv_init >> 32).to_bytes(4, "big") + bytes(8)
        fields += _cipher_key(op).ljust(32, b"\0") + _auth_key(op).ljust(128, b"\0")
        words |= {base + m: int.from_bytes(fields[m : m + 4], "big") for m in range(0, len(fields), 4)}
    return words


def rows_of(bundle, rows_per_op):
    """Rows of the bundle's slot, op 0 first (docs/design.md section 7)."""
    rows = [0] * 2 * rows_per_op
    for n, op in enumerate(bundle.ops):
        base = n * rows_per_op
        key = _cipher_key(op)
        rows[base] = _lead(bundle, op)
        for m in range(2):
            rows[base + 1 + m] = int.from_bytes(key.ljust(32, b"\0")[16 * m : 16 * m + 16], "big")
        if op.encr_alg in ("aes-gcm", "aes-gmac") or op.auth_alg == "aes-gmac":
            rows[base + 3] = int.from_bytes(_ecb(key, bytes(16)), "big")
        if op.auth_alg in _MACS:
            rows[base + 4 : base + 7] = [int.from_bytes(row, "big") for row in mac_keys(op.auth_alg, op.auth_key)]
        if op.auth_alg in _HASH:
            name, block = _HASH[op.auth_alg]
            length = 64 if block == 128 else 32
            states = b"".join(midstate(name, _auth_key(op), pad).ljust(length, b"\0") for pad in (0x36, 0x5C))
            for m in range(0, len(states), 16):
                rows[base + 4 + m // 16] = int.from_bytes(states[m : m + 16], "big")
    return rows
