# SPDX-License-Identifier: Apache-2.0
"""NDIS status codes and object identifiers that the miniport model uses, and the folding of packet statuses."""

import enum
from collections.abc import Iterable

from ..model.status import Status

__all__ = ["NdisStatus", "Oid", "OidError", "fold"]


class NdisStatus(enum.IntEnum):
    """NDIS_STATUS values."""

    SUCCESS = 0x00000000
    PENDING = 0x00000103
    NOT_ACCEPTED = 0x00010003
    FAILURE = 0xC0000001
    INVALID_PARAMETER = 0xC000000D
    RESOURCES = 0xC000009A
    NOT_SUPPORTED = 0xC00000BB
    INVALID_LENGTH = 0xC0010014
    INVALID_DATA = 0xC0010015
    BUFFER_TOO_SHORT = 0xC0010016
    INVALID_OID = 0xC0010017
    PAUSED = 0xC023002A


class Oid(enum.IntEnum):
    """Object identifiers of IPsec task offload, versions 1 and 2."""

    TCP_TASK_IPSEC_ADD_SA = 0xFC010202
    TCP_TASK_IPSEC_DELETE_SA = 0xFC010203
    TCP_TASK_IPSEC_ADD_UDPESP_SA = 0xFC010205
    TCP_TASK_IPSEC_DELETE_UDPESP_SA = 0xFC010206
    TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA = 0xFC030202
    TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA = 0xFC030203
    TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA = 0xFC030204
    TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA_EX = 0xFC030205


class OidError(ValueError):
    """A request that the miniport refuses: ``status`` is what NDIS gets, the text says why."""

    def __init__(self, status: NdisStatus, text: str):
        super().__init__(text)
        self.status = status


def fold(statuses: Iterable[Status]) -> NdisStatus:
    """The one status of a NET_BUFFER_LIST from those of its packets.

    All sent is SUCCESS. A packet longer than the card takes makes INVALID_LENGTH, unless another one failed for
    another reason: anything else, in whole or in part, is FAILURE.
    """
    failures = {status for status in statuses if status is not Status.SUCCESS}
    if not failures:
        return NdisStatus.SUCCESS
    return NdisStatus.INVALID_LENGTH if failures == {Status.TOO_LONG} else NdisStatus.FAILURE
