# SPDX-License-Identifier: Apache-2.0
"""Cipher and AeadTag with the AES and GHASH cores, on NIST's CBC and GCM vectors.

`make test` takes a part of them; `make vectors`, or NICSEC_VECTORS=all, takes every one that has a shape which ESP has.
"""

# amaranth: UnusedElaboratable=no

import os
import random

import pytest
from amaranth import Module
from amaranth.lib.wiring import connect
from model.records import records
from nicsec.aead_tag import AeadTag
from nicsec.algorithm import Encr
from nicsec.cipher import Cipher
from nicsec.config import Config
from nicsec.crypto.aes import Aes
from nicsec.crypto.ghash import Ghash
from nicsec.words import Kind
from streams import collect, put, run, send

ALL = os.environ.get("NICSEC_VECTORS") == "all"
CONFIG = Config(encr=("aes-cbc", "aes-gcm"), auth=("hmac-sha1-96",))


def words(message, **fields):
    for at in range(0, len(message), 4):
        part = message[at : at + 4]
        last = at + 4 >= len(message)
        yield {"data": int.from_bytes(part.ljust(4, b"\0"), "big"), "size": len(part) % 4, "last": last, **fields}


def octets(taken, length):
    return b"".join(word.data.to_bytes(4, "big") for word in taken)[:length]


def bench(config=CONFIG):
    m = Module()
    m.submodules.cipher = cipher = Cipher(config)
    m.submodules.tag = tag = AeadTag(config)
    m.submodules.aes = aes = Aes()
    m.submodules.ghash = ghash = Ghash()
    connect(m, cipher.aes_i, aes.i)
    m.d.comb += aes.chain.eq(cipher.aes_chain)
    connect(m, aes.o, cipher.aes_o)
    connect(m, tag.ghash_i, ghash.i)
    connect(m, ghash.o, tag.ghash_o)
    m.d.comb += [tag.mask.eq(cipher.mask), tag.mask_valid.eq(cipher.mask_valid)]
    return m, cipher, tag, aes, ghash


async def set_key(ctx, aes, key):
    padded = key.ljust(32, b"\0")
    for half in (padded[:16], padded[16:]):
        await put(ctx, aes.key, {"data": int.from_bytes(half, "big"), "size": len(key) // 8 - 2})


async def begin(ctx, unit, **members):
    for name, value in members.items():
        ctx.set(getattr(unit, name), value)
    await ctx.tick()
    await ctx.tick()
    ctx.set(unit.start, 1)
    await ctx.tick()
    ctx.set(unit.start, 0)


def cbc(cases, rng=None):
    """Ciphertexts of ``(key, iv, plaintext)``."""
    m, cipher, _, aes, _ = bench()
    out = []

    async def source(ctx):
        for number, (key, iv, plain) in enumerate(cases):
            await set_key(ctx, aes, key)
            await begin(ctx, cipher, encr=Encr.AES_CBC)
            stream = [*words(iv, kind=Kind.IV), *words(plain, kind=Kind.BODY)]
            stream = [{**word, "last": n + 1 == len(stream)} for n, word in enumerate(stream)]
            await send(ctx, cipher.i, stream, rng)
            while len(out) <= number:
                await ctx.tick()

    async def sink(ctx):
        for _, iv, plain in cases:
            taken = await collect(ctx, cipher.o, (len(iv) + len(plain)) // 4, rng)
            assert [word.last for word in taken] == [0] * (len(taken) - 1) + [1]
            assert octets(taken[:4], 16) == iv
            out.append(octets(taken[4:], len(plain)))

    run(m, source, sink, limit=400_000)
    return out


def gcm(cases):
    """Ciphertexts and tags of ``(key, nonce, plaintext, associated data, tag length)``."""
    m, cipher, tag, aes, ghash = bench()
    out = []

    async def driver(ctx):
        from cryptography.hazmat.primitives.ciphers import Cipher as Software
        from cryptography.hazmat.primitives.ciphers import algorithms, modes

        for key, nonce, plain, aad, tag_len in cases:
            await set_key(ctx, aes, key)
            h = Software(algorithms.AES(key), modes.ECB()).encryptor().update(bytes(16))
            await put(ctx, ghash.h, int.from_bytes(h, "big"))
            ctx.set(tag.icv_words, tag_len // 4)
            await begin(ctx, tag)
            await begin(
                ctx, cipher, encr=Encr.AES_GCM if plain else Encr.AES_GMAC, tag=1,
                salt=int.from_bytes(nonce[:4], "big"), body_words=-(-len(plain) // 4),
            )
            secret = b""
            for word in [*words(nonce[4:], kind=Kind.IV), *words(plain, kind=Kind.BODY)]:
                await put(ctx, cipher.i, {**word, "last": word["last"] and word["kind"] == Kind.BODY})
                (taken,) = await collect(ctx, cipher.o, 1)
                if word["kind"] == Kind.BODY:
                    secret += taken.data.to_bytes(4, "big")
            secret = secret[: len(plain)]
            for part, pad in ((aad, bool(plain)), (secret, False)):
                for word in words(part):
                    await put(ctx, tag.i, {**word, "pad": pad and word["last"], "last": word["last"] and not pad})
            taken = await collect(ctx, tag.o, tag_len // 4)
            assert [word.last for word in taken] == [0] * (len(taken) - 1) + [1]
            out.append((secret, octets(taken, tag_len)))

    run(m, driver, limit=4_000_000)
    return out


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_nist_cbc(bits):
    cases, expected = [], []
    for name in ("CBCGFSbox", "CBCKeySbox", "CBCMMT", *(("CBCVarKey", "CBCVarTxt") if ALL else ())):
        for record in records(f"ciphers/AES/CBC/{name}{bits}.rsp"):
            if "PLAINTEXT" in record and "DECRYPT" not in record:
                cases.append(tuple(bytes.fromhex(record[field]) for field in ("KEY", "IV", "PLAINTEXT")))
                expected.append(bytes.fromhex(record["CIPHERTEXT"]))
    assert len(cases) > 20
    assert cbc(cases) == expected


def test_cbc_with_gaps():
    from cryptography.hazmat.primitives.ciphers import Cipher as Software
    from cryptography.hazmat.primitives.ciphers import algorithms, modes

    rng = random.Random(9)
    cases = [(rng.randbytes(16), rng.randbytes(16), rng.randbytes(16 * blocks)) for blocks in (1, 2, 5)]
    expected = [Software(algorithms.AES(k), modes.CBC(iv)).encryptor().update(plain) for k, iv, plain in cases]
    assert cbc(cases, rng) == expected


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_nist_gcm(bits):
    """The vectors with a 96-bit IV, a tag that ESP knows and associated data, which ESP always has."""
    cases, expected = [], []
    for record in records(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp"):
        tag_len = int(record["Taglen"]) // 8
        if record["IVlen"] != "96" or tag_len not in (8, 12, 16) or not record["AAD"]:
            continue
        key, iv, plain, aad, secret, tag = (
            bytes.fromhex(record[name]) for name in ("Key", "IV", "PT", "AAD", "CT", "Tag")
        )
        cases.append((key, iv, plain, aad, tag_len))
        expected.append((secret, tag))
    stride = 1 if ALL else 16
    cases, expected = cases[::stride], expected[::stride]
    assert len(cases) > 20
    assert gcm(cases) == expected
