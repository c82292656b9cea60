# SPDX-License-Identifier: Apache-2.0
"""A small random mix on either simulator (`make mix` runs the long ones), and that a mix notices what is wrong."""

import json

import pytest
from mix import run_mix, run_parts
from nicsec.config import PRESETS, Config
from nicsec_sim.cases import Case, read_lines
from nicsec_sim.commands.replay import play_cases
from nicsec_sim.ndis.fake import ModelLink
from system.mix_traffic import Mismatch, Traffic

SEED = 1
#: Preset basic with so few slots that SAs are deleted and added all the time; test_miniport's model.
CONFIG = Config(sa_slots=16)


def mixed(config, packets, *, seed=SEED, **options):
    print(f"seed {seed}")
    summary = run_mix(config, packets, seed, limit=600, **options)
    statuses = summary["statuses"]
    assert sum(statuses.values()) == packets
    assert packets / 2 < statuses["success"] < packets
    assert summary["sas"] > config.sa_slots or packets < 100
    if packets > 1000:
        assert min(summary["changes"]["update"], summary["changes"]["delete"]) > 5
        assert (summary["events"] > 5) == config.lifetimes
    return statuses


def test_mix_on_verilator():
    assert len(mixed(CONFIG, 150)) >= 5


def test_mix_of_full_on_verilator():
    """Every suite that is built, and 64 slots of 16 rows."""
    mixed(PRESETS["full"], 120)


#: Units that all packets share, with few enough of each that packets wait for every one of them.
POOL = Config(lanes=8, units="shared", walkers=2, hash_units=3, sa_slots=16)


@pytest.mark.parametrize(("seed", "packets"), [(1, 400), (2, 60), (3, 60)])
def test_mix_of_a_pool_on_verilator(seed, packets):
    mixed(POOL, packets, seed=seed)


def test_mix_of_four_lanes_on_verilator():
    """A group of one lane each."""
    mixed(Config(lanes=4, encr=("aes-gcm",), auth=(), sa_slots=16), 150)


def test_mix_of_three_lanes_on_verilator():
    """Lanes with cores of their own, all in one group."""
    mixed(Config(lanes=3, encr=("aes-gcm", "aes-cbc"), auth=("hmac-sha1-96",), sa_slots=16), 150)


def test_mix_on_icarus():
    mixed(CONFIG, 20, sim="icarus", sizes=(0, 3, 16, 33), long=False)


@pytest.mark.parametrize("preset", PRESETS)
def test_mix_of_every_preset_on_the_model(preset):
    """Driver and traffic alone: thousands of packets, of which a build's every algorithm gets some."""
    statuses = mixed(PRESETS[preset], 1500, sim="model")
    common = {"malformed", "invalid_protocol", "spi_mismatch", "missing_esp", "input_error", "bad_handle", "iv_repeat"}
    assert common <= set(statuses)
    assert ("lifetime_expired" in statuses) == PRESETS[preset].lifetimes


def test_traffic_repeats_and_covers_the_build():
    packets = [list(Traffic(PRESETS["full"], seed).packets(300)) for seed in (1, 1, 2)]
    assert packets[0] == packets[1] != packets[2]
    traffic = Traffic(PRESETS["full"], 3)
    list(traffic.packets(1500))
    ops = [op for bundle in traffic.bundles.values() for op in bundle.ops]
    assert {op.encr_alg for op in ops} - {None} == set(PRESETS["full"].encr)
    assert {op.auth_alg for op in ops} - {None} == set(PRESETS["full"].auth)


@pytest.mark.parametrize("what", ["counts", "events"])
def test_what_sas_count_and_tell_is_compared(what, monkeypatch):
    """An engine that counts an error too many, once, or keeps one event to itself."""
    query, tell, done = ModelLink._query, ModelLink._raise_events, []

    def miscount(self):
        result = query(self)
        if self.counts[0] > 2 and not done:
            done.append(self.counts)
            self.counts = (*self.counts[:2], self.counts[2] + 1)
        return result

    def swallow(self):
        if self.engine.events and not done:
            done.append(self.engine.events.popleft())
        tell(self)

    name, wrong = {"counts": ("_query", miscount), "events": ("_raise_events", swallow)}[what]
    monkeypatch.setattr(ModelLink, name, wrong)
    with pytest.raises(Mismatch, match={"counts": r"has SaCounts\(", "events": "the events are"}[what]):
        run_mix(CONFIG, 300, SEED, sim="model")
    assert done


@pytest.mark.parametrize("where", ["frame", "status"])
def test_a_difference_is_found_and_told_as_a_case(where, monkeypatch, tmp_path):
    """An engine that is wrong once, in one bit or one status, late in the traffic."""
    send, sent = ModelLink.send, []

    async def wrong(self, descriptor, frame, error=False):
        await send(self, descriptor, frame, error)
        sent.append(frame)
        # `nicsec replay` knows no checksum requests, so the wrong packet is one without.
        if len(sent) < 200 or descriptor[2] & 0x30 or self.completions[-1][10] or self.broken:
            return
        self.broken = frame
        if where == "frame":
            self.frames[-1] = self.frames[-1][:-1] + bytes([self.frames[-1][-1] ^ 1])
        else:
            self.completions[-1] = self.completions[-1][:10] + b"\x06" + self.completions[-1][11:]
            self.frames.pop()

    monkeypatch.setattr(ModelLink, "send", wrong)
    monkeypatch.setattr(ModelLink, "broken", None, raising=False)
    with pytest.raises(Mismatch, match="malformed None, not success" if where == "status" else "success") as caught:
        run_mix(CONFIG, 400, SEED, sim="model")
    monkeypatch.undo()
    path = tmp_path / "case.jsonl"
    path.write_text(caught.value.line + "\n")
    (case,) = read_lines(path)
    assert isinstance(case, Case)
    assert case.frame in sent
    # Alone, on a sound engine, the case gives what was expected: counters and all.
    expected = str(caught.value).rpartition(" success ")[2]
    (result,), _ = play_cases([case], CONFIG, "model")
    assert json.loads(result)["frame"] == expected


def test_simulators_share_the_packets():
    parts = [run_mix(CONFIG, count, seed, sim="model") for count, seed in ((101, SEED), (100, SEED + 2**32))]
    told = []
    whole = run_parts(CONFIG, 201, SEED, 2, sim="model", report=told.append)
    assert whole["sas"] == sum(part["sas"] for part in parts)
    assert sum(whole["statuses"].values()) == 201
    for status, count in whole["statuses"].items():
        assert count == sum(part["statuses"].get(status, 0) for part in parts)


def test_a_difference_in_one_part_stops_all_and_says_how_to_repeat_it(monkeypatch):
    send = ModelLink.send

    async def wrong(self, descriptor, frame, error=False):
        await send(self, descriptor, frame, error)
        if self.frames:
            self.frames[-1] = self.frames[-1][:-1] + bytes([self.frames[-1][-1] ^ 1])

    monkeypatch.setattr(ModelLink, "send", wrong)
    with pytest.raises(Mismatch, match=r"alone: --jobs 1 --seed (1|4294967297) --packets (20|21)\)$"):
        run_parts(CONFIG, 41, SEED, 2, sim="model")


def test_simulators_share_the_packets_on_verilator():
    told = []
    summary = run_parts(CONFIG, 60, SEED, 2, limit=600, report=told.append)
    assert sum(summary["statuses"].values()) == told[-1] == 60
