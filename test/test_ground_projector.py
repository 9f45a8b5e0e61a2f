"""Masks to the ground, against a camera written from the equations and against the street camera's truth."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from functools import cache, lru_cache

import cv2
import numpy as np
import pytest
from ground_truth import CAR, PAVEMENT, ROAD, Box, TruthCamera, angle_of

from fanet_ros.errors import FrameError
from fanet_ros.ground.camera_model import Calibration, CameraModel, RegionOfInterest
from fanet_ros.ground.classes import drivable_mask, kinds_of
from fanet_ros.ground.errors import CalibrationError, NoGroundError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.scan import ScanResult
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.ground.view import GroundView
from fanet_ros.model.labels import UNLABELLED, load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.ground import ROAD_HALF_WIDTH

KINDS = kinds_of(load_label_set("camvid11"), drivable="drivable", flat="walkable", obstacle="obstacle")
SKY = 0
SETTINGS = GroundSettings()
BOXES = (Box(6.0, 7.0, -1.5, -0.3), Box(9.0, 10.5, 1.0, 3.0, 1.3), Box(14.0, 15.0, -4.0, -2.0, 1.2))
"""A near one, one to its left, one far away."""


@lru_cache(maxsize=8)
def projector_for(camera: TruthCamera, settings: GroundSettings = SETTINGS) -> GroundProjector:
    return GroundProjector(
        CameraModel(camera.calibration), CameraPose.from_parameters(*camera.pose), camera.mask_size, settings
    )


def turned(boxes: tuple[Box, ...], camera: TruthCamera) -> tuple[Box, ...]:
    """The boxes, moved to where the camera looks by steps of a quarter turn, so that they stay parallel to the axes."""
    quarter = round(camera.yaw / (math.pi / 2)) % 4
    moved = []
    for box in boxes:
        corners = np.array([[box.x_min, box.y_min], [box.x_max, box.y_max]])
        for _ in range(quarter):
            corners = np.column_stack([-corners[:, 1], corners[:, 0]])
        low, high = corners.min(0) + (camera.x, camera.y), corners.max(0) + (camera.x, camera.y)
        moved.append(box._replace(x_min=low[0], x_max=high[0], y_min=low[1], y_max=high[1]))
    return tuple(moved)


SWEEP = {
    **{f"pitch {pitch}": TruthCamera(pitch=pitch) for pitch in (-0.05, 0.0, 0.1, 0.2, 0.4)},
    **{f"roll {roll}": TruthCamera(roll=roll, pitch=0.1) for roll in (-0.3, -0.1, 0.1, 0.3)},
    **{f"yaw {yaw}": TruthCamera(yaw=yaw) for yaw in (-1.4, -0.15, 0.15, 1.7, 3.1)},
    **{f"height {height}": TruthCamera(height=height, pitch=0.12) for height in (0.4, 0.8, 2.5)},
    **{f"lens {lens}": TruthCamera(lens, pitch=0.12) for lens in ("plumb_bob", "rational", "equidistant")},
    **{
        f"all at once, {lens}": TruthCamera(lens, 0.3, -0.2, 1.1, 0.08, 0.2, -0.12)
        for lens in ("pinhole", "plumb_bob", "rational", "equidistant")
    },
    "away from the base": TruthCamera(x=1.5, y=-0.8, yaw=0.1),
    "region of interest": TruthCamera("plumb_bob", pitch=0.12, roi=RegionOfInterest(80, 100, 480, 240)),
    "binning": TruthCamera("rational", pitch=0.12, binning=2, mask_size=Size(320, 180)),
    "both": TruthCamera("equidistant", pitch=0.12, binning=2, roi=RegionOfInterest(40, 60, 560, 300)),
    "smaller mask": TruthCamera("plumb_bob", pitch=0.12, mask_size=Size(400, 200)),
    "larger mask": TruthCamera(pitch=0.12, mask_size=Size(900, 400)),
    "tall mask": TruthCamera("equidistant", pitch=0.12, mask_size=Size(200, 300)),
}
# of the scope of a module, so that all tests of a camera run in a row, with one projector
CASES = pytest.mark.parametrize("camera", SWEEP.values(), ids=SWEEP.keys(), scope="module")


def ground_errors(camera: TruthCamera) -> tuple[np.ndarray, np.ndarray]:
    """Errors of ground points that the camera's equations put within a pixel, and the bounds they must keep, metres."""
    rng = np.random.default_rng(5)
    angles, ranges = rng.uniform(-math.pi, math.pi, 40_000), 0.5 + 19.5 * rng.random(40_000) ** 1.5
    truth = np.column_stack([camera.x + ranges * np.cos(angles), camera.y + ranges * np.sin(angles)])
    truth = truth[np.hypot(*truth.T) < SETTINGS.range_max]
    pixels = camera.pixels(np.column_stack([truth, np.zeros(len(truth))]))
    inside = np.nan_to_num(pixels, nan=-1.0)
    seen = ((inside >= 0) & (inside <= np.array(camera.mask_size) - 1)).all(1)
    seen &= np.isfinite(camera.footprint(truth))
    truth, nearest = truth[seen], np.floor(pixels[seen] + 0.5).astype(int)
    assert len(truth) > 300, "the test sees something"
    found = projector_for(camera).points[nearest[:, 1], nearest[:, 0]]
    assert not np.isnan(found).any() and (found[:, 2] == SETTINGS.ground_z).all()
    errors = np.linalg.norm(found[:, :2] - truth, axis=1)
    ranges = np.linalg.norm(truth - (camera.x, camera.y), axis=1)
    return errors, np.maximum(0.02 * ranges, camera.footprint(truth))


