# SPDX-License-Identifier: Apache-2.0
"""What AH hashes: RFC 4302 appendix A and RFC 4543 section 4, against bytes written out by hand."""

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from model.cases import packet, rng_for
from nicsec_sim.hoststack import Framing, Tunnel, encapsulate, ethernet
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status
from nicsec_sim.model.verify import verify
from nicsec_sim.plain import ipv4, ipv6

KEY = bytes(range(20))
AH = Op(protocol="ah", spi=0x11223344, auth_alg="hmac-sha1-96", auth_key=KEY, icv_len=12)
TRANSPORT = Bundle("transport", (AH,))
PAYLOAD = bytes(range(100, 140))


def protect(inside, bundle=TRANSPORT):
    engine = Engine()
    return engine.process(ethernet(inside), engine.add_sa(bundle))


def icv_of(header, rest, payload=PAYLOAD):
    """HMAC-SHA1-96 over a header as the test says AH must see it, AH with a zero ICV, and the payload."""
    return hmac.digest(KEY, bytes.fromhex(header.replace(" ", "")) + rest + payload, "sha1")[:12]


def ah_header(next_header, ah_len=4):
    return bytes([next_header, ah_len, 0, 0]) + AH.spi.to_bytes(4, "big") + bytes([0, 0, 0, 1]) + bytes(12)


# Options of an IPv4 header; the destination and the options as AH sees them.
IPV4_OPTIONS = [
    ("94040000", "c0000202", "94040000"),
    ("07070400000000 00", "c0000202", "00000000000000 00"),
    ("4404050f", "c0000202", "00000000"),
    ("01 830704c6336407", "c6336407", "01 00000000000000"),
    ("01 830707c6336407", "c6336407", "01 00000000000000"),
    ("01 890b04c6336407cb007109", "cb007109", "01 0000000000000000000000"),
    ("01 830b08c6336407cb007109", "cb007109", "01 0000000000000000000000"),
    # The pointer is past the end: the route is used up and the destination is the last.
    ("01 830b0cc6336407cb007109", "c0000202", "01 0000000000000000000000"),
    ("01 830304", "c0000202", "01 000000"),
    ("82040102 85040304 86040506 95040708 520c0a0b0c0d0e0f10111213", "c0000202",
     "82040102 85040304 86040506 95040708 000000000000000000000000"),
    ("1904abcd", "c0000202", "00000000"),
    ("01 01 0702", "c0000202", "01 01 0000"),
    ("01 01 8202", "c0000202", "01 01 8202"),
    # Behind the end of the list everything is as sent.
    ("01 00 83ff", "c0000202", "01 00 83ff"),
    ("94040000 0707ffffffffff 01 94040000 0703ff 01" + "01" * 20, "c0000202",
     "94040000 00000000000000 01 94040000 000000 01" + "01" * 20),
]


@pytest.mark.parametrize(("options", "destination", "seen"), IPV4_OPTIONS)
def test_ipv4_options(options, destination, seen):
    options, seen = options.replace(" ", ""), seen.replace(" ", "")
    size = 20 + len(options) // 2
    plain = ipv4("192.0.2.1", "192.0.2.2", 17, PAYLOAD, ttl=77, tos=0xFF, ident=0xBEEF, df=True,
                 options=bytes.fromhex(options))
    framed = encapsulate(plain, TRANSPORT)
    result = protect(framed)
    total = f"{size + 24 + len(PAYLOAD):04x}"
    header = f"{0x40 | size // 4:02x}00 {total} beef 0000 00 33 0000 c0000201 {destination}" + seen
    expected = framed[: size + 12] + icv_of(header, ah_header(17)) + PAYLOAD
    assert result.frame == ethernet(expected)
    assert verify(result.frame, TRANSPORT).status is Status.SUCCESS


@pytest.mark.parametrize(
    "options",
    ["07", "0700", "0701", "0705", "83", "8302", "830504ff", "830403", "830703c0000201", "94ff0000", "010107",
     "8306040000"],
)
def test_broken_ipv4_options(options):
    # Filled up with no-operation on the left, so that the option ends the header.
    body = bytes.fromhex(options).rjust(8, b"\x01")
    plain = ipv4("192.0.2.1", "192.0.2.2", 17, PAYLOAD, options=body)
    assert protect(encapsulate(plain, TRANSPORT)).status is Status.MALFORMED
    # Without AH nobody looks at them.
    esp = Op(protocol="esp", spi=5, encr_alg="null", auth_alg="hmac-sha1-96", auth_key=KEY, icv_len=12)
    bundle = Bundle("transport", (esp,))
    assert protect(encapsulate(plain, bundle), bundle).status is Status.SUCCESS


