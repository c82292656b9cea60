# SPDX-License-Identifier: Apache-2.0
"""What the engine's capability registers say, and the NDIS capability structures made from it."""

import struct
from dataclasses import dataclass

from .registers import AUTH_IDS, ENCR_IDS, Feature

__all__ = ["Capabilities"]

ENCAPSULATION_NULL = 1
ENCAPSULATION_802_3 = 2
ENCAPSULATION_802_1PQ_IN_DATA = 4
ENCAPSULATION_LLC_SNAP = 16
_ENCAPSULATION = ENCAPSULATION_802_3 | ENCAPSULATION_802_1PQ_IN_DATA | ENCAPSULATION_LLC_SNAP
_UDP_ESP_SUBTYPES = 0xF


def _fields(*values: bool) -> int:
    # Two bits a field: 1 is supported, 0 is not.
    return sum(bool(value) << 2 * n for n, value in enumerate(values))


@dataclass(frozen=True)
class Capabilities:
    """The build, as read at initialization."""

    version: tuple[int, int, int]
    config_hash: int
    lanes: int
    sa_slots: int
    max_frame: int
    encr: frozenset[str]
    auth: frozenset[str]
    features: Feature

    @classmethod
    def from_registers(
        cls, version: int, config_hash: int, lanes: int, slots: int, max_frame: int, encr: int, auth: int, features: int
    ) -> "Capabilities":
        """From the raw words of VERSION to CAP_FEATURES."""
        return cls(
            (version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF),
            config_hash,
            lanes,
            slots,
            max_frame,
            frozenset(name for name, number in ENCR_IDS.items() if encr >> number & 1),
            frozenset(name for name, number in AUTH_IDS.items() if name and auth >> number & 1),
            Feature(features),
        )

    def offload_v1(self) -> bytes:
        """NDIS_IPSEC_OFFLOAD_V1, 28 bytes: send only, with the algorithms that version 1 can name.

        ESP's integrity has no bits of its own: those of AH speak for both.
        """
        has, auth, encr = self.features.__contains__, self.auth.__contains__, self.encr.__contains__
        hashes = (auth("hmac-md5-96"), auth("hmac-sha1-96"))
        ciphers = (encr("des-cbc"), False, encr("3des-cbc"), encr("null"))
        ah = has(Feature.AH) and any(hashes)
        esp = has(Feature.ESP) and any(hashes) and any(ciphers)
        udp = _UDP_ESP_SUBTYPES << 4 if has(Feature.UDP_ESP) and esp else 0
        ah_bits = _fields(*hashes, ah, ah, ah, False) if ah or esp else 0
        esp_bits = _fields(*ciphers, True, True, True, False) if esp else 0
        combined = has(Feature.AH_ESP) and ah and esp
        flags = (combined, has(Feature.NESTED) and (ah or esp), has(Feature.IPV4_OPTIONS) and (ah or esp))
        return struct.pack("<7I", _ENCAPSULATION, *map(int, flags), udp, ah_bits, esp_bits)

    def offload_v2(self) -> bytes:
        """NDIS_IPSEC_OFFLOAD_V2, 32 bytes; ``SaOffloadCapacity`` counts bundles.

        What is claimed can be used: a cipher that needs an integrity algorithm beside it is claimed with one, and
        GMAC, whose bits speak for AH and ESP alike, when each of the two that is claimed otherwise has it.
        """
        has, encr = self.features.__contains__, self.encr.__contains__
        gmac = ((not has(Feature.ESP) or encr("aes-gmac")) and (not has(Feature.AH) or "aes-gmac" in self.auth)
                and (has(Feature.ESP) or has(Feature.AH)))
        names = ("hmac-md5-96", "hmac-sha1-96", "hmac-sha256-128")
        hashes = sum((name in self.auth) << n for n, name in enumerate(names))
        auth_bits = hashes | gmac * 0x38
        encr_bits = encr("aes-gcm") * 0x38 | (encr("null") and auth_bits > 0) * 1
        if hashes:
            encr_bits |= encr("des-cbc") * 2 | encr("3des-cbc") * 4 | encr("aes-cbc") * 0x1C0
        ah, esp = has(Feature.AH) and auth_bits > 0, has(Feature.ESP) and encr_bits > 0
        flags = [has(Feature[name]) for name in ("IPV6", "IPV4_OPTIONS", "IPV6_EXT")]
        flags += [ah, esp, has(Feature.AH_ESP) and ah and esp]
        flags += [True, True, has(Feature.NESTED), False, has(Feature.ESN)]
        udp = _UDP_ESP_SUBTYPES if has(Feature.UDP_ESP) and esp else 0
        encr_bits = encr_bits if esp else 0
        return struct.pack("<I11BxIIII", _ENCAPSULATION, *flags, udp, auth_bits, encr_bits, self.sa_slots)
