# SPDX-License-Identifier: Apache-2.0
"""NDIS requests that add, update and delete SAs, decoded from their buffers and served by a miniport."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from . import v1, v2
from .device import SaError
from .registers import SaResult
from .status import NdisStatus, Oid, OidError

if TYPE_CHECKING:
    from .miniport import Miniport

__all__ = ["serve"]

_NDIS_OF_RESULT = {
    SaResult.FULL: NdisStatus.RESOURCES,
    SaResult.BAD_HANDLE: NdisStatus.INVALID_PARAMETER,
    SaResult.UNSUPPORTED: NdisStatus.NOT_SUPPORTED,
    SaResult.INVALID: NdisStatus.INVALID_DATA,
}
_PROTOCOLS = {v2.OPERATION_AH: "ah", v2.OPERATION_ESP: "esp"}


async def serve(miniport: "Miniport", oid: int, buffer: bytearray) -> tuple[NdisStatus, str | None]:
    """Serve one request; returns the status and, of a refusal, the reason. An add writes its handle to ``buffer``."""
    if oid not in _REQUESTS:
        allowed = ", ".join(f"{known:#x}" for known in _REQUESTS)
        return NdisStatus.INVALID_OID, f"the OID must be one of {allowed}, not {oid:#x}"
    try:
        await _REQUESTS[Oid(oid)](miniport, buffer)
    except OidError as error:
        return error.status, str(error)
    except SaError as error:
        return _NDIS_OF_RESULT[error.result], str(error)
    return NdisStatus.SUCCESS, None


async def _add_v1(miniport: "Miniport", buffer: bytearray, udp: bool = False) -> None:
    request = v1.AddSa.unpack(buffer, udp, miniport.bits)
    handle = await miniport.add_sa(request.bundle(iv=miniport.iv, auth_first=miniport.auth_first))
    v1.put_handle(buffer, handle, miniport.bits)


async def _add_udpesp_v1(miniport: "Miniport", buffer: bytearray) -> None:
    await _add_v1(miniport, buffer, udp=True)


async def _delete_v1(miniport: "Miniport", buffer: bytearray) -> None:
    await miniport.delete_sa(v1.handles(buffer, 1, miniport.bits)[0])


async def _delete_udpesp_v1(miniport: "Miniport", buffer: bytearray) -> None:
    # The parser entry concerns receiving only: there is none to delete.
    await miniport.delete_sa(v1.handles(buffer, 2, miniport.bits)[0])


async def _add_one_v2(miniport: "Miniport", request: v2.AddSa) -> int:
    return await miniport.add_sa(request.bundle(iv=miniport.iv), late_mode=not request.UdpEspEncapsulation)


async def _add_v2(miniport: "Miniport", buffer: bytearray) -> None:
    """Add each entry of the list: it succeeds if any does, and entries that fail get handle 0."""
    added = 0
    first_error: OidError | SaError | None = None
    for base in _entries(buffer, "ADD_SA", miniport.bits):
        try:
            handle = await _add_one_v2(miniport, v2.AddSa.unpack(buffer, bits=miniport.bits, base=base))
            added += 1
        except (OidError, SaError) as error:
            handle, first_error = 0, first_error or error
        v2.put_handle(buffer, handle, bits=miniport.bits, base=base)
    if first_error is not None and not added:
        raise first_error


def _entries(buffer: bytearray, name: str, bits: int) -> list[int]:
    """Offsets of the entries of a list; raises ``OidError`` before any of them is served if the list is not sound."""
    found: list[int] = []
    base = 0
    while not found or base:
        if base in found:
            raise OidError(NdisStatus.INVALID_PARAMETER, f"Next of an entry must not lead back to offset {base}")
        found.append(base)
        base = v2.following(buffer, name, bits, base)
    return found


async def _add_v2_ex(miniport: "Miniport", buffer: bytearray) -> None:
    request = v2.AddSa.unpack(buffer, extended=True, bits=miniport.bits)
    v2.put_handle(buffer, await _add_one_v2(miniport, request), extended=True, bits=miniport.bits)


async def _update_v2(miniport: "Miniport", buffer: bytearray) -> None:
    request = v2.UpdateSa.unpack(buffer, miniport.bits)
    protocol = _PROTOCOLS.get(request.Operation, f"operation {request.Operation}")
    try:
        await miniport.update_sa(request.OffloadHandle, protocol, request.Spi, request.SequenceNumberHighOrder)
    except KeyError as error:
        text = f"UPDATE_SA of handle {request.OffloadHandle:#x}: {error.args[0]}"
        raise OidError(NdisStatus.INVALID_PARAMETER, text) from None


async def _delete_v2(miniport: "Miniport", buffer: bytearray) -> None:
    first_error = None
    for base in _entries(buffer, "DELETE_SA", miniport.bits):
        try:
            await miniport.delete_sa(v2.DeleteSa.unpack(buffer, miniport.bits, base).OffloadHandle)
        except SaError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error


_REQUESTS: dict[Oid, Callable[["Miniport", bytearray], Awaitable[None]]] = {
    Oid.TCP_TASK_IPSEC_ADD_SA: _add_v1,
    Oid.TCP_TASK_IPSEC_DELETE_SA: _delete_v1,
    Oid.TCP_TASK_IPSEC_ADD_UDPESP_SA: _add_udpesp_v1,
    Oid.TCP_TASK_IPSEC_DELETE_UDPESP_SA: _delete_udpesp_v1,
    Oid.TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA: _add_v2,
    Oid.TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA_EX: _add_v2_ex,
    Oid.TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA: _update_v2,
    Oid.TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA: _delete_v2,
}
