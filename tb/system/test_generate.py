# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""What a customer gets from ``nicsec generate``: the engine's ports, and the same bytes everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Shape
from amaranth.lib.wiring import In
from nicsec.config import PRESETS
from nicsec.engine import Engine
from nicsec.export import Flat

ROOT = Path(__file__).resolve().parents[2]

FRAMES = {"tdata": 128, "tkeep": 16, "tlast": 1, "tuser": 1, "tvalid": 1, "tready": -1}
AXIL = {
    "awaddr": 16, "awprot": 3, "awvalid": 1, "awready": -1, "wdata": 32, "wstrb": 4, "wvalid": 1, "wready": -1,
    "bresp": -2, "bvalid": -1, "bready": 1,
    "araddr": 16, "arprot": 3, "arvalid": 1, "arready": -1, "rdata": -32, "rresp": -2, "rvalid": -1, "rready": 1,
}

#: Width of every port; outputs are negative.
PORTS = {
    **{f"s_axis_{name}": width for name, width in FRAMES.items()},
    **{f"m_axis_{name}": -width for name, width in FRAMES.items()},
    "s_desc_tdata": 256, "s_desc_tvalid": 1, "s_desc_tready": -1,
    "m_cpl_tdata": -128, "m_cpl_tvalid": -1, "m_cpl_tready": 1,
    **{f"s_axil_{name}": width for name, width in AXIL.items()},
    "irq": -1,
}


@pytest.mark.parametrize("preset", PRESETS)
def test_ports(preset):
    members = Flat(Engine(PRESETS[preset])).signature.members
    assert {name: Shape.cast(member.shape).width * (1 if member.flow == In else -1)
            for name, member in members.items()} == PORTS


def test_same_bytes_from_every_run(tmp_path):
    for seed, cwd in (("1", tmp_path), ("2", ROOT)):
        subprocess.run(
            [sys.executable, "-c", "from nicsec_sim.cli import main; main()", "generate", "--preset", "tiny", "-o",
             tmp_path / seed],
            cwd=cwd, check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)})
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert names == ["manifest.json", "nicsec.f", "nicsec.v"]
    for name in names:
        text = (tmp_path / "1" / name).read_text()
        assert text == (tmp_path / "2" / name).read_text()
        for path in (ROOT, tmp_path, Path(sys.prefix), Path.home()):
            assert str(path) not in text
    assert "module nicsec(" in (tmp_path / "1" / "nicsec.v").read_text()
    assert PRESETS["tiny"].hash in (tmp_path / "1" / "nicsec.v").read_text()[:2000]
