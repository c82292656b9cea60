# SPDX-License-Identifier: Apache-2.0
"""The driver's side of lifetimes: limits at add and after, queries, the SA event interrupt, and SAs that move slots."""

from dataclasses import replace

import pytest
from model.ndis_helpers import INNER, TUNNEL, ah, gcm, send, started
from nicsec_sim.hoststack import Framing, frame
from nicsec_sim.model.sa import Bundle, Limits
from nicsec_sim.model.status import Status
from nicsec_sim.ndis import Feature, Info, Miniport, ModelLink, SaError, SaResult, drive, make_nbl
from nicsec_sim.ndis.device import SaCounts, SaEvent
from nicsec_sim.ndis.registers import EventKind, Irq, Reg, limit_words, update_writes
from nicsec_sim.ndis.standing import Standing, frame_ivs, resumed


def limited(spi=0x101, **limits):
    return replace(gcm(spi), limits=Limits(**limits))


def test_window_layout():
    limits = Limits(soft_packets=1, hard_packets=2**48 - 1, soft_bytes=3 << 32 | 4, hard_bytes=5)
    assert limit_words(limits) == {
        0xC0: 1, 0xC4: 0, 0xC8: 0xFFFFFFFF, 0xCC: 0xFFFF, 0xD0: 4, 0xD4: 3, 0xD8: 5, 0xDC: 0,
    }
    assert dict(update_writes([None, 9], None)) == {0x300: 1, 0x30C: 9}
    assert dict(update_writes([7], Limits(hard_bytes=6))) == {0x200: 1 | 1 << 31, 0x20C: 7, 0x2D8: 6}
    # A high half of 0 is one too.
    assert dict(update_writes([0], None)) == {0x200: 1}
    assert dict(update_writes([], Limits())) == {0x200: 1 << 31}


def test_counts_and_events():
    bundles = [limited(1, soft_packets=1, hard_packets=2), gcm(2)]
    frames = [frame(INNER, bundle) for bundle in bundles]
    seen = []

    async def body():
        miniport = Miniport(ModelLink(), on_event=seen.append)
        await miniport.initialize()
        link = miniport.link
        handles = [await miniport.add_sa(bundle) for bundle in bundles]
        assert await link.read(Reg.IRQ_MASK) == Irq.SA_EVENT
        assert not link.irq
        for handle, data in zip(handles, frames, strict=True):
            nbl = await send(miniport, [data] * 4, (handle, 0))
        assert link.irq
        assert [buffer.result.status for buffer in nbl] == [Status.SUCCESS] * 4
        events = [SaEvent(handles[0], EventKind.SOFT_PACKETS), SaEvent(handles[0], EventKind.HARD_PACKETS)]
        assert await miniport.service_interrupt() == events == seen
        assert not link.irq
        assert await miniport.service_interrupt() == []
        assert await miniport.query_sa(handles[0]) == SaCounts(2, 2 * len(frames[0]), 0)
        assert await miniport.query_sa(handles[1]) == SaCounts(4, 4 * len(frames[1]), 0)
        with pytest.raises(KeyError, match="no SA under handle 0x99"):
            await miniport.query_sa(0x99)
        with pytest.raises(SaError, match="refused: bad_handle"):
            await miniport.device.query(handles[0] ^ 0x10000)

    drive(body())


def test_limits_can_be_moved():
    bundle = limited(hard_packets=1)
    data = frame(INNER, bundle)

    async def body():
        miniport = await started()
        handle = await miniport.add_sa(bundle)

        async def status():
            return (await send(miniport, [data], (handle, 0))).NetBuffers[0].result.status

        assert [await status() for _ in range(2)] == [Status.SUCCESS, Status.LIFETIME_EXPIRED]
        await miniport.set_limits(handle, Limits(hard_packets=2, soft_bytes=1))
        assert [await status() for _ in range(2)] == [Status.SUCCESS, Status.LIFETIME_EXPIRED]
        await miniport.set_limits(handle, Limits())
        assert [await status() for _ in range(2)] == [Status.SUCCESS, Status.SUCCESS]
        kinds = [event.kinds for event in await miniport.service_interrupt()]
        assert kinds == [EventKind.HARD_PACKETS, EventKind.SOFT_BYTES | EventKind.HARD_PACKETS]

    drive(body())


def test_lost_events_are_told():
    async def body():
        miniport = await started(event_depth=2)
        handles = [await miniport.add_sa(limited(n, soft_packets=1)) for n in range(1, 5)]
        for n, handle in enumerate(handles, 1):
            await send(miniport, [frame(INNER, gcm(n))], (handle, 0))
        first, second = await miniport.service_interrupt()
        assert (first.handle, first.lost) == (handles[0], True)
        assert (second.handle, second.lost) == (handles[1], False)

    drive(body())


