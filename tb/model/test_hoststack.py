# SPDX-License-Identifier: Apache-2.0
"""The host-stack model: what it hands over is what scapy reads, and every final field is final."""

import warnings

import pytest
from model.cases import ADDRESSES, ah_op, esp_op, packet, random_case, rng_for
from nicsec_sim import hoststack, plain
from nicsec_sim.hoststack import Framing, Tunnel, encapsulate, ethernet
from nicsec_sim.model.checksum import internet_checksum
from nicsec_sim.model.parse import walk
from nicsec_sim.model.sa import Bundle, Op

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether


@pytest.mark.parametrize("version", [4, 6])
def test_plain_packets_have_scapys_checksums(version):
    """Deleting what is computed and letting scapy compute it again gives the same bytes."""
    rng = rng_for(version)
    src, dst = ADDRESSES[version][0]
    for size in (0, 1, 2, 33, 1000):
        for body, protocol in (
            (plain.udp(src, dst, 7, 9, rng.randbytes(size)), 17),
            (plain.tcp(src, dst, 7, 9, rng.randbytes(size), seq=99), 6),
        ):
            if version == 4:
                raw = plain.ipv4(src, dst, protocol, body, tos=5, ttl=6, ident=7, df=True)
                again = IP(raw)
                del again.len, again.chksum
            else:
                raw = plain.ipv6(src, dst, protocol, body, tos=5, ttl=6, flow=7)
                again = IPv6(raw)
                del again.plen
            layer = again[UDP if protocol == 17 else TCP]
            del layer.chksum
            if protocol == 17:
                del layer.len
            assert bytes(again) == raw


def test_seed_completes_to_the_checksum():
    src, dst = ADDRESSES[4][0]
    for make, at in ((plain.udp, 6), (plain.tcp, 16)):
        seeded, whole = (make(src, dst, 1, 2, b"some payload", seed=seed) for seed in (True, False))
        assert internet_checksum(seeded).to_bytes(2, "big") == whole[at : at + 2]


def test_framed_headers_are_final():
    """Lengths and IPv4 header checksums of every level; ICVs zero; the plain packet still inside."""
    rng = rng_for(1)
    for _ in range(300):
        case = random_case(rng)
        for level in walk(case.frame, [sa for sa in (case.sa2, case.sa1) if sa]).levels:
            if level.ip.version == 4:
                assert internet_checksum(case.frame[level.ip.at : level.ip.next]) == 0
            if level.ah is not None:
                op = level.bundle.ah
                first = level.ah + 12 + op.iv_len
                assert not any(case.frame[first : first + op.icv_len])
                assert level.ah_len % (8 if level.ip.version == 6 else 4) == 0
            if level.esp is not None:
                op = level.bundle.esp
                assert not any(case.frame[level.icv : level.icv + op.icv_len])
                assert (level.icv - level.payload) % max(op.align, 4) == 0
                if op.iv == "generate":
                    assert not any(case.frame[level.esp + 8 : level.payload])
                if op.udp_encap:
                    length = (level.ip.end - level.esp + 8).to_bytes(2, "big")
                    assert case.frame[level.esp - 6 : level.esp] == (4500).to_bytes(2, "big") + length + bytes(2)


@pytest.mark.parametrize(
    ("auth", "v4", "v6"),
    [("hmac-sha1-96", 4, 4), ("hmac-sha256-128", 5, 6), ("hmac-sha384-192", 7, 8), ("hmac-sha512-256", 9, 10),
     ("aes-gmac", 7, 8)],
)
def test_ah_lengths(auth, v4, v6):
    """Words less two, IPv6 in units of eight bytes (ndis-facts section 2.7)."""
    rng = rng_for(auth)
    op = ah_op(rng, auth)
    while op.icv_len == 12 and auth == "hmac-sha256-128":
        op = ah_op(rng, auth)
    bundle = Bundle("transport", (op,))
    assert encapsulate(packet(rng, 4, 5), bundle)[21] == v4
    assert encapsulate(packet(rng, 6, 5), bundle)[41] == v6
    assert encapsulate(packet(rng, 4, 5), bundle, Framing(ah_align=8))[21] % 2 == 0


def test_esp_trailer():
    rng = rng_for(2)
    bundle = Bundle("transport", (esp_op(rng, "aes-cbc", "hmac-sha1-96", iv="frame"),))
    inside = plain.ipv4("10.0.0.1", "10.0.0.2", 99, b"0123456789")
    for framing, tail in (
        (Framing(), bytes([1, 2, 3, 4, 4, 99])),
        (Framing(pad="zero"), bytes([0, 0, 0, 0, 4, 99])),
        (Framing(pad="ones"), b"\xff" * 4 + bytes([4, 99])),
        (Framing(pad_blocks=1), bytes([*range(1, 21), 20, 99])),
        (Framing(tfc=b"TFC"), b"TFC" + bytes([1, 1, 99])),
        (Framing(next_header=59), bytes([1, 2, 3, 4, 4, 59])),
    ):
        assert encapsulate(inside, bundle, framing)[44:-12] == b"0123456789" + tail


