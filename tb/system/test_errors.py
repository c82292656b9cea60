# SPDX-License-Identifier: Apache-2.0
"""Every status that a packet can be refused with, at the inner and the outer level.

Nothing leaves of a refused packet, it has exactly one completion, and the packets around it are unharmed.
"""

import functools

from nicsec.config import Config
from nicsec_sim import runner
from nicsec_sim.model.status import Status
from nicsec_sim.ndis import Miniport, ModelLink, drive
from system.errors import REQUIRED, SCENARIOS

#: test_miniport's model: preset basic with 16 slots.
CONFIG = Config(sa_slots=16)


@functools.cache
def shown(scenario):
    async def body():
        miniport = Miniport(ModelLink.from_config(CONFIG))
        await miniport.initialize()
        result = await scenario(miniport)
        miniport.assert_idle()
        return result

    return drive(body())


def test_the_scenarios_show_every_status_at_every_level():
    """What they return comes from the lists that the RTL gets too, so nothing required can drop out unnoticed."""
    missing = REQUIRED - set().union(*(shown(scenario) for scenario in SCENARIOS))
    assert not missing, missing


def test_no_status_is_forgotten():
    """The others are received packets', or never sent by this engine (design.md section 3)."""
    never = {"success", "generic_error", "memory_error"}
    assert {status.text for _, status in REQUIRED} == {
        status.text for status in Status if status.text not in never and "auth_failed" not in status.text
    }


def test_refusals_on_verilator(tmp_path):
    model = runner.build_engine(CONFIG, "verilator")
    results = runner.run(model, "system.errors_bench", tmp_path, limit=600)
    assert {result.name for result in results} == {scenario.__name__ for scenario in SCENARIOS}


def test_refusals_with_gaps_and_back_pressure(tmp_path):
    model = runner.build_engine(CONFIG, "verilator")
    names = ["faults_of_ipv6", "packets_that_are_wrong_as_a_whole"]
    results = runner.run(model, "system.errors_bench", tmp_path, testcase=names, env={"NICSEC_PAUSES": "1"}, limit=600)
    assert {result.name for result in results} == {*names}
