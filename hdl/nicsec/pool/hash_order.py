# SPDX-License-Identifier: Apache-2.0
"""A hash task as a unit takes it."""

from amaranth import *
from amaranth.lib import data

from ..algorithm import Auth
from ..job import word_bits
from ..share import hashes
from .layout import HashTask, place_bits

__all__ = ["AUTHS", "BLOCK_BYTES", "HashOrder"]

#: HMAC by the hash core behind it.
AUTHS = {"sha1": Auth.HMAC_SHA1, "sha256": Auth.HMAC_SHA256}
#: Bytes of a block of either.
BLOCK_BYTES = 64


class HashOrder(data.StructLayout):
    """A :class:`~nicsec.pool.layout.HashTask` with what is reckoned in one place for all units.

    ``hash`` numbers the cores as :func:`~nicsec.share.hashes` does. Places: ``first`` and ``end`` of the range, ``icv``
    where ``icv_last`` + 1 words of ICV go; AH has its ICV inside, and there ``head`` is that of the AH header,
    ``header_words`` and ``icv_start`` count from the IP header, and of the last word ``size`` bytes count, modulo four.
    ``bytes`` are those of the message, the block of the key and the ESN. ``seq_high`` is turned right by ``size``
    bytes. ``follows``: only what progress is reported of is final.
    """

    def __init__(self, config):
        task = HashTask(config).members
        names = ("thread", "packet", "last", "slot", "op", "esn", "seq_high", "esp", "ipv6", "chained", "follows")
        place = place_bits(config)
        super().__init__({
            **{name: task[name] for name in names},
            "hash": 1, "icv_last": 3, "first": place, "end": place, "icv": place, "head": place, "size": 2,
            "header_words": word_bits(config), "icv_start": word_bits(config),
            "bytes": (4 * config.frame_words + BLOCK_BYTES + 4).bit_length(),
        })

    @staticmethod
    def of(m, config, task):
        """A HashOrder with the values for ``task``, a HashTask; combinational."""
        order = Signal(HashOrder(config))
        for name in order.shape().members:
            if name in task.shape().members:
                m.d.comb += order[name].eq(task[name])
        names = hashes(config)
        if len(names) > 1:
            m.d.comb += order.hash.eq(task.auth == AUTHS[names[1]])
        base, size = Cat(C(0, 2), task.base), task.end[:2]
        m.d.comb += [
            order.icv_last.eq(task.icv_words - 1),
            order.first.eq(base + task.start),
            order.end.eq(base + (task.end >> 2) + size.any()),
            order.icv.eq(base + Mux(task.esp, task.end >> 2, task.header + 3)),
            order.head.eq(base + task.header),
            order.size.eq(size),
            order.header_words.eq(task.header - task.start),
            order.icv_start.eq(task.header - task.start + 3),
            order.bytes.eq(task.end - (task.start << 2) + Mux(task.esn, BLOCK_BYTES + 4, BLOCK_BYTES)),
            order.seq_high.eq(Cat(task.seq_high, task.seq_high).bit_select(size << 3, 32)),
        ]
        return order
