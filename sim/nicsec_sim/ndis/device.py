# SPDX-License-Identifier: Apache-2.0
"""The engine's registers, as a driver handles them: start-up, SA commands, counters, events."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..model.sa import Bundle, Limits
from ..model.status import Status
from .caps import Capabilities
from .link import Link, ProtocolError
from .registers import (
    COUNTER_NAMES,
    EVENTS_LOST,
    IDENTITY,
    UNIT_COUNTERS,
    EventKind,
    Feature,
    Irq,
    Reg,
    SaCommand,
    SaResult,
    update_writes,
    window_writes,
)

__all__ = ["Device", "SaCounts", "SaError", "SaEvent", "pauses"]

_BUSY = 1 << 31
_ENABLE = 1
_READY = 1
#: Cycles after which a command counts as lost, and between the first two polls and two late ones.
_PATIENCE = 320_000
_POLL_CYCLES = (64, 1024)
#: Major versions of the register map that this driver knows.
_MAJORS = (0, 1)


def pauses() -> Iterator[int]:
    """Cycles to let pass from poll to poll: a simulated register access costs far more than that many idle cycles."""
    pause, last = _POLL_CYCLES
    waited = 0
    while waited < _PATIENCE:
        yield pause
        waited += pause
        pause = min(pause + pause // 4, last)


class SaError(Exception):
    """The engine refused an SA command; ``result`` says why."""

    def __init__(self, result: SaResult):
        super().__init__(f"SA command refused: {result.name.lower()}")
        self.result = result


@dataclass(frozen=True)
class SaCounts:
    """Packets and bytes that an SA was looked up for, and how many of the packets were refused."""

    packets: int = 0
    bytes: int = 0
    errors: int = 0

    def __add__(self, other: "SaCounts") -> "SaCounts":
        return SaCounts(self.packets + other.packets, self.bytes + other.bytes, self.errors + other.errors)


@dataclass(frozen=True)
class SaEvent:
    """Limits that the SA behind ``handle`` has reached; ``lost`` says that the engine had no room for later events."""

    handle: int
    kinds: EventKind
    lost: bool = False


class Device:
    """An engine behind ``link``; one SA command at a time."""

    def __init__(self, link: Link):
        self.link = link

    async def initialize(self) -> Capabilities:
        """Start the link, check that this is the engine, and wait until its SA table is wiped."""
        read, write = self.link.read, self.link.write
        await self.link.start()
        if (identity := await read(Reg.ID)) != IDENTITY:
            raise ProtocolError(f"ID must be {IDENTITY:#010x}, not {identity:#010x}")
        values = [await read(offset) for offset in range(Reg.VERSION, Reg.CAP_FEATURES + 4, 4)]
        capabilities = Capabilities.from_registers(*values)
        if capabilities.version[0] not in _MAJORS:
            raise ProtocolError(f"VERSION must have a major number of 0 or 1, not {capabilities.version[0]}")
        for pause in pauses():
            if await read(Reg.STATUS) & _READY:
                break
            await self.link.wait(pause)
        else:
            raise ProtocolError(f"STATUS was not ready after {_PATIENCE} cycles")
        # A refused command empties a staging window that an earlier driver may have left half-filled.
        await write(Reg.SA_HANDLE, 0)
        if (result := await self._command(SaCommand.DELETE)) is not SaResult.BAD_HANDLE:
            raise ProtocolError(f"deleting handle 0 must be refused with bad_handle, not {result.name.lower()}")
        if Feature.LIFETIME in capabilities.features:
            await write(Reg.IRQ_MASK, Irq.SA_EVENT)
        return capabilities

    async def enable(self, on: bool = True) -> None:
        """Switch the engine on or off; while it is off, packets with a handle are dropped as ``disabled``."""
        await self.link.write(Reg.CTRL, _ENABLE if on else 0)

    async def counters(self) -> dict[str, int]:
        """The engine's counters, and completions by status."""
        read = self.link.read
        result = {}
        for n, name in enumerate(COUNTER_NAMES):
            low = await read(Reg.COUNTERS + 8 * n)
            result[name] = low | await read(Reg.COUNTERS + 8 * n + 4) << 32
        for status in Status:
            result[status.text] = await read(Reg.STATUS_COUNTERS + 4 * status)
        return result

    async def units(self, kinds: Iterable[str]) -> dict[str, int]:
        """``cycles``, and the unit-cycles of work of ``kinds``, all of one moment and modulo 2^32."""
        names = ("cycles", *kinds, "cycles")
        offsets = [Reg.COUNTERS + 8 * (len(COUNTER_NAMES) + UNIT_COUNTERS.index(name)) for name in names]
        while True:
            *found, after = [await self.link.read(offset) for offset in offsets]
            if after == found[0]:
                return dict(zip(names, found, strict=False))

    async def completions(self) -> int:
        """How many packets were completed, modulo 2^32."""
        return sum([await self.link.read(Reg.STATUS_COUNTERS + 4 * status) for status in Status]) % 2**32

    async def _command(self, command: SaCommand) -> SaResult:
        await self.link.write(Reg.SA_COMMAND, command)
        for pause in pauses():
            status = await self.link.read(Reg.SA_STATUS)
            if not status & _BUSY:
                return SaResult(status & 0xFF)
            await self.link.wait(pause)
        raise ProtocolError(f"SA_STATUS was busy for {_PATIENCE} cycles after {command.name.lower()}")

    async def add(self, bundle: Bundle) -> int:
        """Stage ``bundle``, add it and return its handle; raises ``SaError``."""
        for offset, word in window_writes(bundle):
            await self.link.write(offset, word)
        if (result := await self._command(SaCommand.ADD)) is not SaResult.OK:
            raise SaError(result)
        return await self.link.read(Reg.SA_HANDLE)

    async def delete(self, handle: int) -> None:
        """Delete an SA once its packets have left; raises ``SaError``."""
        await self.link.write(Reg.SA_HANDLE, handle)
        if (result := await self._command(SaCommand.DELETE)) is not SaResult.OK:
            raise SaError(result)

    async def update(self, handle: int, highs: Sequence[int | None] = (), limits: Limits | None = None) -> None:
        """Replace the high halves of the ops' sequence numbers, where given, and the limits; raises ``SaError``.

        Packets sent after this see the new values; those sent before may see either.
        """
        for offset, word in update_writes(highs, limits):
            await self.link.write(offset, word)
        await self.link.write(Reg.SA_HANDLE, handle)
        if (result := await self._command(SaCommand.UPDATE)) is not SaResult.OK:
            raise SaError(result)

    async def query(self, handle: int) -> SaCounts:
        """What the SA has counted; raises ``SaError``."""
        read = self.link.read
        await self.link.write(Reg.SA_HANDLE, handle)
        if (result := await self._command(SaCommand.QUERY)) is not SaResult.OK:
            raise SaError(result)
        packets = await read(Reg.SA_PACKETS) | await read(Reg.SA_PACKETS + 4) << 32
        octets = await read(Reg.SA_BYTES) | await read(Reg.SA_BYTES + 4) << 32
        return SaCounts(packets, octets, await read(Reg.SA_ERRORS))

    async def events(self) -> list[SaEvent]:
        """Acknowledge the SA event interrupt and take every event off, oldest first."""
        # Acknowledged first: an event that comes while others are read raises the bit again.
        await self.link.write(Reg.IRQ_STATUS, Irq.SA_EVENT)
        found = []
        while handle := await self.link.read(Reg.SA_EVENT):
            kind = await self.link.read(Reg.SA_EVENT_KIND)
            await self.link.write(Reg.SA_EVENT_KIND, 0)
            found.append(SaEvent(handle, EventKind(kind & 0xF), bool(kind & EVENTS_LOST)))
        return found
