"""Processes that this one starts: how they begin and end, and what they said last."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_KEPT_BYTES = 2000  # of what a process printed before it ended
_END_TIMEOUT_S = 10.0

# As `python -m`, but for the working directory, where something may lie that is named as a module: torch.py beside a
# picture. (-P does the same from Python 3.11 on.)
_START = """
import sys
sys.path[:] = [path for path in sys.path if path]
import runpy
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def child_environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment with changes (None removes), in which this package is found as it is here.

    Modules are not looked for in the working directory, unless PYTHONPATH asks for it; nor by what the child starts.
    """
    paths = [str(Path(__file__).resolve().parents[1]), *_paths_but_working_directory()]
    merged: dict[str, str | None] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONSAFEPATH": "1",
        **(changes or {}),
    }
    return {name: value for name, value in merged.items() if value is not None}


def leave_out_working_directory() -> None:
    """Look for modules in the working directory no longer, here and in all that this process starts.

    `python -m` looks there first, and so do the helpers that multiprocessing starts: beside a downloaded picture may
    lie a torch.py. What PYTHONPATH asks for stays.
    """
    sys.path[:] = _paths_but_working_directory()
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # for what Python itself and libraries start; from Python 3.11 on


def _paths_but_working_directory() -> list[str]:
    asked_for = set(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    try:
        here = os.getcwd()
    except OSError:  # it is gone
        here = ""
    return [path for path in sys.path if path in asked_for or path not in ("", here)]


def start_module(
    module: str, *arguments: str, environment: Mapping[str, str | None] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Run a module as `python -m` does, in `child_environment(environment)`; options are those of Popen."""
    command = [sys.executable, "-c", _START, module, *arguments]
    return subprocess.Popen(command, env=child_environment(environment), **options)


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask a process to end, kill it if it does not, and wait until it is gone."""
    try:
        if process.poll() is None:
            process.send_signal(number)
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # a second Ctrl-C must not leave it behind
        if process.poll() is None:
            process.kill()
            process.wait()


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that ask this process to end; SIGHUP is one unless it was started to ignore that (nohup)."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM) if ignored else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_with_parent(number: signal.Signals) -> None:
    """Ask Linux to end this process with a signal when the one that started it dies, however that happens."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def last_words(output: IO[bytes]) -> list[str]:
    """Return the last lines that a process printed to a file; none where it printed nothing."""
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - _KEPT_BYTES))
    return output.read().decode(errors="replace").strip().splitlines()
