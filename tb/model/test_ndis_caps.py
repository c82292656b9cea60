# SPDX-License-Identifier: Apache-2.0
"""NDIS_IPSEC_OFFLOAD_V1 and _V2 follow from the capability registers, bit by bit (ndis-facts section 4)."""

import struct

import pytest
from nicsec.config import PRESETS
from nicsec_sim.ndis import Capabilities, Feature, Miniport, ModelLink, Reg, drive

V1_FIELDS = ("Encapsulation", "AhEspCombined", "TransportTunnelCombined", "IPv4Options", "Flags", "IPv4AH", "IPv4ESP")
V2_FIELDS = ("Encapsulation", "IPv6Supported", "IPv4Options", "IPv6NonIPsecExtensionHeaders", "Ah", "Esp",
             "AhEspCombined", "Transport", "Tunnel", "TransportTunnelCombined", "LsoSupported",
             "ExtendedSequenceNumbers", "UdpEsp", "AuthenticationAlgorithms", "EncryptionAlgorithms",
             "SaOffloadCapacity")
#: CAP_ENCR, CAP_AUTH and CAP_FEATURES of a build with everything.
ALL = (0x1FF, 0x1FE, 0x7FFF)


def claimed(encr, auth, features, slots=64):
    """Every field of both structures, from the words of the capability registers."""
    build = Capabilities.from_registers(0x00010000, 0, 1, slots, 9600, encr, auth, features)
    one = zip(V1_FIELDS, struct.unpack("<7I", build.offload_v1()), strict=True)
    two = zip(V2_FIELDS, struct.unpack("<I11BxIIII", build.offload_v2()), strict=True)
    return {f"v1 {name}": value for name, value in one} | {f"v2 {name}": value for name, value in two}


#: What a bit of a register stands for: the bits of the structures that go with it, in a build that has all others.
BITS = {
    ("encr", 0): {"v1 IPv4ESP": 1 << 6, "v2 EncryptionAlgorithms": 0x001},
    ("encr", 1): {"v2 EncryptionAlgorithms": 0x1C0},
    ("encr", 2): {"v2 EncryptionAlgorithms": 0x038},
    ("encr", 3): {},
    ("encr", 4): {"v2 AuthenticationAlgorithms": 0x38},
    ("encr", 5): {"v1 IPv4ESP": 1 << 0, "v2 EncryptionAlgorithms": 0x002},
    ("encr", 6): {"v1 IPv4ESP": 1 << 4, "v2 EncryptionAlgorithms": 0x004},
    ("encr", 7): {},
    ("encr", 8): {},
    ("auth", 1): {"v1 IPv4AH": 1 << 2, "v2 AuthenticationAlgorithms": 0x02},
    ("auth", 2): {"v2 AuthenticationAlgorithms": 0x04},
    ("auth", 3): {},
    ("auth", 4): {},
    ("auth", 5): {"v1 IPv4AH": 1 << 0, "v2 AuthenticationAlgorithms": 0x01},
    ("auth", 6): {},
    ("auth", 7): {},
    ("auth", 8): {"v2 AuthenticationAlgorithms": 0x38},
    # The algorithms' bits of AH stay: they are ESP's too.
    ("features", 0): {"v1 AhEspCombined": 1, "v1 IPv4AH": 0x150, "v2 Ah": 1, "v2 AhEspCombined": 1},
    ("features", 1): {"v1 AhEspCombined": 1, "v1 IPv4ESP": 0x1551, "v1 Flags": 0xF0, "v2 Esp": 1, "v2 UdpEsp": 0xF,
                      "v2 AhEspCombined": 1, "v2 EncryptionAlgorithms": 0x1FF},
    ("features", 2): {"v1 AhEspCombined": 1, "v2 AhEspCombined": 1},
    ("features", 3): {"v1 TransportTunnelCombined": 1, "v2 TransportTunnelCombined": 1},
    ("features", 4): {"v2 IPv6Supported": 1},
    ("features", 5): {"v1 IPv4Options": 1, "v2 IPv4Options": 1},
    ("features", 6): {"v2 IPv6NonIPsecExtensionHeaders": 1},
    ("features", 7): {"v1 Flags": 0xF0, "v2 UdpEsp": 0xF},
    ("features", 8): {"v2 ExtendedSequenceNumbers": 1},
    # IVs, checksums, lifetimes and utilisation are told elsewhere or not at all.
    **{("features", n): {} for n in range(9, 15)},
}


