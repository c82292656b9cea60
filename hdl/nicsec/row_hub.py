# SPDX-License-Identifier: Apache-2.0
"""Rows of the SA table for several lanes."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .choose import number_of, round_robin, selected
from .sa_layout import SA_ROW_WIDTH, RowRequest

__all__ = ["RowHub"]

#: Requests that may wait for their answers.
_OUTSTANDING = 8


class RowHub(wiring.Component):
    """Serves the clients in turn, one request a cycle and of one client one in two; request and answer take two cycles
    and one more than without it.

    Parameters
    ----------
    config : Config
    clients : int

    Members
    -------
    req : In(stream of RowRequest, one per client)
    rsp : Out(stream of 128, one per client)
        An answer that is not taken at once holds up all others.
    row_req, row_rsp : streams
        The SA table.
    """

    def __init__(self, config, clients):
        self._clients = clients
        request, row = stream.Signature(RowRequest(config)), stream.Signature(SA_ROW_WIDTH)
        super().__init__({
            "req": In(request).array(clients),
            "rsp": Out(row).array(clients),
            "row_req": Out(request),
            "row_rsp": In(row),
        })

    def elaborate(self, platform):
        m = Module()
        clients = self._clients

        # A client is chosen in one cycle and gives its request in the next, unless the way out is blocked or the
        # answers are behind.
        waiting, grant = Signal(clients), Signal(clients)
        tag = Signal(range(clients))
        outstanding = Signal(range(_OUTSTANDING + 1))
        go, choose, answered = Signal(), Signal(), Signal()
        m.d.comb += [
            go.eq(~self.row_req.valid | self.row_req.ready),
            choose.eq(go & (outstanding != _OUTSTANDING)),
            waiting.eq(Cat(req.valid for req in self.req) & ~grant),
        ]
        chosen = round_robin(m, "client", waiting, choose)
        m.d.sync += outstanding.eq(outstanding + (choose & waiting.any()) - answered)
        with m.If(go):
            m.d.sync += [
                grant.eq(Mux(choose, chosen, 0)),
                self.row_req.valid.eq(grant.any()),
                self.row_req.payload.eq(selected(grant, [req.payload for req in self.req])),
                tag.eq(number_of(grant)),
            ]
        m.d.comb += [req.ready.eq(grant[n] & go) for n, req in enumerate(self.req)]

        # Answers come in the order of requests.
        m.submodules.tags = tags = fifo.SyncFIFOBuffered(width=len(tag), depth=_OUTSTANDING)
        row = Signal(SA_ROW_WIDTH, reset_less=True)
        valid = Signal(clients)
        free = Signal()
        m.d.comb += [
            tags.w_data.eq(tag),
            tags.w_en.eq(self.row_req.valid & self.row_req.ready),
            free.eq(~valid.any() | selected(valid, [rsp.ready for rsp in self.rsp])),
            self.row_rsp.ready.eq(free & tags.r_rdy),
            answered.eq(self.row_rsp.valid & self.row_rsp.ready),
            tags.r_en.eq(answered),
        ]
        with m.If(free):
            m.d.sync += [row.eq(self.row_rsp.payload), valid.eq(Mux(answered, C(1, clients) << tags.r_data, 0))]
        for n, rsp in enumerate(self.rsp):
            m.d.comb += [rsp.payload.eq(row), rsp.valid.eq(valid[n])]
        return m
