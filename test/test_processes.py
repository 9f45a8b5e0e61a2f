"""Processes started, ended, and heard."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tiny_camvid import make_tiny_camvid, write_tiny_recipe

from fanet_ros.processes import child_environment, end, last_words, start_module


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        ["export", "--precision", "fp32", "--input-size", "64x64"],
        ["train", "--recipe", "{recipe}", "--data", "{data}", "--output", "{run}", "--seed", "1"],
        ["benchmark", "--quick", "--level", "network", "--size", "64x64", "--backend", "openvino"],
    ],
    ids=lambda start: start[0],
)
def test_no_command_runs_code_of_the_working_directory(start: list[str], tmp_path: Path) -> None:
    """Even where it was started in the way that looks there first."""
    write_tiny_recipe(tmp_path)
    make_tiny_camvid(tmp_path / "camvid")
    here = tmp_path / "here"
    here.mkdir()
    traps = ("torch", "numpy", "signal", "threading", "pickle", "nncf", "openvino", "onnx", "kornia", "scipy", "PIL")
    for name in traps:
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'caught')!r}, 'a').write({name!r}); raise ImportError")
    places = {"recipe": tmp_path / "tiny.yaml", "data": tmp_path / "camvid", "run": tmp_path / "run"}
    command = [argument.format(**places) for argument in start]
    # what `python -m` and torchrun do, but for what they import themselves before a line of ours runs
    code = (
        "import sys; from fanet_ros.commands.cli import main; sys.path.insert(0, ''); sys.path.insert(0, {!r}); main()"
    )
    environment = {**child_environment({"PYTHONSAFEPATH": None, "XDG_CACHE_HOME": str(tmp_path / "cache")})}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code.format(str(here)), *command], cwd=here, env=environment, capture_output=True
    )
    assert not (tmp_path / "caught").exists(), (tmp_path / "caught").read_text()
    assert done.returncode == 0, done.stderr
