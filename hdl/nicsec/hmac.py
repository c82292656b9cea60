# SPDX-License-Identifier: Apache-2.0
"""HMAC (RFC 2104) over a stream of words, from midstates, with the hash cores behind their seam."""

from dataclasses import dataclass

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .algorithm import Auth
from .config import AUTH_NAMES
from .crypto.hash_core import Word
from .sa_layout import hash_block_words, hash_state_words
from .share import hashes
from .stream import SkidBuffer
from .words import AuthWord, IcvWord

__all__ = ["Hmac"]


@dataclass(frozen=True)
class _Hash:
    """What differs between the hashes behind HMAC."""

    core: str  #: port prefix of the core
    auth: Auth
    digest_words: int

    @property
    def state_words(self):
        return hash_state_words(self.auth)

    @property
    def block_words(self):
        return hash_block_words(self.auth)


_HASHES = {
    "hmac-md5-96": _Hash("md5", Auth.HMAC_MD5, 4),
    "hmac-sha1-96": _Hash("sha1", Auth.HMAC_SHA1, 5),
    "hmac-sha256-128": _Hash("sha256", Auth.HMAC_SHA256, 8),
    "hmac-sha384-192": _Hash("sha512", Auth.HMAC_SHA384, 12),
    "hmac-sha512-256": _Hash("sha512", Auth.HMAC_SHA512, 16),
}


