# SPDX-License-Identifier: Apache-2.0
"""SA bundles: what is legal, what each refusal says, and the round trip through JSON."""

import json
import re

import pytest
from model.cases import random_bundle, rng_for
from nicsec_sim.model.algorithm import AUTHS, ENCRS
from nicsec_sim.model.sa import Bundle, Limits, Op

GCM = {
    "protocol": "esp", "spi": 5, "encr_alg": "aes-gcm", "encr_key": "00" * 16, "salt": "01020304", "auth_alg": None,
    "auth_key": None, "icv_len": 16, "iv": "frame", "esn": False, "esn_high": None, "udp_encap": False,
}
CBC = {**GCM, "encr_alg": "aes-cbc", "salt": None, "auth_alg": "hmac-sha1-96", "auth_key": "0b" * 20, "icv_len": 12}
AH = {**GCM, "protocol": "ah", "encr_alg": None, "encr_key": None, "salt": None, "auth_alg": "hmac-sha1-96",
      "auth_key": "0b" * 20, "icv_len": 12}
BARE = {**CBC, "auth_alg": None, "auth_key": None, "icv_len": 0}
GMAC = {**AH, "auth_alg": "aes-gmac", "auth_key": "00" * 24, "salt": "01020304", "icv_len": 16}


def bundle(*ops, mode="transport"):
    return Bundle.from_json({"mode": mode, "ops": list(ops)})


def test_json_round_trip():
    rng = rng_for(1)
    for _ in range(300):
        made = random_bundle(rng, rng.choice(["transport", "tunnel"]))
        text = json.dumps(made.to_json())
        assert Bundle.from_json(json.loads(text)) == made


@pytest.mark.parametrize(
    ("op", "iv_len", "align"),
    [
        (GCM, 8, 4),
        (CBC, 16, 16),
        ({**CBC, "encr_alg": "des-cbc", "encr_key": "00" * 8}, 8, 8),
        ({**CBC, "encr_alg": "3des-cbc", "encr_key": "00" * 24}, 8, 8),
        ({**CBC, "encr_alg": "null", "encr_key": None}, 0, 4),
        ({**CBC, "encr_alg": "aes-ctr", "salt": "01020304"}, 8, 4),
        ({**GCM, "encr_alg": "aes-gmac"}, 8, 4),
        ({**GCM, "encr_alg": "aes-ccm", "salt": "010203"}, 8, 4),
        ({**GCM, "encr_alg": "chacha20-poly1305", "encr_key": "00" * 32}, 8, 4),
        (AH, 0, 4),
        (GMAC, 8, 4),
    ],
)
def test_sizes(op, iv_len, align):
    made = bundle(op).ops[0]
    assert (made.iv_len, made.align) == (iv_len, align)
    assert made.ah_iv_len == (iv_len if op["protocol"] == "ah" else 0)


def test_spellings_are_brought_to_one():
    null = {**CBC, "encr_key": ""}
    assert bundle({**null, "encr_alg": None}) == bundle({**null, "encr_alg": "null"})
    assert bundle({**AH, "encr_alg": "null"}) == bundle(AH)
    by_key = {**GMAC, "encr_key": GMAC["auth_key"], "auth_key": None}
    assert bundle(by_key) == bundle(GMAC) == bundle({**by_key, "encr_alg": "aes-gmac", "auth_alg": None})
    esp = {**GCM, "encr_alg": "aes-gmac"}
    assert bundle({**esp, "encr_alg": "null", "auth_alg": "aes-gmac"}) == bundle(esp)


def test_esp_without_authentication_needs_ah():
    assert bundle(BARE, AH).ops[0].icv_len == 0
    with pytest.raises(ValueError, match=r"^auth_alg must not be null in ESP without AH after it"):
        bundle(BARE)


