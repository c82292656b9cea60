# SPDX-License-Identifier: Apache-2.0
"""Plays packets of any number of SAs through a miniport, whose engine holds only so many at a time."""

import random
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..model.sa import Bundle, Limits
from ..model.status import Status
from .device import SaCounts
from .miniport import Miniport, ProtocolError, SaError
from .nbl import ChecksumInfo, Info, NetBufferList, make_nbl
from .registers import EventKind, Feature, SaResult
from .standing import resumed

__all__ = ["Delete", "Ledger", "Outcome", "Packet", "Update", "play"]

#: Outcomes of packets whose SA the engine refuses.
REFUSALS = {SaResult.UNSUPPORTED: Status.UNSUPPORTED.text, SaResult.INVALID: "sa_invalid"}
#: NET_BUFFER_LISTs in flight: enough to keep an engine busy, few enough to leave SAs to evict.
_DEPTH = 64


@dataclass(frozen=True)
class Packet:
    """One frame to send, with the names of its SAs.

    ``sa1`` is OffloadHandle, ``sa2`` NextOffloadHandle; ``esn_high`` overrides the SAs' high half; ``error`` marks
    the frame as bad on its way in.
    """

    frame: bytes
    sa1: str | None = None
    sa2: str | None = None
    esn_high: int | None = None
    error: bool = False
    checksum: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of packet number ``index``: ``status`` by name, the frame on success, and the cycles it took."""

    index: int
    status: str
    frame: bytes | None = None
    cycles: int = 0
    accepted: int | None = None
    completed: int | None = None


@dataclass(frozen=True)
class Update:
    """Change SA ``sa`` between two packets: the high half of the op of ``protocol`` and ``spi``, or its limits."""

    sa: str
    protocol: str = ""
    spi: int = 0
    esn_high: int | None = None
    limits: Limits | None = None


@dataclass(frozen=True)
class Delete:
    """Delete SA ``sa``: packets that name it from now on have a stale handle.

    With ``wait`` its packets come back first; without, those in flight may be refused as ``bad_handle``.
    """

    sa: str
    wait: bool = True


@dataclass
class Ledger:
    """What the engine's SAs told while packets were played: counts by name, and events in their order."""

    counts: dict[str, SaCounts] = field(default_factory=dict)
    events: list[tuple[str, EventKind]] = field(default_factory=list)
    lost: bool = False

    def reached(self) -> list[tuple[str, str]]:
        """The events as pairs of an SA's name and the name of a limit."""
        return [(name, str(kind.name).lower()) for name, kinds in self.events for kind in kinds]


@dataclass
class _Loaded:
    handle: int
    users: int = 0
    #: Known to have no way on, as its counters are used up or its lifetime is over: it keeps its slot.
    stuck: bool = False


class _Cache:
    """SAs in the engine, least recently used first; an evicted one comes back where it stood."""

    def __init__(self, miniport: Miniport, bundles: Mapping[str, Bundle], ledger: Ledger):
        self._miniport = miniport
        self._bundles = bundles
        self._ledger = ledger
        self._loaded: dict[str, _Loaded] = {}
        self._names: dict[int, str] = {}
        self._handles: dict[str, int] = {}
        self._later: dict[str, Bundle] = {}
        self._refused: dict[str, SaResult] = {}
        self._deleted: set[str] = set()

    def _bundle(self, name: str) -> Bundle:
        return self._later.get(name) or self._bundles[name]

    async def _remove(self, name: str, counts: SaCounts | None = None) -> None:
        assert self._miniport.capabilities is not None
        sa = self._loaded.pop(name)
        if Feature.LIFETIME in self._miniport.capabilities.features:
            counts = counts or await self._miniport.query_sa(sa.handle)
            self._ledger.counts[name] = self._ledger.counts.get(name, SaCounts()) + counts
        await self._miniport.delete_sa(sa.handle)

    async def _evict(self) -> bool:
        for name, sa in self._loaded.items():
            if sa.users or sa.stuck:
                continue
            standing = await self._miniport.standing(sa.handle)
            later = resumed(self._bundle(name), standing)
            if later is not None:
                self._later[name] = later
                await self._remove(name, standing.counts)
                return True
            sa.stuck = True
        return False

    async def acquire(self, name: str) -> int | None:
        """The SA's handle; None if every slot is held by packets in flight. Raises ``SaError`` if it is refused."""
        if name in self._refused:
            raise SaError(self._refused[name])
        if name in self._deleted:
            # Generation 0 is never valid.
            return self._handles.get(name, 1)
        while name not in self._loaded:
            try:
                handle = await self._miniport.add_sa(self._bundle(name))
            except SaError as error:
                if error.result is not SaResult.FULL:
                    self._refused[name] = error.result
                    raise
                if not await self._evict():
                    return None
            else:
                self._loaded[name] = _Loaded(handle)
                self._names[handle], self._handles[name] = name, handle
        sa = self._loaded[name] = self._loaded.pop(name)
        sa.users += 1
        return sa.handle

    def release(self, name: str) -> None:
        """A packet that named the SA is complete, or was not sent."""
        if name in self._loaded:
            self._loaded[name].users -= 1

    def users(self, name: str) -> int:
        return self._loaded[name].users if name in self._loaded else 0

    async def update(self, change: Update) -> None:
        """Change an SA here, or as it comes back."""
        name, bundle = change.sa, self._bundle(change.sa)
        counts = self._ledger.counts.get(name, SaCounts())
        if name in self._deleted or name in self._refused:
            return
        if change.limits is not None:
            # What was counted in other slots is behind the SA: its limits count from the last add.
            used = {"packets": counts.packets, "bytes": counts.bytes}
            limits = Limits(**{n: max(1, value - used[n.partition("_")[2]]) if value else 0
                               for n, value in vars(change.limits).items()})
            if name in self._loaded:
                await self._miniport.set_limits(self._loaded[name].handle, limits)
                self._loaded[name].stuck = False
            bundle = replace(bundle, limits=limits)
        if change.esn_high is not None:
            if name in self._loaded:
                handle = self._loaded[name].handle
                await self._miniport.update_sa(handle, change.protocol, change.spi, change.esn_high)
            ops = (replace(op, esn_high=change.esn_high) if (op.protocol, op.spi) == (change.protocol, change.spi)
                   else op for op in bundle.ops)
            bundle = replace(bundle, ops=tuple(ops))
        self._later[name] = bundle

    async def delete(self, name: str) -> None:
        """Delete an SA for good."""
        self._deleted.add(name)
        if name in self._loaded:
            await self._remove(name)

    async def events(self) -> None:
        """Note what the engine tells of its SAs."""
        if self._miniport.link.irq:
            for event in await self._miniport.service_interrupt():
                self._ledger.events.append((self._names[event.handle], event.kinds))
                self._ledger.lost |= event.lost

    async def clear(self) -> None:
        while self._loaded:
            await self._remove(next(iter(self._loaded)))


