"""What one frame of mask and measured points says about the ground."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.grid import FREE, OCCUPIED, UNSEEN
from fanet_ros.ground.scan import ScanResult
from fanet_ros.measured.kernels import CELL_FLAT, CELL_FREE, Floats, Raster, Source, Surface
from fanet_ros.measured.raster import RasterTable
from fanet_ros.measured.sight import NONE, Sight


@dataclass(frozen=True)
class MeasuredView:
    """One frame. Its arrays are the projector's, valid until the projector's next `view`.

    Attributes:
        points: float32 (N, 3) in the base frame, NaN for none.
        labels: uint8 (N,), class ids, 255 where the mask does not see the point.
        above: float32 (N,), height above the ground, metres; NaN for none.
        sources: uint8 (N,), see Source.
        sight: which pixel sees which point.
        surface: the ground.
        is_trusted: whether ground may be free in this frame.
    """

    points: Floats
    labels: NDArray[np.uint8]
    above: Floats
    sources: NDArray[np.uint8]
    sight: Sight
    surface: Surface
    is_trusted: bool
    raster: Raster
    table: RasterTable
    min_points: int

    def occupancy(self) -> NDArray[np.int8]:
        """Return the occupancy grid, int8 (cells along y, cells along x), cell (0, 0) at (grid_x_min, grid_y_min).

        Returns:
            0 where points are on the ground and their classes drivable, and nothing stands; 100 where something stands,
            lies lower than the ground, or is no drivable ground; -1 where nothing was measured, or nothing that tells.
        """
        return np.ascontiguousarray(self._states[self.table.grid])

    def scan(self) -> ScanResult:
        """Return the nearest that is not free, all around (REP 117)."""
        return self.table.scan(self._states, self._nearest)

    def obstacle_points(self) -> Floats:
        """Return where the first thing stands in every direction of the scan, float32 (N, 3), at ground height."""
        standing = np.where(self._stand, OCCUPIED, FREE).astype(np.int8)
        scan = self.table.scan(standing, self._nearest)
        hits = np.flatnonzero(np.isfinite(scan.ranges))
        angles = scan.angle_min + hits * scan.angle_increment
        x, y = scan.ranges[hits] * np.cos(angles), scan.ranges[hits] * np.sin(angles)
        a, b, c = self.surface.plane
        return np.stack([x, y, a * x + b * y + c], axis=-1).astype(np.float32)

    def obstacle_cloud(self) -> tuple[Floats, NDArray[np.uint8]]:
        """Return all points of what stands, or lies lower than the ground, float32 (N, 3), and ids, uint8 (N,)."""
        which = np.flatnonzero((self.sources == Source.HEIGHT) | (self.sources == Source.BELOW))
        return self.points[which], self.labels[which]

    @cached_property
    def is_any_measured(self) -> bool:
        """Whether there is any point."""
        return bool(self.sources.any())

    @cached_property
    def is_any_free(self) -> bool:
        """Whether any point is free ground."""
        return bool((self.sources == Source.AGREED).any())

    @cached_property
    def is_any_seen(self) -> bool:
        """Whether the mask sees any point."""
        return bool((self.sources[self.sight.point_of_pixel[self.sight.point_of_pixel != NONE]] != 0).any())

    @cached_property
    def _stand(self) -> NDArray[np.bool_]:
        return self.raster.counts >= self.min_points

    @cached_property
    def _states(self) -> NDArray[np.int8]:
        cells = self.raster.cells
        states = np.full(cells.shape, UNSEEN, np.int8)
        if self.is_trusted:
            states[cells == CELL_FREE] = FREE
        states[(cells & CELL_FLAT != 0) | self._stand] = OCCUPIED
        return states

    @cached_property
    def _nearest(self) -> Floats:
        return np.sqrt(self.raster.nearest)

    def shares(self) -> dict[str, float]:
        """Return what decided, as shares of the measured points; empty without any."""
        counts = np.bincount(self.sources, minlength=8)
        total = int(counts[1:].sum())
        names = ("free", "class", "height", "below", "overhead", "under things", "no class")
        return {name: counts[i + 1] / total for i, name in enumerate(names)} if total else {}