def test_a_build_without_lifetimes():
    async def body():
        miniport = await started(lacking=["lifetime"])
        assert Feature.LIFETIME not in miniport.capabilities.features
        assert await miniport.link.read(Reg.IRQ_MASK) == 0
        with pytest.raises(SaError) as caught:
            await miniport.add_sa(limited(soft_bytes=1))
        assert caught.value.result is SaResult.UNSUPPORTED
        handle = await miniport.add_sa(gcm(esn=True))
        for request in (miniport.query_sa(handle), miniport.set_limits(handle, Limits(hard_packets=1))):
            with pytest.raises(SaError, match="refused: unsupported"):
                await request
        await miniport.update_sa(handle, "esp", 0x101, 5)
        assert miniport.link.slots[handle & 0xFFFF].highs == [5]

    drive(body())


def test_a_tunnels_sa_keeps_its_counts_limits_and_lowest_iv():
    """What moves to the second handle's place is added anew; nothing of what it stood at may be lost."""
    inner, outer = gcm(7), replace(gcm(8, "tunnel", iv="frame"), limits=Limits(hard_packets=3, soft_packets=2))
    alone = [frame(INNER, outer, framing1=replace(TUNNEL, seq=seq)) for seq in (5, 6, 6)]
    nested = [frame(INNER, inner, outer, framing2=replace(TUNNEL, seq=seq)) for seq in (6, 7, 8)]

    async def body():
        miniport = await started()
        handles = [await miniport.add_sa(bundle) for bundle in (inner, replace(outer, mode="transport"))]
        handles[1] = await miniport.add_sa(replace(outer, mode="transport"), late_mode=True)
        # The last is not fetched when the SA moves.
        await send(miniport, [alone[0]], (handles[1], 0))
        await miniport.send_net_buffer_lists([make_nbl([alone[1]], (handles[1], 0))])
        statuses = []
        for data in nested:
            nbl = make_nbl([data])
            nbl.NetBufferListInfo[Info.IPsecOffloadV1NetBufferListInfo] = handles[0]
            nbl.NetBufferListInfo[Info.IPsecOffloadV2TunnelNetBufferListInfo] = handles[1]
            await miniport.send_net_buffer_lists([nbl])
            await miniport.flush()
            statuses.append(nbl.NetBuffers[0].result.status)
        assert statuses == [Status.IV_REPEAT, Status.LIFETIME_EXPIRED, Status.LIFETIME_EXPIRED]
        assert await miniport.query_sa(handles[1]) == SaCounts(3, 2 * len(alone[0]) + len(nested[0]), 1)
        assert [event.kinds for event in await miniport.service_interrupt()] == [
            EventKind.SOFT_PACKETS, EventKind.HARD_PACKETS,
        ]

    drive(body())


def test_how_an_sa_goes_on():
    bundle = Bundle("tunnel", (gcm(esn=True).ops[0], ah().ops[0]),
                    Limits(soft_packets=2, hard_packets=9, soft_bytes=100, hard_bytes=300))
    later = resumed(bundle, Standing(SaCounts(4, 99, 1), (17, 1), (3, 0)))
    assert later.limits == Limits(hard_packets=5, soft_bytes=1, hard_bytes=201)
    assert (later.ops[0].iv_init, later.ops[0].esn_high, later.ops[1]) == (17, 3, bundle.ops[1])
    assert resumed(bundle, Standing(SaCounts(9, 99, 1), (17, 1), (3, 0))) is None
    assert resumed(bundle, Standing(SaCounts(4, 300, 1), (17, 1), (3, 0))) is None
    assert resumed(bundle, Standing(SaCounts(4, 99, 1), (2**64, 1), (3, 0))) is None
    assert resumed(bundle, Standing(SaCounts(4, 99, 1), (2**64 - 1, 2**64), (3, 0))).ops[0].iv_init == 2**64 - 1


def test_ivs_of_a_frame():
    inner = Bundle("transport", (gcm(1, iv="frame").ops[0], ah().ops[0]))
    outer = gcm(3, "tunnel", iv="frame")
    data = frame(INNER, inner, outer, framing1=Framing(seq=8), framing2=replace(TUNNEL, seq=9))
    assert frame_ivs(data, [inner, outer]) == [(0, 0, 8), (1, 0, 9)]
    assert frame_ivs(data[:30], [inner, outer]) == []
    assert frame_ivs(data, [gcm(1), gcm(3, "tunnel")]) == []
