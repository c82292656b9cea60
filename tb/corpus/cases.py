# SPDX-License-Identifier: Apache-2.0
"""Lines of the corpus: a finished frame and the SAs that made it, as a replay case."""

from corpus.host_form import host_form

__all__ = ["case"]


def suite(op):
    """An op's algorithms in a word."""
    words = [op["protocol"]]
    if op.get("encr_alg"):
        words.append(op["encr_alg"] + (f"-{4 * len(op['encr_key'])}" if op.get("encr_key") else ""))
    if op.get("auth_alg"):
        words.append(op["auth_alg"])
    return ":".join(words) + f"/{op['icv_len']}" + ("/esn" if op.get("esn") else "")


def case(number, name, version, stack, frame, bundles, rng):
    host, found = host_form(frame, bundles, rng)
    words = [f"{number:04d} {name}, ipv{version}"] + [suite(op) for bundle in found for op in bundle["ops"]]
    return {"id": ", ".join(words), "stack": stack, "shape": name, "layer": "ethernet", "frame": host.hex(),
            "sa1": found[0], "sa2": found[1] if len(found) == 2 else None, "esn_high": None, "expect": frame.hex()}
