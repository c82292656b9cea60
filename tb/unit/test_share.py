# SPDX-License-Identifier: Apache-2.0
"""The share: one owner at a time, both get their turn, an idle user sees stalled streams."""

import random
from itertools import pairwise

import pytest
from amaranth import *
from nicsec.config import PRESETS
from nicsec.share import Share, crypto_members, hashes
from streams import run


def test_members():
    names = {"aes_key", "aes_i", "aes_o"}
    assert set(crypto_members(PRESETS["tiny"])) == names
    assert hashes(PRESETS["basic"]) == ["sha1", "sha256"]
    assert set(crypto_members(PRESETS["basic"])) == names | {"sha1_i", "sha1_o", "sha256_i", "sha256_o"}


@pytest.mark.parametrize("seed", range(3))
def test_one_owner_and_no_leak(seed):
    """Everything that drives the share moves at random; what each side sees follows from the grants alone."""
    print(f"seed {seed}")
    config = PRESETS["basic"]
    dut = Share(config)
    rng = random.Random(seed)
    users = (dut.lane, dut.setup)
    to_unit = [name for name in crypto_members(config) if not name.endswith("_o")]
    from_unit = [name for name in crypto_members(config) if name.endswith("_o")]

    def raw(payload):
        return payload.as_value() if hasattr(payload, "as_value") else payload

    async def bench(ctx):
        served = [0, 0]
        claims = [0, 0]
        for _ in range(1500):
            for n, user in enumerate(users):
                # A user gives a grant back only when it has had it, and asks again when it has lost it.
                if claims[n]:
                    claims[n] = not (ctx.get(user.granted) and rng.random() < 0.2)
                else:
                    claims[n] = not ctx.get(user.granted) and rng.random() < 0.3
                ctx.set(user.claim, claims[n])
                for name in to_unit:
                    ctx.set(getattr(user, name).valid, rng.getrandbits(1))
                    ctx.set(raw(getattr(user, name).payload), rng.getrandbits(130))
                for name in from_unit:
                    ctx.set(getattr(user, name).ready, rng.getrandbits(1))
            for name in to_unit:
                ctx.set(getattr(dut, name).ready, rng.getrandbits(1))
            for name in from_unit:
                ctx.set(getattr(dut, name).valid, rng.getrandbits(1))
                ctx.set(raw(getattr(dut, name).payload), rng.getrandbits(128))
            granted = [ctx.get(user.granted) for user in users]
            assert sum(granted) < 2
            owner = users[granted.index(1)] if any(granted) else None
            for name in to_unit:
                unit = getattr(dut, name)
                assert ctx.get(unit.valid) == (ctx.get(getattr(owner, name).valid) if owner is not None else 0)
                if owner is not None:
                    assert ctx.get(raw(unit.payload)) == ctx.get(raw(getattr(owner, name).payload))
                for user in users:
                    assert ctx.get(getattr(user, name).ready) == (ctx.get(unit.ready) if user is owner else 0)
            for name in from_unit:
                unit = getattr(dut, name)
                assert ctx.get(unit.ready) == (ctx.get(getattr(owner, name).ready) if owner is not None else 0)
                for user in users:
                    assert ctx.get(getattr(user, name).valid) == (ctx.get(unit.valid) if user is owner else 0)
                    if user is owner:
                        assert ctx.get(raw(getattr(user, name).payload)) == ctx.get(raw(unit.payload))
            await ctx.tick()
            for n, user in enumerate(users):
                served[n] += ctx.get(user.granted) and not granted[n]
        assert min(served) > 30

    run(dut, bench)


@pytest.mark.parametrize("eager", [0, 1])
def test_no_starvation(eager):
    """A user that claims again after one cycle lets the other in, whichever it is."""
    dut = Share(PRESETS["tiny"])
    turns = []

    def user(port, name, hold, idle):
        async def bench(ctx):
            for _ in range(10):
                ctx.set(port.claim, 1)
                await ctx.tick().until(port.granted)
                turns.append(name)
                await ctx.tick().repeat(hold)
                ctx.set(port.claim, 0)
                await ctx.tick().repeat(idle)

        return bench

    users = (dut.lane, dut.setup) if eager else (dut.setup, dut.lane)
    run(dut, user(users[0], "eager", 7, 1), user(users[1], "other", 3, 1))
    assert turns.count("eager") == turns.count("other") == 10
    assert all(a != b for a, b in pairwise(turns))
