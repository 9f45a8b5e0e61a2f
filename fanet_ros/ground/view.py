"""What one mask says about the ground: every result is computed when it is asked for, from what they share."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.classes import Kind, drivable_mask
from fanet_ros.ground.closing import ContactCloser
from fanet_ros.ground.grid import GridTable
from fanet_ros.ground.runs import RunFinder, Starts
from fanet_ros.ground.scan import ScanResult, ScanTable
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.settings import Size


class GroundTables:
    """What all frames share: the tables, and the memory that every frame is worked on in."""

    def __init__(
        self,
        bearings: BearingTable,
        grid: GridTable,
        scan: ScanTable,
        closer: ContactCloser,
        mask_size: Size,
        settings: GroundSettings,
    ) -> None:
        self.bearings, self.grid, self.scan, self.closer = bearings, grid, scan, closer
        self.ground_z = settings.ground_z
        self.runs = RunFinder(bearings, settings.min_obstacle_pixels)
        self.kinds = np.empty((mask_size.height, mask_size.width), np.uint8)
        self.along = np.empty(bearings.is_seen.shape, np.uint8)
        self.flags = np.empty(bearings.is_seen.shape, bool)


class GroundView:
    """One frame. Its arrays are the projector's, valid until the projector's next `view`."""

    def __init__(self, tables: GroundTables, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> None:
        """Made by GroundProjector.view, which checks what it gets."""
        self._tables = tables
        self._mask = mask
        self._kind_of = kinds

    def drivable_mask(self) -> NDArray[np.uint8]:
        """Return what may be driven on, uint8 (H, W): 255 where the class is FREE, else 0; ground or not."""
        return drivable_mask(self._mask, self._kind_of)

    def occupancy(self) -> NDArray[np.int8]:
        """Return the occupancy grid, int8 (cells along y, cells along x), as nav_msgs/OccupancyGrid has it row by row.

        Cell (0, 0) is at the corner (grid_x_min, grid_y_min).

        Returns:
            0 where the cell's middle is seen and FREE; 100 where it is FLAT, or where an obstacle stands; -1 where it
            is not seen, UNKNOWN, or behind the first obstacle on its bearing.
        """
        return self._tables.grid.fill(self._kinds, self._contacts.ranges, self._feet)

    def scan(self) -> ScanResult:
        """Return the nearest border of free ground all around (see ScanTable)."""
        tables = self._tables
        contacts = self._contacts
        not_free = tables.runs.first(np.not_equal(self._along, Kind.FREE, out=tables.flags))
        hit = tables.runs.first(np.greater_equal(self._along, Kind.FLAT, out=tables.flags))
        not_free, hit = not_free.at_most(contacts), hit.at_most(contacts)
        return tables.scan.fill(not_free, hit, contacts if tables.scan.needs_contacts else None)

    def obstacle_points(self) -> NDArray[np.float32]:
        """Return where obstacles stand, float32 (N, 3) in the base frame: the first one of each bearing, or none.

        An obstacle that reaches out of the image at its lower border stands no farther than its point.
        """
        return np.insert(self._feet, 2, np.float32(self._tables.ground_z), axis=1)

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
        """Where the first obstacle of each bearing stands; what is seen below it, between its feet, is behind that."""
        tables = self._tables
        contacts = tables.runs.first(np.equal(self._along, Kind.OBSTACLE, out=tables.flags))
        return tables.closer.close(contacts, self._mask, self._kind_of)

    @cached_property
    def _feet(self) -> NDArray[np.float32]:
        """The same in the base frame, float32 (N, 2), of those bearings that have one."""
        is_there = self._contacts.is_there
        return self._tables.bearings.points(is_there, self._contacts.ranges[is_there])
