# SPDX-License-Identifier: Apache-2.0
"""``nicsec replay`` from the command line: its contract on the golden model, and the RTL against the model."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from model.cases import random_case
from nicsec.config import PRESETS
from nicsec_sim.cli import app
from nicsec_sim.errors import RunError
from nicsec_sim.hoststack import Framing, frame
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Limits, Op
from nicsec_sim.ndis import ModelLink, Reg, SaResult
from nicsec_sim.ndis.registers import SaCommand
from nicsec_sim.plain import ipv4, ipv6
from typer.testing import CliRunner

SEED = 20240611
CONFIG = PRESETS["basic"]


def line(case, n, layer="ethernet"):
    """A case of the model's benches as a line: one override for both bundles, and counters at their start."""
    def bundle(sa):
        return sa and Bundle(sa.mode, tuple(replace(op, iv_init=None) for op in sa.ops)).to_json()

    data = case.frame if layer == "ethernet" else case.frame[14:]
    return {"id": f"case {n}", "layer": layer, "frame": data.hex(), "sa1": bundle(case.sa1), "sa2": bundle(case.sa2),
            "esn_high": case.esn_high1}


def golden(values, config=CONFIG):
    """Status and frame that the golden model gives a line."""
    engine = Engine(encr=config.encr, auth=config.auth, max_frame=config.max_frame)
    sas = [Bundle.from_json(values[name]) if values[name] else None for name in ("sa1", "sa2")]
    known = engine.encr | engine.auth | {None}
    if any(name not in known for sa in sas if sa for op in sa.ops for name in (op.encr_alg, op.auth_alg)):
        return "unsupported", None
    head = bytes(12) + (b"\x86\xdd" if values["frame"][0] == "6" else b"\x08\x00") if values["layer"] == "ip" else b""
    high = values["esn_high"]
    result = engine.process(head + bytes.fromhex(values["frame"]), *(sa and engine.add_sa(sa) for sa in sas),
                            esn_high1=high, esn_high2=high)
    return result.status.text, result.frame and result.frame[len(head) :].hex()


def replay(tmp_path, lines, *options):
    """Run the command; returns its outcome and the results."""
    cases, results = tmp_path / "cases.jsonl", tmp_path / "out" / "results.jsonl"
    cases.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    outcome = CliRunner().invoke(app, ["replay", str(cases), "-o", str(results), *options])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome, [json.loads(text) for text in results.read_text().splitlines()]


def random_lines(count, seed=SEED, **more):
    print(f"seed {seed}")
    rng = random.Random(seed)
    algorithms = {"encr": CONFIG.encr, "auth": CONFIG.auth, **more}
    return [line(random_case(rng, **algorithms), n) for n in range(count)]


def spoil(values, rng):
    """Change one byte of the frame, or cut its end."""
    data = bytearray.fromhex(values["frame"])
    if rng.random() < 0.3:
        del data[rng.randrange(1, len(data)) :]
    else:
        data[rng.randrange(12, min(len(data), 90))] ^= 1 << rng.randrange(8)
    return values | {"frame": data.hex()}


def check(lines, results, config=CONFIG):
    assert [one["id"] for one in results] == [one["id"] for one in lines]
    for values, result in zip(lines, results, strict=True):
        assert set(result) == {"id", "status", "frame", "cycles"}
        assert (result["status"], result["frame"]) == golden(values, config), values


def test_thousands_on_the_model(tmp_path):
    rng = random.Random(SEED)
    lines = [values if rng.random() < 0.8 else spoil(values, rng) for values in random_lines(1500)]
    outcome, results = replay(tmp_path, lines, "--sim", "model")
    assert outcome.exit_code == 0
    check(lines, results)
    counts = Counter(one["status"] for one in results)
    assert counts["success"] > 1000
    assert len(counts) >= 7
    assert "1500 cases on model" in outcome.output


def test_a_build_without_the_algorithms(tmp_path):
    rng = random.Random(SEED)
    lines = [line(random_case(rng), n) for n in range(200)]
    outcome, results = replay(tmp_path, lines, "--sim", "model", "--preset", "tiny")
    assert outcome.exit_code == 0
    check(lines, results, PRESETS["tiny"])
    assert {one["status"] for one in results} >= {"unsupported", "success"}


