# SPDX-License-Identifier: Apache-2.0
"""The golden model stands alone: no gateware, no simulator, no packet library; its ABI is the documented one."""

import re
import subprocess
import sys
from pathlib import Path

import nicsec_sim
from nicsec_sim.model.algorithm import AUTHS, ENCRS
from nicsec_sim.model.status import Status

ROOT = Path(nicsec_sim.__file__).parents[1]
MODULES = sorted(path.stem for path in (Path(nicsec_sim.__file__).parent / "model").glob("*.py"))
DESIGN = Path(__file__).parents[2] / "docs" / "design.md"


def test_imports():
    """In a fresh interpreter that sees nothing of the repository but ``sim``."""
    names = [f"nicsec_sim.model.{name}" for name in MODULES if name != "__init__"]
    names += ["nicsec_sim.hoststack", "nicsec_sim.plain"]
    assert len(names) > 10
    code = f"""
import importlib, sys
before = set(sys.modules)
sys.path.insert(0, {str(ROOT)!r})
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{name.split(".")[0] for name in set(sys.modules) - before}}))
"""
    loaded = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True, env={})
    found = set(loaded.stdout.split())
    foreign = {name for name in found if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert foreign <= {"nicsec_sim", "cryptography", "cffi"}
    assert {"nicsec_sim", "cryptography"} <= foreign


def test_statuses_are_the_documented_ones():
    section = DESIGN.read_text().split("## 3.")[1].split("## 4.")[0]
    documented = {}
    for line in section.splitlines():
        if match := re.match(r"\| ([0-9-]+) \| ((?:`\w+`(?:, )?)+)", line):
            first = int(match[1].split("-")[0])
            for n, name in enumerate(re.findall(r"`(\w+)`", match[2])):
                documented[name] = first + n
    assert documented == {status.text: status.value for status in Status}


def test_algorithms_are_the_documented_ones():
    row = next(line for line in DESIGN.read_text().splitlines() if line.startswith("| algorithms |"))
    encr, auth = re.findall(r"`([^`]+)`", row)
    assert encr.split() == list(ENCRS)
    assert set(auth.split()) == set(AUTHS)
    assert set(encr.replace(";", " ").split()) == set(ENCRS)
