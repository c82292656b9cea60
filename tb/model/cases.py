# SPDX-License-Identifier: Apache-2.0
"""Random SAs and host-framed packets over the whole matrix of suites and shapes; everything follows from a seed."""

import random
from dataclasses import dataclass

from nicsec_sim import hoststack, plain
from nicsec_sim.hoststack import Framing, Tunnel
from nicsec_sim.model.algorithm import AUTHS, ENCRS
from nicsec_sim.model.sa import Bundle, Op

__all__ = ["ADDRESSES", "Case", "ah_op", "esp_op", "packet", "random_bundle", "random_case"]

ADDRESSES = {
    4: (("10.0.0.1", "10.0.0.2"), ("192.0.2.1", "198.51.100.7")),
    6: (("2001:db8::1", "2001:db8::2"), ("fe80::1", "fe80::2:3")),
}
OPTIONS = [b"", b"", b"", bytes.fromhex("94040000"), bytes.fromhex("0107071408") + bytes(16) + b"\x00",
           bytes.fromhex("830b04c0000201c633640700"), bytes.fromhex("44080500deadbeef8604000a01000000")]
EXTENSIONS = [
    (), (), (),
    ((0, bytes.fromhex("0000050200000100")),),
    ((60, bytes.fromhex("00001e040a0b0c0d")), (60, bytes.fromhex("00003e0401020304"))),
    ((0, bytes.fromhex("00003e0401020304")), (43, bytes.fromhex("0002000100000000") + bytes(range(16)))),
]


def auth_key_size(name, rng):
    """A legal key length: the algorithm's, or for HMAC anything, also longer than the hash block."""
    if AUTHS[name].keys:
        return rng.choice(AUTHS[name].keys)
    return rng.choice([16, 20, 32, 48, 64, 100, 150])


def esp_op(rng, encr, auth=None, *, icv_len=None, key_len=None, **fields):
    """An ESP op with random key, salt and SPI."""
    suite = ENCRS[encr]
    if icv_len is None:
        icv_len = rng.choice(suite.icvs) if suite.icvs else rng.choice(AUTHS[auth].icvs) if auth else 0
    return Op(
        protocol="esp",
        spi=rng.randrange(256, 1 << 32),
        encr_alg=encr,
        encr_key=rng.randbytes(key_len or rng.choice(suite.keys)) if suite.keys else None,
        salt=rng.randbytes(suite.salt),
        auth_alg=auth,
        auth_key=rng.randbytes(auth_key_size(auth, rng)) if auth else None,
        icv_len=icv_len,
        **fields,
    )


def ah_op(rng, auth, **fields):
    """An AH op with random key, salt and SPI."""
    return Op(
        protocol="ah",
        spi=rng.randrange(256, 1 << 32),
        auth_alg=auth,
        auth_key=rng.randbytes(auth_key_size(auth, rng)),
        salt=rng.randbytes(4) if auth == "aes-gmac" else None,
        icv_len=rng.choice(AUTHS[auth].icvs),
        **fields,
    )


def _sequence_fields(rng):
    esn = rng.random() < 0.4
    iv = rng.choice(["frame", "generate"])
    first = rng.choice([0, 1, 1 << 32, rng.getrandbits(64) >> 1])
    return {
        "iv": iv,
        "esn": esn,
        "esn_high": rng.choice([None, 0, 1, 0xFFFFFFFF, rng.getrandbits(32)]) if esn else None,
        # The IVs that the host puts into frames begin low.
        "iv_init": first if iv == "generate" else 0,
    }


