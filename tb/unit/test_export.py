# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The exporter: port names, constants, and text that is the same everywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from nicsec.export import Flat, to_verilog

AXIS = wiring.Signature({"tdata": Out(16), "tvalid": Out(1), "tready": In(1)})


class Machine(wiring.Component):
    """A state machine whose outputs depend on its state alone."""

    s_axis: In(AXIS)
    m_axis: Out(AXIS)
    busy: Out(2)

    def elaborate(self, platform):
        m = Module()
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.busy.eq(2), self.s_axis.tready.eq(1)]
                with m.If(self.s_axis.tvalid):
                    m.d.sync += self.m_axis.tdata.eq(self.s_axis.tdata)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.busy.eq(1), self.m_axis.tvalid.eq(1)]
                with m.If(self.m_axis.tready):
                    m.next = "IDLE"
        return m


class Partly(wiring.Component):
    """A value some of whose bits are constant, and some a register that keeps its initial value."""

    i: In(2)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        value = Signal(8)
        kept = Signal(2, init=2)
        m.d.sync += kept.eq(kept)
        with m.If(self.i[0]):
            m.d.comb += value[2:4].eq(self.i)
        with m.Else():
            m.d.comb += value[2].eq(1)
        m.d.comb += [self.o.eq(value), value[4:6].eq(kept), value[6:].eq(3)]
        return m


class Plain(wiring.Component):
    """A component with nothing inside but the given members."""

    def __init__(self, members):
        super().__init__(members)

    def elaborate(self, platform):
        return Module()


def ports(text, top):
    """``{name: (direction, bits)}`` of a module."""
    body = re.search(rf"^module {top}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL).group()
    found = re.findall(r"^  (input|output) (?:reg |wire )?(?:\[(\d+):0\] )?(\w+)", body, re.MULTILINE)
    return {name: (direction, int(high or 0) + 1) for direction, high, name in found}


def test_ports_are_named_by_single_underscores():
    assert ports(to_verilog(Machine(), "machine"), "machine") == {
        "clk": ("input", 1), "rst": ("input", 1), "busy": ("output", 2),
        "s_axis_tdata": ("input", 16), "s_axis_tvalid": ("input", 1), "s_axis_tready": ("output", 1),
        "m_axis_tdata": ("output", 16), "m_axis_tvalid": ("output", 1), "m_axis_tready": ("input", 1),
    }


def test_without_reset_registers_have_initial_values_only():
    with_reset, without = (to_verilog(Machine(), "machine", reset=reset) for reset in (True, False))
    assert set(ports(with_reset, "machine")) - set(ports(without, "machine")) == {"rst"}
    values = [re.findall(r"^ *reg .* = .*;", text, re.MULTILINE) for text in (with_reset, without)]
    assert values[0] == values[1] != []


def test_undriven_output_stays_an_output():
    text = to_verilog(Plain({"bresp": Out(2), "i": In(3)}), "plain")
    assert ports(text, "plain") == {"bresp": ("output", 2), "i": ("input", 3)}


def test_constant_members_get_no_port():
    flat = Flat(Plain({"o": Out(stream.Signature(8, always_ready=True)), "i": In(stream.Signature(8))}))
    assert set(flat.signature.members) == {"o_payload", "o_valid", "i_payload", "i_valid", "i_ready"}
    assert "o_ready" not in ports(to_verilog(Plain({"o": Out(stream.Signature(8, always_ready=True))}), "top"), "top")


def test_dimensions_are_numbered():
    assert set(Flat(Plain({"i": In(4).array(2)})).signature.members) == {"i_0", "i_1"}


@pytest.mark.parametrize(("members", "message"), [
    ({"a_b": In(1), "a": In(wiring.Signature({"b": Out(1)}))}, r"^more than one port is named 'a_b'$"),
    ({"clk": In(1)}, r"^'clk' is the name of the sync domain's own port$"),
])
def test_name_clash_is_refused(members, message):
    with pytest.raises(ValueError, match=message):
        Flat(Plain(members))


def test_text_holds_no_path_and_repeats(tmp_path):
    script = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent)]!r}\n"
        "from test_export import Machine, to_verilog\n"
        "sys.stdout.write(to_verilog(Machine(), 'machine'))\n"
    )
    texts = {
        subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True,
                       env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}).stdout
        for seed, cwd in (("1", tmp_path), ("2", Path.cwd()))
    }
    (text,) = texts
    assert text == to_verilog(Machine(), "machine")
    assert "src =" not in text
    assert "/" + "work" not in text
    assert ".py" not in text


def at_time_zero(text, name, inputs, output, directory):
    """What Icarus shows of an output in SystemVerilog mode when no input has ever changed."""
    (directory / "m.v").write_text(text)
    wires = "".join(f".{port}({value})," for port, value in inputs.items())
    (directory / "t.v").write_text(
        f"module t; wire [7:0] o; {name} dut({wires} .{output}(o)); initial #1 $display(\"%b\", o); endmodule\n")
    subprocess.run(["iverilog", "-g2012", "-o", "t", "t.v", "m.v"], cwd=directory, check=True, capture_output=True)
    done = subprocess.run(["vvp", "t"], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_time_zero_is_an_event_in_every_dialect(tmp_path):
    """Outputs of a state machine are known on Icarus in SystemVerilog mode before the first clock edge."""
    text = to_verilog(Machine(), "machine")
    assert re.search(r"\\\$auto\$\S+ ; initial \\\$auto\$\S+ = 0;", text)
    inputs = {"clk": "1'b0", "rst": "1'b1", "s_axis_tvalid": "1'b0", "s_axis_tdata": "16'h0", "m_axis_tready": "1'b0"}
    assert at_time_zero(text, "machine", inputs, "busy", tmp_path).endswith("10")


def test_constant_bits_are_known_at_time_zero(tmp_path):
    text = to_verilog(Partly(), "partly")
    assert "$time_zero$" in text
    assert at_time_zero(text, "partly", {"i": "2'd0"}, "o", tmp_path) == "11100100"
    assert at_time_zero(text, "partly", {"i": "2'd3"}, "o", tmp_path) == "11101100"
