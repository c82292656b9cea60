# SPDX-License-Identifier: Apache-2.0
"""Model of an NDIS miniport driver with IPsec task offload: the engine's software side, as benches and tools use it."""

from .caps import Capabilities
from .fake import ModelLink, drive
from .link import Link, ProtocolError
from .miniport import Miniport, PacketResult, SaError
from .nbl import (
    ChecksumInfo,
    HeaderInfoV2,
    Info,
    IpsecInfoV1,
    LsoInfo,
    Mdl,
    NblFlags,
    NetBuffer,
    NetBufferList,
    make_nbl,
)
from .registers import Completion, Descriptor, Feature, Reg, SaResult
from .status import NdisStatus, Oid, OidError, fold

__all__ = [
    "Capabilities",
    "ChecksumInfo",
    "Completion",
    "Descriptor",
    "Feature",
    "HeaderInfoV2",
    "Info",
    "IpsecInfoV1",
    "Link",
    "LsoInfo",
    "Mdl",
    "Miniport",
    "ModelLink",
    "NblFlags",
    "NdisStatus",
    "NetBuffer",
    "NetBufferList",
    "Oid",
    "OidError",
    "PacketResult",
    "ProtocolError",
    "Reg",
    "SaError",
    "SaResult",
    "drive",
    "fold",
    "make_nbl",
]
