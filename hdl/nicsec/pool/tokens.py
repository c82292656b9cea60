# SPDX-License-Identifier: Apache-2.0
"""What goes through the cipher pipe, and what starts it."""

from amaranth.lib import data, enum

from ..job import word_bits
from .layout import packet_bits, place_bits, thread_bits

__all__ = ["CbcStart", "Facts", "GcmStart", "HeaderRead", "Kind", "Token"]


class Kind(enum.Enum, shape=3):
    """What a token is about."""

    CBC = 0  #: the block behind ``place`` is written, that at ``place`` is next
    J0 = 1  #: GCM's mask; the associated data go into GHASH
    CTR = 2  #: key stream for the words at ``place``
    LENGTHS = 3  #: GHASH's last block
    ICV = 4  #: GHASH's sum under the mask goes to ``place``
    HEADER = 5  #: four words of a header are read, and a generated IV of GCM is written
    SETUP = 6  #: a block of key set-up


class Token(data.StructLayout):
    """A block on its way. ``words``: those that count, less one. ``left``: blocks of CBC that are yet to be
    encrypted."""

    def __init__(self, config):
        super().__init__({
            "kind": Kind, "thread": thread_bits(config), "place": place_bits(config), "words": 2,
            "left": word_bits(config) - 2,
        })


class Facts(data.StructLayout):
    """What the end of a pass must know, by thread: see :class:`~nicsec.pool.layout.CipherTask`.

    ``icv_last``: words of the ICV, less one. ``half``: blocks of CBC that are left when the hash may begin. ``aad``:
    SPI, high half with ``esn``, sequence number, first byte in bits 95:88.
    """

    def __init__(self, config):
        super().__init__({
            "packet": packet_bits(config), "last": 1, "hashed": 1, "esn": 1, "icv_last": 2,
            "body_words": word_bits(config), "half": word_bits(config) - 2, "aad": 96,
        })


class GcmStart(data.StructLayout):
    """A GCM task: nonce (salt and IV), first place of the payload, its words."""

    def __init__(self, config):
        super().__init__({
            "thread": thread_bits(config), "nonce": 96, "place": place_bits(config), "words": word_bits(config),
        })


class CbcStart(data.StructLayout):
    """A CBC task: ``value`` is the IV or, with ``generate``, what becomes it when encrypted; ``place`` is the payload's
    first, ``blocks`` its blocks."""

    def __init__(self, config):
        super().__init__({
            "thread": thread_bits(config), "generate": 1, "value": 128, "place": place_bits(config),
            "blocks": word_bits(config) - 2,
        })


class HeaderRead(data.StructLayout):
    """A read of four words of a header; with ``generate`` the last two become ``iv``."""

    def __init__(self, config):
        super().__init__({"place": place_bits(config), "generate": 1, "iv": 64})
