# SPDX-License-Identifier: Apache-2.0
"""The core of SHA-1 and SHA-256: vectors of NIST, RFC 2202 and RFC 4231, then the two by turns against hashlib."""

import hashlib
import random

import pytest
from hashes import compress, cycles, digest, hmac, octets, pad, responses, spaced, wiped, withheld, words
from nicsec.crypto.sha1 import Sha1
from nicsec.crypto.sha1_sha256 import Sha1Sha256
from nicsec.crypto.sha256 import Sha256
from streams import collect, run, send


class AsSha1(Sha1Sha256):
    """The core with ``sha1`` high for good."""

    IV, STATE_WORDS = Sha1.IV, Sha1.STATE_WORDS
    vectors, hmac_vectors, block_cycles = "hashes/SHA1/SHA1", "HMAC/rfc-2202-sha1.txt", 85
    reference = staticmethod(lambda message: hashlib.sha1(message).digest())

    def __init__(self):
        super().__init__()
        self.sha1 = type(self.sha1)(1, init=1)


class AsSha256(Sha1Sha256):
    """The core with ``sha1`` low for good."""

    IV = Sha256.IV
    vectors, hmac_vectors, block_cycles = "hashes/SHA2/SHA256", "HMAC/rfc-4231-sha256.txt", 72
    reference = staticmethod(lambda message: hashlib.sha256(message).digest())


pytestmark = pytest.mark.parametrize("core", [AsSha1, AsSha256])


@pytest.fixture
def rng(request):
    seed = 20261125
    print(f"{request.node.name}: seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize(("name", "step"), [("Short", 1), ("Long", 22)])
def test_nist(core, name, step):
    cases = [case[1:] for case in responses(f"{core.vectors}{name}Msg.rsp")][::step]
    assert len(cases) >= 3
    assert digest(core, [message for message, _ in cases]) == [expected for _, expected in cases]


def test_hmac_rfc(core):
    cases = list(responses(core.hmac_vectors))
    assert len(cases) >= 6
    assert hmac(core, [case[:2] for case in cases], core.reference) == [expected for *_, expected in cases]


def test_random_with_gaps_and_back_pressure(core, rng):
    messages = [rng.randbytes(rng.randrange(300)) for _ in range(20)]
    assert digest(core, messages, rng=rng) == [core.reference(message) for message in messages]


def test_chaining_state(core, rng):
    messages = [rng.randbytes(rng.randrange(192, 320)) for _ in range(8)]
    heads = compress(core, [(core.IV, words(message[:64])) for message in messages], rng=rng)
    heads = compress(core, [(head, words(message[64:192])) for head, message in zip(heads, messages, strict=True)])
    states = compress(core, [(h, pad(core, m[192:], 192)) for h, m in zip(heads, messages, strict=True)], rng=rng)
    assert [octets(state) for state in states] == [core.reference(message) for message in messages]


def test_answers_not_taken(core, rng):
    messages = [rng.randbytes(70) for _ in range(5)]
    assert digest(core, messages, hold=1500) == [core.reference(message) for message in messages]


def test_blocks_withheld_until_answer(core, rng):
    first, second = rng.randbytes(20), rng.randbytes(70)
    states = withheld(core, (core.IV, pad(core, first)), (core.IV, pad(core, second)))
    assert [octets(state) for state in states] == [core.reference(first), core.reference(second)]


def test_start_after_any_pause(core, rng):
    message = rng.randbytes(40)
    states = spaced(core, (core.IV, pad(core, message)), range(66))
    assert {octets(state) for state in states} == {core.reference(message)}


def test_wipe(core, rng):
    first, second = rng.randbytes(70), rng.randbytes(70)
    states = wiped(core, (core.IV, pad(core, first)), (core.IV, pad(core, second)))
    assert [octets(state) for state in states] == [core.reference(first), core.reference(second)]


def test_cycles(core, rng):
    """Those of the cores of one hash."""
    size = core.STATE_WORDS

    def spent(*blocks):
        return cycles(core, [(words(rng.randbytes(4 * size)), words(rng.randbytes(64 * count))) for count in blocks])

    assert spent(3) == spent(1) + 2 * core.block_cycles
    assert spent(1, 1, 1) == spent(1) + 2 * (core.block_cycles + size)


def test_other_hash_next(core, rng):
    """Requests of both in any order, at any distance, with and without a wipe between them."""
    other = AsSha256 if core is AsSha1 else AsSha1
    dut = Sha1Sha256()
    answers, expected = [], []

    async def testbench(ctx):
        for n in range(60):
            one = core if n == 0 else rng.choice([core, other])
            message = rng.randbytes(rng.randrange(150))
            ctx.set(dut.sha1, one is AsSha1)
            request = [*one.IV, *pad(one, message)]
            await ctx.tick().repeat(1)
            await send(ctx, dut.i, [{"word": word, "last": at == len(request) - 1} for at, word in enumerate(request)])
            answers.append(octets(word.word for word in await collect(ctx, dut.o, one.STATE_WORDS)))
            expected.append(one.reference(message))
            if rng.random() < 0.5:
                ctx.set(dut.wipe, 1)
                await ctx.tick()
                ctx.set(dut.wipe, 0)
            if gap := rng.choice([0, 0, 1, rng.randrange(80)]):
                await ctx.tick().repeat(gap)

    run(dut, testbench)
    assert answers == expected
