"""Along which pixels a point passes that travels outward over the ground, bearing by bearing.

Bearings are taken about the camera's foot point, its vertical projection on the ground: what stands on the ground hides
what is behind it on its own bearing, and nothing else. In the image they are lines of any direction, curves under
distortion, so they are found by projecting points of the ground into it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.arcs import Arc
from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.errors import NoGroundError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.settings import Size

Floats = NDArray[np.float64]

OUTSIDE = -1
"""Both coordinates of a pixel that is none."""

_STEP = 0.5  # of a pixel along a bearing while pixels are sought: none that a bearing crosses for longer is missed
_MOST = 32_000  # bearings, or samples of one; cv2.remap takes images of less than 32767
_MOST_SAMPLES = 4_000_000  # of all bearings; they take 100 MB and a second or two, which grows with them
_SAMPLES_AT_ONCE = 200_000  # projecting takes some 150 bytes a sample
_COARSE_BEARINGS, _COARSE_LEVELS = 193, 65  # where the density of pixels is measured


def is_inside(pixels: Floats, mask_size: Size) -> NDArray[np.bool_]:
    """Whether pixels (N, 2), not rounded, are those of a mask, bool (N,); NaN is not."""
    u, v = pixels[:, 0], pixels[:, 1]
    with np.errstate(invalid="ignore"):
        return (u >= -0.5) & (u < mask_size.width - 0.5) & (v >= -0.5) & (v < mask_size.height - 0.5)


class _Crossed(NamedTuple):
    """What BearingTable has as attributes, of some of the bearings."""

    pixels: NDArray[np.int16]
    foot_ranges: NDArray[np.float32]
    reach: NDArray[np.float32]


class BearingTable:
    """The pixels of every bearing from near to far.

    Bearings are as dense as columns of pixels, rays of the scan and cells of the grid, and sampled twice a pixel, as
    long as that makes no more than 4 million samples. Beyond, they are thinned: first what the grid alone asks for
    (cells between bearings take the nearest one), then bearings and samples alike, as for masks above 1920x1080; some
    of their pixels are then not looked at.

    Attributes:
        pixels: int16 (bearings, samples, 2), column and row of the pixels a bearing crosses, no pixel twice in a row;
            OUTSIDE where it leaves the image or the range, and after its end.
        points: float32 (bearings, samples, 2), x and y in the base frame where the bearing enters that pixel, metres.
        foot_ranges: float32 (bearings, samples), its distance from the foot point, inf after the end.
        is_seen: bool (bearings, samples), whether there is a pixel.
        directions: float32 (bearings, 2), unit vectors from the foot point in the base frame.
        foot: float32 (2,), the foot point in the base frame, metres.
        neighbours: how many bearings on either side pass through the same pixel, or the one next to it.
        reach: float32 (bearings,), distance from the base frame's origin up to which a bearing is seen; range_max where
            nothing but the range ends it, 0 where nothing of it is.
    """

    def __init__(
        self,
        model: CameraModel,
        pose: CameraPose,
        mask_size: Size,
        settings: GroundSettings,
        ground_points: NDArray[np.float32],
        is_in_range: NDArray[np.bool_],
    ) -> None:
        """Find them.

        Args:
            model: of the camera.
            pose: with the camera above the ground.
            mask_size: of the masks.
            settings: ranges, and how dense scan and grid are.
            ground_points: float32 (H, W, 3), where the middles of the pixels see the ground, NaN where they do not.
            is_in_range: bool (H, W), whether that is within range; somewhere it is.

        Raises:
            NoGroundError: so little ground is in sight that it lies between all bearings.
        """
        self._model, self._pose, self._mask_size, self._settings = model, pose, mask_size, settings
        self._height = pose.translation[2] - settings.ground_z
        self._foot = pose.position[:2]
        self._place(ground_points[is_in_range][:, :2])
        self._walk()

    def nearest(self, points: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the bearing nearest to each point (N, 2) of the base frame, int32 (N,)."""
        offset = points - self.foot
        angles = self._arc.unroll(np.arctan2(offset[:, 1], offset[:, 0]))
        middles = (self._bearings[1:] + self._bearings[:-1]) / 2
        return np.searchsorted(middles, angles).astype(np.int32)

    # -- where bearings and samples lie --------------------------------------------------------------------------------

    def _place(self, seen_points: NDArray[np.float32]) -> None:
        """Choose the bearings and the depression angles at which they are sampled, as dense as the pixels demand."""
        settings, height = self._settings, self._height
        offset = seen_points - self._foot.astype(np.float32)
        distance = np.hypot(offset[:, 0], offset[:, 1])
        # what the middle of a pixel does not reach, its border may
        margin = 3.0 / self._model.focal_length(self._mask_size)
        farthest = settings.range_max + float(np.linalg.norm(self._foot))
        highest = max(math.atan2(height, farthest), math.atan2(height, float(distance.max())) - margin)
        lowest = min(math.pi / 2, math.atan2(height, float(distance.min())) + margin)
        self._arc = Arc.around(np.arctan2(offset[:, 1], offset[:, 0])).widened(margin)
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
        self.directions = np.stack([np.cos(self._bearings), np.sin(self._bearings)], axis=-1).astype(np.float32)
        self.foot = self._foot.astype(np.float32)

    def _project(self, bearings: Floats, levels: Floats) -> tuple[Floats, Floats, Floats]:
        """Points of the ground at bearings and depression angles.

        Returns:
            Pixels (bearings, levels, 2), not rounded, NaN outside the mask or out of range; ranges from the foot point
            (levels,); and points (bearings, levels, 2) in the base frame.
        """
        ranges = self._height / np.tan(levels)
        directions = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
        points = self._foot + directions[:, None] * ranges[None, :, None]
        turn = self._pose.base_from_optical
        optical = (directions @ turn[:2])[:, None] * ranges[None, :, None] - self._height * turn[2]
        pixels = self._model.project(optical.reshape(-1, 3), self._mask_size)
        pixels[~is_inside(pixels, self._mask_size)] = np.nan
        pixels = pixels.reshape(points.shape)
        base_ranges = np.hypot(points[..., 0], points[..., 1])
        is_in_range = (base_ranges >= self._settings.range_min) & (base_ranges <= self._settings.range_max)
        pixels[~is_in_range] = np.nan
        return pixels, ranges, points

    # -- which pixels they cross ---------------------------------------------------------------------------------------

    def _walk(self) -> None:
        at_once = max(1, _SAMPLES_AT_ONCE // len(self._levels))
        chunks = [slice(first, first + at_once) for first in range(0, len(self._bearings), at_once)]
        crossed = [self._cross(chunk) for chunk in chunks]
        count = max(found.pixels.shape[1] for found in crossed)
        shape = (len(self._bearings), count)
        self.pixels = np.full((*shape, 2), OUTSIDE, np.int16)
        self.foot_ranges = np.full(shape, np.inf, np.float32)
        self.points = np.full((*shape, 2), np.nan, np.float32)
        for chunk, found in zip(chunks, crossed, strict=True):
            width = found.pixels.shape[1]
            self.pixels[chunk, :width] = found.pixels
            self.foot_ranges[chunk, :width] = found.foot_ranges
            outward = (
                self.directions[chunk, None]
                * np.where(np.isinf(found.foot_ranges), np.float32(np.nan), found.foot_ranges)[..., None]
            )
            self.points[chunk, :width] = self.foot + outward
        self.is_seen = self.pixels[..., 0] != OUTSIDE
        if not self.is_seen.any():
            raise NoGroundError(
                "the camera sees too little ground within range for one pixel of a bearing: correct its pose or "
                "calibration, range_min or range_max"
            )
        self.reach = np.concatenate([found.reach for found in crossed])

    def _cross(self, chunk: slice) -> _Crossed:
        """Find the pixels that some of the bearings cross."""
        bearings = self._bearings[chunk]
        exact, ranges, points = self._project(bearings, self._levels)
        is_seen = ~np.isnan(exact[..., 0])
        pixels = np.where(is_seen[..., None], np.floor(exact + 0.5), OUTSIDE).astype(np.int16)
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
        base_ranges = np.hypot(points[..., 0], points[..., 1])
        return _Crossed(crossed, foot_ranges, self._reaches(is_seen, base_ranges))

    def _reaches(self, is_seen: NDArray[np.bool_], base_ranges: Floats) -> NDArray[np.float32]:
        """How far each bearing sees (bearings,): range_max where the image would have shown more; 0 for nothing."""
        end = is_seen.shape[1] - 1
        last = end - is_seen[:, ::-1].argmax(axis=1)
        rows = np.arange(len(last))
        is_cut = base_ranges[rows, np.minimum(last + 1, end)] >= self._settings.range_max
        reaches = np.where(is_cut, self._settings.range_max, base_ranges[rows, last])
        return np.where(is_seen.any(axis=1), reaches, 0.0).astype(np.float32)


def _largest_step(differences: Floats, axis: int) -> Floats:
    """The largest length among differences (..., 2) along an axis, in pixels; 0 where there is none."""
    lengths = np.hypot(differences[..., 0], differences[..., 1])
    largest: Floats = np.nan_to_num(lengths, nan=0.0).max(axis=axis)
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
