# SPDX-License-Identifier: Apache-2.0
"""All lanes with units of their own: who takes which packet, and how frames reach them and leave in order. Only
wiring."""

from math import gcd

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import connect, flipped

from .activity import population, units_of
from .beat_store import Deal, Gather
from .job import JobLayout
from .lane import Lane
from .lane_turns import CollectTurns, DrainTurns, LoadTurns
from .packet_path import PacketPath
from .pick import PACKETS_PER_LANE, Pick
from .row_hub import RowHub
from .share import Share, crypto_members, join, lane_crypto_members, private
from .stream import Register
from .units import Units
from .width import BeatsToWords, WordsToBeats

__all__ = ["Lanes", "groups_of", "packets_in_lanes"]

#: Beats of all groups' rings together: what the widest block RAM of most parts holds.
_STORED_BEATS = 512


def groups_of(config):
    """Groups of lanes: as many words move in a cycle as a beat has, if the lanes can be divided so.

    A lane of its own needs no group to itself, since it works on a word in two cycles at best.
    """
    groups = gcd(config.lanes, config.data_width // 32)
    return groups // 2 if groups == config.lanes > 1 else groups


def packets_in_lanes(config):
    """Packets that may be between their jobs and their verdicts."""
    return PACKETS_PER_LANE * config.lanes


class Lanes(wiring.Component):
    """Jobs and frames in, verdicts and frames out, in one order.

    A frame goes to the lane that its job went to, the emptiest at that moment. Lanes stand in groups, lane n in
    group n % groups, and a group has one stream of words in and one out. The list of lanes, made as jobs come,
    says whose turn it is at each of the four places where streams part or meet, so nothing is put back in order:
    it never leaves it.

    Parameters
    ----------
    config : Config
        With ``units`` "private".

    Members
    -------
    job, i, verdict, o, row_req, row_rsp, setup, activity
        See :class:`~nicsec.packet_path.PacketPath`; ``setup`` borrows the cores of lane 0.
    """

    def __init__(self, config):
        self._config = config
        self._lanes = [Lane(config) for _ in range(config.lanes)]
        self._verdict = self._lanes[0].verdict.payload.shape()
        super().__init__(PacketPath(config))

    def elaborate(self, platform):
        m = Module()
        config = self._config
        for n, lane in enumerate(self._lanes):
            m.submodules[f"lane{n}"] = lane
            self._units(m, n, lane)
        if config.utilisation:
            self._activity(m)
        if len(self._lanes) == 1:
            self._one(m)
        else:
            self._many(m)
        return m

    def _units(self, m, number, lane):
        """The cores of a lane; key set-up shares those of lane 0."""
        config = self._config
        m.submodules[f"units{number}"] = units = Units(config)
        claim = Signal(name=f"claim_{number}")
        shared = {}
        if number == 0:
            m.submodules.share = share = Share(config)
            shared = private(config, crypto_members(config))
            setup = flipped(self.setup)
            m.d.comb += claim.eq(lane.claim | setup.claim)
            for user, client in ((lane, share.lane), (setup, share.setup)):
                m.d.comb += [client.claim.eq(user.claim), user.granted.eq(client.granted)]
                join(m, shared, user, client)
            own_request = "aes_i" in shared and not config.has_mac_subkeys
            through = {name: member for name, member in shared.items() if name != "aes_i" or not own_request}
            join(m, through, share, units)
            if own_request:
                # Key set-up encrypts zeros alone, and that is what the lane's cipher holds while it asks for nothing.
                m.d.comb += [
                    units.aes_i.payload.eq(lane.aes_i.payload),
                    units.aes_i.valid.eq(share.aes_i.valid),
                    share.aes_i.ready.eq(units.aes_i.ready),
                ]
        else:
            m.d.comb += claim.eq(lane.claim)
            m.d.sync += lane.granted.eq(lane.claim)
        own = private(config, {**crypto_members(config), **lane_crypto_members(config)})
        join(m, {name: member for name, member in own.items() if name not in shared}, lane, units)
        if config.has_aes:
            m.d.comb += units.aes_chain.eq(lane.aes_chain)
        m.d.comb += units.wipe.eq(_released(m, f"units{number}", claim))

    def _activity(self, m):
        """How many of all lanes' units are at work."""
        for kind in units_of(self._config):
            bits = [m.submodules[f"units{n}"].working for n in range(len(self._lanes))]
            if kind in bits[0].shape().members:
                total = population(m, f"working_{kind}", Cat(each[kind] for each in bits))
                m.d.comb += self.activity[kind].eq(total)

    def _one(self, m):
        lane, = self._lanes
        m.submodules.cut = cut = BeatsToWords(self._config.data_width)
        m.submodules.pack = pack = WordsToBeats(self._config.data_width)
        connect(m, flipped(self.i), cut.i)
        connect(m, cut.o, lane.load)
        connect(m, flipped(self.job), lane.job)
        connect(m, lane.verdict, flipped(self.verdict))
        connect(m, lane.drain, pack.i)
        connect(m, pack.o, flipped(self.o))
        connect(m, lane.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), lane.row_rsp)

    def _many(self, m):
        config, lanes = self._config, self._lanes
        groups = groups_of(config)
        group_lanes = config.lanes // groups

        # The lane of each job goes onto the lists; a list is as long as it can get, but for that of frames to be
        # collected, which a slow receiver fills.
        m.submodules.pick = pick = Pick(config.lanes)
        chosen = pick.o.payload
        # No signal is 0 wide, which Verilog cannot say.
        group, member = Signal(range(max(groups, 2))), Signal(range(max(group_lanes, 2)))
        listed, free = [], []

        def listing(name, width, value, enable, depth):
            """A list of what was picked, as a stream."""
            m.submodules[name] = queue = fifo.SyncFIFO(width=width, depth=depth)
            m.d.comb += queue.w_data.eq(value)
            listed.append((queue, enable))
            free.append(queue.w_rdy | ~enable)
            o = stream.Signature(width).create(path=(name,))
            m.d.comb += [o.payload.eq(queue.r_data), o.valid.eq(queue.r_rdy), queue.r_en.eq(o.ready)]
            return o

        group_bits, member_bits = len(group), len(member)
        always = C(1, 1)
        if groups > 1:
            frames = listing("frames", group_bits, group, always, packets_in_lanes(config))
            order = listing("order", group_bits, group, always, 2 * packets_in_lanes(config))
        turns = []
        for g in range(groups):
            mine = Signal(name=f"mine_{g}")
            m.d.comb += mine.eq(group == g)
            depth = PACKETS_PER_LANE * group_lanes
            turns.append([listing(f"{name}{g}", member_bits, member, mine, depth) for name in ("loads", "drains")])
        pass_on = Signal()
        with m.Switch(chosen):
            for n in range(config.lanes):
                with m.Case(n):
                    m.d.comb += [group.eq(n % groups), member.eq(n // groups)]
        can = Signal()
        m.d.comb += [
            can.eq(pick.o.valid & Cat(free).all()),
            pass_on.eq(can & self.job.valid),
            self.job.ready.eq(can),
            pick.o.ready.eq(pass_on),
            *(queue.w_en.eq(pass_on & enable) for queue, enable in listed),
        ]

        # Each lane keeps the job at work and the next one.
        m.submodules.rows = rows = RowHub(config, config.lanes)
        connect(m, rows.row_req, flipped(self.row_req))
        connect(m, flipped(self.row_rsp), rows.row_rsp)
        verdicts = []
        for n, lane in enumerate(lanes):
            m.submodules[f"next_job{n}"] = coming = Register(JobLayout(config))
            m.submodules[f"job{n}"] = at_work = Register(JobLayout(config))
            m.submodules[f"verdict{n}"] = verdict = Register(self._verdict)
            m.d.comb += [
                coming.i.payload.eq(self.job.payload), coming.i.valid.eq(pass_on & (chosen == n)),
                pick.freed[n].eq(lane.freed),
            ]
            connect(m, coming.o, at_work.i)
            connect(m, at_work.o, lane.job)
            connect(m, lane.verdict, verdict.i)
            connect(m, lane.row_req, rows.req[n])
            connect(m, rows.rsp[n], lane.row_rsp)
            verdicts.append(verdict.o)

        if groups > 1:
            depth = _STORED_BEATS // groups
            m.submodules.deal = deal = Deal(config.data_width, groups=groups, depth=depth)
            m.submodules.gather = gather = Gather(config.data_width, groups=groups, depth=depth)
            m.submodules.collect = collect = CollectTurns(groups, self._verdict)
            connect(m, flipped(self.i), deal.i)
            connect(m, gather.o, flipped(self.o))
            connect(m, frames, deal.route)
            connect(m, order, collect.turn)
            connect(m, collect.route, gather.route)
            connect(m, collect.o, flipped(self.verdict))
            beats_in, beats_out, verdicts_out = deal.o, gather.i, collect.verdict
        else:
            beats_in, beats_out, verdicts_out = [flipped(self.i)], [flipped(self.o)], [flipped(self.verdict)]
        for g in range(groups):
            m.submodules[f"cut{g}"] = cut = BeatsToWords(config.data_width)
            m.submodules[f"pack{g}"] = pack = WordsToBeats(config.data_width)
            m.submodules[f"load{g}"] = load = LoadTurns(group_lanes)
            m.submodules[f"drain{g}"] = drain = DrainTurns(group_lanes, self._verdict)
            to_load, to_drain = turns[g]
            connect(m, to_load, load.turn)
            connect(m, to_drain, drain.turn)
            connect(m, beats_in[g], cut.i)
            connect(m, cut.o, load.i)
            connect(m, drain.o, pack.i)
            connect(m, pack.o, beats_out[g])
            for n in range(group_lanes):
                lane = lanes[n * groups + g]
                connect(m, load.o[n], lane.load)
                connect(m, verdicts[n * groups + g], drain.verdict[n])
                connect(m, lane.drain, drain.i[n])
            connect(m, drain.o_verdict, verdicts_out[g])


def _released(m, name, claim):
    """Strobe when ``claim`` falls. No key outlives the packet that it was loaded for, so deletion need not look for
    copies."""
    claimed, released = Signal(name=f"claimed_{name}"), Signal(name=f"released_{name}")
    m.d.sync += claimed.eq(claim)
    m.d.comb += released.eq(claimed & ~claim)
    return released
