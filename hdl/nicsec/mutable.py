# SPDX-License-Identifier: Apache-2.0
"""Zeroes the mutable fields of an AH pass, in the hash input only (RFC 4302 section 3.3.3)."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .job import word_bits
from .words import PassWord

__all__ = ["Mutable"]


class Mutable(wiring.Component):
    """Passes words on; when ``enable``, the mutable fields and the ICV as zero. One word per two cycles, latency 1.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe ahead of a pass; the members below are then held until its last word has left.
    enable : In(1)
    ipv6 : In(1)
    icv_start : In
        Words from the IP header to the ICV.
    icv_words : In(4)
    i, o : streams of PassWord
    """

    def __init__(self, config):
        words = word_bits(config)
        self._words = words
        super().__init__({
            "start": In(1),
            "enable": In(1),
            "ipv6": In(1),
            "icv_start": In(words),
            "icv_words": In(4),
            "i": In(stream.Signature(PassWord)),
            "o": Out(stream.Signature(PassWord)),
        })

    def elaborate(self, platform):
        m = Module()
        index = Signal(self._words)
        icv_left = Signal(4)
        valid = Signal()
        held = Signal(PassWord, reset_less=True)
        keep = Signal(4)

        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(held), self.i.ready.eq(~valid), keep.eq(0b1111)]
        with m.If(self.enable):
            with m.Switch(index):
                with m.Case(0):
                    m.d.comb += keep.eq(Mux(self.ipv6, 0b1000, 0b1011))
                with m.Case(1):
                    m.d.comb += keep.eq(Mux(self.ipv6, 0b1110, 0b1100))
                with m.Case(2):
                    m.d.comb += keep.eq(Mux(self.ipv6, 0b1111, 0b0100))
            with m.If((index == self.icv_start) | (icv_left != 0)):
                m.d.comb += keep.eq(0)

        with m.If(~valid):
            m.d.sync += [held.eq(self.i.payload), valid.eq(self.i.valid)]
            for n in range(4):
                with m.If(~keep[n]):
                    m.d.sync += held.data[8 * n : 8 * n + 8].eq(0)
            # The low nibble of an IPv6 header's first byte belongs to the traffic class.
            with m.If(self.enable & self.ipv6 & (index == 0)):
                m.d.sync += held.data[24:28].eq(0)
            with m.If(self.i.valid):
                m.d.sync += index.eq(index + 1)
                with m.If(index == self.icv_start):
                    m.d.sync += icv_left.eq(self.icv_words - 1)
                with m.Elif(icv_left != 0):
                    m.d.sync += icv_left.eq(icv_left - 1)
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        with m.If(self.start):
            m.d.sync += [index.eq(0), icv_left.eq(0)]
        return m
