# SPDX-License-Identifier: Apache-2.0
"""Replay ops as words of ``ip xfrm``: state and policy of one scenario."""

__all__ = ["policy", "state"]

#: Names of the kernel's algorithms (net/xfrm/xfrm_algo.c); AEADs with their name in RFC dress.
_ENCR = {"null": "ecb(cipher_null)", "aes-cbc": "cbc(aes)", "aes-ctr": "rfc3686(ctr(aes))", "des-cbc": "cbc(des)",
         "3des-cbc": "cbc(des3_ede)"}
_AEAD = {"aes-gcm": "rfc4106(gcm(aes))", "aes-gmac": "rfc4543(gcm(aes))", "aes-ccm": "rfc4309(ccm(aes))",
         "chacha20-poly1305": "rfc7539esp(chacha20,poly1305)"}
_AUTH = {"hmac-md5-96": "hmac(md5)", "hmac-sha1-96": "hmac(sha1)", "hmac-sha256-128": "hmac(sha256)",
         "hmac-sha384-192": "hmac(sha384)", "hmac-sha512-256": "hmac(sha512)", "aes-xcbc-96": "xcbc(aes)",
         "aes-cmac-96": "cmac(aes)"}


def _hex(*parts):
    text = "".join(part or "" for part in parts)
    return f"0x{text}" if text else '""'


def _algorithms(op):
    if op["protocol"] == "esp" and op["encr_alg"] in _AEAD:
        return f"aead {_AEAD[op['encr_alg']]} {_hex(op['encr_key'], op['salt'])} {8 * op['icv_len']}"
    words = []
    if op.get("auth_alg"):
        words.append(f"auth-trunc {_AUTH[op['auth_alg']]} {_hex(op['auth_key'])} {8 * op['icv_len']}")
    if op["protocol"] == "esp":
        words.append(f"enc {_ENCR[op['encr_alg']]} {_hex(op.get('encr_key'), op.get('salt'))}")
    return " ".join(words)


def state(sa, mark):
    """The line for ``ip -batch`` that adds an SA of the plan."""
    op = sa["op"]
    words = [f"xfrm state add src {sa['src']} dst {sa['dst']} proto {op['protocol']} spi {op['spi']}",
             f"reqid {sa['reqid']} mode {sa['mode']} mark {mark}"]
    # Without af-unspec an SA would take only flows of its own family, and not what comes out of a mixed tunnel.
    flags = ["af-unspec"] + ["align4"] * sa.get("align4", False)
    if op.get("esn"):
        flags.append("esn")
        words.append(f"replay-window 32 replay-oseq-hi {sa['oseq_high']}")
    words.append(f"replay-oseq {sa['oseq']}")
    words.append(f"flag {' '.join(flags)}")
    words.append(_algorithms(op))
    if op.get("udp_encap"):
        words.append(f"encap espinudp {sa['sport']} 4500 {'::' if ':' in sa['src'] else '0.0.0.0'}")
    if sa.get("tfcpad"):
        words.append(f"tfcpad {sa['tfcpad']}")
    return " ".join(words)


def policy(src, dst, sas, mark):
    """The line that sends packets of ``mark`` through ``sas``, innermost first."""
    words = [f"xfrm policy add dir out src {src} dst {dst} mark {mark}"]
    for sa in sas:
        # In transport mode the ends say no more than the family, which behind a tunnel may be another.
        words.append(f"tmpl src {sa['src']} dst {sa['dst']} proto {sa['op']['protocol']} reqid {sa['reqid']}"
                     f" mode {sa['mode']}")
    return " ".join(words)
