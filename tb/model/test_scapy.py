# SPDX-License-Identifier: Apache-2.0
"""Host stack and golden engine against scapy's SecurityAssociation, for every suite and shape that scapy knows.

Where scapy and the RFCs differ the RFCs win; such places, as of scapy 2.8:

- its AES-GCM cannot make an ICV shorter than 16 bytes, so shorter ones are compared as prefixes;
- it has no AES-XCBC-96 and no AH with AES-GMAC (vectors in ``test_vectors`` and ``test_ah`` stand in);
- under LSRR and SSRR it hashes the destination as sent, RFC 4302 the final one (``test_ah``);
- its AH signs the ESP inside when it can see one, so ESP is hidden from its dissector for AH over ESP;
- it moves only the last address of a routing header, which is the RFC's order only if all segments are left;
- it cannot take apart options behind an end-of-list (``test_ah``).
"""

import warnings

import pytest
from model.cases import rng_for
from nicsec_sim.hoststack import Framing, Tunnel, encapsulate, ethernet
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import (
        IPv6,
        IPv6ExtHdrDestOpt,
        IPv6ExtHdrHopByHop,
        IPv6ExtHdrRouting,
    )
    from scapy.layers.ipsec import AH, ESP, SecurityAssociation
    from scapy.packet import Raw, bind_layers, split_layers

ENCR = {
    "null": ("NULL", (0,), 0, 0),
    "aes-cbc": ("AES-CBC", (16, 24, 32), 0, 16),
    "aes-ctr": ("AES-CTR", (16, 24, 32), 4, 8),
    "des-cbc": ("DES", (8,), 0, 8),
    "3des-cbc": ("3DES", (24,), 0, 8),
    "aes-gcm": ("AES-GCM", (16, 24, 32), 4, 8),
    "aes-gmac": ("AES-NULL-GMAC", (16, 24, 32), 4, 8),
    "aes-ccm": ("AES-CCM", (16, 24, 32), 3, 8),
    "chacha20-poly1305": ("CHACHA20-POLY1305", (32,), 4, 8),
}
AUTH = {
    "hmac-md5-96": ("HMAC-MD5-96", 12),
    "hmac-sha1-96": ("HMAC-SHA1-96", 12),
    "hmac-sha256-128": ("SHA2-256-128", 16),
    "hmac-sha384-192": ("SHA2-384-192", 24),
    "hmac-sha512-256": ("SHA2-512-256", 32),
    "aes-cmac-96": ("AES-CMAC-96", 12),
}
AEAD = ("aes-gcm", "aes-gmac", "aes-ccm", "chacha20-poly1305")
TUNNELS = {
    4: (IP(src="192.0.2.1", dst="198.51.100.7", ttl=61, tos=0xB8, id=0x1234, flags="DF"),
        Tunnel(src="192.0.2.1", dst="198.51.100.7", ttl=61, tos=0xB8, ident=0x1234, df=True)),
    6: (IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=61, tc=0xB8, fl=0xABCDE),
        Tunnel(src="2001:db8::1", dst="2001:db8::2", ttl=61, tos=0xB8, flow=0xABCDE)),
}


def plain(rng, version, size=None):
    """A dissected plain packet and its bytes."""
    size = rng.randrange(0, 200) if size is None else size
    body = rng.choice([UDP(sport=1000, dport=2000), TCP(sport=1, dport=2)]) / Raw(rng.randbytes(size))
    if version == 4:
        head = IP(src="10.0.0.1", dst="10.0.0.2", tos=0x28, ttl=33, id=rng.getrandbits(16), flags="DF")
    else:
        head = IPv6(src="fe80::1", dst="fe80::2", tc=0x28, fl=0x54321, hlim=33)
    packet = type(head)(bytes(head / body))
    return packet, bytes(packet)


def engine_packet(packet, bundle, framing):
    """What host stack and engine make of an IP packet."""
    engine = Engine()
    result = engine.process(ethernet(encapsulate(packet, bundle, framing)), engine.add_sa(bundle))
    assert result.status is Status.SUCCESS
    return result.frame[14:]


