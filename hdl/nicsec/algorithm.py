# SPDX-License-Identifier: Apache-2.0
"""Algorithm, status and feature numbers as software and hardware see them."""

from amaranth.lib import enum

__all__ = ["Auth", "Encr", "Feature", "SACommand", "SAResult", "Status"]


class Encr(enum.Enum, shape=4):
    """Encryption algorithm of an op."""

    NULL = 0
    AES_CBC = 1
    AES_GCM = 2
    AES_CTR = 3
    AES_GMAC = 4
    DES_CBC = 5
    TDES_CBC = 6
    AES_CCM = 7
    CHACHA20_POLY1305 = 8


class Auth(enum.Enum, shape=4):
    """Authentication algorithm of an op; ``NONE`` also stands for AEADs."""

    NONE = 0
    HMAC_SHA1 = 1
    HMAC_SHA256 = 2
    HMAC_SHA384 = 3
    HMAC_SHA512 = 4
    HMAC_MD5 = 5
    AES_XCBC = 6
    AES_CMAC = 7
    AES_GMAC = 8


class Status(enum.Enum, shape=8):
    """Completion status; 0 to 7 are NDIS CryptoStatus."""

    SUCCESS = 0
    GENERIC_ERROR = 1
    TRANSPORT_AH_AUTH_FAILED = 2
    TRANSPORT_ESP_AUTH_FAILED = 3
    TUNNEL_AH_AUTH_FAILED = 4
    TUNNEL_ESP_AUTH_FAILED = 5
    MALFORMED = 6
    INVALID_PROTOCOL = 7
    BAD_HANDLE = 8
    SPI_MISMATCH = 9
    MISSING_AH = 10
    MISSING_ESP = 11
    FRAGMENT = 12
    UNALIGNED = 13
    NO_ROOM = 14
    TOO_LONG = 15
    UNSUPPORTED = 16
    IV_EXHAUSTED = 17
    IV_REPEAT = 18
    MEMORY_ERROR = 19
    INPUT_ERROR = 20
    DISABLED = 21
    LIFETIME_EXPIRED = 22


class SACommand(enum.Enum, shape=8):
    """Commands of the SA register window."""

    ADD = 1
    DELETE = 2
    UPDATE = 3
    QUERY = 4


class SAResult(enum.Enum, shape=8):
    """Outcome of an SA command."""

    OK = 0
    FULL = 1
    BAD_HANDLE = 2
    UNSUPPORTED = 3
    INVALID = 4


class Feature(enum.Flag, shape=32):
    """Bits of CAP_FEATURES."""

    AH = 1 << 0
    ESP = 1 << 1
    AH_ESP = 1 << 2
    NESTED = 1 << 3
    IPV6 = 1 << 4
    IPV4_OPTIONS = 1 << 5
    IPV6_EXT = 1 << 6
    UDP_ESP = 1 << 7
    ESN = 1 << 8
    IV_GENERATE = 1 << 9
    IV_FRAME = 1 << 10
    CSUM_IP = 1 << 11
    CSUM_L4 = 1 << 12
    LIFETIME = 1 << 13
    UTILISATION = 1 << 14
