"""Where the benchmark is: one line that moves, on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class ProgressLine:
    """A bar for the part that runs now, with a word on what it is doing; a context manager."""

    def __init__(self, console: Console) -> None:
        columns = (BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, steps: int) -> None:
        """Start a part of so many steps."""
        self._progress.update(self._task, total=steps, completed=0)

    def say(self, text: str) -> None:
        """Tell what happens now."""
        self._progress.update(self._task, description=" ".join(text.split())[:100])

    def advance(self) -> None:
        """One step is done."""
        self._progress.advance(self._task)
