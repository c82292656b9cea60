# SPDX-License-Identifier: Apache-2.0
"""Two users of one set of crypto units, one at a time."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from .crypto.aes_key import AesKey
from .crypto.chacha20 import ChaChaBlock
from .crypto.des import DesKey
from .crypto.ghash import GhashBlock
from .crypto.hash_core import Word
from .crypto.poly1305 import PolyBlock

__all__ = [
    "HASH_OF", "CryptoUser", "Share", "crypto_members", "hash_members", "hashes", "join", "lane_crypto_members",
    "private",
]

#: Hash core of an HMAC.
HASH_OF = {
    "hmac-md5-96": "md5",
    "hmac-sha1-96": "sha1",
    "hmac-sha256-128": "sha256",
    "hmac-sha384-192": "sha512",
    "hmac-sha512-256": "sha512",
}


def hashes(config):
    """Names of the hash cores that ``config`` needs, sorted."""
    return sorted({HASH_OF[name] for name in config.auth if name in HASH_OF})


def hash_members(config):
    """Members of a user of the hash cores of ``config``: ``sha1_i``, ``sha1_o`` and so on."""
    members = {}
    for name in hashes(config):
        members[f"{name}_i"] = Out(stream.Signature(Word))
        members[f"{name}_o"] = In(stream.Signature(Word))
    return members


def crypto_members(config):
    """Members of a user of the crypto units of ``config``: ``aes_key``, ``aes_i``, ``aes_o`` and those of the hash
    cores."""
    members = {}
    if config.has_aes:
        members["aes_key"] = Out(stream.Signature(AesKey()))
        members["aes_i"] = Out(stream.Signature(128))
        members["aes_o"] = In(stream.Signature(128))
    return members | hash_members(config)


def lane_crypto_members(config):
    """Seams of the cores that only lanes use; key set-up has no need of them."""
    members = {}
    if config.has_ghash:
        members |= {
            "ghash_h": Out(stream.Signature(128)),
            "ghash_i": Out(stream.Signature(GhashBlock())),
            "ghash_o": In(stream.Signature(128)),
        }
    if config.has_cbc_mac:
        members |= {
            "mac_key": Out(stream.Signature(AesKey())),
            "mac_i": Out(stream.Signature(128)),
            "mac_o": In(stream.Signature(128)),
        }
    if config.has_des:
        members |= {
            "des_key": Out(stream.Signature(DesKey)),
            "des_i": Out(stream.Signature(64)),
            "des_o": In(stream.Signature(64)),
        }
    if config.has_chacha:
        members |= {
            "chacha_key": Out(stream.Signature(128)),
            "chacha_i": Out(stream.Signature(ChaChaBlock)),
            "chacha_o": In(stream.Signature(128)),
            "poly_r": Out(stream.Signature(256)),
            "poly_i": Out(stream.Signature(PolyBlock)),
            "poly_o": In(stream.Signature(128)),
        }
    return members


def private(config, members):
    """Those of ``members`` whose core each lane has for itself, and not as one pipeline with all others."""
    pipelined = ("aes_", "mac_", "ghash_") if config.units == "shared" else ()
    return {name: member for name, member in members.items() if not name.startswith(pipelined)}


def join(m, members, user, unit):
    """Connect the seams ``members``, with flows as the user has them, of a user to those of a unit."""
    for name, member in members.items():
        ends = getattr(user, name), getattr(unit, name)
        connect(m, *(ends if member.flow == Out else reversed(ends)))


class CryptoUser(wiring.Signature):
    """A user of the crypto units: ``claim`` asks for all of them at once, ``granted`` says that they are connected.

    The user keeps ``claim`` high from its first transfer to its last, and lowers it for a cycle or more between two
    tasks. It leaves the units empty: every answer taken, no half request behind.
    """

    def __init__(self, config):
        super().__init__({"claim": Out(1), "granted": In(1), **crypto_members(config)})


class Share(wiring.Component):
    """Connects a lane's own crypto units to the lane or to key setup.

    One mutex for the whole set, so that two users can never wait for each other. The grant is a register and follows
    a claim by a cycle; with both waiting, the one that was not served last is next. To a user without the grant every
    stream looks stalled. The streams are not registered here: both ends of each of them are.

    A key that is in the AES core at a grant is the other user's.

    Members
    -------
    lane, setup : In(CryptoUser, without the seams of shared pipelines)
    aes_key, aes_i, aes_o, <hash>_i, <hash>_o : streams
        To the units.
    """

    def __init__(self, config):
        self._members = private(config, crypto_members(config))
        user = wiring.Signature({"claim": Out(1), "granted": In(1), **self._members})
        super().__init__({"lane": In(user), "setup": In(user), **self._members})

    def elaborate(self, platform):
        m = Module()
        lane, setup = self.lane, self.setup

        lane_was_last = Signal()
        with m.If(~lane.claim):
            m.d.sync += lane.granted.eq(0)
        with m.If(~setup.claim):
            m.d.sync += setup.granted.eq(0)
        with m.If(~lane.granted & ~setup.granted):
            with m.If(setup.claim & (lane_was_last | ~lane.claim)):
                m.d.sync += [setup.granted.eq(1), lane_was_last.eq(0)]
            with m.Elif(lane.claim):
                m.d.sync += [lane.granted.eq(1), lane_was_last.eq(1)]

        for name, member in self._members.items():
            unit, ours, theirs = getattr(self, name), getattr(lane, name), getattr(setup, name)
            if member.flow == Out:
                m.d.comb += [
                    unit.payload.eq(Mux(setup.granted, theirs.payload, ours.payload)),
                    unit.valid.eq((ours.valid & lane.granted) | (theirs.valid & setup.granted)),
                    ours.ready.eq(unit.ready & lane.granted),
                    theirs.ready.eq(unit.ready & setup.granted),
                ]
            else:
                m.d.comb += [
                    ours.payload.eq(unit.payload),
                    theirs.payload.eq(unit.payload),
                    ours.valid.eq(unit.valid & lane.granted),
                    theirs.valid.eq(unit.valid & setup.granted),
                    unit.ready.eq((ours.ready & lane.granted) | (theirs.ready & setup.granted)),
                ]
        return m
