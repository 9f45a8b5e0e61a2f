"""Image messages of any origin, live or recorded, to frames; what cannot be used is refused here, with the reason.

A message is whatever has the fields of sensor_msgs/Image or CompressedImage: this needs no ROS.
"""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.frames.encoded_image import TooLargeError, UndecodableError, decode_image
from fanet_ros.frames.encoded_size import PNG_SIGNATURE
from fanet_ros.frames.frame import CHANNELS, check_frame_size
from fanet_ros.untrusted.text import shown

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
"""Of raw images that are read without cv_bridge (names: sensor_msgs/image_encodings)."""

_PNG_PIXEL, _GREY_8 = slice(24, 26), bytes((8, 0))  # IHDR: bits of a sample, and kind of colour (PNG, 11.2.2)
# All of sensor_msgs/image_encodings that says how numbers lie but not what they show, without what may be a picture.
_NUMBERS = re.compile(r"(?!8UC[134]$)(8|16|32|64)[USF]C[1-4]", re.IGNORECASE)
_YUV = re.compile(r"(yuv|uyvy|yuyv|yuy2|nv\d|i420).*")


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


def frame_of_raw(message: Any) -> tuple[NDArray[np.uint8], str]:
    """Return the pixels of a raw image in one of `ENCODINGS`.

    Returns:
        The frame, uint8 (H, W, C), and its encoding. For rgb8, bgr8, rgba8, bgra8 and mono8 the frame is a view of the
        message's data, whatever its `step`; every other encoding becomes bgr8.

    Raises:
        UnusableImageError: size, step, length of the data or encoding make no image.
    """
    height, width, encoding = message.height, message.width, message.encoding
    check_size(width, height)
    if encoding in CHANNELS:
        return pixels_of(message, CHANNELS[encoding]), encoding
    if encoding not in _CONVERSIONS:
        raise UnusableImageError("encoding", f"encoding {shown(encoding)}, expected one of {', '.join(ENCODINGS)}")
    channels, conversion = _CONVERSIONS[encoding]
    if height < 2 or width < 2 or (channels == 2 and width % 2):
        raise UnusableImageError("size", f"image of size {width}x{height}, which encoding '{encoding}' cannot have")
    return np.asarray(cv2.cvtColor(pixels_of(message, channels), conversion), np.uint8), "bgr8"


def shows_picture(encoding: str) -> bool:
    """Whether it is none of the encodings of numbers that are no colours: distances (REP 118), disparities, ids."""
    return _NUMBERS.fullmatch(encoding) is None


def check_shows_picture(encoding: str) -> None:
    """Refuse encodings of numbers.

    Raises:
        UnusableImageError: `encoding` is one of them.
    """
    if not shows_picture(encoding):
        raise UnusableImageError("encoding", f"encoding {shown(encoding)}: numbers such as distances, and no picture")


def ids_of_compressed(message: Any) -> NDArray[np.uint8]:
    """Decode a mask, uint8 (H, W), contiguous, from the PNG in which it was compressed without loss.

    Raises:
        UnusableImageError: the data is no 8-bit grey PNG, too large or damaged.
    """
    data = bytes(message.data)
    expected = "expected a PNG of 8-bit grey, as the segmentation node publishes it on ~/mask/compressed"
    if not data.startswith(PNG_SIGNATURE) or data[_PNG_PIXEL] != _GREY_8:
        raise UnusableImageError("encoding", f"{len(data)} bytes of format {shown(message.format)}, {expected}")
    return np.ascontiguousarray(_decoded(message), np.uint8)


def frame_of_compressed(message: Any) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG image to bgr8, uint8 (H, W, 3).

    The format says what was encoded, as image_transport writes it: "bayer_rggb8; jpeg compressed bgr8". A mosaic of
    Bayer that was encoded as it is becomes a picture; numbers (16UC1, 32FC1, compressedDepth) are none.

    Raises:
        UnusableImageError: the data is neither, too large or damaged, or shows no picture.
    """
    words = shown(message.format)
    if not len(message.data):
        raise UnusableImageError("buffer", f"compressed image (format {words}) without data")
    encoding, _, compression = (part.strip() for part in message.format.partition(";"))
    check_shows_picture(encoding)
    encoding, compression = encoding.lower(), compression.lower()
    if "compresseddepth" in (encoding, *compression.split()):
        raise UnusableImageError("encoding", f"format {words}: numbers such as distances, and no picture")
    bayer = re.fullmatch("(bayer_.*?)(16|8)?", encoding)
    demosaic = _CONVERSIONS.get(f"{bayer[1]}8") if bayer else None
    if bayer and demosaic is None:
        raise UnusableImageError("encoding", f"format {words}, expected one of {', '.join(ENCODINGS)}")
    image = _decoded(message)
    if image.dtype == np.uint16:
        if image.ndim == 2 and not (bayer or encoding == "mono16"):
            raise UnusableImageError("encoding", f"16-bit grey image (format {words}): distances, and no picture")
        image = (image >> 8).astype(np.uint8)
    if demosaic is not None and min(image.shape[:2]) >= 2:
        mosaic = image if image.ndim == 2 else image[..., 0]
        if image.ndim == 2 or all(np.array_equal(image[..., channel], mosaic) for channel in (1, 2)):
            return np.asarray(cv2.cvtColor(mosaic, demosaic[1]), np.uint8)
    if image.ndim == 3:
        return np.asarray(image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    if _YUV.fullmatch(encoding) and not compression.endswith("mono8"):
        raise UnusableImageError(
            "encoding", f"grey image of format {words}: whether its brightness or its bytes as they are cannot be told"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def _decoded(message: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode the data of a message as its pixels are, (H, W) or (H, W, C)."""
    try:
        # as they lie in the file: a rotation in its EXIF data would no longer match the camera's calibration
        image = decode_image(bytes(message.data), cv2.IMREAD_UNCHANGED)
    except TooLargeError as error:
        raise UnusableImageError("size", f"compressed image: {error}") from None
    except UndecodableError as error:
        words = shown(message.format)
        raise UnusableImageError(
            "compression",
            f"{len(message.data)} bytes of format {words} cannot be decoded, expected JPEG or PNG: {error}",
        ) from None
    check_size(image.shape[1], image.shape[0])
    return image