def hide(packet):
    """The same bytes with nothing dissected behind the IP header, so that scapy's AH sees no ESP in them."""
    head = packet.copy()
    body = bytes(head.payload)
    head.remove_payload()
    return head / Raw(body)


def compare_esp(
    rng, encr, auth, version, *, tunnel=None, esn=False, nat_t=False, key_len=None, icv_len=None, size=None
):
    scapy_encr, keys, salt_len, iv_len = ENCR[encr]
    key, salt, iv = rng.randbytes(key_len or keys[0]), rng.randbytes(salt_len), rng.randbytes(iv_len)
    scapy_auth, own_icv = AUTH[auth] if auth else (None, icv_len or 16)
    auth_key = rng.randbytes(16 if auth == "aes-cmac-96" else rng.choice([16, 20, 32, 64, 200])) if auth else None
    seq, high, spi = rng.getrandbits(31) + 1, rng.getrandbits(31) + 1, rng.randrange(256, 1 << 32)
    outer, ours = TUNNELS[tunnel] if tunnel else (None, None)
    sa = SecurityAssociation(
        ESP, spi=spi, crypt_algo=scapy_encr, crypt_key=key + salt or None, auth_algo=scapy_auth, auth_key=auth_key,
        crypt_icv_size=own_icv if encr == "aes-ccm" else None, tunnel_header=outer, esn_en=esn, esn=high,
        nat_t_header=UDP(sport=4500, dport=4500) if nat_t else None,
    )
    op = Op(
        protocol="esp", spi=spi, encr_alg=encr, encr_key=key or None, salt=salt, auth_alg=auth, auth_key=auth_key,
        icv_len=own_icv, iv="frame", esn=esn, esn_high=high if esn else None, udp_encap=nat_t,
    )
    packet, raw = plain(rng, version, size)
    expected = bytes(sa.encrypt(packet, seq_num=seq, iv=iv))
    got = engine_packet(raw, Bundle("tunnel" if tunnel else "transport", (op,)), Framing(seq=seq, iv=iv, tunnel=ours))
    if encr == "aes-gcm" and own_icv < 16:
        cut = len(expected) - 16 + own_icv
        header = expected.index(spi.to_bytes(4, "big"))
        assert got[header:] == expected[header:cut]
    else:
        assert got == expected


SUITES = [(encr, None) for encr in AEAD] + [(encr, auth) for encr in ENCR if encr not in AEAD for auth in AUTH]
SHAPES = [(4, None), (6, None), (4, 4), (4, 6), (6, 4), (6, 6)]


@pytest.mark.parametrize(("version", "tunnel"), SHAPES)
@pytest.mark.parametrize(("encr", "auth"), SUITES)
def test_esp(encr, auth, version, tunnel):
    rng = rng_for(f"{encr} {auth} {version} {tunnel}")
    for key_len in ENCR[encr][1]:
        for esn in (False, True):
            compare_esp(rng, encr, auth, version, tunnel=tunnel, esn=esn, key_len=key_len)


@pytest.mark.parametrize("encr", ["aes-gcm", "aes-ccm"])
@pytest.mark.parametrize("icv_len", [8, 12, 16])
def test_esp_icv_lengths(encr, icv_len):
    rng = rng_for(icv_len)
    for esn in (False, True):
        compare_esp(rng, encr, None, 4, icv_len=icv_len, esn=esn)


@pytest.mark.parametrize("size", [*range(20), 1400, 8900])
def test_esp_sizes(size):
    rng = rng_for(size)
    for encr, auth in (("aes-gcm", None), ("aes-cbc", "hmac-sha256-128"), ("null", "hmac-sha1-96")):
        compare_esp(rng, encr, auth, rng.choice([4, 6]), tunnel=rng.choice([None, 4, 6]), size=size)


