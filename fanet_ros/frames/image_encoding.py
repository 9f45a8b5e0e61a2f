"""Encoding images for thin links: labels without loss as PNG, pictures as JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def png_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels, uint8 (H, W), as the bytes of a PNG file, uint8 (N,), from which they come back exactly.

    No level is asked for: OpenCV is tuned for speed then (zlib's fastest level, run lengths), which for labels is a
    third of the time of its level 1, and smaller.
    """
    return _encoded(".png", pixels, [])


def jpeg_of(picture: NDArray[np.uint8], encoding: str, quality: int) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), as the bytes of a JPEG file, uint8 (N,).

    Args:
        picture: to encode.
        encoding: of the picture, `rgb8` or `bgr8`.
        quality: from 1 to 100.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if encoding == "rgb8" else picture
    return _encoded(".jpg", np.asarray(bgr, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encoded(ending: str, pixels: NDArray[np.uint8], options: list[int]) -> NDArray[np.uint8]:
    _, data = cv2.imencode(ending, pixels, options)  # raises where it fails
    return np.asarray(data, np.uint8).reshape(-1)
