# SPDX-License-Identifier: Apache-2.0
"""The crypto cores that one lane has for itself. Only wiring."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .activity import units_of
from .crypto.aes import Aes
from .crypto.chacha20 import ChaCha20
from .crypto.des import Des
from .crypto.ghash import Ghash
from .crypto.md5 import Md5
from .crypto.poly1305 import Poly1305
from .crypto.sha1 import Sha1
from .crypto.sha1_sha256 import Sha1Sha256
from .crypto.sha256 import Sha256
from .crypto.sha512 import Sha512
from .share import crypto_members, hashes, lane_crypto_members, private

__all__ = ["Units"]

_HASH_CORES = {"md5": Md5, "sha1": Sha1, "sha256": Sha256, "sha512": Sha512}
#: Those that are one core where both are asked for.
_TWO_IN_ONE = ("sha1", "sha256")


class Units(wiring.Component):
    """One core of each kind that the config asks for, but for those that are shared by all lanes.

    Members
    -------
    wipe : In(1)
        Strobe: every key, subkey and chaining state is forgotten.
    working : Out(StructLayout)
        With utilisation: for each kind of unit that is here, whether it does a unit of work (:class:`Activity`).
    aes_chain : In(1)
        With an AES: see :class:`~nicsec.crypto.aes.Aes`.
    aes_key, aes_i, aes_o, <hash>_i, <hash>_o, ghash_h, ghash_i, ghash_o, des_*, chacha_*, poly_* : streams
        Seams of docs/design.md section 8.
    """

    def __init__(self, config):
        self._config = config
        members = private(config, {**crypto_members(config), **lane_crypto_members(config)})
        # A seam's name begins with its unit's; hash cores have several.
        self._kinds = [kind for kind in units_of(config) if kind == "hash" or f"{kind[:6]}_i" in members]
        ports = {"wipe": In(1)}
        if config.utilisation:
            ports["working"] = Out(data.StructLayout(dict.fromkeys(self._kinds, 1)))
        if "aes_i" in members:
            ports["aes_chain"] = In(1)
        super().__init__(ports | {name: member.flip() for name, member in members.items()})

    def elaborate(self, platform):
        m = Module()
        config = self._config

        def attach(name, core, *, key=None, port=None):
            """Connect ``core`` to the seams of ``name``; a ``port`` of its own takes the key."""
            m.submodules[name] = core
            connect(m, flipped(getattr(self, f"{name}_i")), core.i)
            connect(m, core.o, flipped(getattr(self, f"{name}_o")))
            if key is not None:
                connect(m, flipped(getattr(self, key)), getattr(core, port))
            return core

        def wiped(core):
            m.d.comb += core.wipe.eq(self.wipe)
            return core

        iterative = config.units == "private"
        if config.has_aes and iterative:
            aes = attach("aes", wiped(Aes(sbox=config.aes_sbox)), key="aes_key", port="key")
            m.d.comb += aes.chain.eq(self.aes_chain)
        if config.has_cbc_mac and iterative:
            attach("mac", wiped(Aes(sbox=config.aes_sbox)), key="mac_key", port="key")
        if config.has_ghash and iterative:
            attach("ghash", wiped(Ghash(digit=config.ghash_digit)), key="ghash_h", port="h")
        if config.has_des:
            attach("des", wiped(Des()), key="des_key", port="key")
        if config.has_chacha:
            attach("chacha", wiped(ChaCha20()), key="chacha_key", port="key")
            attach("poly", Poly1305(), key="poly_r", port="r")
        # A packet is with one hash core at a time.
        names, stepped = hashes(config), []
        if set(_TWO_IN_ONE) <= set(names):
            m.submodules.sha1_sha256 = core = wiped(Sha1Sha256())
            self._attach_two(m, core)
            names, stepped = [name for name in names if name not in _TWO_IN_ONE], [core.working]
        stepped += [attach(name, wiped(_HASH_CORES[name]())).working for name in names]
        if config.utilisation:
            for kind in self._kinds:
                core = m.submodules[kind[:6]].working if kind != "hash" else Cat(stepped).any()
                m.d.comb += self.working[kind].eq(core)
        return m

    def _attach_two(self, m, core):
        """Connect ``core`` to the seams of both its hashes: it is that of the one that has a word to send.

        The core is empty when the other hash's first word comes, which waits for a cycle.
        """
        sha1, sha256 = self.sha1_i, self.sha256_i
        with m.If(sha1.valid | sha256.valid):
            m.d.sync += core.sha1.eq(sha1.valid)
        m.d.comb += [
            core.i.valid.eq(Mux(core.sha1, sha1.valid, sha256.valid)),
            core.i.payload.eq(Mux(core.sha1, sha1.payload, sha256.payload)),
            sha1.ready.eq(core.i.ready & core.sha1),
            sha256.ready.eq(core.i.ready & ~core.sha1),
            core.o.ready.eq(Mux(core.sha1, self.sha1_o.ready, self.sha256_o.ready)),
        ]
        for port, mine in ((self.sha1_o, core.sha1), (self.sha256_o, ~core.sha1)):
            m.d.comb += [port.payload.eq(core.o.payload), port.valid.eq(core.o.valid & mine)]
