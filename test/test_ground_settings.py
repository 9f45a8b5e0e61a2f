"""Settings and classes of the ground projection, and the arcs that hold its bearings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fanet_ros.errors import LabelSetError, SettingError
from fanet_ros.ground.classes import Kind, kinds_of
from fanet_ros.ground.polar import Arc
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.model.labels import UNLABELLED, LabelSet, load_label_set, shipped_label_sets


def test_the_grid_covers_its_edges() -> None:
    settings = GroundSettings()
    assert (settings.grid_width, settings.grid_height) == (200, 200)
    uneven = GroundSettings(grid_x_max=1.05, grid_y_min=-0.31, grid_y_max=0.3, grid_resolution=0.1)
    assert (uneven.grid_width, uneven.grid_height) == (11, 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"range_min": -1.0}, "range_min: received -1, expected 0 or more"),
        ({"range_min": 20.0}, "range_max: received 20, expected from range_min .20. to 1000"),
        ({"range_max": math.inf}, "range_max: received inf, expected a finite number"),
        ({"grid_resolution": 0.0}, "grid_resolution: received 0, expected"),
        ({"grid_resolution": 0.005}, "makes 4000 x 4000 cells .* at most 4000000"),
        ({"grid_x_min": 30.0}, "grid_x_max: received 20, expected more than grid_x_min .30.$"),
        ({"grid_y_max": -10.0}, "grid_y_max"),
        ({"grid_x_max": 9000.0}, "grid_resolution: .* cells"),
        ({"grid_x_max": 1e308}, "grid_x_max: received 1e.308, expected from -10000 to 10000 m"),
        ({"grid_x_min": -1e308}, "grid_x_min: received -1e.308, expected from"),
        ({"grid_y_min": -10001.0}, "grid_y_min: received -10001, expected from"),
        ({"ground_z": 1e5}, "ground_z: received 100000, expected from"),
        ({"scan_angle_increment": 0.0}, "scan_angle_increment: received 0, expected"),
        ({"min_obstacle_pixels": 0}, "min_obstacle_pixels: received 0, expected a whole number from 1 to 100"),
        ({"ground_z": math.nan}, "ground_z: received nan"),
    ],
)
def test_what_is_not_allowed_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        GroundSettings(**changes)


def test_every_class_has_a_kind() -> None:
    labels = load_label_set("camvid11")
    kinds = kinds_of(labels, drivable="drivable", flat="walkable", obstacle="obstacle")
    assert kinds.shape == (256,) and kinds.dtype == np.uint8
    named = {name: Kind(kinds[labels.id_of(name)]) for name in labels.names}
    assert (named["road"], named["pavement"], named["sky"]) == (Kind.FREE, Kind.FLAT, Kind.UNKNOWN)
    assert {named[name] for name in labels.groups["obstacle"]} == {Kind.OBSTACLE}
    assert kinds[UNLABELLED] == kinds[len(labels)] == Kind.UNKNOWN


@pytest.mark.parametrize("name", shipped_label_sets())
def test_shipped_label_sets_agree_with_themselves(name: str) -> None:
    labels = load_label_set(name)
    if {"drivable", "walkable", "obstacle"} <= set(labels.groups):
        kinds = kinds_of(labels, drivable="drivable", flat="walkable", obstacle="obstacle")
        assert set(kinds) == set(Kind)


def test_a_class_cannot_be_ground_and_obstacle() -> None:
    labels = LabelSet(
        "odd", ("grass", "kerb"), ((0, 0, 0), (1, 1, 1)), {"drive": ("grass",), "flat": ("kerb",), "up": ("kerb",)}
    )
    with pytest.raises(LabelSetError, match="'odd': kerb cannot be in group 'up' and in 'drive' or 'flat'"):
        kinds_of(labels, drivable="drive", flat="flat", obstacle="up")
    with pytest.raises(LabelSetError, match="no group 'none'"):
        kinds_of(labels, drivable="none", flat="flat", obstacle="up")


def test_arcs_hold_their_angles_and_little_else() -> None:
    ahead = Arc.around(np.array([-0.5, 0.1, 0.4]))
    assert (ahead.start, ahead.end) == pytest.approx((-0.5, 0.4))
    back = Arc.around(np.array([3.0, -3.0, 2.9]))
    assert (back.start, back.end) == pytest.approx((2.9, 2 * math.pi - 3.0))
    np.testing.assert_allclose(back.unroll(np.array([-3.0, 3.0])), [2 * math.pi - 3.0, 3.0])
    single = Arc.around(np.array([1.0]))
    assert (single.start, single.end) == (1.0, 1.0)


def test_widened_arcs_stay_within_a_turn() -> None:
    assert Arc(-3.1, -2.0).widened(0.1).start == pytest.approx(2 * math.pi - 3.2)
    assert Arc(-3.0, 3.1).widened(0.2) == Arc(-math.pi, math.pi)
