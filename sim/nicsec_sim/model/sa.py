# SPDX-License-Identifier: Apache-2.0
"""Security associations as the replay contract writes them: bundles of one or two operations, and their lifetimes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .algorithm import AUTHS, ENCRS

__all__ = ["Bundle", "Limits", "Op"]


def _either(values: tuple[Any, ...]) -> str:
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _choice(name: str, value: object, allowed: tuple[Any, ...]) -> None:
    if not isinstance(value, str | None) or value not in allowed:
        raise ValueError(f"{name} must be {_either(allowed)}, not {value!r}")


def _integer(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!r}")


def _secret(name: str, value: bytes | None, sizes: tuple[int, ...], owner: str) -> None:
    # Lengths only: a message may end up in a log, and a key may not.
    length = 0 if value is None else len(value)
    if not sizes:
        if length:
            raise ValueError(f"{name} must be null for {owner}, not {length} bytes")
    elif length not in sizes:
        raise ValueError(f"{name} must be {_either(sizes)} bytes for {owner}, not {length}")


@dataclass(frozen=True, kw_only=True)
class Op:
    """One AH or ESP operation.

    Equivalent spellings are brought to one: ESP without encryption has ``encr_alg`` ``"null"``, AH has ``None``;
    AES-GMAC stands in ``encr_alg`` for ESP and in ``auth_alg`` for AH; empty secrets are ``None``.

    Parameters
    ----------
    protocol : str
        ``"esp"`` or ``"ah"``.
    spi : int
        1 to 2^32 - 1.
    encr_alg, encr_key, salt
        A name of ``ENCRS``, its key, and its salt (AES-CTR: the nonce of RFC 3686).
    auth_alg, auth_key
        A name of ``AUTHS`` and its key, or ``None``.
    icv_len : int
        Bytes of ICV on the wire, without the IV that AH-GMAC keeps beside it.
    iv : str
        ``"frame"``: the IV is in the frame; ``"generate"``: the engine makes it.
    esn, esn_high
        Extended sequence numbers, and their high half (``None`` counts as 0).
    udp_encap : bool
        ESP behind a UDP header (RFC 3948).
    iv_init : int
        First value of the generated IV's counter (1 when not given), or the lowest IV that is taken from a frame (0).
    """

    protocol: str
    spi: int
    encr_alg: str | None = None
    encr_key: bytes | None = field(default=None, repr=False)
    salt: bytes | None = field(default=None, repr=False)
    auth_alg: str | None = None
    auth_key: bytes | None = field(default=None, repr=False)
    icv_len: int
    iv: str = "generate"
    esn: bool = False
    esn_high: int | None = None
    udp_encap: bool = False
    iv_init: int | None = None

    def __post_init__(self) -> None:
        _choice("protocol", self.protocol, ("esp", "ah"))
        _integer("spi", self.spi, 1, 0xFFFFFFFF)
        _choice("encr_alg", self.encr_alg, (None, *ENCRS))
        _choice("auth_alg", self.auth_alg, (None, *AUTHS))
        for name in ("encr_key", "salt", "auth_key"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bytes):
                raise ValueError(f"{name} must be bytes or null, not {type(value).__name__}")
            object.__setattr__(self, name, value or None)
        _choice("iv", self.iv, ("frame", "generate"))
        for name in ("esn", "udp_encap"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.esn_high is not None:
            _integer("esn_high", self.esn_high, 0, 0xFFFFFFFF)
        if self.iv_init is None:
            object.__setattr__(self, "iv_init", self._first_iv)
        _integer("iv_init", self.iv_init, 0, 2**64 - 1)
        _integer("icv_len", self.icv_len, 0, 32)
        self._normalize()
        if self.protocol == "esp":
            self._check_esp()
        else:
            self._check_ah()

    def _normalize(self) -> None:
        encr, auth = self.encr_alg, self.auth_alg
        encr_key, auth_key = self.encr_key, self.auth_key
        if self.protocol == "esp":
            if encr in (None, "null") and auth == "aes-gmac":
                encr, auth = "aes-gmac", None
                encr_key, auth_key = encr_key or auth_key, None
            elif encr is None:
                encr = "null"
        else:
            if encr == "aes-gmac" and auth is None:
                auth = encr
            if auth == "aes-gmac" and encr in (None, "null", "aes-gmac"):
                encr = None
                if auth_key is None:
                    auth_key, encr_key = encr_key, None
            elif encr == "null":
                encr = None
        for name, value in (
            ("encr_alg", encr),
            ("auth_alg", auth),
            ("encr_key", encr_key),
            ("auth_key", auth_key),
        ):
            object.__setattr__(self, name, value)

    def _check_esp(self) -> None:
        assert self.encr_alg is not None
        encr = ENCRS[self.encr_alg]
        _secret("encr_key", self.encr_key, encr.keys, self.encr_alg)
        _secret("salt", self.salt, (encr.salt,) if encr.salt else (), self.encr_alg)
        if encr.icvs:
            if self.auth_alg is not None:
                raise ValueError(f"auth_alg must be null beside {self.encr_alg}, not {self.auth_alg!r}")
            _secret("auth_key", self.auth_key, (), self.encr_alg)
            self._check_icv(encr.icvs, self.encr_alg)
        elif self.auth_alg is None:
            _secret("auth_key", self.auth_key, (), "an op without auth_alg")
            self._check_icv((0,), "an ESP op without authentication")
        elif self.auth_alg == "aes-gmac":
            raise ValueError(f"auth_alg must not be 'aes-gmac' beside {self.encr_alg}: as ESP it encrypts nothing")
        else:
            self._check_auth()

    def _check_ah(self) -> None:
        if self.encr_alg is not None:
            raise ValueError(f"encr_alg must be null for ah, not {self.encr_alg!r}")
        if self.auth_alg is None:
            raise ValueError(f"auth_alg must be {_either(tuple(AUTHS))} for ah, not None")
        if self.udp_encap:
            raise ValueError("udp_encap must be false for ah, not True")
        _secret("encr_key", self.encr_key, (), "ah")
        _secret("salt", self.salt, (4,) if self.auth_alg == "aes-gmac" else (), f"ah with {self.auth_alg}")
        self._check_auth()

    def _check_auth(self) -> None:
        assert self.auth_alg is not None
        auth = AUTHS[self.auth_alg]
        if auth.keys:
            _secret("auth_key", self.auth_key, auth.keys, self.auth_alg)
        elif self.auth_key is None:
            raise ValueError(f"auth_key must be at least 1 byte for {self.auth_alg}, not 0")
        self._check_icv(auth.icvs, self.auth_alg)

    def _check_icv(self, allowed: tuple[int, ...], owner: str) -> None:
        if self.icv_len not in allowed:
            raise ValueError(f"icv_len must be {_either(allowed)} for {owner}, not {self.icv_len}")

    @property
    def iv_len(self) -> int:
        """Bytes of IV: behind the ESP header, or ahead of the tag in the ICV field of AH."""
        if self.protocol == "esp":
            assert self.encr_alg is not None
            return ENCRS[self.encr_alg].iv
        return self.ah_iv_len

    @property
    def ah_iv_len(self) -> int:
        """Bytes of IV in the ICV field of AH: 8 with AES-GMAC (RFC 4543 section 4), else 0."""
        return 8 if self.protocol == "ah" and self.auth_alg == "aes-gmac" else 0

    @property
    def align(self) -> int:
        """Bytes that the length of payload and trailer is a multiple of (ESP)."""
        return ENCRS[self.encr_alg].align if self.encr_alg is not None else 4

    @property
    def authenticates(self) -> bool:
        """Whether the op makes an ICV."""
        return self.icv_len > 0

    @property
    def generates_iv(self) -> bool:
        """Whether the op takes a value of an IV counter for each packet."""
        return self.iv == "generate" and self.iv_len > 0

    @property
    def judges_iv(self) -> bool:
        """Whether the IV is the frame's and the algorithm breaks when it comes twice: counter modes."""
        return self.iv == "frame" and self.iv_len > 0 and self.salt is not None

    @property
    def _first_iv(self) -> int:
        return 1 if self.iv == "generate" else 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Op":
        """An op from plain values with secrets in hex; raises ``ValueError`` that names the field."""
        if not isinstance(values, Mapping):
            raise ValueError(f"op must be an object, not {values!r}")
        known = {item.name for item in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise ValueError(f"{name!r} is no field of an op; there are {', '.join(sorted(known))}")
        for name in ("protocol", "spi", "icv_len"):
            if name not in values:
                raise ValueError(f"{name} is missing")
        result = dict(values)
        for name in ("encr_key", "salt", "auth_key"):
            if (text := result.get(name)) is None:
                continue
            try:
                result[name] = bytes.fromhex(text)
            except (TypeError, ValueError):
                raise ValueError(f"{name} must be a string of hex digits, two a byte") from None
        return cls(**result)

    def to_json(self) -> dict[str, Any]:
        """Plain values; secrets in hex, ``iv_init`` only where it is not the default."""
        result = dataclasses.asdict(self)
        for name in ("encr_key", "salt", "auth_key"):
            if result[name] is not None:
                result[name] = result[name].hex()
        if self.iv_init == self._first_iv:
            del result["iv_init"]
        return result


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Lifetime of an SA: packets and bytes at which it is told of (soft) and at which it ends (hard); 0 is none."""

    soft_packets: int = 0
    hard_packets: int = 0
    soft_bytes: int = 0
    hard_bytes: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _integer(name, value, 0, 2**48 - 1)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def expired(self, packets: int, octets: int) -> bool:
        """Whether a hard limit is reached."""
        return 0 < self.hard_packets <= packets or 0 < self.hard_bytes <= octets


_NO_LIMITS = Limits()


@dataclass(frozen=True)
class Bundle:
    """What one handle stands for: ESP, AH, or ESP and then AH over it, in transport or tunnel mode."""

    mode: str
    ops: tuple[Op, ...]
    limits: Limits = _NO_LIMITS

    def __post_init__(self) -> None:
        _choice("mode", self.mode, ("transport", "tunnel"))
        object.__setattr__(self, "ops", tuple(self.ops))
        for n, op in enumerate(self.ops):
            if not isinstance(op, Op):
                raise ValueError(f"ops[{n}] must be an Op, not {type(op).__name__}")
        protocols = [op.protocol for op in self.ops]
        if protocols not in (["esp"], ["ah"], ["esp", "ah"]):
            raise ValueError(f"ops must be esp, ah, or esp and then ah, not {', '.join(protocols) or 'empty'}")
        if not any(op.authenticates for op in self.ops):
            raise ValueError("auth_alg must not be null in ESP without AH after it: nothing would be authenticated")

    @property
    def esp(self) -> Op | None:
        """The ESP op, if any."""
        return self.ops[0] if self.ops[0].protocol == "esp" else None

    @property
    def ah(self) -> Op | None:
        """The AH op, if any."""
        return self.ops[-1] if self.ops[-1].protocol == "ah" else None

    @property
    def tunnel(self) -> bool:
        return self.mode == "tunnel"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Bundle":
        """A bundle from plain values; raises ``ValueError`` that names the field, its value and what is allowed."""
        if not isinstance(values, Mapping):
            raise ValueError(f"bundle must be an object, not {values!r}")
        limits = {item.name for item in dataclasses.fields(Limits)}
        for name in values:
            if name not in ("mode", "ops", *limits):
                raise ValueError(f"{name!r} is no field of a bundle; there are mode, ops, {', '.join(sorted(limits))}")
        for name in ("mode", "ops"):
            if name not in values:
                raise ValueError(f"{name} is missing")
        if not isinstance(values["ops"], list | tuple):
            raise ValueError(f"ops must be a list, not {values['ops']!r}")
        ops = []
        for n, item in enumerate(values["ops"]):
            try:
                ops.append(Op.from_json(item))
            except ValueError as error:
                raise ValueError(f"ops[{n}]: {error}") from None
        given = {name: values[name] for name in limits if values.get(name) is not None}
        return cls(values["mode"], tuple(ops), Limits(**given))

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``from_json`` takes; limits only where there are any."""
        limits = {name: value for name, value in vars(self.limits).items() if value}
        return {"mode": self.mode, "ops": [op.to_json() for op in self.ops]} | limits
