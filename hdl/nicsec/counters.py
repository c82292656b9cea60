# SPDX-License-Identifier: Apache-2.0
"""Global and per-status counters in one block RAM."""

from amaranth.lib import data

__all__ = ["PacketEvent"]

#: One finished packet: ``length`` in bytes, ``status`` of its completion, ``bypassed``: no handle was given.
PacketEvent = data.StructLayout({"length": 16, "status": 8, "bypassed": 1})
