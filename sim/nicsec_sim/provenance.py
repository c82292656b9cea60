# SPDX-License-Identifier: Apache-2.0
"""What every JSON file of figures begins with: of which build it is, and which command made it."""

import hashlib
import shlex
import sys
from typing import Any

from nicsec.config import PRESETS

__all__ = ["preset_of", "provenance"]


def preset_of(config: Any) -> str | None:
    """The name of the preset that ``config`` is."""
    return next((name for name, known in PRESETS.items() if known == config), None)


def provenance(kind: str, config: Any, verilog: bytes, program: str = "nicsec") -> dict[str, Any]:
    """The first fields of a file of ``kind`` about the engine of ``config``, whose Verilog is ``verilog``."""
    from nicsec import __version__

    return {
        "kind": kind,
        "command": shlex.join([program, *sys.argv[1:]]),
        "version": __version__,
        "preset": preset_of(config),
        "config": config.to_dict(),
        "config_hash": config.hash,
        "verilog_hash": hashlib.sha256(verilog).hexdigest(),
    }
