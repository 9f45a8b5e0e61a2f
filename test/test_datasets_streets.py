"""KITTI semantics and IDD-Lite, and parts of data sets that are held out."""

from pathlib import Path

import cv2
import dataset_trees as trees
import numpy as np
import pytest

from fanet_ros.datasets import IGNORED, open_dataset
from fanet_ros.errors import DatasetError


def test_kitti_has_cityscapes_classes_and_holds_every_fifth_image_out(tmp_path: Path) -> None:
    trees.kitti_semantics(tmp_path, trees.rows_of((7, 8, 33, 9, 0)))
    train, val = (open_dataset("kitti_semantics", tmp_path, split) for split in ("train", "val"))
    assert list(val.names) == ["000004_10", "000009_10"]
    assert len(train) == 8 and not set(train.names) & set(val.names)
    assert train.label_set.name == "cityscapes19"
    assert train.read(0).labels[:5, 0].tolist() == [0, 1, 18, IGNORED, IGNORED]
    assert len(open_dataset("kitti_semantics", tmp_path, "trainval")) == 10


def test_guard_rails_are_fence_only_where_they_are_asked_for(tmp_path: Path) -> None:
    trees.kitti_semantics(tmp_path, trees.rows_of((7, 14)))
    for options, expected in ({}, {0, IGNORED}), ({"guard_rails": True}, {0, 4}):
        dataset = open_dataset("kitti_semantics", tmp_path, "train", options)
        assert set(np.unique(dataset.read(0).labels)) == expected
    assert dataset.label_set.names[4] == "fence"


def test_idd_lite_has_seven_classes_in_drives(tmp_path: Path) -> None:
    trees.idd_lite(tmp_path)
    data = open_dataset("idd_lite", tmp_path, "train")
    assert list(data.names) == ["0/000", "0/001", "1/100", "1/101", "2/200", "2/201"]
    assert data.label_set.name == "idd7"
    assert data.read(0).labels[:, 0].tolist() == [*range(7), 255]
    (tmp_path / "gtFine/train/1/101_label.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 6 images have no labels in idd_lite's split train, .*101_label\.png"):
        open_dataset("idd_lite", tmp_path, "train")
    assert len(open_dataset("idd_lite", tmp_path, "val")) == 2


def test_images_without_labels_are_ignored_everywhere(tmp_path: Path) -> None:
    trees.idd_lite(tmp_path)
    for file in tmp_path.rglob("*_label.png"):
        file.unlink()
    (tmp_path / "leftImg8bit" / "train" / ".DS_Store").touch()
    data = open_dataset("idd_lite", tmp_path, "train", labelled=False)
    assert len(data) == 6
    sample = data.read(3)
    assert sample.image.shape == (8, 12, 3)
    assert (sample.labels == IGNORED).all() and np.array_equal(data.read_labels(3), sample.labels)


def test_folds_keep_drives_whole_and_share_nothing(tmp_path: Path) -> None:
    trees.idd_lite(tmp_path, drives=5)
    whole = list(open_dataset("idd_lite", tmp_path, "train").names)
    folds = [list(open_dataset("idd_lite", tmp_path, "train", {"fold": f"{part}/3"}).names) for part in (1, 2, 3)]
    assert [sorted({name.split("/")[0] for name in fold}) for fold in folds] == [["0", "3"], ["1", "4"], ["2"]]
    assert sorted(sum(folds, [])) == sorted(whole)
    others = open_dataset("idd_lite", tmp_path, "train", {"fold": "not 2/3"})
    assert list(others.names) == [name for name in whole if name not in folds[1]]
    sample = others.read(2)
    assert sample.name == others.names[2] == "2/200"


def test_folds_keep_runs_of_images_in_one_folder_together(tmp_path: Path) -> None:
    trees.kitti_semantics(tmp_path, images=60)
    fold = open_dataset("kitti_semantics", tmp_path, "trainval", {"fold": "2/3"})
    train = open_dataset("kitti_semantics", tmp_path, "trainval")
    assert list(fold.names) == list(train.names[20:40])


def test_folds_keep_streets_whole_and_an_empty_one_says_why(tmp_path: Path) -> None:
    options = {"streets": 4, "moments": 3, "width": 64, "height": 64}
    street = open_dataset("street", None, "train", {**options, "fold": "2/2"})
    assert {name.split("_")[0] for name in street.names} == {"1001", "1003"}
    with pytest.raises(DatasetError, match="fold: 5/9 of street's split train is empty: the split has 4 videos"):
        open_dataset("street", None, "train", {**options, "fold": "5/9"})


@pytest.mark.parametrize("fold", ["0/3", "4/3", "1/0", "half", "but 1/3"])
def test_folds_of_another_form_are_refused(tmp_path: Path, fold: str) -> None:
    trees.idd_lite(tmp_path)
    with pytest.raises(DatasetError, match=f"option fold: received '{fold}', expected K/N"):
        open_dataset("idd_lite", tmp_path, "train", {"fold": fold})


def test_a_fold_of_idd_lite_holds_out_the_same_drives_as_ever(tmp_path: Path) -> None:
    """Drives are counted as their images come by number, which interleave across drives."""
    rng = np.random.default_rng(1)
    numbers = rng.permutation(60)
    for place, number in enumerate(numbers):
        drive = f"drive{place % 12}"
        for folder, end in (("leftImg8bit", "image.jpg"), ("gtFine", "label.png")):
            (tmp_path / folder / "train" / drive).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / "train" / drive / f"{number}_{end}"), np.zeros((4, 6), np.uint8))
    names = open_dataset("idd_lite", tmp_path, "train").names
    assert [int(name.split("/")[1]) for name in names] == list(range(60))
    drives = list(dict.fromkeys(name.split("/")[0] for name in names))
    held_out = open_dataset("idd_lite", tmp_path, "train", {"fold": "1/6"}).names
    assert {name.split("/")[0] for name in held_out} == set(drives[::6])
