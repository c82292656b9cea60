# SPDX-License-Identifier: Apache-2.0
"""The pool's ring of lines against a model of its words, with all ports busy."""

# amaranth: UnusedElaboratable=no

import random

import pytest
from nicsec.config import Config
from nicsec.pool.ring import DRAIN_LATENCY, FETCH_LATENCY, READ_LATENCY, FrameRing
from streams import run

SMALL = Config(lanes=2, units="shared", sa_slots=16, max_frame=254)


class Model:
    """Words of the ring as reads that begin in a given cycle see them, or None where that is not defined."""

    def __init__(self, words):
        self._words = [0] * words
        self._writes = [[] for _ in range(words)]

    def write(self, place, data, mask, cycle):
        """Write the 16-bit parts of ``mask``, seen by reads from two cycles behind ``cycle`` on."""
        if mask:
            self._writes[place % len(self._words)].append((cycle, data, mask))

    def read(self, place, cycle):
        """Reads come in the order of cycles, but for ten cycles."""
        place %= len(self._words)
        word, writes = self._words[place], sorted(self._writes[place], key=lambda write: write[0])
        if any(when == cycle - 1 for when, *_ in writes):
            return None
        for when, data, mask in writes:
            if when < cycle - 1:
                keep = sum(0 if mask >> n & 1 else 0xFFFF << 16 * n for n in range(2))
                word = word & keep | data & ~keep & 0xFFFFFFFF
                if when < cycle - 20:
                    self._words[place] = word
                    self._writes[place].remove((when, data, mask))
        return word

    def line(self, line, cycle):
        return [self.read(4 * line + n, cycle) for n in range(4)]


def words(data):
    return [data >> 96 - 32 * n & 0xFFFFFFFF for n in range(4)]


def check(got, expected):
    """Whether words are as expected where that is defined; the number of those."""
    for have, want in zip(words(got), expected, strict=True):
        assert want is None or have == want, (f"{got:032x}", expected)
    return sum(want is not None for want in expected)


@pytest.mark.parametrize("banks", [2, 4, 8])
@pytest.mark.parametrize("rates", [(0.5, 0.5, 1.0), (1.0, 0.1, 0.3), (0.1, 0.97, 0.3)])
def test_against_model(banks, rates):
    seed = 20261125
    print(f"seed {seed}")
    rng = random.Random(seed)
    read_rate, write_rate, stream_rate = rates
    config = SMALL
    lines = config.ring_lines
    dut = FrameRing(config, banks=banks)
    cycles = 2000

    async def bench(ctx):
        model = Model(4 * lines)
        reads, answers = {}, {"fetch": [], 0: [], 1: []}
        counts = dict.fromkeys(("read", "fetch", "load", "patch", 0, 1), 0)
        # An offered payload is held; here is what each port will offer.
        offers = dict.fromkeys(("fetch", "patch", 0, 1, "load0", "load1"))
        patches = []
        for cycle in range(cycles):
            # Where reads and writes meet often.
            window = rng.choice([8, lines])
            en = rng.random() < read_rate
            place = rng.randrange(4 * window)
            ctx.set(dut.read, {"en": en, "place": place})
            wplace, wdata = rng.randrange(4 * window), rng.getrandbits(128)
            wmask = rng.choice([15, 15, 1, 12, 14, rng.randrange(16)]) if rng.random() < write_rate else 0
            ctx.set(dut.write, {"place": wplace, "data": wdata, "mask": wmask})
            for name in offers:
                if offers[name] is None and rng.random() < (0.4 if name in (0, 1) else stream_rate):
                    line = rng.randrange(window)
                    match name:
                        case "fetch":
                            offers[name] = line
                        case 0 | 1:
                            offers[name] = line & ~1 | name
                        case "patch":
                            offers[name] = {
                                "place": 4 * line + rng.randrange(4), "data": rng.getrandbits(32),
                                "mask": rng.randrange(4),
                            }
                        case _:
                            offers[name] = {"line": line & ~1 | int(name[-1]), "data": rng.getrandbits(128)}
            ports = {
                "fetch": dut.fetch, "patch": dut.patch, 0: dut.drain[0], 1: dut.drain[1],
                "load0": dut.load[0], "load1": dut.load[1],
            }
            for name, port in ports.items():
                ctx.set(port.valid, offers[name] is not None)
                if offers[name] is not None:
                    ctx.set(port.payload, offers[name])
            await ctx.delay(0)

            # A patch that was taken in an earlier cycle happens like a write when there is none.
            if patches and not wmask:
                patch = patches.pop(0)
                model.write(patch["place"], patch["data"], patch["mask"], cycle)
                counts["patch"] += 1
            for n in range(4):
                if wmask >> n & 1:
                    model.write(wplace + n, words(wdata)[n], 3, cycle)
            for half in range(2):
                if offers[f"load{half}"] is not None and ctx.get(dut.load[half].ready):
                    offer = offers[f"load{half}"]
                    for n in range(4):
                        model.write(4 * offer["line"] + n, words(offer["data"])[n], 3, cycle - 2)
                    offers[f"load{half}"] = None
                    counts["load"] += 1
            if offers["patch"] is not None and ctx.get(dut.patch.ready):
                patches.append(offers["patch"])
                offers["patch"] = None
            if en:
                reads[cycle + READ_LATENCY] = (place, cycle)
            for name in ("fetch", 0, 1):
                if offers[name] is not None and ctx.get(ports[name].ready):
                    answers[name].append((offers[name], cycle))
                    offers[name] = None

            check_outputs(ctx, cycle, model, reads, answers, counts)
            await ctx.tick()
        print(counts)
        assert min(counts.values()) > 20

    def check_outputs(ctx, cycle, model, reads, answers, counts):
        if cycle in reads:
            place, when = reads.pop(cycle)
            counts["read"] += check(ctx.get(dut.read_data), [model.read(place + n, when) for n in range(4)])
        for name, valid, data, latency in (
            ("fetch", dut.fetch_valid, dut.fetch_data, FETCH_LATENCY),
            (0, dut.drain_valid[0], dut.drain_data[0], DRAIN_LATENCY),
            (1, dut.drain_valid[1], dut.drain_data[1], DRAIN_LATENCY),
        ):
            if ctx.get(valid):
                line, when = answers[name].pop(0)
                assert cycle - when >= latency
                # The read that an answer in this cycle comes from began so many cycles ago.
                counts[name] += check(ctx.get(data), model.line(line, cycle - latency + 1))

    run(dut, bench)
