# SPDX-License-Identifier: Apache-2.0
"""SAS.toml: the example, the choice of an SA, and what a wrong file is told; and the framing of captured packets."""

import ipaddress
import tomllib
from pathlib import Path

import pytest
from nicsec_sim import sas
from nicsec_sim.host import frame_packet, split
from nicsec_sim.hoststack import ethernet
from nicsec_sim.plain import ipv4, ipv6, tcp, udp

EXAMPLE = Path(__file__).parents[2] / "examples" / "sas.toml"

GCM = (
    'ops = [{protocol="esp", spi=1, encr_alg="aes-gcm", encr_key="00112233445566778899aabbccddeeff", '
    'salt="01020304", icv_len=16}]'
)


def choose(policy, src, dst, protocol):
    found = policy.choose(ipaddress.ip_address(src), ipaddress.ip_address(dst), protocol)
    return found and found.name


def test_the_example():
    policy = sas.read(EXAMPLE)
    assert [sa.name for sa in policy.sas] == ["hosts", "site", "backbone", "signed"]
    assert policy.sas[1].through is policy.sas[2]
    assert choose(policy, "10.0.0.1", "10.0.0.2", 6) == "hosts"
    assert choose(policy, "2001:db8::5", "2001:db8::6", 58) == "hosts"
    assert choose(policy, "10.0.0.1", "10.1.0.2", 6) == "site"
    assert choose(policy, "10.0.0.1", "10.1.0.2", 17) == "signed"
    assert choose(policy, "10.9.0.1", "10.9.0.2", 17) is None


def parse(*tables, head=""):
    return sas.parse(tomllib.loads(head + "".join(f"\n[[sa]]\n{table}\n" for table in tables)))


def sa(name="a", mode="transport", dst='"1.1.1.1"', more=GCM):
    """The text of one [[sa]]."""
    lines = (name and f'name = "{name}"', f'mode = "{mode}"', dst and f"dst = {dst}", more)
    return "\n".join(line for line in lines if line)


def tunnel(name="a", ends='src="1.1.1.1", dst="2.2.2.2"', more="", dst='"1.1.1.1"'):
    return sa(name, "tunnel", dst, f"tunnel = {{{ends}}}\n{more}\n{GCM}")


