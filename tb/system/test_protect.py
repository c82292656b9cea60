# SPDX-License-Identifier: Apache-2.0
"""``nicsec protect`` and ``nicsec demo`` from the command line."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from nicsec.config import PRESETS
from nicsec_sim import pcap, showcase
from nicsec_sim.cli import app
from nicsec_sim.errors import InputError
from nicsec_sim.hoststack import ethernet
from nicsec_sim.plain import ipv4, ipv6, tcp, udp
from typer.testing import CliRunner

EXAMPLE = Path(__file__).parents[2] / "examples" / "sas.toml"

FRAMES = [
    ethernet(ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 1, 2, b"hosts")), min_length=60),
    ethernet(ipv6("2001:db8::1", "2001:db8::2", 17, udp("2001:db8::1", "2001:db8::2", 1, 2, b"hosts"))),
    ethernet(ipv4("10.0.0.1", "10.1.0.2", 6, tcp("10.0.0.1", "10.1.0.2", 1, 2, b"nested" * 40)), vlan=(9,)),
    ethernet(ipv4("10.0.0.1", "10.1.0.2", 17, udp("10.0.0.1", "10.1.0.2", 1, 2, b"signed"))),
    bytes(12) + b"\x08\x06" + bytes(46),
]


def invoke(*arguments):
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def protect(tmp_path, frames, *options, linktype=1, sas=EXAMPLE):
    plain, wire = tmp_path / "plain.pcap", tmp_path / "wire.pcap"
    pcap.write(plain, [pcap.Record(10**9 * n, frame) for n, frame in enumerate(frames, 5)], linktype)
    outcome = invoke("protect", "--sas", sas, plain, "-o", wire, "--json", *options)
    return outcome, json.loads(outcome.stdout), pcap.read(wire)


def tshark(command):
    variable, *arguments = command.split()
    environment = os.environ | dict([variable.split("=", 1)])
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    return [line.split("\t")[1:] for line in done.stdout.splitlines()]


def check_wire(summary, capture):
    assert summary["statuses"] == {"success": 4, "bypassed": 1}
    assert [record.time_ns for record in capture.records] == [10**9 * n for n in range(5, 10)]
    wire = [record.data for record in capture.records]
    assert wire[4] == FRAMES[4]
    assert wire[2][12:16] == FRAMES[2][12:16]
    for secret in (b"hosts", b"nested"):
        assert not any(secret in data for data in wire)
    assert b"signed" in wire[3]
    if shutil.which("tshark"):
        assert tshark(summary["tshark"]) == [["0x00001001", "1"], ["0x00001001", "1"],
                                             ["0x00001003,0x00001002", "1,1"], ["", ""], ["", ""]]


def test_protect_on_the_model(tmp_path):
    outcome, summary, capture = protect(tmp_path, FRAMES, "--sim", "model")
    assert outcome.exit_code == 0
    check_wire(summary, capture)


def test_protect_raw_ip(tmp_path):
    packets = [FRAMES[0][14:], FRAMES[1][14:]]
    outcome, summary, capture = protect(tmp_path, packets, "--sim", "model", linktype=pcap.RAW)
    assert (outcome.exit_code, capture.linktype, summary["statuses"]) == (0, pcap.RAW, {"success": 2})
    assert [record.data[0] >> 4 for record in capture.records] == [4, 6]
    if shutil.which("tshark"):
        assert tshark(summary["tshark"]) == [["0x00001001", "1"]] * 2


def test_protect_tells_what_it_could_not_send(tmp_path):
    long = ethernet(ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 1, 2, bytes(3000))))
    outcome, summary, capture = protect(tmp_path, [long, FRAMES[0], FRAMES[0][:40]], "--sim", "model")
    assert outcome.exit_code == 1
    assert summary["statuses"] == {"too_long": 1, "success": 1}
    assert len(capture.records) == 1
    assert "packet 1 (hosts) is refused: too_long" in outcome.stderr
    assert "packet 3 is dropped: it is no whole IP packet" in outcome.stderr


def test_protect_tells_of_lifetimes(tmp_path):
    sas = tmp_path / "sas.toml"
    key = "00" * 16
    op = f'protocol = "esp", spi = 9, encr_alg = "aes-gcm", encr_key = "{key}", salt = "00000000", icv_len = 16'
    sas.write_text(f"""
