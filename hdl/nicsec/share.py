# SPDX-License-Identifier: Apache-2.0
"""Two users of one set of crypto units, one at a time."""

from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

__all__ = ["AES_KEY", "HASH_WORD", "crypto_members", "hashes"]

#: AES key beat: two per key, bytes 0-15 then 16-31; ``size`` 0, 1, 2: 128, 192, 256 bits.
AES_KEY = data.StructLayout({"data": 128, "size": 2})
#: Word of a hash stream.
HASH_WORD = data.StructLayout({"word": 32, "last": 1})

_HASH_OF = {
    "hmac-md5-96": "md5",
    "hmac-sha1-96": "sha1",
    "hmac-sha256-128": "sha256",
    "hmac-sha384-192": "sha512",
    "hmac-sha512-256": "sha512",
}


def hashes(config):
    """Names of the hash cores that ``config`` needs, sorted."""
    return sorted({_HASH_OF[name] for name in config.auth if name in _HASH_OF})


def crypto_members(config):
    """Members of a component that uses the crypto units of ``config``: ``aes_key``, ``aes_i``, ``aes_o`` and,
    for each hash core, ``sha1_i``, ``sha1_o`` and so on."""
    members = {}
    if config.has_aes:
        members["aes_key"] = Out(stream.Signature(AES_KEY))
        members["aes_i"] = Out(stream.Signature(128))
        members["aes_o"] = In(stream.Signature(128))
    for name in hashes(config):
        members[f"{name}_i"] = Out(stream.Signature(HASH_WORD))
        members[f"{name}_o"] = In(stream.Signature(HASH_WORD))
    return members
