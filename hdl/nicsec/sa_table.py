# SPDX-License-Identifier: Apache-2.0
"""SA table: slots with generations, rows of key material, IV counters, deletion that drains."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .sa_layout import SA_ROW_WIDTH, Found, RowRequest, RowWrite, TableCommand, TableResult

__all__ = ["SATable"]


class SATable(wiring.Component):
    """Slots of SA bundles.

    Parameters
    ----------
    config : Config

    Members
    -------
    ready : Out(1)
        Every row, counter and slot has been wiped after reset. Look-ups and commands wait for it.
    lookup : In(stream of 32)
        A handle.
    found : Out(stream of :class:`Found`)
        One answer per look-up, in order, 6 cycles later; a look-up is taken every 7 cycles.
        ``ok``: the slot exists, is VALID and has the handle's generation. A look-up that is ``ok`` takes one
        value of the IV counter of each op that generates IVs and returns it in ``iv``; ``exhausted`` says that
        2**64 - 1 had been taken from one of them before.
    row_req : In(stream of :class:`RowRequest`)
    row_rsp : Out(stream of 128)
        One row per request, in order, 3 cycles later, one per cycle.
    started : In(1)
        Strobe: a packet that will look up SAs begins, no later than the transfer of its first look-up.
    retired : In(1)
        Strobe: the oldest packet that was started will look up and fetch no more. At most 255 packets may be
        between the two.
    cmd : In(stream of ``TableCommand``)
        Add: the slot at the head of the free list, whose rows came through ``write``, becomes VALID under a
        generation that differs from its last one. Delete: the slot becomes DRAINING at once; when every packet
        started by then has retired, its rows and counters are wiped, it becomes FREE, and the result is given.
    result : Out(stream of ``TableResult``)
        One per command.
    write : In(stream of :class:`RowWrite`)
        A row of the slot that the next add takes. Transfer only while ``free`` is not 0 and no command is
        outstanding.
    free : Out(range(config.sa_slots + 1))
        Free slots.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "ready": Out(1),
                "lookup": In(stream.Signature(32)),
                "found": Out(stream.Signature(Found(config))),
                "row_req": In(stream.Signature(RowRequest(config))),
                "row_rsp": Out(stream.Signature(SA_ROW_WIDTH)),
                "started": In(1),
                "retired": In(1),
                "cmd": In(stream.Signature(TableCommand)),
                "result": Out(stream.Signature(TableResult)),
                "write": In(stream.Signature(RowWrite(config))),
                "free": Out(range(config.sa_slots + 1)),
            }
        )
