# SPDX-License-Identifier: Apache-2.0
"""Sends the traffic of ``mix_traffic`` through the RTL, with gaps and back-pressure that come and go on every stream.

``$NICSEC_MIX`` names a directory with ``job.json``; ``progress`` in it grows by a line a packet, and at the end there
is ``summary.json`` or, when the engine and the model disagree, ``mismatch.json``.
"""

import json
import os
import random
from pathlib import Path

import cocotb
from nicsec.config import Config
from nicsec_sim.bench import session
from nicsec_sim.bench.axis import random_pause
from nicsec_sim.ndis import Miniport
from nicsec_sim.ndis.player import Ledger, play
from system.mix_traffic import Mismatch, Traffic

#: Packets between two changes of gaps and back-pressure, and cycles in which anything left over comes out.
_SPELL, _SETTLE = 16, 2000
# 3DES takes longer than a bench usually waits for the longest frames, twice in nested bundles, behind back-pressure.
session._PATIENCE_US = 10_000


class Weather:
    """Changes the pauses of every port now and then; full speed is the most frequent."""

    def __init__(self, link, seed):
        self._rng = random.Random(seed)
        self._ports = (link.s_desc, link.s_axis, link.m_axis, link.m_cpl)

    def change(self):
        rng = self._rng
        for port in self._ports:
            gaps = random.Random(rng.getrandbits(32))
            pause = random_pause(gaps, rng.choice((0.1, 0.4, 0.8)), rng.choice((1, 6, 40)))
            port.pause = pause if rng.random() < 0.4 else None


async def _agree(miniport, statuses):
    """The engine's own counters say what the completions said."""
    counters = await miniport.counters()
    wanted = {"packets_in": statuses.total(), "packets_out": statuses["success"], **statuses}
    found = {name: counters[name] for name in wanted}
    if found != wanted:
        raise Mismatch(f"the counters are {found}, not {dict(wanted)}", None)


@cocotb.test()
async def mix(dut):
    """Every packet of the job, stopped at the first that differs."""
    directory = Path(os.environ["NICSEC_MIX"])
    job = json.loads((directory / "job.json").read_text())
    link = session.TimedLink(dut)
    miniport = Miniport(link)
    await miniport.initialize()
    traffic = Traffic(Config.from_dict(job["config"]), job["seed"], **job["options"])
    weather = Weather(link, job["seed"])
    ledger = Ledger()
    try:
        with (directory / "progress").open("w", buffering=1) as progress:
            async for outcome in play(miniport, traffic.bundles, traffic.packets(job["packets"]), ledger=ledger):
                traffic.judge(outcome)
                progress.write(outcome.status + "\n")
                if outcome.index % _SPELL == 0:
                    weather.change()
                    if job["stop"] and Path(job["stop"]).exists():
                        return
        await link.wait(_SETTLE)
        miniport.assert_idle()
        await _agree(miniport, traffic.statuses)
        traffic.audit(ledger)
    except Exception as error:
        line = error.line if isinstance(error, Mismatch) else traffic.oldest
        text = str(error) if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
        (directory / "mismatch.json").write_text(json.dumps({"text": text, "line": line}))
        raise
    summary = traffic.summary | {"events": len(ledger.events), "cycles": link.cycle}
    (directory / "summary.json").write_text(json.dumps(summary))
