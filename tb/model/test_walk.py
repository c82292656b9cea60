# SPDX-License-Identifier: Apache-2.0
"""Every refusal of docs/design.md section 4, and that of two faults the one that the walk meets first decides."""

import itertools

import pytest
from model.cases import ADDRESSES, ah_op, esp_op, packet, rng_for
from model.faults import faults, faulty
from nicsec_sim import hoststack, plain
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.engine import Engine, SecurityAssociation
from nicsec_sim.model.sa import Bundle
from nicsec_sim.model.status import Status

SHAPES = list(itertools.product((4, 6), (4, 6), (False, True), (False, True)))


def run(frame, sa1, sa2=None, engine=None, **descriptor):
    engine = engine or Engine()
    result = engine.process(frame, sa1 and SecurityAssociation(sa1), sa2 and SecurityAssociation(sa2), **descriptor)
    assert (result.frame is None) == (result.status is not Status.SUCCESS)
    return result.status


@pytest.mark.parametrize(("inner", "outer", "nested", "udp_encap"), SHAPES)
def test_each_fault_has_its_status(inner, outer, nested, udp_encap):
    whole = faulty(rng_for(1), inner, outer, nested=nested, udp_encap=udp_encap)
    assert run(whole.frame, whole.sa1, whole.sa2) is Status.SUCCESS
    for fault in faults(whole):
        assert run(fault.broken(whole.frame), whole.sa1, whole.sa2) is fault.status, fault.name


@pytest.mark.parametrize(("inner", "outer", "nested", "udp_encap"), SHAPES)
def test_the_first_fault_decides(inner, outer, nested, udp_encap):
    whole = faulty(rng_for(2), inner, outer, nested=nested, udp_encap=udp_encap)
    pairs = 0
    for first, second in itertools.combinations(faults(whole), 2):
        changed = [
            {n for n, (a, b) in enumerate(zip(whole.frame, fault.broken(whole.frame), strict=True)) if a != b}
            for fault in (first, second)
        ]
        if changed[0] & changed[1]:
            continue
        pairs += 1
        status = run(second.broken(first.broken(whole.frame)), whole.sa1, whole.sa2)
        assert status is first.status, (first.name, second.name)
    assert pairs > 70


def gcm_frame(rng, total):
    """A frame whose IPv4 total length is ``total``, with room for it behind."""
    bundle = Bundle("transport", (esp_op(rng, "aes-gcm", icv_len=16, iv="frame"),))
    frame = bytearray(hoststack.frame(packet(rng, 4, 64), bundle))
    frame[16:18] = total.to_bytes(2, "big")
    return bytes(frame), bundle


@pytest.mark.parametrize("total", range(0, 130))
def test_every_length_of_a_datagram(total):
    """20 bytes of IP, 8 of ESP, 8 of IV, 2 of trailer at least, 16 of ICV; the payload in units of 4."""
    rng = rng_for(total)
    frame, bundle = gcm_frame(rng, total)
    if total < 28 or 14 + total > len(frame):
        expected = {Status.MALFORMED}
    elif total < 20 + 8 + 8 + 2 + 16:
        expected = {Status.NO_ROOM}
    elif (total - 20 - 8 - 8 - 16) % 4:
        expected = {Status.UNALIGNED}
    else:
        # The trailer is wherever the length says: whatever byte is there is the pad length.
        size = total - 52
        pad = frame[14 + 20 + 16 + size - 2]
        expected = {Status.SUCCESS if pad + 2 <= size else Status.MALFORMED}
    assert {run(frame, bundle)} == expected


