# SPDX-License-Identifier: Apache-2.0
"""Helpers for the benches of the hash cores: padding, requests, drivers, NIST's response files."""

from pathlib import Path

import cryptography_vectors
from streams import collect, run, send

__all__ = ["compress", "cycles", "digest", "hmac", "octets", "pad", "responses", "spaced", "wiped", "withheld", "words"]

_VECTORS = Path(cryptography_vectors.__file__).parent


def responses(path):
    """Cases of a file in the form of NIST's CAVP, below ``cryptography_vectors``: (key or None, message, digest)."""
    fields = {}
    for line in (_VECTORS / path).read_text().splitlines():
        name, separator, value = (part.strip() for part in line.partition("="))
        if separator and not name.startswith("["):
            fields[name] = value
        if name == "MD":
            key = bytes.fromhex(fields["Key"]) if "Key" in fields else None
            yield key, bytes.fromhex(fields["Msg"])[: int(fields["Len"]) // 8], bytes.fromhex(value)


def words(message):
    """Bytes as 32-bit words, first byte highest."""
    return [int.from_bytes(message[at : at + 4], "big") for at in range(0, len(message), 4)]


def octets(state):
    """The reverse of :func:`words`."""
    return b"".join(word.to_bytes(4, "big") for word in state)


def pad(core, message, before=0):
    """Words of ``message`` padded (FIPS 180-4, 5.1; RFC 1321, 3.1) after ``before`` bytes that were hashed already."""
    block = 4 * core.BLOCK_WORDS
    field = block // 8
    zeros = -(len(message) + 1 + field) % block
    length = (8 * (before + len(message))).to_bytes(field, "little" if core.LITTLE_ENDIAN else "big")
    return words(message + b"\x80" + bytes(zeros) + length)


def _payloads(request):
    state, blocks = request
    request = [*state, *blocks]
    return [{"word": word, "last": n == len(request) - 1} for n, word in enumerate(request)]


async def _answer(ctx, dut, **options):
    answer = await collect(ctx, dut.o, dut.STATE_WORDS, **options)
    assert [word.last for word in answer] == [0] * (dut.STATE_WORDS - 1) + [1]
    return tuple(word.word for word in answer)


def compress(core, requests, rng=None, hold=0, gap=0.3):
    """Send ``requests``, each (state words, block words), back to back; the states that come out.

    The first answer is not taken for ``hold`` cycles.
    """
    dut = core()
    answers = []

    async def feed(ctx):
        for request in requests:
            await send(ctx, dut.i, _payloads(request), rng, gap)

    async def drain(ctx):
        if hold:
            await ctx.tick().repeat(hold)
        for _ in requests:
            answers.append(await _answer(ctx, dut, rng=rng, gap=gap))
        # Nothing more may come.
        await ctx.tick().repeat(200)
        assert not ctx.get(dut.o.valid)

    run(dut, feed, drain)
    return answers


def digest(core, messages, iv=None, size=None, **options):
    """Digests of ``messages`` by ``core``, ``size`` bytes each."""
    states = compress(core, [(iv or core.IV, pad(core, message)) for message in messages], **options)
    return [octets(state)[:size] for state in states]


def withheld(core, first, second):
    """Answers of two requests, when the blocks of the second are sent after the first answer came.

    HMAC's outer hash is such a request: its state is known early, its block is the inner digest.
    """
    dut = core()
    answers = []

    async def testbench(ctx):
        request = _payloads(second)
        await send(ctx, dut.i, _payloads(first))
        await send(ctx, dut.i, request[: core.STATE_WORDS])
        answers.append(await _answer(ctx, dut))
        await send(ctx, dut.i, request[core.STATE_WORDS :])
        answers.append(await _answer(ctx, dut))

    run(dut, testbench)
    return answers


def spaced(core, request, gaps):
    """Answers of ``request``, sent again and again, each time as many cycles after the answer as ``gaps`` says."""
    dut = core()
    answers = []

    async def testbench(ctx):
        for gap in gaps:
            await send(ctx, dut.i, _payloads(request))
            answers.append(await _answer(ctx, dut))
            if gap:
                await ctx.tick().repeat(gap)

    run(dut, testbench)
    return answers


def wiped(core, first, second):
    """Answers of two requests, with a wipe asked for while the first is in the rounds.

    The chaining states must be zero between the two.
    """
    dut = core()
    answers = []

    async def testbench(ctx):
        await send(ctx, dut.i, _payloads(first))
        ctx.set(dut.wipe, 1)
        await ctx.tick()
        ctx.set(dut.wipe, 0)
        answers.append(await _answer(ctx, dut))
        stored = [ctx.get(dut._state.data[at]) for at in range(16)]
        assert any(stored)
        # The next request is offered at once, and must wait.
        ctx.set(dut.i.payload, _payloads(second)[0])
        ctx.set(dut.i.valid, 1)
        for _ in range(100):
            stored = [ctx.get(dut._state.data[at]) for at in range(16)]
            if not any(stored):
                break
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        assert not any(stored)
        assert not ctx.get(dut.o.payload.word)
        await send(ctx, dut.i, _payloads(second))
        answers.append(await _answer(ctx, dut))

    run(dut, testbench)
    return answers


def cycles(core, requests):
    """Cycles from the first word in to the last word out when neither side ever waits."""
    dut = core()
    spent = []

    async def feed(ctx):
        for request in requests:
            await send(ctx, dut.i, _payloads(request))

    async def drain(ctx):
        ctx.set(dut.o.ready, 1)
        left = sum(len(state) for state, _ in requests)
        spent.append(0)
        while left:
            _, _, valid = await ctx.tick().sample(dut.o.valid)
            left -= valid
            spent[0] += 1

    run(dut, feed, drain)
    return spent[0]


def hmac(core, cases, reference, iv=None):
    """HMAC (RFC 2104) of (key, message) pairs from midstates, untruncated; ``reference`` hashes long keys."""
    block, iv = 4 * core.BLOCK_WORDS, iv or core.IV
    size = len(reference(b""))
    keys = [(reference(key) if len(key) > block else key).ljust(block, b"\0") for key, _ in cases]
    inner, outer = (
        compress(core, [(iv, words(bytes(octet ^ mask for octet in key))) for key in keys]) for mask in (0x36, 0x5C)
    )
    requests = [(state, pad(core, message, block)) for state, (_, message) in zip(inner, cases, strict=True)]
    digests = [octets(state)[:size] for state in compress(core, requests)]
    requests = [(state, pad(core, message, block)) for state, message in zip(outer, digests, strict=True)]
    return [octets(state)[:size] for state in compress(core, requests)]
