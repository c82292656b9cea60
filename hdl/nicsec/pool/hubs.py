# SPDX-License-Identifier: Apache-2.0
"""Many clients of the ring's port for lines."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..merge import Merge, dealt
from .layout import line_bits

__all__ = ["FetchHub"]

#: Requests that may be on their way through the ring, a power of two; there are fewer.
_WAY = 16


class FetchHub(wiring.Component):
    """Has lines of the ring fetched for many clients, one a cycle in all and one in two cycles for each four or so.

    Clients are dealt out to such groups in turn, so that those of one kind, which are neighbours, share none.
    A request goes on to ``fetch`` two cycles behind its transfer. An answer comes a cycle behind the ring's.

    Parameters
    ----------
    config : Config
    clients : int

    Members
    -------
    req : array of In(stream of line_bits)
    rsp_valid : Out(clients), rsp_data : Out(128)
        The line that the client asked for, in the order of its requests.
    fetch : Out(stream of line_bits), fetch_valid, fetch_data : In
        The ring's port, which answers in order. No more than 16 requests may be on their way there.
    """

    def __init__(self, config, clients):
        lines = line_bits(config)
        super().__init__({
            "req": In(stream.Signature(lines)).array(clients),
            "rsp_valid": Out(clients),
            "rsp_data": Out(128),
            "fetch": Out(stream.Signature(lines)),
            "fetch_valid": In(1),
            "fetch_data": In(128),
        })

    def elaborate(self, platform):
        m = Module()
        clients = len(self.req)
        shape = data.StructLayout({"line": len(self.fetch.payload), "client": range(max(clients, 2))})
        m.submodules.merge = merge = Merge(shape, clients, full=True)
        for n, (req, place) in enumerate(zip(self.req, dealt(clients), strict=True)):
            i = merge.i[place]
            m.d.comb += [i.valid.eq(req.valid), i.p.line.eq(req.payload), i.p.client.eq(n), req.ready.eq(i.ready)]

        m.submodules.way = way = memory.Memory(
            shape=shape["client"].shape, depth=_WAY, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = way.write_port(), way.read_port(domain="comb")
        m.d.comb += [
            self.fetch.valid.eq(merge.o.valid),
            self.fetch.payload.eq(merge.o.p.line),
            merge.o.ready.eq(self.fetch.ready),
            write.en.eq(merge.o.valid & self.fetch.ready),
            write.data.eq(merge.o.p.client),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + write.en),
            read.addr.eq(read.addr + self.fetch_valid),
            self.rsp_data.eq(self.fetch_data),
            self.rsp_valid.eq(Cat(self.fetch_valid & (read.data == n) for n in range(clients))),
        ]
        return m
