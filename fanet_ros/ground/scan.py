"""The obstacle scan: what each bearing of the camera says, sorted into rays about the base frame's origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.arcs import Arc
from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.runs import Starts
from fanet_ros.ground.settings import GroundSettings

_SAME_SURFACE = 0.05  # hits of neighbouring bearings that differ by less (metres and share of the range) are on one
_SHORT = 0.05  # of range_max may be out of sight where a ray is told to be free
_WIDEST_GAP = 0.5  # radians between neighbouring bearings, seen from the base frame, that are filled


@dataclass(frozen=True)
class ScanResult:
    """One scan, in the terms of sensor_msgs/LaserScan (REP 117).

    Attributes:
        ranges: float32 (rays,), metres from the base frame's origin to what may not be driven on; +inf where all is
            free up to range_max; NaN where nothing is known.
        angle_min: of the first ray, radians about z from x.
        angle_max: of the last one; more than pi for a camera that looks back.
        angle_increment: between two rays, radians.
        range_min: metres.
        range_max: metres; less than the settings' where the image does not reach that far.
    """

    ranges: NDArray[np.float32]
    angle_min: float
    angle_max: float
    angle_increment: float
    range_min: float
    range_max: float


class ScanTable:
    """Turns starts on bearings into a scan.

    A ray takes the nearest hit of the bearings in it; without one it is unknown if any of them is, else free. The rays
    are those in which ground is seen. Between bearings on one surface, which are wider apart than rays where the camera
    is behind the base frame's origin, the surface is taken to go on.
    """

    def __init__(self, settings: GroundSettings, bearings: BearingTable) -> None:
        """Lay out the rays.

        Its range_max is chosen so that as much ground as possible can be told to be free: as far as most bearings see.
        Those at the sides of the image that leave it earlier are never free, but NaN.
        """
        is_seen = bearings.is_seen
        points = bearings.points[is_seen]
        self._arc = Arc.around(np.arctan2(points[:, 1], points[:, 0]))
        self._increment = settings.scan_angle_increment
        count = int((self._arc.end - self._arc.start) / self._increment + 0.5) + 1
        self._range_min = settings.range_min
        self._range_limit = _range_limit(bearings.reach)
        self._length = settings.min_obstacle_pixels
        self._foot, self._directions = bearings.foot, bearings.directions
        last = is_seen.shape[1] - 1 - is_seen[:, ::-1].argmax(axis=1)
        self._end_points = np.nan_to_num(bearings.points[np.arange(len(last)), last])
        self._reaches_limit = bearings.reach >= (1 - _SHORT) * self._range_limit
        self._is_seen = is_seen.any(axis=1)
        self._widest = max(2, int(_WIDEST_GAP / self._increment))
        self._ranges = np.empty(count, np.float32)

    def fill(self, not_free: Starts, hit: Starts) -> ScanResult:
        """Return the scan of one frame; its ranges are valid until the next call.

        A bearing is a hit at the first run of pixels that are not FREE, if FLAT or OBSTACLE pixels begin in it at once
        or after no more pixels than make a run: the borders of things are often unlabelled. Else that run is unknown.

        Args:
            not_free: starts of runs of pixels that are seen, and not FREE.
            hit: starts of runs of FLAT and OBSTACLE pixels.
        """
        # where each bearing ends: at what is not free, or at its end
        ends = self._end_points.copy()
        is_there = not_free.is_there
        ends[is_there] = self._foot + self._directions[is_there] * not_free.ranges[is_there, None]
        begins = np.hypot(ends[:, 0], ends[:, 1])
        is_blocked = is_there & (begins <= self._range_limit)
        is_hit = is_blocked & hit.is_there & (hit.sample - not_free.sample <= self._length)
        is_free = ~is_blocked & self._reaches_limit
        ray = self._rays_of(ends)
        ranges = self._ranges
        ranges.fill(np.nan)
        ranges[ray[is_free]] = np.inf
        ranges[ray[~(is_free | is_hit) & self._is_seen]] = np.nan
        order = np.flatnonzero(is_hit)
        order = order[np.argsort(-begins[order], kind="stable")]
        ranges[ray[order]] = begins[order]  # of several in one ray the last one stays: the nearest
        self._close_gaps(ray, np.where(is_hit, begins, np.where(is_free, np.inf, np.nan)))
        count = len(ranges)
        angle_max = self._arc.start + (count - 1) * self._increment
        return ScanResult(ranges, self._arc.start, angle_max, self._increment, self._range_min, self._range_limit)

    def _rays_of(self, points: NDArray[np.float32]) -> NDArray[np.intp]:
        """The ray in which each point of the base frame (N, 2) lies, of those that are at the ends beyond them."""
        angles = self._arc.unroll(np.arctan2(points[:, 1], points[:, 0]))
        rays = np.floor((angles - self._arc.start) / self._increment + 0.5).astype(np.intp)
        return np.clip(rays, 0, len(self._ranges) - 1)

    def _close_gaps(self, ray: NDArray[np.intp], found: NDArray[np.float32]) -> None:
        """Fill the rays between neighbouring bearings that found the same surface, or both found all free."""
        steps = np.abs(np.diff(ray))
        for index in np.flatnonzero((steps > 1) & (steps <= self._widest)):
            here, there = float(found[index]), float(found[index + 1])
            nearer = min(here, there)
            if here == there or abs(here - there) <= _SAME_SURFACE * (1.0 + nearer):
                first, last = sorted((int(ray[index]), int(ray[index + 1])))
                between = self._ranges[first + 1 : last]
                np.fmin(between, nearer, out=between)


def _range_limit(reach: NDArray[np.float32]) -> float:
    """The range that as many bearings as possible reach, weighed with itself."""
    falling = np.sort(reach)[::-1]
    return float(falling[(falling * np.arange(1, len(falling) + 1)).argmax()])
