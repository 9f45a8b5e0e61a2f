from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest

from fanet_ros.datasets import IGNORED, open_dataset
from fanet_ros.errors import DatasetError, LabelSetError


def test_one_folder_of_images_and_labels(tmp_path: Path) -> None:
    data = open_dataset("folder", trees.own_folder(tmp_path, Path("images"), Path("labels")), "all")
    assert list(data.names) == ["frame0", "frame1", "frame2"]
    assert data.label_set.names == ("floor", "wall")
    sample = data.read(0)
    assert sample.labels[:3, 0].tolist() == [0, 1, IGNORED]
    assert sample.image.shape == (trees.HEIGHT, trees.WIDTH, 3)
    with pytest.raises(DatasetError, match="has no split 'train'; it has all"):
        open_dataset("folder", tmp_path, "train")


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
def test_a_folder_for_each_split(tmp_path: Path, pattern: str) -> None:
    for split, count in (("train", 3), ("night", 1)):
        folders = [Path(pattern.format(kind=kind, split=split)) for kind in ("images", "labels")]
        trees.own_folder(tmp_path, *folders, count=count)
    assert len(open_dataset("folder", tmp_path, "train")) == 3
    assert len(open_dataset("folder", tmp_path, "night")) == 1
    with pytest.raises(DatasetError, match="has no split 'val'; it has night, train"):
        open_dataset("folder", tmp_path, "val")


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
def test_hidden_folders_are_no_splits(tmp_path: Path, pattern: str) -> None:
    for split in ("train", ".ipynb_checkpoints"):
        trees.own_folder(tmp_path, *(Path(pattern.format(kind=kind, split=split)) for kind in ("images", "labels")))
    with pytest.raises(DatasetError, match=r"has no split '\.ipynb_checkpoints'; it has train$"):
        open_dataset("folder", tmp_path, ".ipynb_checkpoints")


def test_a_hidden_folder_makes_no_data_set(tmp_path: Path) -> None:
    trees.own_folder(tmp_path, Path(".trash/images"), Path(".trash/labels"))
    with pytest.raises(DatasetError, match="is no folder: expected"):
        open_dataset("folder", tmp_path, "all")


def test_label_set_by_option(tmp_path: Path) -> None:
    trees.own_folder(tmp_path / "data", Path("images"), Path("labels"))
    (tmp_path / "data" / "labels.yaml").rename(tmp_path / "mine.yaml")
    data = open_dataset("folder", tmp_path / "data", "all", {"labels": str(tmp_path / "mine.yaml")})
    assert data.label_set.names == ("floor", "wall")
    assert open_dataset("folder", tmp_path / "data", "all", {"labels": "camvid11"}).label_set.name == "camvid11"
    with pytest.raises(DatasetError, match=r"has no labels\.yaml, which says what the ids mean: write it"):
        open_dataset("folder", tmp_path / "data", "all")
    with pytest.raises(LabelSetError, match="no label set 'nothing'"):
        open_dataset("folder", tmp_path / "data", "all", {"labels": "nothing"})


def test_half_there(tmp_path: Path) -> None:
    trees.own_folder(tmp_path, Path("images"), Path("labels"))
    (tmp_path / "labels" / "frame1.png").unlink()
    with pytest.raises(
        DatasetError, match=r"1 of 3 images have no labels in folder's split all, .*labels/frame1\.png; add"
    ):
        open_dataset("folder", tmp_path, "all")
    for image in (tmp_path / "images").iterdir():
        image.unlink()
    with pytest.raises(DatasetError, match=r"no images of folder's split all: expected images/\* and labels/\*; add"):
        open_dataset("folder", tmp_path, "all")


def test_twins_are_refused(tmp_path: Path) -> None:
    trees.own_folder(tmp_path, Path("images"), Path("labels"))
    trees.write_image(tmp_path / "images" / "frame1.png")
    with pytest.raises(
        DatasetError, match=r"frame1\.\w+ and frame1\.\w+ have the same name but for its ending; keep one"
    ):
        open_dataset("folder", tmp_path, "all")


def test_bad_files(tmp_path: Path) -> None:
    data = open_dataset("folder", trees.own_folder(tmp_path, Path("images"), Path("labels")), "all")
    trees.write(tmp_path / "labels" / "frame0.png", np.zeros((8, 12, 3), np.uint8))
    with pytest.raises(
        DatasetError, match=r"frame0\.png are an image of uint8 with shape \(8, 12, 3\), expected 8-bit grey"
    ):
        data.read(0)
    (tmp_path / "images" / "frame1.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"frame1\.jpg is no readable image"):
        data.read(1)
    trees.write(tmp_path / "labels" / "frame2.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(DatasetError, match=r"frame2\.png are 8x8 pixels but their image .* is 12x8"):
        data.read(2)
