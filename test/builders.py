"""Builders for tests of the artefact cache; they run in processes of their own, so they are a module."""

import os
import signal
import sys
import threading
from pathlib import Path

from fanet_ros.errors import WeightsError


def build(folder: Path, *, behaviour: str = "write", content: str = "made", notes: str = "") -> None:
    """Write model.bin, or fail in the way that is asked for; `notes` is a file that every build adds a line to."""
    if notes:
        with Path(notes).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if behaviour == "user error":
        raise WeightsError("x.pth: no such weights file; check the path")
    if behaviour == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if behaviour == "exception":
        raise RuntimeError("the compiler gave up")
    if behaviour == "exit 3":
        print("out of licences")
        sys.exit(3)
    if behaviour == "forever":
        (folder / "half.bin").write_text("half")
        threading.Event().wait()
    (folder / "model.bin").write_text(content)
    (folder / "argv.txt").write_text(" ".join(sys.argv[:1]))
