"""What one mask says about the ground: every result is computed when it is asked for, once."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.classes import Kind, drivable_mask
from fanet_ros.ground.grid import GridTable
from fanet_ros.ground.runs import RunFinder, Starts
from fanet_ros.ground.scan import ScanResult, ScanTable
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.settings import Size


class GroundTables:
    """What all frames share: the tables, and the memory that every frame is worked on in."""

    def __init__(
        self, bearings: BearingTable, grid: GridTable, scan: ScanTable, mask_size: Size, settings: GroundSettings
    ) -> None:
        self.bearings, self.grid, self.scan = bearings, grid, scan
        self.settings = settings
        shape = bearings.is_seen.shape
        self.runs = RunFinder(bearings, settings.min_obstacle_pixels)
        self.kinds = np.empty((mask_size.height, mask_size.width), np.uint8)
        self.drivable = np.empty((mask_size.height, mask_size.width), np.uint8)
        self.along = np.empty(shape, np.uint8)
        self.flags = np.empty(shape, bool)


class GroundView:
    """One frame. Its arrays are the projector's, valid until the projector's next `view`."""

    def __init__(self, tables: GroundTables, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> None:
        """Made by GroundProjector.view, which checks what it gets."""
        self._tables = tables
        self._mask = mask
        self._kind_of = kinds

    def drivable_mask(self, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return what may be driven on, uint8 (H, W): 255 where the class is FREE, else 0; ground or not.

        Args:
            out: uint8 (H, W) to write into.
        """
        return drivable_mask(self._mask, self._kind_of, self._tables.drivable if out is None else out)

    def occupancy(self) -> NDArray[np.int8]:
        """Return the occupancy grid, int8 (cells along y, cells along x), as nav_msgs/OccupancyGrid has it row by row.

        Cell (0, 0) is at the corner (grid_x_min, grid_y_min).

        Returns:
            0 where the cell's middle is seen and FREE; 100 where it is FLAT, or where an obstacle stands; -1 where it
            is not seen, UNKNOWN, or behind the first obstacle on its bearing.
        """
        return self._occupancy

    def scan(self) -> ScanResult:
        """Return the nearest border of free ground all around (see ScanTable)."""
        return self._scan

    def obstacle_points(self) -> NDArray[np.float32]:
        """Return where obstacles stand, float32 (N, 3) in the base frame: the first one of each bearing, or none.

        An obstacle that reaches out of the image at its lower border stands no farther than its point.
        """
        return self._obstacle_points

    @cached_property
    def _kinds(self) -> NDArray[np.uint8]:
        return cv2.LUT(self._mask, self._kind_of, dst=self._tables.kinds)

    @cached_property
    def _along(self) -> NDArray[np.uint8]:
        """The kinds along the bearings, uint8 (bearings, samples); FREE where nothing is seen, to end no run of it."""
        tables = self._tables
        return cv2.remap(
            self._kinds,
            tables.bearings.pixels,
            None,
            cv2.INTER_NEAREST,
            dst=tables.along,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=int(Kind.FREE),
        )

    @cached_property
    def _contacts(self) -> Starts:
        """Where the first obstacle of each bearing stands."""
        return self._tables.runs.first(np.equal(self._along, Kind.OBSTACLE, out=self._tables.flags))

    @cached_property
    def _feet(self) -> NDArray[np.float32]:
        """The same in the base frame, float32 (N, 2), of those bearings that have one."""
        bearings, is_there = self._tables.bearings, self._contacts.is_there
        return bearings.foot + bearings.directions[is_there] * self._contacts.ranges[is_there, None]

    @cached_property
    def _occupancy(self) -> NDArray[np.int8]:
        return self._tables.grid.fill(self._kinds, self._contacts.ranges, self._feet)

    @cached_property
    def _scan(self) -> ScanResult:
        tables = self._tables
        not_free = tables.runs.first(np.not_equal(self._along, Kind.FREE, out=tables.flags))
        hit = tables.runs.first(np.greater_equal(self._along, Kind.FLAT, out=tables.flags))
        return tables.scan.fill(not_free, hit, self._contacts if tables.scan.needs_contacts else None)

    @cached_property
    def _obstacle_points(self) -> NDArray[np.float32]:
        points = np.empty((len(self._feet), 3), np.float32)
        points[:, :2] = self._feet
        points[:, 2] = self._tables.settings.ground_z
        return points
