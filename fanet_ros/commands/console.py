"""How commands talk to people."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from fanet_ros.errors import FanetError
from fanet_ros.extras import what_to_install
from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable

INTERRUPTED = 130  # exit status; what shells report for Ctrl-C

errors = Console(stderr=True)

_log = logging.getLogger(__name__)


def say(*lines: str, to: Console | None = None) -> None:
    """Print lines as they are: nothing in them is markup, none is wrapped."""
    for line in lines:
        (to or Console()).print(_safe(line), highlight=False, soft_wrap=True, markup=False)


def print_error(error: FanetError, to: Console = errors) -> None:
    """Print what the user has to know, in one line; brackets in names of files are no markup."""
    _log.debug("where that came from", exc_info=error)
    to.print(Text.assemble(("error:", "red"), f" {_safe(str(error))}"), highlight=False, soft_wrap=True)


def _safe(text: str) -> str:
    """Return text without what a terminal would obey: names in files and recordings are others'."""
    return "\n".join(printable(line, MOST_OF_MESSAGE) for line in text.split("\n"))


@contextmanager
def one_line_errors(extra: str = "") -> Iterator[None]:
    """End the program with one clear line instead of a traceback when the user's input or installation is at fault.

    Args:
        extra: of setup.py that has what this command needs; empty for the usual one of what is missing.
    """
    try:
        yield
    except FanetError as error:
        _log.debug("the command ends", exc_info=True)
        print_error(error)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "fanet_ros":
            raise
        _log.debug("the command ends", exc_info=True)
        print_error(FanetError(f"this command needs {what_to_install(error.name, extra)}"))
        raise typer.Exit(2) from None


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar for each stage of a command: yields what is told the stage, and how many of how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console()) as progress:
        tasks = {}

        def count(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        yield count
