# SPDX-License-Identifier: Apache-2.0
"""Payloads of the word streams inside a lane."""

from amaranth.lib import data, enum

__all__ = ["AuthWord", "IcvWord", "Kind", "PassWord"]


class Kind(enum.Enum, shape=2):
    """What a word of a pass is."""

    HEADER = 0  #: SPI and sequence number of ESP; every word of an AH pass
    IV = 1
    BODY = 2


class PassWord(data.Struct):
    """Four bytes of a pass in network order.

    ``size`` is the number of bytes that count, modulo four; it is zero but on ``last``.
    """

    data: 32
    size: 2
    kind: Kind
    last: 1


class AuthWord(data.Struct):
    """Four bytes to be authenticated; ``pad`` ends the associated data of a combined mode."""

    data: 32
    size: 2
    pad: 1
    last: 1


class IcvWord(data.Struct):
    """A word of an ICV, in the order of the wire."""

    data: 32
    last: 1
