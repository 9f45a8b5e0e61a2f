"""Which pixel of the mask sees which point."""

from __future__ import annotations

import numpy as np
from measured_street import model_of

from fanet_ros.ground.pose import CameraPose
from fanet_ros.measured.sight import NONE, projected_sight, registered_sight
from fanet_ros.settings import Size
from fanet_ros.sources.base import Intrinsics

_EYE = Intrinsics.from_fov(64, 48, 60.0)
_POSE = CameraPose.from_parameters(x=0, y=0, height=1.0, roll=0, pitch=0, yaw=0)


def test_pixels_of_equal_images_meet_one_by_one() -> None:
    model, size = model_of(_EYE), Size(64, 48)
    sight = registered_sight(model, size, model, size)
    np.testing.assert_array_equal(sight.pixel_of_point, np.arange(64 * 48))
    np.testing.assert_array_equal(sight.point_of_pixel.reshape(-1), np.arange(64 * 48))
    mask = np.random.default_rng(0).integers(0, 11, (48, 64)).astype(np.uint8)
    np.testing.assert_array_equal(sight.labels(mask), mask.reshape(-1))


def test_a_smaller_depth_image_is_spread_over_the_mask() -> None:
    sight = registered_sight(model_of(_EYE), Size(32, 24), model_of(_EYE), Size(64, 48))
    assert (sight.point_of_pixel != NONE).all()
    assert len(np.unique(sight.point_of_pixel)) == 32 * 24
    assert len(np.unique(sight.pixel_of_point)) == 32 * 24


def test_a_wider_depth_image_has_points_that_the_mask_does_not_see() -> None:
    sight = registered_sight(model_of(Intrinsics.from_fov(64, 48, 90.0)), Size(64, 48), model_of(_EYE), Size(64, 48))
    seen = (sight.pixel_of_point != NONE).reshape(48, 64)
    assert seen[24, 32] and not seen[:, :8].any() and not seen[:, -8:].any()
    assert (sight.labels(np.zeros((48, 64), np.uint8)).reshape(48, 64)[~seen] == 255).all()


def test_points_are_seen_where_they_project_to() -> None:
    # straight ahead, left, above, behind, far outside, none
    points = np.array([[5, 0, 1], [5, 1, 1], [5, 0, 2], [-5, 0, 1], [1, 5, 1], [np.nan] * 3], np.float32)
    sight = projected_sight(points, model_of(_EYE), _POSE, Size(64, 48))
    row, column = np.divmod(sight.pixel_of_point[:3], 64)
    np.testing.assert_array_equal(row, [24, 24, round(23.5 - _EYE.fy / 5)])
    np.testing.assert_array_equal(column, [32, round(31.5 - _EYE.fx / 5), 32])
    assert (sight.pixel_of_point[3:] == NONE).all()
    assert sight.point_of_pixel[row[1], column[1]] == 1
    assert (sight.point_of_pixel != NONE).sum() == 3


def test_nearer_points_hide_those_behind_them_also_between_sparse_points() -> None:
    y, z = np.meshgrid(np.linspace(-0.5, 0.5, 12), np.linspace(0.5, 1.5, 12))
    near = np.stack([np.full(y.shape, 3.0), y, z], -1).reshape(-1, 3)
    far = near * [3, 3, 1] + [0, 0, 0]
    far[:, 2] = 1 + (near[:, 2] - 1) * 3
    far[:, 1] += 0.05  # in other pixels of the mask than the near ones
    points = np.concatenate([far, near]).astype(np.float32)
    sight = projected_sight(points, model_of(_EYE), _POSE, Size(64, 48))
    assert (sight.pixel_of_point[144:] != NONE).all()
    assert (sight.pixel_of_point[:144] == NONE).mean() > 0.9
    seen = sight.point_of_pixel[sight.point_of_pixel != NONE]
    assert (seen >= 144).mean() > 0.9


def test_no_points_are_no_fault() -> None:
    for points in (np.empty((0, 3), np.float32), np.full((5, 3), np.nan, np.float32)):
        sight = projected_sight(points, model_of(_EYE), _POSE, Size(64, 48))
        assert (sight.point_of_pixel == NONE).all()
        assert (sight.labels(np.zeros((48, 64), np.uint8)) == 255).all()
