"""Along which pixels a point passes that travels outward over the ground, bearing by bearing.

Bearings are taken about the camera's foot point, its vertical projection on the ground: what stands on the ground hides
what is behind it on its own bearing, and nothing else. In the image they are lines of any direction, curves under
distortion, so they are found by projecting points of the ground into it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.errors import NoGroundError
from fanet_ros.ground.overlook import OUTSIDE, Overlook, rounded
from fanet_ros.ground.polar import Arc, angles_of, ranges_of

Floats = NDArray[np.float64]

_STEP = 0.5  # of a pixel along a bearing while pixels are sought: none that a bearing crosses for longer is missed
_MOST = 32_000  # bearings, or samples of one; cv2.remap takes images of less than 32767
_MOST_SAMPLES = 4_000_000  # of all bearings; they take 100 MB and a second or two, which grows with them
_SAMPLES_AT_ONCE = 200_000  # projecting takes some 150 bytes a sample
_COARSE_BEARINGS, _COARSE_LEVELS = 193, 65  # where the density of pixels is measured


class BearingTable:
    """The pixels of every bearing from near to far.

    Bearings are as dense as columns of pixels, rays of the scan and cells of the grid, and sampled twice a pixel, as
    long as that makes no more than 4 million samples. Beyond, they are thinned: first what the grid alone asks for
    (cells between bearings take the nearest one), then bearings and samples alike, as for masks above 1920x1080; some
    of their pixels are then not looked at.

    Attributes:
        pixels: int16 (bearings, samples, 2), column and row of the pixels a bearing crosses, no pixel twice in a row;
            OUTSIDE where it leaves the image or the range, and after its end.
        foot_ranges: float32 (bearings, samples), how far from the foot point the bearing enters that pixel, metres; inf
            after the end.
        is_seen: bool (bearings, samples), whether there is a pixel.
        first: int64 (bearings,), index of the first pixel that is seen; 0 where there is none.
        last: int64 (bearings,), index of the last one.
        directions: float32 (bearings, 2), unit vectors from the foot point in the base frame.
        foot: float32 (2,), the foot point in the base frame, metres.
        neighbours: how many bearings on either side pass through the same pixel, or the one next to it.
        reach: float32 (bearings,), distance from the base frame's origin up to which a bearing is seen; range_max where
            nothing but the range ends it, 0 where nothing of it is.
    """

    def __init__(self, overlook: Overlook, ground_points: NDArray[np.float32], is_in_range: NDArray[np.bool_]) -> None:
        """Find them.

        Args:
            overlook: says how dense scan and grid are, too.
            ground_points: float32 (H, W, 3), where the middles of the pixels see the ground, NaN where they do not.
            is_in_range: bool (H, W), whether that is within range; somewhere it is.

        Raises:
            NoGroundError: so little ground is in sight that it lies between all bearings.
        """
        self._overlook = overlook
        self.foot = overlook.foot.astype(np.float32)
        self._place(ground_points[is_in_range][:, :2])
        self._walk()

    def points(
        self, which: NDArray[np.intp] | NDArray[np.bool_] | slice, foot_ranges: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the ground on bearings at distances (N,) from the foot point, float32 (N, 2) in the base frame."""
        return self.foot + self.directions[which] * foot_ranges[:, None]

    def nearest(self, points: NDArray[np.floating]) -> NDArray[np.int32]:
        """Return the bearing nearest to each point (N, 2) of the base frame, int32 (N,)."""
        middles = (self._bearings[1:] + self._bearings[:-1]) / 2
        return np.searchsorted(middles, self._arc.unroll(angles_of(points - self.foot))).astype(np.int32)

    # -- where bearings and samples lie --------------------------------------------------------------------------------

    def _place(self, seen_points: NDArray[np.float32]) -> None:
        """Choose the bearings and the depression angles at which they are sampled, as dense as the pixels demand."""
        overlook, settings, height = self._overlook, self._overlook.settings, self._overlook.height
        offset = seen_points - self.foot
        distance = ranges_of(offset)
        # what the middle of a pixel does not reach, its border may
        margin = 3.0 / overlook.model.focal_length(overlook.mask_size)
        farthest = settings.range_max + float(np.linalg.norm(overlook.foot))
        highest = max(math.atan2(height, farthest), math.atan2(height, float(distance.max())) - margin)
        lowest = min(math.pi / 2, math.atan2(height, float(distance.min())) + margin)
        self._arc = Arc.around(angles_of(offset)).widened(margin)
        bearings = np.linspace(self._arc.start, self._arc.end, _COARSE_BEARINGS)
        levels = np.linspace(lowest, highest, _COARSE_LEVELS)
        pixels = self._project(bearings, levels)[0]
        along = _largest_step(pixels[:, 1:] - pixels[:, :-1], axis=0) / np.abs(np.diff(levels))
        across = _largest_step(pixels[1:] - pixels[:-1], axis=1) / np.diff(bearings)
        reach = min(farthest, height / math.tan(highest))
        needed = np.maximum(across, 1.0 / settings.scan_angle_increment)
        wanted = np.maximum(needed, reach / settings.grid_resolution)
        along = np.maximum(along, 1.0)
        share = _MOST_SAMPLES / (_count(bearings, needed, 1.0) * _count(levels, along, _STEP))
        coarser = max(1.0, 1.0 / math.sqrt(share))
        self._levels = _spread(levels, along, _STEP * coarser)
        self._bearings = _spread(bearings, wanted, 1.0, min(_MOST, _MOST_SAMPLES // len(self._levels)))
        per_pixel = len(self._bearings) / max(1.0, float((across * np.diff(bearings)).sum()))
        self.neighbours = math.ceil(per_pixel + 0.5)
        self.directions = _unit_vectors(self._bearings).astype(np.float32)

    def _project(self, bearings: Floats, levels: Floats) -> tuple[Floats, Floats, Floats]:
        """Points of the ground at bearings and depression angles.

        Returns:
            Pixels (bearings, levels, 2), not rounded, NaN outside the mask or out of range; ranges from the foot point
            (levels,); and ranges from the base frame's origin (bearings, levels).
        """
        ranges = self._overlook.height / np.tan(levels)
        points = self._overlook.foot + _unit_vectors(bearings)[:, None] * ranges[None, :, None]
        pixels = self._overlook.pixels(points.reshape(-1, 2)).reshape(points.shape)
        return pixels, ranges, ranges_of(points)

    # -- which pixels they cross ---------------------------------------------------------------------------------------

    def _walk(self) -> None:
        at_once = max(1, _SAMPLES_AT_ONCE // len(self._levels))
        chunks = [slice(first, first + at_once) for first in range(0, len(self._bearings), at_once)]
        crossed = [self._cross(self._bearings[chunk]) for chunk in chunks]
        shape = len(self._bearings), max(pixels.shape[1] for pixels, _, _ in crossed)
        self.pixels = np.full((*shape, 2), OUTSIDE, np.int16)
        self.foot_ranges = np.full(shape, np.inf, np.float32)
        for chunk, (pixels, foot_ranges, _) in zip(chunks, crossed, strict=True):
            self.pixels[chunk, : pixels.shape[1]] = pixels
            self.foot_ranges[chunk, : pixels.shape[1]] = foot_ranges
        self.is_seen = self.pixels[..., 0] != OUTSIDE
        if not self.is_seen.any():
            raise NoGroundError(
                "the camera sees too little ground within range for one pixel of a bearing: correct its pose or "
                "calibration, range_min or range_max"
            )
        self.first, self.last = self.is_seen.argmax(axis=1), _last_of_each(self.is_seen)
        self.reach = np.concatenate([reach for _, _, reach in crossed])

    def _cross(self, bearings: Floats) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]]:
        """Find `pixels`, `foot_ranges` and `reach` of some bearings, with as many samples as these need."""
        exact, ranges, base_ranges = self._project(bearings, self._levels)
        pixels = rounded(exact)
        is_seen = pixels[..., 0] != OUTSIDE
        joined = pixels.view(np.int32)[..., 0]  # both coordinates as one number, to compare them at once
        is_new = np.empty(is_seen.shape, bool)
        is_new[:, 0] = is_seen[:, 0]
        is_new[:, 1:] = joined[:, 1:] != joined[:, :-1]
        place = np.cumsum(is_new, axis=1) - 1
        rows, columns = np.nonzero(is_new)
        to = rows, place[rows, columns]
        shape = (len(bearings), int(place[:, -1].max()) + 1)
        crossed = np.full((*shape, 2), OUTSIDE, np.int16)
        crossed[to] = pixels[rows, columns]
        # a pixel was entered somewhere between the sample before and its first one
        middles = np.concatenate([ranges[:1], (ranges[1:] + ranges[:-1]) / 2])
        foot_ranges = np.full(shape, np.inf, np.float32)
        foot_ranges[to] = middles[columns]
        return crossed, foot_ranges, self._reaches(is_seen, base_ranges)

    def _reaches(self, is_seen: NDArray[np.bool_], base_ranges: Floats) -> NDArray[np.float32]:
        """How far each bearing sees (bearings,): range_max where the image would have shown more; 0 for nothing."""
        range_max = self._overlook.settings.range_max
        last, rows = _last_of_each(is_seen), np.arange(len(is_seen))
        is_cut = base_ranges[rows, np.minimum(last + 1, is_seen.shape[1] - 1)] >= range_max
        reaches = np.where(is_cut, range_max, base_ranges[rows, last])
        return np.where(is_seen.any(axis=1), reaches, 0.0).astype(np.float32)


def _unit_vectors(angles: Floats) -> Floats:
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _last_of_each(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Index of the last flag in each row (rows,); that of the last column where there is none."""
    return flags.shape[1] - 1 - flags[:, ::-1].argmax(axis=1)


def _largest_step(differences: Floats, axis: int) -> Floats:
    """The largest length among differences (..., 2) along an axis, in pixels; 0 where there is none."""
    largest: Floats = np.nan_to_num(ranges_of(differences), nan=0.0).max(axis=axis)
    return largest


def _cumulated(ends: Floats, density: Floats) -> Floats:
    """Units from the first end to each (N,); as density varies within, a little more than the denser neighbour's."""
    padded = np.maximum(density, np.maximum(np.append(density[1:], 0), np.insert(density[:-1], 0, 0))) * 1.05
    return np.concatenate([[0.0], np.cumsum(padded * np.abs(np.diff(ends)))])


def _count(ends: Floats, density: Floats, step: float) -> int:
    """How many positions `_spread` returns when it may."""
    return max(2, math.ceil(_cumulated(ends, density)[-1] / step) + 1)


def _spread(ends: Floats, density: Floats, step: float, most: int = _MOST) -> Floats:
    """Return positions from the first end to the last, with no two neighbours more than `step` apart.

    Args:
        ends: (N,) of N - 1 intervals, rising or falling.
        density: (N - 1,) units per radian in each.
        step: in units.
        most: positions; where there would be more, all of them are farther apart.
    """
    cumulated = _cumulated(ends, density)
    count = min(most, _count(ends, density, step))
    return np.interp(np.linspace(0.0, cumulated[-1], count), cumulated, ends)
