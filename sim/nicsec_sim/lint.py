# SPDX-License-Identifier: Apache-2.0
"""Verilator's lint of the Verilog of every preset: ``python -m nicsec_sim.lint [PRESET ...]``."""

import os
import subprocess
import sys
from pathlib import Path

from nicsec.config import PRESETS

from .errors import NicsecError, RunError
from .generate import TOP
from .options import config_from_flags
from .runner import verilog_path
from .tools import find_verilator

__all__ = ["lint"]

#: What generated code does by design, each waiver with its reason.
WAIVERS = Path(__file__).parent / "verilator" / "lint.vlt"


def lint(verilog, top):
    """Check a file with every warning of Verilator on but those of `WAIVERS`; raises `RunError` with the findings."""
    verilator = find_verilator()
    done = subprocess.run(
        [verilator.executable, "--lint-only", "-Wall", "--top-module", top, WAIVERS, verilog],
        capture_output=True, text=True, env={**os.environ, **verilator.env})
    if done.returncode != 0 or done.stderr:
        raise RunError(f"{verilog} is not lint-clean:\n{done.stderr or done.stdout}")


def _main(names):
    from nicsec.engine import Engine

    for name in names or PRESETS:
        config = config_from_flags(preset=name)
        lint(verilog_path(lambda: Engine(config), TOP, config.hash), TOP)  # noqa: B023
        print(f"verilator lint of {name}: clean")


if __name__ == "__main__":
    try:
        _main(sys.argv[1:])
    except NicsecError as error:
        sys.exit(f"lint: {error}")
