# SPDX-License-Identifier: Apache-2.0
"""Verilog for any component, with the port names that AXI users expect."""

import itertools
import os
import re

from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring

__all__ = ["Flat", "to_verilog"]


class Flat(wiring.Component):
    """Shell whose ports are those of ``core``, each named by its path joined with single underscores.

    Amaranth joins paths with two underscores; block-diagram editors and bus functional models know an AXI port as
    ``s_axis_tdata``. A member tied to a constant (``ready`` of an always-ready stream) gets no port.

    Raises
    ------
    ValueError
        If two members would share a name, or one would take the clock's or the reset's.
    """

    def __init__(self, core):
        self._core = core
        self._values = {}
        members = {}
        for path, member, value in core.signature.flatten(core):
            if isinstance(value, Const):
                continue
            name = "_".join(map(str, path))
            if name in members:
                raise ValueError(f"more than one port is named {name!r}")
            if name in ("clk", "rst"):
                raise ValueError(f"{name!r} is the name of the sync domain's own port")
            members[name] = member
            self._values[name] = value
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = self._core
        for name, value in self._values.items():
            port = getattr(self, name)
            if self.signature.members[name].flow == wiring.In:
                m.d.comb += value.eq(port)
            else:
                m.d.comb += port.eq(value)
        return m


def to_verilog(component, name, *, reset=True):
    """Verilog text of ``component`` as a module called ``name``.

    Without ``reset`` it has no port ``rst``: all registers begin with the values that a reset would give them, which on
    an FPGA the device's global reset restores.

    The text is the same from run to run and from machine to machine: the bundled Yosys writes it whatever else is
    installed, and no source location is left inside. Needs ``amaranth[builtin-yosys]``.
    """
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    text = verilog.convert(
        Flat(component), name=name, emit_src=False, strip_internal_attrs=True,
        missing_domain=lambda domain: ClockDomain(domain, reset_less=not reset),
    )

    # Yosys makes most `always @*` sensitive to a register initialized to zero, so that the block runs once at time
    # zero. SystemVerilog initializes variables before any process starts, and that is no event: Icarus in its
    # SystemVerilog mode leaves the outputs of state machines X. An initial block is an event in every dialect.
    text = re.sub(r"reg (\\\$auto\$\S+) +(= 0);", r"reg \1 ; initial \1 \2;", text)

    # It leaves out those of one statement, which give some bits of a variable a constant, or the value of a register
    # that may keep its initial value for long: without an event they never run.
    count = itertools.count()

    def wake(found):
        indent, statement = found.groups()
        trigger = rf"\$time_zero${next(count)} "
        return (f"{indent}reg {trigger}; initial {trigger}= 0;\n"
                f"{indent}always @* begin if ({trigger}) begin end {statement} end")

    return re.sub(r"^( *)always @\*\n +(\S[^\n]* = [^\n]*;)$", wake, text, flags=re.MULTILINE)
