# SPDX-License-Identifier: Apache-2.0
"""What follows from the algorithms of an op: IV, alignment and which core does the work."""

from amaranth import *

from .algorithm import Auth, Encr
from .config import ENCR_NAMES

__all__ = ["ah_iv_words", "all_of", "built", "encrypts_with", "esp_align_mask", "esp_iv_words", "is_any", "iv_ops",
           "judges_iv"]


def is_any(value, members):
    """Whether ``value`` is one of ``members``; constant 0 for none."""
    return Cat(*(value == member for member in members)).any() if members else C(0, 1)


def built(config, *members):
    """Those of ``members`` that the config builds, so that the others cost nothing."""
    names = {number: name for name, number in ENCR_NAMES.items()}
    return [member for member in members if names[member] in config.encr]


def encrypts_with(config, encr, *members):
    """Whether ``encr``, that of an ESP op, is one of ``members``; constant where all or none of what is built are,
    since the SA table holds no other."""
    chosen = built(config, *members)
    return C(1, 1) if len(chosen) == len(config.encr) else is_any(encr, chosen)


def all_of(*terms):
    """AND of single bits, constant as soon as one of them is constant 0; constants 1 cost nothing."""
    variable = [term for term in terms if not isinstance(term, Const)]
    if any(isinstance(term, Const) and not term.value for term in terms):
        return C(0, 1)
    return Cat(variable).all() if variable else C(1, 1)


def esp_iv_words(config, encr):
    """Words of the IV field behind an ESP header: 4 for AES-CBC, 2 for the counter modes and DES."""
    return Cat(
        C(0, 1),
        encrypts_with(config, encr, *(e for e in Encr if e not in (Encr.NULL, Encr.AES_CBC))),
        encrypts_with(config, encr, Encr.AES_CBC),
    )


def esp_align_mask(config, encr):
    """Low bits of a payload length that must be zero: alignment less one (RFC 4303 section 2.4)."""
    cbc = encrypts_with(config, encr, Encr.AES_CBC)
    des = encrypts_with(config, encr, Encr.DES_CBC, Encr.TDES_CBC)
    return Cat(C(3, 2), cbc | des, cbc)


def ah_iv_words(config, auth):
    """Words of IV ahead of the tag in an AH ICV field: 2 for AES-GMAC (RFC 4543 section 4)."""
    return Cat(C(0, 1), is_any(auth, [Auth.AES_GMAC] if "aes-gmac" in config.auth else []))


def iv_ops(config):
    """Ops of a bundle that may have an IV: op 1 is AH, which has one with AES-GMAC alone."""
    return 2 if "aes-gmac" in config.auth else 1


def judges_iv(config, control):
    """Whether an op takes its IV from the frame and must never take one twice (docs/design.md section 5.1)."""
    nonces = (Encr.AES_GCM, Encr.AES_GMAC, Encr.AES_CTR, Encr.AES_CCM, Encr.CHACHA20_POLY1305)
    esp = encrypts_with(config, control.encr, *nonces)
    return ~control.iv_generate & Mux(control.ah, ah_iv_words(config, control.auth).any(), esp)
