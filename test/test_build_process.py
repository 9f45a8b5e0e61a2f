import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fanet_ros.artefacts import build_process
from fanet_ros.artefacts.build_process import run_builder
from fanet_ros.errors import BackendError, WeightsError


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(build_process, "_REPORT_INTERVAL_S", 0.005)


def run(folder: Path, behaviour: str, progress: object = lambda _: None) -> None:
    run_builder("builders", folder, {"behaviour": behaviour}, "a test", progress)  # type: ignore[arg-type]


def test_says_how_it_goes(tmp_path: Path) -> None:
    said: list[str] = []
    run(tmp_path, "write", said.append)
    assert (tmp_path / "model.bin").read_text() == "made"
    assert said[0] == "building a test; this is done once"
    assert said[1].startswith("building a test: ") and said[-1].startswith("built a test in ")


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("crash", "building a test failed: it was ended by a signal .Segmentation fault"),
        ("exception", "RuntimeError: the compiler gave up"),
        ("exit 3", "building a test failed: its last words:\nout of licences"),
    ],
)
def test_failures_are_told(tmp_path: Path, behaviour: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        run(tmp_path, behaviour)


def test_fault_of_the_user_comes_back_as_what_it_was(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="^x.pth: no such weights file; check the path$"):
        run(tmp_path, "user error")


def test_module_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="No module named 'no_such_builder'"):
        run_builder("no_such_builder", tmp_path, {}, "a test", lambda _: None)


def test_giving_up_ends_the_other_process(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"

    def give_up(text: str) -> None:
        if (tmp_path / "half.bin").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_builder("builders", tmp_path, {"behaviour": "forever", "notes": str(notes)}, "a test", give_up)
    assert not alive(int(notes.read_text()))


def test_the_build_ends_with_whoever_waits_for_it(tmp_path: Path) -> None:
    notes, half = tmp_path / "notes.txt", tmp_path / "half.bin"
    code = (
        "import sys; from pathlib import Path; from fanet_ros.artefacts.build_process import run_builder\n"
        "arguments = {'behaviour': 'forever', 'notes': sys.argv[2]}\n"
        "run_builder('builders', Path(sys.argv[1]), arguments, 'a test', lambda _: None)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
    os.mkfifo(half)
    waiting = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(notes)], env=environment)
    assert half.read_text() == "half"  # returns when the builder has written that
    builder = os.pidfd_open(int(notes.read_text()))
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()
    assert select.select([builder], [], [], 30)[0] == [builder]  # readable when it has ended
    os.close(builder)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
