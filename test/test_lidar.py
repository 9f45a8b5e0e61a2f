"""The street's lidar: its points lie on the planes of the street, its rings where a lidar has them."""

from dataclasses import replace

import numpy as np
import pytest
from ramp_scene import entered
from street_truth import footprints, map_from_optical

from fanet_ros.errors import SourceError
from fanet_ros.sources.lidar import RINGS, SpinningLidar
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import View

NOISE = 0.02
INDEX = 333


@pytest.fixture(scope="module")
def street():
    return StreetCamera(640, 360, seed=1)


def place(street, index, **turned):
    pose = street.pose(index)
    return replace(pose, z=pose.z + 0.3, **turned)


def in_map(scan, pose):
    x, y, z = scan.points.astype(float).T
    return np.column_stack((-y, -z, x)) @ map_from_optical(pose).T + pose.position


def test_rings_are_cones_and_azimuths_come_in_steps(street):
    scan = SpinningLidar(street, azimuth_step_deg=0.4).scan(INDEX, place(street, INDEX))
    assert scan.points.dtype == np.float32 and scan.points.shape == (len(scan.rings), 3)
    assert scan.rings.dtype == np.uint8 and RINGS == 16
    x, y, z = scan.points.astype(float).T
    assert np.all(np.diff(scan.rings.astype(int)) >= 0) and set(scan.rings) >= set(range(8))
    np.testing.assert_allclose(np.degrees(np.arctan2(z, np.hypot(x, y))), scan.rings * 2.0 - 15, atol=1e-4)
    azimuth = np.degrees(np.arctan2(y, x))
    np.testing.assert_allclose(azimuth / 0.4, np.rint(azimuth / 0.4), atol=1e-3)
    assert azimuth.min() < -59 and azimuth.max() > 59 and np.hypot(x, np.hypot(y, z)).max() <= 100


@pytest.mark.parametrize("turned", [{}, {"pitch": 0.08, "roll": -0.05, "yaw": 0.06}])
def test_points_lie_on_the_ground_or_on_things(street, turned):
    """No point hovers, none is under the ground, and those on the ground scatter as the ranges do."""
    pose = place(street, INDEX, **turned)
    points = in_map(SpinningLidar(street, noise=0.0).scan(INDEX, pose), pose)
    # the outlines of things are true to a pixel of the lidar's views: their feet reach that far into the ground
    assert np.all(points[:, 2] > -1.5 / 600 * np.linalg.norm(points - pose.position, axis=1) - 1e-3)
    on_ground = np.abs(points[:, 2]) < 1e-3
    assert 0.15 < on_ground.mean() < 0.9
    near = ~on_ground & (points[:, 0] - pose.x < 30) & (points[:, 0] > pose.x) & (np.abs(points[:, 1]) < 9.0)
    low = near & (points[:, 2] < 1.0)
    assert low.sum() > 50
    boxes = np.array([box[:4] for box in footprints(street, INDEX)])
    x, y = points[low, :1], points[low, 1:2]
    # people are flat pictures and somewhat wider than people
    x_away = np.maximum(boxes[:, 0] - x, x - boxes[:, 1])
    y_away = np.maximum(boxes[:, 2] - y, y - boxes[:, 3])
    assert np.maximum(x_away, y_away).min(axis=1).max() < 0.25


