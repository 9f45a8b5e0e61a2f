"""How commands talk to people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from fanet_ros.errors import FanetError

errors = Console(stderr=True)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one clear line instead of a traceback when the user's input is at fault."""
    try:
        yield
    except FanetError as error:
        errors.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
