# SPDX-License-Identifier: Apache-2.0
"""Poly1305 core: RFC 8439's vectors, the edges of the modulus, then random messages, stalls and timing."""

import random
from itertools import pairwise
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305 as Reference
from nicsec.crypto.poly1305 import Poly1305
from streams import get, put, run, send

VECTORS = Path(cryptography_vectors.__file__).parent / "poly1305/rfc7539.txt"
PRIME = 2**130 - 5


def blocks(message, rng=None):
    """Requests of a message; with ``rng``, bytes behind its end are not zero."""
    for at in range(0, len(message), 16):
        part = message[at : at + 16]
        filled = part + (rng.randbytes(16 - len(part)) if rng else bytes(16 - len(part)))
        yield {"block": int.from_bytes(filled, "big"), "bytes": len(part), "last": at + 16 >= len(message)}


def authenticate(cases, rng=None):
    """Tags of (key, message) pairs."""
    dut = Poly1305()
    tags = []

    async def feed(ctx):
        for key, message in cases:
            await send(ctx, dut.r, [int.from_bytes(key, "big")], rng)
            await send(ctx, dut.i, blocks(message, rng), rng)

    async def drain(ctx):
        for _ in cases:
            if rng is not None:
                await ctx.tick().repeat(rng.randrange(1, 100))
            tags.append((await get(ctx, dut.o)).to_bytes(16, "big"))
        await ctx.tick().repeat(100)
        assert not ctx.get(dut.o.valid)

    run(dut, feed, drain)
    return tags


@pytest.fixture
def rng(request):
    seed = 20240107
    print(f"{request.node.name}: seed {seed}")
    return random.Random(seed)


def test_rfc_8439():
    """Section 2.5.2 and appendix A.3, which goes through the corners of the reduction."""
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    cases = [(key, b"Cryptographic Forum Research Group")]
    expected = [bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")]
    fields = {}
    for line in VECTORS.read_text().splitlines():
        field, _, value = line.partition(" = ")
        fields[field] = value
        if field == "TAG":
            cases.append((bytes.fromhex(fields["KEY"]), bytes.fromhex(fields["MSG"])))
            expected.append(bytes.fromhex(value))
    assert len(cases) == 12
    assert authenticate(cases) == expected


def test_edges_of_modulus(rng):
    """One-block messages whose h lies next to 0, to the modulus or to 2^130 before s is added."""
    cases = []
    r = 1 << 122
    inverse = pow(r, -1, PRIME)
    targets = [*range(8), *(PRIME - n for n in range(1, 8))]
    # A block is 2^128 plus what it holds, so most targets need two: the first is searched until the second fits.
    for target in targets:
        while True:
            first = rng.getrandbits(128)
            second = (target * inverse - (first + (1 << 128)) * r) % PRIME - (1 << 128)
            if 0 <= second < 1 << 128:
                break
        key = r.to_bytes(16, "little") + rng.randbytes(16)
        cases.append((key, first.to_bytes(16, "little") + second.to_bytes(16, "little")))
    cases += [(b"\xff" * 32, b"\xff" * 16 * n) for n in (1, 2, 9)]
    assert authenticate(cases) == [Reference.generate_tag(*case) for case in cases]


def test_random_with_gaps_and_back_pressure(rng):
    cases = [(rng.randbytes(32), rng.randbytes(rng.randrange(1, 100))) for _ in range(25)]
    assert authenticate(cases, rng) == [Reference.generate_tag(*case) for case in cases]


def test_cycles(rng):
    """14 cycles a block and 55 to the tag, whatever key and message are."""

    def spent(count):
        dut = Poly1305()
        accepted, offered = [], []

        async def feed(ctx):
            await put(ctx, dut.r, rng.getrandbits(256))
            await send(ctx, dut.i, blocks(rng.randbytes(16 * count)))

        async def watch(ctx):
            cycle = 0
            while not offered:
                _, _, taken, valid = await ctx.tick().sample(dut.i.valid & dut.i.ready, dut.o.valid)
                accepted.extend([cycle] * taken)
                offered.extend([cycle] * valid)
                cycle += 1

        run(dut, feed, watch)
        return accepted, offered[0]

    for _ in range(2):
        accepted, offered = spent(4)
        assert [after - before for before, after in pairwise(accepted)] == [14] * 3
        assert offered - accepted[-1] == 55
