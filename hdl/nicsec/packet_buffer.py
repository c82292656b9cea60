# SPDX-License-Identifier: Apache-2.0
"""A lane's memory: two frames, one in work while the other leaves or comes."""

from amaranth import *
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .job import word_bits
from .stream import FrameWord

__all__ = ["LoadedLayout", "PacketBuffer"]


class _State(enum.Enum, shape=2):
    EMPTY = 0  #: being loaded, or free
    LOADED = 1  #: the lane's
    DONE = 2  #: to be drained
    DROPPED = 3  #: to be forgotten


#: What is known of a loaded frame: bytes, and whether it was marked bad or did not fit.
LoadedLayout = data.StructLayout({"length": 16, "error": 1, "too_long": 1})


class PacketBuffer(wiring.Component):
    """Two banks that take turns: load, work, drain. Nothing of a frame leaves before :attr:`emit`.

    Parameters
    ----------
    config : Config

    Members
    -------
    load : In(stream of FrameWord)
        One word per cycle. A frame longer than ``config.max_frame`` is swallowed.
    loaded : Out(LoadedLayout), loaded_valid : Out(1)
        The frame at work; holds until ``emit`` or ``drop``.
    addr, en : In
        Read port on the frame at work; ``word`` follows two enabled cycles later.
    write_addr, write_data, write_en : In
        Write port on the frame at work; bit n of ``write_en`` writes bits 16n to 16n + 15.
    emit, drop : In(1)
        Strobes: the frame at work leaves through ``drain``, or never.
    freed : Out(1)
        Strobe: a bank is free again, the older frame's first.
    drain : Out(stream of FrameWord)
        One word per cycle, the first after 3. Nothing behind the frame's last byte is read.
    """

    def __init__(self, config):
        self._config = config
        words = word_bits(config)
        super().__init__({
            "load": In(stream.Signature(FrameWord)),
            "loaded": Out(LoadedLayout),
            "loaded_valid": Out(1),
            "addr": In(words),
            "en": In(1),
            "word": Out(32),
            "write_addr": In(words),
            "write_data": In(32),
            "write_en": In(2),
            "emit": In(1),
            "drop": In(1),
            "freed": Out(1),
            "drain": Out(stream.Signature(FrameWord)),
        })

    def elaborate(self, platform):
        m = Module()
        depth = self._config.frame_words
        states = Array(Signal(_State, name=f"state_{n}") for n in range(2))
        infos = Array(Signal(LoadedLayout, name=f"loaded_{n}") for n in range(2))
        load_bank, work_bank, drain_bank = Signal(), Signal(), Signal()

        # Load.
        count = Signal(word_bits(self._config))
        overflow = Signal()
        load_ready = Signal()
        load_write = Signal()
        full = Signal()
        m.d.comb += [
            load_ready.eq(states[load_bank] == _State.EMPTY),
            self.load.ready.eq(load_ready),
            load_write.eq(self.load.valid & load_ready & ~full),
        ]
        over, ended, bad = Signal(), Signal(), Signal()
        total = Signal(16)
        m.d.comb += full.eq(count == depth)
        m.d.sync += ended.eq(0)
        with m.If(self.load.valid & load_ready):
            with m.If(full):
                m.d.sync += overflow.eq(1)
            with m.Else():
                m.d.sync += count.eq(count + 1)
            # What the last word says is looked at in the next cycle, when the other bank's turn has come.
            with m.If(self.load.p.last):
                m.d.sync += [
                    ended.eq(1), bad.eq(self.load.p.error), over.eq(overflow | full),
                    # Bytes with the two ahead of them, less those two.
                    total.eq(Cat(self.load.p.size ^ 2, (count - (self.load.p.size == 1))[: len(count)])),
                    load_bank.eq(~load_bank), count.eq(0), overflow.eq(0),
                ]
        with m.If(ended):
            info = infos[~load_bank]
            m.d.sync += [
                info.length.eq(total), info.error.eq(bad),
                info.too_long.eq(over | (total > self._config.max_frame)),
                states[~load_bank].eq(_State.LOADED),
            ]

        # Work.
        m.d.comb += [
            self.loaded.eq(infos[work_bank]),
            self.loaded_valid.eq(states[work_bank] == _State.LOADED),
        ]
        with m.If(self.emit | self.drop):
            m.d.sync += [
                states[work_bank].eq(Mux(self.emit, _State.DONE, _State.DROPPED)),
                work_bank.eq(~work_bank),
            ]

        # Drain.
        at = Signal(word_bits(self._config))
        end = Signal(17)
        reading = Signal()
        last = Signal()
        read, out = Signal(FrameWord), Signal(FrameWord)
        read_valid, out_valid, out_last = Signal(), Signal(), Signal()
        drain_en, drain_word = Signal(), Signal(32)
        m.d.comb += [
            drain_en.eq(~out_valid | self.drain.ready),
            end.eq(infos[drain_bank].length + 2),
            last.eq(((at + 1) << 2) >= end),
            self.drain.valid.eq(out_valid),
            self.drain.payload.eq(out),
            self.drain.p.data.eq(drain_word),
        ]
        with m.If(drain_en):
            m.d.sync += [
                read_valid.eq(reading), read.last.eq(last), read.size.eq(end[:2]),
                out_valid.eq(read_valid), out.eq(read),
            ]
            with m.If(reading):
                m.d.sync += at.eq(at + 1)
                with m.If(last):
                    m.d.sync += reading.eq(0)
        m.d.comb += out_last.eq(out_valid & out.last & self.drain.ready)
        idle = Signal()
        m.d.comb += idle.eq(~reading & ~read_valid & ~out_valid)
        with m.If(idle & (states[drain_bank] == _State.DONE)):
            m.d.sync += [reading.eq(1), at.eq(0)]
        m.d.comb += self.freed.eq(out_last | (states[drain_bank] == _State.DROPPED))
        with m.If(self.freed):
            m.d.sync += [states[drain_bank].eq(_State.EMPTY), drain_bank.eq(~drain_bank)]

        # Banks. A word that is read while it is written is of no use to anybody: passes write behind what they read,
        # and what is read in a bank that loads is thrown away.
        data_out = []
        for n in range(2):
            m.submodules[f"bank{n}"] = bank = memory.Memory(
                shape=32, depth=depth, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
            )
            write, port = bank.write_port(granularity=16), bank.read_port()
            at_work, draining = Signal(name=f"at_work_{n}"), Signal(name=f"draining_{n}")
            m.d.comb += [
                at_work.eq(states[n] == _State.LOADED),
                draining.eq(states[n] == _State.DONE),
                write.addr.eq(Mux(at_work, self.write_addr, count)),
                write.data.eq(Mux(at_work, self.write_data, self.load.p.data)),
                write.en.eq(Mux(
                    at_work, self.write_en & (work_bank == n).replicate(2), (load_write & (load_bank == n)).replicate(2)
                )),
                port.addr.eq(Mux(draining, at, self.addr)),
                port.en.eq(Mux(draining, drain_en, self.en)),
            ]
            data_out.append(port.data)
        with m.If(self.en):
            m.d.sync += self.word.eq(Mux(work_bank, data_out[1], data_out[0]))
        with m.If(drain_en):
            m.d.sync += drain_word.eq(Mux(drain_bank, data_out[1], data_out[0]))
        return m
