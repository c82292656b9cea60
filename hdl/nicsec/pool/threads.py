# SPDX-License-Identifier: Apache-2.0
"""Who has which thread, and what is wiped before it goes to the next."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..crypto.aes_schedule import ScheduleJob
from .layout import Done, thread_bits
from .queue import Queue

__all__ = ["Ended", "Threads"]


class Ended(data.StructLayout):
    """Strobe: a pass has ended."""

    def __init__(self, config):
        super().__init__({"valid": 1, "done": Done(config)})


class Threads(wiring.Component):
    """Gives out idle threads; takes one back when its pass has ended and a wipe of its round keys is on its way.

    Parameters
    ----------
    config : Config
    clients : int

    Members
    -------
    thread : Out(stream, one per client)
        An idle thread, offered to one client after another for a cycle each, until one takes it.
    done : In(stream of Done)
    keyed : In({valid, thread})
        The thread has been given a key.
    wipe : Out(stream of ScheduleJob)
    ended : Out(Ended)
        Of each pass, with the wipe of its keys ahead of all that are asked for from then on.
    """

    def __init__(self, config, clients):
        self._config = config
        self._clients = clients
        thread = thread_bits(config)
        super().__init__({
            "thread": Out(stream.Signature(thread)).array(clients),
            "done": In(stream.Signature(Done(config))),
            "keyed": In(data.StructLayout({"valid": 1, "thread": thread})),
            "wipe": Out(stream.Signature(ScheduleJob(config.lanes))),
            "ended": Out(Ended(config)),
        })

    def elaborate(self, platform):
        m = Module()
        threads = self._config.lanes
        m.submodules.idle = idle = Queue(thread_bits(self._config), threads)
        keyed = Signal(threads)
        dirty = Signal()

        # Behind a reset all threads are idle.
        fresh = Signal(range(threads + 1))
        ending = Signal()
        m.d.comb += [
            idle.i.valid.eq((fresh != threads) | ending),
            idle.i.payload.eq(Mux(fresh != threads, fresh, self.done.p.thread)),
            self.wipe.p.wipe.eq(1), self.wipe.p.tag.eq(self.done.p.thread),
        ]
        with m.If(fresh != threads):
            m.d.sync += fresh.eq(fresh + 1)
        with m.If(self.keyed.valid):
            m.d.sync += keyed.bit_select(self.keyed.thread, 1).eq(1)

        m.d.sync += [self.ended.valid.eq(ending), self.ended.done.eq(self.done.payload)]
        with m.FSM():
            with m.State("LOOK"):
                m.d.sync += dirty.eq(keyed.bit_select(self.done.p.thread, 1))
                with m.If(self.done.valid & (fresh == threads)):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.wipe.valid.eq(dirty), ending.eq(self.wipe.ready | ~dirty), self.done.ready.eq(ending)]
                with m.If(ending):
                    m.d.sync += keyed.bit_select(self.done.p.thread, 1).eq(0)
                    m.next = "LOOK"

        turn = Signal(self._clients, init=1)
        m.d.sync += turn.eq(turn.rotate_left(1))
        m.d.comb += idle.o.ready.eq((turn & Cat(thread.ready for thread in self.thread)).any())
        for n, thread in enumerate(self.thread):
            m.d.comb += [thread.payload.eq(idle.o.payload), thread.valid.eq(idle.o.valid & turn[n])]
        return m
