import os
from pathlib import Path

import pytest
from bag_writing import drive, write_bag, write_split_bag

from fanet_ros.errors import SourceError
from fanet_ros.recorded.recording import Recording, find_recording, is_recording

METADATA = """
rosbag2_bagfile_information:
  version: {version}
  storage_identifier: {storage}
  compression_format: '{format}'
  compression_mode: '{mode}'
  relative_file_paths: [a.mcap]
"""


def described(folder: Path, version: int = 5, storage: str = "mcap", compression: str = "", mode: str = "") -> Path:
    folder.mkdir()
    (folder / "a.mcap").touch()
    text = METADATA.format(version=version, storage=storage, format=compression, mode=mode)
    (folder / "metadata.yaml").write_text(text)
    return folder


def test_what_is_a_recording(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", drive())
    assert is_recording(bag) and is_recording(bag / "bag.mcap")
    assert not is_recording(tmp_path)
    (bag / "preview.png").touch()
    assert is_recording(bag)
    (bag / "metadata.yaml").write_text("camera: front")
    assert not is_recording(bag), "a folder of images that has metadata of its own"
    (bag / "preview.png").unlink()
    assert is_recording(bag)
    assert not is_recording(tmp_path / "drive.mp4")
    assert is_recording(tmp_path / "not there.db3.zstd")


def test_files_of_a_split_bag_in_order(tmp_path: Path) -> None:
    bag = write_split_bag(tmp_path / "run", [drive(images=1)] * 11)
    recording = find_recording(bag)
    assert [file.name for file in recording.files] == [f"run_{n}.mcap" for n in range(11)]
    assert (recording.name, recording.unfinished, recording.messages_compressed) == ("run", "", False)
    (bag / "metadata.yaml").unlink()
    unfinished = find_recording(bag)
    assert unfinished.files == recording.files, "in the order of numbers, not of letters"
    assert unfinished.unfinished


def test_names_of_lone_files(tmp_path: Path) -> None:
    for name in ("drive.1.mcap", "drive.1.db3", "drive.1.mcap.zstd"):
        (tmp_path / name).touch()
        assert find_recording(tmp_path / name).name == "drive.1"


def test_files_named_with_their_folder_as_old_bags_do(tmp_path: Path) -> None:
    bag = described(tmp_path / "bag")
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(text.replace("[a.mcap]", "[bag/a.mcap]"))
    assert find_recording(bag).files == (bag / "a.mcap",)


def test_a_lone_file_of_a_bag_is_compressed_as_the_bag(tmp_path: Path) -> None:
    bag = described(tmp_path / "bag", compression="zstd", mode="MESSAGE")
    assert find_recording(bag).messages_compressed
    assert find_recording(bag / "a.mcap").messages_compressed
    (bag / "b.mcap").touch()
    assert not find_recording(bag / "b.mcap").messages_compressed
    (bag / "metadata.yaml").write_text("something else")
    assert not find_recording(bag / "a.mcap").messages_compressed


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"compression": "lz4", "mode": "file"}, "compressed by 'lz4', and only zstd"),
        ({"storage": "rosbag_v2"}, "storage 'rosbag_v2', and only mcap and sqlite3"),
        ({"version": 10}, "version 10, expected at most 9"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, changes: dict, text: str) -> None:
    with pytest.raises(SourceError, match=text):
        find_recording(described(tmp_path / "bag", **changes))


@pytest.mark.parametrize("text", ["", "- 1", "rosbag2_bagfile_information: {version: 5}", "a: [", "\0"])
def test_damaged_metadata(tmp_path: Path, text: str) -> None:
    bag = described(tmp_path / "bag")
    (bag / "metadata.yaml").write_text(text)
    recording = find_recording(bag)
    assert (recording.files, recording.unfinished) == ((bag / "a.mcap",), "has no usable metadata.yaml")
    (bag / "a.mcap").unlink()
    with pytest.raises(SourceError, match="is the bag complete") as error:
        find_recording(bag)
    assert "\n" not in str(error.value)


def test_without_a_storage_the_names_of_the_files_tell(tmp_path: Path) -> None:
    recording = find_recording(described(tmp_path / "bag", storage="''", compression="zstd", mode="MESSAGE"))
    assert recording.files == (tmp_path / "bag" / "a.mcap",)
    assert recording.messages_compressed and not recording.unfinished


@pytest.mark.parametrize("name", ["drive.bag", "drive.bag.active"])
def test_recordings_of_ros_1_are_called_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"#ROSBAG V2.0\n")
    assert is_recording(tmp_path / name)
    with pytest.raises(SourceError, match=r"recorded by ROS 1: convert the .bag, .*rosbags-convert --src"):
        find_recording(tmp_path / name)


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"caf\xe9.mcap"):
        path = tmp_path / os.fsdecode(name)
        assert Recording(path, (path,)).name == "caf_"


def test_missing_files_are_named(tmp_path: Path) -> None:
    bag = described(tmp_path / "bag")
    (bag / "a.mcap").unlink()
    with pytest.raises(SourceError, match=r"lacks files that its metadata.yaml names: a\.mcap"):
        find_recording(bag)
