"""A camera at its place above the ground: which ground a pixel sees, and which pixel sees a point of the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.errors import NoGroundError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.settings import Size

_LOWEST = 0.001
"""A camera nearer to the ground than this lies on it, metres."""

_FARTHEST = 10_000.0
"""Ground points farther away than this are none, metres: there a thousandth of a pixel is many metres."""

OUTSIDE = -1
"""Both coordinates of a pixel that is none."""


class Overlook:
    """What masks of one size show of the ground.

    Attributes:
        model: of the camera.
        pose: of its optical frame in the base frame.
        mask_size: of the masks.
        settings: of the results.
        height: of the camera above the ground, metres.
        foot: float64 (2,), its vertical projection on the ground in the base frame, metres.
        margin: pixels along the mask's borders in which nothing counts as seen.
    """

    def __init__(self, model: CameraModel, pose: CameraPose, mask_size: Size, settings: GroundSettings) -> None:
        """Take over the attributes of these names.

        Raises:
            NoGroundError: the camera is not above the ground.
        """
        self.model, self.pose, self.mask_size, self.settings = model, pose, mask_size, settings
        self.foot = pose.position[:2]
        self.margin = 0
        self.height = pose.translation[2] - settings.ground_z
        if self.height < _LOWEST:
            where = f"{-self.height:.2f} m below the ground" if self.height <= -_LOWEST else "on the ground"
            raise NoGroundError(
                f"the camera is {where} (its height is {pose.translation[2]:.2f} m in the "
                f"base frame, ground_z {settings.ground_z:.2f} m): correct the camera's pose or ground_z"
            )

    def points(self) -> NDArray[np.float32]:
        """Return the ground in the middle of every pixel, float32 (H, W, 3) in the base frame, metres; NaN for none.

        Raises:
            CalibrationError: a side of the mask is less than 2 pixels, or more than MAX_SIDE.
        """
        pose = self.pose
        directions = self.model.rays(self.mask_size) @ pose.base_from_optical.T.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            lengths = np.float32(self.height) / -directions[..., 2]
            lengths[~((lengths > 0) & (lengths < _FARTHEST))] = np.nan
        points = directions * lengths[..., None] + pose.position.astype(np.float32)
        points[..., 2] = np.where(np.isnan(lengths), np.float32(np.nan), np.float32(self.settings.ground_z))
        return points

    def are_counted(self, points: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether pixels count as seen, bool (H, W): not those in the margin, nor those that see ground out of range.

        Args:
            points: float32 (H, W, 3), as `points` returns them.
        """
        are_counted = self.settings.are_in_range(points)
        if margin := self.margin:
            inner = are_counted[margin:-margin, margin:-margin].copy()
            are_counted[:] = False
            are_counted[margin:-margin, margin:-margin] = inner
        return are_counted

    def pixels(self, points: NDArray[np.float64], *, in_range_only: bool = True) -> NDArray[np.float64]:
        """Return where points of the ground, (N, 2) in the base frame, are seen, float64 (N, 2), column and row.

        Not rounded, see `rounded`; NaN for points that are out of range (if that matters), or not seen in the mask.
        """
        (forward, left, up), offset = self.pose.base_from_optical, points - self.foot
        # by hand: for two columns the threads of a matrix product cost more than they save
        optical = offset[:, :1] * forward + (offset[:, 1:] * left - self.height * up)
        pixels = self.model.project(optical, self.mask_size)
        u, v = pixels[:, 0], pixels[:, 1]
        width, height = self.mask_size
        with np.errstate(invalid="ignore"):
            edge = self.margin - 0.5
            is_inside = (u >= edge) & (u < width - 1 - edge) & (v >= edge) & (v < height - 1 - edge)
        if in_range_only:
            is_inside &= self.settings.are_in_range(points)
        pixels[~is_inside] = np.nan
        return pixels


def rounded(pixels: NDArray[np.float64]) -> NDArray[np.int16]:
    """Return the pixels (..., 2) in which places of a mask lie, int16; OUTSIDE for NaN."""
    return np.where(np.isnan(pixels[..., :1]), OUTSIDE, np.floor(pixels + 0.5)).astype(np.int16)
