# SPDX-License-Identifier: Apache-2.0
"""The longest paths of a netlist ahead of placement."""

import pytest
from nicsec_sim.long_paths import long_paths


def cell(kind, parameters=None, **ports):
    """A cell whose outputs are those named Q, Z or DOA0; nets are numbers."""
    return {
        "type": kind, "parameters": parameters or {},
        "port_directions": {name: "output" if name in ("Q", "Z", "DOA0") else "input" for name in ports},
        "connections": {name: [net] for name, net in ports.items()},
    }


CELLS = {
    "a": cell("TRELLIS_FF", CLK=1, DI=30, Q=10),
    "b": cell("TRELLIS_FF", CLK=1, DI=22, Q=11),
    "l0": cell("LUT4", A=10, B="0", Z=20),
    "l1": cell("LUT4", A=20, B=11, Z=21),
    "l2": cell("LUT4", A=21, B=10, Z=22),
}


def test_the_longest_path_ends_where_most_logic_does():
    first, *_ = long_paths(CELLS)
    assert (first.cells, first.end, first.port) == (("a", "l0", "l1", "l2"), "b", "DI")
    # From the clock, three LUTs, four nets of which one has two sinks, and setup.
    assert first.length == pytest.approx(0.5 + 3 * 0.2 + 4 * 0.9 + 0.02 + 0.2)


@pytest.mark.parametrize(("mode", "begin"), [("NOREG", 4.3), ("OUTREG", 0.74)])
def test_a_ram_with_a_register_of_its_own_is_faster(mode, begin):
    cells = {"ram": cell("DP16KD", {"REGMODE_A": mode}, DOA0=5), "q": cell("TRELLIS_FF", DI=5, Q=6)}
    path, = long_paths(cells)
    assert (path.cells, path.end) == (("ram",), "q")
    assert path.length == pytest.approx(begin + 0.9 + 0.2)


def test_the_address_of_a_lut_ram_goes_through_it():
    cells = {
        "q": cell("TRELLIS_FF", DI=9, Q=1), "ram": {
            "type": "TRELLIS_DPR16X4", "parameters": {},
            "port_directions": {"RAD": "input", "DI": "input", "DO": "output"},
            "connections": {"RAD": [1, 1, 1, 1], "DI": [1, 1, 1, 1], "DO": [2, 3, 4, 5]},
        },
        "r": cell("TRELLIS_FF", DI=2, Q=9),
    }
    ends = {(path.cells, path.end, path.port) for path in long_paths(cells)}
    assert ends == {(("q", "ram"), "r", "DI"), (("r",), "q", "DI"), (("q",), "ram", "DI")}


def test_a_loop_is_an_error():
    cells = {"l0": cell("LUT4", A=2, Z=1), "l1": cell("LUT4", A=1, Z=2)}
    with pytest.raises(ValueError, match=r"^a loop of logic goes through l[01]$"):
        long_paths(cells)
