# SPDX-License-Identifier: Apache-2.0
"""Walking MDL chains, per-packet information, and folding statuses."""

import itertools
import random

import pytest
from nicsec_sim.model.status import Status
from nicsec_sim.ndis import ChecksumInfo, HeaderInfoV2, Info, IpsecInfoV1, Mdl, NdisStatus, NetBuffer, fold, make_nbl
from nicsec_sim.ndis.nbl import NetBufferList, chain


def test_gather_crosses_odd_and_empty_mdls():
    data = bytes(range(200))
    cuts = [0, 0, 1, 3, 3, 14, 14, 14, 17, 80, 199, 200, 200]
    first = chain(data[a:b] for a, b in itertools.pairwise(cuts))
    assert NetBuffer(first, first, 0, 200, 0).gather() == data
    lengths = []
    mdl = first
    while mdl is not None:
        lengths.append(mdl.ByteCount)
        mdl = mdl.Next
    assert lengths.count(0) == 5


def test_gather_starts_inside_and_stops_before_the_end():
    last = Mdl(b"..WORLD!!", 2, 5)
    empty = Mdl(b"xyz", 1, 0, last)
    first = Mdl(b"--hello--", 2, 5, empty)
    assert NetBuffer(first, first, 1, 8, 1).gather() == b"elloWORL"
    assert NetBuffer(first, first, 5, 5, 5).gather() == b"WORLD"
    assert NetBuffer(first, last, 3, 2, 8).gather() == b"LD"
    assert NetBuffer(first, empty, 0, 0, 5).gather() == b""


def test_gather_refuses_what_is_not_there():
    mdl = Mdl(b"0123456789")
    with pytest.raises(ValueError, match=r"^DataLength is 11, the MDLs hold 10 bytes$"):
        NetBuffer(mdl, mdl, 0, 11, 0).gather()
    with pytest.raises(ValueError, match=r"^CurrentMdlOffset must be at most 10, not 11$"):
        NetBuffer(mdl, mdl, 11, 1, 0).gather()
    with pytest.raises(ValueError, match=r"^DataLength is 1, the MDLs hold 0 bytes$"):
        NetBuffer(None, None, 0, 1, 0).gather()
    for offset, count in ((0, 11), (11, 0), (-1, 3)):
        with pytest.raises(ValueError, match=r"must lie within 10 bytes$"):
            Mdl(b"0123456789", offset, count)


def test_make_nbl_keeps_the_frames():
    rng = random.Random(5)
    for _ in range(300):
        frames = [rng.randbytes(rng.randrange(1, 200)) for _ in range(3)]
        cuts = sorted(rng.choices(range(210), k=rng.randrange(6)))
        headroom = rng.randrange(40)
        nbl = make_nbl(frames, cuts=cuts, headroom=headroom)
        assert [buffer.gather() for buffer in nbl] == frames
        assert all(buffer.DataOffset == headroom for buffer in nbl)


def test_handles_of_both_versions():
    nbl = make_nbl([b"x"], (5, 6))
    assert nbl.handles == (5, 6)
    nbl = NetBufferList([])
    assert nbl.handles == (0, 0)
    nbl.NetBufferListInfo[Info.IPsecOffloadV2TunnelNetBufferListInfo] = 9
    assert nbl.handles == (0, 9)
    nbl.NetBufferListInfo[1] = 8
    assert nbl.handles == (8, 9)
    # Version 1's structure has both handles in itself.
    nbl.NetBufferListInfo[1] = IpsecInfoV1(7)
    assert nbl.handles == (7, 0)


def test_slots_and_bits_are_where_ndis_has_them():
    assert [int(slot) for slot in Info] == [0, 1, 2, 11, 12]
    info = ChecksumInfo(IsIPv4=True, TcpChecksum=True, IpHeaderChecksum=True, TcpHeaderOffset=0x3FF)
    assert info.pack() == 0x03FF0015
    assert ChecksumInfo.unpack(info.pack()) == info
    assert ChecksumInfo(IsIPv6=True, UdpChecksum=True).pack() == 0x0000000A
    header = HeaderInfoV2(NextHeader=6, PadLength=2, AhHeaderOffset=20, EspHeaderOffset=1020)
    assert header.pack() == 0xFF050206
    assert HeaderInfoV2.unpack(header.pack()) == header
    with pytest.raises(ValueError, match=r"^AhHeaderOffset must be a multiple of 4 from 0 to 1020, not 18$"):
        HeaderInfoV2(AhHeaderOffset=18).pack()


def test_fold():
    good = Status.SUCCESS
    assert fold([good, good]) is NdisStatus.SUCCESS
    assert fold([good, Status.TOO_LONG]) is NdisStatus.INVALID_LENGTH
    assert fold([Status.TOO_LONG, good, Status.SPI_MISMATCH]) is NdisStatus.FAILURE
    for status in Status:
        if status not in (Status.SUCCESS, Status.TOO_LONG):
            assert fold([good, status, good]) is NdisStatus.FAILURE
