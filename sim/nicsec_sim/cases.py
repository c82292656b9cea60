# SPDX-License-Identifier: Apache-2.0
"""Cases and results of ``nicsec replay``: one JSON object a line.

In: ``{"id", "layer", "frame", "sa1", "sa2", "esn_high"}``; the last three may be left out, and fields of other names
are passed over, so that a file may say what it expects. Out: ``{"id", "status", "frame", "cycles"}``, and ``"error"``
for a line that could not be read.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model.sa import Bundle
from .ndis.player import Packet

__all__ = ["BadLine", "Case", "missing_algorithm", "read_lines", "result_line"]

LAYERS = ("ethernet", "ip")
#: What a frame of layer ``ip`` gets in front of its EtherType.
_ADDRESSES = bytes.fromhex("020000000002 020000000001")


@dataclass(frozen=True)
class BadLine:
    """A line that is no case: its number, from 1, its id where it could be read, and what is wrong with it."""

    number: int
    id: str | None
    text: str

    @property
    def error(self) -> str:
        return f"line {self.number}: {self.text}"


@dataclass(frozen=True)
class Case:
    """One frame to protect; see the replay contract."""

    number: int
    id: str
    layer: str
    frame: bytes
    sa1: Bundle | None = None
    sa2: Bundle | None = None
    esn_high: int | None = None

    def wrap(self) -> bytes:
        """The Ethernet frame to send."""
        if self.layer == "ethernet":
            return self.frame
        return _ADDRESSES + (b"\x86\xdd" if self.frame[0] >> 4 == 6 else b"\x08\x00") + self.frame

    def unwrap(self, frame: bytes) -> bytes:
        """The frame of the case's layer out of what the engine sent."""
        return frame if self.layer == "ethernet" else frame[len(_ADDRESSES) + 2 :]

    def packet(self) -> tuple[Packet, dict[str, Bundle]]:
        """The packet, and its SAs by names that no other case uses."""
        bundles = {f"{self.number}.{n}": sa for n, sa in ((1, self.sa1), (2, self.sa2)) if sa is not None}
        names = [name if (name := f"{self.number}.{n}") in bundles else None for n in (1, 2)]
        return Packet(self.wrap(), *names, esn_high=self.esn_high), bundles


def _bundle(name: str, values: Any) -> Bundle | None:
    if values is None:
        return None
    try:
        return Bundle.from_json(values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _parse(number: int, values: Any) -> Case:
    if not isinstance(values, dict):
        raise ValueError(f"a case must be an object, not {type(values).__name__}")
    for name in ("id", "layer", "frame"):
        if name not in values:
            raise ValueError(f"{name} is missing")
    if not isinstance(values["id"], str):
        raise ValueError(f"id must be a string, not {values['id']!r}")
    if values["layer"] not in LAYERS:
        raise ValueError(f"layer must be {' or '.join(LAYERS)}, not {values['layer']!r}")
    try:
        frame = bytes.fromhex(values["frame"])
    except (TypeError, ValueError):
        raise ValueError("frame must be a string of hex digits, two a byte") from None
    if not frame:
        raise ValueError("frame must hold at least one byte")
    high = values.get("esn_high")
    if high is not None and (not isinstance(high, int) or isinstance(high, bool) or not 0 <= high < 2**32):
        raise ValueError(f"esn_high must be an integer from 0 to {2**32 - 1} or null, not {high!r}")
    bundles = (_bundle(name, values.get(name)) for name in ("sa1", "sa2"))
    return Case(number, values["id"], values["layer"], frame, *bundles, high)


def read_lines(path: str | Path) -> Iterator[Case | BadLine]:
    """One item for each line of ``path``; empty lines at the end count as none."""
    lines = Path(path).read_bytes().rstrip().split(b"\n")
    if lines == [b""]:
        return
    for number, line in enumerate(lines, 1):
        values = None
        try:
            values = json.loads(line.decode())
            yield _parse(number, values)
        except (ValueError, RecursionError) as error:
            text = f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
            name = values.get("id") if isinstance(values, dict) else None
            yield BadLine(number, name if isinstance(name, str) else None, text)


def missing_algorithm(case: Case, encr: Iterable[str], auth: Iterable[str]) -> str | None:
    """The first algorithm of ``case`` that a build with ``encr`` and ``auth`` lacks."""
    for bundle in (case.sa1, case.sa2):
        for op in bundle.ops if bundle is not None else ():
            for name, built in ((op.encr_alg, encr), (op.auth_alg, auth)):
                if name is not None and name not in built:
                    return name
    return None


def result_line(id: str | None, status: str, frame: bytes | None = None, cycles: int = 0, **more: str) -> str:
    """A line of the results file."""
    values = {"id": id, "status": status, "frame": None if frame is None else frame.hex(), "cycles": cycles}
    return json.dumps(values | more) + "\n"
