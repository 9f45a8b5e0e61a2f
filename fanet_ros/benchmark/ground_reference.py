"""What the ground projection is compared with: the usual way, in plain numpy, all of it anew for every frame."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.classes import Kind
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.sources.base import Intrinsics

_RECORD = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "label", "confidence"],
        "formats": ["f4", "f4", "f4", "u4", "u1", "u1"],
        "offsets": [0, 4, 8, 12, 16, 17],
        "itemsize": 20,
    }
)


class PlainProjection:
    """Rays, intersection with the ground, and each result from the pixels' ground points, without any table.

    It knows no occlusion, no distortion and no runs of pixels: it does less than what it is compared with.
    """

    def __init__(self, intrinsics: Intrinsics, pose: CameraPose, settings: GroundSettings) -> None:
        self._intrinsics, self._pose, self._settings = intrinsics, pose, settings

    def points(self) -> NDArray[np.float64]:
        """Return the ground point of every pixel, float64 (H, W, 3), NaN above the horizon and out of range."""
        k, settings = self._intrinsics, self._settings
        u, v = np.meshgrid(np.arange(k.width), np.arange(k.height))
        rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], axis=-1)
        directions = rays @ self._pose.base_from_optical.T
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths = (settings.ground_z - self._pose.translation[2]) / directions[..., 2]
            points = self._pose.position + directions * lengths[..., None]
            ranges = np.hypot(points[..., 0], points[..., 1])
            is_seen = (lengths > 0) & (ranges >= settings.range_min) & (ranges <= settings.range_max)
        points[~is_seen] = np.nan
        return points

    def measured_view(self, kinds: NDArray[np.uint8], depth: NDArray[np.float64], step_height: float) -> PlainView:
        """Return what a mask and its pixels' depths, float64 (H, W), metres, say: what stands is no longer FREE.

        The ground is where the settings say; it is not looked for.
        """
        k = self._intrinsics
        u, v = np.meshgrid(np.arange(k.width), np.arange(k.height))
        rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], axis=-1)
        points = (rays * depth[..., None]) @ self._pose.base_from_optical.T + self._pose.position
        with np.errstate(invalid="ignore"):
            kinds = np.where(points[..., 2] > self._settings.ground_z + step_height, np.uint8(Kind.OBSTACLE), kinds)
        view = PlainView(self, self._settings, kinds)
        view.__dict__["_points"] = points
        return view

    def view(self, kinds: NDArray[np.uint8]) -> PlainView:
        """Return what a mask says, given the kinds of all its pixels, uint8 (H, W)."""
        return PlainView(self, self._settings, kinds)


class PlainView:
    """One frame; its ground points are computed once, for whatever is asked of it."""

    def __init__(self, projection: PlainProjection, settings: GroundSettings, kinds: NDArray[np.uint8]) -> None:
        self._projection, self._settings, self._kinds = projection, settings, kinds

    @cached_property
    def _points(self) -> NDArray[np.float64]:
        return self._projection.points()

    def drivable_mask(self) -> NDArray[np.uint8]:
        """Return 255 where a pixel may be driven on."""
        return np.where(self._kinds == Kind.FREE, 255, 0).astype(np.uint8)

    def occupancy(self) -> NDArray[np.int8]:
        """Return the grid that the pixels' ground points fall into."""
        settings, kinds, points = self._settings, self._kinds, self._points
        grid = np.full((settings.grid_height, settings.grid_width), -1, np.int8)
        is_seen = ~np.isnan(points[..., 0]) & (kinds != Kind.UNKNOWN)
        columns = ((points[is_seen][:, 0] - settings.grid_x_min) / settings.grid_resolution).astype(int)
        rows = ((points[is_seen][:, 1] - settings.grid_y_min) / settings.grid_resolution).astype(int)
        is_inside = (columns >= 0) & (columns < settings.grid_width) & (rows >= 0) & (rows < settings.grid_height)
        columns, rows, is_free = columns[is_inside], rows[is_inside], kinds[is_seen][is_inside] == Kind.FREE
        grid[rows[is_free], columns[is_free]] = 0
        grid[rows[~is_free], columns[~is_free]] = 100
        return grid

    def scan(self) -> NDArray[np.float64]:
        """Return the nearest point that is not free in every ray around, inf without one."""
        kinds, points = self._kinds, self._points
        is_hit = ~np.isnan(points[..., 0]) & (kinds != Kind.FREE) & (kinds != Kind.UNKNOWN)
        hits = points[is_hit]
        increment = self._settings.scan_angle_increment
        rays = ((np.arctan2(hits[:, 1], hits[:, 0]) + np.pi) / increment).astype(int)
        ranges = np.full(int(2 * np.pi / increment) + 2, np.inf)
        np.minimum.at(ranges, rays, np.hypot(hits[:, 0], hits[:, 1]))
        return ranges

    def obstacle_points(self) -> NDArray[np.float64]:
        """Return the ground point of the lowest obstacle pixel in every column, (N, 3)."""
        points = self._points
        is_obstacle = (self._kinds == Kind.OBSTACLE) & ~np.isnan(points[..., 0])
        lowest = len(is_obstacle) - 1 - is_obstacle[::-1].argmax(axis=0)
        columns = np.flatnonzero(is_obstacle.any(axis=0))
        return points[lowest[columns], columns]

    def semantic_points(
        self, mask: NDArray[np.uint8], confidence: NDArray[np.uint8], palette: NDArray[np.uint8]
    ) -> NDArray[Any]:
        """Return the organised cloud as records (H, W)."""
        points = self._points
        cloud = np.zeros(mask.shape, _RECORD)
        cloud["x"], cloud["y"], cloud["z"] = points[..., 0], points[..., 1], points[..., 2]
        colours = palette[mask].astype(np.uint32)
        cloud["rgb"] = colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
        cloud["label"], cloud["confidence"] = mask, confidence
        return cloud
