# SPDX-License-Identifier: Apache-2.0
"""NIST's response files of PyPI's cryptography_vectors."""

from pathlib import Path

import cryptography_vectors

__all__ = ["VECTORS", "records"]

VECTORS = Path(cryptography_vectors.__file__).parent


def records(path):
    """Records of a response file as dicts, with the values that stand ahead of them for a whole section."""
    section, record = {}, {}
    for line in [*(VECTORS / path).read_text().splitlines(), ""]:
        if line.startswith("#"):
            continue
        name, _, value = (part.strip() for part in line.strip("[]\r").partition("="))
        if line.startswith("["):
            section[name] = value
        elif name:
            record[name] = value
        elif record:
            if set(record) & {"Count", "COUNT", "Len"}:
                yield {**section, **record}
            else:
                section.update(record)
            record = {}
