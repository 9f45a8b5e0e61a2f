"""What a run has measured so far, and its JSON file, which is whole at every moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fanet_ros.files import write_whole

Row = dict[str, Any]

TABLES = ("network", "frame", "temporal", "node", "startup", "batch", "ground", "soak", "checks")


class Results:
    """Rows by table, written to the file after every addition, so that an interrupted run loses nothing.

    Attributes:
        data: as the JSON file holds it: `machine`, one list of rows for each of TABLES, and `not_run`, a list of
            levels with the reason.
    """

    def __init__(self, machine: dict[str, Any], path: Path | None) -> None:
        """Begin with empty tables of a machine (`describe_machine`); with None for a path nothing is written.

        Raises:
            SettingError: the file cannot be written.
        """
        self.data: dict[str, Any] = {"machine": machine, **{table: [] for table in TABLES}, "not_run": []}
        self._path = path
        self.save()

    def add(self, table: str, rows: list[Row]) -> None:
        """Append rows to a table and save."""
        self.data[table].extend(rows)
        self.save()

    def not_run(self, level: str, reason: str) -> None:
        """Tell why a level was left out."""
        self.data["not_run"].append({"level": level, "reason": reason})
        self.save()

    def save(self) -> None:
        """Replace the file at once and in full.

        Raises:
            SettingError: it cannot be written.
        """
        if self._path is not None:
            write_whole(self._path, (json.dumps(self.data, indent=1) + "\n").encode())
