# SPDX-License-Identifier: Apache-2.0
"""Places of block RAMs: what has to do with what in a netlist, and that it comes to stand together."""

import itertools
import json
import random

import pytest
from nicsec_sim.ram_places import closeness, place, placed, probe, sites


def cell(kind, **ports):
    """A cell whose ports in capitals are outputs; each has a list of nets."""
    return {
        "type": kind,
        "port_directions": {name: "output" if name.isupper() else "input" for name in ports},
        "connections": ports,
    }


def chain(names):
    """Cells from the RAM ``names[0]`` over others to the RAM ``names[-1]``, a net behind each but the last."""
    last = len(names) - 1
    return {name: cell("DP16KD" if n in (0, last) else "LUT4", i=[n], O=[n + 1]) for n, name in enumerate(names)}


def test_closeness_follows_logic_to_the_next_ram():
    """What is on the way adds up like resistors do."""
    for between in range(1, 5):
        near = closeness(chain(["a", *(f"c{n}" for n in range(between)), "b"]))
        assert near["a"]["b"] == near["b"]["a"] == pytest.approx(1 / (between + 1), rel=0.05)
        assert set(near) == {"a", "b"}


def test_closeness_adds_up_over_all_ways():
    one = chain(["a", "c0", "b"])
    both = one | {"d": cell("TRELLIS_FF", i=one["a"]["connections"]["O"], O=[100])}
    both["b"] = cell("DP16KD", i=[*one["b"]["connections"]["i"], 100], O=[101])
    assert closeness(both)["a"]["b"] > 1.3 * closeness(one)["a"]["b"]


def test_closeness_of_those_that_share_an_address():
    """A net of three cells pulls each two of them with a half, a third of which comes round by the third cell."""
    cells = {f"r{n}": cell("DP16KD", i=[1, 2], O=[3 + n]) for n in range(2)} | {"lut": cell("LUT4", i=[1], O=[9])}
    near = closeness(cells)
    assert near["r0"]["r1"] == near["r1"]["r0"] == pytest.approx(1 / 2 + 1 / 4 + 1, rel=0.01)


def test_closeness_of_those_whose_outputs_meet():
    """Three banks in an OR, each through a register of its own, and one of them through a LUT as well."""
    cells = {f"r{n}": cell("DP16KD", O=[n]) for n in range(3)}
    cells |= {f"ff{n}": cell("TRELLIS_FF", i=[n], O=[10 + n]) for n in range(3)}
    cells |= {"far": cell("LUT4", i=[10], O=[13]), "or": cell("LUT4", i=[11, 12, 13], O=[14])}
    near = closeness(cells)
    assert near["r1"]["r2"] == near["r2"]["r1"] > 1.2 * near["r0"]["r1"]
    assert near["r0"]["r1"] == near["r1"]["r0"] == pytest.approx(near["r0"]["r2"], rel=0.05)


def test_closeness_leaves_out_controls():
    cells = {"a": cell("DP16KD", O=[1])} | {f"r{n}": cell("DP16KD", i=[1]) for n in range(65)}
    assert not closeness(cells)["a"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_ring_comes_to_stand_in_order(seed):
    """Sixteen RAMs, each with two neighbours and named at random, in two rows of a device with room for 40."""
    names = [f"r{n}" for n in range(16)]
    random.Random(seed).shuffle(names)
    near = {name: {} for name in sorted(names)}
    for one, other in itertools.pairwise([*names, names[0]]):
        near[one][other] = near[other][one] = 1.0
    places = [(2 * x, 2 * y, f"X{2 * x}/Y{2 * y}/RAM") for x in range(20) for y in range(2)]
    found = place(near, places, seed=seed)
    assert len(set(found.values())) == 16
    where = {name: (x, y) for x, y, name in places}
    lengths = [abs(where[found[a]][0] - where[found[b]][0]) + abs(where[found[a]][1] - where[found[b]][1])
               for a in near for b in near[a]]
    assert max(lengths) <= 6
    assert found == place(near, places, seed=seed)


def test_no_more_than_there_are_places():
    with pytest.raises(ValueError, match=r"^2 block RAMs do not fit into 1 places$"):
        place({"a": {}, "b": {}}, [(0, 0, "X0/Y0/EBR0")], seed=1)


def test_a_netlist_gets_its_places():
    document = json.loads(placed(probe(2), "top", [(4, 25, "X4/Y25/EBR0"), (6, 25, "X6/Y25/EBR1")], seed=1))
    cells = document["modules"]["top"]["cells"]
    assert {cell["attributes"].pop("BEL") for cell in cells.values()} == {"X4/Y25/EBR0", "X6/Y25/EBR1"}
    assert document == json.loads(probe(2))


def test_sites_are_read_from_what_nextpnr_wrote():
    document = json.loads(probe(2))
    for name, bel in (("ram0", "X13/Y46/EBR0"), ("ram1", "X4/Y22/EBR0")):
        document["modules"]["top"]["cells"][name]["attributes"]["NEXTPNR_BEL"] = bel
    assert sites(json.dumps(document)) == [(4, 22, "X4/Y22/EBR0"), (13, 46, "X13/Y46/EBR0")]
