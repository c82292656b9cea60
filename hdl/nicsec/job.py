# SPDX-License-Identifier: Apache-2.0
"""What the lane is told about a packet, and the plan its walker makes of it."""

from amaranth.lib import data

from .algorithm import Status
from .sa_layout import IVCheck

__all__ = [
    "INNER", "OUTER", "HeaderLayout", "JobLayout", "LevelLayout", "PassLayout", "RegionLayout", "VerdictLayout",
    "byte_bits", "word_bits",
]

#: Levels of a packet: the outermost IPsec headers, and those inside the tunnel.
INNER, OUTER = 0, 1


def byte_bits(config):
    """Bits of a byte position in a lane's buffer, one past the end included."""
    return (4 * config.frame_words).bit_length()


def word_bits(config):
    """Bits of a word position in a lane's buffer, one past the end included."""
    return config.frame_words.bit_length()


class LevelLayout(data.StructLayout):
    """The bundle that one level of a packet is bound to.

    ``iv`` holds the value that each op took from its IV counter; ``seq_high`` replaces the SA's when
    ``seq_high_valid``.
    """

    def __init__(self, config):
        super().__init__({
            "slot": range(config.sa_slots),
            "iv": data.ArrayLayout(64, 2),
            "seq_high": 32,
            "seq_high_valid": 1,
        })


class JobLayout(data.StructLayout):
    """One packet's job.

    ``status`` other than success is the verdict already; ``bypass`` sends the frame untouched.
    ``bound`` says that there are bundles, ``nested`` that the inner level has one as well as the outer.
    ``length`` is what the descriptor says, in bytes; the ``csum`` fields are the descriptor's.
    """

    def __init__(self, config):
        super().__init__({
            "length": 16,
            "status": Status,
            "bypass": 1,
            "bound": 1,
            "nested": 1,
            "csum_ip": 1,
            "csum_l4": 1,
            "csum_udp": 1,
            "csum_start": 16,
            "csum_offset": 16,
            "levels": data.ArrayLayout(LevelLayout(config), 2),
        })


class PassLayout(data.StructLayout):
    """One pass over the buffer.

    ESP: ``start`` is the word of the ESP header, ``end`` the byte behind the trailer, where the ICV
    begins. AH: ``start`` is the word of the IP header, ``header`` that of the AH, ``end`` the byte
    behind the datagram; ``chained`` says that options or extension headers stand between IP header and AH.
    Positions count the two bytes of padding ahead of the frame.
    """

    def __init__(self, config):
        super().__init__({
            "active": 1,
            "op": 1,
            "ipv6": 1,
            "chained": 1,
            "start": word_bits(config),
            "header": word_bits(config),
            "end": byte_bits(config),
        })


class HeaderLayout(data.StructLayout):
    """An IPv4 header: first word, and length in words."""

    def __init__(self, config):
        super().__init__({"active": 1, "start": word_bits(config), "words": 4})


class RegionLayout(data.StructLayout):
    """What an L4 checksum may cover: from word ``first`` to byte ``end``; ``fragment``: of a fragmented packet."""

    def __init__(self, config):
        super().__init__({"first": word_bits(config), "end": byte_bits(config), "fragment": 1})


class VerdictLayout(data.StructLayout):
    """A beat of a verdict: IVs of the frame that are to be judged, in the order of passes, and then the ``status``.

    ``last`` marks the beat of the status, in which ``iv`` means nothing, as ``status`` does in the others. Only a
    success has others.
    """

    def __init__(self, config):
        super().__init__({"status": Status, "last": 1, "iv": IVCheck(config)})
