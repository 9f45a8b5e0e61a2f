"""Pixels to rays and back, for every lens, region, binning and mask size; and calibrations that are none."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from ground_truth import LENSES, TruthCamera

from fanet_ros.ground.camera_model import Calibration, CameraModel, RegionOfInterest
from fanet_ros.ground.errors import CalibrationError
from fanet_ros.ground.lenses import EquidistantLens
from fanet_ros.settings import Size

SIZE = Size(640, 360)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def calibration(model: str = "plumb_bob", d: tuple[float, ...] = (), focal: float = 400.0) -> Calibration:
    k = (focal, 0.0, 319.5, 0.0, focal, 179.5, 0.0, 0.0, 1.0)
    return Calibration(640, 360, model, d, k, IDENTITY, (*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0))


def matrix(focal: float, cx: float = 319.5, cy: float = 179.5) -> tuple[float, ...]:
    return (focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(
    ("roi", "binning", "mask"),
    [
        (None, 1, SIZE),
        (RegionOfInterest(100, 60, 400, 280), 1, Size(400, 280)),
        (None, 2, Size(320, 180)),
        (RegionOfInterest(40, 20, 600, 320), 4, Size(150, 80)),
        (RegionOfInterest(0, 0, 0, 0), 0, Size(333, 100)),
    ],
)
def test_rays_lead_to_what_the_equations_draw_in_their_pixels(
    lens: str, roi: RegionOfInterest | None, binning: int, mask: Size
) -> None:
    whole = roi is not None and roi.width == 0
    camera = TruthCamera(lens, roi=None if whole else roi, binning=binning or 1, mask_size=mask)
    model = CameraModel(replace(camera.calibration, roi=roi, binning_x=binning, binning_y=binning))
    rays = model.rays(mask)
    assert rays.shape == (mask.height, mask.width, 3) and rays.dtype == np.float32
    assert not np.isnan(rays).any()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1, atol=1e-6)
    body = np.stack([rays[..., 2], -rays[..., 0], -rays[..., 1]], axis=-1).reshape(-1, 3).astype(float)
    level = replace(camera, pitch=0.0, height=0.0)
    drawn = level.pixels(body * 7.0)
    pixels = np.stack(np.meshgrid(np.arange(mask.width), np.arange(mask.height)), -1).reshape(-1, 2)
    near_axis = ~np.isnan(drawn).any(1)
    assert near_axis.mean() > 0.65  # the equations of the test end 55 degrees from the axis
    np.testing.assert_allclose(drawn[near_axis], pixels[near_axis], atol=0.03)
    np.testing.assert_allclose(model.project(rays.reshape(-1, 3).astype(float) * 3, mask), pixels, atol=0.03)


def test_image_size_is_what_the_driver_delivers() -> None:
    region = RegionOfInterest(10, 20, 301, 200)
    assert replace(calibration(), roi=region, binning_x=2, binning_y=3).image_size == Size(150, 66)
    assert replace(calibration(), binning_x=0, binning_y=0).image_size == SIZE


def test_a_calibration_equals_the_same_one_and_no_other() -> None:
    assert calibration() == calibration() and hash(calibration()) == hash(calibration())
    assert calibration() != calibration(d=(0.1, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("d", [(-0.5, 0.1, 0.0, 0.0), (-0.45, 0.0, 0.001, 0.0, 0.0)])
def test_corners_beyond_the_lens_model_have_no_ray(d: tuple[float, ...]) -> None:
    model = CameraModel(calibration(d=d))
    rays = model.rays(SIZE)
    unknown = np.isnan(rays[..., 0])
    assert unknown[0, 0] and unknown[-1, -1] and not unknown[180, 320]
    pixels = np.stack(np.meshgrid(np.arange(640), np.arange(360)), -1)
    back = model.project(rays.reshape(-1, 3).astype(float), SIZE).reshape(360, 640, 2)
    assert np.abs(back - pixels)[~unknown].max() < 0.05


def test_what_folds_back_into_the_image_is_not_seen() -> None:
    model = CameraModel(calibration(d=(-0.5, 0.1, 0.0, 0.0)))  # r (1 - 0.5 r^2 + 0.1 r^4) turns at r = 1
    folded, _ = cv2.projectPoints(
        np.array([[1.5, 0.0, 1.0]]), np.zeros(3), np.zeros(3), np.eye(3), np.array([-0.5, 0.1, 0, 0])
    )
    assert abs(folded.ravel()[0]) < 0.8, "OpenCV alone would draw it"
    seen = model.project(np.array([[1.5, 0.0, 1.0], [0.9, 0.0, 1.0], [0.0, 0.0, -1.0], [0.5, 0.0, 0.0]]), SIZE)
    assert np.isnan(seen[[0, 2, 3]]).all() and not np.isnan(seen[1]).any()


def test_a_fisheye_sees_beyond_a_right_angle() -> None:
    lens = EquidistantLens((0.0, 0.0, 0.0, 0.0))
    behind = np.array([[1.0, 0.0, -0.3]])
    drawn = lens.distort(behind)
    assert drawn[0, 0] == pytest.approx(math.pi / 2 + math.atan(0.3))
    np.testing.assert_allclose(lens.directions(drawn, 1e-6), behind / np.linalg.norm(behind), atol=1e-9)


def test_a_fisheye_is_as_opencv_has_it() -> None:
    d = np.array([-0.021, 0.006, -0.004, 0.0007])
    points = np.random.default_rng(0).normal(size=(500, 3)) * (2, 2, 0) + (0, 0, 1)
    expected = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), np.eye(3), d)[0][:, 0]
    np.testing.assert_allclose(EquidistantLens(tuple(d)).distort(points), expected, atol=1e-9)


def test_a_rectified_mask_is_projected_by_p_and_turned_back_by_r() -> None:
    rotation = cv2.Rodrigues(np.array([0.02, -0.05, 0.01]))[0]
    p = (380.0, 0.0, 300.0, -40.0, 0.0, 390.0, 170.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    model = CameraModel(
        replace(calibration("rational_polynomial", LENSES["rational"][1]), r=tuple(rotation.ravel()), p=p),
        rectified=True,
    )
    points = np.array([[0.3, 0.2, 2.0], [-1.0, 0.4, 3.0]])
    turned = points @ rotation.T
    expected = turned[:, :2] / turned[:, 2:] * (380, 390) + (300, 170)
    np.testing.assert_allclose(model.project(points, SIZE), expected, atol=1e-9)
    ray = model.rays(SIZE)[100, 200]
    np.testing.assert_allclose(model.project(ray[None].astype(float), SIZE), [[200, 100]], atol=1e-3)


def test_rays_are_kept_for_the_next_pose() -> None:
    model = CameraModel(calibration())
    assert model.rays(SIZE) is model.rays(SIZE)
    assert not model.rays(SIZE).flags.writeable


@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_plumb_bob_takes_what_opencv_takes(count: int) -> None:
    CameraModel(calibration(d=(0.01,) * count))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": (0.0,) * 9}, "not calibrated .K is zero"),
        ({"k": (1.0,) * 8}, "k has 8 numbers, expected 9"),
        ({"p": (1.0,) * 9}, "p has 9 numbers, expected 12"),
        ({"d": (math.nan,) * 5}, "d is .* expected finite"),
        ({"d": (0.1,) * 3}, "plumb_bob has 3 coefficients, expected 4, 5, 8, 12 or 14"),
        ({"d": (0.1,) * 5, "distortion_model": "rational_polynomial"}, "has 5 coefficients, expected 8, 12 or 14"),
        ({"d": (0.1,) * 5, "distortion_model": "equidistant"}, "has 5 coefficients, expected 4"),
        (
            {"d": (0.1,) * 5, "distortion_model": "thin_prism"},
            "'thin_prism' .* expected plumb_bob, rational_polynomial or",
        ),
        ({"d": (0.1,) * 5, "distortion_model": ""}, "received distortion model ''"),
        ({"k": (-400.0, *calibration().k[1:])}, "focal lengths in K"),
        ({"width": 0}, "impossible"),
        ({"roi": RegionOfInterest(600, 0, 100, 100)}, "impossible"),
        ({"binning_x": 400}, "impossible"),
        ({"k": matrix(1.0)}, r"focal lengths in K are .1.0, 1.0. for an image of 640x360 pixels, expected from 0.05"),
        ({"k": matrix(1e300)}, r"focal lengths in K are .1e.300, 1e.300."),
        ({"k": matrix(400.0, cx=1e300)}, r"optical axis in K is at .1e.300, 179.5."),
        ({"k": matrix(400.0, cy=-1e6)}, r"optical axis in K is at .319.5, -1000000.0."),
        ({"k": (400.0, 1e9, *matrix(400.0)[2:])}, "a skew of 1e.09"),
        ({"d": (1e308,) * 5}, "expected distortion coefficients of 1e.06 at most"),
        ({"d": (0.0, 1e200, 0.0, 0.0), "distortion_model": "equidistant"}, "expected distortion coefficients"),
    ],
)
def test_what_is_no_calibration_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        CameraModel(replace(calibration(), **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r": (1.0,) * 9}, "expected a rotation"),
        ({"r": (1e308,) * 9}, "expected a rotation"),
        ({"p": (0.0,) * 12}, "focal lengths in P"),
        ({"p": (400.0, 0.0, 319.5, 0.0, 0.0, 400.0, 1e5, 0.0, 0.0, 0.0, 1.0, 0.0)}, "optical axis in P is at"),
    ],
)
def test_a_rectified_mask_needs_r_and_p(changes: dict, words: str) -> None:
    CameraModel(replace(calibration(), **changes))
    with pytest.raises(CalibrationError, match=words):
        CameraModel(replace(calibration(), **changes), rectified=True)


def test_a_mask_of_one_column_is_refused() -> None:
    with pytest.raises(CalibrationError, match="1x360"):
        CameraModel(calibration()).rays(Size(1, 360))
    with pytest.raises(CalibrationError, match="2x8193 pixels, expected at least 2x2 and at most 8192"):
        CameraModel(calibration()).project(np.ones((1, 3)), Size(2, 8193))


def test_coefficients_too_small_to_count_change_nothing() -> None:
    points = np.array([[0.3, -0.2, 1.0], [0.1, 0.4, 2.0]])
    for model, d in (("plumb_bob", (-0.3, 0.1, 0.0, 0.0, 1e-310)), ("equidistant", (0.01, 0.0, 0.0, 1e-310))):
        without = CameraModel(calibration(model, (*d[:-1], 0.0)))
        np.testing.assert_allclose(
            CameraModel(calibration(model, d)).project(points, SIZE), without.project(points, SIZE)
        )
