# SPDX-License-Identifier: Apache-2.0
"""Checksum insertion: the packet that results is the one whose host computed the checksums itself."""

import itertools

import pytest
from model.cases import ADDRESSES, ah_op, esp_op, random_framing, rng_for
from nicsec_sim import hoststack, plain
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.checksum import internet_checksum
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.parse import walk
from nicsec_sim.model.sa import Bundle
from nicsec_sim.model.status import Status


def test_rfc1071():
    """The example of RFC 1071 section 3, and the two zeros."""
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2
    assert internet_checksum(bytes(4)) == 0xFFFF
    assert internet_checksum(b"\xff\xff\xff\xff") == 0
    assert internet_checksum(b"\x12") == 0xFFFF ^ 0x1200


def datagram(rng, version, l4, *, seed, size):
    src, dst = ADDRESSES[version][0]
    make = plain.tcp if l4 == "tcp" else plain.udp
    body = make(src, dst, 1000, 2000, rng.randbytes(size), seed=seed)
    if version == 4:
        return plain.ipv4(src, dst, 6 if l4 == "tcp" else 17, body, ident=99)
    return plain.ipv6(src, dst, 6 if l4 == "tcp" else 17, body)


def zero_ip_checksums(frame, offsets):
    result = bytearray(frame)
    for at in offsets:
        result[at + 10 : at + 12] = bytes(2)
    return bytes(result)


def shapes(rng):
    esp = esp_op(rng, "aes-gcm", icv_len=16, iv="frame")
    cbc = esp_op(rng, "aes-cbc", "hmac-sha1-96", iv="frame")
    ah = ah_op(rng, "hmac-sha256-128", iv="frame")
    transport, tunnel = Bundle("transport", (esp, ah)), Bundle("tunnel", (cbc, ah))
    yield None, None
    yield transport, None
    yield tunnel, None
    yield Bundle("tunnel", (ah,)), None
    yield transport, tunnel
    yield tunnel, Bundle("tunnel", (esp,))


@pytest.mark.parametrize(("version", "l4", "size"), list(itertools.product((4, 6), ("tcp", "udp"), (0, 1, 2, 31, 200))))
def test_offloaded_checksums_equal_the_hosts(version, l4, size):
    rng = rng_for(f"{version} {l4} {size}")
    for sa1, sa2 in shapes(rng):
        seed = rng.getrandbits(64)
        frames = []
        for offloaded in (False, True):
            rng.seed(seed)
            packet = datagram(rng, version, l4, seed=offloaded, size=size)
            framing = random_framing(rng, sa1) if sa1 else Framing()
            outer = random_framing(rng, sa2) if sa2 else Framing()
            frames.append(hoststack.frame(packet, sa1, sa2, framing1=framing, framing2=outer))
        found = walk(frames[0], [sa for sa in (sa2, sa1) if sa])
        at, field = found.at, 16 if l4 == "tcp" else 6
        offsets = [level.ip.at for level in found.levels if level.ip.version == 4]
        if found.version:
            offsets += [at] if version == 4 else []
            at += 20 if version == 4 else 40
        engine = Engine()
        results = []
        for frame, descriptor in (
            (frames[0], {}),
            (zero_ip_checksums(frames[1], offsets),
             {"csum_ip": True, "csum_l4": True, "csum_start": at, "csum_offset": field, "csum_udp": l4 == "udp"}),
        ):
            sas = [sa and engine.add_sa(sa) for sa in (sa1, sa2)]
            results.append(engine.process(frame, *sas, **descriptor))
        assert results[1].status is Status.SUCCESS
        assert results[0].frame == results[1].frame


def test_udp_zero_is_sent_as_ones():
    """A checksum that comes out 0 is 0xFFFF in UDP (RFC 768) and stays 0 in TCP."""
    src, dst = ADDRESSES[4][0]
    body = plain.udp(src, dst, 1, 2, bytes(2), seed=True)
    rest = internet_checksum(body)
    body = body[:-2] + rest.to_bytes(2, "big")
    frame = hoststack.ethernet(plain.ipv4(src, dst, 17, body))
    for csum_udp, expected in ((True, "ffff"), (False, "0000")):
        wire = Engine().process(frame, csum_l4=True, csum_start=34, csum_offset=6, csum_udp=csum_udp).frame
        assert wire[40:42].hex() == expected