@CASES
def test_ground_points_are_where_the_equations_put_them(camera: TruthCamera) -> None:
    errors, bounds = ground_errors(camera)
    assert (errors <= bounds).all(), f"{(errors / bounds).max():.2f} of the bound"


def contact_errors(
    camera: TruthCamera, points: np.ndarray, boxes: tuple[Box, ...], aside: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of contacts along their bearings, and the bounds they must keep, metres; two pixels aside are no error."""
    angles = angle_of(points, camera)
    ranges = np.hypot(points[:, 0] - camera.x, points[:, 1] - camera.y)
    footprint = camera.footprint(points[:, :2].astype(np.float64))
    aside += 2.5 * camera.pixel_angle
    candidates = np.stack([camera.contact(angles + shift, boxes) for shift in np.linspace(-aside, aside, 41)])
    return np.abs(candidates - ranges).min(axis=0), np.maximum(0.02 * ranges, footprint)


@CASES
def test_obstacles_stand_where_they_are(camera: TruthCamera) -> None:
    boxes = turned(BOXES, camera)
    points = projector_for(camera).view(camera.mask(boxes), KINDS).obstacle_points()
    assert points.dtype == np.float32 and (points[:, 2] == 0).all()
    errors, bounds = contact_errors(camera, points, boxes)
    assert (errors <= bounds).all(), f"{(errors / bounds).max():.2f} of the bound"
    # and none is left out: wherever the equations show an obstacle's foot, there is a point on a bearing close by
    found = np.sort(angle_of(points, camera))
    expected = np.arange(-math.pi, math.pi, 0.01)
    reached = np.min([camera.contact(expected + shift, boxes) for shift in (-0.012, 0.012)], axis=0)
    everywhere = np.max([camera.contact(expected + shift, boxes) for shift in (-0.012, 0.012)], axis=0)
    feet = np.column_stack([camera.x + reached * np.cos(expected), camera.y + reached * np.sin(expected)])
    usable = np.isfinite(everywhere)
    pixels = camera.pixels(np.nan_to_num(np.column_stack([feet, 0 * expected]), nan=0, posinf=0, neginf=0))
    with np.errstate(invalid="ignore"):
        usable &= ((pixels > 2) & (pixels < np.array(camera.mask_size) - 3)).all(1) & (np.hypot(*feet.T) < 19)
    assert usable.sum() >= 4, "the test sees something"
    gaps = np.abs(expected[usable, None] - found[None]).min(axis=1)
    assert gaps.max() < 0.012


def scan_errors(camera: TruthCamera) -> tuple[np.ndarray, np.ndarray]:
    """Errors of what the scan hits, and the bounds they must keep, metres."""
    boxes = turned(BOXES, camera)
    scan = projector_for(camera).view(camera.mask(boxes), KINDS).scan()
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    assert angles[-1] == pytest.approx(scan.angle_max)
    hits = np.isfinite(scan.ranges)
    assert hits.sum() >= 10
    points = scan.ranges[hits, None] * np.column_stack([np.cos(angles[hits]), np.sin(angles[hits])])
    # a ray is as wide as the increment: what it hits may be anywhere in it
    return contact_errors(camera, points, boxes, scan.angle_increment)


@CASES
def test_the_scan_ends_at_what_is_nearest(camera: TruthCamera) -> None:
    errors, bounds = scan_errors(camera)
    assert (errors <= bounds).all(), f"{(errors / bounds).max():.2f} of the bound"


def test_occupancy_is_the_truth_of_every_cell() -> None:
    camera = TruthCamera("plumb_bob", x=0.4, y=0.1, roll=0.03, pitch=0.15, height=1.3)
    pavement = Box(0.0, 25.0, 4.0, 9.0, 0.0, PAVEMENT)
    boxes = (*BOXES, Box(11.0, 12.0, 5.0, 6.0, 1.2))
    grid = projector_for(camera).view(camera.mask((pavement, *boxes)), KINDS).occupancy()
    assert grid.shape == (200, 200) and grid.dtype == np.int8
    x, y = np.meshgrid(0.05 + 0.1 * np.arange(200), -9.95 + 0.1 * np.arange(200))
    cells = np.column_stack([x.ravel(), y.ravel()])
    reach = np.hypot(*(cells - (camera.x, camera.y)).T)
    angles = angle_of(cells, camera)
    footprint = np.nan_to_num(camera.footprint(cells), nan=1.0) + 0.15
    samples = []
    for outward in (-1.0, 0.0, 1.0):
        for aside in (-0.012, 0.0, 0.012):
            moved = reach + outward * footprint
            at = np.column_stack([camera.x + moved * np.cos(angles + aside), camera.y + moved * np.sin(angles + aside)])
            pixels = np.nan_to_num(camera.pixels(np.column_stack([at, 0 * moved])), nan=-9.0)
            seen = ((pixels > -0.5) & (pixels < np.array(camera.mask_size) - 0.5)).all(1) & (np.hypot(*at.T) <= 20)
            hidden = camera.contact(angles + aside, boxes) < moved
            samples.append(np.where(~seen | hidden, -1, np.where((at[:, 1] > 4) & (at[:, 1] < 9), 100, 0)))
    clear = (np.array(samples) == samples[0]).all(axis=0)  # borders may fall either way
    assert {value: int((samples[0][clear] == value).sum()) > 500 for value in (-1, 0, 100)} == dict.fromkeys(
        (-1, 0, 100), True
    )
    flat = grid.ravel()
    wrong = clear & (flat != samples[0])
    assert not wrong.any(), (
        f"{wrong.sum()} cells, the first at {cells[wrong][:5]}: {flat[wrong][:5]} for {samples[0][wrong][:5]}"
    )
    for box in (boxes[0], boxes[1], boxes[3]):  # what stands there is stamped along its near side
        columns = slice(int((box.x_min - 0.3) / 0.1), int((box.x_min + 0.5) / 0.1))
        rows = slice(int((box.y_min + 10) / 0.1), int((box.y_max + 10) / 0.1))
        assert (grid[rows, columns] == 100).any(axis=1).all()


def test_what_is_behind_an_obstacle_is_unseen_until_another_bearing_shows_it() -> None:
    camera = TruthCamera(pitch=0.15)
    grid = projector_for(camera).view(camera.mask((Box(5.0, 6.0, -0.5, 0.5, 0.6),)), KINDS).occupancy()
    middle = grid[100]
    assert (middle[30:48] == 0).all(), "in front of it"
    assert (middle[56:200] == -1).all(), "behind it, though the road is seen above it"
    assert grid[120, 60] == grid[80, 60] == 0, "beside it"


def view_of(mask: np.ndarray, settings: GroundSettings = SETTINGS, camera: TruthCamera | None = None) -> GroundView:
    return projector_for(camera or TruthCamera(pitch=0.1), settings).view(mask, KINDS)


def plain(value: int = ROAD) -> np.ndarray:
    return np.full((360, 640), value, np.uint8)


def test_an_empty_road_is_free_as_far_as_the_range() -> None:
    view = view_of(plain())
    scan = view.scan()
    assert scan.range_max == 20 and scan.range_min == 0
    # bearings at the sides of the image leave it before 20 m
    assert np.isinf(scan.ranges[3:-3]).all() and not np.isneginf(scan.ranges).any()
    assert view.obstacle_points().shape == (0, 3)
    grid = view.occupancy()
    assert set(np.unique(grid)) == {-1, 0} and grid[100, 190] == 0 and grid[0, 0] == -1


def test_a_camera_that_sees_no_farther_has_a_scan_that_ends_there() -> None:
    camera = TruthCamera(pitch=0.7, height=1.0)
    scan = view_of(plain(), camera=camera).scan()
    with np.errstate(invalid="ignore"):
        ahead = projector_for(camera).points[0, 320, 0]
    assert scan.range_max == pytest.approx(ahead, rel=0.02) and ahead < 4
    assert np.isinf(scan.ranges[len(scan.ranges) // 2])


def test_unlabelled_ground_is_unknown_not_an_obstacle() -> None:
    for value in (UNLABELLED, SKY):
        view = view_of(plain(value))
        assert np.isnan(view.scan().ranges).all()
        assert (view.occupancy() == -1).all()
        assert not view.drivable_mask().any()
        assert len(view.obstacle_points()) == 0


def test_an_unlabelled_border_does_not_hide_an_obstacle() -> None:
    mask = plain()
    mask[:250] = CAR
    known = view_of(mask).scan().ranges
    mask[249:251] = UNLABELLED
    bordered = view_of(mask).scan().ranges
    assert np.isfinite(bordered[3:-3]).all()
    np.testing.assert_allclose(bordered[3:-3], known[3:-3], rtol=0.02)


@pytest.mark.parametrize("band", [0, 1, 2, 3, 4, 6, 10, 40])
@pytest.mark.parametrize("unknown", [UNLABELLED, SKY])
def test_an_obstacle_stays_in_the_scan_where_the_points_have_it(band: int, unknown: int) -> None:
    camera = TruthCamera(pitch=0.1)
    mask = plain()
    mask[100:250, 300:340] = CAR
    mask[250 : 250 + band, 300:340] = unknown
    view = view_of(mask, camera=camera)
    hits = view.scan().ranges[np.isfinite(view.scan().ranges)]
    assert len(hits) >= 8
    points = np.hypot(*view.obstacle_points()[:, :2].T)
    ends = np.where(band <= SETTINGS.min_obstacle_pixels, 250 + band, 250)  # a narrow border belongs to the obstacle
    expected = np.linalg.norm(projector_for(camera).points[int(ends), 320, :2])
    assert len(points) and points.min() == pytest.approx(expected, rel=0.02 if band > 2 else 0.05)
    assert hits.min() == pytest.approx(expected, rel=0.02)


def test_unknown_ground_before_nothing_is_no_hit() -> None:
    mask = plain()
    mask[230:260, 300:340] = UNLABELLED
    scan = view_of(mask).scan()
    assert not np.isfinite(scan.ranges).any()
    assert np.isnan(scan.ranges[3:-3]).sum() in range(6, 14), "free beside it, unknown on it"
    mask[100:155, 300:340] = CAR  # farther away than the range
    assert not np.isfinite(view_of(mask).scan().ranges).any()


def test_a_single_pixel_is_no_obstacle_unless_one_is_asked_for() -> None:
    mask = plain()
    mask[260, 320] = CAR
    assert np.isinf(view_of(mask).scan().ranges[3:-3]).all() and len(view_of(mask).obstacle_points()) == 0
    one = replace(SETTINGS, min_obstacle_pixels=1)
    assert np.isfinite(view_of(mask, one).scan().ranges).any() and len(view_of(mask, one).obstacle_points()) >= 1


def test_nothing_is_reported_outside_the_ranges() -> None:
    camera = TruthCamera(pitch=0.15)
    settings = replace(SETTINGS, range_min=8.0, range_max=12.0)
    view = view_of(camera.mask(BOXES), settings, camera)
    points = view.obstacle_points()
    ranges = np.hypot(points[:, 0], points[:, 1])
    assert len(points) and ranges.min() >= 8 and ranges.max() <= 12
    grid = view.occupancy()
    x, y = np.meshgrid(0.05 + 0.1 * np.arange(200), -9.95 + 0.1 * np.arange(200))
    assert (grid[(np.hypot(x, y) < 7.9) | (np.hypot(x, y) > 12.1)] == -1).all()
    scan = view.scan()
    assert (scan.range_min, scan.range_max) == (8, 12)
    finite = scan.ranges[np.isfinite(scan.ranges)]
    assert finite.min() >= 8 and finite.max() <= 12


def test_drivable_mask_is_of_the_class_alone_and_goes_where_it_is_told() -> None:
    mask = plain(SKY)
    mask[300:] = ROAD
    mask[:20] = ROAD  # above the horizon
    mask[280:300] = PAVEMENT
    out = np.empty((360, 640), np.uint8)
    assert drivable_mask(mask, KINDS, out) is out
    np.testing.assert_array_equal(out, np.where(mask == ROAD, 255, 0))


def test_left_is_positive_y() -> None:
    mask = plain()
    mask[200:260, :100] = CAR
    view = view_of(mask)
    assert (view.obstacle_points()[:, 1] > 0).all()
    scan = view.scan()
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    assert (angles[np.isfinite(scan.ranges)] > 0).all()
    rows = np.nonzero(view.occupancy() == 100)[0]
    assert len(rows) and (rows > 100).all()


def test_a_camera_that_looks_back_scans_across_the_half_turn() -> None:
    camera = TruthCamera(x=-0.5, yaw=math.pi, pitch=0.1)
    settings = replace(SETTINGS, grid_x_min=-20.0, grid_x_max=0.0)
    view = view_of(camera.mask((Box(-6.0, -5.0, -1.0, 1.0),)), settings, camera)
    scan = view.scan()
    assert scan.angle_max - scan.angle_min < 1.3 and scan.angle_min < math.pi < scan.angle_max
    behind = scan.ranges[round((math.pi - scan.angle_min) / scan.angle_increment)]
    assert behind == pytest.approx(5.0, rel=0.02)
    assert view.occupancy()[100, 149:152].max() == 100


def test_a_camera_that_looks_straight_down_sees_all_around() -> None:
    camera = TruthCamera(pitch=math.pi / 2, height=2.0)
    mask = plain()
    mask[:60] = CAR
    view = view_of(mask, replace(SETTINGS, grid_x_min=-5.0, grid_x_max=5.0, grid_y_min=-5.0, grid_y_max=5.0), camera)
    scan = view.scan()
    assert scan.angle_max - scan.angle_min > 2 * math.pi - 0.02
    points = view.obstacle_points()
    ahead = (178 - 59.5) / (480 * 1.01) * 2.0  # of the last row of the obstacle, metres
    np.testing.assert_allclose(points[:, 0], ahead, atol=2.5 * 2.0 / 480)  # two pixels and a half
    assert view.occupancy()[50, 50] == 0


def test_a_camera_behind_the_base_leaves_no_gaps_in_a_wall() -> None:
    camera = TruthCamera(x=-1.2, height=1.0, pitch=0.4)
    fine = replace(SETTINGS, scan_angle_increment=0.004)
    scan = view_of(camera.mask((Box(0.4, 0.6, -3.0, 3.0, 0.5),)), fine, camera).scan()
    hits = np.flatnonzero(np.isfinite(scan.ranges))
    assert len(hits) > 300 and (np.diff(hits) == 1).all()
    angles = scan.angle_min + scan.angle_increment * hits
    np.testing.assert_allclose(scan.ranges[hits] * np.cos(angles), 0.4, atol=0.03)


def test_results_share_their_work_and_the_next_view_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = TruthCamera(pitch=0.15)
    projector = projector_for(camera)
    looked_up = []
    lookup = cv2.remap
    monkeypatch.setattr(cv2, "remap", lambda *args, **more: looked_up.append(args) or lookup(*args, **more))
    with_box = projector.view(camera.mask(BOXES), KINDS)
    with_box.scan(), with_box.obstacle_points(), with_box.occupancy()
    assert len(looked_up) == 2, "the bearings and the cells"
    hits = int(np.isfinite(with_box.scan().ranges).sum())
    occupied = int((with_box.occupancy() == 100).sum())
    without = projector.view(plain(), KINDS)
    assert hits and occupied
    assert not np.isfinite(without.scan().ranges).any() and not (without.occupancy() == 100).any()
    again = projector.view(camera.mask(BOXES), KINDS)
    assert int((again.occupancy() == 100).sum()) == occupied
    assert int(np.isfinite(again.scan().ranges).sum()) == hits


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (TruthCamera(pitch=-0.6), "looking 34.4 degrees up, has all pixels above the horizon"),
        (TruthCamera(height=-0.2), "0.20 m below the ground"),
        (TruthCamera(height=1e-9), "the camera is on the ground"),
        (TruthCamera(height=100.0, pitch=0.05), "sees no ground from 0 to 20 m: the .* pixels below its horizon"),
    ],
)
def test_no_ground_says_why(camera: TruthCamera, words: str) -> None:
    with pytest.raises(NoGroundError, match=words):
        projector_for(camera)


def test_a_mask_of_another_size_or_type_is_refused() -> None:
    projector = projector_for(TruthCamera())
    for mask in (np.zeros((180, 320), np.uint8), np.zeros((360, 640), np.int32)):
        with pytest.raises(FrameError, match="the size that the ground tables were built for"):
            projector.view(mask, KINDS)


def test_points_are_nan_above_the_horizon_and_in_range_only_where_asked() -> None:
    projector = projector_for(TruthCamera(pitch=0.0))
    assert np.isnan(projector.points[:177]).all() and not np.isnan(projector.points[180:]).any()
    ranges = np.hypot(projector.points_in_range[..., 0], projector.points_in_range[..., 1])
    assert np.nanmax(ranges) <= 20 < np.nanmax(np.hypot(projector.points[..., 0], projector.points[..., 1]))


def test_padded_rows_are_read_as_they_are() -> None:
    camera = TruthCamera(pitch=0.15)
    mask = camera.mask(BOXES)
    padded = np.full((360, 700), CAR, np.uint8)
    padded[:, :640] = mask
    projector = projector_for(camera)
    expected = projector.view(mask, KINDS).occupancy().copy()
    np.testing.assert_array_equal(projector.view(padded[:, :640], KINDS).occupancy(), expected)


# -- what Nav2 may clear -----------------------------------------------------------------------------------------------

CLEARING = {
    "level": TruthCamera(height=0.62, pitch=0.4),
    "plumb_bob": TruthCamera("plumb_bob", height=0.62, pitch=0.35),
    "rational": TruthCamera("rational", x=0.3, height=0.8, pitch=0.3),
    "rolled": TruthCamera(roll=0.15, height=0.62, pitch=0.21),
    "to the side": TruthCamera(x=0.4, y=-0.5, yaw=-0.3, pitch=0.2, height=1.0),
    "behind the base": TruthCamera(x=-2.5, pitch=0.4, height=1.0),
}


def ground_on(angles: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Points of the ground (angles, 400, 2) in a range of the base frame."""
    ranges = np.linspace(begin, end, 400)
    return np.stack([np.outer(np.cos(angles), ranges), np.outer(np.sin(angles), ranges)], axis=-1)


def angles_of(scan: ScanResult) -> np.ndarray:
    return scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))


