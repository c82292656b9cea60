# SPDX-License-Identifier: Apache-2.0
"""Key setup: checks a staged SA, derives GHASH and MAC subkeys and HMAC midstates, fills the table's rows."""

from amaranth import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from .algorithm import Auth, SACommand, SAResult
from .choose import gated
from .sa_layout import (
    MAC_KEY_ROW,
    MAC_SUBKEY_ROW,
    OPS,
    SA_ROW_WIDTH,
    Control,
    RowKind,
    RowWrite,
    TableCommand,
    TableOp,
    TableResult,
    is_last_row,
    rows_per_op,
)
from .sa_midstate import Midstate
from .sa_rules import needs_subkey, takes_iv, uses_cbc_mac, uses_hmac, verdict
from .share import crypto_members, hash_members

__all__ = ["SASetup", "SetupCommand", "WindowWrite"]

#: Words of an op's window, and where the authentication key and the limits start in it.
_WINDOW_WORDS = 64
_AUTH_KEY = 16
_LIMITS = 48

_SUBKEY_ROW = 3
_INNER_ROW = 4

#: ``op``: a :class:`SACommand`; ``handle``: what it is about, unless an add.
SetupCommand = data.StructLayout({"op": 8, "handle": 32})


class WindowWrite(wiring.Signature):
    """One word of the staging window: ``addr`` counts words, op 0 first."""

    def __init__(self):
        super().__init__({"en": Out(1), "addr": Out(range(OPS * _WINDOW_WORDS)), "data": Out(32)})


class _Step(enum.Enum, shape=4):
    """What the row in the making is."""

    LEAD = 0
    IV = 1
    KEY = 2
    KEY_HIGH = 3
    SUBKEY = 4
    INNER = 5
    OUTER = 6
    MAC = 7
    LIMITS = 8


def _doubled(value):
    """A 128-bit ``value`` times x in the field of CMAC (SP 800-38B section 6.1)."""
    return Cat(C(0, 1), value[:127]) ^ Mux(value[127], 0x87, 0)