def test_ipv4_tunnel_masks_the_outer_header_only():
    inside = packet(rng_for(1), 4, 30, options=bytes.fromhex("07040400"))
    bundle = Bundle("tunnel", (AH,))
    tunnel = Tunnel(src="192.0.2.1", dst="192.0.2.2", ttl=9, tos=1, ident=2, options=bytes.fromhex("07040400"))
    framed = encapsulate(inside, bundle, Framing(tunnel=tunnel))
    total = f"{24 + 24 + len(inside):04x}"
    header = f"4600 {total} 0002 0000 00 33 0000 c0000201 c0000202 00000000"
    expected = framed[:36] + icv_of(header, ah_header(4), inside) + inside
    assert protect(framed, bundle).frame == ethernet(expected)


HOP = ((0, bytes.fromhex("0000 3e02aabb 0100")),)
SRC, DST = "20010db8000000000000000000000001", "20010db8000000000000000000000002"
A, B, C = "0a" * 16, "0b" * 16, "0c" * 16
# Extension headers as they stand; the destination and they as AH sees them.
IPV6_EXTENSIONS = [
    ((), DST, ""),
    (((0, "0000 3e02aabb 0100"),), DST, "3300 3e020000 0100"),
    (((0, "0001 1e02aabb 3e04ccddeeff 0000 0000"),), DST, "3301 1e02aabb 3e0400000000 0000 0000"),
    (((60, "0000 000000 00 0000"),), DST, "3300 000000 00 0000"),
    (((60, "0000 0102ffff 3e00"),), DST, "3300 0102ffff 3e00"),
    # Type 0 routing: the addresses as the last hop has them, none left.
    (((43, f"0002 00 01 00000000 {A}"),), A, f"3302 00 00 00000000 {DST}"),
    (((43, f"0006 00 03 00000000 {A}{B}{C}"),), C, f"3306 00 00 00000000 {DST}{A}{B}"),
    (((43, f"0006 00 01 00000000 {A}{B}{C}"),), C, f"3306 00 00 00000000 {A}{B}{DST}"),
    (((43, f"0006 00 00 00000000 {A}{B}{C}"),), DST, f"3306 00 00 00000000 {A}{B}{C}"),
    (((43, "0000 00 00 00000000"),), DST, "3300 00 00 00000000"),
    # Type 2 (RFC 6275) is the same with one address; an unknown type with none left stays.
    (((43, f"0002 02 01 00000000 {A}"),), A, f"3302 02 00 00000000 {DST}"),
    (((43, f"0002 04 00 00000000 {A}"),), DST, f"3302 04 00 00000000 {A}"),
    (((0, "0000 3e02aabb 0100"), (43, f"0002 00 01 00000000 {A}"), (60, "0000 9e02aabb 0100")), A,
     f"2b00 3e020000 0100 3c02 00 00 00000000 {DST} 3300 9e02aabb 0100"),
]


def framed_ipv6(extensions):
    chain = tuple((number, bytes.fromhex(text.replace(" ", ""))) for number, text in extensions)
    plain = ipv6("2001:db8::1", "2001:db8::2", 17, PAYLOAD, ttl=9, tos=0xAA, flow=0x12345, extensions=chain)
    return encapsulate(plain, TRANSPORT)


@pytest.mark.parametrize(("extensions", "destination", "seen"), IPV6_EXTENSIONS)
def test_ipv6_extension_headers(extensions, destination, seen):
    framed = framed_ipv6(extensions)
    seen = seen.replace(" ", "")
    at = 40 + len(seen) // 2
    first = extensions[0][0] if extensions else 51
    header = f"60000000 {len(framed) - 40:04x} {first:02x} 00 {SRC} {destination}" + seen
    expected = framed[: at + 12] + icv_of(header, ah_header(17)) + PAYLOAD
    assert protect(framed).frame == ethernet(expected)


