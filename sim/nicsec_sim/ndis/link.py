# SPDX-License-Identifier: Apache-2.0
"""What the miniport needs of the engine's bus: the simulated RTL and the golden model both offer it."""

from typing import Any, Protocol

__all__ = ["Link", "ProtocolError"]


class ProtocolError(Exception):
    """The engine broke its contract: a completion or frame that is missing, unexpected or out of order."""


class Link(Protocol):
    """Registers, descriptors with frames, completions, and frames out; every wait may let time pass."""

    @property
    def cycle(self) -> int:
        """Clock cycles since the start."""

    @property
    def irq(self) -> bool:
        """Level of the interrupt line."""

    async def start(self) -> None:
        """Reset the engine and begin to move traffic."""

    async def read(self, offset: int) -> int:
        """Read a register."""

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""

    async def wait(self, cycles: int) -> None:
        """Let clock cycles pass."""

    async def send(self, descriptor: bytes, frame: bytes, error: bool = False) -> Any:
        """Queue a frame behind its descriptor of 32 bytes; ``error`` sets ``tuser[0]`` on its last beat.

        What it returns has, where time passes, the cycle of the first beat's transfer in ``first``.
        """

    async def completion(self) -> bytes:
        """The next completion, 16 bytes."""

    async def frame(self) -> tuple[bytes, bool]:
        """The next frame on the wire side and whether ``tuser[0]`` marked it bad."""

    def assert_idle(self) -> None:
        """Fail unless everything that was queued was taken and everything that came out was looked at."""