def test_only_what_is_asked():
    frame = bytearray(hoststack.ethernet(datagram(rng_for(1), 4, "udp", seed=True, size=20)))
    frame[24:26] = b"\xaa\xaa"
    wire = Engine().process(bytes(frame), csum_ip=True).frame
    assert wire[24:26] != b"\xaa\xaa"
    assert wire[:24] + wire[26:] == bytes(frame[:24] + frame[26:])
    wire = Engine().process(bytes(frame), csum_l4=True, csum_start=34, csum_offset=6, csum_udp=True).frame
    assert wire[40:42] != bytes(frame[40:42])
    assert wire[:40] + wire[42:] == bytes(frame[:40] + frame[42:])


def ip_in(frame, at, value):
    result = bytearray(frame)
    result[at : at + len(value)] = value
    return bytes(result)


def test_refusals():
    rng = rng_for(2)
    frame = hoststack.ethernet(datagram(rng, 4, "udp", seed=True, size=20))
    l4 = {"csum_l4": True, "csum_start": 34, "csum_offset": 6}
    end = len(frame)
    for changed, request, expected in (
        (frame, l4, Status.SUCCESS),
        (frame + bytes(9), l4, Status.SUCCESS),
        (frame, {**l4, "lso": True}, Status.UNSUPPORTED),
        (frame, {**l4, "csum_start": 36}, Status.UNALIGNED),
        (frame, {**l4, "csum_start": 35}, Status.UNALIGNED),
        (frame, {**l4, "csum_offset": 5}, Status.UNALIGNED),
        (frame, {**l4, "csum_start": 30}, Status.MALFORMED),
        (frame, {**l4, "csum_offset": end - 34 - 2}, Status.SUCCESS),
        (frame, {**l4, "csum_offset": end - 34}, Status.MALFORMED),
        (frame + bytes(9), {**l4, "csum_offset": end - 34}, Status.MALFORMED),
        (frame, {**l4, "csum_start": 65534, "csum_offset": 65534}, Status.MALFORMED),
        (ip_in(frame, 20, b"\x20"), l4, Status.FRAGMENT),
        (ip_in(frame, 20, b"\x20"), {"csum_ip": True}, Status.SUCCESS),
        (ip_in(frame, 14, b"\x65"), {"csum_ip": True}, Status.INVALID_PROTOCOL),
        (ip_in(frame, 14, b"\x44"), {"csum_ip": True}, Status.MALFORMED),
        (ip_in(frame, 16, b"\xff"), {"csum_ip": True}, Status.MALFORMED),
        (ip_in(frame, 12, b"\x08\x06"), {"csum_ip": True}, Status.INVALID_PROTOCOL),
        (ip_in(frame, 12, b"\x08\x06"), {}, Status.SUCCESS),
    ):
        assert Engine().process(changed, **request).status is expected, request


def test_dummy_packets_have_no_l4():
    rng = rng_for(3)
    bundle = Bundle("tunnel", (esp_op(rng, "aes-gcm", icv_len=16),))
    framing = Framing(tunnel=Tunnel(src="10.0.0.1", dst="10.0.0.2"), next_header=59)
    frame = hoststack.frame(datagram(rng, 4, "udp", seed=True, size=20), bundle, framing1=framing)
    engine = Engine()
    request = {"csum_start": 50, "csum_offset": 6}
    assert engine.process(frame, engine.add_sa(bundle), csum_l4=True, **request).status is Status.INVALID_PROTOCOL
    assert engine.process(frame, engine.add_sa(bundle), csum_ip=True, **request).status is Status.SUCCESS


def test_not_built_in():
    frame = hoststack.ethernet(datagram(rng_for(4), 4, "udp", seed=True, size=20))
    for feature, request in (("csum_ip", {"csum_ip": True}), ("csum_l4", {"csum_l4": True, "csum_start": 34})):
        assert Engine(unsupported=[feature]).process(frame, **request).status is Status.UNSUPPORTED
