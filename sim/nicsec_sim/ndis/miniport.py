# SPDX-License-Identifier: Apache-2.0
"""The driver: NDIS requests in, registers, descriptors and frames out."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..model.sa import Bundle, Limits
from ..model.status import Status
from . import requests
from .caps import Capabilities
from .checksum import checksum_fields
from .device import Device, SaCounts, SaError, SaEvent, pauses
from .link import Link, ProtocolError
from .nbl import Info, NetBuffer, NetBufferList
from .registers import Completion, Descriptor, Feature
from .standing import Standing, frame_ivs, resumed
from .status import NdisStatus, fold

__all__ = ["Miniport", "PacketResult", "ProtocolError", "SaError"]


@dataclass(frozen=True)
class PacketResult:
    """What became of one NET_BUFFER.

    ``frame`` is what left the engine, None unless ``status`` is success. ``accepted`` and ``completed`` are the
    cycles in which the engine took the first beat and gave the completion; None for a packet the driver kept back.
    """

    status: Status
    frame: bytes | None = None
    accepted: int | None = None
    completed: int | None = None

    @property
    def cycles(self) -> int:
        """Cycles from the first beat's acceptance to the completion; 0 for a packet kept back."""
        return 0 if self.accepted is None or self.completed is None else self.completed - self.accepted


@dataclass(eq=False)
class _Sa:
    """The driver's note of an SA; ``bundle`` holds keys only while the SA may yet turn out to be a tunnel's."""

    device: int
    bundle: Bundle
    late_mode: bool = False
    #: Packets sent, how many of them have not come back, and the number of the last among all packets.
    sent: int = 0
    pending: int = 0
    last: int = 0
    #: Counted before the SA was last added to the engine.
    before: SaCounts = field(default_factory=SaCounts)
    limits: Limits = field(init=False)
    #: For each op: the next generated IV as of the last add, or the lowest that is taken from a frame.
    counters: list[int] = field(init=False)
    highs: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.limits = self.bundle.limits
        self.counters = [op.iv_init or 0 for op in self.bundle.ops]
        self.highs = [op.esn_high or 0 for op in self.bundle.ops]


@dataclass
class _Sent:
    """A packet on its way; ``descriptor`` is None for one that the driver kept back. ``sas`` are innermost first."""

    buffer: NetBuffer
    descriptor: Descriptor | None = None
    ticket: Any = None
    frame: bytes = b""
    sas: tuple[_Sa, ...] = ()

    @property
    def ivs(self) -> list[tuple[int, int, int]]:
        return frame_ivs(self.frame, [sa.bundle for sa in self.sas])


def _without_keys(bundle: Bundle) -> Bundle:
    def blank(op):
        return replace(op, **{n: bytes(len(v)) for n in ("encr_key", "salt", "auth_key") if (v := getattr(op, n))})

    return Bundle(bundle.mode, tuple(blank(op) for op in bundle.ops), bundle.limits)


