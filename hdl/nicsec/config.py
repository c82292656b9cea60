# SPDX-License-Identifier: Apache-2.0
"""The one object that decides what hardware is generated."""

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .algorithm import Auth, Encr

__all__ = ["AUTH_NAMES", "ENCR_NAMES", "PRESETS", "Config"]

ENCR_NAMES = {
    "null": Encr.NULL,
    "aes-cbc": Encr.AES_CBC,
    "aes-gcm": Encr.AES_GCM,
    "aes-ctr": Encr.AES_CTR,
    "aes-gmac": Encr.AES_GMAC,
    "des-cbc": Encr.DES_CBC,
    "3des-cbc": Encr.TDES_CBC,
    "aes-ccm": Encr.AES_CCM,
    "chacha20-poly1305": Encr.CHACHA20_POLY1305,
}
AUTH_NAMES = {
    "hmac-sha1-96": Auth.HMAC_SHA1,
    "hmac-sha256-128": Auth.HMAC_SHA256,
    "hmac-sha384-192": Auth.HMAC_SHA384,
    "hmac-sha512-256": Auth.HMAC_SHA512,
    "hmac-md5-96": Auth.HMAC_MD5,
    "aes-xcbc-96": Auth.AES_XCBC,
    "aes-cmac-96": Auth.AES_CMAC,
    "aes-gmac": Auth.AES_GMAC,
}

#: What the units that all packets share can do.
_SHARED_ENCR = ("null", "aes-cbc", "aes-gcm")
_SHARED_AUTH = ("hmac-sha1-96", "hmac-sha256-128")


