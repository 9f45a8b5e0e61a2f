from pathlib import Path

import numpy as np
from tiny_camvid import make_tiny_camvid

from fanet_ros.datasets import open_dataset
from fanet_ros.datasets.resized import ResizedDataset, resize_labels
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size


def test_images_and_labels_get_the_area_and_keep_their_shape(tmp_path: Path) -> None:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid"), "train")
    resized = ResizedDataset(dataset, Size(64, 36))
    assert len(resized) == len(dataset) and resized.label_set is dataset.label_set
    first, second = resized.read(0), resized.read(1)
    assert resized.size(0) == (56, 40)
    assert first.image.shape == (40, 56, 3) and first.labels.shape == (40, 56)
    assert not np.shares_memory(first.image, second.image)
    # away from borders, where colours mix, the colour is still the label's
    colors = load_label_set("camvid11").palette[first.labels]
    assert (first.image == colors).all(2).mean() > 0.9


def test_labels_stay_corner_to_corner() -> None:
    labels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    assert resize_labels(labels, Size(4, 3)).tolist() == [[0, 2, 4, 6], [14, 16, 18, 20], [28, 30, 32, 34]]
    assert (resize_labels(labels, Size(14, 10))[[0, 0, -1, -1], [0, -1, 0, -1]] == [0, 6, 28, 34]).all()
