# SPDX-License-Identifier: Apache-2.0
"""MD5 core: vectors of RFC 1321 and RFC 2202, then chaining, stalls and timing against hashlib."""

import hashlib
import random

import pytest
from hashes import compress, cycles, digest, hmac, octets, pad, responses, spaced, wiped, withheld, words
from nicsec.crypto.md5 import Md5


def reference(message):
    return hashlib.md5(message).digest()


@pytest.fixture
def rng(request):
    seed = 20240104
    print(f"{request.node.name}: seed {seed}")
    return random.Random(seed)


def test_rfc_1321():
    cases = [case[1:] for case in responses("hashes/MD5/rfc-1321.txt")]
    assert len(cases) == 7
    assert digest(Md5, [message for message, _ in cases]) == [expected for _, expected in cases]


def test_hmac_rfc_2202():
    cases = list(responses("HMAC/rfc-2202-md5.txt"))
    assert len(cases) == 7
    assert hmac(Md5, [case[:2] for case in cases], reference) == [expected for *_, expected in cases]


def test_random_with_gaps_and_back_pressure(rng):
    messages = [rng.randbytes(rng.randrange(300)) for _ in range(20)]
    assert digest(Md5, messages, rng=rng) == [reference(message) for message in messages]


def test_chaining_state(rng):
    messages = [rng.randbytes(rng.randrange(192, 320)) for _ in range(8)]
    heads = compress(Md5, [(Md5.IV, words(message[:64])) for message in messages], rng=rng)
    heads = compress(Md5, [(head, words(message[64:192])) for head, message in zip(heads, messages, strict=True)])
    states = compress(Md5, [(h, pad(Md5, m[192:], 192)) for h, m in zip(heads, messages, strict=True)], rng=rng)
    assert [octets(state) for state in states] == [reference(message) for message in messages]


def test_answers_not_taken(rng):
    messages = [rng.randbytes(70) for _ in range(5)]
    assert digest(Md5, messages, hold=1500) == [reference(message) for message in messages]


def test_blocks_withheld_until_answer(rng):
    first, second = rng.randbytes(20), rng.randbytes(70)
    states = withheld(Md5, (Md5.IV, pad(Md5, first)), (Md5.IV, pad(Md5, second)))
    assert [octets(state) for state in states] == [reference(first), reference(second)]


def test_start_after_any_pause(rng):
    message = rng.randbytes(40)
    states = spaced(Md5, (Md5.IV, pad(Md5, message)), range(66))
    assert {octets(state) for state in states} == {reference(message)}


def test_wipe(rng):
    first, second = rng.randbytes(70), rng.randbytes(70)
    states = wiped(Md5, (Md5.IV, pad(Md5, first)), (Md5.IV, pad(Md5, second)))
    assert [octets(state) for state in states] == [reference(first), reference(second)]


def test_cycles(rng):
    """Time depends on the number of blocks only; a request behind another costs two cycles per state word."""

    def spent(*blocks):
        return cycles(Md5, [(words(rng.randbytes(16)), words(rng.randbytes(64 * count))) for count in blocks])

    assert {spent(1) for _ in range(3)} == {162}
    assert spent(3) == spent(1) + 2 * 136
    assert spent(1, 1, 1) == spent(1) + 2 * (136 + 8)
