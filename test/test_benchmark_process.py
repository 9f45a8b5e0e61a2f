"""Processes that answer in JSON lines: answers, refusals, deaths, silence, and that none is left behind.

Run as a script, this file is such a process (`child`), or a parent that starts one and waits (`parent`).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fanet_ros.benchmark.process import JsonProcess, ProcessError, serve
from fanet_ros.errors import SettingError
from fanet_ros.processes import child_environment

LIMIT_S = 30.0


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, notices: list[str]) -> Iterator[JsonProcess]:
    monkeypatch.setenv("BENCHMARK_TEST_REMOVED", "here")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    process = JsonProcess(
        "test_benchmark_process",
        ["child"],
        environment={"BENCHMARK_TEST_SET": "yes", "BENCHMARK_TEST_REMOVED": None},
        notice=notices.append,
    )
    yield process
    process.close()
    assert not psutil.pid_exists(process.pid)


def test_requests_are_answered_in_their_order(process: JsonProcess) -> None:
    assert process.ask("double", LIMIT_S, number=4) == {"number": 8}
    process.send("double", number=1)
    process.send("double", number=2)
    assert [process.receive(LIMIT_S)["number"] for _ in range(2)] == [2, 4]


def test_what_libraries_print_is_not_taken_for_an_answer(process: JsonProcess) -> None:
    assert process.ask("print", LIMIT_S) == {"printed": True}


def test_the_environment_of_the_child(process: JsonProcess) -> None:
    assert process.ask("environment", LIMIT_S) == {"set": "yes", "removed": None}


def test_what_the_child_logs_is_passed_on(process: JsonProcess, notices: list[str]) -> None:
    process.ask("log", LIMIT_S, text="half done")
    assert notices == ["half done"]


@pytest.mark.parametrize(("kind", "message"), [("fault", "too large"), ("bug", "ZeroDivisionError")])
def test_a_refusal_is_an_error_after_which_it_goes_on(process: JsonProcess, kind: str, message: str) -> None:
    with pytest.raises(ProcessError, match=message):
        process.ask(kind, LIMIT_S)
    assert process.ask("double", LIMIT_S, number=1) == {"number": 2}


def test_a_child_that_dies_tells_how_and_its_last_words(process: JsonProcess) -> None:
    with pytest.raises(ProcessError, match="ended with code 7; its last words: no memory left"):
        process.ask("die", LIMIT_S, code=7)
    with pytest.raises(ProcessError, match="ended with code 7"):
        process.ask("double", LIMIT_S, number=1)


def test_a_child_that_is_killed_tells_by_what(process: JsonProcess) -> None:
    process.ask("double", LIMIT_S, number=1)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ProcessError, match="was ended by SIGKILL"):
        process.receive(LIMIT_S)


def test_silence_is_an_error(process: JsonProcess) -> None:
    process.ask("double", LIMIT_S, number=1)
    with pytest.raises(ProcessError, match="did not answer within 0 s"):
        process.receive(0.1)


def test_closing_ends_a_child_that_is_busy(process: JsonProcess) -> None:
    process.ask("double", LIMIT_S, number=1)
    process.send("hang")
    process.close()
    assert not psutil.pid_exists(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked to end children with their parent")
def test_a_busy_child_ends_when_its_parent_is_killed() -> None:
    command = [sys.executable, __file__, "parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert psutil.wait_procs([child], timeout=LIMIT_S) == ([child], [])


# -- the processes -----------------------------------------------------------------------------------------------------


def be_child() -> None:
    def double(number: int) -> dict[str, int]:
        return {"number": 2 * number}

    def print_something() -> dict[str, bool]:
        os.write(1, b"a native library says hello\n")
        print('{"number": 1}', flush=True)
        return {"printed": True}

    def environment() -> dict[str, str | None]:
        return {name: os.environ.get(f"BENCHMARK_TEST_{name.upper()}") for name in ("set", "removed")}

    def log(text: str) -> dict[str, bool]:
        logging.getLogger("fanet_ros.somewhere").info(text)
        return {}

    def fault() -> dict[str, int]:
        raise SettingError("too large")

    def bug() -> dict[str, int]:
        return {"number": 1 // 0}

    def die(code: int) -> dict[str, int]:
        print("no memory left", file=sys.stderr, flush=True)
        os._exit(code)

    def hang() -> dict[str, int]:
        signal.pause()
        return {}

    handlers = (double, environment, log, fault, bug, die, hang)
    serve({**{handler.__name__: handler for handler in handlers}, "print": print_something})


def be_parent() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    process = JsonProcess("test_benchmark_process", ["child"])
    process.ask("double", LIMIT_S, number=1)
    process.send("hang")
    print(process.pid, flush=True)
    signal.pause()


if __name__ == "__main__":
    {"child": be_child, "parent": be_parent}[sys.argv[1]]()
