import logging
import math

import pytest

from fanet_ros.ros.segmentation.input_scale import BUDGET_SCALES, InputScale


def test_without_a_budget_the_full_size_stays() -> None:
    scale = InputScale(0.0)
    for _ in range(200):
        scale.add("", 1e6)
    assert scale.value == 1.0 and not scale.too_slow and math.isnan(scale.p95_ms)
    assert InputScale.scales(0.0) == (1.0,)


def test_the_largest_size_within_the_budget_is_found_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanet_ros")
    scale = InputScale(50.0)
    assert InputScale.scales(50.0) == BUDGET_SCALES
    for _ in range(300):
        scale.add("", 10.0 + 60.0 * scale.value**2)  # 70, 48, 35, 25 ms
    assert scale.value == 0.8
    assert scale.p95_ms == pytest.approx(48.4)
    assert "the input scale goes from 1 to 0.8: 95 % of the frames were up to 70 ms old" in caplog.text
    assert not scale.too_slow


def test_a_budget_that_no_size_keeps(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanet_ros")
    scale = InputScale(50.0)
    for _ in range(300):
        scale.add("", 200.0)
    assert scale.value == 0.5 and scale.too_slow
    assert caplog.text.count("there is no smaller size") == 1


def test_the_worst_camera_decides_even_if_it_sends_less() -> None:
    scale = InputScale(50.0)
    for number in range(1000):
        scale.add("fast", 20.0)
        if number % 10 == 0:
            scale.add("slow", 90.0 * scale.value**2)  # 90, 58, 37, 23 ms
    assert scale.value == 0.64
    assert scale.p95_ms == pytest.approx(90 * 0.64**2)


def test_rare_frames_of_one_camera_weigh_no_more_than_they_are() -> None:
    scale = InputScale(50.0)
    for number in range(3000):
        scale.add("fast", 20.0)
        if number % 10 == 0:
            scale.add("slow", 90.0 if number % 400 == 0 else 30.0)  # one in forty: within the 5 % that may be late
    assert scale.value == 1.0


def test_a_camera_that_is_gone_is_not_waited_for() -> None:
    scale = InputScale(50.0)
    scale.add("gone", 20.0)
    for _ in range(300):
        scale.add("here", 80.0 * scale.value)
    assert scale.value < 1.0


def test_frames_without_a_stamp_are_ignored() -> None:
    scale = InputScale(50.0)
    for _ in range(300):
        scale.add("", math.nan)
    assert scale.value == 1.0 and math.isnan(scale.p95_ms)
