# SPDX-License-Identifier: Apache-2.0
"""Lets an engine's clock run and nothing else, to see what the simulator does without Python."""

import json
import os
import time
from pathlib import Path

import cocotb

from ..measure import FLOOD_VARIABLE
from ..ndis.device import Device
from .link import EngineLink

_CYCLES = 200_000


@cocotb.test()
async def idle(dut):
    """Some time behind the wipe of the SA table, timed."""
    link = EngineLink(dut)
    await Device(link).initialize()
    begun, spent = time.monotonic(), time.process_time()
    await link.wait(_CYCLES)
    speed = {"cycles": _CYCLES, "seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - spent}
    (Path(os.environ[FLOOD_VARIABLE]) / "speed.json").write_text(json.dumps(speed))
