# SPDX-License-Identifier: Apache-2.0
"""AuthFeed and CbcMac with AES cores: RFC vectors of XCBC and CMAC, every tail and ESN; Cipher beside them for CCM."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Module
from amaranth.lib.wiring import connect
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hashes import octets
from model.records import records
from model.test_vectors import RFC3566
from nicsec.algorithm import Encr
from nicsec.auth_feed import AuthFeed
from nicsec.cbc_mac import CbcMac
from nicsec.cipher import Cipher
from nicsec.config import Config
from nicsec.crypto.aes import Aes
from nicsec.words import Kind
from nicsec_sim.model.suites import aes_xcbc
from sa_window import mac_keys
from streams import collect, put, run, send

#: With all of it, and each half alone.
BOTH = Config(encr=("null", "aes-ccm"), auth=("aes-xcbc-96", "aes-cmac-96"))
MACS = Config(encr=("null",), auth=("aes-xcbc-96", "aes-cmac-96"))
CCM = Config(encr=("aes-ccm",), auth=())


async def set_key(ctx, port, key):
    padded = key.ljust(32, b"\0")
    for half in (padded[:16], padded[16:]):
        await put(ctx, port, {"data": int.from_bytes(half, "big"), "size": len(key) // 8 - 2})


async def strobe(ctx, *signals):
    for value in (1, 0):
        for signal in signals:
            ctx.set(signal, value)
        if value:
            await ctx.tick()


def pass_words(message, kind=Kind.HEADER, last=True):
    for at in range(0, len(message), 4):
        part = message[at : at + 4]
        # What lies behind the end must not count.
        data = int.from_bytes(part.ljust(4, b"\xc3"), "big")
        yield {"data": data, "size": len(part) % 4, "kind": kind, "last": last and at + 4 >= len(message)}


def macs(requests, *, rng=None, icv_len=16, config=MACS, cycles=None):
    """The first bytes of the MAC of each ``(name, key, message, seq_high or None)``.

    ``cycles`` is filled with the time from the first word to the last of the ICV.
    """
    m = Module()
    m.submodules.feed = feed = AuthFeed()
    m.submodules.mac = mac = CbcMac(config)
    m.submodules.aes = aes = Aes()
    connect(m, feed.o, mac.i)
    connect(m, mac.mac_i, aes.i)
    connect(m, aes.o, mac.mac_o)
    out, asked = [], []
    keys = [[int.from_bytes(row, "big") for row in mac_keys(name, key)] for name, key, _, _ in requests]

    async def source(ctx):
        ctx.set(mac.icv_words, icv_len // 4)
        ctx.set(mac.slot, 5)
        ctx.set(mac.op, 1)
        for number, (name, key, message, high) in enumerate(requests):
            await set_key(ctx, aes.key, mac_keys(name, key)[0])
            ctx.set(feed.esn, high is not None)
            ctx.set(feed.seq_high, high or 0)
            await strobe(ctx, feed.start)
            if cycles is not None:
                await ctx.tick().repeat(70)
            start = len(clock)
            await send(ctx, feed.i, pass_words(message), rng)
            while len(out) <= number:
                await ctx.tick()
            if cycles is not None:
                cycles.append(len(clock) - start)

    async def table(ctx):
        ctx.set(mac.row_req.ready, 1)
        while True:
            _, _, valid, address = await ctx.tick().sample(mac.row_req.valid, mac.row_req.payload)
            if valid:
                ctx.set(mac.row_req.ready, 0)
                assert (address.slot, address.op) == (5, 1)
                asked.append(address.row)
                await ctx.tick().repeat(rng.randrange(1, 30) if rng else 2)
                await put(ctx, mac.row_rsp, keys[len(out)][address.row - 4])
                ctx.set(mac.row_req.ready, 1)

    async def sink(ctx):
        for _ in requests:
            taken = await collect(ctx, mac.o, icv_len // 4, rng)
            assert [word.last for word in taken] == [0] * (len(taken) - 1) + [1]
            out.append(octets([word.data for word in taken]))
            # Nothing of the message stays.
            assert ctx.get(mac.mac_i.payload) == 0

    clock = []

    async def count(ctx):
        while True:
            await ctx.tick()
            clock.append(0)

    run(m, source, sink, background=[table, count], limit=2_000_000)
    assert asked == [5 if (len(message) + 4 * (high is not None)) % 16 == 0 else 6 for _, _, message, high in requests]
    return out


def reference(name, key, message, high):
    message += b"" if high is None else high.to_bytes(4, "big")
    if name == "aes-xcbc-96":
        return aes_xcbc(key, message)
    context = CMAC(AES(key))
    context.update(message)
    return context.finalize()


def test_rfc_3566():
    """Every vector of section 4.6 but the empty message, which neither ESP nor AH can have."""
    cases = [(message, bytes.fromhex(expected)) for message, expected in RFC3566 if message]
    assert len(cases) == 6
    requests = [("aes-xcbc-96", bytes(range(16)), message, None) for message, _ in cases]
    assert macs(requests) == [expected for _, expected in cases]


def test_nist_800_38b():
    """The examples of SP 800-38B for AES-128, those of RFC 4494 section 4 among them."""
    cases = [
        tuple(bytes.fromhex(record[field]) for field in ("KEY", "MESSAGE", "OUTPUT"))
        for record in records("CMAC/nist-800-38b-aes128.txt") if record["MESSAGE"]
    ]
    assert len(cases) >= 3
    assert macs([("aes-cmac-96", key, message, None) for key, message, _ in cases]) == [mac for _, _, mac in cases]


@pytest.mark.parametrize(("config", "slow"), [(MACS, False), (BOTH, True)])
def test_every_tail(config, slow):
    seed = 12
    print(f"seed {seed}")
    rng = random.Random(seed)
    requests = [
        (name, rng.randbytes(16), rng.randbytes(length), high)
        for length in ([1, 12, 16, 63, 100] if slow else [*range(1, 18), 31, 32, 33])
        for high in (None, rng.randrange(2**32))
        for name in ("aes-xcbc-96", "aes-cmac-96")
    ]
    expected = [reference(*request)[:12] for request in requests]
    assert macs(requests, rng=rng if slow else None, icv_len=12, config=config) == expected


def sealed(requests, *, rng=None, config=CCM, cycles=None):
    """``(ciphertext, ICV)`` of each ``(key, salt, iv, spi || seq, seq_high or None, plaintext, icv_len, generate)``."""
    m = Module()
    m.submodules.cipher = cipher = Cipher(config)
    m.submodules.feed = feed = AuthFeed()
    m.submodules.mac = mac = CbcMac(config)
    m.submodules.aes = aes = Aes()
    m.submodules.mac_aes = mac_aes = Aes()
    connect(m, cipher.aes_i, aes.i)
    m.d.comb += aes.chain.eq(cipher.aes_chain)
    connect(m, aes.o, cipher.aes_o)
    connect(m, feed.o, mac.i)
    connect(m, mac.mac_i, mac_aes.i)
    connect(m, mac_aes.o, mac.mac_o)
    m.d.comb += [
        mac.ccm.eq(1),
        mac.body_words.eq(cipher.body_words),
        mac.salt.eq(cipher.salt),
        mac.nonce.eq(cipher.nonce),
        mac.nonce_valid.eq(cipher.nonce_valid),
        mac.mask.eq(cipher.mask),
        mac.mask_valid.eq(cipher.mask_valid),
        feed.i.payload.eq(cipher.o.payload),
        feed.i.p.data.eq(cipher.covered),
        feed.i.valid.eq(cipher.o.valid),
        cipher.o.ready.eq(feed.i.ready),
    ]
    out, secret, clock = [], [], []

    async def source(ctx):
        ctx.set(cipher.encr, Encr.AES_CCM)
        ctx.set(cipher.tag, 1)
        ctx.set(feed.aead, 1)
        for number, (key, salt, iv, header, high, plain, icv_len, generate) in enumerate(requests):
            await set_key(ctx, aes.key, key)
            await set_key(ctx, mac_aes.key, key)
            ctx.set(mac.icv_words, icv_len // 4)
            ctx.set(cipher.salt, int.from_bytes(salt, "big") << 8)
            ctx.set(cipher.body_words, len(plain) // 4)
            ctx.set(cipher.generate, generate)
            ctx.set(cipher.iv, int.from_bytes(iv, "big"))
            ctx.set(feed.esn, high is not None)
            ctx.set(feed.seq_high, high or 0)
            await ctx.tick().repeat(70)
            await strobe(ctx, feed.start, cipher.start)
            start = len(clock)
            field = bytes(8) if generate else iv
            parts = [*pass_words(header, last=False), *pass_words(field, Kind.IV, last=False)]
            await send(ctx, cipher.i, [*parts, *pass_words(plain, Kind.BODY)], rng)
            while len(out) <= number:
                await ctx.tick()
            if cycles is not None:
                cycles.append(len(clock) - start)

    async def watch(ctx):
        while True:
            _, _, valid, ready, word = await ctx.tick().sample(cipher.o.valid, cipher.o.ready, cipher.o.payload)
            clock.append(0)
            if valid and ready and word.kind == Kind.BODY:
                secret.append(word.data)

    async def sink(ctx):
        for *_, plain, icv_len, _ in requests:
            taken = await collect(ctx, mac.o, icv_len // 4, rng)
            assert [word.last for word in taken] == [0] * (len(taken) - 1) + [1]
            out.append((octets(secret), octets([word.data for word in taken])))
            assert len(out[-1][0]) == len(plain)
            secret.clear()

    run(m, source, sink, background=[watch], limit=2_000_000)
    return out


def ccm(key, salt, iv, header, high, plain, icv_len, generate):
    aad = header if high is None else header[:4] + high.to_bytes(4, "big") + header[4:]
    text = AESCCM(key, tag_length=icv_len).encrypt(salt + iv, plain, aad)
    return text[:-icv_len], text[-icv_len:]


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_nist_ccm_ciphertexts(bits):
    """NIST's vectors with the nonce of RFC 4309 have 32 bytes of associated data, so their tags are no ESP's."""
    requests, expected = [], []
    for record in records(f"ciphers/AES/CCM/VNT{bits}.rsp"):
        if record["Nlen"] == "11":
            key, nonce, plain, secret = (bytes.fromhex(record[field]) for field in ("Key", "Nonce", "Payload", "CT"))
            requests.append((key, nonce[:3], nonce[3:], bytes(8), None, plain, 16, False))
            expected.append(secret[: len(plain)])
    assert len(requests) == 10
    assert [secret for secret, _ in sealed(requests)] == expected


@pytest.mark.parametrize(("config", "slow"), [(CCM, False), (BOTH, True)])
def test_ccm(config, slow):
    """Against `cryptography`: RFC 4309 prints no packet."""
    seed = 13
    print(f"seed {seed}")
    rng = random.Random(seed)
    requests = [
        (
            rng.randbytes(key), rng.randbytes(3), rng.randbytes(8), rng.randbytes(8),
            rng.choice([None, rng.getrandbits(32)]), rng.randbytes(4 * words), icv_len, rng.random() < 0.5,
        )
        for key in (16, 24, 32)
        for icv_len in (8, 12, 16)
        for words in ([9] if slow else [1, 4, 7])
    ]
    assert sealed(requests, rng=rng if slow else None, config=config) == [ccm(*request) for request in requests]


def test_ccm_long():
    """A length that needs the second byte of B0's count."""
    rng = random.Random(14)
    key, salt, iv, header = (rng.randbytes(size) for size in (16, 3, 8, 8))
    request = (key, salt, iv, header, 7, rng.randbytes(516), 16, True)
    assert sealed([request]) == [ccm(*request)]


def test_cycles():
    """Time follows from lengths alone."""
    rng = random.Random(15)
    length, taken = 100, []
    keys = [bytes(16), b"\xff" * 16, rng.randbytes(16)]
    messages = [bytes(length), b"\xff" * length, rng.randbytes(length)]
    pairs = list(zip(keys, messages, strict=True))
    macs([("aes-cmac-96", key, message, 0) for key, message in pairs], cycles=taken)
    print(f"{taken[0]} cycles for {length} bytes under CMAC")
    assert len(set(taken)) == 1
    taken = []
    sealed(
        [(key, text[:3], text[:8], text[:8], None, text, 16, False) for key, text in pairs], cycles=taken,
    )
    print(f"{taken[0]} cycles for {length} bytes under CCM")
    assert len(set(taken)) == 1
