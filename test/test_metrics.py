import numpy as np
import pytest

from fanet_ros.reports.metrics import ConfusionMatrix


def test_iou_by_hand() -> None:
    matrix = ConfusionMatrix(3)
    truth = np.array([[0, 0, 1, 1, 255]], np.uint8)
    labels = np.array([[0, 1, 1, 255, 0]], np.uint8)
    matrix.add(labels, truth)
    # class 0: hit 1, truth 2, labelled 1 -> 1/2; class 1: hit 1, truth 2 (one unlabelled), labelled 2 -> 1/3
    iou = matrix.iou()
    assert iou[0] == pytest.approx(1 / 2)
    assert iou[1] == pytest.approx(1 / 3)
    assert np.isnan(iou[2])
    assert matrix.pixels == 4


def test_frames_add_up() -> None:
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(0, 4, (2, 10, 8, 8), np.uint8)
    together, one_by_one = ConfusionMatrix(4), ConfusionMatrix(4)
    together.add(labels.reshape(80, 8), truth.reshape(80, 8))
    for some_labels, some_truth in zip(labels, truth, strict=True):
        one_by_one.add(some_labels, some_truth)
    np.testing.assert_array_equal(together.iou(), one_by_one.iou())


def test_mean_iou_is_over_the_classes_of_the_truth() -> None:
    matrix = ConfusionMatrix(4)
    assert np.isnan(matrix.mean_iou())
    matrix.add(np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8))
    # class 0: 2/2; class 1: hit 1 of 2 -> 1/2; class 2 is labelled but never true; class 3 does not occur
    assert matrix.iou()[2] == 0
    assert matrix.mean_iou() == pytest.approx(3 / 4)
