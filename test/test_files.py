import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fanet_ros.errors import LabelSetError, SettingError, SourceError, WeightsError
from fanet_ros.files import check_can_write, check_has_end, read_bounded, replacing, write_whole
from fanet_ros.model.labels import load_label_set
from fanet_ros.model.weights import load_network
from fanet_ros.recorded.recording import is_recording
from fanet_ros.sources import open_source
from fanet_ros.training.recipe import load_recipe


def test_a_file_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    check_can_write("json", tmp_path / "new.json")
    (tmp_path / "old.json").write_text("old")
    check_can_write("json", tmp_path / "old.json")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    for path, text in (
        (tmp_path / "no" / "a.json", f"json: there is no folder {tmp_path}/no; make it first"),
        (tmp_path, f"json: {tmp_path} is a folder; give the name of a file"),
        (Path("/dev/null"), "json: /dev/null is a device or the like; give the name of a file"),
        (Path("/proc/a.json"), "json: /proc cannot be written: .*; give another folder"),  # not even by root
        (tmp_path / ("a" * 255), f"json: {tmp_path} cannot be written: File name too long"),
    ):
        with pytest.raises(SettingError, match=text):
            check_can_write("json", path)


def test_a_file_is_replaced_at_once_and_with_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path, durable=True) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_after_an_error_the_old_content_is_still_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="halfway"), replacing(path) as unfinished:
        unfinished.write_text("ne")
        raise ValueError("halfway")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_folders_take_the_place_of_empty_ones(tmp_path: Path) -> None:
    with replacing(tmp_path / "folder") as unfinished:
        unfinished.mkdir()
        (unfinished / "a").touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a"]


def test_text_and_bytes_are_written_whole_or_refused(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "ä")
    write_whole(tmp_path / "b", b"\x00")
    assert (tmp_path / "a").read_bytes() == "ä".encode() and (tmp_path / "b").read_bytes() == b"\x00"
    with pytest.raises(SettingError, match="cannot write .*no/a: No such file or directory"):
        write_whole(tmp_path / "no" / "a", "")


def without_end(folder: Path) -> dict[str, Path]:
    """Paths that can be opened and read for ever, or whose opening waits for somebody."""
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/dev/zero")
    return {
        "pipe": folder / "pipe",
        "device": folder / "link",
        "/proc": Path("/proc/self/mem"),
        "/sys": Path("/sys/kernel/mm/transparent_hugepage/enabled"),
    }


def test_what_has_no_end_is_called_by_its_kind(tmp_path: Path) -> None:
    paths = without_end(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for kind, path in {**paths, "socket": tmp_path / "socket"}.items():
            if path.exists():  # not every machine has that file in /sys
                with pytest.raises(OSError, match=f"it (is a|belongs to) {kind}"):
                    check_has_end(path)
    check_has_end(tmp_path)
    check_has_end(Path(__file__))


@pytest.mark.parametrize("read", [load_label_set, load_network, load_recipe, open_source])
def test_what_has_no_end_is_refused_wherever_a_path_is_given(tmp_path: Path, read: Callable[[str], object]) -> None:
    for path in without_end(tmp_path).values():
        if path.exists():
            with pytest.raises((LabelSetError, WeightsError, SettingError, SourceError), match=str(path)):
                read(str(path))


def test_metadata_that_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metadata.yaml")
    assert not is_recording(tmp_path)


def test_a_file_is_read_up_to_a_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bounded(tmp_path / "a", 4)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_that_a_library_made_private_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "a") as unfinished:
            unfinished.touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask
