# SPDX-License-Identifier: Apache-2.0
"""AES against FIPS 197, NIST's known answers and ``cryptography``; its cycles against its docstring."""

import random
from functools import cache
from itertools import groupby
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from nicsec.crypto.aes import Aes
from streams import collect, put, run, send

_ECB = Path(cryptography_vectors.__file__).parent / "ciphers/AES/ECB"
_ROUNDS = {16: 10, 24: 12, 32: 14}
_SIZES = pytest.mark.parametrize("size", [16, 24, 32])
_KINDS = pytest.mark.parametrize("sbox", ["bram", "logic"])


def beats(key):
    """The two beats of ``key``."""
    return [
        {"data": int.from_bytes(key.ljust(32, b"\0")[at : at + 16], "big"), "size": len(key) // 8 - 2} for at in (0, 16)
    ]


def split(text):
    """The blocks of ``text``, as integers."""
    return [int.from_bytes(text[at : at + 16], "big") for at in range(0, len(text), 16)]


def encrypt(key, text):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(text)


@cache
def vectors(name):
    """``(key, plaintext, ciphertext)`` of one of NIST's files, encryption and decryption sections."""
    found = []
    fields = {}
    for line in [*(_ECB / name).read_text().splitlines(), ""]:
        if " = " in line and not line.startswith("#"):
            field, value = line.split(" = ")
            fields[field] = value
        elif {"KEY", "PLAINTEXT", "CIPHERTEXT"} <= fields.keys():
            found.append(tuple(bytes.fromhex(fields[field]) for field in ("KEY", "PLAINTEXT", "CIPHERTEXT")))
            fields = {}
    return found


def run_aes(dut, batches, rng=None):
    """Ciphertexts of ``batches``, each a key and a text, as one byte string per batch."""
    results = []

    async def feed(ctx):
        for key, text in batches:
            await send(ctx, dut.key, beats(key), rng)
            await send(ctx, dut.i, split(text), rng)

    async def drain(ctx):
        for _, text in batches:
            blocks = await collect(ctx, dut.o, len(text) // 16, rng)
            results.append(b"".join(block.to_bytes(16, "big") for block in blocks))

    run(dut, feed, drain)
    return results


@_KINDS
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_fips197_appendix_c(sbox, size, expected):
    text = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert run_aes(Aes(sbox=sbox), [(bytes(range(size)), text)])[0].hex() == expected


@_SIZES
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "MMT", "VarTxt", "VarKey"])
def test_nist(kind, size):
    cases = sorted(set(vectors(f"ECB{kind}{8 * size}.rsp")))
    grouped = [(key, list(group)) for key, group in groupby(cases, key=lambda case: case[0])]
    batches = [(key, b"".join(text for _, text, _ in group)) for key, group in grouped]
    expected = [b"".join(cipher for *_, cipher in group) for _, group in grouped]
    assert run_aes(Aes(), batches) == expected
