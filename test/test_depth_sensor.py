"""The stereo depth sensor: its noise, steps and holes, as its documentation has them."""

import numpy as np
import pytest

from fanet_ros.errors import SourceError
from fanet_ros.sources.depth_sensor import DepthSensor, to_millimetres
from fanet_ros.sources.street.camera import StreetCamera

FOCAL, BASELINE = 512.0, 0.1
EXACT = {"subpixel_error": 0.0, "disparity_step": 0.0}


def wall(z):
    return np.full((200, 300), z, np.float32)


def sensor(**settings):
    return DepthSensor(FOCAL, **{"baseline": BASELINE, **settings})


@pytest.mark.parametrize("z", [1.0, 4.0, 9.0])
@pytest.mark.parametrize("error", [0.05, 0.2])
def test_noise_grows_with_the_square_of_the_distance(z, error):
    stereo = sensor(subpixel_error=error, disparity_step=0.0)
    measured = stereo.measure(wall(z), 0)
    assert measured.dtype == np.float32 and np.all(np.isfinite(measured))
    assert stereo.noise_per_square_metre == pytest.approx(error / (FOCAL * BASELINE))
    assert measured.std() == pytest.approx(stereo.noise_per_square_metre * z**2, rel=0.05)
    assert measured.mean() == pytest.approx(z, rel=0.002)


def test_disparities_come_in_steps():
    ramp = np.tile(np.linspace(2, 8, 300, dtype=np.float32), (200, 1))
    measured = sensor(subpixel_error=0.0, disparity_step=0.25).measure(ramp, 0)
    disparity = FOCAL * BASELINE / measured / 0.25
    np.testing.assert_allclose(disparity, np.rint(disparity), atol=1e-3)
    step_at_8m = 0.25 * 8**2 / (FOCAL * BASELINE)
    assert np.abs(measured - ramp).max() == pytest.approx(step_at_8m / 2, rel=0.2)


def test_no_noise_and_no_steps_is_the_truth():
    np.testing.assert_allclose(sensor(**EXACT).measure(wall(3.7), 0), 3.7, rtol=1e-6)


def test_there_is_a_hole_at_the_border_between_near_and_far_and_nowhere_else():
    depth = wall(6.0)
    depth[50:150, 100:200] = 3.0
    hole = np.isnan(sensor(**EXACT).measure(depth, 0))
    assert np.all(hole[50:150, 98:102]) and np.all(hole[48:52, 100:200])
    assert not hole[53:147, 103:197].any() and not hole[:47].any() and not hole[:, :97].any()
    assert not np.isnan(sensor(**EXACT, border=np.inf).measure(depth, 0)).any()


def test_the_sky_and_what_is_out_of_range_are_not_measured():
    depth = np.repeat(np.array([0.2, 5.0, 25.0, np.inf], np.float32), 50)[None].repeat(20, axis=0)
    hole = np.isnan(sensor(border=np.inf, nearest=0.5, farthest=20.0).measure(depth, 0))
    np.testing.assert_array_equal(hole[0], np.repeat([True, False, True, True], 50))


def test_noise_leads_nothing_out_of_range():
    measured = sensor(subpixel_error=0.5, nearest=1.0, farthest=10.0).measure(wall(9.9), 0)
    assert 0.2 < np.isnan(measured).mean() < 0.8
    assert np.nanmax(measured) < 10.0 and np.nanmin(measured) >= 1.0
    assert np.isnan(sensor(subpixel_error=0.5, nearest=1.0).measure(wall(1.0), 0)).any()


def test_a_seed_and_a_frame_have_one_noise():
    depth = wall(5.0)
    first = sensor(seed=3).measure(depth, 7)
    np.testing.assert_array_equal(first, sensor(seed=3).measure(depth, 7))
    assert np.mean(first != sensor(seed=4).measure(depth, 7)) > 0.3
    assert np.mean(first != sensor(seed=3).measure(depth, 8)) > 0.3
    assert np.all(depth == 5.0), "the truth is left alone"


def test_millimetres_are_those_of_rep_118():
    depth = np.array([[1.2344, 0.0004, np.nan, np.inf, 65.535, 65.536, -1.0]], np.float32)
    np.testing.assert_array_equal(to_millimetres(depth), [[1234, 0, 0, 0, 65535, 0, 0]])
    street = sensor(farthest=100.0)
    measured, millimetres = street.measure(wall(7.0), 1), street.measure_mm(wall(7.0), 1)
    assert millimetres.dtype == np.uint16
    np.testing.assert_allclose(millimetres / 1000, measured, atol=0.0005)


def test_the_street_is_measured_but_for_its_borders_and_sky():
    camera = StreetCamera(320, 180, seed=2, depth=True)
    depth = camera.frame(50).depth
    stereo = DepthSensor(camera.intrinsics.fx, farthest=15.0)
    measured = stereo.measure(depth, 50)
    known, near = np.isfinite(measured), depth < 14
    assert np.all(np.isnan(measured[depth > 15]))
    assert known[near].mean() > 0.85
    in_sigmas = ((measured - depth) / depth**2)[known & near] / stereo.noise_per_square_metre
    assert np.median(np.abs(in_sigmas)) == pytest.approx(0.72, abs=0.05), "of noise 0.67, and the steps' share"


@pytest.mark.parametrize(
    "wrong",
    [
        {"baseline": 0.0},
        {"subpixel_error": -0.1},
        {"disparity_step": np.inf},
        {"nearest": 20.0},
        {"farthest": np.inf},
        {"border": np.nan},
        {"seed": -1},
        {"focal": np.nan},
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(SourceError, match=next(iter(wrong))):
        DepthSensor(**{"focal": 512.0, **wrong})
