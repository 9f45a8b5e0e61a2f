"""The Python that runs the viewer: one that has rerun-sdk, in an environment of its own or this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from fanet_ros.errors import SettingError
from fanet_ros.files import locked_folder
from fanet_ros.processes import child_environment

RERUN_VERSION = "0.41.0"
"""The only one that is used: another viewer does not read what this one's SDK writes."""

HOW_TO_INSTALL = "prepare it with: fanet view --install (in a ROS workspace: ros2 run fanet_ros fanet view --install)"

_PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"

# Of fanet_ros alone, not of what lies beside it: there may be packages for another Python, or for NumPy 1. Nor of the
# working directory, before anything is imported: beside a recording may lie a threading.py.
_START_APART = """
import sys
sys.path[:] = [path for path in sys.path if path]
import importlib.util, runpy
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "fanet_ros", f"{folder}/__init__.py", submodule_search_locations=[folder]
)
sys.modules["fanet_ros"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def viewer_command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a module of this package where rerun-sdk is, and its environment.

    Raises:
        SettingError: rerun-sdk is nowhere; says how to get it.
    """
    folder = str(Path(__file__).resolve().parents[1])
    own = environment_folder()
    command = ["-c", _START_APART, folder, module, *arguments]
    if _version_in(own) == RERUN_VERSION:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return [str(own / "bin" / "python"), "-s", *command], environment
    found = _version_here()
    if found == RERUN_VERSION:
        return [sys.executable, *command], child_environment()
    instead = f", found {found}" if found else ""
    raise SettingError(f"the viewer needs rerun-sdk {RERUN_VERSION}{instead}; {HOW_TO_INSTALL}")


def is_ready() -> bool:
    """Whether the viewer can be started."""
    return RERUN_VERSION in (_version_in(environment_folder()), _version_here())


def environment_folder() -> Path:
    """Return the folder of the viewer's own environment, which need not exist: $XDG_DATA_HOME/fanet_ros/view."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        data = os.path.expanduser("~/.local/share")
        if not os.path.isabs(data):  # there is no home; what lies in the working directory is not to be run
            data = "/nonexistent"
    return Path(data, "fanet_ros", "view")


def install(say: Callable[[str], None]) -> None:
    """Prepare the viewer's own environment, which nothing else sees; one that is ready is left as it is.

    Args:
        say: told what is being done.

    Raises:
        SettingError: it cannot be prepared; says why.
    """
    folder = environment_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked_folder(folder.parent):  # another one that prepares it is waited for
            if _version_in(folder) != RERUN_VERSION:
                _prepare(folder, say)
    except OSError as error:
        raise SettingError(
            f"the viewer's environment {folder} cannot be made: {error.strerror}; set XDG_DATA_HOME to a folder that "
            "this user can write"
        ) from None
    say(f"the viewer is ready: rerun-sdk {RERUN_VERSION} in {folder}")


def _prepare(folder: Path, say: Callable[[str], None]) -> None:
    python = _python()
    say(f"prepares {folder} with {python}: rerun-sdk {RERUN_VERSION} and what it needs, a download of some 250 MB")
    shutil.rmtree(folder, ignore_errors=True)  # of another version, or half made
    _run([python, "-P", "-m", "venv", str(folder)], "make an environment (apt install python3-venv)")
    pip = [str(folder / "bin" / "python"), "-P", "-m", "pip", "install", "--disable-pip-version-check"]
    _run([*pip, f"rerun-sdk=={RERUN_VERSION}"], "install rerun-sdk")


def _run(command: list[str], what: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode:
        lines = [line for line in done.stdout.strip().splitlines() if "error" in line.lower()] or [done.stdout[-300:]]
        raise SettingError(f"cannot {what}: {lines[0].strip()}")


def _python() -> str:
    """Return a Python for which there is a rerun-sdk."""
    if sys.version_info >= (3, 11) and sys.prefix == sys.base_prefix:
        return sys.executable
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    for candidate in (str(base), *_PYTHONS):
        program = shutil.which(candidate)
        if program and not subprocess.run([program, "-c", _ENOUGH], capture_output=True).returncode:
            return program
    raise SettingError(
        "the viewer needs Python 3.11 or newer, which is not on the PATH (Ubuntu 22.04: apt install python3.11-venv)"
    )


def _version_in(folder: Path) -> str:
    """Return the version of rerun-sdk in an environment; empty where there is none, or no Python to run it any more."""
    with suppress(OSError):
        if not (folder / "bin" / "python").exists():  # a link: the Python that it was made with may be gone
            return ""
        for found in folder.glob("lib/python3*/site-packages/rerun_sdk-*.dist-info/RECORD"):
            return found.parent.name.removeprefix("rerun_sdk-").removesuffix(".dist-info")
    return ""


def _version_here() -> str:
    try:
        return metadata.version("rerun-sdk")
    except metadata.PackageNotFoundError:
        return ""