ALL_ENCR = ", ".join(list(ENCRS)[:-1]) + f" or {list(ENCRS)[-1]}"
ALL_AUTH = ", ".join(list(AUTHS)[:-1]) + f" or {list(AUTHS)[-1]}"


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ({**GCM, "protocol": "tcp"}, "protocol must be esp or ah, not 'tcp'"),
        ({**GCM, "spi": 0}, "spi must be an integer from 1 to 4294967295, not 0"),
        ({**GCM, "spi": True}, "spi must be an integer from 1 to 4294967295, not True"),
        ({**GCM, "spi": 1 << 32}, "spi must be an integer from 1 to 4294967295, not 4294967296"),
        ({**GCM, "encr_alg": "rot13"}, f"encr_alg must be None, {ALL_ENCR}, not 'rot13'"),
        ({**CBC, "auth_alg": "crc"}, f"auth_alg must be None, {ALL_AUTH}, not 'crc'"),
        ({**GCM, "encr_alg": []}, f"encr_alg must be None, {ALL_ENCR}, not []"),
        ({**GCM, "encr_key": "00" * 15}, "encr_key must be 16, 24 or 32 bytes for aes-gcm, not 15"),
        ({**GCM, "encr_key": None}, "encr_key must be 16, 24 or 32 bytes for aes-gcm, not 0"),
        ({**GCM, "encr_key": "zz"}, "encr_key must be a string of hex digits, two a byte"),
        ({**GCM, "encr_key": 5}, "encr_key must be a string of hex digits, two a byte"),
        ({**GCM, "salt": "01"}, "salt must be 4 bytes for aes-gcm, not 1"),
        ({**CBC, "salt": "01020304"}, "salt must be null for aes-cbc, not 4 bytes"),
        ({**CBC, "encr_alg": "null"}, "encr_key must be null for null, not 16 bytes"),
        ({**CBC, "encr_alg": "des-cbc"}, "encr_key must be 8 bytes for des-cbc, not 16"),
        ({**CBC, "encr_alg": "3des-cbc"}, "encr_key must be 24 bytes for 3des-cbc, not 16"),
        ({**GCM, "encr_alg": "aes-ccm"}, "salt must be 3 bytes for aes-ccm, not 4"),
        ({**GCM, "icv_len": 10}, "icv_len must be 8, 12 or 16 for aes-gcm, not 10"),
        ({**GCM, "icv_len": "16"}, "icv_len must be an integer from 0 to 32, not '16'"),
        ({**GCM, "encr_alg": "aes-gmac", "icv_len": 12}, "icv_len must be 16 for aes-gmac, not 12"),
        ({**CBC, "icv_len": 16}, "icv_len must be 12 for hmac-sha1-96, not 16"),
        ({**CBC, "auth_alg": "hmac-sha256-128", "icv_len": 32}, "icv_len must be 16 or 12 for hmac-sha256-128, not 32"),
        ({**CBC, "auth_key": None}, "auth_key must be at least 1 byte for hmac-sha1-96, not 0"),
        ({**CBC, "auth_alg": "aes-cmac-96"}, "auth_key must be 16 bytes for aes-cmac-96, not 20"),
        ({**BARE, "auth_key": "00"}, "auth_key must be null for an op without auth_alg, not 1 bytes"),
        ({**BARE, "icv_len": 12}, "icv_len must be 0 for an ESP op without authentication, not 12"),
        ({**GCM, "auth_alg": "hmac-sha1-96"}, "auth_alg must be null beside aes-gcm, not 'hmac-sha1-96'"),
        ({**CBC, "auth_alg": "aes-gmac"},
         "auth_alg must not be 'aes-gmac' beside aes-cbc: as ESP it encrypts nothing"),
        ({**AH, "encr_alg": "aes-cbc"}, "encr_alg must be null for ah, not 'aes-cbc'"),
        ({**AH, "encr_key": "00" * 16}, "encr_key must be null for ah, not 16 bytes"),
        ({**AH, "salt": "00000000"}, "salt must be null for ah with hmac-sha1-96, not 4 bytes"),
        ({**AH, "auth_alg": None}, f"auth_alg must be {ALL_AUTH} for ah, not None"),
        ({**AH, "udp_encap": True}, "udp_encap must be false for ah, not True"),
        ({**GMAC, "salt": None}, "salt must be 4 bytes for ah with aes-gmac, not 0"),
        ({**GMAC, "auth_key": "00" * 20}, "auth_key must be 16, 24 or 32 bytes for aes-gmac, not 20"),
        ({**GCM, "iv": "random"}, "iv must be frame or generate, not 'random'"),
        ({**GCM, "esn": 1}, "esn must be true or false, not 1"),
        ({**GCM, "esn_high": -1}, "esn_high must be an integer from 0 to 4294967295, not -1"),
        ({**GCM, "iv_init": 1 << 64}, f"iv_init must be an integer from 0 to {2**64 - 1}, not {1 << 64}"),
    ],
)
def test_refusals(op, message):
    with pytest.raises(ValueError, match=f"^{re.escape(f'ops[0]: {message}')}$"):
        bundle(op)


