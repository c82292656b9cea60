# SPDX-License-Identifier: Apache-2.0
"""The miniport against the golden model behind the engine's registers: every byte it writes there is decoded."""

from dataclasses import replace

import pytest
from model.ndis_helpers import INNER, TUNNEL, ah, gcm, golden, send, started
from nicsec_sim.hoststack import ethernet, frame
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.model.status import Status
from nicsec_sim.ndis import (
    ChecksumInfo,
    Completion,
    Descriptor,
    Feature,
    Info,
    LsoInfo,
    Miniport,
    ModelLink,
    NdisStatus,
    ProtocolError,
    Reg,
    SaError,
    SaResult,
    drive,
    make_nbl,
)
from nicsec_sim.ndis.registers import op_words
from nicsec_sim.plain import ipv4, ipv6, tcp, udp


def test_initialize_reads_the_build():
    async def body():
        miniport = await started(encr=("null", "aes-gcm"), auth=("hmac-sha1-96",), max_frame=1518, sa_slots=16,
                                 lacking=("csum_l4",))
        caps = miniport.capabilities
        assert (caps.encr, caps.auth) == ({"null", "aes-gcm"}, {"hmac-sha1-96"})
        assert (caps.max_frame, caps.sa_slots, caps.lanes) == (1518, 16, 1)
        assert Feature.CSUM_L4 not in caps.features
        assert Feature.CSUM_IP in caps.features
        assert miniport.link.engine.enabled
        await miniport.halt()
        assert not miniport.link.engine.enabled

    drive(body())


def test_initialize_refuses_another_device():
    class Other(ModelLink):
        async def read(self, offset):
            return 0x1234 if offset == Reg.ID else await super().read(offset)

    with pytest.raises(ProtocolError, match=r"^ID must be 0x4e494353, not 0x00001234$"):
        drive(Miniport(Other()).initialize())


def test_initialize_empties_a_staging_window():
    async def body():
        link = ModelLink()
        await link.write(Reg.SA_OP1, 3)
        miniport = Miniport(link)
        await miniport.initialize()
        # Left over, the second op would have made this an invalid bundle.
        await miniport.add_sa(gcm())

    drive(body())


#: One bundle of every suite; long HMAC keys, odd salts and late counters included.
SUITES = [
    *(gcm(icv_len=icv, encr_key=bytes(range(size))) for icv in (8, 12, 16) for size in (16, 24, 32)),
    gcm(encr_alg="aes-gmac"),
    gcm(encr_alg="chacha20-poly1305", encr_key=bytes(range(32))),
    gcm(encr_alg="aes-ccm", salt=b"abc", icv_len=12),
    gcm(iv_init=2**63 + 5, esn=True, esn_high=7),
    *(
        gcm(encr_alg=encr, encr_key=bytes(range(1, 1 + size)) or None, salt=b"salt" if encr == "aes-ctr" else None,
            auth_alg=auth, auth_key=bytes(range(length)), icv_len=icv)
        for encr, size in (("null", 0), ("aes-cbc", 24), ("aes-ctr", 32), ("des-cbc", 8), ("3des-cbc", 24))
        for auth, length, icv in (("hmac-md5-96", 16, 12), ("hmac-sha1-96", 100, 12), ("hmac-sha256-128", 64, 16),
                                  ("hmac-sha384-192", 129, 24), ("hmac-sha512-256", 128, 32), ("aes-xcbc-96", 16, 12),
                                  ("aes-cmac-96", 16, 12))
    ),
    Bundle("transport", (Op(protocol="ah", spi=9, auth_alg="aes-gmac", auth_key=bytes(range(24)), salt=b"gmac",
                            icv_len=16),)),
    Bundle("transport", (*gcm().ops, *ah(esn=True, esn_high=3).ops)),
]


@pytest.mark.parametrize("bundle", SUITES, ids=lambda bundle: "+".join(
    f"{op.encr_alg or ''}{op.auth_alg or ''}{op.icv_len}" for op in bundle.ops))
