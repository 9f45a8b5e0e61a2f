from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.calibration.calibration_frames import open_frames
from fanet_ros.errors import DatasetError, FanetError, SourceError


def write_images(folder: Path, count: int, size: tuple[int, int] = (48, 32)) -> None:
    """Images whose grey value is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((size[1], size[0], 3), number, np.uint8))


def write_labels(folder: Path, count: int, size: tuple[int, int] = (48, 32)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((size[1], size[0]), 100 + number, np.uint8))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_images(tmp_path / "drive" / "images", 12)
    write_labels(tmp_path / "drive" / "labels", 12)
    return tmp_path / "drive"


def values(path: Path, count: int) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in open_frames(str(path)).sample(count)]


def test_folder_of_images(data: Path) -> None:
    frames = open_frames(str(data / "images"))
    assert (frames.name, frames.labelled, frames.length) == ("images", False, 12)
    read = list(frames.sample(3))
    assert [frame.name for frame in read] == ["2", "6", "10"]
    assert all(frame.labels is None for frame in read)


def test_frames_are_evenly_spread_and_always_the_same(data: Path) -> None:
    assert values(data, 4) == [1, 4, 7, 10]
    assert values(data, 4) == values(data, 4)
    assert values(data, 1) == [6]
    assert values(data, 12) == values(data, 1000) == list(range(12))
    for count in range(1, 13):
        assert len(set(values(data, count))) == count


def test_video(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    frames = open_frames(str(tmp_path / "drive.mp4"))
    assert (frames.name, frames.labelled, frames.length) == ("drive.mp4", False, 10)
    assert [round(float(frame.image.mean()) / 20) for frame in frames.sample(5)] == [1, 3, 5, 7, 9]


def test_images_and_labels_in_folders(data: Path) -> None:
    frames = open_frames(str(data))
    assert (frames.name, frames.labelled, frames.length) == ("drive", True, 12)
    for frame in frames.sample(12):
        assert frame.labels is not None and frame.labels.shape == (32, 48) and frame.labels.dtype == np.uint8
        assert np.all(frame.labels == 100 + frame.image[0, 0, 0])


def test_list(data: Path) -> None:
    lists = data / "lists"
    lists.mkdir()
    # as in the SegNet edition of CamVid: paths from the root of the data set, with blank lines
    lines = [f"images/{n}.png labels/{n}.png" for n in (3, 5)] + ["", f"{data}/images/7.png labels/7.png"]
    (lists / "val.txt").write_text("\n".join(lines) + "\n")
    frames = open_frames(str(lists / "val.txt"))
    assert (frames.name, frames.labelled, frames.length) == ("lists/val.txt", True, 3)
    read = [(frame.image[0, 0, 0], frame.labels[0, 0]) for frame in frames.sample(9) if frame.labels is not None]
    assert read == [(3, 103), (5, 105), (7, 107)]


def test_labels_of_another_size_but_the_same_shape(data: Path) -> None:
    write_labels(data / "labels", 12, (24, 16))
    frame = next(open_frames(str(data)).sample(1))
    assert frame.labels is not None and frame.labels.shape == (16, 24)


def test_missing_labels(data: Path) -> None:
    (data / "labels" / "4.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 12 images have no labels .* for example 4\.png; add them, or give"):
        open_frames(str(data))


def test_empty_sets(data: Path, tmp_path: Path) -> None:
    for image in (data / "images").iterdir():
        image.unlink()
    with pytest.raises(SourceError, match="holds no images"):
        open_frames(str(data))
    with pytest.raises(SourceError, match="holds no images"):
        open_frames(str(data / "images"))
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(SourceError, match="is empty; write lines"):
        open_frames(str(tmp_path / "val.txt"))
    with pytest.raises(SourceError, match="there is no source"):
        open_frames(str(tmp_path / "nothing"))


def test_a_source_without_an_end() -> None:
    with pytest.raises(SourceError, match="street has no known end.*give a video file or a folder"):
        open_frames("street")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("images/0.png", "entry 2 of .* is 'images/0.png', expected the paths of an image and of its labels"),
        ("images/0.png labels/0.png 3", "expected the paths"),
        ("images/0.png labels/99.png", "entry 2 of .* names labels/99.png, which is neither in"),
    ],
)
def test_bad_lists(data: Path, line: str, message: str) -> None:
    (data / "val.txt").write_text(f"images/1.png labels/1.png\n{line}\n")
    with pytest.raises(SourceError, match=message):
        open_frames(str(data / "val.txt"))


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="cannot read the list"):
        open_frames(str(tmp_path / "val.txt"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((32, 32), np.uint8), "are 32x32 pixels but their image is 48x32; both must show the same picture"),
        (np.zeros((32, 48, 3), np.uint8), "expected 8-bit grey with one id per pixel"),
        (np.zeros((32, 48), np.uint16), "an image of uint16"),
    ],
)
def test_labels_that_do_not_fit(data: Path, labels: np.ndarray, message: str) -> None:
    cv2.imwrite(str(data / "labels" / "3.png"), labels)
    with pytest.raises(FanetError, match=message):
        list(open_frames(str(data)).sample(12))


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_unreadable_files(data: Path, content: bytes) -> None:
    (data / "labels" / "3.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"labels/3\.png is no readable image"):
        list(open_frames(str(data)).sample(12))
    (data / "images" / "2.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"cannot decode .*2\.png"):
        list(open_frames(str(data)).sample(12))
