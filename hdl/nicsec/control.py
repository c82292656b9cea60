# SPDX-License-Identifier: Apache-2.0
"""Control side: AXI4-Lite registers, SA table, key setup and counters, wired together."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .axi_lite import AxiLiteSignature
from .counters import PacketEvent
from .sa_layout import SA_ROW_WIDTH, Found, RowRequest
from .share import crypto_members

__all__ = ["Control"]


class Control(wiring.Component):
    """Everything that software sees, and the SA table.

    Parameters
    ----------
    config : Config

    Members
    -------
    s_axil : In(AxiLiteSignature(16, 32))
    irq : Out(1)
        Level, high while an unmasked interrupt bit is set.
    enable : Out(1)
        CTRL bit 0.
    ready : Out(1)
        STATUS bit 0: the wipe after reset is done.
    lookup, found, row_req, row_rsp, started, retired
        See :class:`~nicsec.sa_table.SATable`.
    event : In(stream of ``PacketEvent``)
        One per completion: ``length`` of the frame in bytes, ``status``, ``bypassed``.
    claim : Out(1), granted : In(1)
        Key setup asks for the crypto units and may use them while ``granted``; ``claim`` falls when it is done.
    aes_key, aes_i : Out(stream), aes_o : In(stream)
        Present when the config has AES: the seam of :class:`~nicsec.crypto.aes.Aes`.
    sha1_i : Out(stream), sha1_o : In(stream), sha256_i, ...
        Present for each hash that the config has.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "s_axil": In(AxiLiteSignature(addr_width=16, data_width=32)),
                "irq": Out(1),
                "enable": Out(1),
                "ready": Out(1),
                "lookup": In(stream.Signature(32)),
                "found": Out(stream.Signature(Found(config))),
                "row_req": In(stream.Signature(RowRequest(config))),
                "row_rsp": Out(stream.Signature(SA_ROW_WIDTH)),
                "started": In(1),
                "retired": In(1),
                "event": In(stream.Signature(PacketEvent)),
                "claim": Out(1),
                "granted": In(1),
                **crypto_members(config),
            }
        )
