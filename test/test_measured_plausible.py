"""Depth in the wrong unit, and streams that are frozen."""

from __future__ import annotations

import numpy as np
import pytest

from fanet_ros.errors import FrameError
from fanet_ros.measured.plausible import FrozenWatch, check_units

_METRES = np.random.default_rng(0).uniform(0.4, 18, (120, 160)).astype(np.float32)


def test_the_right_units_pass() -> None:
    check_units(_METRES)
    check_units((_METRES * 1000).astype(np.uint16))
    check_units(np.zeros((120, 160), np.uint16))
    check_units(np.full((120, 160), np.nan, np.float32))
    check_units(np.full((120, 160), np.inf, np.float32))


def test_metres_among_millimetres_are_noticed() -> None:
    with pytest.raises(FrameError, match="16UC1 is millimetres .*probably metres"):
        check_units(_METRES.astype(np.uint16))


def test_millimetres_among_metres_are_noticed() -> None:
    with pytest.raises(FrameError, match="32FC1 is metres .*probably millimetres"):
        check_units(_METRES * 1000)


def test_units_of_small_sensors_are_noticed_too() -> None:
    with pytest.raises(FrameError, match="probably metres"):
        check_units(_METRES[:8, :8].astype(np.uint16))
    with pytest.raises(FrameError, match="probably millimetres"):
        check_units(_METRES[:24, :32] * 1000)


def test_a_stream_that_repeats_itself_while_the_picture_changes_is_frozen() -> None:
    watch, masks = FrozenWatch(), np.random.default_rng(1).integers(0, 11, (40, 8, 8)).astype(np.uint8)
    with pytest.raises(FrameError, match=r"has not changed in a single bit for 1\.1 s"):
        for index, mask in enumerate(masks):
            watch.check(_METRES, mask, 10 + 0.1 * index)
    watch.check(_METRES + 1, masks[0], 14.0)  # it moves again


def test_a_still_simulation_is_not_frozen() -> None:
    watch = FrozenWatch()
    for index in range(40):
        watch.check(_METRES, np.zeros((8, 8), np.uint8), 10 + 0.1 * index)


def test_a_noisy_picture_of_a_simulation_without_noise_is_not_frozen() -> None:
    watch, rng = FrozenWatch(), np.random.default_rng(3)
    for index in range(40):
        mask = np.zeros((48, 64), np.uint8)
        mask.flat[rng.integers(0, mask.size, 60)] = 1
        watch.check(_METRES, mask, 10 + 0.1 * index)


def test_noise_is_life() -> None:
    watch, rng = FrozenWatch(), np.random.default_rng(2)
    for index in range(40):
        watch.check(rng.random((8, 8)), rng.integers(0, 9, (8, 8)).astype(np.uint8), 0.1 * index)