def _power_of_two(count):
    """The least power of two that is not below ``count``."""
    return 1 << (count - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class Config:
    """Engine configuration.

    Parameters
    ----------
    lanes : int
        Packets processed at the same time, 1 to 32.
    data_width : int
        Width in bits of the AXI4-Stream frame ports.
    max_frame : int
        Longest frame in bytes, without FCS: 64 to 16384.
    sa_slots : int
        SA bundles held, a power of two from 16 to 4096.
    encr : tuple of str
        Encryption algorithms built in.
    auth : tuple of str
        Authentication algorithms built in, beside the AEADs' own.
    aes_sbox : str
        ``"bram"`` keeps the S-boxes in block RAM, ``"logic"`` in LUTs.
    units : str
        ``"private"``: each lane is a pipeline of its own with iterative cores. ``"shared"``: lanes are threads of one
        pool, with one pipelined AES and GHASH, ``walkers`` fronts and ``hash_units``.
    walkers : int
        With shared units: packets whose headers are walked at the same time, 1 to 8.
    hash_units : int
        With shared units: packets that are hashed at the same time, 1 to 32.
    ghash_digit : int
        Bits of a block that the iterative GHASH takes per cycle, 1 to 32.
    checksum : bool
        Whether IPv4 header, TCP and UDP checksums can be inserted.
    lifetimes : bool
        Whether SAs count what they carry and can have limits of that.
    utilisation : bool
        Whether the work of the crypto units is counted.
    """

    lanes: int = 1
    data_width: int = 128
    max_frame: int = 2046
    sa_slots: int = 256
    encr: tuple[str, ...] = ("null", "aes-cbc", "aes-gcm")
    auth: tuple[str, ...] = ("hmac-sha1-96", "hmac-sha256-128")
    aes_sbox: str = "bram"
    units: str = "private"
    walkers: int = 4
    hash_units: int = 14
    ghash_digit: int = 16
    checksum: bool = True
    lifetimes: bool = True
    utilisation: bool = True

    def __post_init__(self):
        for field, names in (("encr", ENCR_NAMES), ("auth", AUTH_NAMES)):
            value = getattr(self, field)
            if isinstance(value, list):
                object.__setattr__(self, field, value := tuple(value))
            if not isinstance(value, tuple) or not all(isinstance(name, str) for name in value):
                raise ValueError(f"{field} must be a list of algorithm names, not {value!r}")
            for name in value:
                if name not in names:
                    raise ValueError(f"{field} must be among {', '.join(names)}, not {name!r}")
            object.__setattr__(self, field, tuple(name for name in names if name in value))
        for field, low, high in (
            ("lanes", 1, 32), ("max_frame", 64, 16384), ("walkers", 1, 8), ("hash_units", 1, 32),
            ("ghash_digit", 1, 32),
        ):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"{field} must be an integer from {low} to {high}, not {value!r}")
        for field, allowed in (
            ("data_width", (128,)),
            ("sa_slots", tuple(1 << n for n in range(4, 13))),
            ("aes_sbox", ("bram", "logic")),
            ("units", ("private", "shared")),
            ("checksum", (False, True)),
            ("lifetimes", (False, True)),
            ("utilisation", (False, True)),
        ):
            value = getattr(self, field)
            if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
                raise ValueError(f"{field} must be one of {', '.join(map(str, allowed))}, not {value!r}")
        if self.units == "shared":
            for field, built in (("encr", _SHARED_ENCR), ("auth", _SHARED_AUTH)):
                if others := [name for name in getattr(self, field) if name not in built]:
                    raise ValueError(f"{field} has no {', '.join(others)} with shared units, only {', '.join(built)}")
        if not self.encr:
            raise ValueError("encr must name at least one algorithm")
        if not self.auth and set(self.encr) <= {"null", "aes-cbc", "aes-ctr", "des-cbc", "3des-cbc"}:
            raise ValueError("auth must name at least one algorithm when encr holds no AEAD")

    @classmethod
    def from_dict(cls, values):
        """A config from plain values; raises ``ValueError`` that names an unknown field."""
        known = {field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise ValueError(f"unknown field {name!r}; there are {', '.join(sorted(known))}")
        return cls(**values)

    @classmethod
    def from_toml(cls, path):
        """A config from a TOML file of fields; ``preset`` names a preset to start from."""
        with Path(path).open("rb") as file:
            values = tomllib.load(file)
        base = {}
        if (preset := values.pop("preset", None)) is not None:
            if preset not in PRESETS:
                raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
            base = dataclasses.asdict(PRESETS[preset])
        return cls.from_dict({**base, **values})

    def to_dict(self):
        """Plain values, for manifests and hashing."""
        return dataclasses.asdict(self)

    @property
    def hash(self):
        """SHA-256 of the fields, in hex."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    @property
    def keep_width(self):
        """Bytes per beat."""
        return self.data_width // 8

    @property
    def frame_words(self):
        """32-bit words of a lane's packet buffer: the frame is stored two bytes late."""
        return -(-(self.max_frame + 2) // 4)

    @property
    def ring_lines(self):
        """Lines of 16 bytes of the pool's ring: a frame of the greatest length for each lane, two at least."""
        return max(_power_of_two(self.lanes), 2) * _power_of_two(-(-(self.max_frame + 2) // 16))

    @property
    def packets(self):
        """Packets that may be in the pool: four short ones for each lane."""
        return 4 * max(_power_of_two(self.lanes), 4)

    @property
    def has_aes(self):
        return any(name.startswith("aes-") for name in self.encr + self.auth)

    @property
    def has_des(self):
        return bool({"des-cbc", "3des-cbc"} & {*self.encr})

    @property
    def has_chacha(self):
        return "chacha20-poly1305" in self.encr

    @property
    def has_ghash(self):
        return bool({"aes-gcm", "aes-gmac"} & {*self.encr, *self.auth})

    @property
    def has_ccm(self):
        return "aes-ccm" in self.encr

    @property
    def has_mac_subkeys(self):
        return bool({"aes-xcbc-96", "aes-cmac-96"} & {*self.auth})

    @property
    def has_cbc_mac(self):
        """Whether there is an AES for authentication beside the one that encrypts."""
        return self.has_ccm or self.has_mac_subkeys

    @property
    def has_ah(self):
        """AH needs an algorithm of its own: AEADs serve ESP only."""
        return bool(self.auth)

    @property
    def has_hmac(self):
        return any(name.startswith("hmac-") for name in self.auth)


#: Named configurations.
PRESETS = {
    "tiny": Config(
        encr=("aes-gcm",), auth=(), sa_slots=16, max_frame=1518, checksum=False, lifetimes=False, utilisation=False,
        ghash_digit=13,
    ),
    "basic": Config(),
    "gigabit": Config(lanes=2, ghash_digit=5, sa_slots=64, checksum=False, utilisation=False),
    "10g": Config(lanes=32, units="shared", sa_slots=128, walkers=3, hash_units=4),
    "full": Config(encr=tuple(ENCR_NAMES), auth=tuple(AUTH_NAMES), max_frame=9600, sa_slots=64),
}