class Miniport:
    """A miniport driver over ``link``.

    Sends are queued by ``send_net_buffer_lists`` and come back, in order and once each, from
    ``send_net_buffer_lists_complete``. SA requests may run while packets are in flight, one request at a time.

    Parameters
    ----------
    link
        The engine's bus (see ``Link``).
    bits : int
        Pointer width of the host, which the binary structures depend on: 64 or 32.
    iv : str
        Where the IVs of SAs added by OID come from: ``"generate"`` or ``"frame"``.
    auth_first : bool
        Order of the keys inside a version 1 request (see ``v1.AddSa.bundle``).
    on_event : function, optional
        Gets each ``SaEvent`` that ``service_interrupt`` finds, under the handle that the host knows.
    """

    def __init__(
        self,
        link: Link,
        *,
        bits: int = 64,
        iv: str = "generate",
        auth_first: bool = False,
        on_event: Callable[[SaEvent], None] | None = None,
    ):
        if bits not in (32, 64):
            raise ValueError(f"bits must be 32 or 64, not {bits!r}")
        self.link = link
        self.device = Device(link)
        self.bits = bits
        self.iv = iv
        self.auth_first = auth_first
        self.on_event = on_event
        self.capabilities: Capabilities | None = None
        self.refusal: str | None = None
        self._sas: dict[int, _Sa] = {}
        self._cookies = itertools.count(1)
        self._lists: deque[NetBufferList] = deque()
        self._packets: deque[_Sent] = deque()
        self._sent = 0

    async def initialize(self, enable: bool = True) -> Capabilities:
        """Start the engine, learn what it can do, and switch it on; raises ``ProtocolError``."""
        self.capabilities = await self.device.initialize()
        # Packets are numbered on from what the engine has completed.
        self._sent = await self.device.completions()
        await self.enable(enable)
        return self.capabilities

    async def enable(self, on: bool = True) -> None:
        """Switch the engine on or off; while it is off, packets with a handle are dropped as ``disabled``."""
        await self.device.enable(on)

    async def counters(self) -> dict[str, int]:
        """The engine's counters, and completions by status."""
        return await self.device.counters()

    async def service_interrupt(self) -> list[SaEvent]:
        """Take the SA events off the engine, give each to ``on_event``, and return them."""
        handles = {sa.device: handle for handle, sa in self._sas.items()}
        found = await self.device.events()
        events = [replace(event, handle=handles.get(event.handle, event.handle)) for event in found]
        if self.on_event is not None:
            for event in events:
                self.on_event(event)
        return events

    async def halt(self) -> None:
        """Delete every SA and switch the engine off, as a driver's removal does; all sends must be complete."""
        if self._lists:
            raise RuntimeError(f"{len(self._lists)} net buffer lists are still in flight")
        for handle in list(self._sas):
            await self.delete_sa(handle)
        await self.enable(False)

    async def add_sa(self, bundle: Bundle, late_mode: bool = False) -> int:
        """Add an SA and return its handle; raises ``SaError``.

        With ``late_mode`` the bundle becomes a tunnel's when its handle first comes in NextOffloadHandle's place:
        a version 2 request does not say which it is.
        """
        handle = await self.device.add(bundle)
        self._sas[handle] = _Sa(handle, bundle if late_mode else _without_keys(bundle), late_mode)
        return handle

    async def delete_sa(self, handle: int) -> None:
        """Delete an SA once its packets have left; raises ``SaError``."""
        await self.device.delete(self._sas[handle].device if handle in self._sas else handle & 0xFFFFFFFF)
        self._sas.pop(handle, None)

    def _sa(self, handle: int) -> _Sa:
        if handle not in self._sas:
            raise KeyError(f"no SA under handle {handle:#x}")
        return self._sas[handle]

    async def update_sa(self, handle: int, protocol: str, spi: int, esn_high: int) -> None:
        """Set the high half of an op's sequence numbers for packets sent from now on.

        The engine keeps it; this returns when the SA's packets that were sent before are through, for they go with
        the old one. Raises ``KeyError`` when there is no such op with ESN under ``handle``.
        """
        sa = self._sa(handle)
        fits = [op.esn and (op.protocol, op.spi) == (protocol, spi) for op in sa.bundle.ops]
        if not any(fits):
            raise KeyError(f"no {protocol} with SPI {spi:#x} and ESN under handle {handle:#x}")
        await self._settle(sa)
        await self.device.update(sa.device, [esn_high if fit else None for fit in fits])
        sa.highs = [esn_high if fit else high for fit, high in zip(fits, sa.highs, strict=True)]

    async def set_limits(self, handle: int, limits: Limits) -> None:
        """Replace an SA's limits, which count from its first packet on; raises ``KeyError`` and ``SaError``."""
        sa = self._sa(handle)
        await self._settle(sa)
        await self.device.update(sa.device, limits=self._remaining(sa, limits))
        sa.limits = limits

    @staticmethod
    def _remaining(sa: _Sa, limits: Limits) -> Limits:
        """``limits`` as the engine counts, which has not seen what was counted before the SA was last added."""
        used = {"packets": sa.before.packets, "bytes": sa.before.bytes}
        # 0 would be no limit; at 1 the next packet finds it reached.
        return Limits(**{name: max(1, value - used[name.partition("_")[2]]) if value else 0
                         for name, value in vars(limits).items()})

    async def query_sa(self, handle: int) -> SaCounts:
        """What the SA has counted, in this slot and in others before; raises ``KeyError`` and ``SaError``."""
        sa = self._sa(handle)
        return sa.before + await self.device.query(sa.device)

    async def standing(self, handle: int) -> Standing:
        """Where the SA stands once its packets are through; raises ``KeyError``.

        An IV that a frame carries counts as used while its packet has not come back.
        """
        sa = self._sa(handle)
        await self._settle(sa)
        assert self.capabilities is not None
        counts, taken = SaCounts(), sa.sent
        if Feature.LIFETIME in self.capabilities.features:
            counts = await self.device.query(sa.device)
            taken = counts.packets
        counters = [min(2**64, n + taken) if op.generates_iv else n
                    for op, n in zip(sa.bundle.ops, sa.counters, strict=True)]
        for sent in self._packets if sa.pending else ():
            for k, n, iv in sent.ivs if sa in sent.sas else ():
                if sent.sas[k] is sa:
                    counters[n] = max(counters[n], iv + 1)
        return Standing(sa.before + counts, tuple(counters), tuple(sa.highs))

    async def _settle(self, sa: _Sa) -> None:
        """Wait until the engine has completed every packet of ``sa``, whether it was fetched or not."""
        if not sa.pending:
            return
        for pause in pauses():
            if (await self.device.completions() - sa.last) % 2**32 < 2**31:
                return
            await self.link.wait(pause)
        raise ProtocolError(f"packet {sa.last} was not completed in all the time of a command")

    async def oid_request(self, oid: int, buffer: bytearray) -> NdisStatus:
        """Serve a request to add, update or delete an SA; an add writes ``OffloadHandle`` into ``buffer``.

        A refusal's reason is left in ``refusal``.
        """
        status, self.refusal = await requests.serve(self, oid, buffer)
        return status

    async def send_net_buffer_lists(self, nbls: Iterable[NetBufferList]) -> None:
        """Queue every packet of ``nbls`` to the engine, in order."""
        for nbl in nbls:
            nbl.Status = NdisStatus.PENDING
            fields = await self._resolve(nbl)
            self._lists.append(nbl)
            for buffer in nbl:
                await self._send(nbl, buffer, fields)

    async def _resolve(self, nbl: NetBufferList) -> dict[str, Any] | None:
        """Descriptor fields of the handles; None if they can not be sent as they are."""
        handles = nbl.handles
        if not all(0 <= handle <= 0xFFFFFFFF for handle in handles):
            return None
        fields: dict[str, Any] = {}
        for n, handle in enumerate(handles, 1):
            if not handle:
                continue
            if (sa := self._sas.get(handle)) is not None:
                if sa.late_mode and n == 2:
                    await self._make_tunnel(sa, handle)
                handle = sa.device
            fields |= {f"sa{n}": handle, f"seq_high{n}": nbl.esn_high}
        fields["lso"] = nbl.NetBufferListInfo[Info.TcpLargeSendNetBufferListInfo] is not None
        return fields

    async def _make_tunnel(self, sa: _Sa, handle: int) -> None:
        # A counter that started over would use a nonce twice.
        standing = await self.standing(handle)
        bundle = resumed(Bundle("tunnel", sa.bundle.ops, sa.limits), standing)
        if bundle is None:
            # Whatever stopped it in the first slot goes on stopping it.
            return
        await self.device.delete(sa.device)
        sa.device = await self.device.add(bundle)
        sa.bundle = _without_keys(bundle)
        sa.before, sa.counters, sa.sent, sa.late_mode = standing.counts, list(standing.counters), 0, False

    async def _send(self, nbl: NetBufferList, buffer: NetBuffer, fields: dict[str, Any] | None) -> None:
        status = Status.SUCCESS if fields is not None else Status.BAD_HANDLE
        frame = b""
        try:
            frame = buffer.gather()
        except ValueError:
            status = Status.MALFORMED
        if not frame:
            status = Status.MALFORMED
        elif len(frame) > 0xFFFF:
            # More than a descriptor can say.
            status = Status.TOO_LONG
        if status is not Status.SUCCESS or fields is None:
            buffer.result = PacketResult(status)
            self._packets.append(_Sent(buffer))
            return
        sas = tuple(sa for handle in nbl.handles if (sa := self._sas.get(handle)) is not None)
        self._sent = (self._sent + 1) % 2**32
        for sa in sas:
            sa.sent += 1
            sa.pending += 1
            sa.last = self._sent
        info = nbl.NetBufferListInfo[Info.TcpIpChecksumNetBufferListInfo]
        fields = fields | checksum_fields(info, frame, [sa.bundle for sa in reversed(sas)]) | buffer.overrides
        descriptor = Descriptor(**{"length": len(frame), "cookie": next(self._cookies)} | fields)
        buffer.result = None
        ticket = await self.link.send(descriptor.pack(), frame, buffer.error)
        self._packets.append(_Sent(buffer, descriptor, ticket, frame, sas))

    @property
    def outstanding(self) -> int:
        """NET_BUFFER_LISTs sent and not yet completed."""
        return len(self._lists)

    async def send_net_buffer_lists_complete(self) -> NetBufferList:
        """Wait for the oldest NET_BUFFER_LIST and give it back with its ``Status``; raises ``ProtocolError``."""
        if not self._lists:
            raise RuntimeError("no net buffer list is in flight")
        nbl = self._lists[0]
        for buffer in nbl:
            assert self._packets[0].buffer is buffer
            if self._packets[0].descriptor is not None:
                buffer.result = await self._complete(self._packets[0])
            self._packets.popleft()
        self._lists.popleft()
        nbl.Status = fold(buffer.result.status for buffer in nbl)
        return nbl

    async def _complete(self, sent: _Sent) -> PacketResult:
        assert sent.descriptor is not None
        result = await self._result(sent.descriptor, sent.ticket)
        for sa in sent.sas:
            sa.pending -= 1
        if result.status in (Status.SUCCESS, Status.IV_REPEAT):
            for k, n, iv in sent.ivs:
                if iv < sent.sas[k].counters[n]:
                    break
                sent.sas[k].counters[n] = iv + 1
        return result

    async def _result(self, descriptor: Descriptor, ticket: Any) -> PacketResult:
        try:
            completion = Completion.unpack(await self.link.completion())
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        if completion.cookie != descriptor.cookie:
            raise ProtocolError(f"completion of cookie {completion.cookie}, expected {descriptor.cookie}")
        # A link that notes when a completion came knows better than the clock: it may have waited since.
        completed = int(getattr(self.link, "completed", self.link.cycle))
        accepted = None if (first := getattr(ticket, "first", None)) is None else int(first)
        if completion.status is not Status.SUCCESS:
            return PacketResult(completion.status, None, accepted, completed)
        frame, bad = await self.link.frame()
        if bad:
            raise ProtocolError(f"the frame of cookie {completion.cookie} came out marked bad, completed as success")
        if not len(frame) == completion.length == descriptor.length:
            lengths = f"{descriptor.length} in, {len(frame)} out, {completion.length} completed"
            raise ProtocolError(f"lengths of cookie {completion.cookie} differ: {lengths}")
        return PacketResult(completion.status, frame, accepted, completed)

    async def flush(self) -> list[NetBufferList]:
        """Wait for every NET_BUFFER_LIST in flight."""
        return [await self.send_net_buffer_lists_complete() for _ in range(self.outstanding)]

    def assert_idle(self) -> None:
        """Fail unless every send was completed and nothing came out beyond that."""
        if self._lists:
            raise ProtocolError(f"{len(self._lists)} net buffer lists were not completed")
        self.link.assert_idle()
