"""Building an artefact in a process of its own, and saying how it goes.

The builders import frameworks that are large (torch) and may crash (GPU compilers). In a process of their own they cost
the node neither its memory nor its life, and the build can be given up at any moment.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from fanet_ros import errors
from fanet_ros.errors import BackendError, FanetError
from fanet_ros.files import lack_of_room
from fanet_ros.processes import end, end_with_parent, last_words, start_module

_REPORT_INTERVAL_S = 2.0
_FAULT_OF_USER = 3  # exit code of a build that ended with a FanetError
_NO_ROOM = 4  # and of one that the disk takes no more of; its last word is the number of the system's error


def run_builder(
    module: str, folder: Path, arguments: Mapping[str, Any], title: str, progress: Callable[[str], None]
) -> None:
    """Run `module.build(folder, **arguments)` in another process and wait for it.

    Args:
        module: name of a module with that function.
        folder: which it fills.
        arguments: of that function; must survive JSON.
        title: what is built, for messages.
        progress: told every two seconds; an exception from it ends the build.

    Raises:
        FanetError: the build failed by the user's fault: the error that the builder raised, such as WeightsError.
        BackendError: the build failed otherwise; says why.
        OSError: the disk takes no more.
    """
    request = json.dumps({"module": module, "folder": str(folder), "arguments": dict(arguments)})
    started = monotonic()
    progress(f"building {title}; this is done once")
    with tempfile.TemporaryFile() as output:
        process = start_module(
            "fanet_ros.artefacts.build_process",
            request,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(_REPORT_INTERVAL_S)
                except subprocess.TimeoutExpired:
                    progress(f"building {title}: {monotonic() - started:.0f} s")
        finally:
            end(process, signal.SIGKILL)
        if process.returncode:
            words = last_words(output) or ["it printed nothing"]
            if process.returncode == _NO_ROOM and words[-1].isdigit():
                raise OSError(int(words[-1]), os.strerror(int(words[-1])), str(folder))
            raise _failure(title, process.returncode, words)
    progress(f"built {title} in {monotonic() - started:.0f} s")


def _failure(title: str, code: int, lines: list[str]) -> FanetError:
    """Return the error for a build that ended like that; a fault of the user's comes back as what it was there."""
    kind, _, message = lines[-1].partition(": ")
    error_class = getattr(errors, kind, None)
    if code == _FAULT_OF_USER and error_class is not None:  # else a library ended the process with that code
        return error_class(f"building {title} failed: {message}" if issubclass(error_class, BackendError) else message)
    if code < 0:
        name = signal.strsignal(-code) or f"signal {-code}"
        reason = f"it was ended by a signal ({name}; out of memory?); its last words: {lines[-1]}"
    else:
        reason = "its last words:\n" + "\n".join(lines[-8:])
    return BackendError(f"building {title} failed: {reason}")


def main() -> None:
    """Be the other process: build what the argument asks for."""
    end_with_parent(signal.SIGKILL)
    request = json.loads(sys.argv[1])
    try:
        importlib.import_module(request["module"]).build(Path(request["folder"]), **request["arguments"])
    except Exception as error:
        full = lack_of_room(error)
        if full is not None:
            print(full.errno)
            sys.exit(_NO_ROOM)
        if not isinstance(error, FanetError):
            raise
        print(f"{type(error).__name__}: {' '.join(str(error).split())}")
        sys.exit(_FAULT_OF_USER)


if __name__ == "__main__":
    main()
