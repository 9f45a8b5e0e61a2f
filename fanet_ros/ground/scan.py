"""The obstacle scan: what each bearing of the camera says, sorted into rays about the base frame's origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.polar import Arc, angles_of, ranges_of, wrapped
from fanet_ros.ground.runs import Starts
from fanet_ros.ground.settings import GroundSettings

Floats = NDArray[np.float64]

_SAME_SURFACE = 0.05  # hits of neighbouring bearings that differ by less (metres and share of the range) are on one
_SHORT = 0.05  # of range_max may be out of sight where a ray is told to be free
_SAMPLES, _MOST_ON_A_RAY = 400_000, 400  # where it is looked up whether the ground on the rays is seen
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

    UNKNOWN pixels never make a ray free, and never hide what is seen behind them. Where a hit follows them after no
    more pixels than make a run, it begins with them, as the borders of things are often unlabelled. Behind more of
    them it has its own range, so that it is where obstacle points and grid put it. Whoever clears ground up to a hit
    then also clears what is unknown before it, which only the grid can tell.

    Rays and bearings part where the camera is beside or before the base frame's origin. A ray that would be free, but
    crosses ground which an obstacle hides from the camera, is unknown. One that ends at a hit keeps it, even if it
    crosses hidden ground on its way.

    Attributes:
        blind_range: metres from the base frame's origin; on every free ray all ground is seen from here to range_max,
            and on nearly all others from here to where they leave the image. Chosen so that as much as possible can be
            told to be free: rays at the image's sides, which begin to be seen much farther away when the camera is
            turned about its axis or is not above the origin, are never free, but NaN.
        needs_contacts: whether obstacles can hide ground on rays other than their own.
    """

    def __init__(self, settings: GroundSettings, bearings: BearingTable) -> None:
        """Lay out the rays.

        Its range_max is chosen so that as much ground as possible can be told to be free: as far as most bearings see.
        Those at the sides of the image that leave it earlier are never free, but NaN.
        """
        self._bearings = bearings
        rows, samples = np.nonzero(bearings.is_seen)
        self._arc = Arc.around(angles_of(bearings.points(rows, bearings.foot_ranges[rows, samples])))
        self._increment = settings.scan_angle_increment
        count = int((self._arc.end - self._arc.start) / self._increment + 0.5) + 1
        self._range_min = settings.range_min
        self._range_limit = _range_limit(bearings.reach)
        self._length = settings.min_obstacle_pixels
        self._is_seen = bearings.is_seen.any(axis=1)
        rows = np.arange(len(self._is_seen))
        self._first_ranges = bearings.foot_ranges[rows, bearings.first]
        self._end_ranges = np.where(self._is_seen, bearings.foot_ranges[rows, bearings.last], 0)
        self._reaches_limit = bearings.reach >= (1 - _SHORT) * self._range_limit
        self._widest = max(2, int(_WIDEST_GAP / self._increment))
        self._ranges = np.empty(count, np.float32)
        begins, ends = self._seen_part()
        self.blind_range = max(settings.range_min, _blind_range(begins, ends))
        self._is_never_free = (begins > self.blind_range) | (ends < ends.max())
        # where each bearing leaves the range: |foot + t direction| = range limit
        foot = bearings.foot
        along = bearings.directions @ foot
        inside = np.maximum(0.0, along**2 + self._range_limit**2 - foot @ foot)
        self._leave_angles = angles_of(bearings.points(rows, np.sqrt(inside) - along))
        seen = rows[self._is_seen]
        swept = wrapped(self._leave_angles[seen] - angles_of(bearings.points(seen, self._first_ranges[seen])))
        self.needs_contacts = bool(np.abs(swept).max() > self._increment / 2)

    def fill(self, not_free: Starts, hit: Starts, contacts: Starts | None) -> ScanResult:
        """Return the scan of one frame; its ranges are valid until the next call.

        Args:
            not_free: starts of runs of pixels that are seen, and not FREE.
            hit: starts of runs of FLAT and OBSTACLE pixels.
            contacts: starts of runs of OBSTACLE pixels; may be None unless `needs_contacts`.
        """
        # where each bearing ends: at what is not free, or at its end
        ends = self._bearings.points(slice(None), np.where(not_free.is_there, not_free.ranges, self._end_ranges))
        begins = ranges_of(ends)
        is_blocked = not_free.is_there & (begins <= self._range_limit)
        is_hit = is_blocked & hit.is_there
        behind = np.flatnonzero(is_hit & (hit.sample - not_free.sample > self._length))
        if behind.size:
            found = self._bearings.points(behind, hit.ranges[behind])
            distance = ranges_of(found)
            is_near = distance <= self._range_limit
            is_hit[behind] = is_near
            ends[behind[is_near]], begins[behind[is_near]] = found[is_near], distance[is_near]
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
        ranges[self._is_never_free & np.isposinf(ranges)] = np.nan
        if contacts is not None and self.needs_contacts:
            self._hide_behind(contacts)
        count = len(ranges)
        angle_max = self._arc.start + (count - 1) * self._increment
        return ScanResult(ranges, self._arc.start, angle_max, self._increment, self._range_min, self._range_limit)

    def _seen_part(self) -> tuple[Floats, Floats]:
        """From which range to which one all ground is seen on each ray, both (rays,); 0 and 0 where none is."""
        bearings = self._bearings
        count = len(self._ranges)
        samples = min(_MOST_ON_A_RAY, max(64, _SAMPLES // count))
        # close together near the robot, where it matters; after each of them ground may be unseen up to the next
        ranges = (1 - _SHORT) * self._range_limit * np.linspace(0.0, 1.0, samples) ** 2
        angles = self._arc.start + self._increment * np.arange(count)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        points = (directions[:, None] * ranges[:, None]).astype(np.float32).reshape(-1, 2)
        nearest = bearings.nearest(points)
        offset = points - bearings.foot
        foot_ranges = ranges_of(offset)
        outward = bearings.directions[nearest]
        aside = np.abs(outward[:, 0] * offset[:, 1] - outward[:, 1] * offset[:, 0])
        is_seen = self._is_seen[nearest] & (aside <= foot_ranges * self._increment)
        is_seen &= (foot_ranges >= self._first_ranges[nearest]) | (foot_ranges == 0)
        is_seen &= np.tile(ranges, count) <= bearings.reach[nearest] * (1 + 1e-6)
        is_seen = is_seen.reshape(count, samples)
        last = samples - 1 - is_seen[:, ::-1].argmax(axis=1)
        is_gap = ~is_seen & (np.arange(samples) < last[:, None])
        begin = np.where(is_gap.any(axis=1), samples - is_gap[:, ::-1].argmax(axis=1), 0)
        is_any = is_seen.any(axis=1)
        return np.where(is_any, ranges[begin], 0.0), np.where(is_any, ranges[last], 0.0)

    def _rays_of(self, points: NDArray[np.float32]) -> NDArray[np.intp]:
        """The ray in which each point of the base frame (N, 2) lies, of those that are at the ends beyond them."""
        return np.clip(self._rays_at(angles_of(points)), 0, len(self._ranges) - 1)

    def _rays_at(self, angles: NDArray[np.float32], swept: NDArray[np.float32] | float = 0.0) -> NDArray[np.intp]:
        """The ray at each angle, less than 0 or beyond the last one outside; turned on by an angle, without a jump."""
        turned = self._arc.unroll(angles) + swept
        return np.floor((turned - self._arc.start) / self._increment + 0.5).astype(np.intp)

    def _hide_behind(self, contacts: Starts) -> None:
        """Make free rays unknown that cross a bearing between its obstacle and the end of the range."""
        at = np.flatnonzero(contacts.is_there)
        feet = self._bearings.points(at, contacts.ranges[at])
        is_near = ranges_of(feet) <= self._range_limit
        at, angles = at[is_near], angles_of(feet[is_near])
        ends = np.stack([self._rays_at(angles), self._rays_at(angles, wrapped(self._leave_angles[at] - angles))])
        count = len(self._ranges)
        begins = np.bincount(np.clip(ends.min(axis=0), 0, count), minlength=count + 1)
        closes = np.bincount(np.clip(ends.max(axis=0) + 1, 0, count), minlength=count + 1)
        is_hidden = np.cumsum(begins - closes)[:count] > 0
        self._ranges[is_hidden & np.isposinf(self._ranges)] = np.nan

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


def _blind_range(begins: Floats, ends: Floats) -> float:
    """The range from which on as many rays as possible are seen, weighed with what it leaves of the range.

    Rays that are hardly seen, as those along the image's border, do not count.
    """
    rising = np.sort(begins[(ends >= 1.1 * begins) & (ends > 0)])
    if not rising.size:
        return float(ends.max())
    return float(rising[((ends.max() - rising) * np.arange(1, len(rising) + 1)).argmax()])


def _range_limit(reach: NDArray[np.float32]) -> float:
    """The range that as many bearings as possible reach, weighed with itself."""
    falling = np.sort(reach)[::-1]
    return float(falling[(falling * np.arange(1, len(falling) + 1)).argmax()])
