"""From masks of one camera at one pose to the ground: all that frames have in common, computed once."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.closing import ContactCloser
from fanet_ros.ground.errors import NoGroundError
from fanet_ros.ground.grid import GridTable
from fanet_ros.ground.overlook import Overlook
from fanet_ros.ground.polar import ranges_of
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.scan import ScanTable
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.ground.steadying import MOST_METRES, MOST_RADIANS, Steadier
from fanet_ros.ground.view import GroundTables, GroundView
from fanet_ros.settings import Size

SAME_RADIANS, SAME_METRES = 0.0005, 0.002
"""Poses that differ by less are the same: at 1.5 m height and 20 m ahead this moves the ground by 0.13 m."""


class GroundProjector:
    """Everything that depends on calibration, pose, size and settings is computed here, once.

    Attributes:
        points: float32 (H, W, 3), the ground point in the middle of every pixel in the base frame, metres; NaN above
            the horizon, farther than 10 km, and where the lens model says nothing.
        points_in_range: the same with NaN also nearer than range_min and farther than range_max: for SemanticCloud.
        mask_size: as given.
        blind_range: metres from the base frame's origin, within which ground may be unseen though it lies in the
            camera's field of view; on every free ray of the scan it is seen from here to the scan's range_max. The
            pixel that sees the nearest ground is often much nearer, as the lower corners of the image see it farther
            away than its middle. Nav2's raytrace_min_range should be this, so that no unseen ground is cleared.
        pose: as given.
        settings: as given.
    """

    def __init__(
        self,
        model: CameraModel,
        pose: CameraPose,
        mask_size: Size,
        settings: GroundSettings,
        *,
        is_moving: bool = False,
    ) -> None:
        """Build the tables.

        Args:
            model: of the camera.
            pose: of its optical frame in the base frame.
            mask_size: of the masks that will come.
            settings: of the results.
            is_moving: whether masks will be taken from other poses near this one: then what a nod takes out of sight at
                the mask's borders, some 3 % of it, is never looked at.

        Raises:
            NoGroundError: no pixel sees ground within range; says why.
            CalibrationError: a side of the mask is less than 2 pixels, or more than MAX_SIDE.
        """
        self.mask_size, self.pose, self.settings = mask_size, pose, settings
        overlook = Overlook(model, pose, mask_size, settings)
        self.points = overlook.points()
        self._model = model
        self._steadier = Steadier(overlook) if is_moving else None
        if self._steadier is not None:
            overlook.margin = min(self._steadier.margin(), min(mask_size) // 4)
        is_in_range = overlook.are_counted(self.points)
        if not is_in_range.any():
            raise NoGroundError(_why_no_ground(overlook, self.points))
        self.points_in_range = self._in_range(self.points)
        self._is_in_range = is_in_range.view(np.uint8)
        bearings = BearingTable(overlook, self.points, is_in_range)
        scan = ScanTable(settings, bearings)
        self.blind_range = scan.blind_range
        closer = ContactCloser(overlook, bearings)
        self._tables = GroundTables(bearings, GridTable(overlook, bearings), scan, closer, mask_size, settings)

    def can_take(self, pose: CameraPose) -> bool:
        """Whether masks from that pose can be viewed: the projector's own, or one near it if the camera is moving."""
        near = (MOST_RADIANS, MOST_METRES) if self._steadier is not None else (SAME_RADIANS, SAME_METRES)
        return self.pose.is_close(pose, *near)

    def steadied(self, mask: NDArray[np.uint8], pose: CameraPose) -> NDArray[np.uint8]:
        """Return a mask as it would have been seen from the projector's pose, for `view`; itself if that is its pose.

        What lies on the ground is moved by half a pixel at most from where it would have been.

        Args:
            mask: uint8 (H, W), class ids.
            pose: that it was taken from, and that the projector `can_take`.
        """
        if self._steadier is None or self.pose.is_close(pose, SAME_RADIANS, SAME_METRES):
            return mask
        return self._steadier.steady(mask, pose)

    def points_from(self, pose: CameraPose) -> NDArray[np.float32]:
        """Return `points_in_range` as they are for a mask from another pose."""
        if self.pose.is_close(pose, SAME_RADIANS, SAME_METRES):
            return self.points_in_range
        return self._in_range(Overlook(self._model, pose, self.mask_size, self.settings).points())

    def _in_range(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(self.settings.are_in_range(points)[..., None], points, np.float32(np.nan))

    def view(self, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> GroundView:
        """Return one frame's results, which share their work and are computed when they are asked for.

        What the view before returned is overwritten then.

        Args:
            mask: uint8 (H, W) class ids, 255 = unlabelled; may have any row stride, and must not change meanwhile.
            kinds: uint8 (256,), as kinds_of returns it.

        Raises:
            FrameError: the mask has another size or type.
        """
        expected = (self.mask_size.height, self.mask_size.width)
        if mask.shape != expected or mask.dtype != np.uint8:
            raise FrameError(
                f"mask: received {mask.dtype} of shape {mask.shape}, expected uint8 of shape {expected}, the size that "
                "the ground tables were built for"
            )
        return GroundView(self._tables, mask, kinds)

    def share_in_range(self, mask: NDArray[np.uint8], are_counted: NDArray[np.bool_]) -> float:
        """Return the share of the pixels that see ground in range whose class is among the counted, bool (256,)."""
        counted = cv2.bitwise_and(cv2.LUT(mask, are_counted.view(np.uint8)), self._is_in_range)
        return cv2.countNonZero(counted) / cv2.countNonZero(self._is_in_range)


def _why_no_ground(overlook: Overlook, points: NDArray[np.float32]) -> str:
    distances = ranges_of(points)
    seen = distances[~np.isnan(distances)]
    pitch = math.degrees(overlook.pose.pitch)
    looks = f"{abs(pitch):.1f} degrees {'down' if pitch >= 0 else 'up'}"
    stands = f"the camera, {overlook.height:.2f} m above the ground and looking {looks},"
    if not seen.size:
        return f"{stands} has all pixels above the horizon: correct its pose (positive pitch looks down)"
    settings = overlook.settings
    return (
        f"{stands} sees no ground from {settings.range_min:g} to {settings.range_max:g} m: the {seen.size} "
        f"pixels below its horizon see it from {seen.min():.1f} to {seen.max():.1f} m; correct its pose, range_min or "
        "range_max"
    )
