# SPDX-License-Identifier: Apache-2.0
"""Capture files: both byte orders, both resolutions, every link type, and what is wrong with a broken one."""

import io
import struct

import dpkt
import pytest
from nicsec_sim import pcap


def header(order="<", magic=0xA1B2C3D4, linktype=1, major=2):
    return struct.pack(order + "IHHiIII", magic, major, 4, 0, 0, 65535, linktype)


def record(data, order="<", seconds=1, fraction=2, original=None):
    return struct.pack(order + "4I", seconds, fraction, len(data), len(data) if original is None else original) + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "scale"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
@pytest.mark.parametrize("linktype", [1, 12, 101, 228, 229])
def test_read(tmp_path, order, magic, scale, linktype):
    path = tmp_path / "in.pcap"
    path.write_bytes(header(order, magic, linktype) + record(b"one", order) + record(b"", order, 7, 8))
    capture = pcap.read(path)
    assert capture.linktype == linktype
    assert capture.is_ethernet == (linktype == 1)
    assert capture.records == [pcap.Record(10**9 + 2 * scale, b"one"), pcap.Record(7 * 10**9 + 8 * scale, b"")]


def test_fcs_is_cut_off(tmp_path):
    path = tmp_path / "in.pcap"
    path.write_bytes(header(linktype=1 | 1 << 26 | 2 << 28) + record(b"frameFCS!"))
    assert pcap.read(path).records[0].data == b"frame"


def test_round_trip(tmp_path):
    path = tmp_path / "out.pcap"
    records = [pcap.Record(1_700_000_000_123_456_789, bytes(60)), b"second"]
    assert pcap.write(path, records, pcap.RAW) == 2
    capture = pcap.read(path)
    assert capture.linktype == pcap.RAW
    assert capture.records == [records[0], pcap.Record(1000, b"second")]


def test_a_third_party_reads_what_was_written(tmp_path):
    path = tmp_path / "out.pcap"
    pcap.write(path, [pcap.Record(5 * 10**9 + 250_000_000, b"first"), pcap.Record(6 * 10**9, b"second")])
    reader = dpkt.pcap.Reader(io.BytesIO(path.read_bytes()))
    assert reader.datalink() == 1
    assert [(float(time), data) for time, data in reader] == [(5.25, b"first"), (6.0, b"second")]


def test_a_third_partys_file_is_read(tmp_path):
    path = tmp_path / "in.pcap"
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=dpkt.pcap.DLT_EN10MB)
        writer.writepkt(b"packet", ts=3.5)
    assert pcap.read(path).records == [pcap.Record(3_500_000_000, b"packet")]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "offset 0: a pcap file starts with a header of 24 bytes, not 0"),
        (bytes(24), "offset 0: magic must be a1b2c3d4 or a1b23c4d in either byte order, not 00000000"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "offset 0: this is pcapng; only classic pcap is read"),
        (header(major=3), "offset 4: version must be 2.x, not 3.4"),
        (header(linktype=105), "offset 20: link type must be one of 1 (Ethernet), 101"),
        (header() + record(b"abc") + bytes(15), "offset 43: a record header needs 16 bytes, 15 are left"),
        (header() + record(b"abc", original=9), "offset 32: the packet was cut to 3 of 9 bytes"),
        (header() + record(b"abc")[:-1], "offset 32: the packet needs 3 bytes, 2 are left"),
    ],
)
def test_broken_files(tmp_path, data, text):
    path = tmp_path / "broken.pcap"
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        pcap.read(path)
    assert str(caught.value).startswith(f"{path}: {text}")
