# SPDX-License-Identifier: Apache-2.0
"""All packets in one ring, and the units that work on them. Only wiring."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from ..activity import population
from ..crypto.aes_schedule import ScheduleJob
from ..job import JobLayout, VerdictLayout
from ..merge import Merge
from ..packet_path import PacketPath
from ..row_hub import RowHub
from ..sa_layout import SA_ROW_WIDTH
from ..share import hash_members
from ..stream import BeatLayout, Register, SkidBuffer
from .cipher_pipe import CipherPipe
from .cipher_start import CipherStart
from .drain import Drain
from .front import Front
from .hash_pool import HashPool
from .hubs import FetchHub
from .layout import CipherTask, Done, HashTask, Patch
from .load import Load
from .pair import Pair
from .retire import FrontVerdict, Retire
from .ring import FrameRing
from .setup_port import SetupPort
from .threads import Threads

__all__ = ["Pool", "packets_in_pool"]


def packets_in_pool(config):
    """Packets that may be between their jobs and their verdicts."""
    return config.packets + 4


class Pool(wiring.Component):
    """Jobs and frames in, verdicts and frames out, in one order.

    Parameters
    ----------
    config : Config
        With ``units`` "shared".

    Members
    -------
    job, i, verdict, o, row_req, row_rsp, setup, activity
        See :class:`~nicsec.packet_path.PacketPath`; ``setup`` borrows a thread and the cores of the first hash unit.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(PacketPath(config))

    def elaborate(self, platform):
        m = Module()
        config = self._config
        hashers = config.hash_units if config.has_hmac else 0
        m.submodules.ring = ring = FrameRing(config)
        m.submodules.load = load = Load(config)
        m.submodules.drain = drain = Drain(config)
        m.submodules.pair = pair = Pair(config)
        m.submodules.retire = retire = Retire(config)
        m.submodules.pipe = pipe = CipherPipe(config)
        m.submodules.start = start = CipherStart(config, key_latency=pipe.key_latency)
        m.submodules.setup = setup = SetupPort(config, key_latency=pipe.key_latency)
        m.submodules.threads = threads = Threads(config, config.walkers + 1)
        fronts = [Front(config) for _ in range(config.walkers)]

        def registered(name, source, shape, buffer=Register):
            """``source`` behind a register of its payload, valid and ready."""
            m.submodules[name] = register = buffer(shape)
            connect(m, source, register.i)
            return register.o

        # Frames in and out.
        connect(m, flipped(self.i), load.i)
        connect(m, load.loaded, pair.loaded)
        connect(m, registered("next_job", flipped(self.job), JobLayout(config)), pair.job)
        connect(m, pair.frame, retire.frame)
        connect(m, retire.o, drain.frame)
        connect(m, registered("leaving", drain.o, BeatLayout(config.data_width), SkidBuffer), flipped(self.o))
        connect(m, registered("next_verdict", retire.verdict, VerdictLayout(config)), flipped(self.verdict))
        for half in range(2):
            connect(m, load.o[half], ring.load[half])
            connect(m, drain.request[half], ring.drain[half])
            m.d.comb += [drain.valid[half].eq(ring.drain_valid[half]), drain.data[half].eq(ring.drain_data[half])]
        m.d.comb += load.tail.eq(drain.tail)

        # Hubs.
        def merged(name, shape, sources, sink):
            m.submodules[name] = merge = Merge(shape, len(sources))
            for source, i in zip(sources, merge.i, strict=True):
                connect(m, source, i)
            connect(m, merge.o, sink)

        m.submodules.lines = lines = FetchHub(config, config.walkers + hashers)
        m.submodules.rows = rows = RowHub(config, config.walkers + hashers + 1)
        connect(m, lines.fetch, ring.fetch)
        m.d.comb += [lines.fetch_valid.eq(ring.fetch_valid), lines.fetch_data.eq(ring.fetch_data)]
        connect(m, rows.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), rows.row_rsp)

        # Fronts.
        for n, front in enumerate(fronts):
            m.submodules[f"front{n}"] = front
            connect(m, pair.front[n], front.job)
            connect(m, threads.thread[n], front.thread)
            connect(m, front.fetch, lines.req[n])
            connect(m, front.row_req, rows.req[n])
            connect(m, rows.rsp[n], front.row_rsp)
            m.d.comb += [
                front.rsp_valid.eq(lines.rsp_valid[n]), front.rsp_data.eq(lines.rsp_data), front.done.eq(threads.ended),
            ]
        verdicts = [registered(f"verdict{n}", front.verdict, FrontVerdict(config)) for n, front in enumerate(fronts)]
        merged("verdicts", FrontVerdict(config), verdicts, retire.front)
        merged("cipher_tasks", CipherTask(config), [front.cipher_task for front in fronts], start.task)
        patches = [registered(f"sum{n}", front.patch, Patch(config)) for n, front in enumerate(fronts)]
        dones = [pipe.done, setup.done]

        # The cipher.
        # What waits for its turn in the pipe holds up no other client's row by a path through the hub.
        connect(m, start.row_req, rows.req[config.walkers + hashers])
        connect(m, registered("start_row", rows.rsp[config.walkers + hashers], SA_ROW_WIDTH), start.row_rsp)
        for name in ("header", "gcm", "cbc", "subkey"):
            connect(m, getattr(start, name), getattr(pipe, name))
        connect(m, start.iv, retire.iv)
        merged("keys", ScheduleJob(config.lanes), [threads.wipe, start.key, setup.key], pipe.key)
        m.d.comb += [
            start.header_read.eq(pipe.header_read), start.header_words.eq(pipe.header_words),
            pipe.facts.eq(start.facts), pipe.read_data.eq(ring.read_data), ring.read.eq(pipe.read),
            ring.write.eq(pipe.write), retire.ended.eq(threads.ended), threads.keyed.eq(pipe.keyed),
            setup.keyed.eq(pipe.keyed), start.keyed.eq(pipe.keyed.valid & ~setup.mine),
            setup.answer_valid.eq(pipe.answered), setup.answer.eq(pipe.answer),
        ]

        # Key set-up.
        user = flipped(self.setup)
        connect(m, threads.thread[config.walkers], setup.thread)
        connect(m, registered("setup_block", setup.block, setup.block.payload.shape()), pipe.setup)
        m.d.comb += [setup.claim.eq(user.claim), user.granted.eq(setup.granted)]
        for name in ("aes_key", "aes_i"):
            connect(m, getattr(user, name), getattr(setup, name))
        connect(m, setup.aes_o, user.aes_o)

        if not hashers:
            m.d.comb += setup.hash_granted.eq(setup.hash_claim)
        else:
            m.submodules.hashes = hashes = HashPool(config)
            merged("hash_tasks", HashTask(config), [front.hash_task for front in fronts], hashes.task)
            m.d.comb += [
                hashes.half.eq(pipe.half), hashes.progress.eq(pipe.progress), hashes.rsp_data.eq(lines.rsp_data),
                hashes.claim.eq(setup.hash_claim), setup.hash_granted.eq(hashes.granted),
            ]
            for n in range(hashers):
                at = config.walkers + n
                connect(m, hashes.fetch[n], lines.req[at])
                connect(m, hashes.row_req[n], rows.req[at])
                connect(m, rows.rsp[at], hashes.row_rsp[n])
                m.d.comb += hashes.rsp_valid[n].eq(lines.rsp_valid[at])
                patches.append(hashes.patch[n])
                dones.append(hashes.done[n])
            for name, member in hash_members(config).items():
                source, sink = (user, hashes) if member.flow == Out else (hashes, user)
                word = registered(f"setup_{name}", getattr(source, name), getattr(source, name).payload.shape())
                connect(m, word, getattr(sink, name))
        if config.utilisation:
            m.d.comb += self.activity.aes.eq(pipe.aes_issued)
            if config.has_ghash:
                m.d.comb += self.activity.ghash.eq(pipe.ghash_issued)
            if hashers:
                m.d.comb += self.activity.hash.eq(population(m, "hashing", hashes.working))
        m.submodules.patches = merge = Merge(Patch(config), len(patches))
        connect(m, merge.o, ring.patch)
        told = [front.written for front in fronts] + ([*hashes.written] if hashers else [])
        for n, (source, i) in enumerate(zip(patches, merge.i, strict=True)):
            m.d.comb += [
                i.valid.eq(source.valid), i.payload.eq(source.payload), i.p.client.eq(n), source.ready.eq(i.ready),
                told[n].eq(ring.written.valid & (ring.written.client == n)),
            ]
        merged("dones", Done(config), dones, threads.done)
        return m
