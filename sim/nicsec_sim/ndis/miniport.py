# SPDX-License-Identifier: Apache-2.0
"""The driver: NDIS requests in, registers, descriptors and frames out."""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..model.sa import Bundle
from ..model.status import Status
from . import requests
from .caps import Capabilities
from .checksum import checksum_fields
from .device import Device, SaError
from .link import Link, ProtocolError
from .nbl import Info, NetBuffer, NetBufferList
from .registers import Completion, Descriptor
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


@dataclass
class _Sa:
    """The driver's note of an SA; ``bundle`` holds keys only while the SA may yet turn out to be a tunnel's."""

    device: int
    bundle: Bundle
    late_mode: bool = False
    sent: int = 0
    esn: dict[tuple[str, int], int] | None = None


def _without_keys(bundle: Bundle) -> Bundle:
    def blank(op):
        return replace(op, **{n: bytes(len(v)) for n in ("encr_key", "salt", "auth_key") if (v := getattr(op, n))})

    return Bundle(bundle.mode, tuple(blank(op) for op in bundle.ops))


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
    """

    def __init__(self, link: Link, *, bits: int = 64, iv: str = "generate", auth_first: bool = False):
        if bits not in (32, 64):
            raise ValueError(f"bits must be 32 or 64, not {bits!r}")
        self.link = link
        self.device = Device(link)
        self.bits = bits
        self.iv = iv
        self.auth_first = auth_first
        self.capabilities: Capabilities | None = None
        self.refusal: str | None = None
        self._sas: dict[int, _Sa] = {}
        self._cookies = itertools.count(1)
        self._lists: deque[NetBufferList] = deque()
        self._packets: deque[tuple[NetBuffer, Descriptor | None, Any]] = deque()

    async def initialize(self, enable: bool = True) -> Capabilities:
        """Start the engine, learn what it can do, and switch it on; raises ``ProtocolError``."""
        self.capabilities = await self.device.initialize()
        await self.enable(enable)
        return self.capabilities

    async def enable(self, on: bool = True) -> None:
        """Switch the engine on or off; while it is off, packets with a handle are dropped as ``disabled``."""
        await self.device.enable(on)

    async def counters(self) -> dict[str, int]:
        """The engine's counters, and completions by status."""
        return await self.device.counters()

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

    def update_sa(self, handle: int, protocol: str, spi: int, esn_high: int) -> None:
        """Set the high half of an op's sequence numbers for packets sent from now on; raises ``KeyError``.

        It travels in the descriptors, so packets already queued keep the old one.
        """
        sa = self._sas[handle]
        highs = sa.esn or {(op.protocol, op.spi): op.esn_high or 0 for op in sa.bundle.ops if op.esn}
        if (protocol, spi) not in highs:
            raise KeyError(f"no {protocol} with SPI {spi:#x} and ESN under handle {handle:#x}")
        sa.esn = highs | {(protocol, spi): esn_high}

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
            high = nbl.esn_high
            if (sa := self._sas.get(handle)) is not None:
                if sa.late_mode and n == 2:
                    await self._make_tunnel(sa)
                if high is None and sa.esn is not None:
                    if len(set(sa.esn.values())) > 1:
                        # The epoch has been advanced for one of two operations only; a guess would be a bad ICV.
                        return None
                    high = next(iter(sa.esn.values()))
                handle = sa.device
            fields |= {f"sa{n}": handle, f"seq_high{n}": high}
        fields["lso"] = nbl.NetBufferListInfo[Info.TcpLargeSendNetBufferListInfo] is not None
        return fields

    async def _make_tunnel(self, sa: _Sa) -> None:
        await self.device.delete(sa.device)
        # A counter that started over would use a nonce twice.
        ops = tuple(replace(op, iv_init=op.iv_init + sa.sent) if op.generates_iv else op for op in sa.bundle.ops)
        sa.device = await self.device.add(Bundle("tunnel", ops))
        sa.bundle = _without_keys(Bundle("tunnel", ops))
        sa.late_mode = False

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
            self._packets.append((buffer, None, None))
            return
        sas = [sa for handle in reversed(nbl.handles) if (sa := self._sas.get(handle)) is not None]
        for sa in sas:
            sa.sent += 1
        info = nbl.NetBufferListInfo[Info.TcpIpChecksumNetBufferListInfo]
        fields = fields | checksum_fields(info, frame, [sa.bundle for sa in sas]) | buffer.overrides
        descriptor = Descriptor(**{"length": len(frame), "cookie": next(self._cookies)} | fields)
        buffer.result = None
        sent = await self.link.send(descriptor.pack(), frame, buffer.error)
        self._packets.append((buffer, descriptor, sent))

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
            owner, descriptor, sent = self._packets.popleft()
            assert owner is buffer
            if descriptor is not None:
                buffer.result = await self._complete(descriptor, sent)
        self._lists.popleft()
        nbl.Status = fold(buffer.result.status for buffer in nbl)
        return nbl

    async def _complete(self, descriptor: Descriptor, sent: Any) -> PacketResult:
        try:
            completion = Completion.unpack(await self.link.completion())
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        if completion.cookie != descriptor.cookie:
            raise ProtocolError(f"completion of cookie {completion.cookie}, expected {descriptor.cookie}")
        # A link that notes when a completion came knows better than the clock: it may have waited since.
        completed = int(getattr(self.link, "completed", self.link.cycle))
        accepted = None if (first := getattr(sent, "first", None)) is None else int(first)
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
