# SPDX-License-Identifier: Apache-2.0
"""Commands of ``nicsec``, one module each, and what they share at the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..errors import InputError

__all__ = ["PAUSE", "err", "out", "progress", "reserve", "status"]

#: What a command is asked for goes to ``out``; what it says meanwhile goes to ``err``.
out = Console()
err = Console(stderr=True)
#: Seconds between two lines of progress where no terminal shows it.
PAUSE = 60.0


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while the body runs, or where that is no terminal a line a minute.

    The value is a function that takes the number of things done so far.
    """
    if not err.is_terminal:
        began = told = time.monotonic()

        def tell(done: int) -> None:
            nonlocal told
            if (now := time.monotonic()) - told >= PAUSE:
                told = now
                err.print(f"{text}: {done} of {total} after {now - began:.0f} s", highlight=False, soft_wrap=True)

        yield tell
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def status(text: str) -> Iterator[None]:
    """Say on standard error what the body does: with a spinner while it runs on a terminal, else once."""
    if err.is_terminal:
        with err.status(text):
            yield
        return
    err.print(text, highlight=False, soft_wrap=True)
    yield


def reserve(flag: str, path: Path) -> None:
    """Make sure, ahead of long work, that ``path`` can be written; raises `InputError` that names ``flag``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise InputError(f"{flag}: {path}: {error.strerror}") from None
