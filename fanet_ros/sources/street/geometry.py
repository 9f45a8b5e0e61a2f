"""Where the street camera is and how it sees: pose over the flat ground, projection, clipping.

Frames follow REP 103. The map frame lies on the middle of the road: x along the street, y left, z up, metres.
The optical frame has x right, y down, z forward.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.base import Intrinsics

Point = tuple[float, float, float]

NEAR = 0.4
"""Nothing closer than this is drawn, metres along the optical axis."""

_SIDE = 6.0  # polygons are cut at |x| = 6 z and |y| = 6 z: far outside any image, small enough for fixed point


@dataclass(frozen=True)
class CameraPose:
    """The pose of the camera in the map frame.

    Attributes:
        x: metres along the street.
        y: metres left of the middle of the road.
        z: metres above the ground.
        yaw: radians about z, positive to the left.
        pitch: radians about y, positive looks down (REP 103).
        roll: radians about the optical axis, positive tilts to the right: R = Rz(yaw) Ry(pitch) Rx(roll), as in URDF.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    roll: float = 0.0

    @cached_property
    def position(self) -> NDArray[np.float64]:
        """Position in the map frame, float64 (3,), metres."""
        return np.array([self.x, self.y, self.z])

    @cached_property
    def optical_from_map(self) -> NDArray[np.float64]:
        """Rotation that takes map directions to optical directions, float64 (3, 3)."""
        sy, cy = math.sin(self.yaw), math.cos(self.yaw)
        sp, cp = math.sin(self.pitch), math.cos(self.pitch)
        forward = (cp * cy, cp * sy, -sp)
        right = (sy, -cy, 0.0)
        down = (-sp * cy, -sp * sy, -cp)
        level = np.array([right, down, forward])
        if not self.roll:
            return level
        sr, cr = math.sin(self.roll), math.cos(self.roll)
        return np.array([[cr, sr, 0.0], [-sr, cr, 0.0], [0.0, 0.0, 1.0]]) @ level

    def moved(self, right: float, down: float, forward: float) -> CameraPose:
        """The pose that many metres away along the axes of the optical frame, looking the same way."""
        x, y, z = (self.position + np.array([right, down, forward]) @ self.optical_from_map).tolist()
        return replace(self, x=x, y=y, z=z)


@dataclass(frozen=True)
class View:
    """A pinhole at a pose: the only way from metres to pixels, for the image and its labels alike."""

    intrinsics: Intrinsics
    pose: CameraPose

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """The camera matrix K, float64 (3, 3)."""
        k = self.intrinsics
        return np.array([[k.fx, 0.0, k.cx], [0.0, k.fy, k.cy], [0.0, 0.0, 1.0]])

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map-frame points (N, 3) in front of the camera, metres -> pixels (u, v), float64 (N, 2)."""
        k = self.intrinsics
        optical = (points - self.pose.position) @ self.pose.optical_from_map.T
        return optical[:, :2] / optical[:, 2:] * (k.fx, k.fy) + (k.cx, k.cy)

    # A frame projects some thousand points, a few at a time: plain floats are several times faster than arrays.

    @cached_property
    def _turn(self) -> tuple[Point, Point, Point]:
        right, down, forward = (tuple(row) for row in self.pose.optical_from_map.tolist())
        return right, down, forward

    def direction(self, vector: Point) -> Point:
        """A direction of the map frame in the optical frame."""
        x, y, z = vector
        (a, b, c), (d, e, f), (g, h, i) = self._turn
        return a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z

    def point(self, point: Point) -> Point:
        """A point of the map frame in the optical frame, metres."""
        pose = self.pose
        return self.direction((point[0] - pose.x, point[1] - pose.y, point[2] - pose.z))

    def pixels(self, optical: Iterable[Point]) -> list[tuple[float, float]]:
        """Points of the optical frame with positive z -> (u, v)."""
        k = self.intrinsics
        return [(x / z * k.fx + k.cx, y / z * k.fy + k.cy) for x, y, z in optical]

    @property
    def horizon(self) -> float:
        """The row of the horizon of a view without roll, pixels; the same in every column."""
        return self.intrinsics.cy - self.intrinsics.fy * math.tan(self.pose.pitch)

    def ground_row(self, ahead: float) -> float:
        """The row of the ground `ahead` metres in front of a camera without roll, straight along its heading."""
        angle = math.atan2(self.pose.z, ahead) - self.pose.pitch
        return self.intrinsics.cy + self.intrinsics.fy * math.tan(angle)


def clip(polygon: Sequence[Point]) -> Sequence[Point]:
    """Cut a convex polygon of the optical frame to what can be projected (Sutherland-Hodgman).

    Args:
        polygon: corners in metres.

    Returns:
        Corners with z >= NEAR and |x|, |y| within a wide cone; there may be none of them, or all, unchanged.
    """
    for x, y, z in polygon:
        if z < NEAR or not -_SIDE * z <= x <= _SIDE * z or not -_SIDE * z <= y <= _SIDE * z:
            break
    else:
        return polygon
    planes = ((0, 0, 1, -NEAR), (1, 0, _SIDE, 0), (-1, 0, _SIDE, 0), (0, 1, _SIDE, 0), (0, -1, _SIDE, 0))
    corners = list(polygon)
    for a, b, c, d in planes:
        kept: list[Point] = []
        for i, end in enumerate(corners):
            start = corners[i - 1]
            at_start = a * start[0] + b * start[1] + c * start[2] + d
            at_end = a * end[0] + b * end[1] + c * end[2] + d
            if (at_start < 0) != (at_end < 0):
                share = at_start / (at_start - at_end)
                x, y, z = (s + share * (e - s) for s, e in zip(start, end, strict=True))
                kept.append((x, y, z))
            if at_end >= 0:
                kept.append(end)
        corners = kept
    return corners
