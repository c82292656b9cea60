# SPDX-License-Identifier: Apache-2.0
"""AH masking with scan and routed reader, against the model: options, extension headers, source routes."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Module
from amaranth.lib import memory
from amaranth.lib.wiring import connect
from nicsec.config import Config
from nicsec.mutable import Mutable
from nicsec.reader import Reader
from nicsec_sim.model.mutable import masked_headers
from nicsec_sim.model.parse import Extension, IPHeader, Refused
from nicsec_sim.model.status import Status
from streams import get, run

CONFIG = Config()


def ipv4(rng, options):
    options += bytes(-len(options) % 4)
    header = bytearray(rng.randbytes(20)) + options
    header[0] = 0x40 | len(header) // 4
    return bytes(header), IPHeader(4, 0, len(header), 51, len(header))


def ipv6(rng, headers):
    """``headers``: (protocol, bytes behind the two first, a multiple of eight with them)."""
    packet = bytearray(rng.randbytes(40))
    packet[0] = 0x60 | packet[0] & 15
    packet[6] = headers[0][0]
    extensions = []
    for n, (protocol, body) in enumerate(headers):
        following = headers[n + 1][0] if n + 1 < len(headers) else 51
        extensions.append(Extension(protocol, len(packet), 2 + len(body)))
        packet += bytes([following, (2 + len(body)) // 8 - 1]) + body
    return bytes(packet), IPHeader(6, 0, len(packet), 51, len(packet), extensions=extensions)


def ipv4_options(rng):
    route = bytes([rng.choice((0x83, 0x89)), 11, rng.choice((4, 8, 12))]) + rng.randbytes(8)
    fixed = bytes([rng.choice((0x82, 0x85, 0x86, 0x94, 0x95)), 5]) + rng.randbytes(3)
    other = bytes([rng.choice((0x07, 0x44, 0x52, 0x99)), 6]) + rng.randbytes(4)
    parts = [b"\x01", route, fixed, other]
    rng.shuffle(parts)
    return b"".join(parts)[:40]


def tlvs(rng):
    body = b""
    for _ in range(rng.randrange(1, 4)):
        size = rng.randrange(0, 9)
        body += bytes([rng.choice((1, 5, 0x26, 0x3E, 0xC9, 0x05 | 0x20)), size]) + rng.randbytes(size)
        body += bytes(rng.randrange(2))
    return body + bytes(-(len(body) + 2) % 8)


def routing(rng, kind=0):
    count = rng.randrange(0, 4)
    return bytes([kind, rng.randrange(count + 1)]) + rng.randbytes(4 + 16 * count)


def good(rng):
    yield ipv4(rng, b"")
    yield ipv6(rng, [(60, tlvs(rng))])
    for _ in range(12):
        yield ipv4(rng, ipv4_options(rng))
        yield ipv6(rng, [(0, tlvs(rng)), (43, routing(rng)), (60, tlvs(rng))])
        yield ipv6(rng, [(43, routing(rng))])


def routed_twice(rng):
    """Segments left in neither, either or both of two routing headers; broken at random as well."""
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1)):
        for kind in (0, 4):
            bodies = [bytes([kind * n, left]) + rng.randbytes(20) for n, left in enumerate((first, second))]
            yield ipv6(rng, [(43, bodies[0]), (60, tlvs(rng)), (43, bodies[1])])


def damaged(rng):
    for _ in range(40):
        packet, header = rng.choice(list(good(rng)))
        raw = bytearray(packet)
        first = 20 if header.version == 4 else 40
        if len(raw) == first:
            continue
        at = rng.randrange(first, len(raw))
        # What the walker has checked stays as it is.
        if any(at in (extension.at, extension.at + 1) for extension in header.extensions):
            continue
        raw[at] = rng.choice((0, 1, 2, 7, 0x83, 255, rng.randrange(256)))
        yield bytes(raw), header


@pytest.mark.parametrize("make", [good, damaged, routed_twice])
@pytest.mark.parametrize("seed", [5, 6])
def test_headers_match_the_model(make, seed):
    print(f"seed {seed}")
    cases = list(make(random.Random(seed)))
    m = Module()
    m.submodules.reader = reader = Reader(CONFIG)
    m.submodules.mutable = mutable = Mutable(CONFIG)
    m.submodules.memory = store = memory.Memory(shape=32, depth=512, init=[])
    port = store.read_port()
    connect(m, reader.o, mutable.i)
    with m.If(reader.en):
        m.d.sync += reader.word.eq(port.data)
    m.d.comb += [port.en.eq(reader.en), port.addr.eq(reader.addr)]

    async def strobe(ctx, **values):
        for name, value in values.items():
            ctx.set(getattr(mutable, name), value)
        ctx.set(reader.start, 1)
        ctx.set(mutable.start, 1)
        await ctx.tick()
        ctx.set(reader.start, 0)
        ctx.set(mutable.start, 0)

    async def testbench(ctx):
        statuses = set()
        ctx.set(mutable.enable, 1)
        for packet, header in cases:
            base, tail = 7, bytes(range(0x51, 0x51 + 32))  # AH of 8 words: 3, then 3 of ICV, then 2 of anything
            stored = packet + tail
            for n in range(0, len(stored), 4):
                ctx.set(store.data[base + n // 4], int.from_bytes(stored[n : n + 4], "big"))
            words = len(packet) // 4
            ctx.set(mutable.ipv6, header.version == 6)
            ctx.set(mutable.header_words, words)
            ctx.set(mutable.icv_start, words + 3)
            ctx.set(mutable.icv_words, 3)
            ctx.set(reader.first, base)
            ctx.set(reader.route.active, 0)
            if len(packet) > (20 if header.version == 4 else 40):
                ctx.set(reader.end, 4 * (base + words))
                await strobe(ctx, scan=1)
                await ctx.tick().until(mutable.scanned)
                await ctx.tick()
                status = Status(ctx.get(mutable.status).value)
                route = ctx.get(mutable.route)
                ctx.set(reader.route.active, route.active)
                ctx.set(reader.route.first, route.first)
                ctx.set(reader.route.end, route.end)
            else:
                status = Status.SUCCESS
            statuses.add(status)
            try:
                expected = masked_headers(packet, header) + tail[:12] + bytes(12) + tail[24:]
                expected_status = Status.SUCCESS
            except Refused as refusal:
                expected_status = refusal.status
            assert status == expected_status, packet.hex()
            if status != Status.SUCCESS:
                continue
            ctx.set(reader.end, 4 * (base + words + 8))
            await strobe(ctx, scan=0)
            out = b""
            while True:
                word = await get(ctx, mutable.o)
                out += word.data.to_bytes(4, "big")
                if word.last:
                    break
            assert out.hex() == expected.hex(), packet.hex()
        if make is damaged:
            assert len(statuses) > 1
        if make is routed_twice:
            assert statuses == {Status.SUCCESS, Status.UNSUPPORTED, Status.MALFORMED}

    run(m, testbench, limit=200_000)
