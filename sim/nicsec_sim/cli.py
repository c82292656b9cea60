# SPDX-License-Identifier: Apache-2.0
"""The ``nicsec`` command."""

import os
import sys
from typing import Annotated

import typer

from .commands.bench import bench
from .commands.demo import demo
from .commands.fit import fit
from .commands.protect import protect
from .commands.replay import replay
from .commands.report import report
from .doctor import doctor
from .errors import NicsecError
from .generate import generate

__all__ = ["app", "main"]

app = typer.Typer(
    name="nicsec",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="IPsec send-path offload engine: generate it, run packets through it, judge what comes out.",
)


def _version(wanted: bool):
    if wanted:
        from nicsec import __version__

        print(f"nicsec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
):
    pass


for _command in (demo, protect, replay, generate, bench, fit, report, doctor):
    app.command()(_command)


def main():
    """Run the command line and exit: 0 when all went well, 1 when a run failed, 2 for usage and bad input."""
    try:
        app()
    except NicsecError as error:
        print(f"nicsec: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("NICSEC_DEBUG"):
            raise
        print(f"nicsec: internal error: {type(error).__name__}: {error} (NICSEC_DEBUG=1 shows where)", file=sys.stderr)
        sys.exit(1)
