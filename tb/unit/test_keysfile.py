# SPDX-License-Identifier: Apache-2.0
"""Wireshark's table of keys: its syntax, and Wireshark's own verdict on packets of the golden model."""

import os
import re
import shutil
import subprocess

import pytest
from nicsec_sim import keysfile, pcap
from nicsec_sim.hoststack import Framing, Tunnel, frame
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.plain import ipv4, ipv6, udp

AES = {size: bytes(range(size // 8)) for size in (128, 192, 256)}
SUITES = {
    **{
        f"gcm-{size}-{icv}": {"encr_alg": "aes-gcm", "encr_key": key, "salt": b"\xca\xfe\xba\xbe", "icv_len": icv}
        for size, key in AES.items()
        for icv in (8, 12, 16)
    },
    **{
        f"{encr}-{auth}": {"encr_alg": encr, "encr_key": key, "auth_alg": auth, "auth_key": bytes(range(length)),
                           "icv_len": icv, "salt": b"ctr!" if encr == "aes-ctr" else None}
        for encr, key in (("null", None), ("aes-cbc", AES[128]), ("aes-cbc", AES[192]), ("aes-cbc", AES[256]),
                          ("aes-ctr", AES[128]), ("des-cbc", bytes(range(1, 9))), ("3des-cbc", bytes(range(1, 25))))
        for auth, length, icv in (("hmac-md5-96", 16, 12), ("hmac-sha1-96", 20, 12), ("hmac-sha256-128", 32, 16),
                                  ("hmac-sha256-128", 32, 12), ("hmac-sha384-192", 48, 24), ("hmac-sha512-256", 64, 32))
    },
}
OTHERS = {
    "gmac": {"encr_alg": "aes-gmac", "encr_key": AES[128], "salt": b"salt", "icv_len": 16},
    "chacha": {"encr_alg": "chacha20-poly1305", "encr_key": AES[256], "salt": b"salt", "icv_len": 16},
    "xcbc": {"encr_alg": "null", "auth_alg": "aes-xcbc-96", "auth_key": AES[128], "icv_len": 12},
}


def esp(spi, **more):
    return Op(protocol="esp", spi=spi, **more)


def test_lines():
    gcm = esp(0x101, **SUITES["gcm-128-16"])
    assert keysfile.line(gcm, 4) == (
        '"IPv4","*","*","0x00000101","AES-GCM with 16 octet ICV [RFC4106]",'
        '"0x000102030405060708090a0b0c0d0e0fcafebabe","NULL",""'
    )
    cbc = esp(0x102, **SUITES["aes-cbc-hmac-sha1-96"])
    assert keysfile.line(cbc, 6).startswith('"IPv6","*","*","0x00000102","AES-CBC [RFC3602]","0x0001')
    assert keysfile.line(cbc, 6).endswith('"HMAC-SHA-1-96 [RFC2404]","0x000102030405060708090a0b0c0d0e0f10111213"')
    null = esp(0x103, **SUITES["null-hmac-sha1-96"])
    assert '"0x00000103","NULL","","HMAC-SHA-1-96 [RFC2404]","0x' in keysfile.line(null, 4)


def test_every_line_is_eight_quoted_fields():
    for suite in SUITES.values():
        assert re.fullmatch(r'"IPv[46]"(,"[^",]*"){7}', keysfile.line(esp(5, **suite), 4))


def test_what_wireshark_lacks_has_no_line():
    for suite in OTHERS.values():
        assert keysfile.line(esp(5, **suite), 4) is None
        assert not keysfile.verifies(esp(5, **suite))
    ah = Op(protocol="ah", spi=5, auth_alg="hmac-sha1-96", auth_key=bytes(20), icv_len=12)
    assert keysfile.line(ah, 4) is None
    # ESN: decrypted, but its ICV is called bad.
    esn = esp(5, esn=True, **SUITES["gcm-128-16"])
    assert keysfile.line(esn, 4) is not None
    assert not keysfile.verifies(esn)
    assert keysfile.verifies(esp(5, **SUITES["gcm-128-16"]))


def test_write_is_private_and_each_sa_stands_once(tmp_path):
    bundle = Bundle("transport", (esp(0x101, **SUITES["gcm-128-16"]),))
    for _ in range(2):
        path = keysfile.write(tmp_path, [(bundle, 4), (bundle, 4), (bundle, 6)])
    assert path == tmp_path / "wireshark" / "esp_sa"
    assert [line[:6] for line in path.read_text().splitlines()] == ['"IPv4"', '"IPv6"']
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("version", [4, 6])
def test_tshark_verifies_every_suite(tmp_path, version):
    engine = Engine()
    inner = {
        4: ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 1, 2, b"data" * 11)),
        6: ipv6("2001:db8::1", "2001:db8::2", 17, udp("2001:db8::1", "2001:db8::2", 1, 2, b"data" * 11)),
    }[version]
    ends = ("192.0.2.1", "192.0.2.2") if version == 4 else ("2001:db8:1::1", "2001:db8:1::2")
    framing = Framing(tunnel=Tunnel(src=ends[0], dst=ends[1]))
    frames, uses = [], []
    for n, suite in enumerate(SUITES.values()):
        for mode in ("transport", "tunnel"):
            bundle = Bundle(mode, (esp(0x1000 + 2 * n + (mode == "tunnel"), **suite),))
            frames.append(engine.process(frame(inner, bundle, framing1=framing), engine.add_sa(bundle)).frame)
            uses.append((bundle, version))
    pcap.write(tmp_path / "wire.pcap", frames)
    keysfile.write(tmp_path, uses)
    command = keysfile.tshark_command(tmp_path, tmp_path / "wire.pcap")
    # Its first word sets the variable, as a shell does.
    variable, *arguments = command.split()
    done = subprocess.run(arguments, capture_output=True, text=True, check=True,
                          env=os.environ | dict([variable.split("=", 1)]))
    verdicts = [line.split("\t")[2] for line in done.stdout.splitlines()]
    assert verdicts == ["1"] * len(frames)
