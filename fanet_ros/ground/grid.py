"""The occupancy grid: which pixel and which bearing decide about a cell, and what they say."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.classes import Kind
from fanet_ros.ground.overlook import Overlook, rounded
from fanet_ros.ground.polar import ranges_of
from fanet_ros.ground.settings import GroundSettings

FREE, OCCUPIED, UNSEEN = 0, 100, -1
"""As nav_msgs/OccupancyGrid has them."""

_CELLS_AT_ONCE = 200_000  # projecting takes some 150 bytes a cell

# an obstacle's pixels above its foot do not lie on the ground; its foot is stamped afterwards
_OCCUPANCY_OF = np.full(256, UNSEEN, np.int8)
_OCCUPANCY_OF[Kind.FREE] = FREE
_OCCUPANCY_OF[Kind.FLAT] = OCCUPIED


class GridTable:
    """Looks up cells in a mask; its buffer is valid until the next call."""

    def __init__(self, overlook: Overlook, bearings: BearingTable) -> None:
        settings = overlook.settings
        self._shape = (settings.grid_height, settings.grid_width)
        self._pixels = np.empty((*self._shape, 2), np.int16)
        self._bearings = np.empty(self._shape, np.intp)
        self._foot_ranges = np.empty(self._shape, np.float32)
        at_once = max(1, _CELLS_AT_ONCE // settings.grid_width)
        for first in range(0, settings.grid_height, at_once):
            rows = slice(first, first + at_once)
            centres = _centres(settings, rows)
            shape = self._bearings[rows].shape
            self._pixels[rows] = rounded(overlook.pixels(centres)).reshape(*shape, 2)
            self._bearings[rows] = bearings.nearest(centres).reshape(shape)
            self._foot_ranges[rows] = ranges_of(centres - overlook.foot).reshape(shape)
        self._corner = np.array([settings.grid_x_min, settings.grid_y_min], np.float32)
        self._resolution = np.float32(settings.grid_resolution)
        self._grid = np.empty(self._shape, np.int8)
        self._kinds = np.empty(self._shape, np.uint8)
        self._contacts = np.empty(self._shape, np.float32)
        self._is_hidden = np.empty(self._shape, bool)

    def fill(
        self, kinds: NDArray[np.uint8], contact_ranges: NDArray[np.float32], contacts: NDArray[np.float32]
    ) -> NDArray[np.int8]:
        """Return the grid of one frame.

        Args:
            kinds: of the mask's pixels, uint8 (H, W).
            contact_ranges: from the foot point to the first obstacle on each bearing, inf where there is none.
            contacts: float32 (N, 2), x and y in the base frame of these obstacles, metres.

        Returns:
            int8 (cells along y, cells along x).
        """
        cv2.remap(
            kinds,
            self._pixels,
            None,
            cv2.INTER_NEAREST,
            dst=self._kinds,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=int(Kind.UNKNOWN),
        )
        cv2.LUT(self._kinds, _OCCUPANCY_OF.view(np.uint8), dst=self._grid.view(np.uint8))
        np.take(contact_ranges, self._bearings, out=self._contacts, mode="clip")
        np.greater(self._foot_ranges, self._contacts, out=self._is_hidden)
        np.putmask(self._grid, self._is_hidden, UNSEEN)
        columns, rows = np.floor((contacts - self._corner) / self._resolution).astype(np.intp).T
        height, width = self._shape
        is_in_grid = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        self._grid[rows[is_in_grid], columns[is_in_grid]] = OCCUPIED
        return self._grid


def _centres(settings: GroundSettings, rows: slice) -> NDArray[np.float64]:
    """Middles of the cells of some rows in the base frame, float64 (N, 2), metres."""
    x = settings.grid_x_min + (np.arange(settings.grid_width) + 0.5) * settings.grid_resolution
    y = settings.grid_y_min + (np.arange(settings.grid_height)[rows] + 0.5) * settings.grid_resolution
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
