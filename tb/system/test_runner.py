# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The runner and the transactors, on a device that needs no engine."""

import pytest
from cocotb_tools import runner as cocotb_runner
from nicsec_sim import runner
from nicsec_sim.errors import InputError, RunError
from system.loopback import Loopback

BENCH = "system.loopback_bench"


@pytest.mark.parametrize("sim", runner.SIMULATORS)
@pytest.mark.parametrize("width", [64, 128])
def test_transactors(sim, width, tmp_path):
    results = runner.run(runner.build(Loopback(width), f"loop{width}", sim), BENCH, tmp_path, limit=300)
    assert len(results) == 9
    assert all(result.passed for result in results)


@pytest.mark.parametrize(("fault", "message"), [
    ("data", "assert"), ("hold", "payload changed while it waited"), ("keep", "not contiguous")])
def test_broken_device_fails(fault, message, tmp_path):
    model = runner.build(Loopback(fault=fault), f"loop_{fault}", "icarus")
    with pytest.raises(RunError, match=message) as caught:
        runner.run(model, BENCH, tmp_path, testcase="frames_come_back/gaps=True/back_pressure=True", seed=7, limit=300)
    assert "NICSEC_SEED=7" in str(caught.value)
    assert str(tmp_path / "sim.log") in str(caught.value)


@pytest.mark.parametrize("sim", runner.SIMULATORS)
def test_trace(sim, tmp_path):
    model = runner.build(Loopback(), "loop128", sim, trace=True)
    runner.run(model, BENCH, tmp_path, testcase="waits_count_cycles", trace=True, limit=300)
    dump = (tmp_path / "dump.vcd").read_text()
    assert "$enddefinitions" in dump
    assert "s_axis_tdata" in dump
    # Beyond the declarations there are changes over a thousand cycles of 4 ns.
    assert max(int(line[1:]) for line in dump.splitlines() if line[:1] == "#") >= 4_000_000


def test_trace_needs_a_traced_model(tmp_path):
    with pytest.raises(ValueError, match="without trace"):
        runner.run(runner.Model("x", "icarus", tmp_path, False), BENCH, tmp_path, trace=True)


def test_seed_replays(tmp_path, monkeypatch):
    model = runner.build(Loopback(), "loop128", "icarus")
    monkeypatch.setenv("NICSEC_SEED", "12345")
    runner.run(model, BENCH, tmp_path, testcase="waits_count_cycles", limit=300)
    assert "12345" in (tmp_path / "sim.log").read_text()


def test_no_test_is_a_failure(tmp_path):
    model = runner.build(Loopback(), "loop128", "icarus")
    with pytest.raises(RunError, match=r"no test ran|stopped"):
        runner.run(model, BENCH, tmp_path, testcase="absent", limit=300)


def test_missing_bench_is_a_failure(tmp_path):
    model = runner.build(Loopback(), "loop128", "icarus")
    with pytest.raises(RunError, match="absent_bench"):
        runner.run(model, "system.absent_bench", tmp_path, limit=300)


def test_limit_ends_a_hung_bench(tmp_path, monkeypatch):
    (tmp_path / "hung_bench.py").write_text(
        "import cocotb, time\n@cocotb.test()\nasync def hung(dut):\n    time.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    model = runner.build(Loopback(), "loop128", "icarus")
    with pytest.raises(RunError, match="no end after 3 s"):
        runner.run(model, "hung_bench", tmp_path / "job", limit=3)


def test_unknown_simulator():
    with pytest.raises(InputError, match="--sim must be one of verilator, icarus, not 'vcs'"):
        runner.build(Loopback, "loop", "vcs")


def test_build_failure_tells_why(tmp_path, monkeypatch):
    monkeypatch.setenv("NICSEC_CACHE", str(tmp_path))
    text = "module top(input clk); nonsense\nendmodule\n"
    monkeypatch.setattr(runner, "to_verilog", lambda design, name, **options: text)
    for sim in runner.SIMULATORS:
        with pytest.raises(RunError, match=rf"{sim} could not build top(?s:.*)syntax error"):
            runner.build(None, "top", sim)


def test_cached_by_key(tmp_path, monkeypatch):
    monkeypatch.setenv("NICSEC_CACHE", str(tmp_path))
    made = []

    def design():
        made.append(1)
        return Loopback()

    first = runner.build(design, "loop", "icarus", key="a")
    stamp = (first.path / "built").stat().st_mtime_ns
    again = runner.build(design, "loop", "icarus", key="a")
    assert (again, (again.path / "built").stat().st_mtime_ns, len(made)) == (first, stamp, 1)
    # Another key elaborates anew, and finds the model of the same Verilog.
    assert runner.build(design, "loop", "icarus", key="b") == first
    assert len(made) == 2
    monkeypatch.setattr(runner, "gateware_hash", lambda: "changed")
    runner.build(design, "loop", "icarus", key="a")
    assert len(made) == 3


def test_only_the_ports_are_public(tmp_path):
    model = runner.build(Loopback(), "loop128", "verilator")
    ports = (model.path / "ports.vlt").read_text()
    assert 'public_flat_rw -module "loop128" -var "*"' in ports
    generated = "".join(path.read_text() for path in model.path.glob("Vtop__Syms*.cpp"))
    # The tables through which cocotb finds signals hold the ports and nothing of the submodules.
    assert '"s_axis_tdata"' in generated
    assert '"noise"' not in generated


def test_override_notices_a_changed_cocotb(tmp_path, monkeypatch):
    """The lean runner depends on a private method: a release that changes it must not pass silently."""
    assert "_build_command" in vars(cocotb_runner.Verilator)
    monkeypatch.setenv("NICSEC_CACHE", str(tmp_path))
    monkeypatch.setattr(cocotb_runner.Verilator, "_build_command", lambda self: [["verilator", "--public"], ["make"]])
    with pytest.raises(RunError, match="cocotb's Verilator runner has changed"):
        runner.build(Loopback(), "loop_changed", "verilator")
