# SPDX-License-Identifier: Apache-2.0
"""The scenarios of a driver, on the RTL: one cocotb test each."""

import os
import random

import cocotb
from nicsec_sim.bench.axis import random_pause
from nicsec_sim.bench.session import TimedLink
from nicsec_sim.ndis import Miniport
from system.scenarios import SCENARIOS


def _bench(scenario):
    async def body(dut):
        link = TimedLink(dut)
        if os.environ.get("NICSEC_PAUSES"):
            for number, port in enumerate((link.s_desc, link.s_axis, link.m_axis, link.m_cpl)):
                port.pause = random_pause(random.Random(cocotb.RANDOM_SEED + number))
        miniport = Miniport(link, bits=random.Random(cocotb.RANDOM_SEED).choice((32, 64)))
        await miniport.initialize()
        await scenario(miniport)
        await link.wait(300)
        miniport.assert_idle()

    body.__name__ = body.__qualname__ = scenario.__name__
    body.__doc__ = scenario.__doc__
    return body


for _scenario in SCENARIOS:
    globals()[_scenario.__name__] = cocotb.test()(_bench(_scenario))
