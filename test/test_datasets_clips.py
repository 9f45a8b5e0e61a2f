from pathlib import Path

import cv2
import dataset_trees as trees
import numpy as np
import pytest
from tiny_camvid import make_tiny_camvid

from fanet_ros.datasets import Frame, Window, open_dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.datasets.resized import ResizedDataset
from fanet_ros.errors import DatasetError
from fanet_ros.settings import Size

SEQUENCE = "leftImg8bit_sequence/train/aachen/aachen_000000_{:06d}_leftImg8bit.png"


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    """Snippets around the labelled frames, each image as grey as its number; aachen's is the 20th, bochum's the 5th."""
    root = trees.cityscapes(tmp_path / "cityscapes")
    for folder in ("leftImg8bit", "gtFine"):
        for path in (root / folder / "train" / "bochum").iterdir():
            path.rename(path.with_name(path.name.replace("000019", "000043")))
    for city, first in (("aachen", 0), ("bochum", 24)):
        for number in range(first, first + 30):
            path = root / SEQUENCE.format(number).replace("aachen", city)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((trees.HEIGHT, trees.WIDTH, 3), number, np.uint8))
    return root


def numbers(dataset_clips: ClipDataset, index: int) -> list[int]:
    return [int(image[0, 0, 0]) for image in dataset_clips.clip(index).images[:-1]]


def test_cityscapes_shows_the_frames_before_the_labelled_one(cityscapes: Path) -> None:
    data = open_dataset("cityscapes", cityscapes, "train")
    clips = ClipDataset(data, 3, step=2)
    clips.check(required=True)
    assert numbers(clips, 0) == [15, 17] and numbers(clips, 1) == [39, 41]
    clip, sample = clips.clip(0), data.read(0)
    assert clip.name == sample.name
    np.testing.assert_array_equal(clip.images[-1], sample.image)
    np.testing.assert_array_equal(clip.labels, sample.labels)
    assert numbers(ClipDataset(data, 16, step=4), 0) == [3, 7, 11, 15]  # the snippet begins there
    assert clips.videos() == [[0], [1]]


def test_cityscapes_without_its_sequences_is_told_of(cityscapes: Path) -> None:
    (cityscapes / SEQUENCE.format(18)).unlink()
    data = open_dataset("cityscapes", cityscapes, "train")
    with pytest.raises(DatasetError, match=r"1 frames before .*split train are missing, .*_000018_leftImg8bit\.png;"):
        ClipDataset(data, 2).check(required=False)
    ClipDataset(data, 1).check(required=True)
    with pytest.raises(DatasetError, match="1 frames before the labelled ones of cityscapes's split val are missing"):
        ClipDataset(open_dataset("cityscapes", cityscapes, "val"), 2).check(required=True)


def camvid_of(folder: Path, names: list[str]) -> Path:
    make_tiny_camvid(folder, train=len(names), val=1)
    lines = []
    for place, name in enumerate(names):
        for part in ("train", "trainannot"):
            (folder / part / f"{place}.png").rename(folder / part / f"{name}.png")
        lines.append(f"x/train/{name}.png x/trainannot/{name}.png\n")
    (folder / "train.txt").write_text("".join(lines))
    return folder


def test_camvid_shows_the_drives_labelled_frames_in_order(tmp_path: Path) -> None:
    names = ["0006R0_f00960", "0001TP_000060", "0001TP_000031", "0001TP_000001", "0001TP_000150", "mine"]
    data = open_dataset("camvid", camvid_of(tmp_path / "camvid", names), "train")
    clips = ClipDataset(data, 3)
    clips.check(required=True)
    past = {name: [frame.number for frame in clips.past(index)] for index, name in enumerate(names)}
    assert past == {
        "0006R0_f00960": [],
        "0001TP_000060": [31, 1],
        "0001TP_000031": [1],
        "0001TP_000001": [],
        "0001TP_000150": [],  # three seconds later
        "mine": [],
    }
    clip = clips.clip(1)
    for image, index in zip(clip.images, (3, 2, 1), strict=True):
        np.testing.assert_array_equal(image, data.read(index).image)
    assert clips.videos() == [[0], [3, 2, 1, 4], [5]]
    assert data.past(1, 5, step=2) == [Frame("0001TP", 1)]


def test_all_frames_of_a_clip_show_the_same_window_at_the_same_size(tmp_path: Path) -> None:
    data = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid", video=True), "train")
    window = Window(-4, 30, 40, 60)
    clip = ClipDataset(data, 2).clip(3, window)
    for image, index in zip(clip.images, (2, 3), strict=True):
        np.testing.assert_array_equal(image, data.read_window(index, window).image)
    resized = ResizedDataset(data, Size(64, 48))
    assert resized.frame(3) == data.frame(3) and resized.missing_frames(1) == []
    shapes = {image.shape for image in ClipDataset(resized, 3).clip(3).images}
    assert shapes == {(48, 64, 3)}
    np.testing.assert_array_equal(ClipDataset(resized, 3).clip(3).images[0], resized.read(1).image)


def test_single_images_are_clips_of_one(tmp_path: Path) -> None:
    data = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid"), "train")
    clips = ClipDataset(data, 4)
    assert len(clips.clip(2).images) == 1 and len(clips.videos()) == 6
    clips.check(required=False)
    with pytest.raises(DatasetError, match="no image of camvid's split train has a frame 1 before it"):
        clips.check(required=True)
    folder = trees.own_folder(tmp_path / "own", Path("images"), Path("labels"))
    own = open_dataset("folder", folder, "all")
    assert own.frame(0) == Frame(own.names[0], 0) and not own.past(0, 3)
    with pytest.raises(DatasetError, match="has no frame 7 of x: it consists of single images"):
        own.read_frame(Frame("x", 7))
