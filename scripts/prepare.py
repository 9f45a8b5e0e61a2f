"""Bring .venv and .ws up to date, step by step; scripts/setup calls it with a suitable Python.

Each step has a key, a hash of all that it depends on, which is noted in .venv/setup_state.json when the step is done; a
step runs when its key is not the noted one. The step under way is noted too: one that was cut short is never taken for
done, and what it may have left half-written is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import environment
from environment import PYTHON, REQUIREMENTS, ROOT, ROS_DISTRO, VENV, WORKSPACE
from machine import SetupError, check_machine

STATE = VENV / "setup_state.json"
LAYOUT = 1  # raise it when a step changes what it makes: every environment is then made anew
BASE = f"layout {LAYOUT}, ROS 2 {ROS_DISTRO or 'wheels'}, {ROOT}"


@dataclass(frozen=True)
class Step:
    """One step of the set-up."""

    name: str
    title: str
    key: str
    run: Callable[[], None]


@dataclass
class State:
    """What .venv is known to hold.

    Attributes:
        base: what it was made for; another base needs another .venv.
        done: keys of the finished steps, by name.
        running: name of the step under way, empty between steps.
    """

    base: str = ""
    done: dict[str, str] = field(default_factory=dict)
    running: str = ""

    @classmethod
    def read(cls) -> State:
        """Return the noted state; an empty one where there is none."""
        try:
            return cls(**json.loads(STATE.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self) -> None:
        """Note the state, all of it or nothing."""
        new = STATE.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(new, STATE)


def main() -> int:
    """Answer whether all is up to date (--is-ready), or bring it up to date; return the exit status."""
    if sys.argv[1:] == ["--is-ready"]:
        return 0 if is_ready() else 1
    try:
        # This file serves as lock: it is always there, and the lock ends with the process, however that ends.
        with Path(__file__).open("r+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("setup: another set-up of this folder is under way, waiting for it", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_ready():
                prepare()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"setup: {error}: this folder must be writable and its disk not full", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def is_ready() -> bool:
    """Return whether every step is done with the present inputs."""
    return State.read() == State(BASE, {step.name: step.key for step in steps()})


def prepare() -> None:
    """Run the steps that are due and show each with its time."""
    started = time.monotonic()
    check_machine(ROOT, ros_wheels=not ROS_DISTRO)
    remove_remains()
    state = State.read()
    state.base = BASE
    todo = steps()
    for number, step in enumerate(todo, start=1):
        label = f"[{number}/{len(todo)}] {step.title}"
        if state.done.get(step.name) == step.key:
            print(f"{label}: up to date", flush=True)
            continue
        print(f"{label} ...", flush=True)
        step_started = time.monotonic()
        state.done.pop(step.name, None)
        state.running = step.name
        if VENV.exists():
            state.write()
        try:
            step.run()
        except SetupError as error:
            if error.repeatable:
                state.running = ""
                state.write()
            raise
        state.done[step.name] = step.key
        state.running = ""
        state.write()
        print(f"{label}: {time.monotonic() - step_started:.0f} s", flush=True)
    state.done = {step.name: state.done[step.name] for step in todo}
    state.write()
    print(f"environment ready after {time.monotonic() - started:.0f} s", flush=True)


def steps() -> list[Step]:
    """Return all steps in order, with the keys that they have now."""
    titles = {
        "core": "PyTorch and image libraries",
        "ros": "ROS 2 Jazzy wheels",
        "colcon": "colcon",
        "dev": "test tools",
    }
    if ROS_DISTRO:
        del titles["ros"]
    result = [Step("venv", "virtual environment", digest(BASE), environment.make_venv)]
    pins = contents([REQUIREMENTS / "constraints.txt"])
    for name, title in titles.items():
        key = digest(pins, contents([REQUIREMENTS / f"{name}.txt"]))
        result.append(Step(name, title, key, partial(environment.install_packages, name, title)))
    # The code is installed as symbolic links, so edits take effect at once: only names of files matter.
    sources = contents([ROOT / "CMakeLists.txt", ROOT / "package.xml", *files_in("msg", "src", "scripts/vision_msgs")])
    names = "\n".join(str(path) for path in files_in("fanet_ros", "launch", "config", "scripts/nodes"))
    result.append(Step("build", "messages, kernels and workspace", digest(sources, names), environment.build_workspace))
    package = contents([ROOT / "setup.py", ROOT / "package.xml"])
    result.append(Step("command", "the command fanet", digest(package), environment.install_command))
    return result


def remove_remains() -> None:
    """Remove what cannot be brought up to date because it was made for another base or was cut short."""
    state = State.read()
    if VENV.exists() and (state.base != BASE or state.running not in ("", "build", "command") or not venv_works()):
        print("setup: removing .venv and .ws, which are incomplete or were made for another set-up", flush=True)
        environment.remove(VENV)
        environment.remove(WORKSPACE)
    elif state.running == "build":
        print("setup: removing .ws, whose build was cut short", flush=True)
        environment.remove(WORKSPACE)


def venv_works() -> bool:
    """Return whether .venv's Python starts and is still the version whose packages are there."""
    code = "import os, sys; sys.exit(not os.path.isdir(sys.argv[1] + '/lib/python%d.%d' % sys.version_info[:2]))"
    return PYTHON.exists() and subprocess.run([PYTHON, "-I", "-S", "-c", code, VENV], check=False).returncode == 0


def files_in(*folders: str) -> list[Path]:
    """Return all files in these folders of the package, in a fixed order."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*")))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def contents(paths: list[Path]) -> str:
    """Return what these files are called and contain."""
    return "\n".join(f"{path} {path.read_text(encoding='utf-8') if path.is_file() else None}" for path in paths)


def digest(*parts: str) -> str:
    """Return a hash of these texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