async def play(
    miniport: Miniport,
    bundles: Mapping[str, Bundle],
    packets: Iterable[Packet | Update | Delete],
    depth: int = _DEPTH,
    ledger: Ledger | None = None,
) -> AsyncIterator[Outcome]:
    """Send ``packets`` in order and yield their outcomes in order; changes of SAs take their turn among them.

    SAs are added when a packet needs them and evicted, oldest first, when the table is full. A packet whose SA the
    build refuses is not sent: its outcome is ``unsupported``, or ``sa_invalid`` where the engine finds no sense in
    what the driver staged, which is the driver's fault. At the end every SA is deleted, and anything that the engine
    gave beyond one completion a packet raises. ``ledger`` gets what the SAs counted and told.
    """
    ledger = Ledger() if ledger is None else ledger
    cache = _Cache(miniport, bundles, ledger)
    waiting: deque[tuple[int, tuple[str, ...], NetBufferList | SaResult]] = deque()

    stuck = False

    async def oldest() -> Outcome:
        nonlocal stuck
        index, names, sent = waiting.popleft()
        if isinstance(sent, SaResult):
            return Outcome(index, REFUSALS[sent])
        stuck = True
        await miniport.send_net_buffer_lists_complete()
        stuck = False
        for name in names:
            cache.release(name)
        await cache.events()
        result = sent.NetBuffers[0].result
        times = (result.accepted, result.completed)
        return Outcome(index, result.status.text, result.frame, result.cycles, *times)

    index = 0
    try:
        for item in packets:
            if isinstance(item, Update):
                await cache.update(item)
                continue
            if isinstance(item, Delete):
                while item.wait and cache.users(item.sa):
                    yield await oldest()
                await cache.delete(item.sa)
                continue
            handles: list[int] = []
            names: list[str] = []
            sent: NetBufferList | SaResult
            try:
                for name in (item.sa1, item.sa2):
                    if name is None:
                        handles.append(0)
                        continue
                    while (handle := await cache.acquire(name)) is None:
                        if not waiting:
                            raise RuntimeError("the SA table is full of SAs that are not this driver's")
                        yield await oldest()
                    handles.append(handle)
                    names.append(name)
                sent = _nbl(item, (handles[0], handles[1]), index)
            except SaError as error:
                if error.result not in REFUSALS:
                    raise
                for name in names:
                    cache.release(name)
                sent, names = error.result, []
            waiting.append((index, tuple(names), sent))
            index += 1
            if isinstance(sent, NetBufferList):
                await miniport.send_net_buffer_lists([sent])
            while len(waiting) >= depth:
                yield await oldest()
    except Exception:
        # What is complete by now is told before the failure is, unless completions are what fails.
        while waiting and not stuck:
            try:
                outcome = await oldest()
            except ProtocolError:
                break
            yield outcome
        raise
    while waiting:
        yield await oldest()
    await cache.events()
    await cache.clear()
    miniport.assert_idle()


def _nbl(packet: Packet, handles: tuple[int, int], index: int) -> NetBufferList:
    """Cut into MDLs at places that differ from packet to packet, headers and all."""
    rng = random.Random(index)
    cuts = sorted(rng.sample(range(1, 96), rng.randrange(4)))
    nbl = make_nbl([packet.frame], handles, cuts, headroom=rng.randrange(3) * 7)
    nbl.esn_high = packet.esn_high
    nbl.NetBuffers[0].error = packet.error
    if packet.checksum:
        nbl.NetBufferListInfo[Info.TcpIpChecksumNetBufferListInfo] = ChecksumInfo.unpack(packet.checksum)
    return nbl
