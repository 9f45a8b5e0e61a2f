"""Runs another module as a program that ends when its parent does.

python -m fanet_ros.benchmark.child PARENT_PID MODULE [ARGUMENT ...]
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

from fanet_ros.processes import end_with_parent


def main() -> None:
    """Become the module that the second argument names; those after it are its own."""
    end_with_parent(signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):  # it died before it was watched
        return
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