@pytest.mark.parametrize("camera", CLEARING.values(), ids=CLEARING.keys())
def test_all_ground_of_a_free_ray_is_seen_beyond_the_blind_range(camera: TruthCamera) -> None:
    projector = projector_for(camera)
    scan = projector.view(plain(), KINDS).scan()
    is_free = np.isposinf(scan.ranges)
    assert is_free.sum() > 60
    # the end may be out of sight by 5 %
    ground = ground_on(angles_of(scan)[is_free], projector.blind_range + 0.02, 0.94 * scan.range_max).reshape(-1, 2)
    pixels = camera.pixels(np.column_stack([ground, np.zeros(len(ground))]))
    # the border of a ray may be in sight where its middle is not
    aside = 1.0 + 0.6 * scan.angle_increment / camera.pixel_angle
    is_seen = ((pixels > -aside) & (pixels < np.array(camera.mask_size) - 1 + aside)).all(axis=1)
    assert is_seen.all(), f"{ground[~is_seen][:5]} are not"


def test_the_blind_range_is_no_larger_than_it_must_be() -> None:
    for name, more in (("level", 0.1), ("plumb_bob", 0.1), ("rational", 0.8), ("to the side", 0.8), ("rolled", 0.1)):
        projector = projector_for(CLEARING[name])
        assert projector.blind_range <= np.linalg.norm(projector.points[-1, :, :2], axis=1).max() + more, name
    assert projector_for(CLEARING["behind the base"]).blind_range < 0.3


