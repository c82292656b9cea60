# SPDX-License-Identifier: Apache-2.0
"""What stands around the walk: the order of the engine's own checks, handles, generated IVs, missing features."""

import itertools
from dataclasses import replace

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from model.cases import ah_op, esp_op, packet, random_case, rng_for
from nicsec_sim import hoststack
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.algorithm import ENCRS
from nicsec_sim.model.engine import FEATURES, Engine, Unsupported
from nicsec_sim.model.parse import walk
from nicsec_sim.model.sa import Bundle, Limits
from nicsec_sim.model.status import Status
from nicsec_sim.model.verify import verify

TUNNEL = Framing(tunnel=Tunnel(src="192.0.2.1", dst="192.0.2.2"))


def gcm(rng, mode="transport", **fields):
    return Bundle(mode, (esp_op(rng, "aes-gcm", icv_len=16, **fields),))


def test_no_handle_passes_anything_through():
    engine = Engine(enabled=False)
    for frame in (b"", b"x", bytes(60), bytes(range(200))):
        result = engine.process(frame)
        assert (result.status, result.frame) == (Status.SUCCESS, frame)
        assert engine.process(frame, lso=True).status is Status.UNSUPPORTED


def test_order_of_the_engines_checks():
    """Of any two, the earlier line of section 4 decides."""
    rng = rng_for(1)
    bundle = gcm(rng, iv="generate", iv_init=2**64 - 1)
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    broken = frame[:12] + b"\x08\x06" + frame[14:]
    lines = ["too_long", "input_error", "malformed", "unsupported", "disabled", "bad_handle", "lifetime_expired",
             "iv_exhausted", "invalid_protocol"]
    for first, second in itertools.combinations_with_replacement(lines, 2):
        asked = {first, second}
        engine = Engine(
            max_frame=len(frame) - 1 if "too_long" in asked else len(frame), enabled="disabled" not in asked,
        )
        sa1, sa2 = engine.add_sa(bundle), engine.add_sa(gcm(rng, "tunnel"))
        if "iv_exhausted" in asked:
            assert Engine().process(frame, sa1).status is Status.SUCCESS
        if "lifetime_expired" in asked:
            # The second SA has expired, so that the first may be looked up.
            engine.update_sa(sa2, limits=Limits(hard_packets=1))
            assert Engine().process(frame, sa2).status is Status.SPI_MISMATCH
        handles = [sa1, sa2] if {"bad_handle", "lifetime_expired"} & asked else [sa1]
        if "bad_handle" in asked:
            engine.delete_sa(sa2)
        result = engine.process(
            broken if "invalid_protocol" in asked else frame, *handles, length=len(frame) + ("malformed" in asked),
            lso="unsupported" in asked, input_error="input_error" in asked,
        )
        assert result.status.text == first


def test_deleted_handles():
    rng = rng_for(2)
    inner, outer = gcm(rng), gcm(rng, "tunnel")
    frame = hoststack.frame(packet(rng, 4, 30), inner, outer, framing2=TUNNEL)
    for gone in (0, 1):
        engine = Engine()
        sas = [engine.add_sa(inner), engine.add_sa(outer)]
        assert engine.process(frame, *sas).status is Status.SUCCESS
        engine.delete_sa(sas[gone])
        assert engine.process(frame, *sas).status is Status.BAD_HANDLE
        assert engine.process(frame, engine.add_sa(inner), engine.add_sa(outer)).status is Status.SUCCESS


def test_either_handle_alone_is_the_outermost():
    rng = rng_for(3)
    bundle = gcm(rng)
    frame = hoststack.frame(packet(rng, 4, 30), bundle, framing1=Framing(iv=bytes(8)))
    results = []
    for position in (0, 1):
        engine = Engine()
        sas = [None, None]
        sas[position] = engine.add_sa(bundle)
        results.append(engine.process(frame, *sas))
    assert results[0] == results[1]
    assert results[0].status is Status.SUCCESS


