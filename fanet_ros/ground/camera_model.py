"""Pixels of a mask to rays of a camera and back, from its calibration alone (REP 104)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.errors import CalibrationError
from fanet_ros.ground.lenses import Lens, PinholeLens, lens_for
from fanet_ros.settings import MAX_SIDE, Size
from fanet_ros.untrusted.text import shown

_MAX_ERROR = 0.02
"""Rays that do not come back to their pixel of the image within this many pixels are refused."""

_FOCAL_LENGTHS = (0.05, 1000.0)
"""In sides of the image: from a fisheye that sees three turns to a telescope."""

_MOST_SIDES_AWAY = 10.0
"""Of the optical axis from the image's middle; a region of interest is far from it, but on the sensor."""

_LARGEST_COEFFICIENT = 1e6
"""Of distortion. Calibrated ones are below 100, but those of a rational model may cancel each other."""


@dataclass(frozen=True)
class RegionOfInterest:
    """The part of the sensor that the driver delivers (sensor_msgs/RegionOfInterest), in unbinned pixels."""

    x_offset: int
    y_offset: int
    width: int
    height: int


@dataclass(frozen=True)
class Calibration:
    """What sensor_msgs/CameraInfo says, in its terms; compare two to notice a new calibration.

    Attributes:
        width: of the full-resolution image for which the camera was calibrated, pixels.
        height: of it.
        distortion_model: plumb_bob, rational_polynomial or equidistant; may be empty without distortion.
        d: distortion coefficients, as many as the model has.
        k: camera matrix of the full, distorted image, row by row, 9 numbers.
        r: rectification, 9 numbers.
        p: projection of the full, rectified image, 12 numbers; its fourth column (the stereo baseline) is not used, as
            the pose is that of this camera's own optical centre.
        binning_x: columns of the sensor that make one of the image; 0 means 1.
        binning_y: rows likewise.
        roi: the delivered part of the image; None, or one of width or height 0, is the whole.
    """

    width: int
    height: int
    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]
    binning_x: int = 1
    binning_y: int = 1
    roi: RegionOfInterest | None = None

    @property
    def image_size(self) -> Size:
        """Size of the images that the driver delivers: the region of interest after binning."""
        x, y, width, height = self.region
        return Size(width // self.binning[0], height // self.binning[1])

    @property
    def binning(self) -> tuple[int, int]:
        """Binning along x and y, at least 1."""
        return max(1, self.binning_x), max(1, self.binning_y)

    @property
    def region(self) -> tuple[int, int, int, int]:
        """The region of interest: x, y, width, height in unbinned pixels."""
        if self.roi is None or self.roi.width == 0 or self.roi.height == 0:
            return 0, 0, self.width, self.height
        return self.roi.x_offset, self.roi.y_offset, self.roi.width, self.roi.height


class CameraModel:
    """One calibrated camera: where a pixel of a mask looks, and at which pixel a point is seen.

    A mask of another size than the image was resampled corner to corner, as everything in this package is:
    u_image = u_mask (W_image - 1) / (W_mask - 1). Binning and region of interest are treated as image_geometry does:
    f' = f / binning, c' = (c - offset) / binning.
    """

    def __init__(self, calibration: Calibration, *, rectified: bool = False) -> None:
        """Check and take over a calibration.

        Args:
            calibration: of the camera.
            rectified: the mask is that of a rectified image (image_rect): P applies, without distortion, and R leads
                back to the camera's optical frame.

        Raises:
            CalibrationError: the camera is not calibrated, or its calibration is malformed or of an unknown model.
        """
        _check(calibration, rectified)
        self.calibration = calibration
        k, p = calibration.k, calibration.p
        fx, fy, cx, cy, skew = (p[0], p[5], p[2], p[6], p[1]) if rectified else (k[0], k[4], k[2], k[5], k[1])
        (bin_x, bin_y), (offset_x, offset_y, _, _) = calibration.binning, calibration.region
        self._focal = np.array([fx / bin_x, fy / bin_y])
        self._skew = skew / bin_x
        self._centre = np.array([(cx - offset_x) / bin_x, (cy - offset_y) / bin_y])
        self._rectification = np.array(calibration.r, np.float64).reshape(3, 3) if rectified else None
        self._lens: Lens = PinholeLens(()) if rectified else lens_for(calibration.distortion_model, calibration.d)
        self._rays: dict[Size, NDArray[np.float32]] = {}

    def rays(self, mask_size: Size) -> NDArray[np.float32]:
        """Return where every pixel of a mask looks; computed once for a size, and not to be changed.

        Args:
            mask_size: of any size and aspect.

        Returns:
            float32 (H, W, 3) unit directions in the optical frame; NaN where the lens model cannot be inverted.

        Raises:
            CalibrationError: a side of the mask is less than 2 pixels, or more than MAX_SIDE.
        """
        self._scale(mask_size)
        if mask_size not in self._rays:
            places = np.meshgrid(np.arange(mask_size.width), np.arange(mask_size.height))
            rays = self.directions(np.stack(places, axis=-1).reshape(-1, 2), mask_size)
            table = rays.astype(np.float32).reshape(mask_size.height, mask_size.width, 3)
            table.flags.writeable = False
            self._rays = {mask_size: table}  # a camera's masks have one size; an older one is not needed any more
        return self._rays[mask_size]

    def directions(self, pixels: NDArray[Any], mask_size: Size) -> NDArray[np.float64]:
        """Return where places of a mask look, computed anew.

        Args:
            pixels: (N, 2), u and v, also outside the mask.
            mask_size: of any size and aspect.

        Returns:
            float64 (N, 3) unit directions in the optical frame; NaN where the lens model cannot be inverted.

        Raises:
            CalibrationError: a side of the mask is less than 2 pixels, or more than MAX_SIDE.
        """
        normalised = (pixels * self._scale(mask_size) - self._centre) / self._focal
        normalised[:, 0] -= self._skew / self._focal[0] * normalised[:, 1]
        rays = self._lens.directions(normalised, _MAX_ERROR / float(self._focal.max()))
        if self._rectification is not None:
            rays = rays @ self._rectification  # R^T of each
        return rays / np.sqrt(np.einsum("ij,ij->i", rays, rays))[:, None]

    def project(self, points: NDArray[np.float64], mask_size: Size) -> NDArray[np.float64]:
        """Return the pixels of a mask at which points are seen.

        Args:
            points: (N, 3) in the optical frame, metres.
            mask_size: of any size and aspect.

        Returns:
            float64 (N, 2), u and v, also outside the mask; the centre of its top left pixel is (0, 0). NaN for points
            behind the camera or beyond the range of the lens model.

        Raises:
            CalibrationError: a side of the mask is less than 2 pixels, or more than MAX_SIDE.
        """
        normalised = self._lens.distort(points if self._rectification is None else points @ self._rectification.T)
        pixels = normalised * self._focal + self._centre
        pixels[:, 0] += self._skew * normalised[:, 1]
        return pixels / self._scale(mask_size)

    def focal_length(self, mask_size: Size) -> float:
        """Return the smaller focal length in pixels of a mask: a pixel in its middle is 1 / f radians wide, or less."""
        return float((self._focal / self._scale(mask_size)).min())

    def _scale(self, mask_size: Size) -> NDArray[np.float64]:
        """Pixels of the image for one of the mask, along x and y."""
        if not all(2 <= side <= MAX_SIDE for side in mask_size):
            raise CalibrationError(
                f"camera model: received a mask of {mask_size} pixels, expected at least 2x2 and at most {MAX_SIDE} a "
                "side"
            )
        image = self.calibration.image_size
        return np.array([(image.width - 1) / (mask_size.width - 1), (image.height - 1) / (mask_size.height - 1)])


def _check(calibration: Calibration, rectified: bool) -> None:
    for name, length in (("k", 9), ("r", 9), ("p", 12)):
        values = getattr(calibration, name)
        if len(values) != length:
            raise CalibrationError(f"camera calibration: {name} has {len(values)} numbers, expected {length}")
    for name in ("d", "k", "r", "p"):
        if not all(map(math.isfinite, getattr(calibration, name))):
            received = getattr(calibration, name)
            raise CalibrationError(f"camera calibration: {name} is {shown(received)}, expected finite numbers")
    if not any(calibration.k):
        raise CalibrationError(
            "the camera is not calibrated (K is zero in its CameraInfo): calibrate it, for example with "
            "camera_calibration, and have its driver load the result"
        )
    if max(map(abs, calibration.d), default=0.0) > _LARGEST_COEFFICIENT:
        raise CalibrationError(
            f"camera calibration: d is {shown(calibration.d)}, expected distortion coefficients of "
            f"{_LARGEST_COEFFICIENT:g} at most; calibrate the camera again"
        )
    x, y, width, height = calibration.region
    image = calibration.image_size
    is_inside = x >= 0 and y >= 0 and x + width <= calibration.width and y + height <= calibration.height
    if not is_inside or not all(2 <= side <= MAX_SIDE for side in image):
        raise CalibrationError(
            f"camera calibration: an image of {calibration.width}x{calibration.height} pixels with the region "
            f"of interest {width}x{height} at ({x}, {y}) and binning {calibration.binning} is impossible: its sides "
            f"must be from 2 to {MAX_SIDE} pixels after binning, and the region inside the image"
        )
    _check_matrix(calibration, rectified)
    if rectified:
        rotation = np.array(calibration.r).reshape(3, 3)
        if np.abs(rotation).max() > 2 or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            raise CalibrationError(f"camera calibration: R is {calibration.r}, expected a rotation")


def _check_matrix(calibration: Calibration, rectified: bool) -> None:
    """Refuse focal lengths and an optical axis that no camera with such an image has; they make tables without end."""
    name, matrix, width = ("P", calibration.p, 4) if rectified else ("K", calibration.k, 3)
    focal, centre, skew = (matrix[0], matrix[width + 1]), (matrix[2], matrix[width + 2]), matrix[1]
    size = (calibration.width, calibration.height)
    if min(focal) <= 0:
        raise CalibrationError(f"camera calibration: the focal lengths in {name} are {focal}, expected more than 0")
    image = f"for an image of {calibration.width}x{calibration.height} pixels"
    least, most = _FOCAL_LENGTHS
    if not all(least * side <= length <= most * side for length, side in zip(focal, size, strict=True)):
        raise CalibrationError(
            f"camera calibration: the focal lengths in {name} are {focal} {image}, expected from {least:g} to {most:g} "
            "times its sides; are width, height and the matrix of the same calibration?"
        )
    away = [abs(at - side / 2) / side for at, side in zip(centre, size, strict=True)]
    if max(away) > _MOST_SIDES_AWAY or abs(skew) > focal[0]:
        raise CalibrationError(
            f"camera calibration: the optical axis in {name} is at {centre} with a skew of {skew:g} {image}, expected "
            f"it at most {_MOST_SIDES_AWAY:g} of its sides from its middle, and a skew below the focal length"
        )
