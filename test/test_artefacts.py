import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey, find, find_shipped, obtain, store, weights_digest
from fanet_ros.artefacts.place import cache_folder
from fanet_ros.errors import BackendError, WeightsError
from fanet_ros.settings import Size

KEY = ArtefactKey("ab" * 32, "tensorrt", "10.9", "fp16", Size(1024, 512), "NVIDIA Orin (8.7)")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and builders of test/builders.py that other processes can import."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return tmp_path / "cache" / "fanet_ros"


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "notes.txt"
    path.touch()
    yield path


def make(key: ArtefactKey = KEY, progress: object = print, **arguments: str) -> Path:
    return obtain(key, builder="builders", arguments=arguments, progress=progress)  # type: ignore[arg-type]


def test_built_once_and_found_again(notes: Path, cache: Path) -> None:
    assert find(KEY) is None
    said: list[str] = []
    folder = make(progress=said.append, notes=str(notes))
    assert folder == cache / KEY.weights[:16] / "tensorrt_10.9_fp16_1024x512_NVIDIA-Orin-8.7-_graph1"
    assert (folder / "model.bin").read_text() == "made"
    assert make(notes=str(notes)) == folder == find(KEY)
    assert len(notes.read_text().splitlines()) == 1
    assert "building tensorrt fp16 for 1024x512" in said[0] and said[-1].startswith("built tensorrt fp16")
    assert not list(cache.glob("*/.unfinished*"))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "cd" * 32},
        {"backend": "openvino"},
        {"version": "10.10"},
        {"precision": "int8"},
        {"input_size": Size(1024, 520)},
        {"input_size": None},
        {"device": "NVIDIA Thor"},
        {"graph_version": artefacts.GRAPH_VERSION + 1},
        {"temporal_frames": 2},
    ],
)
def test_everything_it_depends_on_is_in_the_key(change: dict[str, object]) -> None:
    store(KEY, lambda folder: (folder / "model.bin").write_text("old") and None)
    assert find(replace(KEY, **change)) is None  # type: ignore[arg-type]
    assert find(KEY) is not None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "model.bin").write_text("mad!"), "model.bin has changed"),
        (lambda folder: (folder / "model.bin").unlink(), "FileNotFoundError"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "JSONDecodeError"),
        (lambda folder: (folder / "manifest.json").unlink(), "FileNotFoundError"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "TypeError"),
        (lambda folder: (folder / "manifest.json").write_text('{"key": {}, "files": {}}'), "KeyError"),
    ],
)
def test_a_damaged_one_is_built_anew_with_a_warning(
    damage: object, reason: str, notes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(notes=str(notes))
    damage(folder)  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        assert (make(notes=str(notes)) / "model.bin").read_text() == "made"
    assert reason in caplog.text and "cannot be used" in caplog.text
    assert len(notes.read_text().splitlines()) == 2


def test_a_renamed_folder_does_not_pass_for_another(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make()
    other = replace(KEY, precision="int8")
    folder.rename(folder.with_name(other.folder_name))
    assert find(other) is None
    assert "made for precision fp16, not int8" in caplog.text


def test_what_was_made_before_there_were_videos_still_serves() -> None:
    folder = store(KEY, lambda folder: (folder / "model.bin").write_text("old") and None)
    assert "temporal_frames" not in (folder / artefacts.MANIFEST).read_text()
    several = store(replace(KEY, temporal_frames=2), lambda folder: (folder / "model.bin").write_text("new") and None)
    assert several.name == folder.name + "_2-frames"
    assert find(KEY) == folder and find(replace(KEY, temporal_frames=2)) == several


def test_the_old_one_stays_until_the_new_one_is_whole() -> None:
    store(KEY, lambda folder: (folder / "model.bin").write_text("old") and None)

    def fail(folder: Path) -> None:
        (folder / "model.bin").write_text("new")
        raise BackendError("the disk is on fire")

    with pytest.raises(BackendError, match="on fire"):
        store(KEY, fail)
    folder = find(KEY)
    assert folder is not None and (folder / "model.bin").read_text() == "old"
    store(KEY, lambda folder: (folder / "model.bin").write_text("new") and None)
    folder = find(KEY)
    assert folder is not None and (folder / "model.bin").read_text() == "new"


def test_two_at_once_build_once(notes: Path) -> None:
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(make(notes=str(notes)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1 and len(folders) == 3
    assert len(notes.read_text().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="runs as root, whom no permission stops")
def test_a_cache_that_cannot_be_written_is_no_obstacle(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    try:
        assert (make() / "model.bin").read_text() == "made"
    finally:
        cache.chmod(0o700)
    assert "cannot be written" in caplog.text


def test_a_file_where_the_cache_should_be_is_no_obstacle(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    assert (make() / "model.bin").read_text() == "made"
    assert "set XDG_CACHE_HOME" in caplog.text


def test_what_is_built_for_this_process_alone_goes_with_it(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = (
        "from test_artefacts import KEY; from fanet_ros.artefacts.cache import store\n"
        "print(store(KEY, lambda folder: (folder / 'model.bin').write_text('x') and None))"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = script + "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", killed], env=environment, capture_output=True)
    assert len(list(temporary.iterdir())) == 1, "it could not remove it"
    output = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert str(temporary) in output.stdout, output.stderr
    assert not list(temporary.iterdir())


def test_a_damaged_one_that_cannot_be_removed_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (make() / "model.bin").write_text("damaged")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(artefacts.tempfile, "mkdtemp", refuse)
    assert find(KEY) is None
    assert "cannot be removed: Permission denied" in caplog.text


def test_a_file_system_without_locks_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(artefacts.fcntl, "flock", refuse)
    assert (make() / "model.bin").read_text() == "made"


def test_what_killed_builds_left_is_removed_and_what_live_ones_make_is_not(cache: Path) -> None:
    script = (
        "import os, signal; from test_artefacts import KEY; from fanet_ros.artefacts.cache import store\n"
        "store(KEY, lambda folder: os.kill(os.getpid(), signal.SIGKILL))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment)
    assert len(list(cache.glob("*/.unfinished-*"))) == 1, "the killed build left something"
    other = replace(KEY, precision="int8")

    def write(folder: Path) -> None:
        assert list(cache.glob("*/.unfinished-*")) == [folder], "what it left is gone"
        make()  # meanwhile another one is built
        (folder / "model.bin").write_text("made")

    assert (store(other, write) / "model.bin").read_text() == "made"
    assert not list(cache.glob("*/.unfinished*"))


def test_two_that_store_the_same_at_once_do_not_fail() -> None:
    failed: list[BaseException] = []
    both = threading.Barrier(2)

    def write(folder: Path) -> None:
        (folder / "model.bin").write_text("made")
        both.wait()

    def store_often() -> None:
        try:
            for _ in range(50):
                store(KEY, write, lasting=True)
        except BaseException as error:
            both.abort()
            failed.append(error)

    threads = [threading.Thread(target=store_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and find(KEY) is not None


_FULL = """
import logging; from pathlib import Path; from test_artefacts import KEY
from fanet_ros.artefacts.cache import find, obtain, store
from fanet_ros.errors import BackendError
logging.basicConfig(format="WARNING %(message)s")
folder = obtain(KEY, builder="builders", arguments={"content": "x" * 100000}, progress=lambda _: None)
assert find(KEY) == folder and (folder / "model.bin").stat().st_size == 100000
print(folder)
def exporter(folder):  # leaves nothing behind: there is room again afterwards
    try:
        (folder / "model.bin").write_bytes(bytes(200000))
    except OSError as error:
        (folder / "model.bin").unlink()
        raise BackendError(f"cannot write: {error}") from None
print(store(KEY, lambda folder: exporter(folder) if "cache" in str(folder) else (folder / "x").touch()))
def library(folder):
    try:
        (folder / "model.bin").write_bytes(bytes(200000))
    except OSError:
        raise RuntimeError("iostream error")
print(store(KEY, lambda folder: library(folder) if "cache" in str(folder) else (folder / "x").touch()))
try:
    store(KEY, library, lasting=True)
except BackendError as error:
    print(error)
"""


def test_a_disk_that_fills_up_in_the_middle_is_no_obstacle(tmp_path: Path) -> None:
    disk, temporary = tmp_path / "cache", tmp_path / "temporary"
    disk.mkdir()
    temporary.mkdir()
    mount = f'mount -t tmpfs -o size=64k none {disk} && exec "$@"'
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    isolate = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*isolate, "true"], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run([*isolate, sys.executable, "-c", _FULL], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *folders, message = done.stdout.splitlines()
    assert [Path(folder).parents[2] for folder in folders] == [temporary] * 3
    assert done.stderr.count("WARNING") == 1 and "No space left on device" in done.stderr
    assert "cannot be kept" in message and "No space left on device" in message
    assert not list(temporary.iterdir()), "what served the process alone goes with it"


def test_one_that_is_delivered_with_weights_may_come_from_another_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = replace(KEY, input_size=None)
    shipped = tmp_path / "net.openvino-int8"
    assert find_shipped(shipped, key) is None and not caplog.text
    shipped.mkdir()
    artefacts.write_artefact(shipped, key, lambda folder: (folder / "model.bin").write_text("x") and None)
    assert find_shipped(shipped, replace(key, version="11")) == shipped
    assert find_shipped(shipped, replace(key, weights="cd" * 32)) is None
    assert "made for weights abab" in caplog.text
    assert find_shipped(shipped, replace(key, graph_version=99)) is None
    (shipped / "model.bin").write_text("y")
    assert find_shipped(shipped, key) is None
    assert shipped.exists(), "what came with the weights is not ours to delete"


def test_cache_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder("f" * 64) == tmp_path / ".cache" / "fanet_ros" / ("f" * 16)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("f" * 64) == tmp_path / ".cache" / "fanet_ros" / ("f" * 16)


def test_digest(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    assert weights_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(WeightsError, match="no such weights file"):
        weights_digest(tmp_path / "nothing")
    with pytest.raises(WeightsError, match="not a file"):
        weights_digest(tmp_path)
    with pytest.raises(WeightsError, match="it is a device, and no file"):
        weights_digest(Path("/dev/zero"))


def test_manifest_can_be_read_by_people() -> None:
    manifest = json.loads((make() / artefacts.MANIFEST).read_text())
    assert manifest["key"]["input_size"] == "1024x512" and manifest["key"]["backend"] == "tensorrt"