[[sa]]
name = "short"
mode = "transport"
dst = "10.0.0.2"
soft_packets = 2
hard_packets = 3
ops = [{{ {op}, iv = "frame", iv_init = 2 }}]
""")
    outcome, summary, capture = protect(tmp_path, [FRAMES[0]] * 6, "--sim", "model", sas=sas)
    assert outcome.exit_code == 1
    # The first sequence number, 1, is below the lowest IV that the SA takes.
    assert summary["statuses"] == {"iv_repeat": 1, "success": 2, "lifetime_expired": 3}
    assert summary["events"] == [["short", "soft_packets"], ["short", "hard_packets"]]
    assert len(capture.records) == 2
    for text in ("sa 'short' has reached soft_packets", "packet 1 (short) is refused: iv_repeat",
                 "packet 6 (short) is refused: lifetime_expired"):
        assert text in outcome.stderr


def test_protect_names_what_is_wrong(tmp_path):
    (tmp_path / "bad.toml").write_text("x = 1\n")
    with pytest.raises(InputError, match=r"^--sas: .*bad\.toml: 'x' is no field"):
        protect(tmp_path, [], "--sim", "model", sas=tmp_path / "bad.toml")
    (tmp_path / "bad.pcap").write_bytes(bytes(30))
    with pytest.raises(InputError, match=r"^PLAIN\.pcap: .*bad\.pcap: offset 0: magic"):
        invoke("protect", "--sas", EXAMPLE, tmp_path / "bad.pcap", "-o", tmp_path / "w.pcap")
    with pytest.raises(InputError, match=r"^PLAIN\.pcap: .*absent\.pcap: No such file"):
        invoke("protect", "--sas", EXAMPLE, tmp_path / "absent.pcap", "-o", tmp_path / "w.pcap")


def test_protect_on_verilator(tmp_path):
    outcome, summary, capture = protect(tmp_path, FRAMES)
    assert outcome.exit_code == 0
    check_wire(summary, capture)
    _, _, model = protect(tmp_path, FRAMES, "--sim", "model")
    assert capture == model


def test_the_demos_traffic():
    """At least 64 packets, every shape, both versions, two malformed, each with the status that it should have."""
    bundles, shown = showcase.traffic(PRESETS["basic"])
    assert len(shown) >= 64
    shapes = [one.shape for one in shown]
    assert {"transport", "tunnel", "nested", "pass-through"} < set(shapes)
    assert shapes.count("malformed") == 2
    assert {version for one in shown for _, version in one.uses} == {4, 6}
    assert [status for status, _ in showcase.judge(bundles, shown)] == [one.expected for one in shown]
    again = showcase.traffic(PRESETS["basic"])
    assert again == (bundles, shown)


def test_demo_on_verilator(tmp_path):
    outcome = invoke("demo", "-o", tmp_path, "--json")
    manifest = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert len(manifest["packets"]) >= 64
    assert all(packet["equals_model"] for packet in manifest["packets"])
    for name in manifest["files"]:
        assert (tmp_path / name).stat().st_size > 0
    assert len(pcap.read(tmp_path / "sent.pcap").records) == len(manifest["packets"])
    assert len(pcap.read(tmp_path / "wire.pcap").records) == len(manifest["packets"]) - 2
    assert "$enddefinitions" in (tmp_path / "waveform.vcd").read_text()
    if shutil.which("tshark"):
        assert manifest["wireshark"]["icv_good"] == manifest["wireshark"]["expected"] > 64
        assert manifest["wireshark"]["icv_bad"] == 0
