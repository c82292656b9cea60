# SPDX-License-Identifier: Apache-2.0
"""Which bundles a build accepts, judged from the CONTROL words of their ops."""

from amaranth import *

from .algorithm import Auth, Encr, SAResult
from .config import AUTH_NAMES, ENCR_NAMES
from .share import HASH_OF
from .suite import is_any

__all__ = ["needs_subkey", "takes_iv", "uses_cbc_mac", "uses_hmac", "verdict"]

#: ICV lengths in 32-bit words: RFC 4106 section 6, 4543 section 3.2, 4309 section 6, 7634 section 2.
_AEAD_ICVS = {
    Encr.AES_GCM: (2, 3, 4),
    Encr.AES_GMAC: (4,),
    Encr.AES_CCM: (2, 3, 4),
    Encr.CHACHA20_POLY1305: (4,),
}

#: RFC 2403, 2404, 4868, 3566, 4494, 4543. SHA-256 cut to 96 bits came before RFC 4868 and is still met.
_AUTH_ICVS = {
    Auth.HMAC_MD5: (3,),
    Auth.HMAC_SHA1: (3,),
    Auth.HMAC_SHA256: (3, 4),
    Auth.HMAC_SHA384: (6,),
    Auth.HMAC_SHA512: (8,),
    Auth.AES_XCBC: (3,),
    Auth.AES_CMAC: (3,),
    Auth.AES_GMAC: (4,),
}

_AES_ENCR = (Encr.AES_CBC, Encr.AES_GCM, Encr.AES_CTR, Encr.AES_GMAC, Encr.AES_CCM)


def _built(config):
    return [ENCR_NAMES[name] for name in config.encr], [AUTH_NAMES[name] for name in config.auth]


def _icv(selector, words, table, members):
    return Cat(*((selector == member) & is_any(words, table[member]) for member in members)).any()


def needs_subkey(config, control):
    """Whether an op authenticates with GHASH: ESP with AES-GCM or AES-GMAC, AH with AES-GMAC."""
    encrs, auths = _built(config)
    esp = is_any(control.encr, [encr for encr in encrs if encr in (Encr.AES_GCM, Encr.AES_GMAC)])
    ah = is_any(control.auth, [auth for auth in auths if auth == Auth.AES_GMAC])
    return Mux(control.ah, ah, esp)


def uses_hmac(config, control):
    """Whether an op authenticates with an HMAC."""
    return is_any(control.auth, [AUTH_NAMES[name] for name in config.auth if name in HASH_OF])


def uses_cbc_mac(config, control):
    """Whether an op authenticates with AES-XCBC or AES-CMAC."""
    return is_any(control.auth, [auth for auth in _built(config)[1] if auth in (Auth.AES_XCBC, Auth.AES_CMAC)])


def takes_iv(config, control):
    """Whether an op takes a value of its IV counter for each packet: it generates IVs and has one."""
    encrs, auths = _built(config)
    esp = is_any(control.encr, [encr for encr in encrs if encr != Encr.NULL])
    ah = is_any(control.auth, [auth for auth in auths if auth == Auth.AES_GMAC])
    return control.iv_generate & Mux(control.ah, ah, esp)


def _esp(config, control, under_ah):
    """(supported, sound) of an ESP op."""
    encrs, auths = _built(config)
    aeads = [encr for encr in encrs if encr in _AEAD_ICVS]
    # As ESP, AES-GMAC is an encryption algorithm (RFC 4543 section 3).
    macs = [auth for auth in auths if auth != Auth.AES_GMAC]
    alone = control.auth == Auth.NONE
    separate = _icv(control.auth, control.icv_words, _AUTH_ICVS, macs)
    none = alone & under_ah & (control.icv_words == 0)
    aead = _icv(control.encr, control.icv_words, _AEAD_ICVS, aeads)
    icv = Mux(is_any(control.encr, aeads), alone & aead, separate | none)
    bad_key = is_any(control.encr, [encr for encr in encrs if encr in _AES_ENCR]) & (control.key_size == 3)
    return is_any(control.encr, encrs) & (alone | is_any(control.auth, auths)), icv & ~bad_key


def _ah(config, control):
    """(supported, sound) of an AH op."""
    _, auths = _built(config)
    icv = _icv(control.auth, control.icv_words, _AUTH_ICVS, auths)
    bad_key = is_any(control.auth, [auth for auth in auths if auth == Auth.AES_GMAC]) & (control.key_size == 3)
    sound = icv & (control.encr == Encr.NULL) & ~control.udp_encap & ~bad_key
    return (control.auth == Auth.NONE) | is_any(control.auth, auths), sound


def verdict(config, first, second):
    """The :class:`SAResult` for a bundle whose ops have the CONTROL words ``first`` and ``second``.

    In this order. INVALID: no op, an op 1 that is not AH, or AH in both. UNSUPPORTED: an algorithm that is no number of
    the ABI or not in this build. INVALID: an ICV length that the algorithm does not have, an AEAD beside an
    authentication algorithm, AH with encryption or UDP encapsulation, ESP without ICV that no AH follows, AES key size
    3, ops that differ in tunnel mode, reserved bits. Fields that an algorithm has no use for are not looked at.
    """
    shape = first.present & (~second.present | (~first.ah & second.ah))
    esp_supported, esp_sound = _esp(config, first, second.present)
    lone_supported, lone_sound = _ah(config, first)
    ah_supported, ah_sound = _ah(config, second)
    supported = Mux(first.ah, lone_supported, esp_supported) & (~second.present | ah_supported)
    tidy = ah_sound & (second.tunnel == first.tunnel) & (second.reserved == 0)
    sound = Mux(first.ah, lone_sound, esp_sound) & (~second.present | tidy) & (first.reserved == 0)
    return Mux(
        shape,
        Mux(supported, Mux(sound, SAResult.OK, SAResult.INVALID), SAResult.UNSUPPORTED),
        SAResult.INVALID,
    )
