#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the published test vectors that the tests compare, by algorithm, in the RTL and in the golden model.

``.venv/bin/python scripts/count_vectors.py`` prints the table of README.md; ``--check`` exits with 1 where README.md
says otherwise. Nothing is simulated: each test is called up to the point where it hands its vectors to its driver,
and what it hands over is counted. A vector that several tests or parameters share counts once.
"""

import argparse
import importlib
import inspect
import itertools
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("hdl", "sim", "tb", "tb/unit")]

SOURCES = {
    "AES block": "FIPS 197, NIST CAVP",
    "AES-CBC": "NIST CAVP, RFC 3602",
    "AES-CTR": "RFC 3686",
    "AES-GCM": "NIST CAVP, draft-mcgrew-gcm-test",
    "AES-GMAC": "draft-mcgrew-gcm-test",
    "GHASH": "McGrew and Viega, NIST CAVP",
    "AES-CCM": "NIST CAVP",
    "AES-CMAC": "SP 800-38B, RFC 4494",
    "AES-XCBC": "RFC 3566",
    "DES": "NIST CAVP, FIPS 81",
    "3DES": "NIST CAVP",
    "ChaCha20": "RFC 8439",
    "Poly1305": "RFC 8439",
    "ChaCha20-Poly1305": "RFC 7634",
    "MD5": "RFC 1321",
    "SHA-1": "NIST CAVP",
    "SHA-256": "NIST CAVP",
    "SHA-384": "NIST CAVP",
    "SHA-512": "NIST CAVP",
    "HMAC-MD5": "RFC 2202",
    "HMAC-SHA-1": "RFC 2202",
    "HMAC-SHA-256": "RFC 4231, RFC 4868",
    "HMAC-SHA-384": "RFC 4231, RFC 4868",
    "HMAC-SHA-512": "RFC 4231, RFC 4868",
}

_OPS = {
    "aes-cbc": "AES-CBC", "aes-ctr": "AES-CTR", "aes-gcm": "AES-GCM", "aes-gmac": "AES-GMAC", "aes-ccm": "AES-CCM",
    "des-cbc": "DES", "3des-cbc": "3DES", "chacha20-poly1305": "ChaCha20-Poly1305",
}
_MACS = {
    "hmac-md5-96": "HMAC-MD5", "hmac-sha1-96": "HMAC-SHA-1", "hmac-sha256-128": "HMAC-SHA-256",
    "hmac-sha384-192": "HMAC-SHA-384", "hmac-sha512-256": "HMAC-SHA-512", "aes-cmac-96": "AES-CMAC",
    "aes-xcbc-96": "AES-XCBC",
}


class _Enough(Exception):
    """The driver was reached; what follows would be simulation."""


def _hash_name(core, iv):
    if core.__name__ == "Sha512":
        return "SHA-512" if iv in (None, core.IV) else "SHA-384"
    return {"Md5": "MD5", "Sha1": "SHA-1", "Sha256": "SHA-256"}[core.__name__]


def _digest(core, messages, iv=None, size=None):
    return [(_hash_name(core, iv), message) for message in messages]


def _hmac(core, cases, reference, iv=None):
    return [(f"HMAC-{_hash_name(core, iv)}", case) for case in cases]


def _icvs(name, requests):
    return [({"sha1": "HMAC-SHA-1", "sha256": "HMAC-SHA-256"}[name], request[:2]) for request in requests]


def _keyed(algorithm):
    return lambda cases: [(algorithm, (key, repr(request))) for key, request in cases]


def _protect(op, esp, esn_high=None):
    # One printed packet is tried with every length of ICV.
    return [(_OPS[op.encr_alg], (op.encr_key, esp[: len(esp) - op.icv_len]))]


def _mac(name, key, message):
    return [(_MACS[name], (key, message))]


#: Module, its tests of published vectors, and the functions that get the vectors, with how to count their arguments.
RTL = [
    ("test_aes", "test_fips197_appendix_c test_nist", {
        "run_aes": lambda dut, batches: [
            ("AES block", (key, text[at : at + 16])) for key, text in batches for at in range(0, len(text), 16)
        ]}),
    ("test_ghash", "test_mcgrew_viega test_nist_gcm", {
        "run_ghash": lambda dut, batches: [("GHASH", (h, tuple(blocks))) for h, blocks in batches]}),
    ("test_des", "test_nist_single test_nist_triple", {
        "encrypt": lambda cases: [("DES" if len(case[0]) == 8 else "3DES", case) for case in cases]}),
    ("test_chacha20", "test_rfc_8439_block test_rfc_8439_appendix", {"make": _keyed("ChaCha20")}),
    ("test_poly1305", "test_rfc_8439", {"authenticate": _keyed("Poly1305")}),
    ("test_md5", "test_rfc_1321 test_hmac_rfc_2202", {"digest": _digest, "hmac": _hmac}),
    ("test_sha1", "test_nist test_hmac_rfc_2202", {"digest": _digest, "hmac": _hmac}),
    ("test_sha256", "test_nist test_hmac_rfc_4231", {"digest": _digest, "hmac": _hmac}),
    ("test_sha512", "test_nist test_hmac_rfc_4231", {"digest": _digest, "hmac": _hmac}),
    ("test_hmac", "test_rfc_2202_and_4231", {"icvs": _icvs}),
    ("test_cipher", "test_nist_cbc test_nist_gcm", {
        "cbc": lambda cases: [("AES-CBC", case) for case in cases],
        "gcm": lambda cases: [("AES-GCM", case) for case in cases]}),
    ("test_cbc_mac", "test_rfc_3566 test_nist_800_38b", {
        "macs": lambda requests: [(_MACS[name], (key, message)) for name, key, message, _ in requests]}),
]
#: The model is quick, so its tests run to their ends and the calls they make are counted.
MODEL = [
    ("model.test_nist", "test_gcm test_cbc test_ccm test_des test_3des test_hmac test_cmac", {
        "encrypt": lambda op, iv, plain: [(_OPS[op.encr_alg], (op.encr_key, iv, plain))],
        "seal": lambda op, iv, aad, plain: [(_OPS[op.encr_alg], (op.encr_key, op.salt + iv, aad, plain))],
        "gmac": lambda key, iv, aad: [("AES-GCM", (key, iv, aad, b""))],
        "mac": _mac}),
    ("model.test_vectors",
     "test_rfc3602_esp_cbc test_mcgrew_gcm_esp test_mcgrew_gmac_esp test_rfc7634_chacha20_poly1305_esp"
     " test_rfc3566_xcbc test_rfc4494_cmac test_rfc4868_hmac test_rfc3686_ctr test_fips81_des_cbc", {
        "protect": _protect,
        "aes_xcbc": lambda key, message: [("AES-XCBC", (key, message))],
        "encrypt": lambda op, iv, plain: [(_OPS[op.encr_alg], (op.encr_key, iv, plain))],
        "mac": _mac}),
]


def _arguments(test):
    """Keyword arguments of each parametrization of ``test``."""
    choices = []
    for mark in getattr(test, "pytestmark", []):
        names, values = mark.args[:2]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        choices.append([dict(zip(names, value if len(names) > 1 else (value,), strict=True)) for value in values])
    for picked in itertools.product(*choices):
        yield {name: value for one in picked for name, value in one.items()}


def _watch(module, name, identify, record, simulated):
    """Have ``module`` tell ``record`` the vectors that the function ``name`` gets."""
    original = getattr(module, name)

    def driver(*args, **kwargs):
        record(identify(*args, **kwargs))
        if simulated:
            raise _Enough
        return original(*args, **kwargs)

    setattr(module, name, driver)


def count(plan, simulated):
    """Distinct vectors by algorithm; with ``simulated`` each test ends where its driver is called."""
    found, calls = defaultdict(set), []

    def record(vectors):
        calls.append(len(vectors))
        for algorithm, vector in vectors:
            found[algorithm].add(vector)

    for module_name, tests, drivers in plan:
        module = importlib.import_module(module_name)
        for name, identify in drivers.items():
            _watch(module, name, identify, record, simulated)
        for name in tests.split():
            test = getattr(module, name)
            for arguments in _arguments(test):
                if set(inspect.signature(test).parameters) != set(arguments):
                    raise TypeError(f"{module_name}.{name} takes more than its parametrization gives")
                calls.clear()
                with suppress(_Enough):
                    test(**arguments)
                if not sum(calls):
                    raise RuntimeError(f"{module_name}.{name} gave no vector to {' or '.join(drivers)}")
    return {algorithm: len(vectors) for algorithm, vectors in found.items()}


def table():
    """The Markdown table."""
    rtl, model = count(RTL, simulated=True), count(MODEL, simulated=False)
    if unknown := (set(rtl) | set(model)) - set(SOURCES):
        raise RuntimeError(f"no source is named for {', '.join(sorted(unknown))}")
    lines = ["| algorithm | RTL | model | vectors of |", "|---|--:|--:|---|"]
    for algorithm, source in SOURCES.items():
        lines.append(f"| {algorithm} | {rtl.get(algorithm, '')} | {model.get(algorithm, '')} | {source} |")
    lines.append(f"| sum | {sum(rtl.values())} | {sum(model.values())} | |")
    return "\n".join(lines)


def main():
    """Print the table, or with ``--check`` compare it with README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if README.md does not hold the table")
    options = parser.parse_args()
    made = table()
    if not options.check:
        print(made)
    elif made not in (ROOT / "README.md").read_text():
        sys.exit(f"README.md does not hold this table:\n{made}")


if __name__ == "__main__":
    main()