def test_bad_lines_leave_the_others_in_place(tmp_path):
    good = random_lines(4)
    wrong = good[2] | {"sa1": {"mode": "tunnel", "ops": 5}}
    lines = [good[0], "{", good[1], {"id": "x", "layer": "ip"}, wrong, good[3], "[]"]
    outcome, results = replay(tmp_path, lines, "--sim", "model")
    assert outcome.exit_code == 1
    check([good[0], good[1], good[3]], [results[n] for n in (0, 2, 5)])
    assert len(results) == 7
    for n, name, text in (
        (1, None, "line 2: not JSON"),
        (3, "x", "line 4: frame is missing"),
        (4, good[2]["id"], "line 5: sa1: ops must be a list, not 5"),
        (6, None, "line 7: a case must be"),
    ):
        bad = results[n]
        assert (bad["id"], bad["status"], bad["frame"], bad["cycles"]) == (name, "error", None, 0)
        assert bad["error"].startswith(text)
        assert bad["error"] in outcome.stderr
        assert "cases.jsonl" in outcome.stderr


def test_layer_ip(tmp_path):
    lines = [line(random_case(random.Random(n), encr=CONFIG.encr, auth=CONFIG.auth), n) for n in range(60)]
    lines = [values | {"layer": "ip", "frame": values["frame"][28:]} for values in lines
             if values["frame"][24:28] in ("0800", "86dd")]
    lines += [{"id": "bare", "layer": "ip", "frame": data.hex(), "sa1": None, "sa2": None, "esn_high": None}
              for data in (ipv4("1.2.3.4", "5.6.7.8", 1, b"x"), ipv6("::1", "::2", 1, b"x"), b"\xf0")]
    outcome, results = replay(tmp_path, lines, "--sim", "model")
    assert outcome.exit_code == 0
    check(lines, results)
    assert [one["frame"] for one in results[-3:]] == [one["frame"] for one in lines[-3:]]


def test_esn_high_overrides_both_bundles(tmp_path):
    rng = random.Random(3)
    while True:
        case = random_case(rng, encr=CONFIG.encr, auth=CONFIG.auth, nested=1)
        if all(op.esn for sa in (case.sa1, case.sa2) for op in sa.ops):
            break
    base = line(case, 0)
    lines = [base | {"esn_high": high} for high in (None, 0, 5)]
    for name in ("sa1", "sa2"):
        moved = json.loads(json.dumps(base[name]))
        for op in moved["ops"]:
            op["esn_high"] = 5
        base = base | {name: moved}
    lines.append(base | {"esn_high": None})
    _, results = replay(tmp_path, lines, "--sim", "model")
    check(lines, results)
    frames = [one["frame"] for one in results]
    assert frames[2] == frames[3]
    assert frames[1] != frames[2]


def test_an_empty_file(tmp_path):
    outcome, results = replay(tmp_path, [], "--sim", "model")
    assert (outcome.exit_code, results) == (0, [])


def test_json_summary(tmp_path):
    outcome, _ = replay(tmp_path, random_lines(3), "--sim", "model", "--json")
    summary = json.loads(outcome.stdout)
    assert (summary["cases"], summary["statuses"], summary["sim"]) == (3, {"success": 3}, "model")
    assert summary["config_hash"] == CONFIG.hash


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--sim", "vcs"], "--sim must be one of verilator, icarus, model, not 'vcs'"),
        (["--preset", "huge"], "--preset must be one of"),
        (["--config", "absent.toml"], "--config: absent.toml: No such file"),
    ],
)
def test_wrong_flags(tmp_path, options, text):
    from nicsec_sim.errors import InputError

    with pytest.raises(InputError, match=text):
        replay(tmp_path, [], *options)


def test_missing_files(tmp_path):
    from nicsec_sim.errors import InputError

    absent, there = str(tmp_path / "absent.jsonl"), tmp_path / "there.jsonl"
    there.write_text("")
    for arguments, text in (([absent, "-o", str(tmp_path / "r")], "CASES.jsonl: .*absent.jsonl: No such file"),
                            ([str(there), "-o", str(tmp_path)], "-o: .*: Is a directory")):
        outcome = CliRunner().invoke(app, ["replay", *arguments, "--sim", "model"])
        assert isinstance(outcome.exception, InputError)
        assert outcome.exception.exit_code == 2
        with pytest.raises(InputError, match=text):
            raise outcome.exception