@pytest.mark.parametrize(("register", "bit"), BITS)
def test_each_bit_of_the_capability_registers(register, bit):
    words = dict(zip(("encr", "auth", "features"), ALL, strict=True))
    assert words[register] >> bit & 1
    before = claimed(**words)
    after = claimed(**words | {register: words[register] & ~(1 << bit)})
    assert {name: before[name] ^ after[name] for name in before if before[name] != after[name]} == BITS[register, bit]
    # Nothing is claimed for lack of something.
    assert all(before[name] | after[name] == before[name] for name in before)


def test_every_bit_that_is_ever_claimed_is_some_registers():
    """With all registers 0 there are left the encapsulations, and what version 2 asks every card to claim."""
    assert {name: value for name, value in claimed(0, 0, 0, 0).items() if value} == {
        "v1 Encapsulation": 22, "v2 Encapsulation": 22, "v2 Transport": 1, "v2 Tunnel": 1,
    }
    assert claimed(*ALL, slots=77)["v2 SaOffloadCapacity"] == 77
    assert {bit for register, bit in BITS if register == "features"} == set(range(len(Feature)))


@pytest.mark.parametrize(("encr", "auth", "features", "expected"), [
    # SHA-384 alone: nothing that either version can name.
    (0x003, 0x008, 0x3FFF, {"v1 IPv4AH": 0, "v1 IPv4ESP": 0, "v1 Flags": 0, "v1 TransportTunnelCombined": 0, "v2 Ah": 0,
                            "v2 Esp": 0, "v2 EncryptionAlgorithms": 0, "v2 UdpEsp": 0}),
    # SHA-1 beside GCM: version 1 has AH alone, version 2 has both.
    (0x004, 0x002, 0x3FFF, {"v1 IPv4AH": 0x154, "v1 IPv4ESP": 0, "v1 AhEspCombined": 0, "v2 Ah": 1, "v2 Esp": 1,
                            "v2 AhEspCombined": 1, "v2 EncryptionAlgorithms": 0x38}),
    # CBC with GMAC, which does not go together, and NULL, which does.
    (0x013, 0x100, 0x3FFF, {"v2 EncryptionAlgorithms": 0x001, "v2 AuthenticationAlgorithms": 0x38}),
    # GMAC in ESP alone, in a build without AH.
    (0x010, 0x000, 0x3FFF & ~5, {"v2 AuthenticationAlgorithms": 0x38, "v2 Ah": 0}),
])
def test_claims_can_be_used(encr, auth, features, expected):
    found = claimed(encr, auth, features)
    assert {name: found[name] for name in expected} == expected


def test_the_miniport_answers_from_the_registers():
    """Of two builds that differ in nothing but registers, each gets its own."""
    async def body(config):
        link = ModelLink.from_config(config)
        miniport = Miniport(link)
        found = await miniport.initialize()
        words = [await link.read(offset) for offset in (Reg.CAP_ENCR, Reg.CAP_AUTH, Reg.CAP_FEATURES)]
        assert found.sa_slots == await link.read(Reg.CAP_SA_SLOTS)
        expected = claimed(*words, slots=found.sa_slots)
        one = zip(V1_FIELDS, struct.unpack("<7I", found.offload_v1()), strict=True)
        assert {f"v1 {name}": value for name, value in one}.items() <= expected.items()
        return found.offload_v1() + found.offload_v2()

    assert len({drive(body(config)) for config in PRESETS.values()}) == len(PRESETS)
