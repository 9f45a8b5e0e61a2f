"""The mask as an organised cloud of measured points: place, colour, class, confidence, height, and what decided."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.ground.semantic_cloud import CloudField
from fanet_ros.measured.kernels import measured_cloud
from fanet_ros.measured.view import MeasuredView

POINT_STEP = 24
"""Bytes of one point; one of them is padding."""

_FLOAT32, _UINT8 = 7, 2  # of sensor_msgs/PointField

FIELDS = (
    CloudField("x", 0, _FLOAT32),
    CloudField("y", 4, _FLOAT32),
    CloudField("z", 8, _FLOAT32),
    CloudField("rgb", 12, _FLOAT32),
    CloudField("label", 16, _UINT8),
    CloudField("confidence", 17, _UINT8),
    CloudField("source", 18, _UINT8),
    CloudField("height", 20, _FLOAT32),
)
"""x, y, z in the base frame and height above the ground, metres, NaN where the pixel sees no measured point; rgb as PCL
packs it; source: see kernels.Source."""


def colours_of(palette: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return colours as PCL packs them, uint32 (256,): 0x00RRGGBB, of a palette uint8 (256, 3)."""
    red, green, blue = palette.astype(np.uint32).T
    return red << 16 | green << 8 | blue


def fill_cloud(
    view: MeasuredView,
    mask: NDArray[np.uint8],
    confidence: NDArray[np.uint8] | None,
    colours: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Write one point of POINT_STEP bytes for every pixel of the mask, row by row, little-endian, and return them.

    Args:
        view: of the mask's moment.
        mask: uint8 (H, W), class ids.
        confidence: uint8 (H, W), or None for 255 everywhere.
        colours: from colours_of.
        out: uint8 (H * W * 24,), is written.

    Raises:
        FrameError: mask, confidence or memory have another size than the view.
    """
    shape = view.sight.point_of_pixel.shape
    for name, image in (("mask", mask), ("confidence", confidence)):
        if image is not None and (image.shape != shape or image.dtype != np.uint8):
            raise FrameError(f"{name}: received {image.dtype} of shape {image.shape}, expected uint8 of shape {shape}")
    if out.size != mask.size * POINT_STEP:
        raise FrameError(f"cloud: received memory of {out.size} bytes, expected {mask.size * POINT_STEP}")
    mask = np.ascontiguousarray(mask)
    confidence = None if confidence is None else np.ascontiguousarray(confidence)
    measured_cloud(view.sight.point_of_pixel, view.points, view.above, view.sources, mask, confidence, colours, out)
    return out
