"""The cells that measured points fall into, and how grid and scan are read from them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SettingError
from fanet_ros.ground.grid import FREE, OCCUPIED
from fanet_ros.ground.scan import ScanResult
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.measured.kernels import Floats, Raster
from fanet_ros.measured.settings import MAX_RASTER_CELLS, MeasuredSettings, reach_of

_SHORT = 0.05  # of a ray that is told to be free may be unseen
_MOST_BLIND = 0.5  # of the reach: a ray that is first seen farther out is never free
_MOST_SAMPLES = 8_000_000  # of all rays


class RasterTable:
    """What frames have in common; a raster that covers both grid and scan, with the grid's cells.

    Attributes:
        raster: to be marked, once a frame.
        grid: the part of it that is the occupancy grid.
    """

    def __init__(self, ground: GroundSettings, measured: MeasuredSettings) -> None:
        """Lay out cells and rays.

        Raises:
            SettingError: that would be too many.
        """
        resolution, reach = ground.grid_resolution, reach_of(ground, measured)
        left, below, columns, rows = _layout(ground, reach)
        x0, y0 = ground.grid_x_min - left * resolution, ground.grid_y_min - below * resolution
        count, steps = _rays(ground, reach)
        if fault := raster_fault(ground, measured):
            raise SettingError(fault)
        shape = (rows, columns)
        self.raster = Raster(
            *(x0, y0, resolution),
            np.zeros(shape, np.uint8),
            np.zeros(shape, np.uint16),
            np.full(shape, np.inf, np.float32),
        )
        self.grid = np.s_[below : below + ground.grid_height, left : left + ground.grid_width]
        self._increment, self._range_min, self._reach = math.tau / count, ground.range_min, reach
        self._angles = -math.pi + np.arange(count) * self._increment
        self._lay_rays(steps)

    def _lay_rays(self, steps: int) -> None:
        raster = self.raster
        ranges = (np.arange(steps) + 0.5) * 0.5 * raster.resolution
        x, y = np.cos(self._angles)[:, None] * ranges, np.sin(self._angles)[:, None] * ranges
        columns = np.floor((x - raster.x0) / raster.resolution).astype(np.int32)
        rows = np.floor((y - raster.y0) / raster.resolution).astype(np.int32)
        height, width = raster.cells.shape
        self._samples = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
        self._sample_ranges = ranges.astype(np.float32)
        middles_x = raster.x0 + (np.arange(width) + 0.5) * raster.resolution
        middles_y = raster.y0 + (np.arange(height) + 0.5) * raster.resolution
        angles = np.arctan2(middles_y[:, None], middles_x[None])
        self._ray_of_cell = (np.round((angles + math.pi) / self._increment).astype(np.int32)) % len(self._angles)

    def scan(self, states: NDArray[np.int8], nearest: Floats) -> ScanResult:
        """Return the nearest cell on every ray that is not free.

        Args:
            states: int8, of the raster's cells: FREE, OCCUPIED, UNSEEN.
            nearest: float32, range of the nearest point in a cell that is not free.
        """
        along = np.take(states, self._samples)
        is_hit = along == OCCUPIED
        first = is_hit.argmax(axis=1)
        rays = np.arange(len(first))
        ranges = np.where(is_hit[rays, first], np.take(nearest, self._samples[rays, first]), np.float32(np.nan))
        occupied = np.flatnonzero((states == OCCUPIED).reshape(-1))  # a far cell may lie between two rays
        np.fmin.at(ranges, self._ray_of_cell.reshape(-1)[occupied], nearest.reshape(-1)[occupied])
        ranges[~((ranges >= self._range_min) & (ranges <= self._reach))] = np.nan
        ranges[np.isnan(ranges) & self._are_free(along == FREE)] = np.inf
        return ScanResult(
            ranges=ranges,
            angle_min=float(self._angles[0]),
            angle_max=float(self._angles[-1]),
            angle_increment=self._increment,
            range_min=self._range_min,
            range_max=self._reach,
        )

    def _are_free(self, is_free: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rays are free from where they are first seen to their end."""
        first = is_free.argmax(axis=1)
        lengths = is_free.shape[1] - first
        return (is_free.sum(axis=1) >= (1 - _SHORT) * lengths) & (first < _MOST_BLIND * is_free.shape[1])


def raster_fault(ground: GroundSettings, measured: MeasuredSettings) -> str:
    """Return why there would be too many cells or rays, and what to do; empty where there are not."""
    reach = reach_of(ground, measured)
    _, _, columns, rows = _layout(ground, reach)
    count, steps = _rays(ground, reach)
    if rows * columns <= MAX_RASTER_CELLS and count * steps <= _MOST_SAMPLES:
        return ""
    return (
        f"geometry: a grid and a scan of {reach:g} m all around with cells of {ground.grid_resolution:g} m and rays of "
        f"{ground.scan_angle_increment:g} rad need {columns} x {rows} cells and {count} x {steps} samples, at most "
        f"{MAX_RASTER_CELLS} and {_MOST_SAMPLES} are possible: lower range_max or depth_max, or raise grid_resolution "
        "or scan_angle_increment"
    )


def _layout(ground: GroundSettings, reach: float) -> tuple[int, int, int, int]:
    """Cells left of the grid and below it, and columns and rows of all: whole cells from the grid's corner on."""
    resolution = ground.grid_resolution
    left = max(0, math.ceil((ground.grid_x_min + reach) / resolution))
    below = max(0, math.ceil((ground.grid_y_min + reach) / resolution))
    right, above = (math.ceil((reach - corner) / resolution) for corner in (ground.grid_x_min, ground.grid_y_min))
    return left, below, left + max(ground.grid_width, right), below + max(ground.grid_height, above)


def _rays(ground: GroundSettings, reach: float) -> tuple[int, int]:
    """Rays all around, and samples of one."""
    return round(math.tau / ground.scan_angle_increment), math.ceil(reach / (0.5 * ground.grid_resolution))
