# SPDX-License-Identifier: Apache-2.0
"""AuthFeed and Hmac with the hash cores: RFC vectors, every tail, ESN at every byte."""

# amaranth: UnusedElaboratable=no

import hashlib
import hmac as software
import random
from functools import cache

import pytest
from amaranth import Module
from amaranth.lib.wiring import connect
from hashes import compress, octets, responses, words
from model.test_vectors import RFC4868
from nicsec.algorithm import Auth
from nicsec.auth_feed import AuthFeed
from nicsec.config import Config
from nicsec.crypto.md5 import Md5
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha256 import Sha256
from nicsec.crypto.sha512 import Sha512
from nicsec.hmac import Hmac
from nicsec.words import Kind
from streams import collect, run, send


class Sha384(Sha512):
    """SHA-512's core, whose answer has four words more than the digest."""

    IV = Sha512.IV_384


CASES = {
    "md5": (Auth.HMAC_MD5, Md5, "md5", 3),
    "sha1": (Auth.HMAC_SHA1, Sha1, "sha1", 3),
    "sha256": (Auth.HMAC_SHA256, Sha256, "sha256", 4),
    "sha384": (Auth.HMAC_SHA384, Sha384, "sha512", 6),
    "sha512": (Auth.HMAC_SHA512, Sha512, "sha512", 8),
}
CONFIG = Config(auth=("hmac-md5-96", "hmac-sha1-96", "hmac-sha256-128", "hmac-sha384-192", "hmac-sha512-256"))


@cache
def midstates(core, name, key):
    """Chaining states behind the inner and the outer padded key (RFC 2104 section 2)."""
    block = 4 * core.BLOCK_WORDS
    if len(key) > block:
        key = hashlib.new(name, key).digest()
    key = key.ljust(block, b"\0")
    requests = [(core.IV, words(bytes(byte ^ pad for byte in key))) for pad in (0x36, 0x5C)]
    return compress(core, requests)


def pass_words(message):
    for at in range(0, len(message), 4):
        part = message[at : at + 4]
        last = at + 4 >= len(message)
        data = int.from_bytes(part.ljust(4, b"\xc3"), "big")
        yield {"data": data, "size": len(part) % 4, "kind": Kind.HEADER, "last": last}


def icvs(name, requests, rng=None):
    """ICV of each ``(key, message, seq_high or None)``."""
    auth, core_class, port, icv_words = CASES[name]
    m = Module()
    m.submodules.feed = feed = AuthFeed()
    m.submodules.hmac = hmac = Hmac(CONFIG)
    m.submodules.core = core = core_class()
    connect(m, feed.o, hmac.i)
    connect(m, getattr(hmac, f"{port}_i"), core.i)
    connect(m, core.o, getattr(hmac, f"{port}_o"))
    states = [midstates(core_class, name, key) for key, _, _ in requests]
    out = []

    async def control(ctx):
        ctx.set(hmac.auth, auth)
        ctx.set(hmac.icv_words, icv_words)
        for _, _, high in requests:
            ctx.set(feed.esn, high is not None)
            ctx.set(feed.seq_high, high or 0)
            await ctx.tick()
            ctx.set(feed.start, 1)
            ctx.set(hmac.start, 1)
            await ctx.tick()
            ctx.set(feed.start, 0)
            ctx.set(hmac.start, 0)
            await ctx.tick().until(~hmac.busy)

    async def state_server(ctx):
        for inner, outer in states:
            for state in (inner, outer):
                await ctx.tick().until(hmac.state_start)
                await send(ctx, hmac.state, state, rng)

    async def source(ctx):
        for _, message, _ in requests:
            await ctx.tick().until(hmac.busy)
            await send(ctx, feed.i, pass_words(message), rng)
            await ctx.tick().until(~hmac.busy)

    async def sink(ctx):
        for _ in requests:
            taken = await collect(ctx, hmac.o, icv_words, rng)
            assert [word.last for word in taken] == [0] * (icv_words - 1) + [1]
            out.append(octets([word.data for word in taken]))

    run(m, control, source, sink, background=[state_server], limit=600_000)
    return out


def reference(name, key, message, high):
    tail = b"" if high is None else high.to_bytes(4, "big")
    return software.digest(key, message + tail, name)[: 4 * CASES[name][3]]


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_rfc_2202_and_4231(name):
    """Every case of RFC 2202 section 3, RFC 4231 section 4 and RFC 4868 section 2.7.2, long keys among them."""
    path = {"sha1": "HMAC/rfc-2202-sha1.txt", "sha256": "HMAC/rfc-4231-sha256.txt"}[name]
    vectors = list(responses(path))
    vectors += [
        (key, message, bytes.fromhex(digest)) for suite, key, message, digest in RFC4868 if suite == f"hmac-{name}-128"
    ]
    assert len(vectors) > 5
    expected = [digest[: 4 * CASES[name][3]] for _, _, digest in vectors]
    assert icvs(name, [(key, message, None) for key, message, _ in vectors]) == expected


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("slow", [False, True])
def test_every_tail(name, slow):
    seed = 3
    print(f"seed {seed}")
    rng = random.Random(seed)
    key = rng.randbytes(20)
    requests = [
        (key, rng.randbytes(length), high)
        for length in ([8, 63, 119, 180] if slow else [8, 9, *range(46, 66), 111, 112, 127, 128])
        for high in (None, rng.randrange(2**32))
    ]
    assert icvs(name, requests, rng if slow else None) == [reference(name, *request) for request in requests]
