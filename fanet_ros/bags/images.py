"""Recorded images to frames; every image that cannot be used is refused here, with the reason.

The checks are those of fanet_ros/ros/conversions.py, which needs ROS.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.bags.messages import IMAGE
from fanet_ros.encoded_size import HEADER_BYTES, encoded_size
from fanet_ros.errors import FrameError
from fanet_ros.frame import CHANNELS, check_frame_size

# OpenCV names a Bayer pattern by its second row and column, ROS by its first.
_CONVERSIONS = {
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
}
"""Bytes per pixel and OpenCV's conversion to bgr8."""

ENCODINGS = (*CHANNELS, *_CONVERSIONS)
"""Of raw images that can be segmented (names: sensor_msgs/image_encodings)."""


class UnusableImageError(FrameError):
    """A recorded message that is no usable image.

    Attributes:
        kind: short name of what is wrong (`message`, `size`, `step`, `buffer`, `encoding`, `compression`), for
            counting.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def frame_of(message: Any, type_name: str) -> tuple[NDArray[np.uint8], str]:
    """Read a message of type `IMAGE` or `COMPRESSED_IMAGE`.

    Returns:
        The frame, uint8 (H, W, C), and its encoding. For rgb8, bgr8, rgba8, bgra8 and mono8 the frame is a view of
        the message's data, whatever its `step`; every other encoding and compressed images are converted to bgr8.

    Raises:
        UnusableImageError: size, step, length of the data, encoding or compression make no image.
    """
    return _raw(message) if type_name == IMAGE else _compressed(message)


def _raw(message: Any) -> tuple[NDArray[np.uint8], str]:
    height, width, step, encoding = message.height, message.width, message.step, message.encoding
    _check_size(width, height)
    if encoding in CHANNELS:
        channels = CHANNELS[encoding]
        rows = _rows(message, width * channels)
        return np.ndarray((height, width, channels), np.uint8, rows, strides=(step, channels, 1)), encoding
    if encoding not in _CONVERSIONS:
        raise UnusableImageError("encoding", f"encoding '{encoding}', expected one of {', '.join(ENCODINGS)}")
    channels, conversion = _CONVERSIONS[encoding]
    if height < 2 or width < 2 or (channels == 2 and width % 2):
        raise UnusableImageError("size", f"image of size {width}x{height}, which encoding '{encoding}' cannot have")
    rows = _rows(message, width * channels)
    packed = np.ndarray((height, width, channels), np.uint8, rows, strides=(step, channels, 1))
    return cv2.cvtColor(packed, conversion), "bgr8"


def _compressed(message: Any) -> tuple[NDArray[np.uint8], str]:
    if not len(message.data):
        raise UnusableImageError("buffer", f"compressed image (format '{message.format}') without data")
    size = encoded_size(bytes(message.data[:HEADER_BYTES]))
    if size is not None:
        _check_size(*size)  # before decoding: a few kB can unfold to gigabytes
    try:
        # a rotation in the file's EXIF data would no longer match the camera's calibration
        frame = cv2.imdecode(message.data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        frame, reason = None, f": {error}"
    else:
        reason = ""
    if frame is None:
        raise UnusableImageError(
            "compression",
            f"{len(message.data)} bytes of format '{message.format}' cannot be decoded, expected JPEG or PNG{reason}",
        )
    return frame, "bgr8"


def _check_size(width: int, height: int) -> None:
    try:
        check_frame_size(width, height)
    except FrameError as error:
        raise UnusableImageError("size", str(error)) from None


def _rows(message: Any, row_bytes: int) -> NDArray[np.uint8]:
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
    return np.asarray(message.data, np.uint8)
