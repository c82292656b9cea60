# SPDX-License-Identifier: Apache-2.0
"""``nicsec protect``: a capture of plain packets in, the capture of what leaves the card out."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from .. import hoststack, keysfile, pcap
from ..errors import InputError
from ..host import NOT_TAKEN, frame_packet, split
from ..options import ConfigOption, PresetOption, config_from_flags
from ..sas import read as read_sas
from ..session import SIMS, run
from . import err, out, progress

__all__ = ["protect"]


def _input(flag: str, function, path: Path):
    try:
        return function(path)
    except OSError as error:
        raise InputError(f"{flag}: {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None


def protect(
    plain: Annotated[Path, typer.Argument(metavar="PLAIN.pcap", help="Ethernet or raw IP packets.")],
    sas: Annotated[Path, typer.Option("--sas", metavar="SAS.toml", help="SAs and what they protect; see docs/sas.md.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="WIRE.pcap", help="What leaves the card.")],
    keys: Annotated[Path | None, typer.Option(metavar="DIR", help="For Wireshark's keys [WIRE.keys].")] = None,
    sim: Annotated[str, typer.Option(help=f"One of {', '.join(SIMS)}.")] = "verilator",
    preset: PresetOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Frame the packets of PLAIN.pcap for the SAs of SAS.toml and send them through the engine."""
    engine = config_from_flags(preset, config)
    if sim not in SIMS:
        raise InputError(f"--sim must be one of {', '.join(SIMS)}, not {sim!r}")
    policy = _input("--sas", read_sas, sas)
    capture = _input("PLAIN.pcap", pcap.read, plain)

    bundles, sent, records, uses, failed = {}, [], [], [], False
    dropped: Counter[str] = Counter()
    for number, record in enumerate(capture.records, 1):
        frame = record.data if capture.is_ethernet else hoststack.ethernet(record.data) if record.data else b""
        result = frame_packet(policy, split(frame), frame, bundles)
        if result.packet is None or not frame:
            reason = result.reason or "it is empty"
            dropped[reason] += 1
            failed |= reason != NOT_TAKEN
            err.print(f"packet {number} is dropped: {reason}", style="yellow", markup=False, soft_wrap=True)
            continue
        sent.append(result)
        records.append((number, record))

    with progress(f"{plain.name} on {sim}", len(sent)) as report:
        session = run(engine, bundles, [item.packet for item in sent], sim=sim, progress=report)

    for name, limit in session.events:
        err.print(f"sa {name!r} has reached {limit}", style="yellow", markup=False, soft_wrap=True)
    written, statuses = [], Counter()
    for (number, record), item, outcome in zip(records, sent, session.outcomes, strict=True):
        statuses[outcome.status if item.sas or outcome.status != "success" else "bypassed"] += 1
        if outcome.frame is None:
            names = " through ".join(sa.name for sa in item.sas) or "no SA"
            text = f"packet {number} ({names}) is refused: {outcome.status}"
            err.print(text, style="yellow", markup=False, soft_wrap=True)
            continue
        data = outcome.frame if capture.is_ethernet else outcome.frame[14:]
        written.append(pcap.Record(record.time_ns, data))
        uses += [(sa.bundle, version) for sa, version in zip(item.sas, item.versions, strict=True)]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        pcap.write(output, written, capture.linktype)
    except OSError as error:
        raise InputError(f"-o: {output}: {error.strerror}") from None
    directory = keys or output.with_suffix(".keys")
    keysfile.write(directory, uses)

    summary = {
        "packets": len(capture.records),
        "written": len(written),
        "statuses": dict(statuses),
        "dropped": dict(dropped),
        "events": [list(event) for event in session.events],
        "wire": str(output),
        "keys": str(directory),
        "tshark": keysfile.tshark_command(directory, output),
        "sim": sim,
        "config_hash": engine.hash,
    }
    if as_json:
        out.print_json(json.dumps(summary))
    else:
        told = ", ".join(f"{count} {status}" for status, count in statuses.most_common()) or "none"
        out.print(f"{len(capture.records)} packets on {sim}: {told}; {sum(dropped.values())} dropped by the host")
        out.print(f"{output} holds {len(written)} frames; decrypt them with", markup=False, soft_wrap=True)
        out.print(summary["tshark"], markup=False, highlight=False, soft_wrap=True)
    if len(written) < len(sent) or failed:
        raise typer.Exit(1)