@pytest.mark.parametrize("iv", ["frame", "generate"])
def test_every_suite_survives_the_window(bundle, iv):
    bundle = Bundle(bundle.mode, tuple(replace(op, iv=iv, iv_init=None) for op in bundle.ops))
    data = frame(INNER, bundle)

    async def body():
        miniport = await started()
        handle = await miniport.add_sa(bundle)
        nbl = await send(miniport, [data], (handle, 0))
        assert nbl.Status is NdisStatus.SUCCESS
        assert nbl.NetBuffers[0].result.frame == golden(bundle, data).frame != data

    drive(body())


def test_window_layout():
    """Words against docs/design.md section 6, counted by hand."""
    op = Op(protocol="esp", spi=0xAABBCCDD, encr_alg="aes-gcm", encr_key=bytes(range(32)), salt=b"\x11\x22\x33\x44",
            icv_len=12, esn=True, esn_high=5, iv_init=0x0123456789ABCDEF, udp_encap=True)
    words = op_words(op, tunnel=True)
    assert words[0] == 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 2 << 6 | 2 << 8 | 3 << 16
    assert [words[at] for at in (4, 8, 0xC, 0x10, 0x14)] == [0xAABBCCDD, 0x11223344, 5, 0x89ABCDEF, 0x01234567]
    assert (words[0x20], words[0x3C]) == (0x00010203, 0x1C1D1E1F)
    op = Op(protocol="ah", spi=1, auth_alg="hmac-sha384-192", auth_key=bytes(range(1, 49)), icv_len=24)
    words = op_words(op, tunnel=False)
    assert words[0] == 1 | 1 << 1 | 3 << 12 | 6 << 16
    assert (words[0x40], words[0x6C], words[0x70], words[0xBC]) == (0x01020304, 0x2D2E2F30, 0, 0)
    assert max(words) == 0xBC


def test_descriptor_and_completion_layout():
    descriptor = Descriptor(0x1234, 0xAAAA0001, 0xBBBB0002, None, 0xCCCCCCCC, csum_l4=True, csum_udp=True,
                            csum_start=0x1122, csum_offset=0x3344, cookie=0x0102030405060708)
    bits = int.from_bytes(descriptor.pack(), "little")
    assert bits == (0x1234 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21 | 1 << 23 | 0xAAAA0001 << 32 | 0xBBBB0002 << 64
                    | 0x1122 << 96 | 0x3344 << 112 | 0xCCCCCCCC << 160 | 0x0102030405060708 << 192)
    assert Descriptor.unpack(descriptor.pack()) == descriptor
    assert Descriptor.unpack(Descriptor(1, seq_high1=0, csum_ip=True, lso=True).pack()).seq_high1 == 0
    completion = Completion(7, 1500, Status.SPI_MISMATCH)
    assert int.from_bytes(completion.pack(), "little") == 7 | 1500 << 64 | 9 << 80
    assert Completion.unpack(completion.pack()) == completion
    with pytest.raises(ValueError, match="the last five 0"):
        Completion.unpack(completion.pack()[:15] + b"\1")


def test_nested_and_bypass():
    inner, outer = gcm(0x11), gcm(0x12, "tunnel")
    data = frame(INNER, inner, outer, framing2=TUNNEL)

    async def body():
        miniport = await started()
        handles = [await miniport.add_sa(bundle) for bundle in (inner, outer)]
        nbl = await send(miniport, [data], handles)
        assert nbl.NetBuffers[0].result.frame == golden(inner, data, outer).frame
        nbl = await send(miniport, [data])
        assert nbl.NetBuffers[0].result.frame == data
        # One handle names the outermost IPsec headers, in whichever place it comes.
        one = frame(INNER, gcm(0x12, "tunnel"), framing1=TUNNEL)
        assert (await send(miniport, [one], (0, handles[1]))).Status is NdisStatus.SUCCESS

    drive(body())


