import math

import numpy as np
import pytest

from fanet_ros.datasets import ClassMotion, open_dataset
from fanet_ros.evaluation.consistency import Consistency, ConsistencyMeter

ROAD, CAR = 0, 1
STILL = np.eye(3)
TWO_LEFT = np.array([[1.0, 0, -2], [0, 1, 0], [0, 0, 1]])  # everything has moved by two columns to the right


def measure(homography: np.ndarray, labels: np.ndarray, truth: np.ndarray, *before: np.ndarray) -> Consistency:
    meter = ConsistencyMeter(2)
    meter.add([ClassMotion((ROAD,), homography)], labels, truth, *before)
    return meter.result()


def road(height: int = 4, width: int = 10) -> np.ndarray:
    return np.zeros((height, width), np.uint8)


def test_labels_that_move_with_the_scene_are_consistent() -> None:
    truth, truth_before = road(), road()
    labels_before = np.tile(np.arange(10, dtype=np.uint8) % 2, (4, 1))  # wrong in every other column, which counts not
    labels = np.roll(labels_before, 2, axis=1)
    moved = measure(TWO_LEFT, labels, truth, labels_before, truth_before)
    assert moved.share == 1 and moved.pixels == 4 * 8  # the two new columns have no past
    odd = np.roll(labels_before, 1, axis=1)
    assert measure(TWO_LEFT, odd, truth, labels_before, truth_before).share == 0
    labels[:, 5] = 255
    assert measure(TWO_LEFT, labels, truth, labels_before, truth_before).share == 7 / 8


def test_only_pixels_count_whose_true_class_stays_and_whose_motion_is_known() -> None:
    truth, truth_before = road(), road()
    truth[:, 0] = CAR  # its motion is not known
    truth_before[:, 1] = CAR  # uncovered
    labels_before, labels = road(), road()
    labels[:, :3] = CAR
    found = measure(STILL, labels, truth, labels_before, truth_before)
    assert found.pixels == 4 * 8 and found.share == 7 / 8
    assert found.shares[ROAD] == 7 / 8 and math.isnan(found.shares[CAR])
    assert found.as_json(["road", "car"]) == {"share": 0.875, "by_class": {"road": 0.875}, "pixels": 32}


def test_what_was_behind_the_camera_is_not_counted() -> None:
    behind = np.diag([-1.0, -1.0, -1.0])
    found = measure(behind, road(), road(), road(), road())
    assert found.pixels == 0 and math.isnan(found.share)
    assert found.as_json(["road", "car"]) == {"share": None, "by_class": {}, "pixels": 0}


def test_the_true_labels_of_the_street_are_consistent_and_shifted_ones_are_not() -> None:
    street = open_dataset("street", None, "val", {"width": 160, "height": 96, "streets": 1, "moments": 1, "length": 2})
    before, now = street.read(0), street.read(1)
    true, shifted = ConsistencyMeter(11), ConsistencyMeter(11)
    true.add(street.motions(1), now.labels, now.labels, before.labels, before.labels)
    moved = np.roll(now.labels, 8, axis=1)
    shifted.add(street.motions(1), moved, now.labels, before.labels, before.labels)
    assert true.result().share == 1
    known = np.isin(now.labels, [street.label_set.id_of(name) for name in ("road", "pavement", "sky")]).sum()
    assert true.result().pixels == pytest.approx(known, rel=0.2)
    assert shifted.result().share < 0.99
