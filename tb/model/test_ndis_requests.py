# SPDX-License-Identifier: Apache-2.0
"""Requests by OID, versions 1 and 2: what they add is what protects the packets that name it."""

from dataclasses import replace

import pytest
from model.ndis_helpers import INNER, TUNNEL, ah, gcm, golden, send, started
from nicsec_sim.hoststack import frame
from nicsec_sim.model.sa import Bundle
from nicsec_sim.ndis import Info, Miniport, ModelLink, NdisStatus, Oid, drive, make_nbl, v1, v2


@pytest.mark.parametrize("bits", [32, 64])
def test_v1_requests(bits):
    key = bytes(range(20))
    null = v1.AddSa((v1.SecAssoc(2, 0x55, v1.AlgoInfo(2, 20)),), key)

    async def body():
        miniport = Miniport(ModelLink(encr=("null",), auth=("hmac-sha1-96",), sa_slots=2), bits=bits)
        await miniport.initialize()
        request = null.pack(bits)
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_SA, request) is NdisStatus.SUCCESS
        handle = v1.get_handle(request, bits)
        data = frame(INNER, null.bundle())
        nbl = await send(miniport, [data], (handle, 0))
        assert nbl.NetBuffers[0].result.frame == golden(null.bundle(), data).frame
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_SA, null.pack(bits)) is NdisStatus.SUCCESS
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_SA, null.pack(bits)) is NdisStatus.RESOURCES
        delete = v1.pack_delete(handle, bits=bits)
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_DELETE_SA, delete) is NdisStatus.SUCCESS
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_DELETE_SA, delete) is NdisStatus.INVALID_PARAMETER
        des = v1.AddSa((v1.SecAssoc(2, 1, v1.AlgoInfo(2, 20), v1.AlgoInfo(1, 8)),), bytes(28)).pack(bits)
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_SA, des) is NdisStatus.NOT_SUPPORTED
        assert "unsupported" in miniport.refusal
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_SA, des[:50]) is NdisStatus.BUFFER_TOO_SHORT
        assert await miniport.oid_request(0xFC010299, des) is NdisStatus.INVALID_OID
        assert "0xfc010299" in miniport.refusal

        udpesp = v1.AddSa((v1.SecAssoc(2, 0x56, v1.AlgoInfo(2, 20)),), key, UdpEncapType=1)
        request = udpesp.pack(bits)
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_ADD_UDPESP_SA, request) is NdisStatus.SUCCESS
        handle = v1.get_handle(request, bits)
        data = frame(INNER, udpesp.bundle())
        assert data[23] == 17
        assert (await send(miniport, [data], (handle, 0))).Status is NdisStatus.SUCCESS
        delete = v1.pack_delete(handle, 0, bits=bits)
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_DELETE_UDPESP_SA, delete) is NdisStatus.SUCCESS
        assert len([slot for slot in miniport.link.slots if slot is None]) == 1

    drive(body())


def v2_gcm(spi, esn=False):
    info = v2.AlgorithmInfo(v2.Encr.GCM_128, 20, 0, 16)
    association = v2.SecAssoc(2, spi, EncryptionAlgorithm=info, Flags=int(esn))
    return v2.AddSa((association,), bytes(range(spi % 9, 20 + spi % 9)))


async def v2_add(miniport, request, extended=False):
    buffer = replace(request, extended=extended).pack(miniport.bits)
    oid = Oid.TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA_EX if extended else Oid.TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA
    status = await miniport.oid_request(oid, buffer)
    assert status is NdisStatus.SUCCESS, miniport.refusal
    return v2.get_handle(buffer, extended=extended, bits=miniport.bits)


@pytest.mark.parametrize("extended", [False, True])
def test_v2_handle_becomes_a_tunnels_in_its_slot(extended):
    inner, outer = v2_gcm(0x71), v2_gcm(0x72)
    outer_bundle = Bundle("tunnel", outer.bundle().ops)
    alone = frame(INNER, outer_bundle, framing1=TUNNEL)
    nested = frame(INNER, inner.bundle(), outer_bundle, framing2=TUNNEL)

    async def body():
        miniport = await started()
        handles = [await v2_add(miniport, request, extended) for request in (inner, outer)]
        # The tunnel's SA alone, in the first slot; then around another, in its own.
        first = await send(miniport, [alone, alone], (handles[1], 0))
        assert first.Status is NdisStatus.SUCCESS
        nbl = make_nbl([nested])
        nbl.NetBufferListInfo[Info.IPsecOffloadV1NetBufferListInfo] = handles[0]
        nbl.NetBufferListInfo[Info.IPsecOffloadV2TunnelNetBufferListInfo] = handles[1]
        await miniport.send_net_buffer_lists([nbl])
        await miniport.flush()
        result = nbl.NetBuffers[0].result
        # Its IV counter goes on where it stood.
        shifted = Bundle("tunnel", (replace(outer_bundle.ops[0], iv_init=3),))
        assert result.frame == golden(inner.bundle(), nested, shifted).frame
        assert (await send(miniport, [alone], (handles[1], 0))).Status is NdisStatus.SUCCESS
        for handle in handles:
            delete = v2.DeleteSa(handle).pack()
            assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA, delete) is NdisStatus.SUCCESS
        assert not any(miniport.link.slots)

    drive(body())