def test_partial_failure_folds_and_order_is_kept():
    bundle = gcm()
    good = frame(INNER, bundle)
    wrong = frame(INNER, gcm(0x999))
    long = ethernet(bytes(3000))

    async def body():
        miniport = await started(max_frame=2000)
        handle = await miniport.add_sa(bundle)
        lists = [make_nbl(frames, (handle, 0)) for frames in ([good, wrong, good], [good, good], [long, good], [long])]
        await miniport.send_net_buffer_lists(lists)
        assert {nbl.Status for nbl in lists} == {NdisStatus.PENDING}
        assert await miniport.flush() == lists
        miniport.assert_idle()
        assert [nbl.Status.name for nbl in lists] == ["FAILURE", "SUCCESS", "INVALID_LENGTH", "INVALID_LENGTH"]
        assert [buffer.result.status.text for buffer in lists[0]] == ["success", "spi_mismatch", "success"]
        assert lists[0].NetBuffers[1].result.frame is None
        counters = await miniport.counters()
        assert (counters["packets_in"], counters["packets_out"], counters["spi_mismatch"]) == (8, 5, 1)
        with pytest.raises(RuntimeError, match="no net buffer list is in flight"):
            await miniport.send_net_buffer_lists_complete()

    drive(body())


def test_what_the_driver_keeps_back():
    async def body():
        miniport = await started()
        for nbl, status in (
            (make_nbl([b""]), "FAILURE"),
            (make_nbl([bytes(65536)]), "INVALID_LENGTH"),
            (make_nbl([bytes(60)], (1 << 32, 0)), "FAILURE"),
        ):
            await miniport.send_net_buffer_lists([nbl, after := make_nbl([bytes(60)])])
            assert await miniport.flush() == [nbl, after]
            assert (nbl.Status.name, after.Status.name) == (status, "SUCCESS")
        nbl = make_nbl([bytes(60)])
        nbl.NetBuffers[0].DataLength = 61
        await miniport.send_net_buffer_lists([nbl])
        assert (await miniport.send_net_buffer_lists_complete()).Status is NdisStatus.FAILURE
        assert (await miniport.counters())["packets_in"] == 3

    drive(body())


def test_handles_off_and_stale():
    bundle = gcm(iv="frame")
    data = frame(INNER, bundle)

    async def body():
        miniport = await started()
        handle = await miniport.add_sa(bundle)
        await miniport.enable(False)
        assert (await send(miniport, [data], (handle, 0))).NetBuffers[0].result.status is Status.DISABLED
        await miniport.enable()
        assert (await send(miniport, [data], (handle, 0))).Status is NdisStatus.SUCCESS
        await miniport.delete_sa(handle)
        again = await miniport.add_sa(bundle)
        assert again != handle
        assert again & 0xFFFF == handle & 0xFFFF
        for bad in (handle, 0xFFFF0003):
            nbl = await send(miniport, [data], (bad, 0))
            assert (nbl.Status, nbl.NetBuffers[0].result.status) == (NdisStatus.FAILURE, Status.BAD_HANDLE)
        with pytest.raises(SaError) as caught:
            await miniport.delete_sa(handle)
        assert caught.value.result is SaResult.BAD_HANDLE

    drive(body())


def test_table_full_and_unsupported():
    async def body():
        miniport = await started(encr=("aes-gcm",), auth=(), sa_slots=4)
        for _ in range(4):
            await miniport.add_sa(gcm())
        for bundle, result in ((gcm(), SaResult.FULL), (ah(), SaResult.UNSUPPORTED)):
            with pytest.raises(SaError) as caught:
                await miniport.add_sa(bundle)
            assert caught.value.result is result

    drive(body())


