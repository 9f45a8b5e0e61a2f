"""`fanet segment --ray` with real workers, which are killed, as is the run itself."""

import importlib.util
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from bag_writing import drive, write_split_bag

from fanet_ros.errors import SettingError
from fanet_ros.resources import package_version

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'"),
]

# What workers do beside their work, by how many files were begun in all: the second kills its process, and the fourth
# does not end before the run is killed.
SABOTAGE = """
import os, pathlib, signal, sys, time

if any("default_worker" in word for word in sys.orig_argv):
    from fanet_ros.recorded.file_work import FileWork

    run, here = FileWork.run, pathlib.Path(__file__).parent

    def sabotaged(*arguments):
        for number in range(100):
            try:
                (here / str(number)).touch(exist_ok=False)
                break
            except FileExistsError:
                continue
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 3:
            (here / "waiting").touch()
            time.sleep(300)
        return run(*arguments)

    FileWork.run = sabotaged
"""


def command(output: Path, *arguments: Path | str) -> list[str]:
    words = ["segment", *map(str, arguments), "--input-size", "96x64", "--output", str(output)]
    return [sys.executable, "-m", "fanet_ros.commands.cli", *words]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that a run wrote, but times, and pictures of a run that went on: they are of its own images."""
    left_out = ("summary.json", "contact_sheet.png")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in left_out)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_killed_workers_and_runs_change_nothing(tmp_path: Path) -> None:
    data, sabotage = tmp_path / "data", tmp_path / "sabotage"
    data.mkdir()
    sabotage.mkdir()
    for name in ("a", "b", "c"):
        write_split_bag(data / name, [drive(images=2, first=2 * n) for n in range(2)])
    subprocess.run(command(tmp_path / "plain", data), check=True, timeout=120, capture_output=True)

    (sabotage / "sitecustomize.py").write_text(SABOTAGE)
    paths = [str(sabotage), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    words = command(tmp_path / "out", data, "--ray", "local", "--threads", "1")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        try:
            deadline = time.monotonic() + 180
            while not (sabotage / "waiting").exists():
                assert run.poll() is None and time.monotonic() < deadline, run.stdout and run.stdout.read()
                time.sleep(0.1)
        finally:
            run.kill()
    assert (sabotage / "1").exists(), "one worker was killed before"

    (data / "bad.mcap").write_bytes(b"no recording")
    again = subprocess.run(words, check=False, timeout=180, capture_output=True, text=True)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "bad.mcap is damaged" in again.stderr and "1 of 4 paths could not be segmented" in again.stderr
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")


@pytest.mark.parametrize(
    ("address", "options", "said"),
    [
        ("127.0.0.1:9", [], "ray: nobody answers at '127.0.0.1:9': Connection refused"),
        ("nonsense", [], "ray: no cluster can be joined at 'nonsense'"),
        ("local", ["--device", "cuda:1"], "device: received 'cuda:1', expected cpu or cuda: Ray chooses the GPU"),
        ("local", ["--threads", "200"], "ray: a recording takes 200 cores and 0 GPUs of one machine"),
    ],
)
def test_what_cannot_be_had_is_one_line(tmp_path: Path, address: str, options: list[str], said: str) -> None:
    words = command(tmp_path / "out", tmp_path, "--ray", address, *options)
    result = subprocess.run(words, check=False, timeout=120, capture_output=True, text=True)
    assert result.returncode == 2 and f"error: {said}" in result.stderr, result.stderr
    assert "Traceback" not in result.stderr


def test_what_is_no_ray_is_said_at_once() -> None:
    """Ray itself would wait for minutes: for its own dashboard, too."""
    from fanet_ros.recorded.cluster import _check_answers

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(SettingError, match="what answers is no Ray; give HOST:PORT of its head"):
            _check_answers(f"127.0.0.1:{server.server_port}")


def test_a_machine_with_another_version_says_so(tmp_path: Path) -> None:
    from fanet_ros.recorded.cluster import _look

    problem, _ = _look()("0.0.1", {}, "digest", [], str(tmp_path))
    assert problem == f"has fanet_ros {package_version()}, and this one has 0.0.1; install the same on all"


def test_a_machine_without_the_package_says_so(tmp_path: Path) -> None:
    """What travels brings nothing of it along."""
    code = f"""
import sys
from ray import cloudpickle
from fanet_ros.recorded.cluster import _look
open({str(tmp_path / "look")!r}, "wb").write(cloudpickle.dumps(_look()))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    code = f"""
import sys
sys.modules["fanet_ros"] = None
from ray import cloudpickle
print(cloudpickle.loads(open({str(tmp_path / "look")!r}, "rb").read())("1.2", {{}})[0])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.startswith("lacks fanet_ros 1.2, or what it needs: No module named ")
