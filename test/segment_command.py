"""`fanet segment` as the tests call it."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from fanet_ros.commands.cli import app


def segment(output: Path, *arguments: Path | str) -> Result:
    """Segment with a small input, which is all that these tests need."""
    words = ["segment", *map(str, arguments), "--input-size", "96x64", "--output", str(output)]
    return CliRunner().invoke(app, words)
