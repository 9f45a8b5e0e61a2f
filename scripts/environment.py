"""What .venv and .ws consist of and how each part is made; prepare.py decides which parts are due."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from machine import SetupError, pip_failure

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
WORKSPACE = ROOT / ".ws"
INSTALL = WORKSPACE / "install"
REQUIREMENTS = ROOT / "requirements"
ROS_DISTRO = os.environ.get("ROS_DISTRO", "")  # empty: no ROS 2 is sourced, it comes as wheels

Command = list[str | Path]

# Asked of a Python that sees a sourced ROS 2: what is there already and must be left alone.
_FACTS = """
import importlib.metadata, importlib.util, json
numpy = __import__("numpy").__version__ if importlib.util.find_spec("numpy") else ""
packages = {d.metadata["Name"] or "": d.version for d in importlib.metadata.distributions()}
print(json.dumps({"numpy": numpy, "packages": packages, "opencv": importlib.util.find_spec("cv2") is not None}))
"""


def make_venv() -> None:
    """Create .venv; beside a ROS 2 distribution it sees the system's packages, which that distribution uses."""
    remove(WORKSPACE)  # its build names the Python of a previous .venv
    venv: Command = [sys.executable, "-m", "venv", *(["--system-site-packages"] if ROS_DISTRO else []), VENV]
    if subprocess.run(venv, check=False).returncode:
        raise SetupError(f"{sys.executable} could not make {VENV}: its message is above")


def install_packages(name: str, title: str) -> None:
    """Install requirements/<name>.txt at the versions of constraints.txt."""
    names, pins = read_lines(REQUIREMENTS / f"{name}.txt"), read_lines(REQUIREMENTS / "constraints.txt")
    if ROS_DISTRO:
        if name == "colcon" and shutil.which("colcon"):
            return
        names, pins = _leave_system_packages(names, pins)
    constraints, log = VENV / "constraints.txt", VENV / "pip.log"
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    log.unlink(missing_ok=True)  # pip would append
    if not _pip_install("--prefer-binary", "--log", log, "-c", constraints, *names):
        raise pip_failure(log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "", title)
    if name == "ros":
        _repair_include_paths()
        (VENV / "local_setup.sh").write_text("# colcon warns of an underlay without this file\n", encoding="utf-8")


def build_workspace() -> None:
    """Build messages and kernels with colcon into .ws and write .ws/env.sh, which scripts/in_env reads."""
    _link_sources()
    colcon = shutil.which("colcon") if ROS_DISTRO else None
    command: Command = [colcon] if colcon else [PYTHON, "-m", "colcon"]
    command += ["--log-base", WORKSPACE / "log", "build", "--merge-install", "--symlink-install"]
    command += ["--base-paths", WORKSPACE / "src", "--build-base", WORKSPACE / "build", "--install-base", INSTALL]
    command += ["--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF", "--no-warn-unused-cli"]
    if subprocess.run(command, env=_build_environment(), check=False).returncode:
        raise SetupError(
            "the workspace could not be built: the message is above, the full log is .ws/log/latest_build",
            repeatable=True,
        )
    for link in INSTALL.rglob("*"):  # of files that are no more
        if link.is_symlink() and not link.exists():
            link.unlink()
    _write_env_file()
    check = "from fanet_ros.msg import SegmentationStats; from vision_msgs.msg import LabelInfo\n"
    check += "from fanet_ros.labelling.kernels import library; library()"
    shell = f"source {shlex.quote(str(WORKSPACE / 'env.sh'))}; cd /; exec python -c {shlex.quote(check)}"
    if subprocess.run(["bash", "-c", shell], check=False).returncode:
        raise SetupError("messages and kernels were built but cannot be loaded: the message is above")


