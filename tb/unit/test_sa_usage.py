# SPDX-License-Identifier: Apache-2.0
"""Counts and limits of SAs: what a look-up sees, which events there are, queries, errors and wipes beside them."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from nicsec.config import PRESETS
from nicsec.sa_usage import Usage
from streams import put, run

CONFIG = PRESETS["basic"]
SOFT_P, SOFT_B, HARD_P, HARD_B = (1 << n for n in range(4))
MASK = 2**48 - 1


@dataclass
class Account:
    """What docs/design.md section 5.2 says of one SA."""

    limits: tuple = (0, 0, 0, 0)  # soft and hard packets, soft and hard bytes
    packets: int = 0
    octets: int = 0
    errors: int = 0
    told: int = 0
    events: list = field(default_factory=list)

    def reached(self):
        soft_p, hard_p, soft_b, hard_b = self.limits
        pairs = ((soft_p, self.packets), (soft_b, self.octets), (hard_p, self.packets), (hard_b, self.octets))
        return sum((0 < limit <= count) << n for n, (limit, count) in enumerate(pairs))

    def look_up(self, length):
        """Whether it is refused."""
        expired = bool(self.reached() & (HARD_P | HARD_B))
        if not expired:
            self.packets += 1
            self.octets += length
        if kinds := self.reached() & ~self.told:
            self.events.append(kinds)
            self.told |= kinds
        return expired

    def update(self, limits):
        self.limits, self.told = limits, 0


class Bench:
    """Plays the table: look-ups in their fixed steps, and what is asked beside them."""

    def __init__(self):
        self.dut = Usage(CONFIG)
        self.events = []

    async def watch(self, ctx):
        dut = self.dut
        while True:
            _, _, valid, handle, kinds = await ctx.tick().sample(dut.event_valid, dut.event.handle, dut.event.kinds)
            if valid:
                self.events.append((handle, kinds))

    async def look_up(self, ctx, slot, length, known=True, generation=1):
        """Expired or not; comes again as long as the limits are fresh, at most once."""
        dut = self.dut
        for turn in range(3):
            while ctx.get(dut.busy):
                await ctx.tick()
            ctx.set(dut.handle.as_value(), generation << 16 | slot)
            ctx.set(dut.length, length)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(2)
            ctx.set(dut.known, known)
            expired, fresh = ctx.get(dut.expired), ctx.get(dut.fresh)
            await ctx.tick()
            ctx.set(dut.known, 0)
            await ctx.tick()
            ctx.set(dut.handle.as_value(), 0xBAD0BAD)
            ctx.set(dut.length, 0xBAD)
            if not (fresh and known):
                return bool(expired), turn
        raise AssertionError("fresh for ever")

    async def strobe(self, ctx, signal, slot):
        ctx.set(self.dut.slot, slot)
        ctx.set(signal, 1)
        await ctx.tick()
        ctx.set(signal, 0)
        await ctx.tick().until(self.dut.idle)

    async def limits(self, ctx, slot, limits, *, update, gap=0):
        ctx.set(self.dut.slot, slot)
        for octets in range(2):
            soft, hard = limits[2 * octets : 2 * octets + 2]
            pair = {"soft": soft, "hard": hard}
            await put(ctx, self.dut.limits, {"limits": pair, "bytes": octets, "update": update})
            if not octets and gap:
                await ctx.tick().repeat(gap)
        while not ctx.get(self.dut.idle):
            await ctx.tick()

    async def query(self, ctx, slot):
        await self.strobe(ctx, self.dut.query, slot)
        usage = ctx.get(self.dut.usage)
        return usage.packets, usage.bytes, usage.errors

    def run(self, *benches):
        run(self.dut, *benches, background=[self.watch])


async def start_over(bench, ctx, slots):
    for slot in slots:
        await bench.strobe(ctx, bench.dut.wipe, slot)


@pytest.mark.parametrize("limits", [(3, 5, 0, 0), (0, 5, 250, 0), (0, 0, 300, 301), (2, 2, 200, 200), (0, 0, 1, 1)])
def test_each_limit(limits):
    """Look-up by look-up: refusals and events are those of the contract, and nothing is told twice."""
    bench = Bench()
    account = Account(limits)

    async def main(ctx):
        await start_over(bench, ctx, (5, 6))
        await bench.limits(ctx, 5, limits, update=False)
        for _ in range(8):
            assert await bench.look_up(ctx, 5, 100) == (account.look_up(100), 0)
            await ctx.tick().repeat(6)
            assert bench.events == [(5 | 1 << 16, kinds) for kinds in account.events]
        assert account.events
        assert await bench.query(ctx, 5) == (account.packets, account.octets, 0)
        # Slot 6 has none of it.
        assert await bench.look_up(ctx, 6, 100) == (False, 0)
        assert await bench.query(ctx, 6) == (1, 100, 0)

    bench.run(main)


def test_unknown_handles_count_nothing():
    bench = Bench()

    async def main(ctx):
        await start_over(bench, ctx, (5,))
        await bench.limits(ctx, 5, (1, 1, 1, 1), update=False)
        for _ in range(3):
            await bench.look_up(ctx, 5, 100, known=False)
        assert await bench.query(ctx, 5) == (0, 0, 0)
        assert bench.events == []

    bench.run(main)


def test_wide_counts():
    """48 bits each: carries, limits above 32 bits, a length of 65535."""
    bench = Bench()
    counts = bench.dut._counts.data

    async def main(ctx):
        await start_over(bench, ctx, (7,))
        await bench.limits(ctx, 7, (0, 0, MASK - 65535, MASK), update=False)
        ctx.set(counts[7 << 2], 0xFFFF_FFFF_FFFE)
        ctx.set(counts[7 << 2 | 1], MASK - 3 * 65535)
        for octets, kinds in ((MASK - 2 * 65535, 0), (MASK - 65535, SOFT_B), (MASK, HARD_B)):
            if octets == MASK - 65535:
                ctx.set(counts[7 << 2], 0xFFFF)
            assert await bench.look_up(ctx, 7, 65535) == (False, 0)
            await ctx.tick().repeat(6)
            assert (await bench.query(ctx, 7))[1] == octets
            assert (bench.events.pop() if bench.events else (0, 0))[1] == kinds
        assert (await bench.query(ctx, 7))[0] == 0x1_0001
        assert await bench.look_up(ctx, 7, 1) == (True, 0)

    bench.run(main)


def test_update():
    bench = Bench()
    account = Account((2, 3, 0, 0))

    async def step(ctx, turns=0, length=10):
        assert await bench.look_up(ctx, 1, length) == (account.look_up(length), turns)
        await ctx.tick().repeat(6)
        assert bench.events == [(1 | 1 << 16, kinds) for kinds in account.events]

    async def main(ctx):
        await start_over(bench, ctx, (1, 2))
        await bench.limits(ctx, 1, account.limits, update=False)
        for _ in range(4):
            await step(ctx)
        for limits in (
            (2, 5, 0, 0),  # room again; the soft one is told of once more
            (0, 0, 0, 0),
            (1, 2, 3, 4),  # all are behind: the next look-up tells of all and is refused
            (1, 2, 3, 4),  # and again after the same update
            (0, 100, 70, 71),
        ):
            account.update(limits)
            await bench.limits(ctx, 1, limits, update=True)
            # An update tells nothing by itself, and another SA's look-up does not settle it.
            told = len(bench.events)
            assert await bench.look_up(ctx, 2, 1) == (False, 0)
            await ctx.tick().repeat(8)
            assert len(bench.events) == told
            await step(ctx, turns=1)
            for _ in range(3):
                await step(ctx)
        assert [kinds for kinds in account.events if kinds == 15] == [15, 15]

    bench.run(main)


@pytest.mark.parametrize(("limits", "kinds"), [((1, 1, 0, 0), SOFT_P | HARD_P), ((0, 0, 1, 1), SOFT_B | HARD_B)])
@pytest.mark.parametrize("pause", [0, 6])
@pytest.mark.parametrize("delay", range(8))
def test_update_beside_look_ups(limits, kinds, pause, delay):
    """Whatever the timing of an update: one event, and every look-up that starts behind it is refused."""
    bench = Bench()
    done, outcomes = [], []

    async def traffic(ctx):
        while not done:
            await ctx.tick()
        for _ in range(14):
            if pause:
                await ctx.tick().repeat(pause)
            while ctx.get(bench.dut.busy):
                await ctx.tick()
            behind = "updated" in done
            outcomes.append((behind, (await bench.look_up(ctx, 1, 10))[0]))
        done.append("traffic")

    async def main(ctx):
        await start_over(bench, ctx, (1,))
        await bench.limits(ctx, 1, (0, 0, 0, 0), update=False)
        done.append("ready")
        await ctx.tick().repeat(delay + 20)
        await bench.limits(ctx, 1, limits, update=True, gap=3 * pause)
        done.append("updated")
        while "traffic" not in done:
            await ctx.tick()
        await ctx.tick().repeat(6)
        # The others may see either.
        assert all(expired for behind, expired in outcomes if behind)
        assert sum(behind for behind, _ in outcomes) > 4
        assert bench.events == [(1 | 1 << 16, kinds)]
        counted = sum(not expired for _, expired in outcomes)
        assert await bench.query(ctx, 1) == (counted, 10 * counted, 0)

    bench.run(traffic, main)


def test_look_ups_every_seven_cycles():
    """Back to back on one slot, with errors between them: nothing is lost, no look-up waits for an error."""
    bench = Bench()
    dut = bench.dut
    starts = []

    async def errors(ctx):
        while not starts:
            await ctx.tick()
        for _ in range(30):
            await put(ctx, dut.errors, 9)

    async def main(ctx):
        await start_over(bench, ctx, (9,))
        await bench.limits(ctx, 9, (0, 40, 0, 0), update=False)
        for n in range(1, 43):
            ctx.set(dut.handle.as_value(), 9 | 1 << 16)
            ctx.set(dut.length, n)
            ctx.set(dut.known, 1)
            while ctx.get(dut.busy):
                await ctx.tick()
                starts.append(None)
            ctx.set(dut.start, 1)
            await ctx.tick()
            starts.append(n)
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(4)
            starts.extend([None] * 4)
            assert ctx.get(dut.expired) == (n > 40)
        await ctx.tick().repeat(200)
        assert await bench.query(ctx, 9) == (40, sum(range(1, 41)), 30)

    bench.run(main, errors)
    cycles = [n for n, what in enumerate(starts) if what]
    assert {b - a for a, b in pairwise(cycles)} == {7}


@pytest.mark.parametrize("seed", range(4))
def test_random_traffic(seed):
    """Look-ups of many SAs, errors, queries, updates and wipes, each at its own pace, against the contract."""
    print(f"seed {seed}")
    bench = Bench()
    dut = bench.dut
    accounts = {slot: Account() for slot in range(6)}
    state = {"traffic": True, "setup": False, "pause": False, "waiting": False}

    async def lookups(ctx):
        rng = random.Random(seed + 1)
        while not state["setup"]:
            await ctx.tick()
        for _ in range(400):
            while state["pause"]:
                state["waiting"] = True
                await ctx.tick()
            state["waiting"] = False
            slot, length = rng.randrange(6), rng.choice((0, 1, 64, 1500, 65535))
            known = rng.random() < 0.9
            got, _ = await bench.look_up(ctx, slot, length, known)
            if known:
                assert got == accounts[slot].look_up(length)
            if rng.random() < 0.4:
                await ctx.tick().repeat(rng.randrange(1, 12))
        state["traffic"] = False

    async def errors(ctx):
        rng = random.Random(seed + 2)
        while not state["setup"]:
            await ctx.tick()
        while state["traffic"]:
            slot = rng.randrange(6)
            await put(ctx, dut.errors, slot)
            accounts[slot].errors += 1
            if rng.random() < 0.5:
                await ctx.tick().repeat(rng.randrange(1, 20))

    async def commands(ctx):
        rng = random.Random(seed + 3)
        await start_over(bench, ctx, range(16))
        state["setup"] = True
        queries = 0
        while state["traffic"]:
            await ctx.tick().repeat(rng.randrange(1, 30))
            choice = rng.random()
            if choice < 0.25:
                # At rest for as long as the reference takes to change; beside traffic is another test.
                state["pause"] = True
                while not state["waiting"] and state["traffic"]:
                    await ctx.tick()
                while ctx.get(dut.busy):
                    await ctx.tick()
                slot = rng.randrange(6)
                account = accounts[slot]
                limits = [
                    rng.choice((0, base, base + rng.randrange(1, span)))
                    for base, span in ((account.packets, 20),) * 2 + ((account.octets, 200_000),) * 2
                ]
                await bench.limits(ctx, slot, limits, update=True)
                account.update(tuple(limits))
                state["pause"] = False
            elif choice < 0.5:
                await start_over(bench, ctx, (rng.randrange(8, 16),))
            else:
                slot = rng.randrange(6)
                low = accounts[slot].packets, accounts[slot].octets
                got = await bench.query(ctx, slot)
                # Of one moment between the two looks at the reference, and packets and bytes of the same.
                assert low[0] - 1 <= got[0] <= accounts[slot].packets + 1
                assert low[1] - 65535 <= got[1] <= accounts[slot].octets + 65535
                queries += 1
        assert queries > 10

    async def end(ctx):
        while state["traffic"]:
            await ctx.tick()
        await ctx.tick().repeat(600)
        for slot, account in accounts.items():
            assert await bench.query(ctx, slot) == (account.packets, account.octets, account.errors)
        for slot, account in accounts.items():
            assert [kinds for handle, kinds in bench.events if handle & 0xFFFF == slot] == account.events
        for slot in range(6):
            await bench.strobe(ctx, dut.wipe, slot)
            assert await bench.query(ctx, slot) == (0, 0, 0)
            assert await bench.look_up(ctx, slot, 5) == (False, 0)

    bench.run(lookups, errors, commands, end)
    assert sum(len(account.events) for account in accounts.values()) > 5


@pytest.mark.parametrize("delay", range(10))
def test_query_is_of_one_moment(delay):
    """Packets and bytes of a query belong together while every look-up adds 1 and 1000."""
    bench = Bench()
    done = []

    async def traffic(ctx):
        while not done:
            await ctx.tick()
        for _ in range(40):
            await bench.look_up(ctx, 3, 1000)
        done.append("traffic")

    async def main(ctx):
        await start_over(bench, ctx, (3,))
        done.append("ready")
        seen = set()
        await ctx.tick().repeat(delay + 1)
        while "traffic" not in done:
            packets, octets, _ = await bench.query(ctx, 3)
            assert octets == 1000 * packets
            seen.add(packets)
            await ctx.tick().repeat(delay + 1)
        assert len(seen) > 8

    bench.run(traffic, main)