def test_modes_keep_and_wrap_headers():
    rng = rng_for(3)
    esp = esp_op(rng, "aes-gcm", icv_len=16, iv="frame")
    inside = packet(rng, 4, 40, options=bytes.fromhex("94040000"))
    framed = encapsulate(inside, Bundle("transport", (esp,)), Framing(seq=7))
    assert framed[:2] == inside[:2]
    assert framed[4:9] == inside[4:9]
    assert framed[9] == 50
    assert framed[12:24] == inside[12:24]
    assert framed[24:40] == esp.spi.to_bytes(4, "big") + bytes([0, 0, 0, 7]) + bytes([0] * 7 + [7])
    assert framed[40 : 40 + len(inside) - 24] == inside[24:]
    tunnel = Tunnel(src="2001:db8::1", dst="2001:db8::2", ttl=3)
    framed = encapsulate(inside, Bundle("tunnel", (esp,)), Framing(tunnel=tunnel))
    assert framed[6:8] == bytes([50, 3])
    assert framed[56 : 56 + len(inside)] == inside
    assert framed[-17] == 4


def test_default_ivs():
    """Counter modes take the sequence number; CBC's is not to be guessed without the key and follows it."""
    rng = rng_for(4)
    gcm = Bundle("transport", (esp_op(rng, "aes-gcm", iv="frame"),))
    assert encapsulate(packet(rng, 4, 5), gcm, Framing(seq=3, seq_high=9))[28:36] == bytes([0, 0, 0, 9, 0, 0, 0, 3])
    cbc = Bundle("transport", (esp_op(rng, "aes-cbc", "hmac-sha1-96", iv="frame"),))
    ivs = {encapsulate(packet(rng, 4, 5), cbc, Framing(seq=n))[28:44] for n in (1, 1, 2, 3)}
    assert len(ivs) == 3
    other = Op(**{**cbc.ops[0].__dict__, "encr_key": bytes(16)})
    assert encapsulate(packet(rng, 4, 5), Bundle("transport", (other,)), Framing(seq=1))[28:44] not in ivs


def test_ethernet():
    inside = packet(rng_for(5), 6, 10)
    assert ethernet(inside)[12:14].hex() == "86dd"
    assert ethernet(inside, vlan=(5,))[12:18].hex() == "8100000586dd"
    assert ethernet(inside, vlan=(5, 6))[12:22].hex() == "88a800058100000686dd"
    assert ethernet(inside, snap=True)[12:22].hex() == f"{len(inside) + 8:04x}aaaa0300000086dd"[:20]
    assert ethernet(inside, min_length=200) == ethernet(inside).ljust(200, b"\0")
    assert Ether(ethernet(inside))[IPv6].plen == len(inside) - 40


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, p: encapsulate(p, Bundle("tunnel", b.ops)), "tunnel must be given for a bundle in tunnel mode"),
        (lambda b, p: encapsulate(p, b, Framing(iv=bytes(5))), "iv must be 8 bytes, not 5"),
        (lambda b, p: encapsulate(p, b, Framing(pad="x")), "pad must be count, zero or ones, not 'x'"),
        (lambda b, p: encapsulate(p, b, Framing(pad_blocks=70)), "pad_blocks must leave at most 255 bytes of padding"),
        (lambda b, p: encapsulate(p, b, Framing(tfc=bytes(65500))), "packet must grow to at most 65535 bytes"),
        (lambda b, p: ethernet(bytes([0x45]) * 1500, snap=True), "snap must carry at most 1492 bytes, not 1500"),
        (lambda b, p: plain.ipv4("1.2.3.4", "1.2.3.5", 1, b"", options=bytes(41)), "options must be at most 40 bytes"),
        (lambda b, p: plain.ipv6("::1", "::2", 1, b"", extensions=((0, bytes(9)),)), "extensions must have the length"),
    ],
)
def test_refusals(call, message):
    bundle = Bundle("transport", (esp_op(rng_for(6), "aes-gcm", iv="frame"),))
    with pytest.raises(ValueError, match=f"^{message}"):
        call(bundle, packet(rng_for(6), 4, 10))


def test_frame_applies_the_inner_bundle_first():
    rng = rng_for(7)
    inner = Bundle("transport", (esp_op(rng, "aes-gcm", icv_len=16),))
    outer = Bundle("tunnel", (ah_op(rng, "hmac-sha1-96"),))
    tunnel = Framing(tunnel=Tunnel(src="10.0.0.1", dst="10.0.0.2"))
    made = hoststack.frame(packet(rng_for(8), 4, 10), inner, outer, framing2=tunnel)
    assert made == ethernet(encapsulate(encapsulate(packet(rng_for(8), 4, 10), inner), outer, tunnel))
