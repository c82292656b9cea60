#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/conformance.md from scripts/conformance.toml: what NDIS asks, what nicsec does, which tests show it.

``.venv/bin/python scripts/conformance.py`` writes the page; ``--check`` exits with 1 where the page is out of date. A
test that pytest does not collect is an error; algorithms without RTL are those that the configuration refuses.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("hdl", "sim")]
PAGE = ROOT / "docs" / "conformance.md"

HEAD = """<!-- Made by scripts/conformance.py from scripts/conformance.toml; not to be edited. -->
# Conformance

What NDIS IPsec task offload asks of the send path, version 1 and version 2, and what nicsec does. A test runs the RTL
if it lies in `unit/` or `system/` and the model if in `model/`; paths are below `tb/`. "In `full`" marks what `basic`
leaves out: cores and model are tested on their own, and `make mix` (preset `full`, random packets, each judged by the
model) runs the whole engine.
"""

#: What no configuration can turn on.
NOT_BUILT = [
    "segmentation (LSO), and with it the ESP trailer made by the NIC: refused as `unsupported`",
    "lifetimes in seconds: the host's clock counts them",
    "the receive path: statuses 2 to 5 are never sent",
]


def collected():
    """Ids of all tests without parameters, below tb/."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tb"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"pytest could not collect the tests:\n{found.stdout}{found.stderr}")
    return {line.partition("[")[0].removeprefix("tb/") for line in found.stdout.splitlines() if "::" in line}


def page(sections, known):
    """The text of the page; raises ``ValueError`` that names a test or row which is wrong."""
    parts = [HEAD]
    for section in sections:
        columns = ["", *section["columns"], "shown by"]
        parts.append(f"\n## {section['title']}\n\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|\n")
        for *cells, tests in section["rows"]:
            if len(cells) != len(columns) - 1:
                raise ValueError(f"row {cells[0]!r} must have {len(columns)} cells, not {len(cells) + 1}")
            for test in tests.split():
                if test not in known:
                    raise ValueError(f"row {cells[0]!r}: pytest collects no {test}")
            told = "<br>".join(f"`{test}`" for test in tests.split()) or "-"
            parts.append("| " + " | ".join([*cells, told]) + " |\n")
    parts.append("\n## Not built\n\n" + "".join(f"- {item}\n" for item in NOT_BUILT))
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    check = parser.parse_args().check
    sections = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["section"]
    try:
        text = page(sections, collected())
    except ValueError as error:
        sys.exit(f"conformance.toml: {error}")
    if not check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit("docs/conformance.md is out of date: run scripts/conformance.py")


if __name__ == "__main__":
    main()
