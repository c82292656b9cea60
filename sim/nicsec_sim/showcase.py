# SPDX-License-Identifier: Apache-2.0
"""The traffic of ``nicsec demo``: every shape and suite of a build, framed by the host's stack."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import hoststack, plain
from .hoststack import Framing, Tunnel
from .model.engine import Engine
from .model.sa import Bundle, Op
from .ndis.player import Packet

__all__ = ["Shown", "judge", "traffic"]

_ENDS = {4: ("10.0.0.1", "10.0.1.1"), 6: ("2001:db8:0:1::1", "2001:db8:0:2::1")}
_GATEWAYS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:ffff::1", "2001:db8:ffff::2")}
#: Bytes of UDP payload: an empty datagram, an odd one, one of middling length, and one near the MTU.
_SIZES = (0, 77, 512, 1300)


@dataclass(frozen=True)
class Shown:
    """A packet of the demo: what it is (``shape``, ``suite``), its SAs with the IP versions ahead of them, innermost
    first, and the status it should come back with."""

    packet: Packet
    shape: str
    suite: str
    uses: tuple[tuple[Bundle, int], ...] = ()
    expected: str = "success"


def _secret(name: str, length: int) -> bytes:
    # Keys that anybody may know, and that no two SAs share.
    return hashlib.shake_256(f"nicsec demo {name}".encode()).digest(length)


def _esp(spi: int, encr: str, size: int, icv: int, iv: str, auth: str | None = None) -> Op:
    auth_size = {"hmac-sha1-96": 20, "hmac-sha256-128": 32}.get(auth or "", 0)
    return Op(
        protocol="esp",
        spi=spi,
        encr_alg=encr,
        encr_key=_secret(f"{spi} encr", size // 8) or None,
        salt=_secret(f"{spi} salt", 4) if encr == "aes-gcm" else None,
        auth_alg=auth,
        auth_key=_secret(f"{spi} auth", auth_size) or None,
        icv_len=icv,
        iv=iv,
    )


def _ah(spi: int, auth: str, icv: int) -> Op:
    key = _secret(f"{spi} auth", 20 if auth == "hmac-sha1-96" else 32)
    return Op(protocol="ah", spi=spi, auth_alg=auth, auth_key=key, icv_len=icv)


_SHA1 = ("hmac-sha1-96", 12)
_SHA256 = ("hmac-sha256-128", 16)


def _name(bundle: Bundle) -> str:
    def one(op: Op) -> str:
        size = f"-{8 * len(op.encr_key)}" if op.encr_key else ""
        encr = f"{op.encr_alg}{size}" if op.encr_alg else ""
        icv = f" icv {op.icv_len}" if op.auth_alg is None else ""
        return " + ".join(part for part in (encr, op.auth_alg) if part) + icv

    return ", ".join(f"{op.protocol.upper()} {one(op)}" for op in bundle.ops)


def _single(spi: int) -> list[Bundle]:
    """Bundles for one handle; SPIs from ``spi`` on."""
    def gcm(n: int, size: int, icv: int, iv: str) -> Op:
        return _esp(spi + n, "aes-gcm", size, icv, iv)

    def cbc(n: int, size: int, auth: tuple[str, int], iv: str) -> Op:
        return _esp(spi + n, "aes-cbc", size, auth[1], iv, auth[0])

    return [
        Bundle("transport", (gcm(0, 128, 16, "frame"),)),
        Bundle("transport", (gcm(1, 192, 12, "generate"),)),
        Bundle("tunnel", (gcm(2, 256, 16, "generate"),)),
        Bundle("tunnel", (gcm(3, 128, 8, "generate"),)),
        Bundle("transport", (cbc(4, 128, _SHA1, "frame"),)),
        Bundle("transport", (cbc(5, 256, _SHA256, "generate"),)),
        Bundle("tunnel", (cbc(6, 192, _SHA256, "generate"),)),
        Bundle("tunnel", (cbc(7, 128, _SHA256, "generate"),)),
        Bundle("transport", (_esp(spi + 8, "null", 0, 16, "frame", "hmac-sha256-128"),)),
        Bundle("tunnel", (_esp(spi + 9, "null", 0, 12, "frame", "hmac-sha1-96"),)),
        Bundle("transport", (_ah(spi + 10, *_SHA1),)),
        Bundle("tunnel", (_ah(spi + 11, *_SHA256),)),
        Bundle("transport", (cbc(12, 256, _SHA1, "generate"), _ah(spi + 13, *_SHA256))),
        Bundle("tunnel", (gcm(14, 128, 16, "generate"), _ah(spi + 15, *_SHA1))),
    ]


def _nested(spi: int) -> list[tuple[Bundle, Bundle]]:
    """Pairs of inner and outer bundle."""
    gcm = Bundle("transport", (_esp(spi, "aes-gcm", 256, 16, "generate"),))
    cbc = Bundle("transport", (_esp(spi + 1, "aes-cbc", 128, 12, "generate", "hmac-sha1-96"),))
    null = Bundle("transport", (_esp(spi + 2, "null", 0, 12, "frame", "hmac-sha1-96"),))
    return [
        (gcm, Bundle("tunnel", (_esp(spi + 3, "aes-gcm", 128, 12, "generate"),))),
        (gcm, Bundle("tunnel", (_esp(spi + 4, "aes-cbc", 256, 16, "generate", "hmac-sha256-128"),))),
        (cbc, Bundle("tunnel", (_esp(spi + 5, "aes-gcm", 256, 16, "generate"),))),
        (null, Bundle("tunnel", (_ah(spi + 6, *_SHA1),))),
    ]


def _udp(version: int, size: int, rng: random.Random) -> bytes:
    src, dst = _ENDS[version]
    datagram = plain.udp(src, dst, rng.randrange(1024, 65536), 9, rng.randbytes(size))
    return plain.ipv4(src, dst, 17, datagram) if version == 4 else plain.ipv6(src, dst, 17, datagram)


def traffic(config, seed: int = 1) -> tuple[dict[str, Bundle], list[Shown]]:
    """SAs by name and the packets, shuffled, of the bundles that the build of ``config`` has the algorithms for."""
    rng = random.Random(seed)
    engine = Engine(encr=config.encr, auth=config.auth)
    bundles: dict[str, Bundle] = {}
    # Framed in the order of sending, as a host does: sequence numbers, and IVs from the frame with them, rise.
    plans: list[Callable[[], Shown]] = []

    def built(*candidates: Bundle) -> bool:
        return all(name in engine.encr | engine.auth | {None}
                   for bundle in candidates for op in bundle.ops for name in (op.encr_alg, op.auth_alg))

    def add(name: str, bundle: Bundle) -> str:
        bundles.setdefault(name, bundle)
        return name

    sequences: dict[str, int] = {}

    def framing(name: str, version: int) -> Framing:
        sequences[name] = sequences.get(name, 0) + 1
        src, dst = _GATEWAYS[version]
        return Framing(seq=sequences[name], tunnel=Tunnel(src=src, dst=dst))

    def single(name: str, bundle: Bundle, version: int, packet: bytes, tag: int | None) -> Shown:
        frame = hoststack.frame(packet, bundle, framing1=framing(name, version),
                                vlan=() if tag is None else (tag,), min_length=60)
        return Shown(Packet(frame, name), bundle.mode, _name(bundle), ((bundle, version),))

    def nested(names: list[str], pair: tuple[Bundle, Bundle], versions: tuple[int, int], packet: bytes) -> Shown:
        frame = hoststack.frame(packet, *pair, framing1=framing(names[0], versions[0]),
                                framing2=framing(names[1], versions[1]))
        uses = tuple(zip(pair, versions, strict=True))
        return Shown(Packet(frame, *names), "nested", f"{_name(pair[0])} in {_name(pair[1])}", uses)

    for version in (4, 6):
        for bundle in filter(built, _single(0x1000 * version)):
            name = add(f"v{version} {bundle.mode} {_name(bundle)}", bundle)
            # The second half of a tunnel's packets has the other family inside.
            for n, size in enumerate(_SIZES):
                inner = version if not bundle.tunnel or n < 2 else 10 - version
                tag = 100 if size == 77 else None
                plans.append(partial(single, name, bundle, version, _udp(inner, size, rng), tag))
        for inner, outer in _nested(0x1000 * version + 0x100):
            if not built(inner, outer):
                continue
            names = [add(f"v{version} {kind} {_name(bundle)} {bundle.ops[0].spi:#x}", bundle)
                     for kind, bundle in (("inner", inner), ("outer", outer))]
            for around in (version, 10 - version):
                packet = _udp(version, rng.choice(_SIZES), rng)
                plans.append(partial(nested, names, (inner, outer), (version, around), packet))
        for size in _SIZES[1:]:
            plain = Shown(Packet(hoststack.frame(_udp(version, size, rng))), "pass-through", "no SA")
            plans.append(partial(lambda one: one, plain))

    rng.shuffle(plans)
    shown = [plan() for plan in plans]
    shown[10:10] = [_truncated(shown)]
    shown[30:30] = [_foreign(shown)]
    return bundles, shown


def _protected(shown: list[Shown], mode: str) -> Shown:
    """The first packet of ``mode`` that is IPv4 without a tag."""
    return next(one for one in shown if one.shape == mode and one.packet.frame[12:14] == b"\x08\0")


def _truncated(shown: list[Shown]) -> Shown:
    """IP promises more bytes than the frame holds."""
    one = _protected(shown, "transport")
    return Shown(Packet(one.packet.frame[:-8], one.packet.sa1), "malformed", "frame cut short", expected="malformed")


def _foreign(shown: list[Shown]) -> Shown:
    """An SPI that is not the SA's."""
    one = _protected(shown, "tunnel")
    frame = bytearray(one.packet.frame)
    frame[34 + (4 if one.uses[0][0].ah else 0)] ^= 0x80
    return Shown(Packet(bytes(frame), one.packet.sa1), "malformed", "SPI of another SA", expected="spi_mismatch")


def judge(bundles: dict[str, Bundle], shown: list[Shown]) -> list[tuple[str, bytes | None]]:
    """Status and frame that the golden model gives each packet."""
    engine = Engine()
    sas = {name: engine.add_sa(bundle) for name, bundle in bundles.items()}
    results = []
    for one in shown:
        result = engine.process(one.packet.frame, sas.get(one.packet.sa1), sas.get(one.packet.sa2))
        results.append((result.status.text, result.frame))
    return results
