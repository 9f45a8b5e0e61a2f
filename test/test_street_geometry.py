"""Metres to pixels: pose, projection and clipping, and the labels' agreement with them."""

import itertools
import math

import numpy as np
import pytest

from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import NEAR, CameraPose, View, clip
from fanet_ros.sources.street.ground import ROAD_HALF_WIDTH

INTRINSICS = Intrinsics.from_fov(640, 360, 64.0)


def test_a_level_camera_sees_what_is_straight_ahead_in_the_middle():
    view = View(INTRINSICS, CameraPose(5.0, 1.0, 1.5, 0.0, 0.0))
    np.testing.assert_allclose(view.project(np.array([[25.0, 1.0, 1.5]])), [[319.5, 179.5]])


def test_left_is_left_and_down_is_down():
    view = View(INTRINSICS, CameraPose(0.0, 0.0, 1.5, 0.0, 0.0))
    focal = 320 / math.tan(math.radians(32))
    np.testing.assert_allclose(
        view.project(np.array([[10.0, 1.0, 1.5], [10.0, 0.0, 0.5]])),
        [[319.5 - focal / 10, 179.5], [319.5, 179.5 + focal / 10]],
    )


def test_positive_pitch_looks_down_and_positive_yaw_looks_left():
    ahead = np.array([[20.0, 0.0, 1.5]])
    assert View(INTRINSICS, CameraPose(0, 0, 1.5, 0.0, 0.05)).project(ahead)[0, 1] < 179.5
    assert View(INTRINSICS, CameraPose(0, 0, 1.5, 0.05, 0.0)).project(ahead)[0, 0] > 319.5


def test_the_rotation_is_a_rotation():
    turn = CameraPose(0, 0, 0, 0.3, -0.2).optical_from_map
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_points_one_by_one_and_together_are_the_same():
    view = View(INTRINSICS, CameraPose(3.0, -1.0, 1.4, 0.1, 0.03))
    points = np.array([[9.0, 2.0, 0.0], [30.0, -4.0, 3.0]])
    one_by_one = view.pixels([view.point(tuple(point)) for point in points.tolist()])
    np.testing.assert_allclose(one_by_one, view.project(points))


def test_far_ground_meets_the_horizon_and_rows_follow_distance():
    view = View(INTRINSICS, CameraPose(0.0, 0.0, 1.5, 0.0, 0.03))
    assert view.project(np.array([[1e7, 0.0, 0.0]]))[0, 1] == pytest.approx(view.horizon, abs=1e-3)
    for ahead in (3.0, 20.0):
        row = view.project(np.array([[ahead, 0.0, 0.0]]))[0, 1]
        assert view.ground_row(ahead) == pytest.approx(row)


def test_clip_leaves_alone_what_is_in_front():
    triangle = [(0.0, 0.0, 5.0), (1.0, 0.0, 5.0), (0.0, 1.0, 6.0)]
    assert clip(triangle) is triangle


def test_clip_cuts_at_the_near_plane_and_drops_what_is_behind():
    cut = clip([(0.0, 0.0, -1.0), (1.0, 0.0, 3.0), (0.0, 1.0, 3.0)])
    assert len(cut) == 4
    assert min(z for _, _, z in cut) == pytest.approx(NEAR)
    assert len(clip([(0.0, 0.0, -1.0), (1.0, 0.0, -3.0), (0.0, 1.0, -3.0)])) == 0


def test_kerbs_project_onto_the_border_between_road_and_pavement():
    names = load_label_set("camvid11")
    road, pavement = names.id_of("road"), names.id_of("pavement")
    checked, step = 0, []
    camera = StreetCamera(640, 360, seed=1)
    for index in (100, 333, 12_345):
        frame, pose = camera.frame(index), camera.pose(index)
        view = View(camera.intrinsics, pose)
        for side, ahead in itertools.product((1, -1), np.arange(6, 40, 0.5)):
            kerb = np.array([[pose.x + ahead, side * ROAD_HALF_WIDTH, 0.0]])
            (u, v), (further_u, further_v) = view.project(np.vstack((kerb, kerb + (0.5, 0.0, 0.0))))
            row = round(v)
            u += (row - v) * (further_u - u) / (further_v - v)  # where the kerb crosses the middle of that row
            if not (0 <= row < 360 and 4 <= u < 636):
                continue
            outside, inside = (math.floor(u), math.ceil(u)) if side > 0 else (math.ceil(u), math.floor(u))
            seen = {int(frame.labels[row, outside - side]), int(frame.labels[row, inside + side])}
            if not seen <= {road, pavement}:
                continue  # something stands in front of it
            assert frame.labels[row, outside] == pavement
            assert frame.labels[row, inside] == road
            step.append(frame.image[row, outside - side].mean() - frame.image[row, inside + side].mean())
            checked += 1
    assert checked >= 30
    assert np.median(step) > 25, "the kerb stone is brighter than the gutter, from the same pixel on"