def random_bundle(rng, mode, *, encr=tuple(ENCRS), auth=tuple(AUTHS), shape=None):
    """A legal bundle in ``mode``; ``shape`` is esp, ah or both. No algorithm outside ``encr`` and ``auth``."""
    shape = shape or rng.choice(["esp", "esp", "ah", "both"])
    fields = _sequence_fields(rng)
    ops = []
    if shape != "ah":
        name = rng.choice(encr)
        macs = [name for name in auth if name != "aes-gmac"]
        own = None if ENCRS[name].icvs or not macs else rng.choice(macs)
        if shape == "both" and rng.random() < 0.3:
            own = None
        elif own is None and not ENCRS[name].icvs and shape == "esp":
            raise ValueError(f"auth must name a MAC beside {name}, not {auth!r}")
        ops.append(esp_op(rng, name, own, udp_encap=shape == "esp" and rng.random() < 0.2, **fields))
    if shape != "esp":
        ops.append(ah_op(rng, rng.choice(auth), **fields))
    return Bundle(mode, tuple(ops))


def packet(rng, version, size, *, options=b"", extensions=()):
    """A plain UDP packet with ``size`` random bytes of payload."""
    src, dst = rng.choice(ADDRESSES[version])
    body = plain.udp(src, dst, rng.getrandbits(16), rng.getrandbits(16), rng.randbytes(size))
    fields = {"ttl": rng.randrange(1, 256), "tos": rng.getrandbits(8)}
    if version == 4:
        return plain.ipv4(src, dst, 17, body, options=options, ident=rng.getrandbits(16), df=True, **fields)
    return plain.ipv6(src, dst, 17, body, extensions=extensions, flow=rng.getrandbits(20), **fields)


def random_framing(rng, bundle):
    """A framing with everything that a host may vary."""
    tunnel = None
    if bundle.tunnel:
        version = rng.choice([4, 6])
        src, dst = ADDRESSES[version][1]
        tunnel = Tunnel(
            src=src,
            dst=dst,
            ttl=rng.randrange(1, 256),
            tos=rng.getrandbits(8),
            ident=rng.getrandbits(16),
            df=rng.random() < 0.5,
            flow=rng.getrandbits(20),
            options=rng.choice(OPTIONS) if version == 4 else b"",
            extensions=rng.choice(EXTENSIONS) if version == 6 else (),
        )
    return Framing(
        seq=rng.getrandbits(32),
        tunnel=tunnel,
        pad=rng.choice(["count", "zero", "ones"]),
        pad_blocks=rng.choice([0, 0, 0, 1, 10]),
        tfc=bytes(rng.choice([0, 0, 0, 7, 300])),
        ah_pad=rng.choice([0, 0xA5]),
        ah_align=rng.choice([None, 8]),
        outside=rng.random() < 0.5,
    )


@dataclass(frozen=True)
class Case:
    """Arguments of the engine: a frame, its bundles and the overrides of the ESN's high half."""

    frame: bytes
    sa1: Bundle
    sa2: Bundle | None
    esn_high1: int | None
    esn_high2: int | None


def random_case(rng, *, sizes=(0, 1, 2, 3, 15, 16, 40, 64, 333, 1400), nested=0.3, **algorithms):
    """One framed packet with one or two bundles; ``algorithms`` as for ``random_bundle``."""
    nest = rng.random() < nested
    sa1 = random_bundle(rng, rng.choice(["transport", "tunnel"]), **algorithms)
    sa2 = random_bundle(rng, "tunnel", **algorithms) if nest else None
    plain_packet = packet(
        rng, rng.choice([4, 6]), rng.choice(sizes), options=rng.choice(OPTIONS), extensions=rng.choice(EXTENSIONS)
    )
    frame = hoststack.frame(
        plain_packet,
        sa1,
        sa2,
        framing1=random_framing(rng, sa1),
        framing2=random_framing(rng, sa2) if sa2 else Framing(),
        vlan=tuple(rng.getrandbits(16) for _ in range(rng.choice([0, 0, 1, 2]))),
        min_length=rng.choice([0, 0, 60, 128]),
    )
    return Case(frame, sa1, sa2, *(rng.choice([None, None, 0, rng.getrandbits(32)]) for _ in range(2)))


def rng_for(seed):
    """A generator whose seed shows up in the output of a failing test."""
    print(f"seed {seed}")
    return random.Random(seed)