@pytest.mark.parametrize(
    ("tables", "head", "text"),
    [
        ([], "", "there must be at least one [[sa]]"),
        ([], "sas = 1", "'sas' is no field; there are otherwise and [[sa]]"),
        ([sa()], 'otherwise = "pass"', "otherwise must be bypass or drop, not 'pass'"),
        ([sa(name=None)], "", "sa 1: name must be a string that no other sa has, not None"),
        ([sa()] * 2, "", "sa 2: name must be a string that no other sa has, not 'a'"),
        ([sa(dst=None)], "", "sa 'a': src or dst must be given"),
        ([sa(dst='"1.1.1.1/8"')], "", "sa 'a': dst must be a prefix or a list of prefixes"),
        ([sa(mode="tunnel")], "", "sa 'a': tunnel must be given in mode 'tunnel'"),
        ([sa(more="hard_bytes = -1\n" + GCM)], "", "sa 'a': hard_bytes must be an integer from 0 to"),
        ([sa(more='tunnel = {src="1.1.1.1", dst="2.2.2.2"}\n' + GCM)], "", "sa 'a': tunnel must be given in mode"),
        ([tunnel(ends='src="1.1.1.1"')], "", "sa 'a': tunnel must be a table with src and dst"),
        ([tunnel(ends='src="1.1.1.1", dst="::1"')], "", "sa 'a': tunnel.src and tunnel.dst must be of one IP version"),
        ([tunnel(ends='src="1.1.1.1", dst="host"')], "", "sa 'a': tunnel.dst must be an IP address, not 'host'"),
        ([tunnel(ends='src="::1", dst="::2", ttl=256')], "", "sa 'a': tunnel.ttl must be from 0 to 255, not 256"),
        ([tunnel(ends='src="::1", dst="::2", ttl=true')], "", "sa 'a': tunnel.ttl must be of type int, not True"),
        ([sa(more='through = "b"\n' + GCM)], "", "sa 'a': through must name another sa, not 'b'"),
        ([sa(more='through = "b"\n' + GCM), sa("b")], "", "sa 'a': through must name an sa in mode 'tunnel', not 'b'"),
        ([sa(more='through = "b"\n' + GCM), tunnel("b", more='through = "c"'), tunnel("c")], "",
         "sa 'a': through: 'b' goes through another sa itself"),
        ([sa(more='protocol = "sctp"\n' + GCM)], "", "sa 'a': protocol must be from 0 to 255"),
        ([sa(more="seq = 0\n" + GCM)], "", "sa 'a': seq must be from 1 to 4294967295, not 0"),
        ([sa(more="dest = 1\n" + GCM)], "", "sa 'a': 'dest' is no field"),
        ([sa(more="ops = []")], "", "sa 'a': ops must be esp, ah"),
    ],
)
def test_wrong_files(tables, head, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message's start is compared)
        parse(*tables, head=head)
    assert str(caught.value).startswith(text)


def test_a_file_that_is_no_toml(tmp_path):
    path = tmp_path / "sas.toml"
    path.write_text("[[sa]\n")
    with pytest.raises(ValueError, match=r"sas\.toml: .*line 1"):
        sas.read(path)


PACKET = ipv4("10.0.0.1", "10.0.0.2", 6, tcp("10.0.0.1", "10.0.0.2", 1, 2, b"data"))


@pytest.mark.parametrize(("vlan", "snap"), [((), False), ((5,), False), ((5, 6), False), ((), True), ((7,), True)])
@pytest.mark.parametrize("packet", [PACKET, ipv6("::1", "::2", 17, udp("::1", "::2", 1, 2, b"data"))])
def test_split_and_wrap(vlan, snap, packet):
    data = ethernet(packet, vlan=vlan, snap=snap, min_length=90)
    plain = split(data)
    assert (plain.packet, plain.vlan, plain.snap) == (packet, vlan, snap)
    assert plain.wrap(packet) == data[: len(plain.wrap(packet))]
    assert not any(data[len(plain.wrap(packet)) :])


@pytest.mark.parametrize("data", [
    b"", bytes(13), ethernet(PACKET)[:33], ethernet(PACKET[:-1]), bytes(12) + b"\x08\x00\x65" + PACKET[1:],
    bytes(12) + b"\x08\x06" + bytes(46), bytes(12) + b"\x08\x00\x44" + PACKET[1:], bytes(12) + b"\x86\xdd" + PACKET,
])
def test_what_is_no_ip_packet(data):
    plain = split(data)
    assert plain.packet is None
    # Of a broken one, nobody knows whether it should have been protected.
    policy = parse(sa(dst='"9.9.9.9"'))
    assert (frame_packet(policy, plain, data, {}).packet is None) == plain.ip


def test_a_chosen_packet_never_leaves_plain():
    """What an SA takes and cannot be framed is dropped, not bypassed."""
    policy = parse(sa(dst='"10.0.0.2"', more="seq = 4294967295\n" + GCM))
    bundles = {}
    data = ethernet(PACKET)
    first, second = (frame_packet(policy, split(data), data, bundles) for _ in range(2))
    assert first.packet.sa1 == "a"
    assert first.packet.frame != data
    assert second.packet is None
    assert second.reason == "it cannot be framed: sa 'a': the sequence numbers are used up"
    # Too long to be framed.
    policy = parse(sa(dst='"10.0.0.2"'))
    data = ethernet(ipv4("10.0.0.1", "10.0.0.2", 17, bytes(65510)))
    assert frame_packet(policy, split(data), data, {}).packet is None


def test_otherwise():
    data = ethernet(PACKET)
    table = sa(dst='"9.9.9.9"')
    assert frame_packet(parse(table), split(data), data, {}).packet.frame == data
    assert frame_packet(parse(table, head='otherwise="drop"'), split(data), data, {}).reason == "no SA takes it"
