"""Conventions of the camera's pose (REP 103)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ground_truth import TruthCamera

from fanet_ros.ground.errors import PoseError
from fanet_ros.ground.pose import CameraPose

FORWARD, LEFT, UP = np.eye(3)


def axis(pose: CameraPose) -> np.ndarray:
    """Where the camera looks, in the base frame."""
    return pose.base_from_optical @ (0, 0, 1)


def test_a_level_camera_looks_ahead_with_right_and_down_where_they_belong() -> None:
    pose = CameraPose.from_parameters(0.2, -0.1, 1.5, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(pose.base_from_optical.T, [-LEFT, -UP, FORWARD], atol=1e-12)
    assert pose.translation == (0.2, -0.1, 1.5)


def test_positive_pitch_looks_down_and_positive_yaw_to_the_left() -> None:
    down = CameraPose.from_parameters(0, 0, 1, 0, 0.2, 0)
    assert axis(down)[2] == pytest.approx(-math.sin(0.2)) and down.pitch == pytest.approx(0.2)
    assert axis(CameraPose.from_parameters(0, 0, 1, 0, 0, 0.3))[1] == pytest.approx(math.sin(0.3))


def test_positive_roll_tilts_to_the_right() -> None:
    pose = CameraPose.from_parameters(0, 0, 1, 0.1, 0, 0)
    np.testing.assert_allclose(axis(pose), FORWARD, atol=1e-12)
    assert (pose.base_from_optical @ (1, 0, 0))[2] == pytest.approx(-math.sin(0.1)), "its right side is down"


@pytest.mark.parametrize("angles", [(0.1, 0.2, 0.3), (-0.4, 0.05, 2.8), (0.02, 1.2, -1.5)])
def test_points_are_seen_as_the_equations_have_it(angles: tuple[float, float, float]) -> None:
    pose = CameraPose.from_parameters(0.3, -0.2, 1.1, *angles)
    points = np.random.default_rng(1).normal(size=(20, 3))
    expected = TruthCamera("pinhole", 0.3, -0.2, 1.1, *angles).optical(points)
    np.testing.assert_allclose((points - pose.position) @ pose.base_from_optical, expected, atol=1e-12)


def test_a_transform_is_the_same_pose() -> None:
    expected = CameraPose.from_parameters(0.1, 0.2, 0.9, 0.0, 0.0, 0.0)
    # the turn from body to optical axes, as robot descriptions state it: rpy = (-pi/2, 0, -pi/2)
    pose = CameraPose.from_transform((0.1, 0.2, 0.9), (-0.5, 0.5, -0.5, 0.5))
    assert pose.is_close(expected, 1e-9, 1e-9)
    assert CameraPose.from_transform((0.1, 0.2, 0.9), (1.0, -1.0, 1.0, -1.0)).is_close(expected, 1e-9, 1e-9)


def test_quaternions_turn_as_they_should() -> None:
    about_z = CameraPose.from_transform((0, 0, 0), (0, 0, math.sin(0.2), math.cos(0.2)))
    np.testing.assert_allclose(about_z.base_from_optical @ FORWARD, [math.cos(0.4), math.sin(0.4), 0], atol=1e-12)


def test_closeness_is_an_angle_and_a_distance() -> None:
    pose = CameraPose.from_parameters(0, 0, 1, 0, 0.1, 0)
    assert pose.is_close(CameraPose.from_parameters(0, 0, 1, 0, 0.101, 0), 0.00101, 0.0)
    assert not pose.is_close(CameraPose.from_parameters(0, 0, 1, 0, 0.101, 0), 0.00099, 1.0)
    assert pose.is_close(CameraPose.from_parameters(0.003, 0, 1.004, 0, 0.1, 0), 0.0001, 0.0051)
    assert not pose.is_close(CameraPose.from_parameters(0.003, 0, 1.004, 0, 0.1, 0), 1.0, 0.0049)
    assert not pose.is_close(CameraPose.from_parameters(0, 0, 1, 0, 0.1, math.pi), 3.0, 1.0)


@pytest.mark.parametrize(
    ("translation", "quaternion"),
    [((0, 0, 0), (0, 0, 0, 0)), ((0, 0, 0), (0, 0, math.nan, 1)), ((0, math.inf, 0), (0, 0, 0, 1))],
)
def test_a_transform_that_is_none_is_refused(translation: tuple, quaternion: tuple) -> None:
    with pytest.raises(PoseError, match="expected finite numbers and a quaternion"):
        CameraPose.from_transform(translation, quaternion)


def test_parameters_must_be_finite() -> None:
    with pytest.raises(PoseError, match="nan"):
        CameraPose.from_parameters(0, 0, math.nan, 0, 0, 0)


def test_a_camera_beyond_all_measure_is_refused() -> None:
    with pytest.raises(PoseError, match=r"position .1e\+308, 0, 1. m in the base frame, expected at most 10000 m"):
        CameraPose.from_parameters(1e308, 0, 1, 0, 0, 0)
    with pytest.raises(PoseError, match="at most 10000 m"):
        CameraPose.from_transform((0, -1e6, 1), (0, 0, 0, 1))
