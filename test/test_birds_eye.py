"""Pictures from above: what is ahead is up, what is left is left, and what is unknown is not drawn as known."""

import numpy as np
import pytest

from fanet_ros.reports.birds_eye import Plan, draw_grid, draw_scan, navigation_sheet

PLAN = Plan(0.0, 20.0, -10.0, 10.0, height=200)  # ten pixels a metre


def test_points_ahead_are_up_and_points_to_the_left_are_left() -> None:
    assert PLAN.width == 200
    assert PLAN.pixel(0.0, 0.0) == (100, 200)
    assert PLAN.pixel(20.0, 0.0) == (100, 0)
    assert PLAN.pixel(10.0, 4.0) == (60, 100)


@pytest.mark.parametrize(("x", "y"), [(12.5, 6.5), (3.5, -8.5), (18.5, 2.5)])
def test_a_cell_is_where_its_place_is(x: float, y: float) -> None:
    occupancy = np.zeros((20, 20), np.int8)  # one metre a cell
    occupancy[int(y + 10), int(x)] = 100
    empty, picture = draw_grid(np.zeros((20, 20), np.int8), PLAN), draw_grid(occupancy, PLAN)
    rows, columns = np.nonzero((picture != empty).any(2))
    column, row = PLAN.pixel(x, y)
    assert abs(rows.mean() - row) < 1.5 and abs(columns.mean() - column) < 1.5
    assert len(rows) > 80, "the whole cell"


def test_unseen_free_and_occupied_differ() -> None:
    occupancy = np.repeat(np.array([-1, 0, 50, 100], np.int8), 5)[:, None].repeat(20, 1)
    picture = draw_grid(occupancy, PLAN)
    colors = {tuple(picture[30, 200 - 50 * i - 8]) for i in range(4)}  # beside the rings
    assert len(colors) == 4


def test_a_scan_shows_hits_and_leaves_out_what_is_unknown() -> None:
    ranges = np.array([np.nan, 10.0, np.inf], np.float32)
    nothing = draw_scan(np.full(3, np.nan, np.float32), -0.5, 0.5, 20.0, PLAN)
    picture = draw_scan(ranges, -0.5, 0.5, 20.0, PLAN)
    changed = (picture != nothing).any(2)
    assert changed[100, 100], "the hit ten metres ahead"
    assert changed[:, :100].any(), "a free beam to the left"
    assert not changed[:, 104:].any(), "nothing to the right, where nothing is known"


def test_a_free_beam_ends_where_the_scan_does() -> None:
    nothing = draw_scan(np.full(1, np.nan, np.float32), 0.0, 0.5, 8.0, PLAN)
    changed = (draw_scan(np.full(1, np.inf, np.float32), 0.0, 0.5, 8.0, PLAN) != nothing).any(2)
    assert changed[125:190].any(1).mean() > 0.9 and not changed[:118].any(), "free up to 8 m, and no farther"


@pytest.mark.parametrize("grids", [("free space",), ("free space, flat ground", "free space, measured depth")])
def test_a_sheet_has_a_row_for_each_moment_and_a_column_for_each_picture(grids: tuple[str, ...]) -> None:
    camera = np.full((90, 160, 3), 9, np.uint8)
    squares = {title: np.full((50, 50, 3), 100 + 20 * i, np.uint8) for i, title in enumerate(grids)}
    sheet = navigation_sheet([{"camera": camera, **squares}] * 3, height=60)
    assert sheet.shape == (28 + 3 * 60, 107 + 60 * len(grids), 3)
    assert (sheet[28:, :107] == 9).all()
    for i in range(len(grids)):
        assert (sheet[28:, 107 + 60 * i : 167 + 60 * i] == 100 + 20 * i).all()
