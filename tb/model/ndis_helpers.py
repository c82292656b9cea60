# SPDX-License-Identifier: Apache-2.0
"""A started miniport over the golden model, SAs for it, and what should come out."""

from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Op
from nicsec_sim.ndis import Miniport, ModelLink, make_nbl
from nicsec_sim.plain import ipv4, udp

__all__ = ["INNER", "TUNNEL", "ah", "gcm", "golden", "send", "started"]

INNER = ipv4("10.0.0.1", "10.0.0.2", 17, udp("10.0.0.1", "10.0.0.2", 1000, 2000, b"payload" * 9))
TUNNEL = Framing(tunnel=Tunnel(src="192.0.2.1", dst="192.0.2.2"))


def gcm(spi=0x101, mode="transport", **more):
    op = {"encr_alg": "aes-gcm", "encr_key": bytes(range(spi % 7, 16 + spi % 7)), "salt": b"salt", "icv_len": 16} | more
    return Bundle(mode, (Op(protocol="esp", spi=spi, **op),))


def ah(spi=0x201, **more):
    return Bundle("transport", (Op(protocol="ah", spi=spi, auth_alg="hmac-sha1-96", auth_key=b"k" * 20, icv_len=12,
                                   **more),))


async def started(**link):
    miniport = Miniport(ModelLink(**link))
    await miniport.initialize()
    return miniport


async def send(miniport, frames, handles=(0, 0), **fields):
    nbl = make_nbl(frames, handles)
    for name, value in fields.items():
        setattr(nbl, name, value)
    await miniport.send_net_buffer_lists([nbl])
    assert await miniport.send_net_buffer_lists_complete() is nbl
    return nbl


def golden(bundle1, data, bundle2=None, **more):
    engine = Engine()
    sas = [bundle and engine.add_sa(bundle) for bundle in (bundle1, bundle2)]
    return engine.process(data, *sas, **more)
