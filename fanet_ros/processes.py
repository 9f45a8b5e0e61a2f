"""Processes that this one starts: what they are given, when they end, and what they said last."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_KEPT_BYTES = 2000  # of what a process printed before it ended


def child_environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment with changes (None removes), in which this package is found as it is here.

    Whatever the working directory.
    """
    paths = [str(Path(__file__).resolve().parents[1]), *sys.path]
    merged: dict[str, str | None] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        **(changes or {}),
    }
    return {name: value for name, value in merged.items() if value is not None}


def end_with_parent(number: signal.Signals) -> None:
    """Ask Linux to end this process with a signal when the one that started it dies, however that happens."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def last_words(output: IO[bytes]) -> list[str]:
    """Return the last lines that a process printed to a file; none where it printed nothing."""
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - _KEPT_BYTES))
    return output.read().decode(errors="replace").strip().splitlines()
