"""The ground between the tyres of a car is no free space, and that between two cars is."""

from __future__ import annotations

import numpy as np
import pytest
from ground_truth import CAR, Box, TruthCamera
from numpy.typing import NDArray

from fanet_ros.benchmark.ground_work import calibration_of
from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.classes import kinds_of
from fanet_ros.ground.grid import FREE, OCCUPIED
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.ground.view import GroundView
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.street.camera import StreetCamera

LABELS = load_label_set("camvid11")
KINDS = kinds_of(LABELS, drivable="drivable", flat="walkable", obstacle="obstacle")
SETTINGS = GroundSettings()
X, Y = np.meshgrid(
    SETTINGS.grid_x_min + (np.arange(SETTINGS.grid_width) + 0.5) * SETTINGS.grid_resolution,
    SETTINGS.grid_y_min + (np.arange(SETTINGS.grid_height) + 0.5) * SETTINGS.grid_resolution,
)


def view_of(camera: TruthCamera, mask: NDArray[np.uint8]) -> GroundView:
    pose = CameraPose.from_parameters(*camera.pose)
    return GroundProjector(CameraModel(camera.calibration), pose, camera.mask_size, SETTINGS).view(mask, KINDS)


def inside(x_min: float, x_max: float, y_min: float, y_max: float) -> NDArray[np.bool_]:
    return (x_min < X) & (x_max > X) & (y_min < Y) & (y_max > Y)


def car_mask(camera: TruthCamera, x: float, y: float, clearance: float = 0.3) -> NDArray[np.uint8]:
    """A car body that hangs above the ground on four tyres; its length is along x."""
    length, width = 4.4, 1.8
    tyres = [
        Box(x + at, x + at + 0.6, y + side, y + side + 0.25, clearance + 0.3)
        for at in (0.6, 3.2)
        for side in (0.0, width - 0.25)
    ]
    return camera.mask([*tyres, Box(x, x + length, y, y + width, 1.4 - clearance, CAR, clearance)])


@pytest.mark.parametrize("place", [(6.0, -0.9), (7.0, 2.0), (5.0, -4.0), (9.0, 1.5)])
@pytest.mark.parametrize("height", [0.8, 1.5])
def test_the_ground_between_tyres_is_not_free(place: tuple[float, float], height: float) -> None:
    camera = TruthCamera(height=height, pitch=0.05)
    x, y = place
    view = view_of(camera, car_mask(camera, x, y))
    between_tyres = inside(x + 0.9, x + 3.5, y + 0.2, y + 1.6)
    assert (view.occupancy()[between_tyres] == FREE).mean() < 0.01
    beside = inside(x - 3.0, x - 1.0, y, y + 1.8)
    assert (view.occupancy()[beside] != OCCUPIED).all(), "before the car nothing stands"
    scan = view.scan()
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    hits = np.isfinite(scan.ranges)
    across, ahead = scan.ranges[hits] * np.sin(angles[hits]), scan.ranges[hits] * np.cos(angles[hits])
    is_below = (ahead > x + 1.0) & (ahead < x + 3.4) & (across > y + 0.3) & (across < y + 1.5)
    assert not is_below.any(), "no beam ends below the car"


def test_the_way_between_two_cars_stays_free() -> None:
    camera = TruthCamera(height=1.5, pitch=0.05)
    mask = camera.mask([Box(7.0, 11.0, 1.2, 3.0), Box(7.0, 11.0, -3.0, -1.2)])
    way = inside(4.0, 18.0, -0.9, 0.9)
    assert (view_of(camera, mask).occupancy()[way] == FREE).mean() > 0.99
    with_one_behind = camera.mask([Box(17.0, 19.0, -1.0, 1.0), Box(7.0, 11.0, 1.2, 3.0), Box(7.0, 11.0, -3.0, -1.2)])
    way = inside(4.0, 16.0, -0.8, 0.8)
    assert (view_of(camera, with_one_behind).occupancy()[way] == FREE).mean() > 0.99


def test_hardly_any_ground_below_the_cars_of_the_street_is_free() -> None:
    free = below = cars = 0
    for seed in range(3):
        street = StreetCamera(640, 360, seed=seed)
        pose, labels = street.pose(40), street.frame(40).labels
        assert labels is not None
        placed = CameraPose.from_parameters(0.0, 0.0, pose.z, 0.0, pose.pitch, 0.0)
        model = CameraModel(calibration_of(street.intrinsics, ()))
        grid = GroundProjector(model, placed, Size(640, 360), SETTINGS).view(np.ascontiguousarray(labels), KINDS)
        along = pose.x + np.cos(pose.yaw) * X - np.sin(pose.yaw) * Y
        across = pose.y + np.sin(pose.yaw) * X + np.cos(pose.yaw) * Y
        is_below = np.zeros(X.shape, bool)
        for thing in street.scene.objects(40 / street.rate_hz, pose.x - 5, pose.x + 40):
            if thing.class_name == "car":
                is_below |= (
                    np.maximum(np.abs(along - thing.x) - thing.length / 2, np.abs(across - thing.y) - thing.width / 2)
                    < -SETTINGS.grid_resolution
                )
        points = grid.obstacle_points()
        assert (np.hypot(points[:, 0], points[:, 1]) <= SETTINGS.range_max + 1e-3).all(), "also those on joining lines"
        is_free = grid.occupancy() == FREE
        free, below, cars = free + is_free.sum(), below + (is_free & is_below).sum(), cars + is_below.sum()
    assert cars > 4000 and free > 20_000
    assert below < 0.01 * free and below < 0.05 * cars, "a fifth of it was, before contacts were joined"
