import errno
import os
from collections.abc import Callable
from pathlib import Path

import dataset_trees as trees
import pytest

from fanet_ros.datasets import DATASETS, open_dataset
from fanet_ros.datasets.opening import LAYOUTS, detect_dataset
from fanet_ros.errors import DatasetError

WRITERS: dict[str, Callable[[Path], Path]] = {
    "camvid": trees.camvid_segnet,
    "cityscapes": trees.cityscapes,
    "cocostuff": trees.cocostuff_10k,
    "densepass": trees.densepass,
    "idd_lite": trees.idd_lite,
    "kitti_semantics": trees.kitti_semantics,
    "folder": lambda root: trees.own_folder(root, Path("images"), Path("labels")),
    "potsdam": lambda root: trees.potsdam(root, ["2_10"]),
    "vaihingen": lambda root: trees.vaihingen(root, ["area1"]),
}


def test_every_data_set_on_disk_has_a_tree_here() -> None:
    assert set(WRITERS) == set(LAYOUTS) == set(DATASETS) - {"street"}


@pytest.mark.parametrize("name", WRITERS)
def test_recognised_by_content_and_not_taken_for_another(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path / "data")
    assert detect_dataset(root) == name
    others = {other for other in LAYOUTS if other != name}
    for other in others:
        with pytest.raises(DatasetError, match=f"is no {other}: expected .*; found .*looks like data set {name}"):
            open_dataset(other, root, "train")


@pytest.mark.parametrize("name", WRITERS)
def test_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=f"nowhere does not exist; data set {name} needs a folder with "):
        open_dataset(name, tmp_path / "nowhere", "train")
    with pytest.raises(DatasetError, match="no folder was given; data set"):
        open_dataset(name, None, "train")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="file is no folder; data set"):
        open_dataset(name, tmp_path / "file", "train")


def test_folder_with_something_else_says_what_is_in_it(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"file{number}").touch()
    with pytest.raises(
        DatasetError, match=r"is no cityscapes: expected leftImg8bit/.* found file0, .*file5 and 2 more;"
    ):
        open_dataset("cityscapes", tmp_path, "train")
    with pytest.raises(DatasetError, match=r"looks like none of the data sets camvid, .* found file0"):
        detect_dataset(tmp_path)


def test_folder_around_the_data_set_names_the_right_one(tmp_path: Path) -> None:
    inner = trees.densepass(tmp_path / "DensePASS")
    with pytest.raises(DatasetError, match=f"is no densepass: .*; give {inner} instead"):
        open_dataset("densepass", tmp_path, "val")
    with pytest.raises(DatasetError, match=f"{inner} looks like densepass; give that folder"):
        detect_dataset(tmp_path)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found nothing; unpack the data set there"):
        open_dataset("camvid", tmp_path, "train")
    with pytest.raises(DatasetError, match="found nothing; docs/datasets.md shows"):
        detect_dataset(tmp_path)


def test_folders_that_may_not_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.cocostuff_164k(tmp_path / "coco")
    listdir, locked = os.listdir, root / "images" / "train2017"

    def refuse(path: Path) -> list[str]:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(DatasetError, match="train2017 cannot be read: Permission denied; check its permissions"):
        open_dataset("cocostuff", root, "train")
    assert len(open_dataset("cocostuff", root, "val")) == 1


def test_unknown_data_set_lists_the_known() -> None:
    with pytest.raises(DatasetError, match="unknown data set 'kitti'; known are camvid, cityscapes, .*, street"):
        open_dataset("kitti", ".", "train")


def test_unknown_split_lists_the_known(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    with pytest.raises(DatasetError, match="has no split 'dev'; it has train, val, test, trainval"):
        open_dataset("camvid", tmp_path, "dev")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "big"}, "data set potsdam has no option 'size'; it has clutter, eroded, channels"),
        (
            {"clutter": "maybe"},
            "data set potsdam: option 'clutter': received 'maybe', expected a boolean",
        ),
        ({"clutter": 3}, "received 3, expected a boolean"),
        ({"channels": "nir"}, "received 'nir', expected one of rgb, irrg"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    trees.potsdam(tmp_path, ["2_10"])
    with pytest.raises(DatasetError, match=message):
        open_dataset("potsdam", tmp_path, "train", options)


def test_data_set_without_options_says_so(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    assert len(open_dataset("camvid", tmp_path, "train", {})) == 1
    with pytest.raises(DatasetError, match="camvid has no option 'eroded'; it has fold"):
        open_dataset("camvid", tmp_path, "train", {"eroded": True})


def test_street_needs_no_folder_and_takes_options() -> None:
    street = open_dataset("street", None, "val", {"width": "160", "height": 96, "streets": 1})
    assert len(street) == 8
    assert street.size(0) == (160, 96)
    with pytest.raises(
        DatasetError, match="data set street: option 'width': received 9999, expected a value from 64 to"
    ):
        open_dataset("street", None, "val", {"width": 9999})
    with pytest.raises(DatasetError, match="option 'width': received 'wide', expected a whole number"):
        open_dataset("street", None, "val", {"width": "wide"})
    with pytest.raises(DatasetError, match="no split 'test'"):
        open_dataset("street", None, "test")
