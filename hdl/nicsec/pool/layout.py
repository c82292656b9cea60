# SPDX-License-Identifier: Apache-2.0
"""Records that the pool's units hand each other.

A *line* is four words of a frame, 16 bytes; the ring holds lines. As in a lane, a frame is stored two bytes late, so
its first line begins with two bytes of padding. A *place* is a word of the ring; a *position* is a word or byte of one
frame, counted from its first line. All words are in network order, the first word of a line in bits 127:96.
"""

from amaranth import *
from amaranth.lib import data

from ..algorithm import Auth, Status
from ..crypto.thread_rows import tag_bits
from ..job import JobLayout, byte_bits, word_bits
from ..packet_buffer import LoadedLayout
from ..sa_layout import slot_bits

__all__ = [
    "CipherTask", "Done", "FrameLayout", "FrontJob", "HashTask", "LineWrite", "LoadedFrame", "Patch", "Progress",
    "Read", "Write", "Written", "at_place", "line_bits", "packet_bits", "place_bits", "thread_bits",
]


def line_bits(config):
    """Bits of a line of the ring."""
    return (config.ring_lines - 1).bit_length()


def place_bits(config):
    """Bits of a word of the ring."""
    return line_bits(config) + 2


def thread_bits(config):
    """Bits of a thread."""
    return tag_bits(config.lanes)


def packet_bits(config):
    """Bits of a packet's number; numbers go round twice as many as there are packets at most, so that the top bit tells
    one round from the next."""
    return (2 * config.packets - 1).bit_length()


def at_place(base, position, bits):
    """The place, of ``bits`` bits, of word ``position`` of the frame whose first line is ``base``."""
    return (Cat(C(0, 2), base) + position)[:bits]


class Read(data.StructLayout):
    """A read of the four words from ``place`` on, which may lie in two lines."""

    def __init__(self, config):
        super().__init__({"en": 1, "place": place_bits(config)})


class Write(data.StructLayout):
    """A write of up to four words from ``place`` on; bit n of ``mask`` writes word n, whose bits are
    127 - 32n : 96 - 32n of ``data``. Nothing is written with an empty mask."""

    def __init__(self, config):
        super().__init__({"place": place_bits(config), "data": 128, "mask": 4})


class LineWrite(data.StructLayout):
    """A whole line."""

    def __init__(self, config):
        super().__init__({"line": line_bits(config), "data": 128})


class Written(data.StructLayout):
    """The last patch of ``client`` has been written; clients are fronts and then hash units."""

    def __init__(self, config):
        super().__init__({"valid": 1, "client": range(config.walkers + config.hash_units)})


class Patch(data.StructLayout):
    """A write of one word; bit n of ``mask`` writes bits 16n + 15 : 16n. With ``last`` its ``client`` is told when it
    has been written (:class:`Written`)."""

    def __init__(self, config):
        super().__init__({
            "place": place_bits(config), "data": 32, "mask": 2, "last": 1, "client": Written(config).members["client"],
        })


class LoadedFrame(data.StructLayout):
    """A frame in the ring: its first line, how many it has, and what is known of it."""

    def __init__(self, config):
        super().__init__({"base": line_bits(config), "lines": line_bits(config) + 1, "loaded": LoadedLayout})


class FrameLayout(data.StructLayout):
    """A frame in the ring, in the order of packets: whether it is kept and leaves or its lines are only freed, its
    bytes, and its lines. Where it begins, the one ahead of it ended."""

    def __init__(self, config):
        super().__init__({"keep": 1, "length": 16, "lines": line_bits(config) + 1})


class FrontJob(data.StructLayout):
    """A packet for a front: its number, its job, its first line, what is known of the frame since it was loaded, and
    whether it is to be ``walked``, since neither job nor frame says otherwise."""

    def __init__(self, config):
        super().__init__({
            "packet": packet_bits(config), "base": line_bits(config), "job": JobLayout(config), "loaded": LoadedLayout,
            "walked": 1,
        })


class CipherTask(data.StructLayout):
    """An ESP pass that encrypts, AES-CBC or with ``gcm`` AES-GCM.

    ``start`` is the place of the ESP header; behind it lie the IV (four words, GCM two) and ``body_words`` of body.
    ``generate``: ``iv`` is to be the IV field (GCM), or to be encrypted into it (CBC). ``seq_high`` counts with
    ``esn``. ``hashed``: a hash task of the same thread follows, and the end of this one does not end the pass.
    ``judged``: the IV of the frame goes on record as ``number``'s. ``last``: of the packet's passes.
    """

    def __init__(self, config):
        super().__init__({
            "thread": thread_bits(config), "packet": packet_bits(config), "number": 2, "last": 1,
            "slot": slot_bits(config), "op": 1, "key_size": 2, "gcm": 1, "generate": 1, "judged": 1, "hashed": 1,
            "esn": 1, "icv_words": 3, "start": place_bits(config), "body_words": word_bits(config),
            "salt": 32, "iv": 64, "seq_high": 32,
        })


class HashTask(data.StructLayout):
    """A pass of HMAC: of ESP, or of AH when not ``esp``.

    ``start``, ``header``, ``end`` and ``chained`` are those of :class:`~nicsec.job.PassLayout`, ``base`` is the frame's
    first line. ``follows``: a cipher task of the same thread writes the payload, which may be read up to where that
    task has come (:class:`Progress`).
    """

    def __init__(self, config):
        super().__init__({
            "thread": thread_bits(config), "packet": packet_bits(config), "last": 1,
            "slot": slot_bits(config), "op": 1, "auth": Auth, "icv_words": 4, "esn": 1, "seq_high": 32,
            "esp": 1, "ipv6": 1, "chained": 1, "follows": 1,
            "base": line_bits(config), "start": word_bits(config), "header": word_bits(config),
            "end": byte_bits(config),
        })


class Progress(data.StructLayout):
    """A block of a CBC task has been written: all of the pass ahead of ``place`` is ciphertext, with ``last`` all."""

    def __init__(self, config):
        super().__init__({"valid": 1, "thread": thread_bits(config), "place": place_bits(config), "last": 1})


class Done(data.StructLayout):
    """A pass has ended, with ``status``; ``last``: or the packet with it."""

    def __init__(self, config):
        super().__init__({
            "thread": thread_bits(config), "packet": packet_bits(config), "last": 1, "status": Status,
        })
