# SPDX-License-Identifier: Apache-2.0
"""SAS.toml: which packets get which SA. The format is described in docs/sas.md."""

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .hoststack import Framing, Tunnel
from .model.sa import Bundle

__all__ = ["Policy", "SecurityAssociation", "parse", "read"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LIMITS = ("soft_packets", "hard_packets", "soft_bytes", "hard_bytes")
_FIELDS = ("name", "mode", "ops", "src", "dst", "protocol", "tunnel", "through", "seq", *_LIMITS)
_TUNNEL_FIELDS = {"src": str, "dst": str, "ttl": int, "tos": int, "df": bool, "flow": int}
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
_OTHERWISE = ("bypass", "drop")


@dataclass
class SecurityAssociation:
    """One ``[[sa]]``: its bundle, the packets it takes, and the sequence number that comes next."""

    name: str
    bundle: Bundle
    src: tuple[_Network, ...] = ()
    dst: tuple[_Network, ...] = ()
    protocol: int | None = None
    tunnel: Tunnel | None = None
    through: "SecurityAssociation | None" = None
    seq: int = 1

    @property
    def selects(self) -> bool:
        """Whether it takes packets by itself."""
        return bool(self.src or self.dst)

    def matches(self, src: Any, dst: Any, protocol: int) -> bool:
        """Whether it takes a packet of these addresses (of ``ipaddress``) and this protocol."""
        def inside(address, networks):
            return not networks or any(address in network for network in networks)

        same = self.protocol is None or self.protocol == protocol
        return self.selects and same and inside(src, self.src) and inside(dst, self.dst)

    def next_framing(self) -> Framing:
        """Framing of the next packet; raises ``OverflowError`` when the sequence numbers are used up."""
        if self.seq > 0xFFFFFFFF:
            raise OverflowError(f"sa {self.name!r}: the sequence numbers are used up")
        framing = Framing(seq=self.seq, seq_high=self.bundle.ops[0].esn_high or 0, tunnel=self.tunnel)
        self.seq += 1
        return framing


@dataclass
class Policy:
    """The SAs in the file's order, and what happens to packets that none of them takes: bypass or drop."""

    sas: list[SecurityAssociation] = field(default_factory=list)
    otherwise: str = "bypass"

    def choose(self, src: Any, dst: Any, protocol: int) -> SecurityAssociation | None:
        """The first SA that takes the packet."""
        return next((sa for sa in self.sas if sa.matches(src, dst, protocol)), None)


def _networks(name: str, value: Any) -> tuple[_Network, ...]:
    items = value if isinstance(value, list) else [value]
    try:
        return tuple(ipaddress.ip_network(item) for item in items)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a prefix or a list of prefixes, not {value!r} ({error})") from None


def _tunnel(value: Any) -> Tunnel:
    if not isinstance(value, dict) or not {"src", "dst"} <= set(value):
        raise ValueError(f"tunnel must be a table with src and dst, not {value!r}")
    for name, item in value.items():
        if name not in _TUNNEL_FIELDS:
            raise ValueError(f"tunnel: {name!r} is no field; there are {', '.join(_TUNNEL_FIELDS)}")
        if type(item) is not _TUNNEL_FIELDS[name]:
            raise ValueError(f"tunnel.{name} must be of type {_TUNNEL_FIELDS[name].__name__}, not {item!r}")
    versions = set()
    for name in ("src", "dst"):
        try:
            versions.add(ipaddress.ip_address(value[name]).version)
        except ValueError:
            raise ValueError(f"tunnel.{name} must be an IP address, not {value[name]!r}") from None
    if len(versions) != 1:
        raise ValueError(f"tunnel.src and tunnel.dst must be of one IP version, not {value['src']} and {value['dst']}")
    for name, high in (("ttl", 255), ("tos", 255), ("flow", 0xFFFFF)):
        if not 0 <= value.get(name, 0) <= high:
            raise ValueError(f"tunnel.{name} must be from 0 to {high}, not {value[name]}")
    return Tunnel(**value)


def _protocol(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255):
        return value
    if value not in _PROTOCOLS:
        raise ValueError(f"protocol must be from 0 to 255 or one of {', '.join(_PROTOCOLS)}, not {value!r}")
    return _PROTOCOLS[value]


def _one(values: Mapping[str, Any]) -> SecurityAssociation:
    for name in values:
        if name not in _FIELDS:
            raise ValueError(f"{name!r} is no field; there are {', '.join(_FIELDS)}")
    bundle = Bundle.from_json({name: values[name] for name in ("mode", "ops", *_LIMITS) if name in values})
    tunnel = _tunnel(values["tunnel"]) if "tunnel" in values else None
    if bundle.tunnel != (tunnel is not None):
        raise ValueError("tunnel must be given in mode 'tunnel', and only there")
    seq = values.get("seq", 1)
    if not isinstance(seq, int) or isinstance(seq, bool) or not 1 <= seq <= 0xFFFFFFFF:
        raise ValueError(f"seq must be from 1 to {0xFFFFFFFF}, not {seq!r}")
    src, dst = (_networks(name, values[name]) if name in values else () for name in ("src", "dst"))
    return SecurityAssociation(values["name"], bundle, src, dst, _protocol(values.get("protocol")), tunnel, None, seq)


def parse(values: Mapping[str, Any]) -> Policy:
    """A policy from the file's values; raises ``ValueError`` that names the SA, the field and what is allowed."""
    for name in values:
        if name not in ("sa", "otherwise"):
            raise ValueError(f"{name!r} is no field; there are otherwise and [[sa]]")
    otherwise = values.get("otherwise", "bypass")
    if otherwise not in _OTHERWISE:
        raise ValueError(f"otherwise must be {' or '.join(_OTHERWISE)}, not {otherwise!r}")
    tables = values.get("sa", [])
    if not isinstance(tables, list) or not tables:
        raise ValueError("there must be at least one [[sa]]")
    found: dict[str, SecurityAssociation] = {}
    for n, table in enumerate(tables, 1):
        name = table.get("name")
        if not isinstance(name, str) or not name or name in found:
            raise ValueError(f"sa {n}: name must be a string that no other sa has, not {name!r}")
        try:
            found[name] = _one(table)
        except ValueError as error:
            raise ValueError(f"sa {name!r}: {error}") from None
    targets = _join(found, tables)
    for sa in found.values():
        if not sa.selects and sa.name not in targets:
            raise ValueError(f"sa {sa.name!r}: src or dst must be given, or no packet gets here (0.0.0.0/0 takes all)")
    return Policy(list(found.values()), otherwise)


def _join(found: dict[str, SecurityAssociation], tables: list[dict[str, Any]]) -> set[str]:
    targets = set()
    for table in tables:
        through = table.get("through")
        if through is None:
            continue
        where = f"sa {table['name']!r}: through"
        if through not in found or through == table["name"]:
            raise ValueError(f"{where} must name another sa, not {through!r}")
        if not found[through].bundle.tunnel:
            raise ValueError(f"{where} must name an sa in mode 'tunnel', not {through!r}")
        if any(other["name"] == through and "through" in other for other in tables):
            raise ValueError(f"{where}: {through!r} goes through another sa itself; a packet has at most two")
        found[table["name"]].through = found[through]
        targets.add(through)
    return targets


def read(path: str | Path) -> Policy:
    """The policy in file ``path``; raises ``ValueError`` that begins with the path."""
    try:
        with Path(path).open("rb") as file:
            return parse(tomllib.load(file))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
