# SPDX-License-Identifier: Apache-2.0
"""cocotb transactors: what a host and a wire do at the engine's ports."""

from .axil import AxiLite, AxiLiteError
from .axis import AxisSink, AxisSource, random_pause
from .link import EngineLink

__all__ = ["AxiLite", "AxiLiteError", "AxisSink", "AxisSource", "EngineLink", "random_pause"]
