# SPDX-License-Identifier: Apache-2.0
"""Packets and authenticators that RFCs and drafts print, through the whole engine where they are whole packets."""

import pytest
from nicsec_sim.hoststack import ethernet
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status
from nicsec_sim.model.suites import aes_xcbc, encrypt, mac
from nicsec_sim.model.verify import verify
from nicsec_sim.plain import ipv4


def protect(op, esp, esn_high=None):
    """The ESP packet that the engine makes of a framed ``esp`` in transport mode."""
    bundle = Bundle("transport", (op,))
    engine = Engine()
    frame = ethernet(ipv4("192.168.123.3", "192.168.123.200", 50, esp))
    result = engine.process(frame, engine.add_sa(bundle), esn_high1=esn_high)
    assert result.status is Status.SUCCESS
    assert verify(result.frame, bundle, esn_high1=esn_high).status is Status.SUCCESS
    return result.frame[34:]


# RFC 3602 section 4 cases 5 to 8: key, plain payload, next header, ESP packet. They carry no ICV.
RFC3602 = [
    ("90d382b410eeba7ad938c46cec1a82bf",
     "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
     "3031323334353637", 1,
     "0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856"
     "a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"),
    ("90d382b410eeba7ad938c46cec1a82bf",
     "0800b5e8a80a0500a69c083d0b660e00777777777777777777777777", 1,
     "000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75"),
    ("0123456789abcdef0123456789abcdef",
     "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f101112131415161718191a1b"
     "1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637", 4,
     "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8"
     "e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5"
     "a100b842f1c22f0d"),
    ("0123456789abcdef0123456789abcdef",
     "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffffffffffffffffffffffffffffffffffff"
     "ffffffffffffffffffffffff", 4,
     "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb5"
     "0f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892"),
]


@pytest.mark.parametrize(("key", "payload", "next_header", "expected"), RFC3602)
def test_rfc3602_esp_cbc(key, payload, next_header, expected):
    expected, payload = bytes.fromhex(expected), bytes.fromhex(payload)
    # An ESP op alone must authenticate, which these do not; the ICV that is added leaves the rest as printed.
    op = Op(
        protocol="esp", spi=int.from_bytes(expected[:4], "big"), encr_alg="aes-cbc", encr_key=bytes.fromhex(key),
        auth_alg="hmac-sha1-96", auth_key=bytes(20), icv_len=12, iv="frame",
    )
    pad = -(len(payload) + 2) % 16
    plain = expected[:24] + payload + bytes(range(1, pad + 1)) + bytes([pad, next_header]) + bytes(12)
    assert protect(op, plain)[:-12] == expected


# draft-mcgrew-gcm-test-01 section 4: key, nonce, plain payload with trailer, SPI and sequence number, result.
MCGREW_GCM = [
    ("4c80cdefbb5d10da906ac73c3613a634", "2e443b684956ed7e3b244cfe",
     "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f75647003736970096379626572"
     "6369747902646b000021000101020201", "000043218765432100000000",
     "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff62"
     "47aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4"),
    ("feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000000000037369700963796265726369747902646b"
     "00000100010001", "0000a5f80000000a",
     "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4"
     "ec3b9ba95d918bd183b70d3aa8bc6ee4c309e9d85a41ad4a"),
    ("abbccddef00112233445566778899aababbccddef00112233445566778899aab", "112233440102030405060708",
     "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020201",
     "4a2cbfe300000002",
     "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8eb335f4ee"
     "cfdbf831824b4c4915956c96"),
    ("3de09874b388e6491988d0c3607eae1f", "57690e434e280000a2fca1a3",
     "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c6d6e6f70717273747576776162636465"
     "6667686901020201", "42f67e3f1010101010101010",
     "fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c35791765acbd8701ad79845bf9fe3fba487bc91755e6662b4c8d0d"
     "1f5e22739530320ae0d731cc978ecafaeae88f00e80d6e48"),
    ("3de09874b388e6491988d0c3607eae1f", "57690e434e280000a2fca1a3",
     "4500001c42a200008001441f406793b6e00000020a00f5ff01020201", "42f67e3f1010101010101010",
     "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed369f071f35e034be95f112e4e7d05d35"),
    ("feffe9928665731c6d6a8f9467308308feffe9928665731c", "cafebabefacedbaddecaf888",
     "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001", "0000a5f80000000a",
     "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc7795457b9652037f5318027b5b4cd7a636"),
    ("abbccddef00112233445566778899aab", "decaf888cafedebaceface74",
     "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18d75b81dc91baa0476b91b924b280389d"
     "92c963bac046ec959b6266c04722b14923010101", "000001000000000000000001",
     "18a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349c1d2fbec168f9190feebaf2cb01984e65863965d7472b79da345e0e78019"
     "1f0d2f0e0f496c226f2127b27db35724e7845d68651f57e65f354f75ff17015769623436"),
    ("abbccddef00112233445566778899aababbccddef00112233445566778899aab", "73616c74616e640169766563",
     "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001", "17405e67156f3126dd0db99b",
     "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e451626c2415771e3b7eebca614c89b35"),
    ("3de09874b388e6491988d0c3607eae1f", "57690e434e280000a2fca1a3",
     "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e0001e8c18d65759d52284a0352c71475c8880391c"
     "764d6e5ee0496b325ae270c03899493915010101", "42f67e3f1010101010101010",
     "fba2cad12fc1f9f00d3cebf305410db83d7784b607323d220f24b0a97d54182800cadb0f68d99ef0e0c0c89ae9bea8884e52d65bc1afd074"
     "0f742444747b5b39ab533163aad4550ee5160975cdb608c5769189609763b8e18caa81e2"),
    ("7d773d00c144c525ac619d18c84a3f47", "d966426743457e9182443bc6", "01020201", "335467aeffffffff",
     "437f866bcb3f699fe9b0822bac961c4504bef270"),
    ("6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961", "7475726e333021696765746d",
     "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201",
     "796b6963ffffffffffffffff",
     "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc63b9d0937ba2"
     "945f669368661a329fb4c053"),
]


