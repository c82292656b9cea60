# SPDX-License-Identifier: Apache-2.0
"""Lines of a case file: what is read, what is refused, and with what words."""

import json

import pytest
from nicsec_sim.cases import BadLine, Case, missing_algorithm, read_lines, result_line

GCM = {"protocol": "esp", "spi": 257, "encr_alg": "aes-gcm", "encr_key": "00" * 16, "salt": "01020304",
       "auth_alg": None, "auth_key": None, "icv_len": 16, "iv": "frame", "esn": False, "esn_high": None,
       "udp_encap": False}
AH = {"protocol": "ah", "spi": 258, "encr_alg": None, "encr_key": None, "salt": None, "auth_alg": "hmac-sha512-256",
      "auth_key": "aa" * 64, "icv_len": 32, "iv": "frame", "esn": True, "esn_high": 3, "udp_encap": False}
GOOD = {"id": "a", "layer": "ethernet", "frame": "0011", "sa1": {"mode": "transport", "ops": [GCM, AH]}, "sa2": None,
        "esn_high": None}


def read(tmp_path, *lines):
    path = tmp_path / "cases.jsonl"
    encoded = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return list(read_lines(path))


def test_a_whole_line(tmp_path):
    (case,) = read(tmp_path, GOOD)
    assert (case.number, case.id, case.frame, case.sa2, case.esn_high) == (1, "a", b"\x00\x11", None, None)
    assert [op.spi for op in case.sa1.ops] == [257, 258]
    assert case.sa1.ah.esn_high == 3
    packet, bundles = case.packet()
    assert bundles == {packet.sa1: case.sa1}
    assert packet.sa2 is None


def test_short_and_long_lines(tmp_path):
    short = {"id": "b", "layer": "ip", "frame": "45"}
    case, other = read(tmp_path, short, GOOD | {"sa2": GOOD["sa1"], "esn_high": 2**32 - 1, "expect": "beef"})
    assert (case.sa1, case.sa2) == (None, None)
    packet, bundles = other.packet()
    assert len(bundles) == 2
    assert packet.esn_high == 2**32 - 1


def test_no_two_cases_share_an_sa(tmp_path):
    first, second = read(tmp_path, GOOD, GOOD)
    assert not set(first.packet()[1]) & set(second.packet()[1])


@pytest.mark.parametrize(("frame", "ethertype"), [("45", "0800"), ("60", "86dd"), ("f0", "0800")])
def test_ip_is_wrapped_by_its_version(tmp_path, frame, ethertype):
    (case,) = read(tmp_path, {"id": "", "layer": "ip", "frame": frame})
    assert case.wrap()[12:].hex() == ethertype + frame
    assert len(case.wrap()) == 15
    assert case.unwrap(case.wrap()) == case.frame
    (case,) = read(tmp_path, {"id": "", "layer": "ethernet", "frame": frame})
    assert case.wrap() == case.unwrap(case.frame) == case.frame


def changed(**more):
    return GOOD | more


def changed_op(**more):
    return GOOD | {"sa1": {"mode": "transport", "ops": [GCM | more]}}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"", "not JSON: Expecting value"),
        (b"{", "not JSON: Expecting property name"),
        (b'{"id": "\xff"}', "'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
        ([], "a case must be an object, not list"),
        ({"id": "a", "layer": "ip"}, "frame is missing"),
        (changed(id=7), "id must be a string, not 7"),
        (changed(layer="l2"), "layer must be ethernet or ip, not 'l2'"),
        (changed(frame="0"), "frame must be a string of hex digits, two a byte"),
        (changed(frame=[1]), "frame must be a string of hex digits, two a byte"),
        (changed(frame=""), "frame must hold at least one byte"),
        (changed(esn_high=2**32), "esn_high must be an integer from 0 to 4294967295 or null, not 4294967296"),
        (changed(esn_high=True), "esn_high must be an integer from 0 to 4294967295 or null, not True"),
        (changed(sa1=5), "sa1: bundle must be an object, not 5"),
        (changed(sa2={"mode": "transport", "ops": []}), "sa2: ops must be esp, ah, or esp and then ah, not empty"),
        (changed(sa1={"mode": "beet", "ops": [GCM]}), "sa1: mode must be transport or tunnel, not 'beet'"),
        (changed_op(encr_alg="rot13"), "sa1: ops[0]: encr_alg must be None, null, aes-cbc"),
        (changed_op(encr_key="00"), "sa1: ops[0]: encr_key must be 16, 24 or 32 bytes for aes-gcm, not 1"),
        (changed_op(icv_len=10), "sa1: ops[0]: icv_len must be 8, 12 or 16 for aes-gcm, not 10"),
        (changed_op(spi="257"), "sa1: ops[0]: spi must be an integer from 1 to 4294967295, not '257'"),
    ],
)
def test_bad_lines(tmp_path, line, text):
    before, bad, after = read(tmp_path, GOOD, line, GOOD)
    assert (before.number, after.number) == (1, 3)
    assert isinstance(bad, BadLine)
    assert bad.error.startswith(f"line 2: {text}")
    known = line.get("id") if isinstance(line, dict) else None
    assert bad.id == (known if isinstance(known, str) else None)


def test_keys_stay_out_of_messages(tmp_path):
    for bad in (changed_op(encr_key="5ec1e7" * 6), changed_op(encr_key="5ec1e7zz"), changed_op(salt="5ec1e7")):
        (item,) = read(tmp_path, bad)
        assert "5ec1e7" not in item.error


def test_empty_lines(tmp_path):
    assert read(tmp_path) == []
    assert read(tmp_path, b"", b"") == []
    items = read(tmp_path, b"", GOOD, b"", b"  ")
    assert [type(item) for item in items] == [BadLine, Case]


def test_missing_algorithm(tmp_path):
    (case,) = read(tmp_path, GOOD)
    assert missing_algorithm(case, ("aes-gcm",), ("hmac-sha512-256",)) is None
    assert missing_algorithm(case, ("null",), ("hmac-sha512-256",)) == "aes-gcm"
    assert missing_algorithm(case, ("aes-gcm",), ("hmac-sha1-96",)) == "hmac-sha512-256"


def test_result_lines():
    assert json.loads(result_line("a", "success", b"\xab", 7)) == {
        "id": "a", "status": "success", "frame": "ab", "cycles": 7
    }
    assert json.loads(result_line(None, "error", error="line 2: x")) == {
        "id": None, "status": "error", "frame": None, "cycles": 0, "error": "line 2: x"
    }