class SASetup(wiring.Component):
    """Executes SA commands.

    Add: the window's ops are checked (:mod:`nicsec.sa_rules`), then for each op the rows of docs/design.md section 7
    are written into the slot that the table will hand out, and last the table makes the slot VALID. GHASH subkey:
    H = E_K(0^128) under the *cipher key* (SP 800-38D section 7.1), for AH-GMAC too, whose key therefore goes into the
    cipher key window. Midstates: the hash of key xor ipad and of key xor opad (RFC 2104), for the authentication key
    as it lies in the window. AES-XCBC: key and masks are E_K of sixteen bytes 1, 2 and 3 (RFC 3566 section 4).
    AES-CMAC: the key is K, the masks are E_K(0) doubled once and twice (SP 800-38B section 6.1). Limits go to the table
    ahead of all rows. Delete and query are passed to the table, and update is, with what changes behind it. Before a
    result is given, the window and whatever of it lay in registers here are zero.

    The time of an add depends on the algorithms, the key size and the wait for the crypto units only. With the units
    free: 216 cycles for AES-128-GCM, 445 for AES-256-CBC with HMAC-SHA-256, of which 128 empty the window. The units
    are held for one GHASH subkey, one midstate or the keys of one MAC at a time.

    Parameters
    ----------
    config : Config

    Members
    -------
    ready : Out(1)
        The window has been emptied after reset; writes to it and commands are heeded from then on.
    window : In(WindowWrite)
        Heeded between commands only.
    cmd : In(stream of ``SetupCommand``)
        Taken when it has been executed and before the result is given.
    result : Out(stream of ``TableResult``)
        One per command; ``handle`` is that of a new SA.
    table_cmd, table_result, write, free
        To :class:`~nicsec.sa_table.SATable`.
    claim, granted, aes_key, aes_i, aes_o, <hash>_i, <hash>_o
        See :class:`~nicsec.share.CryptoUser`.
    """

    def __init__(self, config):
        self.config = config
        self._window = Memory(
            shape=32, depth=OPS * _WINDOW_WORDS, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        super().__init__(
            {
                "ready": Out(1),
                "window": In(WindowWrite()),
                "cmd": In(stream.Signature(SetupCommand)),
                "result": Out(stream.Signature(TableResult)),
                "table_cmd": Out(stream.Signature(TableCommand)),
                "table_result": In(stream.Signature(TableResult)),
                "write": Out(stream.Signature(RowWrite(config))),
                "free": In(range(config.sa_slots + 1)),
                "claim": Out(1),
                "granted": In(1),
                **crypto_members(config),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config

        m.submodules.window = window = self._window
        read, write = window.read_port(), window.write_port()

        handle = Signal(32, reset_less=True)
        code = Signal(SAResult, reset_less=True)
        answering = Signal()
        control = Signal(Control)
        next_control = Signal(Control)
        generate = Signal(OPS)
        subkey = Signal()
        mac = Signal()
        double = Signal()
        op = Signal()
        address = Signal(range(_WINDOW_WORDS))
        step = Signal(_Step)
        number = Signal(range(rows_per_op(config)))

        # Every word of a row, wherever it comes from, is shifted in at the low end.
        row = Signal(SA_ROW_WIDTH)
        word = Signal(32)
        shift, from_window = Signal(), Signal()
        window_word = Signal(32)
        beat = Signal(3)
        emptying = Signal()
        updating = Signal()
        with m.If(emptying):
            m.d.sync += row.eq(0)
        with m.Elif(double):
            m.d.sync += row.eq(_doubled(row))
        with m.Elif(shift | from_window):
            m.d.sync += row.eq(Cat(word, row))
        with m.If(from_window):
            m.d.sync += row[:32].eq(window_word)
        # The memory answers late in the cycle.
        m.d.sync += window_word.eq(read.data)
        m.d.comb += [
            # The high half of a counter or limit is shifted in ahead of its low half.
            read.addr.eq(Cat(address ^ Mux((step == _Step.IV) | (step == _Step.LIMITS), 3, 0), op)),
            self.write.p.data.eq(row),
            self.write.p.op.eq(op),
            self.write.p.row.eq(number),
            self.write.p.update.eq(updating),
            self.table_cmd.p.handle.eq(self.cmd.p.handle),
            self.table_cmd.p.generate.eq(generate),
            self.result.p.code.eq(code),
            self.result.p.handle.eq(handle),
        ]
        m.d.sync += [subkey.eq(needs_subkey(config, control)), mac.eq(uses_cbc_mac(config, control))]
        m.d.sync += [write.en.eq(0), write.addr.eq(self.window.addr), write.data.eq(self.window.data)]

        limited = Signal()
        m.d.comb += updating.eq(self.cmd.p.op == SACommand.UPDATE.value)
        with m.Switch(self.cmd.p.op):
            for command, table_op in (
                (SACommand.DELETE, TableOp.DELETE),
                (SACommand.UPDATE, TableOp.UPDATE),
                (SACommand.QUERY, TableOp.QUERY),
            ):
                with m.Case(command.value):
                    m.d.comb += self.table_cmd.p.op.eq(table_op)
        with m.Switch(step):
            with m.Case(_Step.LEAD):
                m.d.comb += self.write.p.kind.eq(Mux(updating, RowKind.SEQ_HIGH, RowKind.ROW))
            with m.Case(_Step.IV):
                m.d.comb += self.write.p.kind.eq(RowKind.IV)
            with m.Case(_Step.LIMITS):
                m.d.comb += self.write.p.kind.eq(RowKind.LIMITS)
        # Whoever has no place for limits must find none.
        with m.If(emptying):
            m.d.sync += limited.eq(0)
        with m.Elif((step == _Step.LIMITS) & row[:32].any()):
            m.d.sync += limited.eq(1)

        uses_aes = config.has_ghash or config.has_mac_subkeys
        xcbc = C(0, 1)
        if uses_aes:
            # What the core answers goes no further than these: from key to block and back it is half a cycle already.
            keying, offering, last_beat = Signal(), Signal(), Signal()
            m.d.comb += [
                self.aes_key.valid.eq(keying & self.granted), self.aes_key.p.data.eq(row),
                self.aes_key.p.size.eq(control.key_size), self.aes_i.valid.eq(offering),
            ]
            with m.If(self.aes_i.ready):
                m.d.sync += offering.eq(0)
        if config.has_mac_subkeys:
            xcbc = Signal()
            m.d.sync += xcbc.eq(mac & (control.auth == Auth.AES_XCBC))
            # Rows 4, 5, 6: bytes 1, 2, 3.
            constant = Signal(8)
            m.d.comb += [constant.eq(number[:2] + 1), self.aes_i.payload.eq(Mux(xcbc, constant.replicate(16), 0))]
        after_keys = "NEXT"
        if config.has_hmac:
            after_keys = "PAD"
            m.submodules.midstate = midstate = Midstate(config)
            # A word of a midstate stays here for the cycle in which it is shifted in.
            wanted, came, state_word = Signal(), Signal(), Signal(32)
            arrives = midstate.o.valid & midstate.o.ready
            m.d.comb += midstate.o.ready.eq(wanted)
            m.d.sync += [wanted.eq(0), came.eq(arrives), state_word.eq(gated(midstate.o.payload, arrives))]
            for name in hash_members(config):
                connect(m, getattr(midstate, name), flipped(getattr(self, name)))
            m.d.comb += [
                midstate.auth.eq(control.auth),
                midstate.outer.eq(step == _Step.OUTER),
                midstate.granted.eq(self.granted),
                midstate.key.eq(read.data),
            ]

        with m.FSM(init="EMPTY"):
            with m.State("EMPTY"):
                m.d.sync += [write.en.eq(1), write.addr.eq(Cat(address, op)), write.data.eq(0)]
                m.d.comb += emptying.eq(1)
                m.d.sync += [control.eq(0), next_control.eq(0), generate.eq(0), step.eq(_Step.LEAD)]
                m.d.sync += Cat(address, op).eq(Cat(address, op) + 1)
                if config.has_hmac:
                    m.d.comb += midstate.wipe.eq(1)
                with m.If(Cat(address, op).all()):
                    m.d.sync += self.ready.eq(1)
                    m.next = "IDLE"
                    with m.If(answering):
                        m.next = "RESULT"
            with m.State("RESULT"):
                m.d.comb += self.result.valid.eq(1)
                m.d.sync += answering.eq(0)
                with m.If(self.result.ready):
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.sync += [write.en.eq(self.window.en), code.eq(SAResult.INVALID), number.eq(0)]
                with m.If(self.cmd.valid):
                    with m.Switch(self.cmd.p.op):
                        with m.Case(SACommand.ADD.value, SACommand.UPDATE.value):
                            m.next = "LOAD"
                        with m.Case(SACommand.DELETE.value):
                            m.next = "TABLE"
                        with m.Case(SACommand.QUERY.value):
                            m.next = "TABLE"
                            if not config.lifetimes:
                                m.d.sync += code.eq(SAResult.UNSUPPORTED)
                                m.next = "DONE"
                        with m.Default():
                            m.next = "DONE"

            with m.State("LOAD"):
                m.d.sync += op.eq(1)
                m.next = "LOADING"
            with m.State("LOADING"):
                m.d.sync += op.eq(0)
                m.next = "FIRST"
            with m.State("FIRST"):
                m.d.sync += next_control.eq(window_word)
                m.next = "SECOND"
            with m.State("SECOND"):
                m.d.sync += [control.eq(next_control), next_control.eq(window_word)]
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += [
                    code.eq(verdict(config, control, next_control)),
                    generate[0].eq(takes_iv(config, control)),
                    generate[1].eq(takes_iv(config, next_control) & next_control.present),
                ]
                with m.If(updating):
                    m.d.sync += code.eq(SAResult.OK)
                    if not config.lifetimes:
                        with m.If(control.reserved[-1]):
                            m.d.sync += code.eq(SAResult.UNSUPPORTED)
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.next = "DONE"
                m.d.sync += [address.eq(_LIMITS), step.eq(_Step.LIMITS)]
                with m.If(code == SAResult.OK):
                    m.next = "FILL"
                    with m.If(updating):
                        m.next = "TABLE"
                    with m.Elif(self.free == 0):
                        m.d.sync += code.eq(SAResult.FULL)
                        m.next = "DONE"

            with m.State("FILL"):
                m.d.comb += from_window.eq(beat[1:].any())
                m.d.sync += beat.eq(beat + 1)
                with m.If(beat == 5):
                    m.d.sync += beat.eq(0)
                    m.next = "WRITE"
                    if config.has_mac_subkeys:
                        with m.If(step == _Step.MAC):
                            m.d.sync += keying.eq(1)
                            m.next = "MAC-KEY"
                with m.If(~beat[2]):
                    m.d.sync += address.eq(address + 1)
                if not config.lifetimes:
                    with m.If(limited & (step == _Step.LEAD)):
                        m.d.sync += [code.eq(SAResult.UNSUPPORTED), beat.eq(0)]
                        m.next = "DONE"
            with m.State("WRITE"):
                m.d.comb += self.write.valid.eq(1)
                with m.If(self.write.ready):
                    m.d.sync += number.eq(number + (step != _Step.IV))
                    with m.Switch(step):
                        with m.Case(_Step.LIMITS):
                            m.next = "FILL"
                            with m.If(number[0]):
                                m.d.sync += [address.eq(0), number.eq(0), step.eq(_Step.LEAD)]
                                with m.If(updating):
                                    m.next = "SEQ_HIGH"
                        with m.Case(_Step.LEAD):
                            m.d.sync += step.eq(_Step.IV)
                            m.next = "FILL"
                            with m.If(updating):
                                m.next = "NEXT"
                        with m.Case(_Step.IV):
                            m.d.sync += [step.eq(_Step.KEY), self.claim.eq(subkey)]
                            m.next = "FILL"
                        with m.Case(_Step.KEY, _Step.KEY_HIGH):
                            m.next = "KEY"
                            if config.has_ghash:
                                m.d.sync += keying.eq(subkey)
                        with m.Case(_Step.SUBKEY):
                            m.d.sync += self.claim.eq(0)
                            m.next = "NEXT"
                        if config.has_hmac:
                            with m.Case(_Step.INNER, _Step.OUTER):
                                m.next = "ANSWER"
                                with m.If(is_last_row(config, control.auth, number)):
                                    m.d.sync += [self.claim.eq(0), step.eq(_Step.OUTER)]
                                    m.next = "PAD"
                                    with m.If(step == _Step.OUTER):
                                        m.next = "NEXT"
                        if config.has_mac_subkeys:
                            with m.Case(_Step.MAC):
                                m.next = "BLOCK"
                                with m.If(number == MAC_SUBKEY_ROW + 1):
                                    m.d.sync += self.claim.eq(0)
                                    m.next = "NEXT"
                                with m.Elif(~xcbc & (number == MAC_SUBKEY_ROW)):
                                    m.next = "DOUBLE"
            with m.State("KEY"):
                beaten = Signal()
                m.d.comb += beaten.eq(~subkey)
                if config.has_ghash:
                    with m.If(self.granted & self.aes_key.ready):
                        m.d.comb += beaten.eq(1)
                        m.d.sync += keying.eq(0)
                with m.If(beaten):
                    m.d.sync += step.eq(_Step.KEY_HIGH)
                    m.next = "FILL"
                    with m.If(step == _Step.KEY_HIGH):
                        m.d.sync += [step.eq(_Step.INNER), number.eq(_INNER_ROW)]
                        m.next = after_keys
                        if config.has_ghash:
                            with m.If(subkey):
                                m.d.sync += [step.eq(_Step.SUBKEY), number.eq(_SUBKEY_ROW)]
                                m.next = "BLOCK"
                        if config.has_mac_subkeys:
                            # The window goes on with the authentication key.
                            with m.If(mac):
                                m.d.sync += [step.eq(_Step.MAC), number.eq(MAC_KEY_ROW), self.claim.eq(1)]
                                m.next = "FILL"
            if config.has_mac_subkeys:
                with m.State("MAC-KEY"):
                    # AES-128: the second beat is zero.
                    m.d.comb += [self.aes_key.p.data.eq(Mux(beat[0], 0, row)), self.aes_key.p.size.eq(0)]
                    with m.If(self.granted & self.aes_key.ready):
                        m.d.sync += beat.eq(beat + 1)
                        with m.If(beat[0]):
                            m.d.sync += [beat.eq(0), keying.eq(0)]
                            m.next = "WRITE"
                            with m.If(xcbc):
                                m.next = "BLOCK"
                with m.State("DOUBLE"):
                    m.d.comb += double.eq(1)
                    m.next = "WRITE"
            if uses_aes:
                with m.State("BLOCK"):
                    m.d.sync += offering.eq(1)
                    m.next = "TAKE"
                with m.State("TAKE"):
                    m.d.comb += [
                        word.eq(Array(self.aes_o.payload.word_select(3 - n, 32) for n in range(4))[beat[:2]]),
                        shift.eq(self.aes_o.valid),
                        self.aes_o.ready.eq(last_beat),
                    ]
                    m.d.sync += last_beat.eq(self.aes_o.valid & (beat == 2))
                    with m.If(self.aes_o.valid):
                        m.d.sync += beat.eq(beat + 1)
                        with m.If(beat == 3):
                            m.d.sync += beat.eq(0)
                            m.next = "WRITE"
                            if config.has_mac_subkeys:
                                with m.If(mac & ~xcbc):
                                    m.next = "DOUBLE"
            if config.has_hmac:
                with m.State("PAD"):
                    # The claim is low in this cycle, so the lane may come in between two midstates.
                    m.next = "NEXT"
                    with m.If(uses_hmac(config, control)):
                        m.d.comb += midstate.start.eq(1)
                        m.d.sync += self.claim.eq(1)
                        m.next = "ANSWER"
                with m.State("ANSWER"):
                    m.d.comb += [
                        read.addr.eq(Cat(midstate.address + _AUTH_KEY, op)),
                        word.eq(state_word),
                        shift.eq(came),
                    ]
                    m.d.sync += wanted.eq(~arrives)
                    with m.If(came):
                        m.d.sync += beat.eq(beat + 1)
                        with m.If(beat == 3):
                            m.d.sync += [beat.eq(0), wanted.eq(0)]
                            m.next = "WRITE"
            with m.State("NEXT"):
                m.d.sync += [control.eq(next_control), next_control.present.eq(0), op.eq(1)]
                m.d.sync += [address.eq(0), number.eq(0), step.eq(_Step.LEAD)]
                m.next = "FILL"
                with m.If(~next_control.present):
                    m.next = "TABLE"
                    with m.If(updating):
                        m.next = "DONE"
            with m.State("SEQ_HIGH"):
                m.d.sync += [address.eq(0), step.eq(_Step.LEAD)]
                m.next = "NEXT"
                with m.If(control.present):
                    m.next = "FILL"
            with m.State("TABLE"):
                m.d.comb += self.table_cmd.valid.eq(1)
                with m.If(self.table_cmd.ready):
                    m.next = "TABLE_RESULT"
            with m.State("TABLE_RESULT"):
                m.d.comb += self.table_result.ready.eq(1)
                m.d.sync += [op.eq(0), address.eq(0)]
                m.d.sync += [code.eq(self.table_result.p.code), handle.eq(self.table_result.p.handle)]
                with m.If(self.table_result.valid):
                    m.next = "DONE"
                    with m.If(updating & (self.table_result.p.code == SAResult.OK.value)):
                        m.next = "SEQ_HIGH"
                        with m.If(control.reserved[-1]):
                            m.d.sync += address.eq(_LIMITS)
                            m.next = "FILL"
            with m.State("DONE"):
                m.d.comb += self.cmd.ready.eq(1)
                # The window is emptied from its first word on.
                m.d.sync += [answering.eq(1), op.eq(0), address.eq(0)]
                m.next = "EMPTY"
        return m