def test_the_blind_range_is_that_of_the_lower_corners() -> None:
    camera = TruthCamera(height=0.62, pitch=0.4)
    projector = projector_for(camera)
    ranges = np.hypot(projector.points[-1, :, 0], projector.points[-1, :, 1])
    assert ranges.max() > 1.15 * ranges.min()
    assert projector.blind_range == pytest.approx(ranges.max(), abs=0.05)
    assert projector_for(camera, replace(SETTINGS, range_min=3.0)).blind_range == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(
    "camera",
    [TruthCamera(pitch=0.25, height=1.2, x=x, y=y) for x, y in ((0.3, 0.06), (0.5, 0.4), (1.5, 0.0), (0.0, 1.0))],
    ids=lambda camera: f"{camera.x}, {camera.y}",
)
def test_no_free_ray_crosses_ground_that_an_obstacle_hides(camera: TruthCamera) -> None:
    poles = (Box(4.0, 4.2, -0.15, 0.15, 0.8), Box(6.0, 6.3, 1.5, 1.9, 0.9))
    projector = projector_for(camera)
    empty = np.isposinf(projector.view(plain(), KINDS).scan().ranges)
    scan = projector.view(camera.mask(poles), KINDS).scan()
    assert np.isfinite(scan.ranges).sum() >= 10, "both are seen"
    ground = ground_on(angles_of(scan), 1.0, scan.range_max)
    flat = ground.reshape(-1, 2)
    reach = np.hypot(flat[:, 0] - camera.x, flat[:, 1] - camera.y)
    aside = 2.0 * camera.pixel_angle + scan.angle_increment
    contacts = np.stack([camera.contact(angle_of(flat, camera) + t, poles) for t in np.linspace(-aside, aside, 9)])
    is_hidden = (contacts < reach - 0.1).reshape(9, *ground.shape[:2])
    crosses_surely, crosses_perhaps = is_hidden.all(axis=0).any(axis=1), is_hidden.any(axis=(0, 2))
    is_free = np.isposinf(scan.ranges)
    assert crosses_surely.sum() >= 8
    assert not (is_free & crosses_surely).any(), "free, though hidden"
    assert not (empty & np.isnan(scan.ranges) & ~crosses_perhaps).any(), "unknown, though all of it is seen"
    assert (empty & is_free).sum() > 30