def sequence(aad):
    """ESP header, and the high half of an ESN, out of the printed additional data."""
    if len(aad) == 8:
        return aad, None
    return aad[:4] + aad[8:], int.from_bytes(aad[4:8], "big")


def aead_op(encr, key, nonce, spi, high, **fields):
    salt = {"aes-ccm": 3}.get(encr, 4)
    return Op(
        protocol="esp", spi=int.from_bytes(spi, "big"), encr_alg=encr, encr_key=key, salt=nonce[:salt],
        icv_len=16, iv="frame", esn=high is not None, **fields,
    )


@pytest.mark.parametrize(("key", "nonce", "plain", "aad", "expected"), MCGREW_GCM)
@pytest.mark.parametrize("icv_len", [8, 12, 16])
def test_mcgrew_gcm_esp(key, nonce, plain, aad, expected, icv_len):
    key, nonce, plain, aad, expected = map(bytes.fromhex, (key, nonce, plain, aad, expected))
    header, high = sequence(aad)
    op = Op(
        protocol="esp", spi=int.from_bytes(header[:4], "big"), encr_alg="aes-gcm", encr_key=key, salt=nonce[:4],
        icv_len=icv_len, iv="frame", esn=high is not None,
    )
    wire = protect(op, header + nonce[4:] + plain + bytes(icv_len), high)
    assert wire == header + nonce[4:] + expected[: len(plain) + icv_len]


def test_mcgrew_gmac_esp():
    """draft-mcgrew-gcm-test-01, the GMAC case: the payload stays in clear, and the IV is authenticated before it."""
    header, iv = bytes.fromhex("0000432100000007"), bytes(8)
    plain = bytes.fromhex(
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201"
    )
    key, salt = bytes.fromhex("4c80cdefbb5d10da906ac73c3613a634"), bytes.fromhex("22433c64")
    op = aead_op("aes-gmac", key, salt + iv, header[:4], None)
    wire = protect(op, header + iv + plain + bytes(16))
    assert wire == header + iv + plain + bytes.fromhex("f2a9a836e155106aa8dcd618e4099aaa")


def test_rfc7634_chacha20_poly1305_esp():
    """RFC 7634 appendix A."""
    header, iv = bytes.fromhex("0102030400000005"), bytes.fromhex("1011121314151617")
    op = aead_op("chacha20-poly1305", bytes(range(0x80, 0xA0)), bytes.fromhex("a0a1a2a3") + iv, header[:4], None)
    plain = bytes.fromhex(
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718191a1b"
        "1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204"
    )
    assert protect(op, header + iv + plain + bytes(16)) == header + iv + bytes.fromhex(
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9"
        "befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0"
        "76aaa8266b7fb0f7b11b369907e1ad43"
    )


# RFC 3566 section 4.6: key 000102..0f, message, authenticator.
RFC3566 = [
    (b"", "75f0251d528ac01c4573dfd584d79f29"),
    (bytes(range(3)), "5b376580ae2f19afe7219ceef172756f"),
    (bytes(range(16)), "d2a246fa349b68a79998a4394ff7a263"),
    (bytes(range(20)), "47f51b4564966215b8985c63055ed308"),
    (bytes(range(32)), "f54f0ec8d2b9f3d36807734bd5283fd4"),
    (bytes(range(34)), "becbb3bccdb518a30677d5481fb6b4d8"),
    (bytes(1000), "f0dafee895db30253761103b5d84528f"),
]


