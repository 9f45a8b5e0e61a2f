"""What footage is made of: fanet_ros/teaching/footage.py."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_writing import drive, image, jpeg, picture, write_bag, write_split_bag

from fanet_ros.errors import SourceError
from fanet_ros.teaching.footage import Footage, fingerprint, open_footage


def write_video(path: Path, frames: int = 7) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path


def write_images(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), picture(number))
    return folder


def played(footage: list[Footage]) -> dict[str, list[np.ndarray]]:
    streams: dict[str, list[np.ndarray]] = {}
    for each in footage:
        for shot in each.shots():
            read = shot.read()
            if read is not None:
                streams.setdefault(shot.stream, []).append(np.array(read[0]))
    return streams


def lengths(footage: list[Footage]) -> dict[str, int]:
    return {name: length for each in footage for name, length in each.streams.items()}


def test_every_kind_of_file_and_folders_of_all_of_them(tmp_path: Path) -> None:
    write_images(tmp_path / "drives" / "photos" / "a")
    write_video(tmp_path / "drives" / "a.avi")
    write_bag(tmp_path / "drives" / "bag", drive("/front/image_raw", images=4))
    (tmp_path / "drives" / "photos" / "notes.txt").write_text("no footage")
    (tmp_path / "drives" / ".hidden").mkdir()
    cv2.imwrite(str(tmp_path / "drives" / ".hidden" / "x.png"), picture(1))
    (tmp_path / "drives" / "again").symlink_to(tmp_path / "drives")
    one = tmp_path / "single.jpg"
    cv2.imwrite(str(one), picture(5))
    footage = open_footage([tmp_path / "drives", one], (), tmp_path / "scratch")
    assert lengths(footage) == {"a": 7, "bag": 4, "a_2": 3, "single": 1}
    streams = played(footage)
    assert {name: len(frames) for name, frames in streams.items()} == lengths(footage)
    np.testing.assert_array_equal(streams["a_2"][1], picture(1))
    np.testing.assert_array_equal(streams["bag"][2], picture(21))


@pytest.mark.parametrize("topics", [(), ("/left/image_raw",)])
def test_each_camera_of_a_recording_is_a_stream(tmp_path: Path, topics: tuple[str, ...]) -> None:
    records = [
        record
        for n in range(3)
        for record in (image("/left/image_raw", 2 * n), jpeg("/right/image/compressed", 2 * n + 1))
    ]
    bag = write_split_bag(tmp_path / "run", [records[:4], records[4:]])
    footage = open_footage([bag], topics, tmp_path / "scratch")
    expected = {"run": 3} if topics else {"run.left": 3, "run.right": 3}
    assert lengths(footage) == expected and {n: len(f) for n, f in played(footage).items()} == expected
    with pytest.raises(SourceError, match="no image topic /up"):
        open_footage([bag], ("/up",), tmp_path / "scratch")


def test_images_that_cannot_be_used_are_told_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [
        image("/camera/image_raw", 1),
        image("/camera/image_raw", 2, data=b"short"),
        image("/camera/image_raw", 3),
    ]
    footage = open_footage([write_bag(tmp_path / "run", records)], (), tmp_path)
    assert len(played(footage)["run"]) == 2 and "left out an image of /camera/image_raw in run" in caplog.text


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere does not exist"):
        open_footage([tmp_path / "nowhere"], (), tmp_path)
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(SourceError, match="holds no images, videos or recordings"):
        open_footage([tmp_path / "empty"], (), tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(SourceError, match="cannot decode"):
        open_footage([tmp_path / "broken.mp4"], (), tmp_path)


def test_changed_files_change_the_fingerprint(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "photos")
    before = fingerprint(open_footage([folder], (), tmp_path))
    assert before == fingerprint(open_footage([folder], (), tmp_path))
    cv2.imwrite(str(folder / "new.png"), picture(9))
    assert before != fingerprint(open_footage([folder], (), tmp_path))
