"""Where the camera is on the robot: its optical frame in the base frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.errors import PoseError

Row = tuple[float, float, float]

_MOST_METRES = 10_000.0
"""Along each axis from the base frame's origin; farther away no camera is on a robot."""

_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # REP 103, suffix _optical


@dataclass(frozen=True)
class CameraPose:
    """The pose of a camera's optical frame (x right, y down, z forward) in the base frame (x forward, y left, z up).

    Attributes:
        rotation: rows of the matrix that takes optical directions to base directions.
        translation: position of the optical centre in the base frame, metres.
    """

    rotation: tuple[Row, Row, Row]
    translation: Row

    @classmethod
    def from_parameters(cls, x: float, y: float, height: float, roll: float, pitch: float, yaw: float) -> CameraPose:
        """Return the pose of a camera that was measured by hand.

        The angles are those of the camera's body frame (x forward, y left, z up) in the base frame, turned about fixed
        axes as in URDF (REP 103): R = Rz(yaw) Ry(pitch) Rx(roll).

        Args:
            x: metres in front of the base frame's origin.
            y: metres left of it.
            height: metres above it.
            roll: radians; positive tilts the camera to its right.
            pitch: radians; positive looks down.
            yaw: radians; positive looks to the left.

        Raises:
            PoseError: one of them is not finite, or a length more than 10 km.
        """
        values = (x, y, height, roll, pitch, yaw)
        if not all(map(math.isfinite, values)):
            raise PoseError(f"camera pose: received x, y, height, roll, pitch, yaw = {values}, expected finite numbers")
        _check_translation((x, y, height))
        sr, cr, sp, cp, sy, cy = (f(angle) for angle in (roll, pitch, yaw) for f in (math.sin, math.cos))
        about_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
        about_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        about_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        return cls(_rows(about_z @ about_y @ about_x @ _BODY_FROM_OPTICAL), (float(x), float(y), float(height)))

    @classmethod
    def from_transform(cls, translation: Sequence[float], quaternion: Sequence[float]) -> CameraPose:
        """Return the pose that a transform base <- optical frame states.

        Args:
            translation: x, y, z in metres.
            quaternion: x, y, z, w; of any length but zero.

        Raises:
            PoseError: a number is not finite, the quaternion's length is zero, or the translation is over 10 km.
        """
        x, y, z, w = (float(value) for value in quaternion)
        norm = math.sqrt(x * x + y * y + z * z + w * w)
        if not all(map(math.isfinite, (*translation, norm))) or norm < 1e-6:
            raise PoseError(
                f"camera pose: received translation {tuple(translation)} and quaternion {tuple(quaternion)}, expected "
                "finite numbers and a quaternion (x, y, z, w) of length 1"
            )
        _check_translation(translation)
        x, y, z, w = x / norm, y / norm, z / norm, w / norm
        matrix = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        tx, ty, tz = (float(value) for value in translation)
        return cls(_rows(matrix), (tx, ty, tz))

    def after(self, other: CameraPose) -> CameraPose:
        """Return the pose in the base frame of what has the pose `other` in this one's frame."""
        x, y, z = (self.base_from_optical @ other.position + self.position).tolist()
        return CameraPose(_rows(self.base_from_optical @ other.base_from_optical), (x, y, z))

    @cached_property
    def base_from_optical(self) -> NDArray[np.float64]:
        """The rotation as an array, float64 (3, 3)."""
        return np.array(self.rotation)

    @cached_property
    def position(self) -> NDArray[np.float64]:
        """The translation as an array, float64 (3,), metres."""
        return np.array(self.translation)

    @property
    def pitch(self) -> float:
        """How far the optical axis points down from the horizontal, radians in [-pi/2, pi/2]."""
        return math.asin(min(1.0, max(-1.0, -self.rotation[2][2])))

    def is_close(self, other: CameraPose, radians: float, metres: float) -> bool:
        """Whether the other pose differs by no more than an angle and a distance."""
        chord = float(np.linalg.norm(self.base_from_optical - other.base_from_optical)) / math.sqrt(8.0)
        angle = 2.0 * math.asin(min(1.0, chord))  # of the rotation between the two; |R1 - R2| = sqrt(8) sin(angle / 2)
        return angle <= radians and math.dist(self.translation, other.translation) <= metres


def _check_translation(translation: Sequence[float]) -> None:
    if max(map(abs, translation)) > _MOST_METRES:
        raise PoseError(
            f"camera pose: received the position ({', '.join(f'{value:g}' for value in translation)}) m in the base "
            f"frame, expected at most {_MOST_METRES:g} m along each axis"
        )


def _rows(matrix: NDArray[np.float64]) -> tuple[Row, Row, Row]:
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return (a, b, c), (d, e, f), (g, h, i)
