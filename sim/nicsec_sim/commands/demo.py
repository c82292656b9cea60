# SPDX-License-Identifier: Apache-2.0
"""``nicsec demo``: real packets through the RTL, judged by the golden model and, where it is installed, by tshark."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from .. import keysfile, pcap
from ..errors import InputError, RunError
from ..ndis.player import Outcome
from ..options import ConfigOption, PresetOption, config_from_flags
from ..session import Session, run
from ..showcase import Shown, judge, traffic
from . import err, out, progress

__all__ = ["demo"]

#: Packets in the waveform: enough to see headers, passes and a refusal, little enough to open at once.
_WAVE_PACKETS = 5


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the results go.")] = Path(
        "build/demo"
    ),
    sim: Annotated[str, typer.Option(help="verilator or icarus.")] = "verilator",
    preset: PresetOption = None,
    config: ConfigOption = None,
    seed: Annotated[int, typer.Option(help="Order and payloads of the packets.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Send packets of every shape and suite through the RTL and show what became of them."""
    engine = config_from_flags(preset, config)
    if sim not in ("verilator", "icarus"):
        raise InputError(f"--sim must be verilator or icarus, not {sim!r}: the demo shows the RTL")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o: {output}: {error.strerror}") from None
    bundles, shown = traffic(engine, seed)
    packets = [one.packet for one in shown]
    with err.status("building the simulation model (only the first time)"):
        from .. import runner

        runner.build_engine(engine, sim, trace=True)
    with progress(f"{len(packets)} packets through the RTL on {sim}", len(packets)) as report:
        session = run(engine, bundles, packets, sim=sim, traceable=True, progress=report)
    with err.status(f"a waveform of the first {_WAVE_PACKETS}"):
        run(engine, bundles, packets[:_WAVE_PACKETS], sim=sim, trace=output / "waveform.vcd")

    verdicts = [
        (outcome.status, outcome.frame) == golden and outcome.status == one.expected
        for one, outcome, golden in zip(shown, session.outcomes, judge(bundles, shown), strict=True)
    ]
    files, command = _write_captures(output, shown, session.outcomes)
    wireshark = _ask_wireshark(output, command, shown, session.outcomes)
    manifest = _manifest(engine, sim, seed, shown, session, verdicts, command, wireshark)
    manifest["files"] = {name: _sha256(output / name) for name in (*files, "waveform.vcd")}
    (output / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

    if as_json:
        out.print_json(json.dumps(manifest))
    else:
        _show(output, shown, session, verdicts, command, wireshark)
    if not all(verdicts):
        raise RunError(f"{verdicts.count(False)} of {len(verdicts)} packets differ from the golden model")
    if wireshark is not None and wireshark["icv_good"] != wireshark["expected"]:
        raise RunError(f"tshark found {wireshark['icv_good']} good ICVs, {wireshark['expected']} were sent")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_captures(output: Path, shown: list[Shown], outcomes: list[Outcome]) -> tuple[list[str], str]:
    """Both captures, the keys, and the command that reads them; returns the files' names and the command."""
    # A packet has one time in both captures, which tells what became of it.
    pairs = [(1000 * n, one, outcome) for n, (one, outcome) in enumerate(zip(shown, outcomes, strict=True))]
    pcap.write(output / "sent.pcap", [pcap.Record(at, one.packet.frame) for at, one, _ in pairs])
    wire = [pcap.Record(at, outcome.frame) for at, _, outcome in pairs if outcome.frame is not None]
    pcap.write(output / "wire.pcap", wire)
    keysfile.write(output, [use for one in shown for use in one.uses])
    command = keysfile.tshark_command(shlex.quote(str(output)), shlex.quote(str(output / "wire.pcap")))
    (output / "tshark.sh").write_text(command + "\n")
    return ["sent.pcap", "wire.pcap", "wireshark/esp_sa", "tshark.sh"], command


def _ask_wireshark(output: Path, command: str, shown: list[Shown], outcomes: list[Outcome]) -> dict | None:
    """What tshark says of the ESP ICVs in wire.pcap; None if it is not installed or does not run."""
    if shutil.which("tshark") is None:
        return None
    arguments = shlex.split(command)[1:]
    environment = os.environ | {"XDG_CONFIG_HOME": str(output)}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        err.print(f"tshark failed: {done.stderr.strip()}", style="yellow", markup=False, soft_wrap=True)
        return None
    values = [value for line in done.stdout.splitlines() for value in line.split("\t")[2].split(",") if value]
    expected = sum(
        keysfile.verifies(bundle.esp)
        for one, outcome in zip(shown, outcomes, strict=True) if outcome.frame is not None
        for bundle, _ in one.uses if bundle.esp is not None
    )
    return {"icv_good": values.count("1"), "icv_bad": len(values) - values.count("1"), "expected": expected}


def _manifest(config, sim, seed, shown, session, verdicts, command, wireshark) -> dict:
    from nicsec import __version__

    packets = [
        {
            "number": n,
            "shape": one.shape,
            "suite": one.suite,
            "length": len(one.packet.frame),
            "status": outcome.status,
            "expected": one.expected,
            "cycles": outcome.cycles,
            "equals_model": verdict,
        }
        for n, (one, outcome, verdict) in enumerate(zip(shown, session.outcomes, verdicts, strict=True), 1)
    ]
    return {
        "version": __version__,
        "config": config.to_dict(),
        "config_hash": config.hash,
        "sim": sim,
        "seed": seed,
        "cycles": session.cycles,
        "counters": {name: value for name, value in session.counters.items() if value},
        "tshark": command,
        "wireshark": wireshark,
        "packets": packets,
    }


def _show(output: Path, shown: list[Shown], session: Session, verdicts: list[bool], command: str, wireshark) -> None:
    rows: dict[tuple, list[int]] = {}
    for n, one in enumerate(shown):
        rows.setdefault((one.shape, one.suite, session.outcomes[n].status), []).append(n)
    table = Table(title=f"{len(shown)} packets through the RTL", title_justify="left", box=box.SIMPLE_HEAD,
                  padding=(0, 0), pad_edge=False)
    table.add_column("shape", no_wrap=True)
    table.add_column("suite", overflow="fold", min_width=26)
    table.add_column("IP", no_wrap=True)
    for name in ("sent", "cycles"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for (shape, suite, status), members in sorted(rows.items()):
        versions = sorted({str(version) for n in members for _, version in shown[n].uses})
        cycles = sorted(session.outcomes[n].cycles for n in members)[len(members) // 2]
        same = sum(verdicts[n] for n in members)
        mark = "[green]equal[/]" if same == len(members) else f"[red]{len(members) - same} differ[/]"
        colour = "green" if status == "success" else "yellow"
        numbers = (str(len(members)), str(cycles))
        table.add_row(shape, suite, " ".join(versions) or "-", *numbers, f"[{colour}]{status}[/]", mark)
    out.print(table)
    good = sum(verdicts)
    out.print("cycles: median from the first beat's acceptance to the completion, with packets in flight ahead")
    out.print(f"{good} of {len(verdicts)} packets equal the golden model's, byte for byte; {session.cycles} cycles")
    if wireshark is None:
        out.print("tshark is not installed; it would verify every ESP packet with")
    else:
        out.print(f"tshark: {wireshark['icv_good']} of {wireshark['expected']} ESP ICVs good, with")
    out.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"{output}: sent.pcap, wire.pcap, wireshark/esp_sa, waveform.vcd, manifest.json", highlight=False)
