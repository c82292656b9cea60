# SPDX-License-Identifier: Apache-2.0
"""Playing packets of more SAs than the table holds."""

import random

from model.ndis_helpers import INNER, ah, gcm, started
from nicsec_sim.hoststack import frame
from nicsec_sim.model.engine import Engine
from nicsec_sim.ndis import drive
from nicsec_sim.ndis.player import Packet, play


def test_play_more_sas_than_slots():
    rng = random.Random(11)
    bundles = {f"sa{n}": gcm(0x100 + n) for n in range(40)} | {"refused": ah()}
    frames = {name: frame(INNER, bundle) for name, bundle in bundles.items()}
    names = rng.choices(list(bundles), k=300)

    async def body():
        miniport = await started(encr=("aes-gcm",), auth=(), sa_slots=8)
        packets = [Packet(frames[name], name) for name in names]
        outcomes = [outcome async for outcome in play(miniport, bundles, packets, depth=5)]
        assert [outcome.index for outcome in outcomes] == list(range(300))
        # An evicted SA comes back with its counter where it stood: as if it had never left.
        engine = Engine()
        sas = {name: engine.add_sa(bundle) for name, bundle in bundles.items()}
        for name, outcome in zip(names, outcomes, strict=True):
            if name == "refused":
                assert (outcome.status, outcome.frame) == ("unsupported", None)
            else:
                assert outcome.status == "success"
                assert outcome.frame == engine.process(frames[name], sas[name]).frame
        assert not any(miniport.link.slots)

    drive(body())


def test_play_never_reloads_a_used_up_counter():
    bundles = {"last": gcm(iv_init=2**64 - 1)} | {f"sa{n}": gcm(0x200 + n) for n in range(6)}
    order = ["last", *(f"sa{n}" for n in range(6)), "last"]

    async def body():
        miniport = await started(sa_slots=3)
        packets = [Packet(frame(INNER, bundles[name]), name) for name in order]
        outcomes = [outcome async for outcome in play(miniport, bundles, packets, depth=1)]
        assert [outcome.status for outcome in outcomes] == ["success"] * 7 + ["iv_exhausted"]

    drive(body())