def test_v2_lists_succeed_if_any_entry_does():
    async def body():
        miniport = await started(encr=("aes-gcm",), auth=(), sa_slots=2)
        bad = v2.AddSa((v2.SecAssoc(1, 1, v2.AlgorithmInfo(2, 20)),), bytes(20))
        requests, buffer, bases = [bad, v2_gcm(1), v2_gcm(2), v2_gcm(3)], bytearray(), []
        for n, request in enumerate(requests):
            bases.append(len(buffer))
            data = request.pack()
            data += bytes(-len(data) % 8)
            if n + 1 < len(requests):
                data[8:16] = (len(buffer) + len(data)).to_bytes(8, "little")
            buffer += data
        add = Oid.TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA
        assert await miniport.oid_request(add, buffer) is NdisStatus.SUCCESS
        handles = [v2.get_handle(buffer, base=base) for base in bases]
        assert [bool(handle) for handle in handles] == [False, True, True, False]
        assert await miniport.oid_request(add, bad.pack()) is NdisStatus.NOT_SUPPORTED
        assert await miniport.oid_request(add, v2_gcm(4).pack()) is NdisStatus.RESOURCES
        loop = replace(v2_gcm(4), Next=0).pack()
        loop[8] = 1
        assert await miniport.oid_request(add, loop) is not NdisStatus.SUCCESS
        first = v2.DeleteSa(handles[1], v2.layout("DELETE_SA")["end"]).pack() + v2.DeleteSa(handles[2]).pack()
        assert await miniport.oid_request(Oid.TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA, first) is NdisStatus.SUCCESS
        assert not any(miniport.link.slots)

    drive(body())


def test_v2_update_moves_the_high_half():
    request = v2_gcm(0x81, esn=True)
    data = frame(INNER, request.bundle())
    update = Oid.TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA

    async def body():
        miniport = await started()
        handle = await v2_add(miniport, request)
        for spi, operation, status in ((0x82, 2, "INVALID_PARAMETER"), (0x81, 1, "INVALID_PARAMETER"),
                                       (0x81, 2, "SUCCESS")):
            buffer = v2.UpdateSa(handle, operation, spi, 6).pack()
            assert await miniport.oid_request(update, buffer) is NdisStatus[status]
        assert await miniport.oid_request(update, v2.UpdateSa(0x99, 2, 1, 6).pack()) is NdisStatus.INVALID_PARAMETER
        nbl = await send(miniport, [data], (handle, 0))
        assert nbl.NetBuffers[0].result.frame == golden(request.bundle(), data, esn_high1=6).frame
        assert nbl.NetBuffers[0].result.frame != golden(request.bundle(), data).frame

    drive(body())


def test_update_of_one_of_two_operations():
    """Each has its own high half in the engine, so a packet between two updates goes with one of each."""
    bundle = Bundle("transport", (*gcm(5, esn=True, esn_high=1).ops, *ah(6, esn=True, esn_high=1).ops))
    data = frame(INNER, bundle)

    def with_highs(esp, ah_):
        ops = (replace(bundle.ops[0], esn_high=esp), replace(bundle.ops[1], esn_high=ah_))
        return Bundle("transport", ops)

    async def body():
        miniport = await started()
        handle = await miniport.add_sa(bundle)
        for n, (change, highs) in enumerate(((None, (1, 1)), (("esp", 5, 2), (2, 1)), (("ah", 6, 3), (2, 3)))):
            if change is not None:
                await miniport.update_sa(handle, *change)
            now = with_highs(*highs)
            now = Bundle("transport", (replace(now.ops[0], iv_init=1 + n), now.ops[1]))
            nbl = await send(miniport, [data], (handle, 0))
            assert nbl.NetBuffers[0].result.frame == golden(now, data).frame

    drive(body())


@pytest.mark.parametrize("bits", [32, 64])
def test_v2_update_is_refused(bits):
    """INVALID_PARAMETER for an SA that is not there, and for an op that is not there or has no ESN."""
    bundle = Bundle("transport", (*gcm(5, esn=True).ops, *ah(6).ops))
    update = Oid.TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA

    async def body():
        miniport = Miniport(ModelLink(), bits=bits)
        await miniport.initialize()
        gone, handle = [await miniport.add_sa(bundle) for _ in range(2)]
        await miniport.delete_sa(gone)
        for target, operation, spi, text in (
            (gone, 2, 5, "no SA under handle"), (0, 2, 5, "no SA under handle"), (handle, 1, 6, "no ah with SPI 0x6"),
            (handle, 2, 6, "no esp with SPI 0x6"), (handle, 3, 5, "no operation 3"),
        ):
            status = await miniport.oid_request(update, v2.UpdateSa(target, operation, spi, 9).pack(bits))
            assert status is NdisStatus.INVALID_PARAMETER
            assert text in miniport.refusal
        assert await miniport.oid_request(update, v2.UpdateSa(handle, 2, 5, 9).pack(bits)) is NdisStatus.SUCCESS
        assert miniport.link.slots[handle & 0xFFFF].highs == [9, 0]

    drive(body())
