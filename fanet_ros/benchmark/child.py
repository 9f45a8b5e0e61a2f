"""Runs another module as a program that ends when its parent does.

python -m fanet_ros.benchmark.child PARENT_PID MODULE [ARGUMENT ...]
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask Linux to end this process with SIGTERM when the one that started it dies, however that happens."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Become the module that the second argument names; those after it are its own."""
    end_with_parent()
    if os.getppid() != int(sys.argv[1]):  # it died before it was watched
        return
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
