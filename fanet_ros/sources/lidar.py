"""A spinning lidar in the simulated street: rays cast into the planes that the street is painted of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import CameraPose, View

RINGS = 16
"""How many lasers spin; ring 0 is the lowest."""

_LOWEST_DEG, _HIGHEST_DEG = -15.0, 15.0
_FOCAL = 600.0  # of the views that rays are cast into, pixels: about half an azimuth step
_WIDEST = math.radians(60)  # of one such view
_LARGEST_VIEW = 4096  # pixels
_MOST_DEG = 150.0


@dataclass(frozen=True)
class LidarScan:
    """The returns of one turn.

    Attributes:
        points: float32 (N, 3), metres in the lidar's frame: x forward, y left, z up (REP 103).
        rings: uint8 (N,), which laser: 0 looks down most.
    """

    points: NDArray[np.float32]
    rings: NDArray[np.uint8]


class SpinningLidar:
    """A lidar of 16 rings from -15 to +15 degrees that looks ahead; all of a turn is measured at one instant.

    What lies behind it is not measured: the street is only painted ahead of a place. Ranges are exact but for their
    noise; the outlines of things are true to 1/600 rad. More than 30 degrees aside, up to two of a hundred rays that
    should meet a car go through it, since the street is painted in the order of x. Scan i of a seed is the same every
    time.
    """

    def __init__(
        self,
        street: StreetCamera,
        *,
        azimuth_step_deg: float = 0.2,
        field_of_view_deg: float = 120.0,
        farthest: float = 100.0,
        noise: float = 0.02,
        seed: int = 0,
    ) -> None:
        """Prepare the rays.

        Args:
            street: what is measured, and when its frames are taken.
            azimuth_step_deg: between two rays of a ring, 0.1 to 10 degrees.
            field_of_view_deg: from the leftmost to the rightmost ray, up to 150 degrees.
            farthest: no return is from farther away, metres.
            noise: standard deviation of the ranges, metres.
            seed: of the noise, 0 or more.

        Raises:
            SourceError: one of these is out of range.
        """
        if not (0.1 <= azimuth_step_deg <= 10 and azimuth_step_deg <= field_of_view_deg <= _MOST_DEG):
            raise SourceError(
                f"the lidar cannot turn by azimuth_step_deg = {azimuth_step_deg} within field_of_view_deg = "
                f"{field_of_view_deg}: steps must be from 0.1 to 10 degrees, the field of view at least one step and "
                f"at most {_MOST_DEG:g} degrees"
            )
        if not (farthest > 0 and 0 <= noise < math.inf and seed >= 0):
            raise SourceError(
                f"the lidar needs farthest > 0, noise >= 0 and seed >= 0, got {farthest}, {noise} and {seed}"
            )
        self._street, self._farthest, self._noise, self._seed = street, farthest, noise, seed
        steps = int(field_of_view_deg / azimuth_step_deg)
        azimuths = np.radians((np.arange(steps + 1) - steps / 2) * azimuth_step_deg)
        elevations = np.radians(np.linspace(_LOWEST_DEG, _HIGHEST_DEG, RINGS))
        azimuth, elevation = (grid.ravel() for grid in np.meshgrid(azimuths, elevations))
        self._rays = np.column_stack(
            (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
        )
        self._rings = np.repeat(np.arange(RINGS, dtype=np.uint8), steps + 1)
        views = math.ceil(np.radians(field_of_view_deg) / _WIDEST)
        self._sectors = np.minimum((np.arange(steps + 1) * views) // (steps + 1), views - 1)
        self._middles = [float(azimuths[self._sectors == sector].mean()) for sector in range(views)]

    def scan(self, index: int, pose: CameraPose) -> LidarScan:
        """Measure at the instant of frame `index`.

        Args:
            index: of the street's frame.
            pose: of the lidar in the map frame, its x axis along the pose's optical axis. A lidar 0.3 m above the
                camera: `replace(pose, z=pose.z + 0.3)`.

        Raises:
            SourceError: the lidar is under the ground, or does not look along the street.
        """
        ranges = np.full(len(self._rays), np.inf, np.float32)
        for rays, view in self._views(pose):
            optical = self._in_optical(rays, view.pose, pose)
            depth = self._street.view(index, view).surfaces.depth_along(optical[:, :2] / optical[:, 2:])
            ranges[rays] = depth / optical[:, 2]
        rng = np.random.default_rng([self._seed, index])
        ranges += np.float32(self._noise) * rng.standard_normal(len(ranges), np.float32)
        back = (ranges > 0) & (ranges <= self._farthest)
        return LidarScan((self._rays[back] * ranges[back, None]).astype(np.float32), self._rings[back])

    def _views(self, pose: CameraPose) -> Iterator[tuple[NDArray[np.intp], View]]:
        """Level views that together show all rays, and the numbers of the rays that each of them shows."""
        of_sector = np.tile(self._sectors, RINGS)
        for sector, middle in enumerate(self._middles):
            rays = np.flatnonzero(of_sector == sector)
            level = replace(pose, yaw=pose.yaw + middle, pitch=0.0, roll=0.0)
            optical = self._in_optical(rays, level, pose)
            pixels = optical[:, :2] / optical[:, 2:] * _FOCAL
            left, top = np.floor(pixels.min(axis=0)) - 1
            width, height = (int(size) for size in np.ceil(pixels.max(axis=0)) + 2 - (left, top))
            if optical[:, 2].min() < 0.3 or max(width, height) > _LARGEST_VIEW:
                raise SourceError(f"the lidar cannot measure from {pose}: it looks up, down or aside too steeply")
            yield rays, View(Intrinsics(width, height, _FOCAL, _FOCAL, -left, -top), level)

    def _in_optical(self, rays: NDArray[np.intp], optical: CameraPose, lidar: CameraPose) -> NDArray[np.float64]:
        """Some rays in the optical frame of another pose, float64 (N, 3)."""
        forward_left_up = self._rays[rays]
        right_down_forward = np.column_stack((-forward_left_up[:, 1], -forward_left_up[:, 2], forward_left_up[:, 0]))
        return np.asarray(right_down_forward @ lidar.optical_from_map @ optical.optical_from_map.T)
