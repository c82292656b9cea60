# SPDX-License-Identifier: Apache-2.0
"""Rows of the SA table for several lanes."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .choose import any_of
from .merge import Merge, dealt
from .sa_layout import SA_ROW_WIDTH, RowRequest
from .stream import SkidBuffer

__all__ = ["RowHub"]

#: Requests that may be on their way through the table, a power of two; there are fewer.
_WAY = 16


class RowHub(wiring.Component):
    """Serves the clients in turn, one request a cycle and of one client one in two.

    A request takes a cycle, or with more than four clients two; an answer takes one.

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
        The SA table. No more than 16 requests may wait for their answers there.
    """

    def __init__(self, config, clients):
        self._config = config
        request, row = stream.Signature(RowRequest(config)), stream.Signature(SA_ROW_WIDTH)
        super().__init__({
            "req": In(request).array(clients),
            "rsp": Out(row).array(clients),
            "row_req": Out(request),
            "row_rsp": In(row),
        })

    def elaborate(self, platform):
        m = Module()
        clients = len(self.req)
        asked = data.StructLayout({"request": RowRequest(self._config), "client": range(max(clients, 2))})
        m.submodules.merge = merge = Merge(asked, clients, full=True)
        for n, (req, place) in enumerate(zip(self.req, dealt(clients), strict=True)):
            i = merge.i[place]
            m.d.comb += [i.valid.eq(req.valid), i.p.request.eq(req.payload), i.p.client.eq(n), req.ready.eq(i.ready)]

        # Answers come in the order of requests.
        m.submodules.way = way = memory.Memory(
            shape=asked["client"].shape, depth=_WAY, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = way.write_port(), way.read_port(domain="comb")
        # What a client that is not ready holds up ends here, at a register.
        m.submodules.answers = answers = SkidBuffer(data.StructLayout({"row": SA_ROW_WIDTH, "to": clients}))
        m.d.comb += [
            self.row_req.valid.eq(merge.o.valid), self.row_req.payload.eq(merge.o.p.request),
            merge.o.ready.eq(self.row_req.ready),
            write.en.eq(merge.o.valid & self.row_req.ready), write.data.eq(merge.o.p.client),
            answers.i.valid.eq(self.row_rsp.valid), answers.i.p.row.eq(self.row_rsp.payload),
            answers.i.p.to.eq(Cat(read.data == n for n in range(clients))),
            self.row_rsp.ready.eq(answers.i.ready),
            answers.o.ready.eq(any_of([to & rsp.ready for to, rsp in zip(answers.o.p.to, self.rsp, strict=True)])),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + write.en),
            read.addr.eq(read.addr + (self.row_rsp.valid & self.row_rsp.ready)),
        ]
        for to, rsp in zip(answers.o.p.to, self.rsp, strict=True):
            m.d.comb += [rsp.payload.eq(answers.o.p.row), rsp.valid.eq(answers.o.valid & to)]
        return m
