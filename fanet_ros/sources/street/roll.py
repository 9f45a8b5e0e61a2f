"""A rolled camera: a larger view is painted without roll, and turned about the optical axis."""

from __future__ import annotations

import math
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.geometry import View
from fanet_ros.sources.street.raster import Canvas

_Pixel = TypeVar("_Pixel", np.uint8, np.uint16)


def level_intrinsics(rolled: Intrinsics, roll: float) -> Intrinsics:
    """The pinhole that sees all that `rolled` sees when it is turned by up to `roll` radians to either side."""
    k, turn = rolled, abs(math.sin(roll))
    x, y = max(k.cx, k.width - 1 - k.cx) / k.fx, max(k.cy, k.height - 1 - k.cy) / k.fy
    half_width, half_height = math.ceil((x + turn * y) * k.fx) + 1, math.ceil((y + turn * x) * k.fy) + 1
    return Intrinsics(2 * half_width + 1, 2 * half_height + 1, k.fx, k.fy, half_width, half_height)


def rolled_canvas(level: Canvas, view: View) -> Canvas:
    """What a canvas shows to a camera that differs from its own only in roll and size.

    Labels and surfaces are those of the nearest pixel, so they agree; depths are as exact as without roll, since the
    roll turns a camera about its optical axis. The image is interpolated.

    Args:
        level: painted without roll, with the intrinsics of `level_intrinsics`.
        view: of the rolled camera.
    """
    roll, k, wide = view.pose.roll, view.intrinsics, level.view.intrinsics
    s, c = math.sin(roll), math.cos(roll)
    turn = np.array([[c, -s * k.fx / k.fy], [s * k.fy / k.fx, c]])  # pixels from the principal points
    to_level = np.column_stack((turn, np.array([wide.cx, wide.cy]) - turn @ (k.cx, k.cy)))

    def warped(picture: NDArray[_Pixel], flags: int) -> NDArray[_Pixel]:
        size = (k.width, k.height)
        return cast("NDArray[_Pixel]", cv2.warpAffine(picture, to_level, size, flags=flags | cv2.WARP_INVERSE_MAP))

    canvas = Canvas(view)
    canvas.image = warped(level.image, cv2.INTER_LINEAR)
    canvas.labels = warped(level.labels, cv2.INTER_NEAREST)
    if level.surfaces is not None:
        canvas.surfaces = level.surfaces.turned(warped(level.surfaces.ids, cv2.INTER_NEAREST), k, roll)
    return canvas
