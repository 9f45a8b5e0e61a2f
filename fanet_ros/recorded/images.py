"""Recorded images to frames, also those whose encodings a live node leaves to cv_bridge."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.frames.frame import CHANNELS
from fanet_ros.frames.image_messages import UnusableImageError, check_size, decode_compressed, pixels_of
from fanet_ros.recorded.messages import IMAGE

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


def frame_of(message: Any, type_name: str) -> tuple[NDArray[np.uint8], str]:
    """Read a message of type `IMAGE` or `COMPRESSED_IMAGE`.

    Returns:
        The frame, uint8 (H, W, C), and its encoding. For rgb8, bgr8, rgba8, bgra8 and mono8 the frame is a view of
        the message's data, whatever its `step`; every other encoding and compressed images are converted to bgr8.

    Raises:
        UnusableImageError: size, step, length of the data, encoding or compression make no image.
    """
    return _raw(message) if type_name == IMAGE else (decode_compressed(message), "bgr8")


def _raw(message: Any) -> tuple[NDArray[np.uint8], str]:
    height, width, encoding = message.height, message.width, message.encoding
    check_size(width, height)
    if encoding in CHANNELS:
        return pixels_of(message, CHANNELS[encoding]), encoding
    if encoding not in _CONVERSIONS:
        raise UnusableImageError("encoding", f"encoding '{encoding}', expected one of {', '.join(ENCODINGS)}")
    channels, conversion = _CONVERSIONS[encoding]
    if height < 2 or width < 2 or (channels == 2 and width % 2):
        raise UnusableImageError("size", f"image of size {width}x{height}, which encoding '{encoding}' cannot have")
    return cv2.cvtColor(pixels_of(message, channels), conversion), "bgr8"