@pytest.mark.parametrize("tunnel", [None, 4, 6])
def test_udp_encapsulation(tunnel):
    rng = rng_for(tunnel)
    for version in (4, 6):
        compare_esp(rng, "aes-gcm", None, version, tunnel=tunnel, nat_t=True)
        compare_esp(rng, "aes-cbc", "hmac-sha1-96", version, tunnel=tunnel, nat_t=True, esn=True)


def ah_pair(rng, auth, tunnel, esn):
    name, icv_len = AUTH[auth]
    key = rng.randbytes(16 if auth == "aes-cmac-96" else rng.choice([16, 20, 32, 64, 200]))
    high, spi = rng.getrandbits(31) + 1, rng.randrange(256, 1 << 32)
    outer = TUNNELS[tunnel][0] if tunnel else None
    sa = SecurityAssociation(AH, spi=spi, auth_algo=name, auth_key=key, tunnel_header=outer, esn_en=esn, esn=high)
    high = high if esn else None
    op = Op(protocol="ah", spi=spi, auth_alg=auth, auth_key=key, icv_len=icv_len, esn=esn, esn_high=high)
    return sa, op


def compare_ah(rng, auth, packet, *, tunnel=None, esn=False, framing=None):
    sa, op = ah_pair(rng, auth, tunnel, esn)
    seq = rng.getrandbits(31) + 1
    expected = bytes(sa.encrypt(packet, seq_num=seq, esn_en=esn))
    framing = Framing(seq=seq, tunnel=TUNNELS[tunnel][1] if tunnel else None, **(framing or {}))
    assert engine_packet(bytes(packet), Bundle("tunnel" if tunnel else "transport", (op,)), framing) == expected


@pytest.mark.parametrize(("version", "tunnel"), SHAPES)
@pytest.mark.parametrize("auth", AUTH)
def test_ah(auth, version, tunnel):
    rng = rng_for(f"{auth} {version} {tunnel}")
    for esn in (False, True):
        compare_ah(rng, auth, plain(rng, version)[0], tunnel=tunnel, esn=esn)