@pytest.mark.parametrize("encr", [name for name, suite in ENCRS.items() if suite.iv])
def test_generated_ivs(encr):
    """Section 5, with the raw ciphers written out here."""
    rng = rng_for(encr)
    auth = "hmac-sha1-96" if encr in ("aes-ctr", "aes-cbc", "des-cbc", "3des-cbc") else None
    for init in (0, 1, 0xFFFFFFFF, 2**64 - 3):
        bundle = Bundle("transport", (esp_op(rng, encr, auth, iv="generate", iv_init=init),))
        op = bundle.ops[0]
        frame = hoststack.frame(packet(rng, 4, 30), bundle)
        engine = Engine()
        sa = engine.add_sa(bundle)
        for n in range(3):
            wire = engine.process(frame, sa).frame
            value = (init + n).to_bytes(8, "big")
            if encr == "aes-cbc":
                value = Cipher(AES(op.encr_key), ECB()).encryptor().update(bytes(8) + value)
            elif encr in ("des-cbc", "3des-cbc"):
                key = op.encr_key * (24 // len(op.encr_key))
                value = Cipher(TripleDES(key), ECB()).encryptor().update(value)
            assert wire[42 : 42 + op.iv_len] == value
            assert verify(wire, bundle).ivs == {(1, "esp"): value}
        if init == 2**64 - 3:
            assert engine.process(frame, sa).status is Status.IV_EXHAUSTED
            assert engine.process(frame, sa).status is Status.IV_EXHAUSTED


def test_a_failed_packet_uses_up_its_ivs():
    rng = rng_for(4)
    ops = esp_op(rng, "aes-gcm", iv="generate"), ah_op(rng, "aes-gmac", iv="generate", iv_init=50)
    inner = Bundle("transport", ops)
    outer = gcm(rng, "tunnel", iv="generate", iv_init=900)
    frame = hoststack.frame(packet(rng, 4, 30), inner, outer, framing2=TUNNEL)
    engine = Engine()
    sa1, sa2 = engine.add_sa(inner), engine.add_sa(outer)
    assert engine.process(frame[:12] + bytes(2) + frame[14:], sa1, sa2).status is Status.INVALID_PROTOCOL
    ivs = verify(engine.process(frame, sa1, sa2).frame, inner, outer).ivs
    values = {key: int.from_bytes(iv, "big") for key, iv in ivs.items()}
    assert values == {(1, "esp"): 2, (1, "ah"): 51, (2, "esp"): 901}


def test_what_has_no_nonce_moves_no_counter():
    """CBC may repeat an IV, and an algorithm without IVs has no counter, whatever the SA says."""
    rng = rng_for(5)
    engine = Engine()
    for encr in ("aes-cbc", "des-cbc", "3des-cbc"):
        bundle = Bundle("transport", (esp_op(rng, encr, "hmac-sha1-96", iv="frame", iv_init=2**64 - 1),))
        frame = hoststack.frame(packet(rng, 4, 30), bundle)
        sa = engine.add_sa(bundle)
        assert all(engine.process(frame, sa).status is Status.SUCCESS for _ in range(3))
        assert sa.counters == [2**64 - 1]
    bundle = Bundle("transport", (esp_op(rng, "null", "hmac-sha1-96", iv="generate", iv_init=2**64 - 1),))
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    sa = engine.add_sa(bundle)
    assert all(engine.process(frame, sa).status is Status.SUCCESS for _ in range(3))


def test_one_sa_as_both_handles_takes_two_values():
    rng = rng_for(6)
    bundle = gcm(rng, "tunnel", iv="generate")
    frame = hoststack.frame(packet(rng, 4, 30), bundle, bundle, framing1=TUNNEL, framing2=TUNNEL)
    engine = Engine()
    sa = engine.add_sa(bundle)
    ivs = verify(engine.process(frame, sa, sa).frame, bundle, bundle).ivs
    assert {key: int.from_bytes(iv, "big") for key, iv in ivs.items()} == {(1, "esp"): 1, (2, "esp"): 2}


def test_high_half_from_packet_sa_or_zero():
    """The override goes before the SA's value, nothing counts as 0, and without ESN neither counts."""
    rng = rng_for(7)
    for esn, stored, override, counts in (
        (True, None, None, 0), (True, 5, None, 5), (True, 5, 6, 6), (True, 5, 0, 0), (True, None, 9, 9),
    ):
        bundle = Bundle("transport", (esp_op(rng, "aes-gcm", icv_len=16, iv="frame", esn=esn, esn_high=stored),
                                      ah_op(rng, "hmac-sha1-96", esn=esn, esn_high=stored)))
        frame = hoststack.frame(packet(rng, 4, 30), bundle)
        engine = Engine()
        wire = engine.process(frame, engine.add_sa(bundle), esn_high1=override).frame
        assert verify(wire, bundle, esn_high1=counts).status is Status.SUCCESS
        assert verify(wire, bundle, esn_high1=counts + 1).status is Status.TRANSPORT_AH_AUTH_FAILED
    bundle = gcm(rng, iv="frame")
    frame = hoststack.frame(packet(rng, 4, 30), bundle)
    assert (Engine().process(frame, Engine().add_sa(bundle), esn_high1=77)
            == Engine().process(frame, Engine().add_sa(bundle)))


def test_overrides_go_to_their_own_handles():
    rng = rng_for(8)
    inner, outer = gcm(rng, esn=True, iv="frame"), gcm(rng, "tunnel", esn=True, iv="frame")
    frame = hoststack.frame(packet(rng, 4, 30), inner, outer, framing2=TUNNEL)
    engine = Engine()
    wire = engine.process(frame, engine.add_sa(inner), engine.add_sa(outer), esn_high1=1, esn_high2=2).frame
    assert verify(wire, inner, outer, esn_high1=1, esn_high2=2).status is Status.SUCCESS
    assert verify(wire, inner, outer, esn_high1=2, esn_high2=2).status is Status.TRANSPORT_ESP_AUTH_FAILED
    assert verify(wire, inner, outer, esn_high1=1, esn_high2=1).status is Status.TUNNEL_ESP_AUTH_FAILED


@pytest.mark.parametrize("feature", sorted(FEATURES - {"csum_ip", "csum_l4", "ipv4_options", "ipv6_ext"}))
def test_missing_features(feature):
    """A random mix through a build that lacks one thing: refused is exactly what needs it."""
    rng = rng_for(feature)
    refused = 0
    for _ in range(150):
        case = random_case(rng)
        if feature == "lifetime" and rng.random() < 0.5:
            case = replace(case, sa1=replace(case.sa1, limits=Limits(soft_packets=1)))
        bundles = [bundle for bundle in (case.sa1, case.sa2) if bundle]
        ops = [op for bundle in bundles for op in bundle.ops]
        versions = {level.ip.version for level in walk(case.frame, bundles[::-1]).levels}
        needs = {
            "ah": any(op.protocol == "ah" for op in ops),
            "esp": any(op.protocol == "esp" for op in ops),
            "ah_esp": any(len(bundle.ops) == 2 for bundle in bundles),
            "nested": case.sa2 is not None,
            "ipv6": 6 in versions,
            "udp_esp": any(op.udp_encap for op in ops),
            "esn": any(op.esn for op in ops),
            "iv_generate": any(op.iv_len and op.iv == "generate" for op in ops),
            "iv_frame": any(op.iv_len and op.iv == "frame" for op in ops),
            "lifetime": any(bundle.limits for bundle in bundles),
        }
        engine = Engine(unsupported=[feature])
        try:
            sas = [bundle and engine.add_sa(bundle) for bundle in (case.sa1, case.sa2)]
        except Unsupported:
            assert feature not in ("nested", "ipv6")
            status = Status.UNSUPPORTED
        else:
            status = engine.process(case.frame, *sas).status
        assert status is (Status.UNSUPPORTED if needs[feature] else Status.SUCCESS)
        refused += needs[feature]
    assert refused > 5


def test_missing_algorithms():
    rng = rng_for(9)
    engine = Engine(encr=["aes-gcm"], auth=["hmac-sha1-96"])
    engine.add_sa(gcm(rng))
    engine.add_sa(Bundle("transport", (ah_op(rng, "hmac-sha1-96"),)))
    for op, name in (
        (esp_op(rng, "aes-cbc", "hmac-sha1-96"), "aes-cbc"),
        (esp_op(rng, "null", "hmac-sha1-96"), "null"),
        (ah_op(rng, "hmac-sha256-128"), "hmac-sha256-128"),
        (ah_op(rng, "aes-gmac"), "aes-gmac"),
    ):
        with pytest.raises(Unsupported, match=f"^this build has no {name}$"):
            engine.add_sa(Bundle("transport", (op,)))
    with pytest.raises(ValueError, match=r"^encr must be among .*, not 'rot13'$"):
        Engine(encr=["rot13"])
    with pytest.raises(ValueError, match=r"^unsupported must be among .*, not 'colour'$"):
        Engine(unsupported=["colour"])


def test_max_frame():
    assert Engine().process(bytes(9600)).status is Status.SUCCESS
    assert Engine().process(bytes(9601)).status is Status.TOO_LONG
    engine = Engine(max_frame=100)
    assert engine.process(bytes(100)).status is Status.SUCCESS
    assert engine.process(bytes(101)).status is Status.TOO_LONG