# -- input without measure ---------------------------------------------------------------------------------------------

EXTREMES = {
    "far and fine": (TruthCamera(pitch=0.2), replace(SETTINGS, range_max=1000.0, grid_resolution=0.05)),
    "fine rays": (TruthCamera("plumb_bob", pitch=0.2), replace(SETTINGS, range_max=900.0, scan_angle_increment=0.0005)),
    "one row of pixels on another": (TruthCamera(pitch=0.2, mask_size=Size(8192, 2)), SETTINGS),
    "two columns": (TruthCamera(pitch=0.2, mask_size=Size(2, 8192)), SETTINGS),
    "as many cells as there may be": (
        TruthCamera(pitch=0.2),
        replace(SETTINGS, range_max=1000.0, grid_x_max=100.0, grid_y_min=-100.0, grid_y_max=100.0, grid_resolution=0.1),
    ),
}


@pytest.mark.parametrize(("camera", "settings"), EXTREMES.values(), ids=EXTREMES.keys())
def test_tables_stay_small(camera: TruthCamera, settings: GroundSettings) -> None:
    tracemalloc.start()
    try:
        projector = projector_for.__wrapped__(camera, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 250e6
    if camera.mask_size == Size(640, 360):  # thinned bearings are as true as all of them
        points = projector.view(camera.mask(BOXES), KINDS).obstacle_points()
        errors, bounds = contact_errors(camera, points, BOXES)
        assert len(errors) and (errors <= bounds).all()


def test_the_shortest_focal_length_that_is_allowed_is_built() -> None:
    k = (32.0, 0.0, 319.5, 0.0, 32.0, 179.5, 0.0, 0.0, 1.0)
    model = CameraModel(replace(TruthCamera().calibration, k=k))
    pose = CameraPose.from_parameters(0.0, 0.0, 0.62, 0.0, 0.21, 0.0)
    projector = GroundProjector(model, pose, Size(640, 360), SETTINGS)
    assert np.isposinf(projector.view(plain(), KINDS).scan().ranges).any()


def test_whatever_a_calibration_says_it_is_built_or_refused() -> None:
    rng = np.random.default_rng(3)
    size = Size(40, 30)
    built = 0
    for _ in range(150):
        model, counts = [("plumb_bob", (4, 5, 14)), ("rational_polynomial", (8, 12)), ("equidistant", (4,))][
            rng.integers(3)
        ]
        d = tuple((rng.normal(size=rng.choice(counts)) * 10.0 ** rng.integers(-320, 9)).tolist())
        focal = 10.0 ** rng.uniform(0, 5.5)
        cx, cy = (rng.normal(size=2) * 10.0 ** rng.integers(0, 6)).tolist()
        k = (focal, 0.0, cx, 0.0, focal * 10.0 ** rng.normal(), cy, 0.0, 0.0, 1.0)
        calibration = replace(TruthCamera().calibration, distortion_model=model, d=d, k=k)
        place = (*(rng.normal(size=2) * 10.0 ** rng.integers(-3, 3)), 10.0 ** rng.uniform(-4, 2), *rng.normal(size=3))
        try:
            pose = CameraPose.from_parameters(*place)
            view = GroundProjector(CameraModel(calibration), pose, size, SETTINGS).view(
                rng.integers(0, 12, (30, 40)).astype(np.uint8), KINDS
            )
        except (CalibrationError, NoGroundError):
            continue
        built += 1
        assert view.occupancy().shape == (200, 200) and len(view.scan().ranges) and view.obstacle_points().shape[1] == 3
    assert built >= 5


# -- the street camera -------------------------------------------------------------------------------------------------


STREET_CAMERAS = {
    "as filmed": None,
    **{lens: TruthCamera(lens) for lens in ("plumb_bob", "rational", "equidistant")},
    "plumb_bob, smaller mask": TruthCamera("plumb_bob", mask_size=Size(400, 200)),
    "rational, region of interest": TruthCamera(
        "rational", roi=RegionOfInterest(20, 40, 600, 310), mask_size=Size(600, 310)
    ),
}


@cache
def drawn_from(camera: TruthCamera, k: Intrinsics) -> np.ndarray:
    """Where in the street's picture each pixel of another lens looks, float32 (H, W, 2); far outside if nowhere."""
    pixels = np.stack(np.meshgrid(*map(np.arange, camera.mask_size)), -1).reshape(-1, 2).astype(float)
    level = replace(camera, pitch=0.0, height=0.0)
    x, y = (pixels * camera.pixel_angle - (0.67, 0.38)).T.copy()
    for _ in range(25):  # walk against the equations' error: slow and sure
        drawn = level.pixels(np.column_stack([np.ones(len(x)), -x, -y]))
        error = np.nan_to_num(drawn - pixels) * camera.pixel_angle
        x, y = x - 0.9 * error[:, 0], y - 0.9 * error[:, 1]
    is_found = np.abs(drawn - pixels).max(axis=1) < 0.02
    assert is_found.mean() > 0.6
    at = np.column_stack([x * k.fx + k.cx, y * k.fy + k.cy])
    at[~is_found] = -1000
    return at.astype(np.float32).reshape(camera.mask_size.height, camera.mask_size.width, 2)


def through(camera: TruthCamera, labels: np.ndarray, k: Intrinsics) -> np.ndarray:
    """The street's labels as another lens draws them, and road where the street camera did not film."""
    at = drawn_from(camera, k)
    return cv2.remap(labels, at, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=ROAD)


def street_calibration(k: Intrinsics) -> Calibration:
    matrix = (k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0)
    p = (k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return Calibration(k.width, k.height, "plumb_bob", (), matrix, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), p)


def kerb_errors(camera: TruthCamera | None, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the scan at kerbs of the street, and the bounds they must keep, metres."""
    street = StreetCamera(640, 360, seed=1)
    pose, k = street.pose(index), street.intrinsics
    labels = street.frame(index).labels
    mask = labels if camera is None else through(camera, labels, k)
    model = CameraModel(street_calibration(k) if camera is None else camera.calibration)
    mount = CameraPose.from_parameters(0.0, 0.0, pose.z, 0.0, pose.pitch, 0.0)
    projector = GroundProjector(model, mount, Size(mask.shape[1], mask.shape[0]), SETTINGS)
    scan = projector.view(mask, KINDS).scan()
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    clear = np.abs(angles) < 0.5  # farther aside the image may end before the kerb
    angles += pose.yaw
    with np.errstate(divide="ignore"):
        kerb = np.where(np.sin(angles) > 0, ROAD_HALF_WIDTH - pose.y, -ROAD_HALF_WIDTH - pose.y) / np.sin(angles)
    clear &= kerb < 19
    # only where no object stands on the road on the way, or close beside it
    for thing in street.scene.objects(index / 30.0, pose.x - 5, pose.x + 40):
        if abs(thing.y) - thing.width / 2 > ROAD_HALF_WIDTH:
            continue
        reach = math.hypot(thing.length, thing.width) / 2 + 0.5
        ahead = (thing.x - pose.x) * np.cos(angles) + (thing.y - pose.y) * np.sin(angles)
        aside = np.abs((thing.y - pose.y) * np.cos(angles) - (thing.x - pose.x) * np.sin(angles))
        clear &= ~((aside < reach) & (ahead < kerb + reach) & (ahead > 0))
    assert clear.sum() >= 8, "the test sees something"
    pixel = 1.0 / k.fy if camera is None else camera.pixel_angle
    footprint = kerb**2 / pose.z * pixel + kerb * scan.angle_increment / np.tan(np.abs(angles))
    return np.abs(scan.ranges - kerb)[clear], np.maximum(0.02 * kerb, footprint)[clear]


@pytest.mark.parametrize("index", [150, 2850])
@pytest.mark.parametrize("camera", STREET_CAMERAS.values(), ids=STREET_CAMERAS.keys())
def test_kerbs_of_the_street_are_where_they_are(camera: TruthCamera | None, index: int) -> None:
    errors, bounds = kerb_errors(camera, index)
    assert (errors <= bounds).all(), f"{(errors / bounds).max():.2f} of the bound"
