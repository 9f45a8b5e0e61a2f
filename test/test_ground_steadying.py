"""Masks of a camera that nods give the same ground as tables that were built for each of its poses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ground_truth import LENSES, Box, TruthCamera
from numpy.typing import NDArray

from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.classes import kinds_of
from fanet_ros.ground.grid import FREE, OCCUPIED
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.model.labels import load_label_set

LABELS = load_label_set("camvid11")
KINDS = kinds_of(LABELS, drivable="drivable", flat="walkable", obstacle="obstacle")
SETTINGS = GroundSettings()
STILL = TruthCamera(height=1.2, pitch=0.1)
BOXES = [Box(5.0, 6.0, -0.5, 0.5), Box(8.0, 9.0, 2.0, 3.0), Box(7.0, 9.0, -3.0, -2.2), Box(14.0, 15.0, -1.0, 4.0)]
NODS: list[dict[str, float]] = [
    {"pitch": 0.118},
    {"pitch": 0.082},
    {"roll": 0.018},
    {"roll": -0.01, "pitch": 0.11, "height": 1.21},
    {"x": 0.012, "y": -0.01, "yaw": 0.01},
]


def pose_of(camera: TruthCamera) -> CameraPose:
    return CameraPose.from_parameters(*camera.pose)


def moving(camera: TruthCamera) -> GroundProjector:
    return GroundProjector(CameraModel(camera.calibration), pose_of(camera), camera.mask_size, SETTINGS, is_moving=True)


def distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far points of the ground (N, 2) are from the side of the nearest box, metres."""
    found = np.full(len(points), np.inf)
    for box in BOXES:
        low, high = np.array([box.x_min, box.y_min]), np.array([box.x_max, box.y_max])
        beyond = np.maximum(low - points, points - high)
        outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        found = np.minimum(found, np.where(outside > 0, outside, -beyond.max(axis=1)))
    return found


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("nod", NODS, ids=str)
def test_what_a_nodding_camera_sees_is_where_it_is(lens: str, nod: dict[str, Any]) -> None:
    camera = replace(STILL, lens=lens)
    nodded = replace(camera, **nod)
    projector = moving(camera)
    assert projector.can_take(pose_of(nodded))
    mask = nodded.mask(BOXES)
    steadied = projector.view(projector.steadied(mask, pose_of(nodded)), KINDS)
    points = steadied.obstacle_points()[:, :2].astype(np.float64)
    assert len(points) > 100
    bound = np.maximum(0.02 * np.linalg.norm(points, axis=1), 1.5 * nodded.footprint(points)) + 0.01
    assert (distances(points) <= bound).mean() > 0.99

    exact = GroundProjector(
        CameraModel(nodded.calibration), pose_of(nodded), nodded.mask_size, SETTINGS, is_moving=True
    ).view(mask, KINDS)
    ours, theirs = steadied.occupancy(), exact.occupancy()
    both_seen = (ours >= 0) & (theirs >= 0)
    assert both_seen.sum() > 5000
    assert (ours == theirs)[both_seen].mean() > 0.985, "half a pixel of difference"
    assert ((ours == FREE) & (theirs == OCCUPIED)).sum() < 0.005 * both_seen.sum()


def test_nothing_is_lost_at_the_border_by_a_nod() -> None:
    projector = moving(STILL)
    for nod in NODS:
        nodded = replace(STILL, **nod)
        scan = projector.view(projector.steadied(nodded.mask([]), pose_of(nodded)), KINDS).scan()
        assert np.isposinf(scan.ranges).mean() > 0.9, (
            "free ground stays free: no ray is unknown for a border out of sight"
        )


def test_a_camera_that_stands_still_loses_no_border_and_its_mask_is_not_touched() -> None:
    still = GroundProjector(CameraModel(STILL.calibration), pose_of(STILL), STILL.mask_size, SETTINGS)
    mask = STILL.mask(BOXES)
    assert still.steadied(mask, pose_of(STILL)) is mask
    assert still.blind_range < moving(STILL).blind_range
    assert not still.can_take(pose_of(replace(STILL, pitch=0.101)))


def test_a_pose_that_is_too_far_away_needs_tables_of_its_own() -> None:
    projector = moving(STILL)
    for far in ({"pitch": 0.121}, {"roll": 0.03}, {"height": 1.23}):
        assert not projector.can_take(pose_of(replace(STILL, **far)))


def test_points_are_those_of_the_masks_own_pose() -> None:
    nodded = replace(STILL, pitch=0.11)
    ours = moving(STILL).points_from(pose_of(nodded))
    model = CameraModel(nodded.calibration)
    exact = GroundProjector(model, pose_of(nodded), nodded.mask_size, SETTINGS).points_in_range
    np.testing.assert_array_equal(ours, exact)
