from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest

from fanet_ros.datasets import IGNORED, open_dataset
from fanet_ros.datasets.cityscapes import CLASS_IDS
from fanet_ros.errors import DatasetError


def test_label_ids_become_train_ids(tmp_path: Path) -> None:
    every_id = np.arange(34, dtype=np.uint8).reshape(17, 2)
    trees.cityscapes(tmp_path, every_id)
    data = open_dataset("cityscapes", tmp_path, "train")
    assert list(data.names) == ["aachen/aachen_000000_000019", "bochum/bochum_000000_000019"]
    assert data.label_set.name == "cityscapes19"
    trees.write_image(tmp_path / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png", width=2, height=17)
    ids = data.read(0).labels.ravel()
    assert len(CLASS_IDS) == 19
    assert [int(ids[label]) for label in CLASS_IDS] == list(range(19))
    assert {int(ids[label]) for label in range(34) if label not in CLASS_IDS} == {IGNORED}
    # the ids of some names, from the data set's own list
    named = {"road": 7, "sidewalk": 8, "pole": 17, "sky": 23, "rider": 25, "bus": 28, "train": 31, "bicycle": 33}
    assert {name: data.label_set.id_of(name) for name in named} == {name: int(ids[n]) for name, n in named.items()}


def test_train_ids_serve_where_label_ids_are_missing(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path, trees.rows_of((0, 18, 255)), end="labelTrainIds")
    data = open_dataset("cityscapes", tmp_path, "val")
    assert list(data.names) == ["lindau/lindau_000000_000019"]
    assert data.read(0).labels[:3, 0].tolist() == [0, 18, IGNORED]


def test_label_ids_come_first_where_both_are_there(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path, trees.rows_of((0, 1)), end="labelTrainIds")
    trees.cityscapes(tmp_path, trees.rows_of((7, 33)))
    assert open_dataset("cityscapes", tmp_path, "val").read(0).labels[:2, 0].tolist() == [0, 18]


def test_half_unpacked(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path)
    (tmp_path / "gtFine/train/bochum/bochum_000000_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(
        DatasetError, match=r"1 of 2 images have no labels in cityscapes's split train, .*bochum_.*Ids\.png"
    ):
        open_dataset("cityscapes", tmp_path, "train")
    with pytest.raises(DatasetError, match="no images of cityscapes's split test: expected leftImg8bit/test/"):
        open_dataset("cityscapes", tmp_path, "test")
    assert len(open_dataset("cityscapes", tmp_path, "val")) == 1


def test_densepass(tmp_path: Path) -> None:
    data = open_dataset("densepass", trees.densepass(tmp_path), "val")
    assert list(data.names) == ["1", "2"]
    assert data.size(1) == (2048, 400)
    sample = data.read(0)
    assert sample.labels[:3, 0].tolist() == [0, 18, IGNORED]
    assert data.label_set.name == "cityscapes19"
    with pytest.raises(DatasetError, match="has no split 'train'; it has val"):
        open_dataset("densepass", tmp_path, "train")
    (tmp_path / "gtFine/val/2_labelTrainIds.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images have no labels .*2_labelTrainIds\.png"):
        open_dataset("densepass", tmp_path, "val")
