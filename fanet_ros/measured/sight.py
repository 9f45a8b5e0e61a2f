"""Which pixel of the mask sees which measured point."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.pose import CameraPose
from fanet_ros.measured.kernels import Floats
from fanet_ros.settings import Size

NONE = -1
"""Index of a pixel or a point that is none."""

_BEHIND, _BEHIND_SHARE = 0.05, 0.02  # metres, and share of its distance, that a point may lie behind the nearest one


class Sight:
    """The two maps between points and pixels.

    Attributes:
        pixel_of_point: int32 (N,), index into the mask; NONE for points outside of it, or hidden in it by nearer ones.
        point_of_pixel: int32 (H, W), the point that a pixel sees; NONE without one.
    """

    def __init__(self, pixel_of_point: NDArray[np.int32], point_of_pixel: NDArray[np.int32]) -> None:
        self.pixel_of_point, self.point_of_pixel = pixel_of_point, point_of_pixel
        is_as_long = pixel_of_point.size == point_of_pixel.size
        self._is_same = is_as_long and bool((pixel_of_point == np.arange(pixel_of_point.size)).all())

    def labels(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the class id of every point, uint8 (N,); 255 for those that no pixel sees. May be the mask itself."""
        if self._is_same:
            return np.ascontiguousarray(mask).reshape(-1)
        ids = np.append(mask.reshape(-1), np.uint8(255))
        return ids[self.pixel_of_point]  # NONE is the last one


def registered_sight(depth: CameraModel, depth_size: Size, mask: CameraModel, mask_size: Size) -> Sight:
    """Return how the pixels of two images through one and the same optical centre meet: for all frames.

    Args:
        depth: the depth image's camera, whose optical frame is the mask's.
        depth_size: of the depth image.
        mask: the mask's camera.
        mask_size: of the mask.
    """
    onto_mask = mask.project(_directions(depth, depth_size), mask_size)
    onto_depth = depth.project(_directions(mask, mask_size), depth_size)
    shape = mask_size.height, mask_size.width
    return Sight(_indices(onto_mask, mask_size), _indices(onto_depth, depth_size).reshape(shape))


def projected_sight(points: Floats, camera: CameraModel, pose: CameraPose, mask_size: Size) -> Sight:
    """Return what a mask sees of points that another sensor measured, nearer ones hiding those behind.

    Hidden is looked for in squares of the mask that are as large as points lie apart, so that the gaps between a
    lidar's points do not show what is behind them.

    Args:
        points: float32 (N, 3) in the base frame, NaN for none.
        camera: the mask's.
        pose: of its optical frame in the base frame.
        mask_size: of the mask.
    """
    pixel_of_point = np.full(len(points), NONE, np.int32)
    point_of_pixel = np.full(mask_size.height * mask_size.width, NONE, np.int32)
    optical = (points - pose.position.astype(np.float32)) @ pose.base_from_optical.astype(np.float32)
    seen = np.flatnonzero(~np.isnan(optical[:, 2]))
    pixels = _indices(camera.project(optical[seen].astype(np.float64), mask_size), mask_size)
    is_inside = pixels != NONE
    seen, pixels = seen[is_inside], pixels[is_inside]
    if seen.size:
        distances = np.sqrt((optical[seen] * optical[seen]).sum(axis=1))
        side = max(1, math.ceil(math.sqrt(point_of_pixel.size / seen.size) - 1e-6))
        across = -(-mask_size.width // side)
        squares = pixels // mask_size.width // side * across + pixels % mask_size.width // side
        nearest = np.full(across * -(-mask_size.height // side), np.inf, np.float32)
        np.minimum.at(nearest, squares, distances)
        is_visible = distances <= nearest[squares] * (1 + _BEHIND_SHARE) + _BEHIND
        seen, pixels = seen[is_visible], pixels[is_visible]
        pixel_of_point[seen] = pixels
        order = np.argsort(
            -distances[is_visible], kind="stable"
        )  # of several points in a pixel the nearest is the last
        point_of_pixel[pixels[order]] = seen[order]
    return Sight(pixel_of_point, point_of_pixel.reshape(mask_size.height, mask_size.width))


def _directions(camera: CameraModel, size: Size) -> NDArray[np.float64]:
    return camera.rays(size).reshape(-1, 3).astype(np.float64)


def _indices(pixels: NDArray[np.float64], size: Size) -> NDArray[np.int32]:
    """Indices of the pixels in which places (N, 2) lie, int32 (N,); NONE outside."""
    with np.errstate(invalid="ignore"):
        places = np.floor(pixels + 0.5)
        is_inside = np.all((places >= 0) & (places < (size.width, size.height)), axis=1)
    columns, rows = np.where(is_inside[:, None], places, 0).astype(np.int32).T
    return np.where(is_inside, rows * np.int32(size.width) + columns, np.int32(NONE))
