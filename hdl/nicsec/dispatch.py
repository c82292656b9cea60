# SPDX-License-Identifier: Apache-2.0
"""Turns descriptors into jobs: looks the SAs up and settles what needs no look at the frame."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Status
from .descriptor import Descriptor
from .job import INNER, OUTER, JobLayout
from .sa_layout import Found, LookUp, slot_bits

__all__ = ["Dispatch", "Ticket"]


class Ticket(data.StructLayout):
    """What the collector needs to complete a packet; one per descriptor.

    With lifetimes, ``counted`` has a bit for SA 1 and SA 2: the SA in ``slots`` counted the packet.
    """

    def __init__(self, config):
        members = {"cookie": 64, "length": 16, "bypass": 1}
        if config.lifetimes:
            members |= {"counted": 2, "slots": data.ArrayLayout(slot_bits(config), 2)}
        super().__init__(members)


class Dispatch(wiring.Component):
    """Handles one descriptor at a time, in order: look-up by look-up, and two cycles more, or three with two handles.

    Parameters
    ----------
    config : Config

    Members
    -------
    enable : In(1)
        A packet with a handle is refused without it.
    i : In(stream of Descriptor)
    ticket : Out(stream of Ticket)
        Beside the job.
    job : Out(stream of JobLayout)
    lookup, found : streams
        The SA table.
    started : Out(1)
        Strobe, one per descriptor, ahead of its look-ups.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "enable": In(1),
            "i": In(stream.Signature(Descriptor)),
            "ticket": Out(stream.Signature(Ticket(config))),
            "job": Out(stream.Signature(JobLayout(config))),
            "lookup": Out(stream.Signature(LookUp)),
            "found": In(stream.Signature(Found(config))),
            "started": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        descriptor = Signal(Descriptor)
        job = self.job.p
        given, checksum, refused = Signal(), Signal(), Signal()
        ticket_sent, job_sent = Signal(), Signal()
        second = Signal()
        m.d.comb += [
            job.csum_ip.eq(descriptor.csum_ip),
            job.csum_l4.eq(descriptor.csum_l4),
            job.csum_udp.eq(descriptor.csum_udp),
            job.csum_start.eq(descriptor.csum_start),
            job.csum_offset.eq(descriptor.csum_offset),
            self.ticket.p.cookie.eq(descriptor.cookie),
            self.ticket.p.length.eq(descriptor.length),
            self.ticket.p.bypass.eq(job.bypass),
        ]

        # OffloadHandle alone is bound to the outermost headers, as NextOffloadHandle always is.
        level = job.levels[OUTER]
        coming = self.i.p
        look_up = Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    given.eq(coming.sa1_valid | coming.sa2_valid),
                    checksum.eq(coming.csum_ip | coming.csum_l4),
                    refused.eq(coming.lso | (checksum & (not self._config.checksum))),
                    look_up.eq(given & ~refused & self.enable),
                    self.lookup.valid.eq(self.i.valid & look_up),
                    self.lookup.p.handle.eq(Mux(coming.sa1_valid, coming.sa1, coming.sa2)),
                    self.lookup.p.length.eq(coming.length),
                    self.i.ready.eq(~look_up | self.lookup.ready),
                    self.started.eq(self.i.valid & self.i.ready),
                ]
                m.d.sync += [
                    descriptor.eq(coming),
                    job.length.eq(coming.length),
                    job.nested.eq(coming.sa1_valid & coming.sa2_valid),
                    job.bypass.eq(~given & ~checksum & ~refused),
                    job.bound.eq(given),
                    job.status.eq(Mux(refused, Status.UNSUPPORTED, Mux(
                        given & ~self.enable, Status.DISABLED, Status.SUCCESS
                    ))),
                    second.eq(~coming.sa1_valid),
                    ticket_sent.eq(0), job_sent.eq(0),
                ]
                if self._config.lifetimes:
                    m.d.sync += self.ticket.p.counted.eq(0)
                with m.If(self.started):
                    with m.If(look_up):
                        m.next = "FOUND"
                    with m.Else():
                        m.next = "SEND"
            with m.State("LOOKUP"):
                m.d.comb += [
                    self.lookup.valid.eq(1), self.lookup.p.handle.eq(descriptor.sa2),
                    self.lookup.p.length.eq(descriptor.length),
                ]
                with m.If(self.lookup.ready):
                    m.next = "FOUND"
            with m.State("FOUND"):
                m.d.comb += self.found.ready.eq(1)
                with m.If(self.found.valid):
                    found = self.found.p
                    m.d.sync += [
                        level.slot.eq(found.slot),
                        level.iv.eq(found.iv),
                        level.seq_high.eq(Mux(second, descriptor.seq_high2, descriptor.seq_high1)),
                        level.seq_high_valid.eq(Mux(second, descriptor.seq_high2_valid, descriptor.seq_high1_valid)),
                    ]
                    # The handles are good before a lifetime counts, and that before a used-up IV counter.
                    with m.If(~found.ok):
                        m.d.sync += job.status.eq(Status.BAD_HANDLE)
                    with m.Elif(found.expired & (job.status != Status.BAD_HANDLE)):
                        m.d.sync += job.status.eq(Status.LIFETIME_EXPIRED)
                    with m.Elif(found.exhausted & (job.status == Status.SUCCESS)):
                        m.d.sync += job.status.eq(Status.IV_EXHAUSTED)
                    if self._config.lifetimes:
                        m.d.sync += [
                            self.ticket.p.counted[1].eq(found.ok & ~found.expired),
                            self.ticket.p.slots[1].eq(found.slot),
                        ]
                        with m.If(~second):
                            m.d.sync += [
                                self.ticket.p.counted.eq(found.ok & ~found.expired),
                                self.ticket.p.slots[0].eq(found.slot),
                            ]
                    with m.If(job.nested & ~second):
                        m.d.sync += second.eq(1)
                        m.next = "SECOND"
                    with m.Else():
                        m.next = "SEND"
            with m.State("SECOND"):
                m.d.sync += job.levels[INNER].eq(level)
                m.next = "LOOKUP"
            with m.State("SEND"):
                m.d.comb += [self.ticket.valid.eq(~ticket_sent), self.job.valid.eq(~job_sent)]
                m.d.sync += [
                    ticket_sent.eq(ticket_sent | self.ticket.ready), job_sent.eq(job_sent | self.job.ready),
                ]
                with m.If((ticket_sent | self.ticket.ready) & (job_sent | self.job.ready)):
                    m.next = "IDLE"
        return m
