#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/conformance.md from scripts/conformance.toml: what NDIS asks, what nicsec does, which tests show it.

``.venv/bin/python scripts/conformance.py build/tests.xml`` writes the page from what pytest said of a run
(``--junitxml``, as `make test` calls it); ``--check`` exits with 1 where the page is out of date. A test that did not
run and pass, with all of its parameters, is an error.
"""

import argparse
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
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


def passed(results):
    """Ids of the tests that ran and passed, without parameters, below tb/; ``results`` is a file of ``--junitxml``."""
    ran, bad = set(), set()
    for case in ElementTree.parse(results).iter("testcase"):
        module, name = case.get("classname").replace(".", "/"), case.get("name").partition("[")[0]
        test = f"{module.removeprefix('tb/')}.py::{name}"
        (bad if any(case.find(kind) is not None for kind in ("failure", "error")) else ran).add(test)
        if case.find("skipped") is not None:
            bad.add(test)
    return ran - bad


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
                    raise ValueError(f"row {cells[0]!r}: {test} did not run and pass")
            told = "<br>".join(f"`{test}`" for test in tests.split()) or "-"
            parts.append("| " + " | ".join([*cells, told]) + " |\n")
    parts.append("\n## Not built\n\n" + "".join(f"- {item}\n" for item in NOT_BUILT))
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    parser.add_argument("results", type=Path, help="what pytest wrote with --junitxml")
    given = parser.parse_args()
    check = given.check
    sections = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["section"]
    try:
        text = page(sections, passed(given.results))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        sys.exit(f"conformance.toml: {error}")
    if not check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit("docs/conformance.md is out of date: run scripts/conformance.py build/tests.xml")


if __name__ == "__main__":
    main()
