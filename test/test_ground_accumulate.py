"""What stays where it is in the odometry frame, what moves with the robot, and what is forgotten."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fanet_ros.errors import FrameError, SettingError
from fanet_ros.ground.accumulate import OccupancyAccumulator
from fanet_ros.ground.settings import GroundSettings

SETTINGS = GroundSettings(grid_x_max=6.0, grid_y_min=-3.0, grid_y_max=3.0, range_max=8.0)
POLE = (4.03, 1.02)
"""In the odometry frame."""


def seen_from(pose: tuple[float, float, float], things: tuple[tuple[float, float], ...] = (POLE,)) -> np.ndarray:
    """A grid of free ground with one cell for each thing, unseen in the row nearest to the robot."""
    grid = np.zeros((60, 60), np.int8)
    grid[:, 0] = -1
    for x, y in things:
        dx, dy = x - pose[0], y - pose[1]
        ahead = math.cos(pose[2]) * dx + math.sin(pose[2]) * dy
        left = -math.sin(pose[2]) * dx + math.cos(pose[2]) * dy
        column, row = math.floor(ahead / 0.1), math.floor((left + 3.0) / 0.1)
        if 0 <= column < 60 and 0 <= row < 60:
            grid[row, column] = 100
    return grid


def occupied(result: tuple[np.ndarray, float, float]) -> np.ndarray:
    """Middles of the occupied cells in the odometry frame."""
    grid, x, y = result
    rows, columns = np.nonzero(grid == 100)
    return np.column_stack([x + (columns + 0.5) * 0.1, y + (rows + 0.5) * 0.1])


def test_a_pole_stays_where_it_is_while_the_robot_moves_and_turns() -> None:
    accumulator = OccupancyAccumulator()
    for step in range(80):
        pose = (0.025 * step, 0.2 * math.sin(step / 9), 0.5 * math.sin(step / 7))
        result = accumulator.update(seen_from(pose), SETTINGS, pose, 0.05 * step)
        places = occupied(result)
        assert len(places) >= 1
        assert np.abs(places - POLE).max() < 0.21, "within a cell and its rounding"
    assert len(places) <= 9


@pytest.mark.parametrize("yaw", [0.0, 0.3, math.pi / 4, 2.0, -2.5])
def test_no_cell_is_lost_by_turning(yaw: float) -> None:
    things = tuple((1.0 + 0.4 * i, 0.35 * (i % 5) - 0.7) for i in range(12))
    placed = [
        (x * math.cos(yaw) - y * math.sin(yaw), x * math.sin(yaw) + y * math.cos(yaw)) for x, y in things
    ]  # seen at the same places from a robot that is turned
    places = occupied(OccupancyAccumulator().update(seen_from((0, 0, 0), things), SETTINGS, (0, 0, yaw), 0.0))
    distances = np.linalg.norm(np.array(placed)[:, None] - places[None], axis=-1)
    assert distances.min(axis=1).max() < 0.15 and distances.min(axis=0).max() < 0.15


def test_what_was_not_seen_is_unknown_and_free_is_free() -> None:
    grid, x, y = OccupancyAccumulator().update(seen_from((1.0, 2.0, 0.0)), SETTINGS, (1.0, 2.0, 0.0), 0.0)

    def at(px: float, py: float) -> int:
        return int(grid[math.floor((py - y) / 0.1), math.floor((px - x) / 0.1)])

    assert at(1.05, 2.05) == -1, "its own unseen row"
    assert at(0.5, 2.0) == at(5.0, 5.5) == -1, "outside the grid"
    assert at(3.0, 2.5) == 0 and at(6.5, 0.0) == 0
    assert grid.shape[0] == grid.shape[1] >= 2 * math.hypot(6, 3) / 0.1


@pytest.mark.parametrize("resolution", [0.1, 0.07, 0.5, 3.0])
def test_the_window_moves_in_steps_and_never_loses_the_grid(resolution: float) -> None:
    settings = GroundSettings(
        grid_x_max=6.0, grid_y_min=-3.0, grid_y_max=3.0, range_max=8.0, grid_resolution=resolution
    )
    seen = np.zeros((settings.grid_height, settings.grid_width), np.int8)
    accumulator = OccupancyAccumulator(memory_s=1e6)
    corners: list[tuple[float, float]] = []
    for step in range(400):  # ahead, and from side to side over the border between two places of the window
        pose = (0.03 * step, 0.4 * math.sin(step / 5), step / 30)
        grid, *corner = accumulator.update(seen, settings, pose, 0.05 * step)
        if not corners or tuple(corner) != corners[-1]:
            corners.append((corner[0], corner[1]))
        if resolution <= 0.1:
            cells = np.count_nonzero(grid == 0) * resolution**2
            assert cells >= 0.98 * seen.size * resolution**2, "all that was just seen has room in the window"
    moves = np.abs(np.diff(corners, axis=0))
    assert (moves[moves > 1e-9] >= 1.0 - 1e-9).all() and 1 <= len(moves) <= 12


def test_the_corner_is_a_whole_number_of_cells() -> None:
    accumulator = OccupancyAccumulator()
    for x in (0.0, 0.149, 3.33):
        _, left, bottom = accumulator.update(seen_from((x, 0, 0)), SETTINGS, (x, -x, 0.0), x)
        assert left / 0.1 == pytest.approx(round(left / 0.1)) and bottom / 0.1 == pytest.approx(round(bottom / 0.1))


def test_it_forgets_with_its_time_constant() -> None:
    accumulator = OccupancyAccumulator(memory_s=2.0)
    nothing = np.full((60, 60), -1, np.int8)
    assert len(occupied(accumulator.update(seen_from((0, 0, 0)), SETTINGS, (0, 0, 0), 10.0))) == 1
    forgotten = 2.0 * math.log(0.85 / 0.2)  # the log odds of one hit are below what counts as known
    assert len(occupied(accumulator.update(nothing, SETTINGS, (0, 0, 0), 10.0 + 0.95 * forgotten))) == 1
    grid, _, _ = accumulator.update(nothing, SETTINGS, (0, 0, 0), 10.0 + 1.05 * forgotten)
    assert (grid == -1).all()


def test_what_moved_away_becomes_free_and_the_limit_bounds_how_long_that_takes() -> None:
    accumulator = OccupancyAccumulator(memory_s=1e6)
    for step in range(50):
        assert len(occupied(accumulator.update(seen_from((0, 0, 0)), SETTINGS, (0, 0, 0), step))) == 1
    clear = seen_from((0, 0, 0), ())
    for step in range(10):  # 3.5 - 10 * 0.4 = -0.5
        result = accumulator.update(clear, SETTINGS, (0, 0, 0), 50 + step)
    assert len(occupied(result)) == 0 and not (result[0][40:, :] == 100).any()


def test_one_wrong_frame_does_not_make_an_obstacle() -> None:
    accumulator = OccupancyAccumulator()
    for step in range(10):
        accumulator.update(seen_from((0, 0, 0), ()), SETTINGS, (0, 0, 0), 0.1 * step)
    assert len(occupied(accumulator.update(seen_from((0, 0, 0)), SETTINGS, (0, 0, 0), 1.0))) == 0


def test_what_leaves_the_window_is_forgotten_and_what_stays_is_not() -> None:
    accumulator = OccupancyAccumulator(memory_s=1e6)
    accumulator.update(seen_from((0, 0, 0)), SETTINGS, (0, 0, 0), 0.0)
    nothing = np.full((60, 60), -1, np.int8)
    assert len(occupied(accumulator.update(nothing, SETTINGS, (-2.0, 0, 0), 1.0))) == 1
    assert len(occupied(accumulator.update(nothing, SETTINGS, (-6.0, 0, 0), 2.0))) == 0
    assert len(occupied(accumulator.update(nothing, SETTINGS, (0, 0, 0), 3.0))) == 0, "it is not remembered elsewhere"


@pytest.mark.parametrize("reason", ["time", "jump", "settings"])
def test_it_starts_anew(reason: str) -> None:
    accumulator = OccupancyAccumulator(memory_s=1e6)
    nothing = np.full((60, 60), -1, np.int8)
    accumulator.update(seen_from((0, 0, 0)), SETTINGS, (0, 0, 0), 100.0)
    settings, pose, stamp = SETTINGS, (0.0, 0.0, 0.0), 101.0
    if reason == "time":
        stamp = 99.0
    elif reason == "jump":
        pose = (500.0, 0.0, 0.0)
    else:
        settings = GroundSettings(grid_x_max=6.0, grid_y_min=-3.0, grid_y_max=3.0, range_max=7.0)
    grid, x, _ = accumulator.update(nothing, settings, pose, stamp)
    assert (grid == -1).all()
    assert x == pytest.approx(pose[0] - len(grid) * 0.05, abs=0.06)


@pytest.mark.parametrize(
    "edges",
    [
        {"grid_x_min": 1000.0, "grid_x_max": 1020.0},
        {"grid_x_max": 300.0, "grid_y_min": -0.6, "grid_y_max": 0.6, "grid_resolution": 0.01},
    ],
)
def test_a_window_without_bounds_is_refused(edges: dict[str, float]) -> None:
    settings = GroundSettings(**edges)
    grid = np.zeros((settings.grid_height, settings.grid_width), np.int8)
    words = f"x from {settings.grid_x_min:g} to {settings.grid_x_max:g} m, .* at most 25000000 .* raise grid_resolution"
    with pytest.raises(SettingError, match=words):
        OccupancyAccumulator().update(grid, settings, (0, 0, 0), 0.0)


def test_bad_input_is_refused() -> None:
    accumulator = OccupancyAccumulator()
    with pytest.raises(FrameError, match="expected int8 of shape"):
        accumulator.update(np.zeros((3, 3), np.int8), SETTINGS, (0, 0, 0), 0.0)
    with pytest.raises(FrameError, match="finite"):
        accumulator.update(seen_from((0, 0, 0)), SETTINGS, (math.nan, 0, 0), 0.0)
    with pytest.raises(FrameError, match="at most 1e.07 m"):
        accumulator.update(seen_from((0, 0, 0)), SETTINGS, (1e308, 0, 0), 0.0)
