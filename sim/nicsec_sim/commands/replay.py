# SPDX-License-Identifier: Apache-2.0
"""``nicsec replay``: known-answer regression from files of cases."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..cases import BadLine, Case, missing_algorithm, read_lines, result_line
from ..errors import InputError, RunError
from ..model.status import Status
from ..ndis.player import REFUSALS
from ..ndis.registers import SaResult
from ..options import ConfigOption, PresetOption, config_from_flags
from ..session import SIMS, Session, run
from . import err, out, progress

__all__ = ["play_cases", "replay"]

_INVALID = "the engine refused an SA of the case as invalid, which the driver's checks should have done"


def play_cases(items: Sequence[Case | BadLine], config: Any, sim: str, report=None) -> tuple[list[str], Session | None]:
    """The result line of each item, and the session that made those of the cases that were sent.

    Every case has SAs of its own, so no case depends on another.

    Raises ``RunError`` when the simulation fails; its ``lines`` hold the results up to there, and an error line for
    every case that has none.
    """
    bundles, packets, sent = {}, [], []
    for item in items:
        if isinstance(item, Case) and missing_algorithm(item, config.encr, config.auth) is None:
            packet, sas = item.packet()
            bundles |= sas
            packets.append(packet)
            sent.append(item)
    session, failure = None, None
    try:
        if packets:
            session = run(config, bundles, packets, sim=sim, progress=report)
        outcomes = session.outcomes if session is not None else []
    except RunError as error:
        failure, outcomes = error, getattr(error, "outcomes", [])
    results = {case.number: outcome for case, outcome in zip(sent, outcomes, strict=False)}

    lines = []
    for item in items:
        if isinstance(item, BadLine):
            lines.append(result_line(item.id, "error", error=item.error))
        elif (outcome := results.get(item.number)) is not None and outcome.status == REFUSALS[SaResult.INVALID]:
            lines.append(result_line(item.id, "error", error=f"line {item.number}: {_INVALID}"))
        elif outcome is not None:
            frame = None if outcome.frame is None else item.unwrap(outcome.frame)
            lines.append(result_line(item.id, outcome.status, frame, outcome.cycles))
        elif missing_algorithm(item, config.encr, config.auth) is not None:
            lines.append(result_line(item.id, Status.UNSUPPORTED.text))
        else:
            lines.append(result_line(item.id, "error", error=f"line {item.number}: the simulation failed before it"))
    if failure is not None:
        failure.lines = lines
        raise failure
    return lines, session


def replay(
    cases: Annotated[Path, typer.Argument(metavar="CASES.jsonl", help="One case a line; see docs/replay.md.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="RESULTS.jsonl", help="One result a line.")],
    sim: Annotated[str, typer.Option(help=f"One of {', '.join(SIMS)}.")] = "verilator",
    preset: PresetOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send the frames of CASES.jsonl through the engine and write what became of each."""
    engine = config_from_flags(preset, config)
    if sim not in SIMS:
        raise InputError(f"--sim must be one of {', '.join(SIMS)}, not {sim!r}")
    try:
        items = list(read_lines(cases))
    except OSError as error:
        raise InputError(f"CASES.jsonl: {cases}: {error.strerror}") from None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        file = output.open("w")
    except OSError as error:
        raise InputError(f"-o: {output}: {error.strerror}") from None

    bad = [item for item in items if isinstance(item, BadLine)]
    with file:
        try:
            with progress(f"{cases.name} on {sim}", len(items) - len(bad)) as report:
                lines, session = play_cases(items, engine, sim, report)
            file.writelines(lines)
        except RunError as error:
            file.writelines(getattr(error, "lines", []))
            raise
    results = [json.loads(line) for line in lines]
    wrong = [one["error"] for one in results if one["status"] == "error"]
    for text in wrong:
        err.print(f"{cases}: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    counts = Counter(one["status"] for one in results)
    summary = {
        "cases": len(items),
        "statuses": dict(counts),
        "results": str(output),
        "sim": sim,
        "config_hash": engine.hash,
        "cycles": session.cycles if session is not None else 0,
    }
    if as_json:
        out.print_json(json.dumps(summary))
    else:
        told = ", ".join(f"{count} {status}" for status, count in counts.most_common()) or "none"
        out.print(f"{len(items)} cases on {sim}: {told}; results in {output}", markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)
