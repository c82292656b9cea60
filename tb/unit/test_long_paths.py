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


def test_places_count_where_there_are_any():
    """A LUT, two halves of a carry that are one tile, and constants, as nextpnr has them."""
    def placed(x, y, mode, **ports):
        outputs = ("Q", "F", "FCO")
        return {
            "type": "TRELLIS_COMB" if mode else "TRELLIS_FF", "parameters": {"MODE": mode} if mode else {},
            "attributes": {"NEXTPNR_BEL": f"X{x}/Y{y}/SLICEA.LUT0"},
            "port_directions": {name: "output" if name in outputs else "input" for name in ports},
            "connections": {name: [net] for name, net in ports.items()},
        }

    cells = {
        "one": placed(90, 90, "LOGIC", F=9),
        "a": placed(1, 1, None, DI=6, Q=1),
        "lut": placed(4, 1, "LOGIC", A=1, B=9, F=2),
        "low": placed(4, 21, "CCU2", A=2, FCO=4),
        "high": placed(4, 21, "CCU2", FCI=4, A=9, F=6),
    }
    path, = long_paths(cells)
    assert (path.cells, path.tiles, path.end) == (("a", "lut", "low", "high"), (3, 20, 0, 23), "a")
    nets = 0.076 * ((6 + 6) + (6 + 25) + (6 + 23 + 3 + 5))
    assert path.length == pytest.approx(0.5 + 0.2 + 0.45 + (0.07 + 0.4) + nets + 0.2)


def test_a_loop_is_an_error():
    cells = {"l0": cell("LUT4", A=2, Z=1), "l1": cell("LUT4", A=1, Z=2)}
    with pytest.raises(ValueError, match=r"^a loop of logic goes through l[01]$"):
        long_paths(cells)
