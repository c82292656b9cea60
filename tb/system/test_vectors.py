# SPDX-License-Identifier: Apache-2.0
"""ESP packets that RFC 3602 and draft-mcgrew-gcm-test-01 print, through the whole engine."""

from model.test_vectors import MCGREW_GCM, RFC3602, sequence
from nicsec.config import PRESETS
from nicsec_sim.hoststack import ethernet
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.ndis.player import Packet
from nicsec_sim.plain import ipv4
from nicsec_sim.session import run


def cbc(key, payload, next_header, expected):
    """Op, ESP as the host frames it, and the wire without the ICV, which the RFC's packets do not have."""
    expected, payload = bytes.fromhex(expected), bytes.fromhex(payload)
    op = Op(
        protocol="esp", spi=int.from_bytes(expected[:4], "big"), encr_alg="aes-cbc", encr_key=bytes.fromhex(key),
        auth_alg="hmac-sha1-96", auth_key=bytes(20), icv_len=12, iv="frame",
    )
    pad = -(len(payload) + 2) % 16
    return op, expected[:24] + payload + bytes(range(1, pad + 1)) + bytes([pad, next_header]) + bytes(12), expected


def gcm(icv_len, key, nonce, plain, aad, expected):
    key, nonce, plain, aad, expected = map(bytes.fromhex, (key, nonce, plain, aad, expected))
    header, high = sequence(aad)
    op = Op(
        protocol="esp", spi=int.from_bytes(header[:4], "big"), encr_alg="aes-gcm", encr_key=key, salt=nonce[:4],
        icv_len=icv_len, iv="frame", esn=high is not None, esn_high=high,
    )
    framed = header + nonce[4:] + plain + bytes(icv_len)
    return op, framed, header + nonce[4:] + expected[: len(plain) + icv_len]


def test_printed_packets():
    cases = [cbc(*vector) for vector in RFC3602]
    cases += [gcm(icv_len, *vector) for vector in MCGREW_GCM for icv_len in (8, 12, 16)]
    bundles = {str(n): Bundle(mode="transport", ops=(op,)) for n, (op, _, _) in enumerate(cases)}
    packets = [
        Packet(ethernet(ipv4("192.0.2.1", "192.0.2.2", 50, framed)), str(n)) for n, (_, framed, _) in enumerate(cases)
    ]
    outcomes = run(PRESETS["basic"], bundles, packets, sim="verilator", seed=1).outcomes
    assert len(outcomes) == len(cases) > 30
    for (_, _, expected), outcome in zip(cases, outcomes, strict=True):
        assert outcome.status == "success"
        assert outcome.frame[34 : 34 + len(expected)] == expected