@pytest.mark.parametrize(("message", "expected"), RFC3566)
def test_rfc3566_xcbc(message, expected):
    assert aes_xcbc(bytes(range(16)), message).hex() == expected


# RFC 4494 section 4 (the vectors of RFC 4493, cut to 96 bits).
RFC4494 = [
    (0, "bb1d6929e95937287fa37d12"),
    (16, "070a16b46b4d4144f79bdd9d"),
    (40, "dfa66747de9ae63030ca3261"),
    (64, "51f0bebf7e3b9d92fc497417"),
]


@pytest.mark.parametrize(("length", "expected"), RFC4494)
def test_rfc4494_cmac(length, expected):
    message = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    assert mac("aes-cmac-96", key, message[:length])[:12].hex() == expected


# RFC 4868 section 2.7.2: algorithm, key, message, authenticator.
RFC4868 = [
    ("hmac-sha256-128", b"\x0b" * 32, b"Hi There", "198a607eb44bfbc69903a0f1cf2bbdc5"),
    ("hmac-sha256-128", b"JefeJefeJefeJefeJefeJefeJefeJefe", b"what do ya want for nothing?",
     "167f928588c5cc2eef8e3093caa0e87c"),
    ("hmac-sha256-128", b"\xaa" * 32, b"\xdd" * 50, "cdcb1220d1ecccea91e53aba3092f962"),
    ("hmac-sha256-128", bytes(range(1, 33)), b"\xcd" * 50, "372efcf9b40b35c2115b1346903d2ef4"),
    ("hmac-sha384-192", b"\x0b" * 48, b"Hi There", "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"),
    ("hmac-sha384-192", b"JefeJefeJefeJefeJefeJefeJefeJefeJefeJefeJefeJefe", b"what do ya want for nothing?",
     "2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d"),
    ("hmac-sha512-256", b"\x0b" * 64, b"Hi There", "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"),
    ("hmac-sha512-256", b"Jefe" * 16, b"what do ya want for nothing?",
     "cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b15454"),
]


@pytest.mark.parametrize(("name", "key", "message", "expected"), RFC4868)
def test_rfc4868_hmac(name, key, message, expected):
    assert mac(name, key, message)[: len(expected) // 2].hex() == expected


# RFC 3686 section 6: key, nonce, IV, plaintext, ciphertext.
RFC3686 = [
    ("ae6852f8121067cc4bf7a5765577f39e", "00000030", "0000000000000000", b"Single block msg",
     "e4095d4fb7a7b3792d6175a3261311b8"),
    ("7e24067817fae0d743d6ce1f32539163", "006cb6db", "c0543b59da48d90b", bytes(range(32)),
     "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"),
    ("7691be035e5020a8ac6e618529f9a0dc", "00e0017b", "27777f3f4a1786f0", bytes(range(36)),
     "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f"),
    ("16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515", "00000048", "36733c147d6d93cb", b"Single block msg",
     "4b55384fe259c9c84e7935a003cbe928"),
    ("7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a", "0096b03b", "020c6eadc2cb500d", bytes(range(32)),
     "453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00"),
    ("776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104", "00000060", "db5672c97aa8f0b2",
     b"Single block msg", "145ad01dbf824ec7560863dc71e3e0c0"),
    ("ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d", "001cc5b7", "51a51d70a1c11148",
     bytes(range(36)), "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8"),
]


@pytest.mark.parametrize(("key", "nonce", "iv", "plain", "expected"), RFC3686)
def test_rfc3686_ctr(key, nonce, iv, plain, expected):
    op = Op(
        protocol="esp", spi=1, encr_alg="aes-ctr", encr_key=bytes.fromhex(key), salt=bytes.fromhex(nonce),
        auth_alg="hmac-sha1-96", auth_key=bytes(20), icv_len=12,
    )
    assert encrypt(op, bytes.fromhex(iv), plain).hex() == expected


def test_fips81_des_cbc():
    """FIPS 81 appendix C."""
    op = Op(
        protocol="esp", spi=1, encr_alg="des-cbc", encr_key=bytes.fromhex("0123456789abcdef"),
        auth_alg="hmac-md5-96", auth_key=bytes(16), icv_len=12,
    )
    wire = encrypt(op, bytes.fromhex("1234567890abcdef"), b"Now is the time for all ")
    assert wire.hex() == "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"
