# SPDX-License-Identifier: Apache-2.0
"""A driver's scenarios on the golden model, on Verilator with gaps and back-pressure, and on Icarus."""

import pytest
from nicsec.config import PRESETS, Config
from nicsec_sim import runner
from nicsec_sim.ndis import Miniport, ModelLink, drive
from nicsec_sim.ndis.registers import AUTH_IDS, ENCR_IDS, Feature, Reg, SaCommand, SaResult
from system.scenarios import SCENARIOS

BENCH = "system.miniport_bench"
CONFIG = Config(sa_slots=16)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("bits", [32, 64])
def test_on_the_model(scenario, bits):
    async def body():
        miniport = Miniport(ModelLink.from_config(CONFIG), bits=bits)
        await miniport.initialize()
        await scenario(miniport)
        miniport.assert_idle()

    drive(body())


@pytest.mark.parametrize("pauses", [False, True])
def test_on_verilator(pauses, tmp_path):
    model = runner.build_engine(CONFIG, "verilator")
    env = {"NICSEC_PAUSES": "1"} if pauses else {}
    results = runner.run(model, BENCH, tmp_path, env=env, limit=600)
    assert {result.name for result in results} == {scenario.__name__ for scenario in SCENARIOS}


def test_on_icarus(tmp_path):
    model = runner.build_engine(CONFIG, "icarus")
    names = ("counters_add_up", "requests_of_version_1", "generated_ivs_count_and_run_out")
    results = runner.run(model, BENCH, tmp_path, testcase=list(names), limit=900)
    assert {result.name for result in results} == set(names)


def test_driver_and_gateware_agree_on_numbers():
    """Each states the interface by itself; this is where they are compared."""
    from nicsec import algorithm
    from nicsec.config import AUTH_NAMES, ENCR_NAMES
    from nicsec.csr import Reg as Registers
    from nicsec.csr import features
    from nicsec_sim.model.status import Status

    assert {name: encr.value for name, encr in ENCR_NAMES.items()} == ENCR_IDS
    assert {name: auth.value for name, auth in AUTH_NAMES.items()} == {n: i for n, i in AUTH_IDS.items() if n}
    for ours, theirs in ((Status, algorithm.Status), (SaCommand, algorithm.SACommand), (SaResult, algorithm.SAResult),
                         (Feature, algorithm.Feature)):
        assert {one.name: one.value for one in ours} == {one.name: one.value for one in theirs}
    assert Reg.SA_OP1 - Reg.SA_OP0 == 0x100
    single = {one.name: one.value for one in Reg if one < Reg.SA_OP0}
    assert single.items() <= {one.name: one.value for one in Registers}.items()
    assert Registers.SA_PACKETS_HIGH == Reg.SA_PACKETS + 4
    assert Registers.SA_BYTES_HIGH == Reg.SA_BYTES + 4
    # The golden model stands for a build by its configuration alone.
    for config in (CONFIG, *PRESETS.values(), Config(lifetimes=False), Config(checksum=False)):
        link = ModelLink.from_config(config)
        found = drive(link.read(Reg.CAP_FEATURES))
        assert Feature(found) == Feature(features(config).value), config
