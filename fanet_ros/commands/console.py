"""How commands talk to people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from fanet_ros.errors import FanetError

errors = Console(stderr=True)


def print_error(error: FanetError) -> None:
    """Print what the user has to know, in one line; brackets in names of files are no markup."""
    errors.print(Text.assemble(("error:", "red"), f" {error}"), highlight=False, soft_wrap=True)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one clear line instead of a traceback when the user's input is at fault."""
    try:
        yield
    except FanetError as error:
        print_error(error)
        raise typer.Exit(2) from None