def test_headers_that_just_fit_are_read():
    """Where exactly the bytes that a check needs are there, it is the next check that fails."""
    rng = rng_for(10)
    esp, udp, ah = esp_op(rng, "aes-gcm"), esp_op(rng, "aes-gcm", udp_encap=True), ah_op(rng, "hmac-sha1-96")
    snap = bytes(12) + bytes.fromhex("0008aaaa03000000")

    def ip(version, protocol, payload, **fields):
        make, src, dst = (plain.ipv4, "10.0.0.1", "10.0.0.2") if version == 4 else (plain.ipv6, "::1", "::2")
        return hoststack.ethernet(make(src, dst, protocol, payload, **fields))

    def spi(op):
        return op.spi.to_bytes(4, "big")

    for bundle_op, frame, expected in (
        (esp, bytes(12) + b"\x08\x06", Status.INVALID_PROTOCOL),
        (esp, bytes(12) + bytes.fromhex("810000050806"), Status.INVALID_PROTOCOL),
        (esp, snap + b"\x08\x06", Status.INVALID_PROTOCOL),
        (esp, ip(4, 17, b""), Status.MISSING_ESP),
        (esp, ip(6, 17, b""), Status.MISSING_ESP),
        (esp, ip(6, 17, b"", extensions=((0, bytes.fromhex("0000010400000000")),)), Status.MISSING_ESP),
        (esp, ip(4, 50, bytes(8)), Status.SPI_MISMATCH),
        (esp, ip(4, 50, spi(esp) + bytes(4)), Status.NO_ROOM),
        (udp, ip(4, 17, bytes(8)), Status.MISSING_ESP),
        (udp, ip(4, 17, bytes.fromhex("1194119400080000")), Status.MALFORMED),
        (udp, ip(4, 17, bytes.fromhex("1194119400100000") + bytes(8)), Status.SPI_MISMATCH),
        (ah, ip(4, 51, bytes(12)), Status.SPI_MISMATCH),
        (ah, ip(4, 51, bytes([17, 1, 0, 0]) + spi(ah) + bytes(4)), Status.NO_ROOM),
        (ah, ip(4, 51, bytes([17, 4, 0, 0]) + spi(ah) + bytes(16)), Status.SUCCESS),
        (ah, ip(4, 51, bytes([17, 4, 0, 0]) + spi(ah) + bytes(15)), Status.MALFORMED),
    ):
        assert run(frame, Bundle("transport", (bundle_op,))) is expected, frame.hex()


def test_every_truncated_frame_is_malformed():
    whole = faulty(rng_for(3))
    for length in range(len(whole.frame)):
        status = run(whole.frame[:length], whole.sa1, whole.sa2)
        assert status is Status.MALFORMED


@pytest.mark.parametrize("encr", ["aes-cbc", "des-cbc", "3des-cbc", "null", "aes-ctr", "aes-gcm"])
def test_alignment(encr):
    rng = rng_for(encr)
    align = {"aes-cbc": 16, "des-cbc": 8, "3des-cbc": 8}.get(encr, 4)
    op = esp_op(rng, encr, None if encr == "aes-gcm" else "hmac-sha1-96", icv_len=12, iv="frame")
    bundle = Bundle("transport", (op,))
    for size in range(2, 50):
        esp = op.spi.to_bytes(4, "big") + bytes(4 + op.iv_len + size - 2) + bytes([0, 17]) + bytes(op.icv_len)
        frame = hoststack.ethernet(plain.ipv4("10.0.0.1", "10.0.0.2", 50, esp))
        assert run(frame, bundle) is (Status.UNALIGNED if size % align else Status.SUCCESS)


def test_link_layer():
    rng = rng_for(4)
    bundle = Bundle("transport", (ah_op(rng, "hmac-sha1-96"),))
    inside = hoststack.encapsulate(packet(rng, 4, 10), bundle)
    head = bytes(12)
    tag = bytes.fromhex("81000001")
    snap = (8 + len(inside)).to_bytes(2, "big") + bytes.fromhex("aaaa030000000800")
    for link, expected in (
        (bytes.fromhex("0800"), Status.SUCCESS),
        (tag + bytes.fromhex("0800"), Status.SUCCESS),
        (bytes.fromhex("88a80001") + tag + bytes.fromhex("0800"), Status.SUCCESS),
        (tag + tag + bytes.fromhex("0800"), Status.SUCCESS),
        (tag + tag + tag + bytes.fromhex("0800"), Status.INVALID_PROTOCOL),
        (snap, Status.SUCCESS),
        (tag + snap, Status.SUCCESS),
        (tag + tag + snap, Status.SUCCESS),
        (snap[:2] + bytes.fromhex("aaaa03000001") + snap[8:], Status.INVALID_PROTOCOL),
        (snap[:2] + bytes.fromhex("424203000000") + snap[8:], Status.INVALID_PROTOCOL),
        (snap[:8] + bytes.fromhex("8100"), Status.INVALID_PROTOCOL),
        (bytes.fromhex("05dc") + snap[2:], Status.SUCCESS),
        (bytes.fromhex("05dd") + snap[2:], Status.INVALID_PROTOCOL),
        (bytes.fromhex("0806"), Status.INVALID_PROTOCOL),
        (bytes.fromhex("86dd"), Status.INVALID_PROTOCOL),
        (bytes.fromhex("9100"), Status.INVALID_PROTOCOL),
    ):
        assert run(head + link + inside, bundle) is expected, link.hex()
    assert run(head + tag[:2], bundle) is Status.MALFORMED
    assert run(head + snap[:9], bundle) is Status.MALFORMED