def test_checksum_requests():
    plain = ipv4("10.0.0.1", "10.0.0.2", 6, tcp("10.0.0.1", "10.0.0.2", 1, 2, b"x" * 33, seed=True))
    done = ipv4("10.0.0.1", "10.0.0.2", 6, tcp("10.0.0.1", "10.0.0.2", 1, 2, b"x" * 33))
    plain6 = ipv6("2001:db8::1", "2001:db8::2", 17, udp("2001:db8::1", "2001:db8::2", 1, 2, b"y" * 9, seed=True))
    done6 = ipv6("2001:db8::1", "2001:db8::2", 17, udp("2001:db8::1", "2001:db8::2", 1, 2, b"y" * 9))
    outer, inner = gcm(1, "tunnel"), gcm(2)

    async def body():
        miniport = await started()
        handles = [await miniport.add_sa(bundle) for bundle in (inner, outer)]
        for packet, right, info in (
            (plain, done, ChecksumInfo(IsIPv4=True, TcpChecksum=True, IpHeaderChecksum=True)),
            (plain6, done6, ChecksumInfo(IsIPv6=True, UdpChecksum=True)),
        ):
            nbl = make_nbl([frame(packet)])
            nbl.NetBufferListInfo[Info.TcpIpChecksumNetBufferListInfo] = info
            await miniport.send_net_buffer_lists([nbl])
            await miniport.flush()
            assert nbl.NetBuffers[0].result.frame == frame(right)
            # Through both levels of ESP, the driver finds UDP by itself.
            nbl = make_nbl([frame(packet, inner, outer, framing2=TUNNEL)], handles)
            nbl.NetBufferListInfo[Info.TcpIpChecksumNetBufferListInfo] = info
            await miniport.send_net_buffer_lists([nbl])
            await miniport.flush()
            n = 1 if packet is plain else 2
            sas = [Bundle(b.mode, (replace(b.ops[0], iv_init=n),)) for b in (inner, outer)]
            expected = golden(sas[0], frame(right, inner, outer, framing2=TUNNEL), sas[1]).frame
            assert nbl.NetBuffers[0].result.frame == expected

    drive(body())


def test_lso_is_refused():
    async def body():
        miniport = await started()
        handle = await miniport.add_sa(gcm())
        nbl = make_nbl([frame(INNER, gcm())], (handle, 0))
        nbl.NetBufferListInfo[Info.TcpLargeSendNetBufferListInfo] = LsoInfo(1460)
        await miniport.send_net_buffer_lists([nbl])
        await miniport.flush()
        assert (nbl.Status, nbl.NetBuffers[0].result.status) == (NdisStatus.FAILURE, Status.UNSUPPORTED)

    drive(body())


class Faulty(ModelLink):
    """Breaks the engine's contract once ``fault`` is set."""

    fault = ""

    async def completion(self):
        data = await super().completion()
        if self.fault == "cookie":
            return Completion(99, 60, Status.SUCCESS).pack()
        if self.fault == "reserved":
            return data[:-1] + b"\1"
        if self.fault == "lost":
            return await super().completion()
        return data

    async def frame(self):
        data, _ = await super().frame()
        return data[: 59 if self.fault == "cut" else 60], self.fault == "bad"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("cookie", "completion of cookie 99, expected 1"),
        ("reserved", "the last five 0"),
        ("lost", "completion of cookie 2, expected 1"),
        ("cut", "60 in, 59 out, 60 completed"),
        ("bad", "came out marked bad"),
    ],
)
def test_broken_contracts_are_noticed(fault, text):
    async def body():
        miniport = Miniport(Faulty())
        await miniport.initialize()
        miniport.link.fault = fault
        await miniport.send_net_buffer_lists([make_nbl([bytes(60)]), make_nbl([bytes(60)])])
        with pytest.raises(ProtocolError, match=text):
            await miniport.flush()

    drive(body())


def test_leftovers_are_noticed():
    async def body():
        miniport = await started()
        miniport.link.frames.append(b"secret")
        with pytest.raises(AssertionError, match="1 frames are left over"):
            miniport.assert_idle()
        miniport.link.frames.clear()
        miniport.link.completions.append(bytes(16))
        with pytest.raises(AssertionError, match="1 completions are left over"):
            miniport.assert_idle()

    drive(body())