def install_command() -> None:
    """Install this folder in editable mode, for the command `fanet` and the package's version."""
    if not _pip_install("--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT):
        raise SetupError("the command fanet could not be installed: pip's message is above")


def remove(path: Path) -> None:
    """Remove a folder with all that it holds, if it exists."""
    if path.exists():
        shutil.rmtree(path)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a requirements file without comments and blank lines."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _pip_install(*arguments: str | Path) -> bool:
    """Return whether pip could install that into .venv; it has printed why not."""
    command: Command = [PYTHON, "-m", "pip", "install", "--no-input", *arguments]
    return subprocess.run(command, env=_build_environment(), check=False).returncode == 0


def _leave_system_packages(names: list[str], pins: list[str]) -> tuple[list[str], list[str]]:
    """Return requirements and pins that replace nothing which comes with the sourced ROS 2.

    Its cv_bridge is compiled against its numpy and OpenCV; a newer copy of either in .venv, which comes first, would
    break it. What is missing is installed at the pinned version; the needs of what is missing have to fit in with what
    is there, so they are not pinned. setuptools serves pip alone.
    """
    answer = _output_of(_FACTS)
    if answer.returncode:
        raise SetupError(f"the Python of ROS 2 {ROS_DISTRO} fails: {answer.stderr.strip().splitlines()[-1]}")
    facts = json.loads(answer.stdout)
    names = [name for name in names if not (facts["opencv"] and name.startswith("opencv"))]
    present = {_canonical(package): version for package, version in facts["packages"].items()}
    missing = {_canonical(name) for name in names if not _is_met(name, present)}
    pins = [pin for pin in pins if _canonical(pin.split("==")[0]) in missing]
    if sys.version_info < (3, 11):  # the pins are for newer versions of Python
        pins = []
    if facts["numpy"]:
        pins.append(f"numpy=={facts['numpy']}")
    return names, pins


def _canonical(requirement: str) -> str:
    """Return the form of a package's name, in a requirement or alone, that compares equal for all its spellings."""
    return re.split("[<>=; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _is_met(requirement: str, present: Mapping[str, str]) -> bool:
    """Return whether a requirement of requirements/*.txt, at most with a lower bound, need not be installed."""
    name = _canonical(requirement)
    least = re.search(r">=([\d.]+)", requirement.partition(";")[0])
    if name not in present or name == "setuptools":
        return False
    return least is None or _numbers(present[name]) >= _numbers(least[1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _link_sources() -> None:
    """Make .ws/src: links to this package, and vision_msgs where there is none.

    The links are there because CMake refuses to export targets whose include folders lie below the source folder, as
    numpy's do in .venv.
    """
    remove(WORKSPACE / "src")
    package = WORKSPACE / "src" / "fanet_ros"
    package.mkdir(parents=True)
    for name in ("CMakeLists.txt", "package.xml", "config", "fanet_ros", "launch", "msg", "scripts", "src"):
        (package / name).symlink_to(ROOT / name)
    underlays = os.environ.get("AMENT_PREFIX_PATH", "").split(":") if ROS_DISTRO else [str(VENV)]
    if not any(Path(underlay, "share/vision_msgs/package.xml").is_file() for underlay in underlays if underlay):
        stand_in = ROOT / "scripts" / "vision_msgs"
        shutil.copytree(stand_in, package.with_name("vision_msgs"), ignore=shutil.ignore_patterns("COLCON_IGNORE"))


def _repair_include_paths() -> None:
    """Replace folders of the machine that built the wheels, named in their CMake files, by those of this machine."""
    code = "import numpy, sysconfig; print(sysconfig.get_path('include'), numpy.get_include(), sep='\\n')"
    python_include, numpy_include = _output_of(code).stdout.splitlines()
    for path in (VENV / "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        repaired = re.sub(r"/opt/python/[^;\"\s]*/numpy/_core/include", numpy_include, text)
        repaired = re.sub(r"/opt/python/[^;\"\s/]*/include/python3\.\d+", python_include, repaired)
        if repaired != text:
            path.write_text(repaired, encoding="utf-8")


def _output_of(code: str) -> subprocess.CompletedProcess[str]:
    """Return what .venv's Python prints when it runs this code."""
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, env=_build_environment(), check=False)


def _library_folders() -> list[Path]:
    """Return where the wheels of ROS 2 keep their shared libraries."""
    return [VENV / "lib", *sorted(VENV.glob("lib/python3*/site-packages/ros_*.libs"))] if not ROS_DISTRO else []


def _build_environment() -> dict[str, str]:
    """Return the environment variables for pip and colcon."""
    env = {**os.environ, "VIRTUAL_ENV": str(VENV), "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}", "PIP_USER": "0"}
    # A dead network should be noticed in seconds; who set these has reasons.
    env.setdefault("PIP_RETRIES", "2")
    env.setdefault("PIP_DEFAULT_TIMEOUT", "15")
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if not ROS_DISTRO:
        env.pop("PYTHONPATH", None)
        env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(VENV)
        env["LD_LIBRARY_PATH"] = ":".join(map(str, _library_folders()))
        env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"  # or every Python starts twice, to set LD_LIBRARY_PATH
    return env


def _write_env_file() -> None:
    """Write .ws/env.sh; it replaces colcon's setup.bash because that takes longer than most commands."""
    # lib/python3.x/site-packages, or local/lib/python3.x/dist-packages with Debian's Python
    python_folders = {path.parent.parent for path in INSTALL.glob("**/python3*/*-packages/fanet_ros/msg")}
    prefixes = [INSTALL] if ROS_DISTRO else [INSTALL, VENV]
    prepended = {
        "PATH": [VENV / "bin"],
        "PYTHONPATH": sorted(python_folders),
        "LD_LIBRARY_PATH": [INSTALL / "lib", *_library_folders()],
        "AMENT_PREFIX_PATH": prefixes,
        "CMAKE_PREFIX_PATH": prefixes,
    }
    lines = ["# Made by scripts/setup.", f"export VIRTUAL_ENV={shlex.quote(str(VENV))}"]
    for variable, folders in prepended.items():
        value = shlex.quote(":".join(map(str, folders)))
        lines.append(f'export {variable}={value}"${{{variable}:+:${variable}}}"')
    if not ROS_DISTRO:
        lines.append("export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1")
    (WORKSPACE / "env.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")