@pytest.mark.parametrize("shape", ["esp", "ah"])
def test_mode_and_next_header(shape):
    """Tunnel mode carries IPv4, IPv6 or, in ESP, a dummy; transport mode does not say what it carries."""
    rng = rng_for(shape)
    op = esp_op(rng, "null", "hmac-sha1-96") if shape == "esp" else ah_op(rng, "hmac-sha1-96")
    tunnel = Tunnel(src=ADDRESSES[4][0][0], dst=ADDRESSES[4][0][1])
    for mode, next_header, expected in (
        ("tunnel", 4, Status.SUCCESS),
        ("tunnel", 41, Status.SUCCESS),
        ("tunnel", 59, Status.SUCCESS if shape == "esp" else Status.INVALID_PROTOCOL),
        ("tunnel", 6, Status.INVALID_PROTOCOL),
        ("transport", 6, Status.SUCCESS),
        ("transport", 59, Status.SUCCESS),
        ("transport", 200, Status.SUCCESS),
    ):
        bundle = Bundle(mode, (op,))
        framing = Framing(tunnel=tunnel, next_header=next_header)
        assert run(hoststack.frame(packet(rng, 4, 30), bundle, framing1=framing), bundle) is expected


def test_outer_bundle_must_be_a_tunnel():
    rng = rng_for(5)
    inner, outer = (Bundle("transport", (ah_op(rng, "hmac-sha1-96"),)) for _ in range(2))
    frame = hoststack.frame(packet(rng, 4, 30), inner, outer)
    assert run(frame, inner, outer) is Status.INVALID_PROTOCOL


def test_inner_version_follows_the_next_header():
    """The inner header is read as what the outer's next header says, not by its own first nibble."""
    rng = rng_for(6)
    whole = faulty(rng, 6, 4)
    frame = bytearray(whole.frame)
    frame[whole.levels[0].icv - 1] = 4
    assert run(bytes(frame), whole.sa1, whole.sa2) is Status.INVALID_PROTOCOL


def test_inner_datagram_ends_inside_the_outer_payload():
    rng = rng_for(7)
    whole = faulty(rng, 4, 4)
    inner, outer = whole.levels[1].ip, whole.levels[0]
    frame = bytearray(whole.frame)
    frame[inner.at + 2 : inner.at + 4] = (outer.limit - inner.at + 1).to_bytes(2, "big")
    assert run(bytes(frame), whole.sa1, whole.sa2) is Status.MALFORMED


def test_ipv6_extension_headers_behind_ah():
    rng = rng_for(8)
    bundle = Bundle("transport", (esp_op(rng, "aes-gcm", icv_len=16), ah_op(rng, "hmac-sha1-96")))
    esp, ah = bundle.ops
    inside = hoststack.encapsulate(packet(rng, 6, 30), Bundle("transport", (esp,)))[40:]
    for header, expected in (
        (bytes([50, 0]) + bytes.fromhex("010400000000"), Status.SUCCESS),
        (bytes([44, 0]) + bytes.fromhex("010400000000"), Status.FRAGMENT),
        (bytes([50, 200]) + bytes.fromhex("010400000000"), Status.MALFORMED),
        (bytes([17, 0]) + bytes.fromhex("010400000000"), Status.MISSING_ESP),
    ):
        front = bytes([60, 4, 0, 0]) + ah.spi.to_bytes(4, "big") + bytes(16)
        frame = hoststack.ethernet(plain.ipv6("fe80::1", "fe80::2", 51, front + header + inside))
        assert run(frame, bundle) is expected


def test_ah_room_for_gmac():
    """AH-GMAC needs 8 bytes of IV and 16 of ICV behind the fixed 12."""
    rng = rng_for(9)
    bundle = Bundle("transport", (ah_op(rng, "aes-gmac"),))
    frame = bytearray(hoststack.frame(packet(rng, 4, 60), bundle))
    assert frame[35] == 7
    for length, expected in ((7, Status.SUCCESS), (6, Status.NO_ROOM), (8, Status.SUCCESS), (0, Status.NO_ROOM)):
        frame[35] = length
        assert run(bytes(frame), bundle) is expected
