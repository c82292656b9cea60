# SPDX-License-Identifier: Apache-2.0
"""SHA-512 core, SHA-384 by its initial value: vectors of NIST and RFC 4231, chaining, stalls and timing."""

import hashlib
import random

import pytest
from hashes import compress, cycles, digest, hmac, octets, pad, responses, wiped, withheld, words
from nicsec.crypto.sha512 import Sha512

VARIANTS = {"384": (Sha512.IV_384, 48), "512": (Sha512.IV, 64)}


def reference(message, variant="512"):
    return hashlib.new(f"sha{variant}", message).digest()


@pytest.fixture
def rng(request):
    seed = 20240103
    print(f"{request.node.name}: seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("name", "part"), [("Short", slice(0, None, 3)), ("Long", slice(0, 15, 7))])
def test_nist(variant, name, part):
    iv, size = VARIANTS[variant]
    cases = [case[1:] for case in responses(f"hashes/SHA2/SHA{variant}{name}Msg.rsp")][part]
    assert len(cases) >= 3
    assert digest(Sha512, [message for message, _ in cases], iv, size) == [expected for _, expected in cases]


@pytest.mark.parametrize("variant", VARIANTS)
def test_hmac_rfc_4231(variant):
    cases = list(responses(f"HMAC/rfc-4231-sha{variant}.txt"))
    assert len(cases) >= 6
    digests = hmac(Sha512, [case[:2] for case in cases], lambda key: reference(key, variant), VARIANTS[variant][0])
    assert digests == [expected for *_, expected in cases]


def test_random_with_gaps_and_back_pressure(rng):
    messages = [rng.randbytes(rng.randrange(400)) for _ in range(12)]
    assert digest(Sha512, messages, rng=rng) == [reference(message) for message in messages]


def test_chaining_state(rng):
    messages = [rng.randbytes(rng.randrange(384, 640)) for _ in range(5)]
    heads = compress(Sha512, [(Sha512.IV, words(message[:128])) for message in messages], rng=rng)
    heads = compress(Sha512, [(head, words(message[128:384])) for head, message in zip(heads, messages, strict=True)])
    states = compress(Sha512, [(h, pad(Sha512, m[384:], 384)) for h, m in zip(heads, messages, strict=True)], rng=rng)
    assert [octets(state) for state in states] == [reference(message) for message in messages]


def test_answers_not_taken(rng):
    messages = [rng.randbytes(130) for _ in range(5)]
    assert digest(Sha512, messages, hold=1500) == [reference(message) for message in messages]


def test_blocks_withheld_until_answer(rng):
    first, second = rng.randbytes(20), rng.randbytes(130)
    states = withheld(Sha512, (Sha512.IV, pad(Sha512, first)), (Sha512.IV, pad(Sha512, second)))
    assert [octets(state) for state in states] == [reference(first), reference(second)]


def test_wipe(rng):
    first, second = rng.randbytes(130), rng.randbytes(130)
    states = wiped(Sha512, (Sha512.IV, pad(Sha512, first)), (Sha512.IV, pad(Sha512, second)))
    assert [octets(state) for state in states] == [reference(first), reference(second)]


def test_cycles(rng):
    """Time depends on the number of blocks only; a request behind another costs one cycle per 64-bit state word."""

    def spent(*blocks):
        return cycles(Sha512, [(words(rng.randbytes(64)), words(rng.randbytes(128 * count))) for count in blocks])

    assert {spent(1) for _ in range(3)} == {152}
    assert spent(3) == spent(1) + 2 * 104
    assert spent(1, 1, 1) == spent(1) + 2 * (104 + 8)
