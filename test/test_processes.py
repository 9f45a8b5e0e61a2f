"""Processes started, ended, and heard."""

import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from fanet_ros.processes import end, last_words, start_module


def test_a_module_starts_with_this_package_and_the_environment_asked_for() -> None:
    process = start_module("this", environment={"PYTHONHASHSEED": None}, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and b"Zen of Python" in output
    code = "import os, fanet_ros; print(os.environ['COLOUR'])"
    process = start_module("timeit", "-n1", "-r1", code, environment={"COLOUR": "green"}, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and output.startswith(b"green")


def test_modules_of_the_working_directory_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, modules = tmp_path / "here", tmp_path / "modules"
    for folder in (here, modules):
        folder.mkdir()
    (here / "numpy.py").write_text("print('foreign')")
    (modules / "look.py").write_text("import sys, numpy; print(__name__, sys.argv[1:], numpy.__file__)")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))  # where `python -m` puts it
    monkeypatch.syspath_prepend(str(modules))
    process = start_module("look", "a b", stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert output.startswith(b"__main__ ['a b'] ") and b"site-packages" in output, output
    monkeypatch.setenv("PYTHONPATH", str(here))  # what is asked for is done
    process = start_module("look", stdout=subprocess.PIPE)
    assert process.communicate(timeout=60)[0].startswith(b"foreign")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_is_gone_when_it_was_ended(number: signal.Signals) -> None:
    with tempfile.TemporaryFile() as output:
        process = start_module("http.server", "--bind", "127.0.0.1", "0", stdout=output, stderr=output)
        end(process, number)
        assert process.returncode == -number
        end(process)  # which is gone already
        assert last_words(output) == [] or "Serving" in last_words(output)[0]
