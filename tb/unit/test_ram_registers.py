# SPDX-License-Identifier: Apache-2.0
"""Which registers behind a block RAM become its own."""

import copy

import pytest
from nicsec_sim.ram_registers import fold, folded

CLOCK, OTHER_CLOCK = 2, 3


def ram(**changes):
    """A RAM whose port A has the outputs 10 and 11; port B has none in use."""
    connections = {
        "CLKA": [CLOCK], "OCEA": ["1"], "RSTA": ["0"], "DOA0": [10], "DOA1": [11], "DOA2": [12],
        "CLKB": [CLOCK], "OCEB": ["1"], "RSTB": ["0"], "DOB0": [13],
    }
    parameters = {"DATA_WIDTH_A": f"{18:032b}", "DATA_WIDTH_B": f"{9:032b}", "REGMODE_A": "NOREG", "CLKAMUX": "CLKA"}
    for name, value in changes.items():
        (parameters if name in parameters else connections)[name] = value
    return {
        "type": "DP16KD", "parameters": parameters, "connections": connections,
        "port_directions": {name: "output" if name.startswith("DO") else "input" for name in connections},
    }


def register(d, q, **changes):
    connections = {"CLK": [CLOCK], "DI": [d], "Q": [q], "LSR": ["0"]}
    parameters = {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"}
    for name, value in changes.items():
        (parameters if name in parameters else connections)[name] = value
    return {
        "type": "TRELLIS_FF", "parameters": parameters, "connections": connections,
        "port_directions": {name: "output" if name == "Q" else "input" for name in connections},
    }


def cells(**changes):
    return {"ram": ram(), "r0": register(10, 20), "r1": register(11, 21), **changes}


def test_registers_of_a_whole_port():
    found = cells()
    assert fold(found, set()) == ["r0", "r1"]
    assert set(found) == {"ram"}
    assert found["ram"]["connections"]["DOA0"] == [20]
    assert found["ram"]["connections"]["DOA1"] == [21]
    assert found["ram"]["parameters"]["REGMODE_A"] == "OUTREG"
    assert "REGMODE_B" not in found["ram"]["parameters"]


def test_a_memory_of_both_ports_has_the_registers_of_both():
    """A writes, B reads on the outputs of both: the clock and enables are B's."""
    wide = f"{36:032b}"
    changes = {"DATA_WIDTH_A": wide, "DATA_WIDTH_B": wide, "OCEA": ["0"], "CLKA": [OTHER_CLOCK]}
    found = cells(ram=ram(**changes), r3=register(13, 23, CLK=[OTHER_CLOCK]))
    assert fold(found, set()) == []
    found = cells(ram=ram(**changes), r3=register(13, 23))
    assert sorted(fold(found, set())) == ["r0", "r1", "r3"]
    assert found["ram"]["connections"]["DOB0"] == [23]
    assert {found["ram"]["parameters"][f"REGMODE_{side}"] for side in "AB"} == {"OUTREG"}
    assert found["ram"]["connections"]["OCEA"] == ["1"]


@pytest.mark.parametrize("change", [
    {"r1": register(11, 21, CEMUX="CE", CE=[30])},
    {"r1": register(11, 21, LSR=[30])},
    {"r1": register(11, 21, CLK=[OTHER_CLOCK])},
    {"r1": register(11, 21, CLKMUX="INV")},
    {"r1": register(11, 21, M=[30])},
    {"r2": register(11, 22)},
    {"lut": {"type": "LUT4", "port_directions": {"A": "input"}, "connections": {"A": [10]}, "parameters": {}}},
    {"ram": ram(OCEA=[30])},
    {"ram": ram(RSTA=[30])},
    {"ram": ram(REGMODE_A="OUTREG")},
    {"ram": ram(DATA_WIDTH_A=f"{36:032b}")},
    {"ram": ram(CLKAMUX="INV")},
], ids=lambda change: "-".join(change))
def test_all_or_none(change):
    found = cells(**change)
    before = copy.deepcopy(found)
    assert fold(found, set()) == []
    assert found == before


def lut(a, z):
    return {
        "type": "LUT4", "port_directions": {"A": "input", "Z": "output"}, "connections": {"A": [a], "Z": [z]},
        "parameters": {},
    }


def test_registers_ahead_of_much_logic_stay():
    found = cells(l0=lut(21, 40), l1=lut(40, 41), l2=lut(41, 42))
    assert fold(found, set()) == []
    found = cells(l0=lut(21, 40), l1=lut(40, 41), r2=register(41, 42))
    assert fold(found, set()) == ["r0", "r1"]


def test_what_leaves_the_module_stays():
    ports = {"clk": {"direction": "input", "bits": [CLOCK]}, "o": {"direction": "output", "bits": [11]}}
    modules = {"top": {"cells": cells(), "ports": ports}}
    before = copy.deepcopy(modules)
    assert folded(modules) == {}
    assert modules == before
    ports["o"]["bits"] = [21]
    assert folded(modules) == {"top": ["r0", "r1"]}
    assert list(modules["top"]["cells"]) == ["ram"]
