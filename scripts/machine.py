"""What setup needs of a machine, and the one line it prints where something is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

FREE_GB = 6  # .venv takes 2 GB with a CPU build of torch, 5 GB or more with a CUDA build
MIN_CMAKE = (3, 20)  # asked for by ROS 2 Jazzy's own CMake files
MIN_GLIBC = (2, 28)  # the wheels are manylinux_2_28

_NETWORK_ERRORS = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "Failed to establish a new connection",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Read timed out",
    "ProxyError",
    "Connection refused",
    "Connection reset by peer",
    "CERTIFICATE_VERIFY_FAILED",
)


class SetupError(Exception):
    """Setup cannot go on; `str(error)` is the line for the user.

    Attributes:
        repeatable: whether the step that failed left things in order, so that it can simply be run again.
    """

    def __init__(self, message: str, *, repeatable: bool = False) -> None:
        super().__init__(message)
        self.repeatable = repeatable


def check_machine(folder: Path, *, ros_wheels: bool) -> None:
    """Raise SetupError if this machine cannot hold or build the environment in `folder`.

    Args:
        folder: where .venv and .ws will be.
        ros_wheels: whether ROS 2 itself comes as wheels, which exist for few platforms.
    """
    if ros_wheels:
        _check_platform()
    _check_cpu()
    _check_tools()
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < FREE_GB:
        raise SetupError(
            f"{free_gb:.1f} GB are free in {folder}, {FREE_GB} GB are needed: make room or clone to a larger disk"
        )


def pip_failure(log: str, what: str) -> SetupError:
    """Return the error that names the likely cause of a failed `pip install`.

    pip first resolves and downloads, then installs: a failure up to there leaves .venv in order.

    Args:
        log: what pip wrote to its --log file.
        what: what was being installed, for the message.
    """
    if "No space left on device" in log:
        return SetupError(f"the disk is full, {what} could not be installed: make room and run the same command again")
    network_error = next((error for error in _NETWORK_ERRORS if error in log), None)
    if network_error:
        return SetupError(
            f"{what} could not be downloaded ({network_error}): check the network connection and pip's proxy and index "
            "settings (pip config list), then run the same command again",
            repeatable=True,
        )
    match = re.search(r"No matching distribution found for (\S+)", log)
    if match:
        return SetupError(
            f"pip finds no {match[1]} for Python {platform.python_version()} on {platform.machine()}: use CPython "
            "3.11 to 3.13 and an up-to-date package index, then run the same command again",
            repeatable=True,
        )
    return SetupError(
        f"pip could not install {what}: its message is above, its full log is .venv/pip.log",
        repeatable="ResolutionImpossible" in log,
    )


def _check_platform() -> None:
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine != "x86_64":
        raise SetupError(
            f"ROS 2 exists as wheels for Linux on x86_64 only, this is {system} on {machine}: install ROS 2 from its "
            "distribution, source its setup.bash and run the same command again"
        )
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except ValueError:  # the name is unknown to musl
        libc = ""
    version = re.fullmatch(r"glibc (\d+)\.(\d+).*", libc)
    if not version or (int(version[1]), int(version[2])) < MIN_GLIBC:
        raise SetupError(
            f"the ROS 2 wheels need glibc {'.'.join(map(str, MIN_GLIBC))} or newer, this system has "
            f"{libc or 'another C library'}: use Debian 12, Ubuntu 24.04 or newer, or source a ROS 2 installation"
        )


def _check_cpu() -> None:
    if platform.machine() == "x86_64" and "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8").split():
        raise SetupError(
            "PyTorch needs a CPU with AVX2 (Intel or AMD since 2013), this one has none: use another machine; for a "
            "virtual machine, pass the host's CPU through"
        )


def _check_tools() -> None:
    """Raise one SetupError that names every missing build tool and how to get it."""
    include = Path(sysconfig.get_path("include"), "Python.h")
    missing = {
        "a C++ compiler": ("g++", not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++")))),
        "make": ("make", shutil.which("make") is None),
        "cmake": ("cmake", shutil.which("cmake") is None),
        f"Python's header files ({include})": ("python3-dev", not include.is_file()),
    }
    names = [name for name, (_, is_missing) in missing.items() if is_missing]
    if names:
        packages = " ".join(package for package, is_missing in missing.values() if is_missing)
        raise SetupError(
            f"missing: {', '.join(names)}; install with (Debian, Ubuntu) 'sudo apt install {packages}', then run the "
            "same command again"
        )
    answer = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\d+)\.(\d+)", answer)
    if not match or (int(match[1]), int(match[2])) < MIN_CMAKE:
        found = match[0] if match else "no answer to 'cmake --version'"
        raise SetupError(f"needs cmake {'.'.join(map(str, MIN_CMAKE))} or newer, found {found}: install a newer cmake")
