# SPDX-License-Identifier: Apache-2.0
"""The refusals of ``errors`` on the RTL: one cocotb test each, the driver and the ports as for every scenario."""

import cocotb
from system.errors import SCENARIOS
from system.miniport_bench import _bench

for _scenario in SCENARIOS:
    globals()[_scenario.__name__] = cocotb.test()(_bench(_scenario))
