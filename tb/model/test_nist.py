# SPDX-License-Identifier: Apache-2.0
"""NIST's and the RFCs' vector files of PyPI's cryptography_vectors through the model's primitives."""

import pytest
from model.records import records
from nicsec_sim.model.sa import Op
from nicsec_sim.model.suites import encrypt, gmac, mac, seal


def esp(encr, key, salt=None, icv_len=12, **fields):
    if encr in ("aes-cbc", "aes-ctr", "des-cbc", "3des-cbc"):
        fields = {"auth_alg": "hmac-sha1-96", "auth_key": bytes(20)}
    return Op(protocol="esp", spi=1, encr_alg=encr, encr_key=key, salt=salt, icv_len=icv_len, **fields)


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_gcm(bits):
    ran = 0
    for record in records(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp"):
        tag_len = int(record["Taglen"]) // 8
        if record["IVlen"] != "96" or tag_len not in (8, 12, 16):
            continue
        fields = (bytes.fromhex(record[name]) for name in ("Key", "IV", "PT", "AAD", "CT", "Tag"))
        key, iv, plain, aad, cipher, tag = fields
        if plain:
            op = esp("aes-gcm", key, iv[:4], tag_len)
            assert seal(op, iv[4:], aad, plain) == (cipher, tag)
        else:
            assert gmac(key, iv, aad)[:tag_len] == tag
        ran += 1
    assert ran > 500


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("name", ["CBCGFSbox", "CBCKeySbox", "CBCVarKey", "CBCVarTxt", "CBCMMT"])
def test_cbc(bits, name):
    ran = 0
    for record in records(f"ciphers/AES/CBC/{name}{bits}.rsp"):
        key, iv, plain, cipher = (bytes.fromhex(record[field]) for field in ("KEY", "IV", "PLAINTEXT", "CIPHERTEXT"))
        assert encrypt(esp("aes-cbc", key), iv, plain) == cipher
        ran += 1
    assert ran >= 5


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_ccm(bits):
    """The vectors whose nonce has the 11 bytes of RFC 4309."""
    ran = 0
    for record in records(f"ciphers/AES/CCM/VNT{bits}.rsp"):
        if record["Nlen"] != "11":
            continue
        fields = (bytes.fromhex(record[field]) for field in ("Key", "Nonce", "Adata", "Payload", "CT"))
        key, nonce, aad, plain, cipher = fields
        op = esp("aes-ccm", key, nonce[:3], len(cipher) - len(plain))
        assert b"".join(seal(op, nonce[3:], aad, plain)) == cipher
        ran += 1
    assert ran == 10


@pytest.mark.parametrize("name", ["invperm", "permop", "subtab", "varkey", "vartext"])
def test_des(name):
    """The known answers of 3DES have three equal keys, which makes them DES's."""
    ran = 0
    for record in records(f"ciphers/3DES/CBC/TCBC{name}.rsp"):
        key, iv, plain, cipher = (bytes.fromhex(record[field]) for field in ("KEYs", "IV", "PLAINTEXT", "CIPHERTEXT"))
        assert encrypt(esp("des-cbc", key), iv, plain) == cipher
        assert encrypt(esp("3des-cbc", key * 3), iv, plain) == cipher
        ran += 1
    assert ran >= 15


def test_3des():
    ran = 0
    for record in records("ciphers/3DES/CBC/TCBCMMT3.rsp"):
        key = bytes.fromhex(record["KEY1"] + record["KEY2"] + record["KEY3"])
        iv, plain, cipher = (bytes.fromhex(record[field]) for field in ("IV", "PLAINTEXT", "CIPHERTEXT"))
        assert encrypt(esp("3des-cbc", key), iv, plain) == cipher
        ran += 1
    assert ran >= 10


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("rfc-2202-md5", "hmac-md5-96"),
        ("rfc-2202-sha1", "hmac-sha1-96"),
        ("rfc-4231-sha256", "hmac-sha256-128"),
        ("rfc-4231-sha384", "hmac-sha384-192"),
        ("rfc-4231-sha512", "hmac-sha512-256"),
    ],
)
def test_hmac(path, name):
    """RFC 2202 and 4231; their long keys are hashed first."""
    ran = 0
    for record in records(f"HMAC/{path}.txt"):
        key, message, expected = (bytes.fromhex(record[field]) for field in ("Key", "Msg", "MD"))
        assert mac(name, key, message)[: len(expected)] == expected
        ran += 1
    assert ran >= 6


def test_cmac():
    ran = 0
    for record in records("CMAC/nist-800-38b-aes128.txt"):
        key, message, expected = (bytes.fromhex(record[field]) for field in ("KEY", "MESSAGE", "OUTPUT"))
        assert mac("aes-cmac-96", key, message) == expected
        ran += 1
    assert ran >= 4
