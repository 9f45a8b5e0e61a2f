"""Which plane every pixel of a painted view shows, and so how far away it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.geometry import Point

_FARTHEST = 1e5
"""The ground ends here, metres: just below the horizon rounding errors would put it behind the camera."""


class Surfaces:
    """The planes of a view, and which of them each pixel shows.

    Along the ray (x, y, 1) = ((u - cx) / fx, (v - cy) / fy, 1) a plane n . p = d has the depth z with
    1 / z = (n . ray) / d. So the number of its plane tells a pixel's depth exactly, in its middle and beside it.

    Attributes:
        ids: number of the plane that is seen, uint16 (H, W); 0 is the sky.
    """

    def __init__(self, intrinsics: Intrinsics) -> None:
        self.ids = np.zeros((intrinsics.height, intrinsics.width), np.uint16)
        self._intrinsics = intrinsics
        self._planes: list[tuple[float, float, float, float, float]] = [(0.0,) * 5]  # n / d, least and most 1 / z

    def add(self, corners: Sequence[Point], visible: Sequence[Point] | None = None) -> int:
        """Note a plane and return its number for `ids`.

        Args:
            corners: three or more points of it in the optical frame, metres; the first three not on one line.
            visible: corners of the part of it that is drawn; None for all of it in front of the camera. The border
                pixels of a plane seen edge on lie beside it, some of them far in front of it or behind it: no depth is
                less or more than that of these corners.
        """
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[:3]
        px, py, pz, qx, qy, qz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        d = nx * ax + ny * ay + nz * az or 1e-12  # 0: the eye lies in the plane
        depths = [z for _, _, z in visible] if visible else [1 / _FARTHEST, _FARTHEST]
        self._planes.append((nx / d, ny / d, nz / d, 1 / max(depths), 1 / min(depths)))
        return len(self._planes) - 1

    def depth(self) -> NDArray[np.float32]:
        """Depth in the middle of every pixel, float32 (H, W), metres along the optical axis; inf in the sky."""
        k = self._intrinsics
        x = (np.arange(k.width, dtype=np.float32) - np.float32(k.cx)) / np.float32(k.fx)
        y = (np.arange(k.height, dtype=np.float32) - np.float32(k.cy)) / np.float32(k.fy)
        return self._depths(self.ids, x, y[:, None])

    def depth_along(self, rays: NDArray[np.float64]) -> NDArray[np.float32]:
        """Depth where rays meet what the pixel nearest to them shows.

        Args:
            rays: x and y of rays (x, y, 1) of the optical frame, float64 (N, 2), all inside the image.

        Returns:
            float32 (N,), metres along the optical axis; inf in the sky.
        """
        k = self._intrinsics
        columns, rows = np.rint(rays * (k.fx, k.fy) + (k.cx, k.cy)).astype(np.intp).T
        return self._depths(self.ids[rows, columns], *rays.T.astype(np.float32))

    def turned(self, ids: NDArray[np.uint16], intrinsics: Intrinsics, roll: float) -> Surfaces:
        """The same planes for a camera rolled by that many radians, whose pixels show the planes `ids` (H, W)."""
        other = Surfaces(intrinsics)
        other.ids = ids
        s, c = math.sin(roll), math.cos(roll)
        other._planes = [(c * x + s * y, c * y - s * x, z, low, high) for x, y, z, low, high in self._planes]
        return other

    def _depths(self, ids: NDArray[np.uint16], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        across, down, ahead, least, most = np.array(self._planes, np.float32).T.copy()
        inverse = across[ids] * x
        inverse += down[ids] * y
        inverse += ahead[ids]
        np.clip(inverse, least[ids], most[ids], out=inverse)
        with np.errstate(divide="ignore"):
            return np.divide(np.float32(1), inverse, out=inverse)
