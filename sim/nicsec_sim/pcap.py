# SPDX-License-Identifier: Apache-2.0
"""Classic pcap files, read in either byte order and either resolution, written little-endian in nanoseconds."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ETHERNET", "Capture", "Record", "read", "write"]

#: Link types: Ethernet without FCS, and bare IP whose version stands in the first nibble.
ETHERNET = 1
RAW = 101
IPV4 = 228
IPV6 = 229

_MAGIC_US = 0xA1B2C3D4
_MAGIC_NS = 0xA1B23C4D
_MAGIC_PCAPNG = 0x0A0D0D0A
_LINKTYPES = {ETHERNET: "Ethernet", RAW: "raw IP", 12: "raw IP", IPV4: "IPv4", IPV6: "IPv6"}


@dataclass(frozen=True)
class Record:
    """One captured packet: nanoseconds since 1970 and the bytes."""

    time_ns: int
    data: bytes


@dataclass(frozen=True)
class Capture:
    """A whole file: ``linktype`` 1 (Ethernet) or 12, 101, 228, 229 (bare IP), and its records."""

    linktype: int
    records: list[Record]

    @property
    def is_ethernet(self) -> bool:
        return self.linktype == ETHERNET


def read(path: str | Path) -> Capture:
    """Read ``path``; raises ``ValueError`` with the file's name and the offset of what is wrong with it.

    A packet that the capture cut short is an error: what is missing can not be protected.
    """
    path = Path(path)
    data = path.read_bytes()

    def fail(offset: int, text: str) -> ValueError:
        return ValueError(f"{path}: offset {offset}: {text}")

    if len(data) < 24:
        raise fail(0, f"a pcap file starts with a header of 24 bytes, not {len(data)}")
    for order in "<>":
        (magic,) = struct.unpack_from(order + "I", data)
        if magic in (_MAGIC_US, _MAGIC_NS):
            break
    else:
        if magic == _MAGIC_PCAPNG:
            raise fail(0, "this is pcapng; only classic pcap is read (tshark -F pcap -r IN -w OUT converts it)")
        raise fail(0, f"magic must be a1b2c3d4 or a1b23c4d in either byte order, not {data[:4].hex()}")
    scale = 1 if magic == _MAGIC_NS else 1000
    major, minor, network = struct.unpack_from(order + "4xHH12xI", data, 0)
    if major != 2:
        raise fail(4, f"version must be 2.x, not {major}.{minor}")
    # The upper half tells the length of an FCS, when bit 26 is set.
    linktype, fcs = network & 0xFFFF, 2 * (network >> 28) if network & 1 << 26 else 0
    if linktype not in _LINKTYPES:
        allowed = ", ".join(f"{number} ({name})" for number, name in _LINKTYPES.items())
        raise fail(20, f"link type must be one of {allowed}, not {linktype}")
    records = []
    offset = 24
    while offset < len(data):
        if offset + 16 > len(data):
            raise fail(offset, f"a record header needs 16 bytes, {len(data) - offset} are left")
        seconds, fraction, captured, original = struct.unpack_from(order + "4I", data, offset)
        if captured != original:
            raise fail(offset + 8, f"the packet was cut to {captured} of {original} bytes")
        if offset + 16 + captured > len(data):
            raise fail(offset + 8, f"the packet needs {captured} bytes, {len(data) - offset - 16} are left")
        if captured < fcs:
            raise fail(offset + 8, f"the packet holds {captured} bytes, less than its FCS of {fcs}")
        payload = data[offset + 16 : offset + 16 + captured - fcs]
        records.append(Record(seconds * 1_000_000_000 + fraction * scale, payload))
        offset += 16 + captured
    return Capture(linktype, records)


def write(path: str | Path, packets: Iterable[Record | bytes], linktype: int = ETHERNET) -> int:
    """Write ``packets`` to ``path`` and return their number; bytes without a time are stamped 1 us apart from 0."""
    chunks = [struct.pack("<IHHiIII", _MAGIC_NS, 2, 4, 0, 0, 0x40000, linktype)]
    for n, packet in enumerate(packets):
        record = packet if isinstance(packet, Record) else Record(n * 1000, bytes(packet))
        seconds, nanoseconds = divmod(record.time_ns, 1_000_000_000)
        chunks.append(struct.pack("<IIII", seconds, nanoseconds, len(record.data), len(record.data)) + record.data)
    Path(path).write_bytes(b"".join(chunks))
    return len(chunks) - 1
