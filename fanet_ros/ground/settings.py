"""What of the ground is wanted: its height, the ranges, the grid and the scan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SettingError

MAX_CELLS, MAX_CELLS_A_SIDE = 4_000_000, 32_000
"""Of the occupancy grid, whose tables hold about 25 bytes a cell; cv2.remap makes no longer sides."""

MAX_OBSTACLE_PIXELS = 100

MAX_METRES = 10_000.0
"""No height and no edge of the grid is farther than this from the base frame's origin."""


@dataclass(frozen=True)
class GroundSettings:
    """Everything about the results that does not come from the camera; metres and radians, in the base frame.

    Attributes:
        ground_z: height of the ground.
        range_min: nothing nearer to the base frame's origin is reported.
        range_max: nothing farther from it is reported.
        grid_x_min: rear edge of the occupancy grid.
        grid_x_max: front edge; moved outward where the resolution does not divide the length.
        grid_y_min: right edge.
        grid_y_max: left edge; moved outward likewise.
        grid_resolution: side of a cell.
        scan_angle_increment: between two rays of the scan.
        min_obstacle_pixels: how many consecutive pixels, outward from the robot, must not be drivable (scan) or be an
            obstacle (points, grid) to count.

    Raises:
        SettingError: a value that is not allowed; names it and what is.
    """

    ground_z: float = 0.0
    range_min: float = 0.0
    range_max: float = 20.0
    grid_x_min: float = 0.0
    grid_x_max: float = 20.0
    grid_y_min: float = -10.0
    grid_y_max: float = 10.0
    grid_resolution: float = 0.1
    scan_angle_increment: float = 0.0087
    min_obstacle_pixels: int = 2

    def __post_init__(self) -> None:
        if faults := ground_faults({field.name: getattr(self, field.name) for field in fields(self)}):
            raise SettingError("; ".join(faults))

    @cached_property
    def grid_width(self) -> int:
        """Cells along x."""
        return _cells(self.grid_x_max - self.grid_x_min, self.grid_resolution)

    @cached_property
    def grid_height(self) -> int:
        """Cells along y."""
        return _cells(self.grid_y_max - self.grid_y_min, self.grid_resolution)

    def are_in_range(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether points of the ground (..., 2 or more) are to be reported, bool (...); NaN is not."""
        squares = points[..., 0] ** 2 + points[..., 1] ** 2
        return (squares >= self.range_min**2) & (squares <= self.range_max**2)


def ground_faults(values: Mapping[str, float]) -> list[str]:
    """Return what GroundSettings with these values would refuse, one sentence for each of them; empty where nothing."""
    if infinite := [name for name, value in values.items() if not math.isfinite(value)]:
        return [f"{name}: received {values[name]}, expected a finite number" for name in infinite]
    edges = ("ground_z", "grid_x_min", "grid_x_max", "grid_y_min", "grid_y_max")
    checks = [(name, abs(values[name]) <= MAX_METRES, f"from {-MAX_METRES:g} to {MAX_METRES:g} m") for name in edges]
    low, high, x, y = (values[name] for name in ("range_min", "range_max", "grid_x_min", "grid_y_min"))
    pixels = values["min_obstacle_pixels"]
    checks += [
        ("range_min", low >= 0, "0 or more"),
        ("range_max", low < high <= 1000, f"from range_min ({low:g}) to 1000"),
        ("grid_resolution", 0.001 <= values["grid_resolution"] <= 10, "from 0.001 to 10"),
        ("grid_x_max", values["grid_x_max"] > x, f"more than grid_x_min ({x:g})"),
        ("grid_y_max", values["grid_y_max"] > y, f"more than grid_y_min ({y:g})"),
        ("scan_angle_increment", 0.0005 <= values["scan_angle_increment"] <= 0.5, "from 0.0005 to 0.5"),
        (
            "min_obstacle_pixels",
            pixels in range(1, MAX_OBSTACLE_PIXELS + 1),
            f"a whole number from 1 to {MAX_OBSTACLE_PIXELS}",
        ),
    ]
    faults = [f"{name}: received {values[name]:g}, expected {what}" for name, is_good, what in checks if not is_good]
    return faults or _size_faults(values["grid_x_max"] - x, values["grid_y_max"] - y, values["grid_resolution"])


def _size_faults(length: float, width: float, resolution: float) -> list[str]:
    cells = _cells(length, resolution), _cells(width, resolution)
    if cells[0] * cells[1] <= MAX_CELLS and max(cells) <= MAX_CELLS_A_SIDE:
        return []
    return [
        f"grid_resolution: {resolution:g} makes {cells[0]} x {cells[1]} cells of {length:g} m x {width:g} m, expected "
        f"at most {MAX_CELLS}, and {MAX_CELLS_A_SIDE} a side; make the grid smaller or its cells larger"
    ]


def _cells(length: float, resolution: float) -> int:
    return max(1, math.ceil(length / resolution - 1e-6))  # 20 / 0.1 is a little more than 200 for some floats
