# SPDX-License-Identifier: Apache-2.0
"""Completion statuses (docs/design.md section 3)."""

import enum

__all__ = ["Status"]


class Status(enum.IntEnum):
    """What became of a packet; 0 to 7 are NDIS CryptoStatus."""

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

    @property
    def text(self) -> str:
        """The name as result files spell it."""
        return self.name.lower()
