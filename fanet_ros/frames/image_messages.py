"""Image messages of any origin, live or recorded, to frames; what cannot be used is refused here, with the reason.

A message is whatever has the fields of sensor_msgs/Image or CompressedImage: this needs no ROS.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.frames.encoded_size import HEADER_BYTES, encoded_size
from fanet_ros.frames.frame import check_frame_size


class UnusableImageError(FrameError):
    """A message that is no usable image.

    Attributes:
        kind: short name of what is wrong (`message`, `size`, `step`, `buffer`, `encoding`, `compression`), for
            counting.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_size(width: int, height: int) -> None:
    """Accept the size of a frame.

    Raises:
        UnusableImageError: it is none.
    """
    try:
        check_frame_size(width, height)
    except FrameError as error:
        raise UnusableImageError("size", str(error)) from None


def rows_of(message: Any, row_bytes: int) -> NDArray[np.uint8]:
    """Return the data of an image whose rows have `row_bytes` bytes and perhaps padding, after checking both.

    Raises:
        UnusableImageError: the step is shorter than a row, or the data than the rows.
    """
    height, width, step = message.height, message.width, message.step
    if step < row_bytes:
        raise UnusableImageError(
            "step", f"step of {step} bytes, expected at least {row_bytes} ({width} pixels of {message.encoding})"
        )
    # the last row needs no padding: some drivers leave it out
    if len(message.data) < step * (height - 1) + row_bytes:
        raise UnusableImageError(
            "buffer", f"{len(message.data)} bytes of data, expected {step * height} ({height} rows of {step} bytes)"
        )
    return np.frombuffer(message.data, np.uint8)


def pixels_of(message: Any, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of a raw image of 8-bit channels, uint8 (H, W, C), as a view of its data, whatever its step.

    Raises:
        UnusableImageError: the step is shorter than a row, or the data than the rows.
    """
    height, width, step = message.height, message.width, message.step
    rows = rows_of(message, width * channels)
    return np.ndarray((height, width, channels), np.uint8, rows, strides=(step, channels, 1))


def decode_compressed(message: Any) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG image to bgr8, uint8 (H, W, 3).

    Raises:
        UnusableImageError: the data is no image OpenCV can decode.
    """
    if not len(message.data):
        raise UnusableImageError("buffer", f"compressed image (format '{message.format}') without data")
    size = encoded_size(bytes(message.data[:HEADER_BYTES]))
    if size is not None:
        check_size(*size)  # before decoding: a few kB can unfold to gigabytes
    try:
        # a rotation in the file's EXIF data would no longer match the camera's calibration
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        frame = cv2.imdecode(np.frombuffer(message.data, np.uint8), flags)
    except cv2.error as error:
        frame, reason = None, f": {error}"
    else:
        reason = ""
    if frame is None:
        raise UnusableImageError(
            "compression",
            f"{len(message.data)} bytes of format '{message.format}' cannot be decoded, expected JPEG or PNG{reason}",
        )
    return np.asarray(frame, np.uint8)
