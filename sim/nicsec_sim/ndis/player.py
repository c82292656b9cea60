# SPDX-License-Identifier: Apache-2.0
"""Plays packets of any number of SAs through a miniport, whose engine holds only so many at a time."""

import random
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace

from ..model.sa import Bundle
from ..model.status import Status
from .miniport import Miniport, SaError
from .nbl import ChecksumInfo, Info, NetBufferList, make_nbl
from .registers import SaResult

__all__ = ["Outcome", "Packet", "play"]

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


@dataclass
class _Loaded:
    handle: int
    users: int = 0


class _Cache:
    """SAs in the engine, least recently used first; evicted ones come back where their IV counters stood."""

    def __init__(self, miniport: Miniport, bundles: Mapping[str, Bundle]):
        self._miniport = miniport
        self._bundles = bundles
        self._loaded: dict[str, _Loaded] = {}
        self._taken: dict[str, int] = {}
        self._refused: dict[str, SaResult] = {}

    def _bundle(self, name: str) -> Bundle:
        # A counter that started over would use a nonce twice.
        bundle, taken = self._bundles[name], self._taken.get(name, 0)
        if not taken:
            return bundle
        ops = tuple(
            replace(op, iv_init=op.iv_init + taken) if op.generates_iv else op for op in bundle.ops
        )
        return Bundle(bundle.mode, ops)

    def _spent(self, name: str) -> bool:
        taken = self._taken.get(name, 0)
        return any(op.generates_iv and op.iv_init + taken >= 2**64 for op in self._bundles[name].ops)

    async def _evict(self, spent: bool = False) -> bool:
        for name, sa in self._loaded.items():
            # An SA whose counter is used up has no value to come back with.
            if not sa.users and (spent or not self._spent(name)):
                await self._miniport.delete_sa(sa.handle)
                del self._loaded[name]
                return True
        return False

    async def acquire(self, name: str) -> int | None:
        """The SA's handle; None if every slot is held by packets in flight. Raises ``SaError`` if it is refused."""
        if name in self._refused:
            raise SaError(self._refused[name])
        while name not in self._loaded:
            try:
                self._loaded[name] = _Loaded(await self._miniport.add_sa(self._bundle(name)))
            except SaError as error:
                if error.result is not SaResult.FULL:
                    self._refused[name] = error.result
                    raise
                if not await self._evict():
                    return None
        sa = self._loaded[name] = self._loaded.pop(name)
        sa.users += 1
        return sa.handle

    def release(self, name: str, sent: bool = True) -> None:
        """The packet is complete; ``sent`` says whether the engine looked the SA up for it."""
        self._loaded[name].users -= 1
        self._taken[name] = self._taken.get(name, 0) + sent

    async def clear(self) -> None:
        while await self._evict(spent=True):
            pass


async def play(
    miniport: Miniport, bundles: Mapping[str, Bundle], packets: Iterable[Packet], depth: int = _DEPTH
) -> AsyncIterator[Outcome]:
    """Send ``packets`` in order and yield their outcomes in order.

    SAs are added when a packet needs them and evicted, oldest first, when the table is full. A packet whose SA the
    build refuses is not sent: its outcome is ``unsupported``. At the end every SA is deleted, and anything that the
    engine gave beyond one completion a packet raises.
    """
    cache = _Cache(miniport, bundles)
    waiting: deque[tuple[int, tuple[str, ...], NetBufferList | None]] = deque()

    async def oldest() -> Outcome:
        index, names, nbl = waiting.popleft()
        if nbl is None:
            return Outcome(index, Status.UNSUPPORTED.text)
        await miniport.send_net_buffer_lists_complete()
        for name in names:
            cache.release(name)
        result = nbl.NetBuffers[0].result
        times = (result.accepted, result.completed)
        return Outcome(index, result.status.text, result.frame, result.cycles, *times)

    for index, packet in enumerate(packets):
        handles: list[int] = []
        names: list[str] = []
        nbl = None
        try:
            for name in (packet.sa1, packet.sa2):
                if name is None:
                    handles.append(0)
                    continue
                while (handle := await cache.acquire(name)) is None:
                    if not waiting:
                        raise RuntimeError("the SA table is full of SAs that are not this driver's")
                    yield await oldest()
                handles.append(handle)
                names.append(name)
            nbl = _nbl(packet, (handles[0], handles[1]), index)
        except SaError as error:
            if error.result not in (SaResult.UNSUPPORTED, SaResult.INVALID):
                raise
            for name in names:
                cache.release(name, sent=False)
        waiting.append((index, tuple(names), nbl))
        if nbl is not None:
            await miniport.send_net_buffer_lists([nbl])
        while len(waiting) >= depth:
            yield await oldest()
    while waiting:
        yield await oldest()
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