def test_unknown_field():
    with pytest.raises(ValueError, match=r"^ops\[0\]: 'colour' is no field of an op; there are auth_alg, auth_key, "):
        bundle({**GCM, "colour": 1})


def test_sha256_may_be_cut_to_96_bits():
    assert bundle({**CBC, "auth_alg": "hmac-sha256-128", "icv_len": 12}).ops[0].icv_len == 12


@pytest.mark.parametrize("name", ["protocol", "spi", "icv_len"])
def test_missing_fields(name):
    op = dict(GCM)
    del op[name]
    with pytest.raises(ValueError, match=rf"^ops\[0\]: {name} is missing$"):
        bundle(op)


@pytest.mark.parametrize(
    ("ops", "found"),
    [
        ([AH, CBC], "ah, esp"),
        ([GCM, GCM], "esp, esp"),
        ([AH, AH], "ah, ah"),
        ([GCM, AH, AH], "esp, ah, ah"),
        ([], "empty"),
    ],
)
def test_order(ops, found):
    with pytest.raises(ValueError, match=rf"^ops must be esp, ah, or esp and then ah, not {found}$"):
        bundle(*ops)


def test_bundle_fields():
    with pytest.raises(ValueError, match=r"^mode must be transport or tunnel, not 'both'$"):
        bundle(GCM, mode="both")
    with pytest.raises(ValueError, match=r"^mode is missing$"):
        Bundle.from_json({"ops": [GCM]})
    with pytest.raises(ValueError, match=r"^'key' is no field of a bundle; there are mode, ops, hard_bytes, "):
        Bundle.from_json({"mode": "tunnel", "ops": [GCM], "key": 1})
    with pytest.raises(ValueError, match=r"^bundle must be an object, not 5$"):
        Bundle.from_json(5)
    with pytest.raises(ValueError, match=r"^ops must be a list, not 5$"):
        Bundle.from_json({"mode": "tunnel", "ops": 5})


def test_limits():
    values = {"mode": "tunnel", "ops": [GCM], "soft_packets": 3, "hard_bytes": 2**48 - 1}
    made = Bundle.from_json(values)
    assert made.limits == Limits(soft_packets=3, hard_bytes=2**48 - 1)
    assert {name: value for name, value in made.to_json().items() if name != "ops"} == {
        name: value for name, value in values.items() if name != "ops"
    }
    assert Bundle.from_json(made.to_json()) == made
    assert not Limits()
    for name, value in (("soft_bytes", 2**48), ("hard_packets", -1), ("soft_packets", True), ("hard_bytes", "9")):
        with pytest.raises(ValueError, match=rf"^{name} must be an integer from 0 to {2**48 - 1}, not {value!r}$"):
            Bundle.from_json({"mode": "tunnel", "ops": [GCM], name: value})
    assert [Limits(hard_packets=5).expired(n, 99) for n in (4, 5, 6)] == [False, True, True]
    assert [Limits(hard_bytes=5).expired(99, n) for n in (4, 5, 6)] == [False, True, True]


def test_where_iv_counters_start():
    assert [Bundle.from_json({"mode": "tunnel", "ops": [{**GCM, "iv": iv}]}).ops[0].iv_init
            for iv in ("generate", "frame")] == [1, 0]
    # Only what is not the default is written.
    for iv, first, written in (("generate", 1, False), ("generate", 0, True), ("frame", 0, False), ("frame", 1, True)):
        op = bundle({**GCM, "iv": iv, "iv_init": first}).ops[0]
        assert ("iv_init" in op.to_json()) == written
        assert Op.from_json(op.to_json()) == op


def test_no_secret_in_text():
    """Keys show neither in a representation nor in an error."""
    key = "deadbeefdeadbeefdeadbeefdeadbe"
    made = bundle({**GCM, "encr_key": key + "ef", "salt": "cafebabe"})
    assert "dead" not in repr(made)
    assert repr(bytes.fromhex(key))[2:-1] not in repr(made)
    with pytest.raises(ValueError, match="encr_key") as info:
        bundle({**GCM, "encr_key": key})
    assert "dead" not in str(info.value)
    assert repr(bytes.fromhex(key))[2:-1] not in str(info.value)


def test_positional_arguments_are_refused():
    with pytest.raises(TypeError):
        Op("esp", 5)