def test_cars_hide_what_is_behind_them(street):
    """Hardly a ray goes through the solid middle of a car: the street is painted far to near, ahead without fault."""
    through, crossing = np.zeros(2, int), np.zeros(2, int)
    for index in range(0, 1800, 150):
        pose = place(street, index)
        scan = SpinningLidar(street, noise=0.0).scan(index, pose)
        away = in_map(scan, pose) - pose.position
        ranges, near = np.linalg.norm(away, axis=1), np.full(len(away), np.inf)
        for box in footprints(street, index):
            if box.kind in ("car", "parked_car"):
                low, high = (box.x_min + 0.3, box.y_min + 0.1, 0.45), (box.x_max - 0.5, box.y_max - 0.1, 0.75)
                near = np.minimum(near, entered(pose.position, away / ranges[:, None], np.array(low), np.array(high)))
        aside = np.abs(scan.points[:, 1]) > scan.points[:, 0] * np.tan(np.radians(30))
        for place_of, where in enumerate((~aside, aside)):
            crossing[place_of] += np.isfinite(near[where]).sum()
            through[place_of] += np.sum(ranges[where] > near[where] + 0.6)
    assert np.all(crossing > 500)
    assert through[0] <= 0.001 * crossing[0] and through[1] <= 0.02 * crossing[1]


def test_ranges_scatter_by_their_noise(street):
    pose = place(street, INDEX)
    exact = SpinningLidar(street, noise=0.0, farthest=1e4).scan(INDEX, pose)
    noisy = SpinningLidar(street, noise=NOISE, farthest=1e4).scan(INDEX, pose)
    np.testing.assert_array_equal(exact.rings, noisy.rings)
    error = np.linalg.norm(noisy.points, axis=1) - np.linalg.norm(exact.points, axis=1)
    near = np.linalg.norm(exact.points, axis=1) < 100
    assert error[near].std() == pytest.approx(NOISE, rel=0.05) and abs(error[near].mean()) < 0.002


def test_the_ground_is_where_geometry_puts_it(street):
    """A level lidar h above the ground sees ring r on a circle of radius h / tan(angle), where nothing stands."""
    pose = place(street, INDEX, pitch=0.0)
    scan = SpinningLidar(street, noise=0.0).scan(INDEX, pose)
    for ring in range(3):
        points = scan.points[scan.rings == ring]
        radius = pose.z / np.tan(np.radians(15 - 2 * ring))
        distance = np.hypot(points[:, 0], points[:, 1])
        assert distance.max() <= radius * (1 + 0.01)
        assert np.mean(np.abs(distance - radius) < 1e-3) > 0.3


def test_the_lidar_agrees_with_a_camera_at_its_place(street):
    pose = place(street, INDEX)
    scan = SpinningLidar(street, noise=0.0).scan(INDEX, pose)
    x, y, z = scan.points.astype(float).T
    rays, k = np.column_stack((-y / x, -z / x)), street.intrinsics
    pixels = rays * (k.fx, k.fy) + (k.cx, k.cy)
    inside = np.all((pixels > 0) & (pixels < (k.width - 1, k.height - 1)), axis=1)
    measured = street.view(INDEX, View(k, pose)).surfaces.depth_along(rays[inside])
    assert inside.sum() > 2000
    assert np.isclose(measured, x[inside], rtol=1e-4).mean() > 0.93


def test_a_seed_and_a_frame_have_one_scan(street):
    pose = place(street, INDEX)
    first, again = (SpinningLidar(street, seed=2).scan(INDEX, pose) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    other = SpinningLidar(street, seed=3).scan(INDEX, pose)
    assert len(other.points) != len(first.points) or np.any(other.points != first.points)


@pytest.mark.parametrize(
    "wrong",
    [
        {"azimuth_step_deg": 0.01},
        {"azimuth_step_deg": float("nan")},
        {"field_of_view_deg": 360.0},
        {"field_of_view_deg": 0.1},
        {"farthest": 0.0},
        {"noise": -1.0},
        {"seed": -1},
    ],
)
def test_numbers_out_of_range_are_refused(street, wrong):
    with pytest.raises(SourceError, match="the lidar"):
        SpinningLidar(street, **wrong)


@pytest.mark.parametrize("wrong", [{"z": -1.0}, {"yaw": 1.3}, {"pitch": 1.3}, {"roll": 1.5}])
def test_a_place_that_the_street_is_not_painted_for_is_refused(street, wrong):
    with pytest.raises(SourceError):
        SpinningLidar(street).scan(0, replace(street.pose(0), **wrong))