@pytest.mark.parametrize(
    "options",
    ["94040000", "0101010144080500deadbeef", "0707040000000000", "820b00000000000000000000", "860a0000000102040001",
     "9506c00002010000", "010101520c000100000000c0000201", "1e04aaaa", "00000000"],
)
def test_ah_ipv4_options(options):
    rng = rng_for(options)
    body = bytes.fromhex(options)
    body += bytes(-len(body) % 4)
    head = bytearray(bytes(IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, ihl=5 + len(body) // 4))[:20]) + body
    data = bytes(UDP(sport=1, dport=2) / Raw(rng.randbytes(30)))
    head[2:4], head[9], head[10:12] = (len(head) + len(data)).to_bytes(2, "big"), 17, bytes(2)
    raw = bytes(head) + data
    compare_ah(rng, "hmac-sha1-96", IP(raw))


@pytest.mark.parametrize("outside", [True, False])
def test_ah_ipv6_extension_headers(outside):
    """Scapy, like Linux, keeps destination options ahead of AH unless they follow a routing header."""
    rng = rng_for(outside)
    head = IPv6(src="fe80::1", dst="fe80::2", hlim=9)
    hop = IPv6ExtHdrHopByHop(bytes.fromhex("3b003e0401020304"))
    dest = IPv6ExtHdrDestOpt(bytes.fromhex("3b001e040a0b0c0d"))
    routing = IPv6ExtHdrRouting(segleft=2, addresses=["2001:db8::a", "2001:db8::b"])
    body = UDP(sport=1, dport=2) / Raw(b"x" * 21)
    for chain in ([hop], [dest], [hop, dest], [routing], [hop, dest, routing]) if outside else ([routing, dest],):
        packet = head.copy()
        for part in chain:
            part = part.copy()
            part.remove_payload()
            del part.nh
            packet = packet / part
        packet = IPv6(bytes(packet / body))
        compare_ah(rng, "hmac-sha256-128", packet, framing={"outside": outside})


@pytest.fixture
def blind_to_esp():
    """Scapy without the binding of ESP to IP and IPv6 (see the module's docstring)."""
    split_layers(IP, ESP, proto=50)
    split_layers(IPv6, ESP, nh=50)
    yield
    bind_layers(IP, ESP, proto=50)
    bind_layers(IPv6, ESP, nh=50)


@pytest.mark.usefixtures("blind_to_esp")
@pytest.mark.parametrize(("version", "tunnel"), SHAPES)
def test_ah_over_esp(version, tunnel):
    rng = rng_for(f"{version} {tunnel}")
    for encr, auth, ah_auth in (
        ("aes-cbc", "hmac-sha1-96", "hmac-sha256-128"),
        ("aes-gcm", None, "hmac-sha1-96"),
        ("aes-ctr", None, "aes-cmac-96"),
    ):
        name, keys, salt_len, iv_len = ENCR[encr]
        key, salt, iv = rng.randbytes(keys[0]), rng.randbytes(salt_len), rng.randbytes(iv_len)
        spi, seq = rng.randrange(256, 1 << 32), rng.getrandbits(31) + 1
        outer, ours = TUNNELS[tunnel] if tunnel else (None, None)
        esp_sa = SecurityAssociation(
            ESP, spi=spi, crypt_algo=name, crypt_key=key + salt, auth_algo=AUTH[auth][0] if auth else None,
            auth_key=b"k" * 20 if auth else None, tunnel_header=outer,
        )
        icv_len = AUTH[auth][1] if auth else 16 if encr in AEAD else 0
        esp = Op(
            protocol="esp", spi=spi, encr_alg=encr, encr_key=key, salt=salt, auth_alg=auth,
            auth_key=b"k" * 20 if auth else None, icv_len=icv_len, iv="frame",
        )
        ah_sa, ah = ah_pair(rng, ah_auth, None, False)
        packet, raw = plain(rng, version)
        inside = esp_sa.encrypt(packet, seq_num=seq, iv=iv)
        expected = bytes(ah_sa.encrypt(hide(inside), seq_num=seq, esn_en=False))
        bundle = Bundle("tunnel" if tunnel else "transport", (esp, ah))
        assert engine_packet(raw, bundle, Framing(seq=seq, iv=iv, tunnel=ours)) == expected


@pytest.mark.usefixtures("blind_to_esp")
@pytest.mark.parametrize("inner", ["esp", "ah"])
@pytest.mark.parametrize("outer", ["esp", "ah"])
@pytest.mark.parametrize("version", [4, 6])
def test_nested(inner, outer, version):
    """Two bundles: what scapy makes in two steps, the engine makes of one frame."""
    rng = rng_for(f"{inner} {outer} {version}")
    packet, raw = plain(rng, version)
    ops, iv, seq = [], rng.randbytes(8), 77
    for name, tunnel in ((inner, None), (outer, 10 - version)):
        if name == "ah":
            sa, op = ah_pair(rng, "hmac-sha1-96", tunnel, False)
            packet = sa.encrypt(hide(packet), seq_num=seq, esn_en=False)
        else:
            key, salt, spi = rng.randbytes(32), rng.randbytes(4), rng.randrange(256, 1 << 32)
            op = Op(protocol="esp", spi=spi, encr_alg="aes-gcm", encr_key=key, salt=salt, icv_len=16, iv="frame")
            header = TUNNELS[tunnel][0] if tunnel else None
            sa = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key + salt, tunnel_header=header)
            packet = sa.encrypt(hide(packet), seq_num=seq, iv=iv)
        ops.append(op)
    sa1, sa2 = Bundle("transport", (ops[0],)), Bundle("tunnel", (ops[1],))
    framed = encapsulate(raw, sa1, Framing(seq=seq, iv=iv))
    framed = encapsulate(framed, sa2, Framing(seq=seq, iv=iv, tunnel=TUNNELS[10 - version][1]))
    engine = Engine()
    result = engine.process(ethernet(framed), engine.add_sa(sa1), engine.add_sa(sa2))
    assert result.frame[14:] == bytes(packet)
