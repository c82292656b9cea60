# SPDX-License-Identifier: Apache-2.0
"""HMAC midstates: the padded key through a hash core (RFC 2104 section 4)."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Auth
from .config import AUTH_NAMES
from .crypto.hash_core import Word
from .crypto.md5 import Md5
from .crypto.sha1 import Sha1
from .crypto.sha256 import Sha256
from .crypto.sha512 import Sha512
from .sa_layout import hash_block_words
from .share import HASH_OF, hash_members, hashes

__all__ = ["Midstate"]

#: Initial chaining values. The lane starts from midstates, so they are needed nowhere else.
_INITIAL = {
    Auth.HMAC_MD5: Md5.IV,
    Auth.HMAC_SHA1: Sha1.IV,
    Auth.HMAC_SHA256: Sha256.IV,
    Auth.HMAC_SHA384: Sha512.IV_384,
    Auth.HMAC_SHA512: Sha512.IV,
}

_IPAD, _OPAD = 0x36363636, 0x5C5C5C5C


class Midstate(wiring.Component):
    """Chaining state after one block of key xor ipad, or key xor opad.

    Two cycles a word on the way in, one on the way out, and the core's time in between.

    Parameters
    ----------
    config : Config
        With at least one HMAC.

    Members
    -------
    start : In(1)
        Strobe. ``auth`` and ``outer`` are stable from then on.
    auth : In(Auth)
    outer : In(1)
        opad in place of ipad.
    granted : In(1)
        The hash cores are ours.
    address : Out(5)
        Word of the zero-filled key that is wanted.
    key : In(32)
        That word, one cycle later.
    o : Out(stream of 32)
        The words of the chaining state, then zeros until the next start.
    wipe : In(1)
        Forget the last word of the key.
    <hash>_i, <hash>_o : streams
        Seams of the cores.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "auth": In(Auth),
                "outer": In(1),
                "granted": In(1),
                "address": Out(5),
                "key": In(32),
                "o": Out(stream.Signature(32)),
                "wipe": In(1),
                **hash_members(config),
            }
        )

    def elaborate(self, platform):
        m = Module()
        auths = [AUTH_NAMES[name] for name in self.config.auth if name in HASH_OF]

        # What depends on the algorithm.
        index = Signal(range(16))
        initial, constant = Signal(32), Signal(32, reset_less=True)
        last_state, last_key = Signal(), Signal()
        with m.Switch(self.auth):
            for auth in auths:
                with m.Case(auth):
                    m.d.comb += [
                        initial.eq(Array(_INITIAL[auth])[index]),
                        last_state.eq(index == len(_INITIAL[auth]) - 1),
                        last_key.eq(self.address == hash_block_words(auth) - 1),
                    ]

        m.d.sync += constant.eq(initial)

        # A word of the state or of the padded key, which comes late in the cycle and so meets nothing but the pad.
        request = Signal(Word)
        first, padded, of_key, request_last = Signal(32), Signal(32), Signal(), Signal()
        m.d.comb += [request.word.eq(Mux(of_key, padded, first)), request.last.eq(request_last)]
        sending, answering = Signal(), Signal()
        accepted, answered = Signal(), Signal()
        answer = Signal(Word)
        with m.Switch(self.auth):
            for core in hashes(self.config):
                i, o = getattr(self, f"{core}_i"), getattr(self, f"{core}_o")
                m.d.comb += i.payload.eq(request)
                with m.Case(*(AUTH_NAMES[name] for name in self.config.auth if HASH_OF.get(name) == core)):
                    m.d.comb += [
                        i.valid.eq(sending & self.granted),
                        accepted.eq(i.ready & self.granted),
                        o.ready.eq(answering & self.granted),
                        answered.eq(o.valid & self.granted),
                        answer.eq(o.payload),
                    ]

        ended = Signal()
        keyed = Signal()
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.wipe):
                    m.d.sync += padded.eq(0)
                with m.If(self.start):
                    m.d.sync += [self.address.eq(0), keyed.eq(0), ended.eq(0)]
                    m.next = "MAKE"
            with m.State("MAKE"):
                m.d.sync += [
                    padded.eq(self.key ^ Mux(self.outer, _OPAD, _IPAD)), first.eq(constant), of_key.eq(keyed),
                    request_last.eq(keyed & last_key),
                ]
                with m.If(keyed):
                    m.d.sync += self.address.eq(self.address + 1)
                with m.Else():
                    m.d.sync += [keyed.eq(last_state), index.eq(index + 1)]
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += sending.eq(1)
                with m.If(accepted):
                    m.next = "MAKE"
                    with m.If(request.last):
                        m.d.sync += index.eq(0)
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [
                    answering.eq(self.o.ready & ~ended),
                    self.o.valid.eq(answered | ended),
                    self.o.payload.eq(Mux(ended, 0, answer.word)),
                ]
                with m.If(answering & answered & answer.last):
                    m.d.sync += ended.eq(1)
                with m.If(self.start):
                    m.d.sync += [self.address.eq(0), keyed.eq(0), ended.eq(0)]
                    m.next = "MAKE"
                with m.Elif(self.wipe):
                    m.next = "IDLE"
        return m
