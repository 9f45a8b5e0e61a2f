from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest
from PIL import Image

from fanet_ros.datasets import IGNORED, open_dataset
from fanet_ros.datasets.cocostuff import CLASS_IDS, UNUSED_IDS
from fanet_ros.datasets.files import PairedFiles
from fanet_ros.datasets.label_formats import LabelFormat
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import load_label_set


def test_label_set_has_the_171_classes_in_the_official_order() -> None:
    labels = load_label_set("cocostuff171")
    assert len(labels) == len(CLASS_IDS) == 171
    assert len(set(labels.colors)) == 171 and (0, 0, 0) not in labels.colors
    official = {1: "person", 11: "fire hydrant", 13: "stop sign", 27: "backpack", 90: "toothbrush", 92: "banner"}
    official |= {149: "road", 157: "sky-other", 169: "tree", 182: "wood"}
    assert {label: labels.names[CLASS_IDS.index(label)] for label in official} == official
    assert CLASS_IDS.index(92) == 80  # 80 things, then 91 stuff


def test_10k_edition(tmp_path: Path) -> None:
    data = open_dataset("cocostuff", trees.cocostuff_10k(tmp_path), "train")
    assert list(data.names) == ["COCO_train2014_000000000077", "COCO_train2014_000000000109"]
    assert data.read(1).labels[:4, 0].tolist() == [IGNORED, 0, 80, 170]
    assert len(open_dataset("cocostuff", tmp_path, "test")) == 1
    with pytest.raises(DatasetError, match="has no split 'val'; it has train, test"):
        open_dataset("cocostuff", tmp_path, "val")


def test_164k_edition(tmp_path: Path) -> None:
    data = open_dataset("cocostuff", trees.cocostuff_164k(tmp_path), "train")
    assert list(data.names) == ["000000000009", "000000000025"]
    assert data.read(0).labels[:4, 0].tolist() == [IGNORED, 0, 80, 170]
    assert len(open_dataset("cocostuff", tmp_path, "val")) == 1
    with pytest.raises(DatasetError, match="has no split 'test'; it has train, val"):
        open_dataset("cocostuff", tmp_path, "test")


def test_164k_labels_may_be_palette_images(tmp_path: Path) -> None:
    trees.cocostuff_164k(tmp_path)
    image = Image.fromarray(trees.rows_of((255, 0, 181))).convert("P")
    image.putpalette([0, 128, 255] * 256)
    image.save(tmp_path / "annotations/val2017/000000000139.png")
    assert open_dataset("cocostuff", tmp_path, "val").read(0).labels[:3, 0].tolist() == [IGNORED, 0, 170]


def test_both_editions_mean_the_same_and_unused_ids_are_strangers(tmp_path: Path) -> None:
    official = np.arange(0, 183, dtype=np.uint8)[None, :]
    editions = {
        trees.cocostuff_10k(tmp_path / "10k", official): official,
        trees.cocostuff_164k(tmp_path / "164k", official - 1): official - 1,  # 0 wraps to 255, as unlabelled
    }
    ids = []
    for root, raw in editions.items():
        data = open_dataset("cocostuff", root, "train")
        assert isinstance(data, PairedFiles) and isinstance(data.label_format, LabelFormat)
        np.testing.assert_array_equal(data.label_format.raw(data.pairs[0].labels), raw)
        ids.append(data.label_format(data.pairs[0].labels)[0])
        strangers = {str(raw[0, label]) for label in UNUSED_IDS}
        assert set(data.label_format.strangers(raw)) == strangers
    np.testing.assert_array_equal(ids[0], ids[1])
    assert ids[0][ids[0] != IGNORED].tolist() == list(range(171))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"T": np.zeros((8, 12))}, "hold no matrix S, expected a matrix S with one id per pixel"),
        ({"S": np.zeros((8, 12, 2))}, r"hold S of shape \(8, 12, 2\)"),
        ({"S": "words"}, "hold S of shape"),
        ({"S": np.full((8, 12), 300)}, "hold values from 300 to 300, expected whole ids from 0 to 255"),
        ({"S": np.full((8, 12), 0.5)}, "expected whole ids"),
    ],
)
def test_mat_files_of_another_kind(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    data = open_dataset("cocostuff", trees.cocostuff_10k(tmp_path), "test")
    trees.write_matrix(tmp_path / "annotations" / "COCO_train2014_000000000285.mat", **fields)
    with pytest.raises(DatasetError, match=message):
        data.read(0)


def test_mat_files_of_any_number_type(tmp_path: Path) -> None:
    data = open_dataset("cocostuff", trees.cocostuff_10k(tmp_path), "test")
    path = tmp_path / "annotations" / "COCO_train2014_000000000285.mat"
    for kind in (np.float64, np.uint16):
        trees.write_matrix(path, S=trees.rows_of((182, 0)).astype(kind))
        assert data.read(0).labels[:2, 0].tolist() == [170, IGNORED]


def test_damaged_and_missing_mat_files(tmp_path: Path) -> None:
    data = open_dataset("cocostuff", trees.cocostuff_10k(tmp_path), "test")
    path = tmp_path / "annotations" / "COCO_train2014_000000000285.mat"
    content = path.read_bytes()
    for damaged in (b"", b"no matrix", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"285\.mat is no readable MATLAB file .*; unpack"):
            data.read(0)
    path.unlink()
    with pytest.raises(DatasetError, match=r"285\.mat is missing"):
        data.read(0)
    with pytest.raises(DatasetError, match="1 of 1 images have no labels in cocostuff's split test"):
        open_dataset("cocostuff", tmp_path, "test")


def test_half_unpacked(tmp_path: Path) -> None:
    trees.cocostuff_10k(tmp_path / "10k")
    (tmp_path / "10k" / "imageLists" / "train.txt").unlink()
    with pytest.raises(DatasetError, match=r"the list .*imageLists/train\.txt is missing"):
        open_dataset("cocostuff", tmp_path / "10k", "train")
    trees.cocostuff_164k(tmp_path / "164k")
    (tmp_path / "164k" / "annotations" / "train2017" / "000000000025.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images have no labels .*000000000025\.png"):
        open_dataset("cocostuff", tmp_path / "164k", "train")
