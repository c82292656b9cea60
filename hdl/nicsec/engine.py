# SPDX-License-Identifier: Apache-2.0
"""The engine: ports, control side, lanes. Only wiring."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi_lite import AxiLiteSignature
from .collect import Collect
from .control import Control
from .descriptor import Completion, Descriptor
from .dispatch import Dispatch, Ticket
from .lanes import Lanes, groups_of, packets_in_lanes
from .pool.pool import Pool, packets_in_pool
from .ram_queue import RamQueue
from .share import crypto_members, join
from .stream import AxisSignature, BeatLayout, Register, SkidBuffer

__all__ = ["Engine"]


class Engine(wiring.Component):
    """IPsec send-path offload engine: frames and descriptors in, protected frames and completions out.

    Parameters
    ----------
    config : Config

    Members
    -------
    s_axis : In(AxisSignature)
        Frames, in the order of their descriptors. ``tuser`` on any beat marks the frame as bad.
    s_desc : In(AxisSignature)
        Descriptors (docs/design.md section 2).
    m_axis : Out(AxisSignature)
        Protected and bypassed frames, in the order of their descriptors; ``tuser`` stays 0.
    m_cpl : Out(AxisSignature)
        One completion per descriptor, in order (section 3).
    s_axil : In(AxiLiteSignature)
        Registers (section 6).
    irq : Out(1)
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "s_axis": In(AxisSignature(config.data_width)),
            "s_desc": In(AxisSignature(Descriptor.as_shape().size, frame=False)),
            "m_axis": Out(AxisSignature(config.data_width)),
            "m_cpl": Out(AxisSignature(Completion.as_shape().size, frame=False)),
            "s_axil": In(AxiLiteSignature(addr_width=16, data_width=32)),
            "irq": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config

        m.submodules.control = control = Control(config)
        m.submodules.dispatch = dispatch = Dispatch(config)
        shared = config.units == "shared"
        m.submodules.lanes = lanes = Pool(config) if shared else Lanes(config)
        m.submodules.collect = collect = Collect(config)
        connect(m, flipped(self.s_axil), control.s_axil)
        m.d.comb += self.irq.eq(control.irq)

        # Frames in.
        # One group of lanes moves a word a cycle, a quarter of a beat.
        slow = config.units == "private" and groups_of(config) == 1
        beat_buffer = Register if slow else SkidBuffer
        m.submodules.ingress = ingress = beat_buffer(BeatLayout(config.data_width))
        m.d.comb += [
            ingress.i.p.data.eq(self.s_axis.tdata),
            ingress.i.p.keep.eq(self.s_axis.tkeep),
            ingress.i.p.last.eq(self.s_axis.tlast),
            ingress.i.p.error.eq(self.s_axis.tuser),
            ingress.i.valid.eq(self.s_axis.tvalid),
            self.s_axis.tready.eq(ingress.i.ready),
        ]
        connect(m, ingress.o, lanes.i)

        # Descriptors in. Nothing is dispatched before the table is wiped.
        m.submodules.descriptors = descriptors = Register(Descriptor)
        m.d.comb += [
            descriptors.i.payload.eq(self.s_desc.tdata),
            descriptors.i.valid.eq(self.s_desc.tvalid),
            self.s_desc.tready.eq(descriptors.i.ready),
            dispatch.i.payload.eq(descriptors.o.payload),
            dispatch.i.valid.eq(descriptors.o.valid & control.ready),
            descriptors.o.ready.eq(dispatch.i.ready & control.ready),
            dispatch.enable.eq(control.enable),
            control.started.eq(dispatch.started),
            control.retired.eq(collect.retired),
        ]
        connect(m, dispatch.lookup, control.lookup)
        connect(m, control.found, dispatch.found)
        connect(m, collect.check, control.check)
        connect(m, control.checked, collect.checked)
        if config.lifetimes:
            connect(m, collect.errors, control.errors)
        connect(m, dispatch.job, lanes.job)
        connect(m, lanes.row_req, control.row_req)
        connect(m, control.row_rsp, lanes.row_rsp)
        m.d.comb += [lanes.setup.claim.eq(control.claim), control.granted.eq(lanes.setup.granted)]
        join(m, crypto_members(config), control, lanes.setup)
        if config.utilisation:
            m.d.comb += control.activity.eq(lanes.activity)

        # Tickets wait for their packets.
        depth = packets_in_pool(config) + 4 if shared else 2 * packets_in_lanes(config) + 2
        m.submodules.tickets = tickets = RamQueue(Ticket(config), depth)
        connect(m, dispatch.ticket, tickets.i)
        connect(m, tickets.o, collect.ticket)

        # Frames and completions out.
        m.submodules.egress = egress = beat_buffer(BeatLayout(config.data_width))
        m.submodules.completions = completions = Register(Completion)
        connect(m, lanes.verdict, collect.verdict)
        connect(m, lanes.o, collect.i)
        connect(m, collect.o, egress.i)
        connect(m, collect.completion, completions.i)
        connect(m, collect.event, control.event)
        m.d.comb += [
            self.m_axis.tdata.eq(egress.o.p.data),
            self.m_axis.tkeep.eq(egress.o.p.keep),
            self.m_axis.tlast.eq(egress.o.p.last),
            self.m_axis.tuser.eq(egress.o.p.error),
            self.m_axis.tvalid.eq(egress.o.valid),
            egress.o.ready.eq(self.m_axis.tready),
            self.m_cpl.tdata.eq(completions.o.payload),
            self.m_cpl.tvalid.eq(completions.o.valid),
            completions.o.ready.eq(self.m_cpl.tready),
        ]
        return m
