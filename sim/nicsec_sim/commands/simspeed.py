# SPDX-License-Identifier: Apache-2.0
"""``nicsec bench --sim-speed``: cycles a second of the simulation, beside those of cocotb's own runner flags."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from .. import runner
from ..measure import FLOOD_VARIABLE, Point, measure
from ..provenance import provenance
from ..tools import find_verilator
from ..workload import suites_of
from . import out, status

__all__ = ["sim_speed"]


def _idle(model: Any) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="idle-", dir=runner.cache_root()) as name:
        runner.run(model, "nicsec_sim.bench.idle", Path(name), env={FLOOD_VARIABLE: name})
        return json.loads((Path(name) / "speed.json").read_text())


def sim_speed(config: Any, seed: int) -> dict[str, Any]:
    """Measure and show; returns a document for `nicsec report` with the figures by model and load.

    Both models are of one Verilog and run one after the other, with the same frames and the same drivers: first idle,
    then with 594-byte frames of the build's first suite back to back.
    """
    points = [Point(suites_of(config)[0], "transport", 594, 1)]
    found: dict[str, Any] = {}
    for name, stock in (("nicsec's runner", False), ("cocotb's flags", True)):
        with status(f"{name}: building"):
            begun = time.monotonic()
            model = runner.build_engine(config, "verilator", stock=stock)
            # A model that is there already takes no time worth telling.
            built = round(took, 1) if (took := time.monotonic() - begun) > 3 else None
        with status(f"{name}: running"):
            speeds: list[dict[str, float]] = []
            measure(config, points, 96, seed=seed, model=model, speeds=speeds)
            found[name] = {"build_seconds": built, "idle": _idle(model), "frames": speeds[0]}
    table = Table("model", "load", "cycles", "cycles/s of processor", "cycles/s by the clock", title="simulation speed")
    for name, speeds_of in found.items():
        for load in ("idle", "frames"):
            one = speeds_of[load]
            table.add_row(name, load, f"{one['cycles']:,}", f"{one['cycles'] / one['cpu_seconds']:,.0f}",
                          f"{one['cycles'] / one['seconds']:,.0f}")
    out.print(table)
    first, second = found.values()
    for load in ("idle", "frames"):
        rates = [one[load]["cycles"] / one[load]["cpu_seconds"] for one in (first, second)]
        out.print(f"{load}: {rates[0] / rates[1]:.2f} times as fast as with cocotb's flags", highlight=False)
    return {
        **provenance("nicsec-simspeed", config, model.verilog.read_bytes()),
        "simulator": f"verilator {find_verilator().version}", "packets": points[0].name, "models": found,
    }
