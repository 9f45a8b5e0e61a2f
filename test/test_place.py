import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fanet_ros.artefacts import place
from fanet_ros.artefacts.cache import ArtefactKey, find, obtain, store, weights_digest
from fanet_ros.artefacts.gate import GateResult, read_gate_results, write_gate_results
from fanet_ros.artefacts.place import cache_folder
from fanet_ros.errors import BackendError, SettingError

KEY = ArtefactKey("ab" * 32, "openvino", "2025", "fp32", None, "cpu")
OTHER_USER = 4321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to other users")


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of XDG_CACHE_HOME, in which one artefact lies that its owner made."""
    base = tmp_path / "parent" / "base"
    base.parent.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    place._private_root.cache_clear()  # that of the test before
    previous = os.umask(0)  # the worst there is: what is made must be safe by itself
    try:
        store(KEY, write)
    finally:
        os.umask(previous)
    return base


def write(folder: Path) -> None:
    (folder / "model.bin").write_text("made")


def give_away(path: Path) -> None:
    os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)


def levels(base: Path) -> dict[str, Path]:
    folder = base / "fanet_ros" / KEY.weights[:16]
    return {"parent": base.parent, "base": base, "package": base / "fanet_ros", "weights": folder}


def test_nobody_else_may_write_what_it_makes(base: Path) -> None:
    assert find(KEY) == levels(base)["weights"] / KEY.folder_name
    for path in (base, *base.rglob("*")):
        assert not path.stat().st_mode & 0o022, path


@pytest.mark.parametrize("level", ["parent", "base", "package", "weights"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(give_away, marks=needs_root, id="another user's"),
        pytest.param(lambda path: path.chmod(0o777), id="all may write"),
        pytest.param(lambda path: path.chmod(0o757), id="others may write"),
    ],
)
def test_a_folder_that_others_could_fill_is_not_used(
    level: str, spoil: Callable[[Path], None], base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(levels(base)[level])
    before = sorted(base.rglob("*"))
    with caplog.at_level(logging.WARNING):
        assert find(KEY) is None
        folder = obtain(KEY, builder="builders", arguments={}, progress=lambda _: None)
        assert find(KEY) == folder, "and this process builds it once"
    assert base not in folder.parents and sorted(base.rglob("*")) == before
    assert folder.parents[1].stat().st_mode & 0o777 == 0o700
    (record,) = caplog.records
    assert str(levels(base)[level]) in record.message and "set XDG_CACHE_HOME" in record.message
    with pytest.raises(SettingError, match="the cache is not used"):
        store(KEY, write, lasting=True)


@pytest.mark.parametrize(("level", "used"), [("parent", True), ("base", True), ("package", False), ("weights", False)])
def test_sticky_folders_are_safe_above_the_cache_but_not_in_it(level: str, used: bool, base: Path) -> None:
    levels(base)[level].chmod(0o1777)
    assert (find(KEY) is not None) == used


def test_a_link_that_the_user_made_is_followed(base: Path, tmp_path: Path) -> None:
    base.rename(tmp_path / "elsewhere")
    base.symlink_to("../elsewhere")
    assert find(KEY) is not None and cache_folder(KEY.weights).resolve().is_relative_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o777)
    assert find(replace(KEY, precision="bf16")) is None and tmp_path not in cache_folder(KEY.weights).parents


@needs_root
def test_a_link_that_another_user_made_is_not_followed(base: Path, tmp_path: Path) -> None:
    base.rename(tmp_path / "elsewhere")
    base.symlink_to(tmp_path / "elsewhere")
    give_away(base)
    assert tmp_path not in cache_folder(KEY.weights).parents


def test_links_in_a_circle_are_no_obstacle(base: Path) -> None:
    base.rename(base.with_name("gone"))
    base.symlink_to(base)
    assert find(KEY) is None and store(KEY, write)


@pytest.mark.parametrize("name", ["", "model.bin", "manifest.json"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(give_away, marks=needs_root, id="another user's"),
        pytest.param(lambda path: path.chmod(0o777), id="all may write"),
    ],
)
def test_a_model_that_others_could_change_is_not_used(
    name: str, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    folder = find(KEY)
    assert folder is not None
    spoil(folder / name)
    assert find(KEY) is None
    assert "is not used" in caplog.text and (folder / "model.bin").exists(), "it may be worth something"
    assert obtain(KEY, builder="builders", arguments={}, progress=lambda _: None) == folder == find(KEY)


def test_a_link_in_the_place_of_a_model_is_not_used(tmp_path: Path) -> None:
    folder = find(KEY)
    assert folder is not None
    (folder / "model.bin").rename(tmp_path / "elsewhere")
    (folder / "model.bin").symlink_to(tmp_path / "elsewhere")
    assert find(KEY) is None


def test_a_link_in_the_place_of_the_lock_cuts_nothing_off(tmp_path: Path) -> None:
    folder = find(KEY)
    assert folder is not None
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    key = replace(KEY, precision="bf16")
    (folder.parent / f".{key.folder_name}.lock").symlink_to(precious)
    (folder.parent / f".{KEY.folder_name}.lock").write_text("what was there stays")
    for one in (key, KEY):
        assert obtain(one, builder="builders", arguments={}, progress=lambda _: None) == find(one)
    assert precious.read_text() == "years of work"
    assert (folder.parent / f".{KEY.folder_name}.lock").read_text() == "what was there stays"


def test_results_of_others_do_not_open_the_gate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    digest = weights_digest(weights)
    result = GateResult(
        digest, "openvino", "cpu", "bf16", "agreement", 100.0, 99.9, 1, "x", "64x64", {}, "2026-01-01T00:00:00+00:00"
    )
    path = write_gate_results(weights, [result])
    assert read_gate_results(weights) == [result]
    path.chmod(0o666)
    assert read_gate_results(weights) == [] and "are not used" in caplog.text
    path.chmod(0o600)
    path.parent.chmod(0o777)
    assert read_gate_results(weights) == []
    with pytest.raises(SettingError, match="can be written by other users"):
        write_gate_results(weights, [result])


@needs_root
def test_without_a_home_a_folder_that_another_user_made_first_is_not_used(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    taken = temporary / "cache-1235"
    taken.mkdir(parents=True)
    give_away(taken)
    temporary.chmod(0o1777)
    for folder in (tmp_path, *tmp_path.parents[:3]):  # with a worker's own
        folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import os; os.setgroups([]); os.setgid(1235); os.setuid(1235)\n"
        "from fanet_ros.artefacts.place import cache_folder, make_folder\n"
        "folder = cache_folder('ab' * 32); make_folder(folder); print(folder, oct(folder.parent.stat().st_mode))"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    del environment["XDG_CACHE_HOME"]
    environment.pop("HOME", None)

    def run() -> str:
        command = [sys.executable, "-c", "import fanet_ros.artefacts.cache\n" + script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert run().startswith(f"{temporary}/fanet_ros-") and list(temporary.iterdir()) == [taken]
    taken.rmdir()
    assert run().split() == [f"{taken}/fanet_ros/{'ab' * 8}", "0o40700"]


def test_a_builder_at_fault_is_not_taken_for_a_full_disk(base: Path) -> None:
    with pytest.raises(BackendError, match="the compiler gave up"):
        obtain(
            replace(KEY, precision="bf16"),
            builder="builders",
            arguments={"behaviour": "exception"},
            progress=lambda _: None,
        )
    assert not list(base.glob("*/*/.unfinished*"))
