# SPDX-License-Identifier: Apache-2.0
"""Plays the job that ``$NICSEC_JOB`` names through the engine, inside the simulator (see ``nicsec_sim.session``)."""

import json
import os

import cocotb
from cocotb.triggers import SimTimeoutError, with_timeout

from ..ndis import Miniport, ProtocolError
from ..ndis.player import Ledger, play
from ..session import JOB_VARIABLE, Job
from .link import EngineLink

#: Simulated time without a completion after which the engine counts as hung: half a million cycles of 4 ns. The
#: slowest packet, 9,600 bytes nested under 3DES, takes a quarter of that.
_PATIENCE_US = 2000
#: Cycles in which anything that should not come out has the time to.
_SETTLE = 200


class TimedLink(EngineLink):
    """Notes when each completion was transferred; benches may look at it much later."""

    completed = 0

    async def completion(self):
        try:
            frame = await with_timeout(self.m_cpl.recv(), _PATIENCE_US, "us")
        except SimTimeoutError:
            raise ProtocolError(f"no completion for {_PATIENCE_US} us, at cycle {self.cycle}") from None
        self.completed = frame.last
        return frame.data

    async def frame(self):
        try:
            return await with_timeout(super().frame(), _PATIENCE_US, "us")
        except SimTimeoutError:
            raise ProtocolError(f"no frame for {_PATIENCE_US} us after its completion, cycle {self.cycle}") from None


@cocotb.test()
async def play_job(dut):
    """Every packet of the job, in order."""
    job = Job(os.environ[JOB_VARIABLE])
    link = TimedLink(dut)
    miniport = Miniport(link)
    await miniport.initialize()
    bundles, ledger = {}, Ledger()
    with job.outcomes_path.open("w", buffering=1) as file:
        async for outcome in play(miniport, bundles, job.read(bundles), ledger=ledger):
            file.write(job.outcome_line(outcome))
    await link.wait(_SETTLE)
    miniport.assert_idle()
    summary = {"counters": await miniport.counters(), "cycles": link.cycle, "events": ledger.reached()}
    job.summary_path.write_text(json.dumps(summary))