@pytest.mark.parametrize(
    ("extension", "status"),
    [
        ((0, "0000 3e05aabb0100"), Status.MALFORMED),
        ((60, "0000 0103000000 3e"), Status.MALFORMED),
        ((43, f"0002 00 02 00000000 {A}"), Status.MALFORMED),
        ((43, f"0003 00 01 00000000 {A} 0000000000000000"), Status.MALFORMED),
        ((43, f"0002 04 01 00000000 {A}"), Status.UNSUPPORTED),
    ],
)
def test_broken_ipv6_extension_headers(extension, status):
    assert protect(framed_ipv6((extension,))).status is status


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (1, 1, Status.UNSUPPORTED),
        (0, 1, Status.SUCCESS),
        (1, 0, Status.SUCCESS),
        (0, 0, Status.SUCCESS),
        # The first one's own fault comes first.
        (2, 1, Status.MALFORMED),
        (1, 2, Status.UNSUPPORTED),
    ],
)
def test_two_routing_headers(first, second, status):
    """RFC 8200 section 4.1 has one at most: of two, one may have segments left."""
    chain = ((43, f"0002 00 {first:02x} 00000000 {A}"), (43, f"0002 00 {second:02x} 00000000 {B}"))
    assert protect(framed_ipv6(chain)).status is status


def test_ipv6_options_behind_ah_are_as_sent():
    plain = ipv6("2001:db8::1", "2001:db8::2", 17, PAYLOAD, extensions=((60, bytes.fromhex("00003e0401020304")),))
    framed = encapsulate(plain, TRANSPORT, Framing(outside=False))
    header = f"60000000 {len(framed) - 40:04x} 33 00 {SRC} {DST}"
    rest = bytes.fromhex("11003e0401020304") + PAYLOAD
    assert protect(framed).frame == ethernet(framed[:52] + icv_of(header, ah_header(60), rest) + rest)


def test_padding_behind_the_icv_is_authenticated_as_sent():
    """SHA-256-128 on IPv6 leaves four bytes (ndis-facts section 9.1)."""
    op = Op(protocol="ah", spi=9, auth_alg="hmac-sha256-128", auth_key=KEY, icv_len=16)
    bundle = Bundle("transport", (op,))
    plain = ipv6("2001:db8::1", "2001:db8::2", 17, PAYLOAD)
    for pad in (0, 0x5A):
        framed = encapsulate(plain, bundle, Framing(ah_pad=pad))
        seen = bytes.fromhex(f"60000000 {len(framed) - 40:04x} 3300 {SRC}{DST}".replace(" ", "")) + framed[40:]
        assert framed[68:72] == bytes([pad] * 4)
        icv = hmac.digest(KEY, seen, "sha256")[:16]
        assert protect(framed, bundle).frame == ethernet(framed[:52] + icv + framed[68:])


def test_icv_field_counts_as_zero_whatever_it_holds():
    framed = bytearray(encapsulate(packet(rng_for(2), 4, 20), TRANSPORT))
    clean = protect(bytes(framed)).frame
    framed[32:44] = b"\xee" * 12
    assert protect(bytes(framed)).frame == clean


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("iv", ["frame", "generate"])
def test_gmac(iv, esn):
    """The IV ahead of the tag is hashed as sent, the tag as zero, and the ESN's high half behind it all."""
    key, salt = bytes(range(16)), bytes.fromhex("cafebabe")
    op = Op(protocol="ah", spi=9, auth_alg="aes-gmac", auth_key=key, salt=salt, icv_len=16, iv=iv, esn=esn,
            esn_high=7 if esn else None, iv_init=0x0102030405060708)
    bundle = Bundle("transport", (op,))
    plain = ipv4("192.0.2.1", "192.0.2.2", 17, PAYLOAD, ttl=1)
    framed = encapsulate(plain, bundle, Framing(ah_iv=bytes.fromhex("0102030405060708")))
    assert len(framed) == 20 + 36 + len(PAYLOAD)
    expected_iv = bytes.fromhex("0102030405060708")
    front = bytes.fromhex(f"4500{len(framed):04x}000000000033 0000c0000201c0000202") + framed[20:32] + expected_iv
    aad = front + bytes(16) + PAYLOAD + (bytes([0, 0, 0, 7]) if esn else b"")
    tag = AESGCM(key).encrypt(salt + expected_iv, b"", aad)
    assert protect(framed, bundle).frame == ethernet(framed[:32] + expected_iv + tag + PAYLOAD)


def test_builds_without_masking_refuse():
    option = encapsulate(packet(rng_for(3), 4, 5, options=bytes.fromhex("94040000")), TRANSPORT)
    extension = encapsulate(packet(rng_for(3), 6, 5, extensions=HOP), TRANSPORT)
    for feature, framed in (("ipv4_options", option), ("ipv6_ext", extension)):
        whole, part = Engine(), Engine(unsupported=[feature])
        assert whole.process(ethernet(framed), whole.add_sa(TRANSPORT)).status is Status.SUCCESS
        assert part.process(ethernet(framed), part.add_sa(TRANSPORT)).status is Status.UNSUPPORTED
