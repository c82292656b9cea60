# SPDX-License-Identifier: Apache-2.0
"""Layouts of the SA table, in one place for key setup, look-up and lane (docs/design.md sections 6 and 7)."""

from amaranth import *
from amaranth.lib import data, enum

from .algorithm import Auth, Encr

__all__ = [
    "MAC_KEY_ROW",
    "MAC_SUBKEY_ROW",
    "OPS",
    "SA_ROW_WIDTH",
    "Control",
    "EventLayout",
    "Found",
    "HandleLayout",
    "IVCheck",
    "LeadRow",
    "LimitsLayout",
    "LookUp",
    "RowKind",
    "RowRequest",
    "RowWrite",
    "SlotState",
    "TableCommand",
    "TableOp",
    "TableResult",
    "UsageLayout",
    "hash_block_words",
    "hash_state_words",
    "inner_row",
    "is_last_row",
    "outer_row",
    "row_address",
    "rows_per_op",
    "slot_bits",
    "slot_ram",
]

#: Operations of a bundle: ESP, then AH.
OPS = 2
#: Bits of a row.
SA_ROW_WIDTH = 128

#: AES-XCBC and AES-CMAC: row of the key of the chain; of the mask of a full last block. That of a padded one is next.
MAC_KEY_ROW = 4
MAC_SUBKEY_ROW = 5

#: Slots that a LUT RAM holds a bit of: above it, a memory with few bits a slot is cheaper as a block RAM.
_LUT_RAM_DEPTH = 16


class Control(data.Struct):
    """CONTROL word of an op (design.md section 6), least significant field first."""

    present: 1
    ah: 1
    tunnel: 1
    iv_generate: 1
    esn: 1
    udp_encap: 1
    key_size: 2
    encr: Encr
    auth: Auth
    icv_words: 4
    reserved: 12


assert Control.as_shape().size == 32


class LeadRow(data.Struct):
    """Row 0 of an op: what the walker needs before any key."""

    seq_high: 32
    salt: 32
    spi: 32
    control: Control


assert LeadRow.as_shape().size == SA_ROW_WIDTH


class SlotState(enum.Enum, shape=2):
    """Life of a slot. Only ``VALID`` answers a look-up."""

    FREE = 0
    VALID = 1
    DRAINING = 2


#: A handle as software holds it.
HandleLayout = data.StructLayout({"slot": 16, "generation": 16})


def _has_wide_hash(config):
    return bool({"hmac-sha384-192", "hmac-sha512-256"} & {*config.auth})


def rows_per_op(config):
    """Rows of an op, a power of two: 16 with SHA-384 or SHA-512, else 8."""
    return 16 if _has_wide_hash(config) else 8


def row_address(slot, op, row):
    """Row address ``(slot * OPS + op) * rows_per_op + row``, of values as wide as :class:`RowRequest` has them."""
    return Cat(row, op, slot)


def inner_row(auth):
    """First row of the HMAC inner midstate."""
    return 4


def outer_row(auth):
    """First row of the HMAC outer midstate of ``auth``, an :class:`Auth`."""
    return 8 if auth in (Auth.HMAC_SHA384, Auth.HMAC_SHA512) else 6


def is_last_row(config, auth, row):
    """Whether ``row`` ends a midstate, for hardware: two rows, or four with SHA-384 and SHA-512."""
    if not _has_wide_hash(config):
        return row[0]
    wide = (auth == Auth.HMAC_SHA384) | (auth == Auth.HMAC_SHA512)
    return row[0] & (row[1] | ~wide)


def hash_state_words(auth):
    """32-bit words of the chaining state under ``auth``."""
    return {Auth.HMAC_MD5: 4, Auth.HMAC_SHA1: 5, Auth.HMAC_SHA256: 8, Auth.HMAC_SHA384: 16, Auth.HMAC_SHA512: 16}[auth]


def hash_block_words(auth):
    """32-bit words of the hash block under ``auth``."""
    return 32 if auth in (Auth.HMAC_SHA384, Auth.HMAC_SHA512) else 16


def slot_bits(config):
    """Bits of a slot index."""
    return (config.sa_slots - 1).bit_length()


def slot_ram(config):
    """Attributes of a memory of a few bits a slot, of which no word is used that is read while it is written."""
    style = {} if config.sa_slots <= _LUT_RAM_DEPTH else {"ram_style": "block"}
    return {**style, "no_rw_check": 1}


#: A look-up: the handle, and the bytes that the packet counts for.
LookUp = data.StructLayout({"handle": 32, "length": 16})


class Found(data.StructLayout):
    """Answer of a look-up: ``ok``, ``expired``, ``exhausted``, ``slot``, and per op the IV value taken."""

    def __init__(self, config):
        iv = data.ArrayLayout(64, OPS)
        super().__init__({"ok": 1, "expired": 1, "exhausted": 1, "slot": slot_bits(config), "iv": iv})


class RowRequest(data.StructLayout):
    """Address of a row: slot, op, row of the op."""

    def __init__(self, config):
        row = (rows_per_op(config) - 1).bit_length()
        super().__init__({"slot": slot_bits(config), "op": 1, "row": row})


class RowKind(enum.Enum, shape=2):
    """What a :class:`RowWrite` writes."""

    ROW = 0
    IV = 1  #: ``data[63:0]``: first value of the op's IV counter
    LIMITS = 2  #: ``data[47:0]`` the soft and ``data[111:64]`` the hard limit; ``row`` 0 of packets, 1 of bytes
    SEQ_HIGH = 3  #: ``data[31:0]``: that field of row 0


class RowWrite(data.StructLayout):
    """A row, or what ``kind`` says, for the slot that the next add will take, or with ``update`` the last one named."""

    def __init__(self, config):
        row = (rows_per_op(config) - 1).bit_length()
        super().__init__({"data": SA_ROW_WIDTH, "op": 1, "row": row, "kind": RowKind, "update": 1})


class IVCheck(data.StructLayout):
    """An IV that a frame brought for an op."""

    def __init__(self, config):
        super().__init__({"slot": slot_bits(config), "op": 1, "iv": 64})


class TableOp(enum.Enum, shape=2):
    """Commands of key setup to the table."""

    ADD = 0
    DELETE = 1
    UPDATE = 2
    QUERY = 3


#: Command of key setup to the table; ``generate`` bit n: op n of the new SA takes IV-counter values.
TableCommand = data.StructLayout({"op": TableOp, "handle": 32, "generate": OPS})
#: Outcome: a :class:`~nicsec.algorithm.SAResult` and, after an add, the handle.
TableResult = data.StructLayout({"code": 8, "handle": 32})
#: Soft and hard limit of packets or of bytes; 0 is none.
LimitsLayout = data.StructLayout({"soft": 48, "hard": 48})
#: What an SA has counted.
UsageLayout = data.StructLayout({"packets": 48, "bytes": 48, "errors": 32})
#: Limits that an SA has reached: soft packets, soft bytes, hard packets, hard bytes.
EventLayout = data.StructLayout({"handle": 32, "kinds": 4})