class Hmac(wiring.Component):
    """Authenticates one message per ``start``.

    The inner hash takes the message as it comes; the outer hash follows with one block (two for none of
    the hashes). A word may follow the other in every cycle, a block costs what the core needs.

    Members
    -------
    start : In(1)
        Strobe; ``auth`` and ``icv_words`` are then held to the last ICV word.
    auth : In(Auth)
    icv_words : In(4)
        Words of the digest that are sent.
    busy : Out(1)
        From the start until the hash core has given its last word.
    state : In(stream of 32)
        The inner midstate, and when ``outer`` the outer one.
    state_start : Out(1)
        Strobe that asks for a midstate of ``state_words`` words.
    state_words : Out(5)
    outer : Out(1)
    i : In(stream of AuthWord)
    o : Out(stream of IcvWord)
    <hash>_i, <hash>_o : streams of Word, one pair per built hash core
    """

    def __init__(self, config):
        self._config = config
        self._hashes = [_HASHES[name] for name in AUTH_NAMES if name in config.auth and name in _HASHES]
        self._cores = hashes(config)
        self.auths = [member.auth for member in self._hashes]
        ports = {
            "start": In(1),
            "auth": In(Auth),
            "icv_words": In(4),
            "busy": Out(1),
            "state": In(stream.Signature(32)),
            "state_start": Out(1),
            "state_words": Out(5),
            "outer": Out(1),
            "i": In(stream.Signature(AuthWord)),
            "o": Out(stream.Signature(IcvWord)),
        }
        for core in self._cores:
            ports[f"{core}_i"] = Out(stream.Signature(Word))
            ports[f"{core}_o"] = In(stream.Signature(Word))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()

        # One constant set per hash, registered once per pass.
        wide, little = Signal(), Signal()
        digest_words = Signal(5)
        select = Signal(range(max(len(self._cores), 2)))
        with m.Switch(self.auth):
            for member in self._hashes:
                with m.Case(member.auth):
                    m.d.sync += [
                        self.state_words.eq(member.state_words), digest_words.eq(member.digest_words),
                        wide.eq(member.block_words == 32), little.eq(member.auth == Auth.HMAC_MD5),
                        select.eq(self._cores.index(member.core)),
                    ]

        # To the core, through a buffer: whether there is room does not wait for the core.
        m.submodules.to_core = to_core = SkidBuffer(Word)
        from_valid, from_ready = Signal(), Signal()
        from_word = Signal(Word)
        icv_valid = Signal()
        icv = Signal(IcvWord, reset_less=True)
        with m.Switch(select):
            for index, core in enumerate(self._cores):
                with m.Case(index):
                    i, o = getattr(self, f"{core}_i"), getattr(self, f"{core}_o")
                    m.d.comb += [
                        i.valid.eq(to_core.o.valid), to_core.o.ready.eq(i.ready),
                        from_valid.eq(o.valid & o.ready), from_word.eq(o.payload), o.ready.eq(from_ready),
                    ]
        for core in self._cores:
            m.d.comb += getattr(self, f"{core}_i").payload.eq(to_core.o.payload)
        room = to_core.i.ready

        # Words of the answer at hand that came, whether that is the outer one, and whether all has come.
        got = Signal(5)
        answered, complete = Signal(), Signal()

        index = Signal(5)  # word of the block
        count = Signal(17)  # bytes of the message
        sent = Signal(5)

        def push(word, *, last=0):
            m.d.comb += [to_core.i.p.word.eq(word), to_core.i.p.last.eq(last), to_core.i.valid.eq(1)]

        def advance():
            m.d.sync += index.eq(Mux(wide, index + 1, Cat((index + 1)[:4], C(0, 1))))

        # A message ends with 0x80, zeros, and its length in bits, that of the first block (the padded
        # key) included; the last two words of a block hold it (two zero words ahead under SHA-512).
        bit_count = Signal(32)
        at_length = Signal(2)
        block_bytes = Signal(9)
        m.d.comb += [
            block_bytes.eq(Mux(wide, 128, 64)),
            at_length.eq(Cat(
                (index == Mux(wide, 30, 14)),
                (index == Mux(wide, 31, 15)),
            )),
        ]
        m.d.sync += bit_count.eq((count + block_bytes) << 3)
        swapped = Cat(bit_count[24:], bit_count[16:24], bit_count[8:16], bit_count[:8])
        too_late = Signal()
        pad_next = Signal()
        late = Signal()
        # A marker in the last word of a block fills it: the length follows in the next one, in place.
        m.d.comb += late.eq((index >= Mux(wide, 28, 14)) & ~at_length[1])

        def padding(following):
            """Send 0x80 if still due, zeros and the length; then go to ``following``."""
            with m.If(room):
                advance()
                with m.If(pad_next):
                    push(0x80000000)
                    m.d.sync += [pad_next.eq(0), too_late.eq(late)]
                with m.Elif(~too_late & at_length[0]):
                    push(Mux(little, swapped, 0))
                with m.Elif(~too_late & at_length[1]):
                    push(Mux(little, 0, bit_count), last=1)
                    m.next = following
                with m.Else():
                    push(0)
                    with m.If(at_length[1]):
                        m.d.sync += too_late.eq(0)

        outer = Signal()
        # The inner digest stays in the core until the outer midstate is on its way there: a core may keep one while it
        # loads the other. What the core has beyond the digest is for nobody.
        digesting, digested = Signal(), Signal()
        m.d.comb += [
            self.outer.eq(outer),
            from_ready.eq(Mux(answered, ~icv_valid, (digesting & room) | digested)),
        ]

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), count.eq(0), sent.eq(0), outer.eq(0), too_late.eq(0)]
                m.d.sync += [digested.eq(0), answered.eq(0), complete.eq(0)]
                with m.If(self.start):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.state_start.eq(1)
                m.next = "STATE"
            with m.State("STATE"):
                m.d.comb += self.state.ready.eq(room)
                with m.If(self.state.valid & room):
                    push(self.state.payload)
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(sent + 1 == self.state_words):
                        m.d.sync += sent.eq(0)
                        with m.If(outer):
                            m.next = "DIGEST"
                        with m.Else():
                            m.next = "MESSAGE"
            with m.State("MESSAGE"):
                m.d.comb += self.i.ready.eq(room)
                with m.If(self.i.valid & room):
                    advance()
                    m.d.sync += count.eq(count + 4)
                    push(self.i.p.data)
                    with m.If(self.i.p.last):
                        m.d.sync += pad_next.eq(1)
                        with m.If(self.i.p.size != 0):
                            m.d.sync += [
                                count.eq(count + self.i.p.size), pad_next.eq(0), too_late.eq(late),
                            ]
                            with m.Switch(self.i.p.size):
                                for size in (1, 2, 3):
                                    with m.Case(size):
                                        mark = C(0x80 << (24 - 8 * size), 32 - 8 * size)
                                        push(Cat(mark, self.i.p.data[32 - 8 * size :]))
                        m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "PAD"
            with m.State("PAD"):
                padding("INNER")
            with m.State("INNER"):
                m.d.sync += [count.eq(digest_words << 2), index.eq(0), outer.eq(1)]
                m.next = "ASK"
            with m.State("DIGEST"):
                m.d.comb += digesting.eq(1)
                with m.If(from_valid):
                    advance()
                    push(from_word.word)
                    with m.If(got + 1 == digest_words):
                        m.d.sync += [pad_next.eq(1), digested.eq(1)]
                        m.next = "PAD-OUTER"
            with m.State("PAD-OUTER"):
                padding("ICV")
            with m.State("ICV"):
                with m.If(complete):
                    m.next = "IDLE"

        # From the core: the inner digest goes back to it, the outer one out as ICV.
        m.d.comb += [self.o.valid.eq(icv_valid), self.o.payload.eq(icv)]
        with m.If(icv_valid & self.o.ready):
            m.d.sync += icv_valid.eq(0)
        with m.If(from_valid):
            m.d.sync += got.eq(got + 1)
            with m.If(from_word.last):
                m.d.sync += [got.eq(0), answered.eq(1), complete.eq(answered)]
            with m.If(answered & (got < self.icv_words)):
                m.d.sync += [icv.data.eq(from_word.word), icv.last.eq(got + 1 == self.icv_words), icv_valid.eq(1)]
        return m
