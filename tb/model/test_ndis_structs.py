# SPDX-License-Identifier: Apache-2.0
"""Binary structures of NDIS IPsec offload: published offsets (ndis-facts sections 3.2, 3.4, 4), contents, refusals."""

import struct

import pytest
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.ndis import Capabilities, Feature, NdisStatus, OidError, v1, v2

SHA1_KEY = bytes(range(20))
DES3_KEY = bytes(range(0x40, 0x58))
ESP_V1 = v1.SecAssoc(2, 0x1001, v1.AlgoInfo(2, 20), v1.AlgoInfo(3, 24))
AH_V1 = v1.SecAssoc(1, 0x1002, v1.AlgoInfo(2, 20))


def fields(pack, mark, width):
    """Offset of the bytes that differ between ``pack()`` and ``pack(mark)``, which are ``width`` long."""
    before, after = pack({}), pack(mark)
    changed = [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert changed
    assert changed[-1] - changed[0] < width
    return changed[0]


@pytest.mark.parametrize(
    ("name", "value", "offset"),
    [
        ("SrcAddr", b"\1\1\1\1", 0),
        ("SrcMask", b"\1\1\1\1", 4),
        ("DestAddr", b"\1\1\1\1", 8),
        ("DestMask", b"\1\1\1\1", 12),
        ("Protocol", 0x01010101, 16),
        ("SrcPort", 0x0101, 20),
        ("DestPort", 0x0101, 22),
        ("SrcTunnelAddr", b"\1\1\1\1", 24),
        ("DestTunnelAddr", b"\1\1\1\1", 28),
        ("Flags", 0x0103, 32),
        ("NumSAs", 0x0102, 34),
    ],
)
@pytest.mark.parametrize("bits", [32, 64])
def test_v1_head_offsets(name, value, offset, bits):
    def pack(more):
        return v1.AddSa(**{"SecAssoc": (ESP_V1,), "KeyMat": b""} | more).pack(bits)

    assert fields(pack, {name: value}, 4) == offset


@pytest.mark.parametrize(("bits", "length", "material"), [(64, 176, 180), (32, 172, 176)])
def test_v1_tail_offsets(bits, length, material):
    data = v1.AddSa((ESP_V1,), b"\xee" * 44).pack(bits)
    assert struct.unpack_from("<I", data, length) == (44,)
    assert data[material:] == b"\xee" * 44
    v1.put_handle(data, 0x12345678, bits)
    assert data[168:172] == bytes.fromhex("78563412")
    assert v1.get_handle(data, bits) == 0x12345678


@pytest.mark.parametrize(("bits", "entry", "entry_handle", "length", "material"),
                         [(64, 176, 184, 192, 196), (32, 172, 180, 184, 188)])
def test_v1_udpesp_offsets(bits, entry, entry_handle, length, material):
    data = v1.AddSa((ESP_V1,), b"\xee" * 44, UdpEncapType=1).pack(bits)
    assert struct.unpack_from("<IH", data, entry) == (1, 4500)
    assert not any(data[entry_handle : entry_handle + bits // 8])
    assert struct.unpack_from("<I", data, length) == (44,)
    assert data[material:] == b"\xee" * 44


def test_v1_association_is_44_bytes():
    data = v1.AddSa((ESP_V1, AH_V1), bytes(64)).pack()
    assert struct.unpack_from("<8I", data, 36) == (2, 0x1001, 2, 20, 0, 3, 24, 0)
    assert struct.unpack_from("<8I", data, 36 + 44) == (1, 0x1002, 2, 20, 0, 0, 0, 0)
    assert not any(data[36 + 32 : 36 + 44])


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("udp", [False, True])
def test_v1_round_trip(bits, udp):
    request = v1.AddSa((ESP_V1, AH_V1), DES3_KEY + SHA1_KEY * 2, SrcAddr=b"\x0a\0\0\1", SrcTunnelAddr=b"\x0a\0\0\2",
                       NumSAs=2, UdpEncapType=1 if udp else None)
    assert v1.AddSa.unpack(request.pack(bits), udp, bits) == request


def test_v1_bundle():
    keys = DES3_KEY + SHA1_KEY + b"\x77" * 20
    bundle = v1.AddSa((ESP_V1, AH_V1), keys, DestTunnelAddr=b"\x0a\0\0\2").bundle()
    esp = Op(protocol="esp", spi=0x1001, encr_alg="3des-cbc", encr_key=DES3_KEY, auth_alg="hmac-sha1-96",
             auth_key=SHA1_KEY, icv_len=12)
    ah = Op(protocol="ah", spi=0x1002, auth_alg="hmac-sha1-96", auth_key=b"\x77" * 20, icv_len=12)
    assert bundle == Bundle("tunnel", (esp, ah))
    assert v1.AddSa((ESP_V1,), DES3_KEY + SHA1_KEY).bundle().mode == "transport"


def test_v1_key_order_switch():
    swapped = v1.AddSa((ESP_V1,), SHA1_KEY + DES3_KEY).bundle(auth_first=True)
    assert swapped == v1.AddSa((ESP_V1,), DES3_KEY + SHA1_KEY).bundle()
    assert swapped != v1.AddSa((ESP_V1,), SHA1_KEY + DES3_KEY).bundle()


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (v1.AddSa((ESP_V1,), bytes(44), Flags=1), "NOT_SUPPORTED", r"^Flags must be 2 \(outbound\), not 1$"),
        (v1.AddSa((ESP_V1, AH_V1, AH_V1), bytes(84)), "INVALID_DATA", r"^NumSAs must be 1 or 2, not 3$"),
        (v1.AddSa((AH_V1, ESP_V1), bytes(64)), "INVALID_DATA", r"^ops must be .* not ah, esp$"),
        (v1.AddSa((ESP_V1,), bytes(43)), "INVALID_LENGTH", r"^the algorithms need more key than KeyLen 43$"),
        (v1.AddSa((ESP_V1,), bytes(45)), "INVALID_LENGTH", r"^KeyLen must be 44 for these algorithms, not 45$"),
        (v1.AddSa((v1.SecAssoc(3, 1),), b""), "INVALID_DATA", r"^Operation must be 1 or 2, not 3$"),
        (v1.AddSa((v1.SecAssoc(2, 1, v1.AlgoInfo(2, 20), v1.AlgoInfo(2, 8)),), bytes(28)), "NOT_SUPPORTED",
         r"^the conf algoIdentifier must be one of 0, 1, 3, not 2$"),
        (v1.AddSa((v1.SecAssoc(2, 1, v1.AlgoInfo(2, 19)),), bytes(19)), "INVALID_DATA",
         r"^algoKeylen must be 20 for hmac-sha1-96, not 19$"),
        (v1.AddSa((v1.SecAssoc(1, 1, v1.AlgoInfo(2, 20), v1.AlgoInfo(1, 8)),), bytes(28)), "INVALID_DATA",
         r"^ConfAlgo must be zero for AUTHENTICATE$"),
        (v1.AddSa((v1.SecAssoc(2, 1, v1.AlgoInfo(), v1.AlgoInfo(1, 8)),), bytes(8)), "INVALID_DATA",
         r"nothing would be authenticated$"),
        (v1.AddSa((ESP_V1,), bytes(44), UdpEncapType=0), "NOT_SUPPORTED", r"^UdpEncapType must be 1, not 0$"),
    ],
)
def test_v1_refusals(request_, status, text):
    with pytest.raises(OidError, match=text) as caught:
        request_.bundle()
    assert caught.value.status is NdisStatus[status]


@pytest.mark.parametrize("bits", [32, 64])
def test_v1_short_buffers(bits):
    data = v1.AddSa((ESP_V1,), bytes(44)).pack(bits)
    with pytest.raises(OidError, match=r"^KeyLen is 44, KeyMat holds 43 bytes$") as caught:
        v1.AddSa.unpack(data[:-1], bits=bits)
    assert caught.value.status is NdisStatus.INVALID_LENGTH
    for length in (0, 40, len(data) - 45):
        with pytest.raises(OidError, match=r"ADD_SA needs") as caught:
            v1.AddSa.unpack(data[:length], bits=bits)
        assert caught.value.status is NdisStatus.BUFFER_TOO_SHORT
    for count in (0, -1, 4):
        with pytest.raises(OidError, match=rf"^NumSAs must be 1 or 2, not {count}$"):
            v1.AddSa.unpack(v1.AddSa((ESP_V1,), bytes(44), NumSAs=count).pack(bits), bits=bits)
    with pytest.raises(OidError, match="DELETE_SA needs"):
        v1.handles(bytes(bits // 8 - 1), 1, bits)


#: Field offsets of 64-bit and 32-bit hosts.
V2_OFFSETS = {
    "ADD_SA": {
        "Next": (8, 4), "NumExtHdrs": (16, 8), "Flags": (20, 12), "Endpoints": (24, 16), "OffloadHandle": (56, 48),
        "UdpEspEncapsulation": (64, 52), "SecAssoc": (68, 56), "KeyLength": (164, 152), "KeyData": (168, 156),
    },
    "ADD_SA_EX": {
        "NumExtHdrs": (4, 4), "Flags": (8, 8), "Endpoints": (12, 12), "OffloadHandle": (48, 44),
        "UdpEspEncapsulation": (56, 48), "SecAssoc": (60, 52), "KeyLength": (156, 148), "KeyOffset": (160, 152),
        "SourceSwitchPortId": (164, 156), "VlanId": (168, 160),
    },
    "UPDATE_SA": {"OffloadHandle": (8, 4), "Operation": (16, 8), "Spi": (20, 12), "SequenceNumberHighOrder": (24, 16)},
    "DELETE_SA": {"Next": (8, 4), "OffloadHandle": (16, 8)},
}


@pytest.mark.parametrize("name", V2_OFFSETS)
def test_v2_layouts(name):
    for column, bits in enumerate((64, 32)):
        layout = v2.layout(name, bits)
        assert {key: offsets[column] for key, offsets in V2_OFFSETS[name].items()} == {
            key: layout[key] for key in layout if key not in ("Header", "end")
        }
        assert layout["Header"] == 0


def gcm(bits=128, icv=16, **more):
    info = v2.AlgorithmInfo(v2.Encr[f"GCM_{bits}"], bits // 8 + 4, 0, icv)
    return v2.SecAssoc(2, 0x2001, EncryptionAlgorithm=info, **more)


CBC = v2.SecAssoc(2, 0x2002, v2.AlgorithmInfo(v2.Auth.SHA256, 32, 24), v2.AlgorithmInfo(v2.Encr.CBC_192, 24, 0))
AH_GMAC = v2.SecAssoc(1, 0x2003, v2.AlgorithmInfo(v2.Auth.GMAC_256, 36, 56))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("extended", [False, True])
def test_v2_bytes_and_round_trip(bits, extended):
    request = v2.AddSa((CBC, gcm(flags := 128, Flags=1, SequenceNumberHighOrder=9)), bytes(range(flags)), v2.IPV6,
                       bytes(range(32)), 2, 2, extended=extended)
    data = request.pack(bits)
    at = {key: offsets[bits == 32] for key, offsets in V2_OFFSETS["ADD_SA_EX" if extended else "ADD_SA"].items()}
    assert data[:2] == b"\x80\x01"
    assert struct.unpack_from("<II", data, at["NumExtHdrs"]) == (2, 0x10)
    assert data[at["Endpoints"] : at["Endpoints"] + 32] == bytes(range(32))
    assert struct.unpack_from("<I", data, at["UdpEspEncapsulation"]) == (2,)
    assert struct.unpack_from("<12I", data, at["SecAssoc"]) == (0, 2, 0x2002, 4, 32, 24, 0, 0x80, 24, 0, 0, 0)
    assert struct.unpack_from("<12I", data, at["SecAssoc"] + 48) == (1, 2, 0x2001, 0, 0, 0, 0, 8, 20, 0, 16, 9)
    assert struct.unpack_from("<I", data, at["KeyLength"]) == (128,)
    start = struct.unpack_from("<I", data, at["KeyOffset"])[0] if extended else at["KeyData"]
    assert data[start:] == bytes(range(128))
    assert v2.AddSa.unpack(data, extended=extended, bits=bits) == request
    v2.put_handle(data, 0x80000001, extended=extended, bits=bits)
    assert struct.unpack_from("<I", data, at["OffloadHandle"]) == (0x80000001,)
    assert v2.get_handle(data, extended=extended, bits=bits) == 0x80000001


@pytest.mark.parametrize("bits", [32, 64])
def test_v2_update_and_delete_round_trip(bits):
    update = v2.UpdateSa(0x00010002, 2, 0x2001, 7)
    assert v2.UpdateSa.unpack(update.pack(bits), bits) == update
    delete = v2.DeleteSa(0x00010002, 0x40)
    assert v2.DeleteSa.unpack(delete.pack(bits), bits) == delete


def test_v2_bundles():
    keys = bytes(range(92))
    bundle = v2.AddSa((CBC, AH_GMAC), keys).bundle(iv="frame")
    esp = Op(protocol="esp", spi=0x2002, encr_alg="aes-cbc", encr_key=keys[:24], auth_alg="hmac-sha256-128",
             auth_key=keys[24:56], icv_len=16, iv="frame")
    ah = Op(protocol="ah", spi=0x2003, auth_alg="aes-gmac", auth_key=keys[56:88], salt=keys[88:], icv_len=16,
            iv="frame")
    assert bundle == Bundle("transport", (esp, ah))

    (op,) = v2.AddSa((gcm(icv=8, Flags=1, SequenceNumberHighOrder=9),), keys, UdpEspEncapsulation=2).bundle().ops
    assert op == Op(protocol="esp", spi=0x2001, encr_alg="aes-gcm", encr_key=keys[:16], salt=keys[16:20], icv_len=8,
                    esn=True, esn_high=9, udp_encap=True)

    null = v2.SecAssoc(2, 1, v2.AlgorithmInfo(v2.Auth.GMAC_128, 20), v2.AlgorithmInfo(v2.Encr.NONE))
    (op,) = v2.AddSa((null,), keys).bundle().ops
    assert (op.encr_alg, op.encr_key, op.salt, op.auth_alg) == ("aes-gmac", keys[:16], keys[16:20], None)


@pytest.mark.parametrize(("udp", "mode"), [(0, "transport"), (1, "transport"), (2, "tunnel"), (4, "tunnel"),
                                           (8, "transport")])
def test_v2_udp_subtypes(udp, mode):
    bundle = v2.AddSa((gcm(),), bytes(20), UdpEspEncapsulation=udp).bundle()
    assert bundle.mode == mode
    assert bundle.ops[0].udp_encap == (udp != 0)


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (v2.AddSa((gcm(),), bytes(20), v2.INBOUND), "NOT_SUPPORTED", "^Flags must not hold INBOUND"),
        (v2.AddSa((gcm(),), bytes(19)), "INVALID_LENGTH", "key bytes 0 to 20 exceed KeyLength 19$"),
        (v2.AddSa((gcm(icv=10),), bytes(20)), "INVALID_PARAMETER", "^icv_len must be 8, 12 or 16"),
        (v2.AddSa((gcm(), gcm()), bytes(20)), "INVALID_PARAMETER", "^ops must be .* not esp, esp$"),
        (v2.AddSa((gcm(),), bytes(20), UdpEspEncapsulation=3), "INVALID_PARAMETER", "0, 1, 2, 4 or 8, not 3$"),
        (v2.AddSa((v2.SecAssoc(2, 1, EncryptionAlgorithm=v2.AlgorithmInfo(0x200, 16)),), bytes(16)), "NOT_SUPPORTED",
         r"^EncryptionAlgorithm\.Identifier must be one of 0x1, .*, not 0x200$"),
        (v2.AddSa((v2.SecAssoc(1, 1, v2.AlgorithmInfo(2, 16)),), bytes(16)), "INVALID_PARAMETER",
         r"^AuthenticationAlgorithm\.KeyLength must be 20 for hmac-sha1-96, not 16$"),
        (v2.AddSa((v2.SecAssoc(1, 1),), b""), "NOT_SUPPORTED", r"^AuthenticationAlgorithm\.Identifier"),
        (v2.AddSa((v2.SecAssoc(0, 1),), b""), "INVALID_PARAMETER", "^Operation must be 1 or 2, not 0$"),
    ],
)
def test_v2_refusals(request_, status, text):
    with pytest.raises(OidError, match=text) as caught:
        request_.bundle()
    assert caught.value.status is NdisStatus[status]


@pytest.mark.parametrize("bits", [32, 64])
def test_v2_unsound_buffers(bits):
    data = v2.AddSa((gcm(),), bytes(20)).pack(bits)
    with pytest.raises(OidError, match="KeyLength is 20, the buffer holds 19 bytes of key"):
        v2.AddSa.unpack(data[:-1], bits=bits)
    with pytest.raises(OidError, match="ADD_SA needs"):
        v2.AddSa.unpack(data[: v2.layout("ADD_SA", bits)["end"] - 1], bits=bits)
    with pytest.raises(OidError, match="NumExtHdrs must be 1 or 2, not 3"):
        v2.AddSa.unpack(v2.AddSa((gcm(),), bytes(20), NumExtHdrs=3).pack(bits), bits=bits)
    for at, value in ((0, 0x81), (1, 0), (2, 4)):
        bad = bytearray(data)
        bad[at] = value
        with pytest.raises(OidError, match=r"^Header must be type 0x80, revision 1, size"):
            v2.AddSa.unpack(bad, bits=bits)
    extended = v2.AddSa((gcm(),), bytes(20), extended=True).pack(bits)
    struct.pack_into("<I", extended, v2.layout("ADD_SA_EX", bits)["KeyOffset"], 8)
    with pytest.raises(OidError, match="KeyOffset must be at least"):
        v2.AddSa.unpack(extended, extended=True, bits=bits)


def capabilities(encr, auth, features):
    return Capabilities((0, 1, 0), 0, 1, 256, 2046, frozenset(encr), frozenset(auth), features)


def test_capability_structures_of_the_whole_matrix():
    everything = Feature(0x3FFF)
    ciphers = {"null", "des-cbc", "3des-cbc", "aes-gcm", "aes-cbc", "aes-gmac"}
    build = capabilities(ciphers, {"hmac-md5-96", "hmac-sha1-96", "hmac-sha256-128", "aes-gmac"}, everything)
    assert struct.unpack("<7I", build.offload_v1()) == (
        2 | 4 | 16, 1, 1, 1, 0xF0, 0b00_01_01_01_01_01, 0b00_01_01_01_01_01_00_01
    )
    encapsulation, *flags, udp, auth, encr, slots = struct.unpack("<I11BxIIII", build.offload_v2())
    assert len(build.offload_v2()) == 32
    assert (encapsulation, udp, auth, encr, slots) == (22, 0xF, 0x3F, 0x1FF, 256)
    # LsoSupported alone is never claimed.
    assert flags == [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1]


def test_capability_structures_of_a_small_build():
    build = capabilities({"aes-gcm"}, set(), Feature.ESP | Feature.IV_FRAME | Feature.IV_GENERATE)
    assert struct.unpack("<7I", build.offload_v1()) == (22, 0, 0, 0, 0, 0, 0)
    _, *flags, udp, auth, encr, _ = struct.unpack("<I11BxIIII", build.offload_v2())
    assert (udp, auth, encr) == (0, 0, 0x38)
    assert flags == [0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0]