def test_lowest_iv_and_limits_of_a_case(tmp_path):
    op = Op(protocol="esp", spi=1, encr_alg="aes-gcm", encr_key=bytes(16), salt=bytes(4), icv_len=16, iv="frame")
    data = frame(ipv4("1.2.3.4", "5.6.7.8", 17, b"x" * 20), Bundle("transport", (op,)), framing1=Framing(seq=5))
    lines = []
    for first in (5, 6):
        sa = Bundle("transport", (replace(op, iv_init=first),), Limits(hard_packets=1)).to_json()
        more = {"sa1": sa, "sa2": None, "esn_high": None}
        lines.append({"id": str(first), "layer": "ethernet", "frame": data.hex(), **more})
    outcome, results = replay(tmp_path, lines, "--sim", "model")
    assert outcome.exit_code == 0
    check(lines, results)
    assert [one["status"] for one in results] == ["success", "iv_repeat"]


def test_an_sa_that_is_refused_as_invalid_is_an_error(tmp_path, monkeypatch):
    """Only a fault of the driver gets so far: it must not look like a build without the algorithm."""
    add = ModelLink._add

    def refuse(self):
        return SaResult.INVALID if self.windows[0].get(4) == 77 else add(self)

    lines = random_lines(3)
    lines[1]["sa1"]["ops"][0]["spi"] = 77
    monkeypatch.setattr(ModelLink, "_add", refuse)
    outcome, results = replay(tmp_path, lines, "--sim", "model")
    assert outcome.exit_code == 1
    check([lines[0], lines[2]], [results[0], results[2]])
    assert results[1]["status"] == "error"
    assert results[1]["error"].startswith("line 2: the engine refused an SA of the case as invalid")
    assert results[1]["error"] in outcome.stderr


def test_a_hang_loses_no_result(tmp_path, monkeypatch):
    """The engine takes no more SA commands: all that was complete by then is in the file."""
    lines = random_lines(40)
    added = 0
    write, read = ModelLink.write, ModelLink.read

    async def count(self, offset, value):
        nonlocal added
        added += offset == Reg.SA_COMMAND and value == SaCommand.ADD
        await write(self, offset, value)

    async def hang(self, offset):
        return 1 << 31 if offset == Reg.SA_STATUS and added > 30 else await read(self, offset)

    monkeypatch.setattr(ModelLink, "write", count)
    monkeypatch.setattr(ModelLink, "read", hang)
    with pytest.raises(RunError, match="SA_STATUS was busy"):
        replay(tmp_path, lines, "--sim", "model")
    results = [json.loads(text) for text in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    complete = [one for one in results if one["status"] != "error"]
    # Each case has one SA or two; the command that hangs is the 31st.
    assert 15 <= len(complete) < 31
    assert results[: len(complete)] == complete
    check(lines[: len(complete)], complete)
    assert len(results) == 40
    assert all("the simulation failed before it" in one["error"] for one in results[len(complete) :])


def rtl(tmp_path, sim, lines):
    outcome, results = replay(tmp_path, lines, "--sim", sim)
    assert outcome.exit_code == 0
    check(lines, results)
    assert all(0 < one["cycles"] < 100_000 for one in results if one["status"] not in ("unsupported", "error"))


def test_more_sas_than_slots_on_verilator(tmp_path):
    rng = random.Random(SEED)
    lines = [values if rng.random() < 0.7 else spoil(values, rng) for values in random_lines(400)]
    rtl(tmp_path, "verilator", lines)


def test_a_few_on_icarus(tmp_path):
    rng = random.Random(SEED)
    lines = [spoil(values, rng) if n % 4 == 3 else values
             for n, values in enumerate(random_lines(16, sizes=(0, 3, 16, 64)))]
    rtl(tmp_path, "icarus", lines)


def test_suites_that_are_not_built_are_named_so(tmp_path):
    op = Op(protocol="esp", spi=1, encr_alg="chacha20-poly1305", encr_key=bytes(32), salt=bytes(4), icv_len=16)
    values = {"id": "x", "layer": "ethernet", "frame": "00" * 64, "sa1": Bundle("transport", (op,)).to_json(),
              "sa2": None, "esn_high": None}
    _, (result,) = replay(tmp_path, [values], "--sim", "model")
    assert result == {"id": "x", "status": "unsupported", "frame": None, "cycles": 0}
