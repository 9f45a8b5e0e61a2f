"""Messages to frames and arrays to messages; every image that cannot be used is refused here, with the reason."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from fanet_ros.errors import FrameError
from fanet_ros.frame import CHANNELS
from fanet_ros.labels import LabelSet


class UnusableImageError(FrameError):
    """A message that is no usable image.

    Attributes:
        kind: short name of what is wrong (`size`, `step`, `buffer`, `encoding`, `compression`), for counting.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def frame_from_image(message: Image) -> tuple[NDArray[np.uint8], str]:
    """Read a raw image.

    Returns:
        The frame, uint8 (H, W, C), and its encoding. For rgb8, bgr8, rgba8, bgra8 and mono8 the frame is a view of
        the message's own buffer, whatever its `step`; every other encoding is converted to bgr8 by cv_bridge.

    Raises:
        UnusableImageError: size, step, length of the data or encoding make no image.
    """
    height, width, step, encoding = message.height, message.width, message.step, message.encoding
    if height == 0 or width == 0:
        raise UnusableImageError("size", f"image of size {width}x{height}, expected at least 1x1 pixels")
    channels = CHANNELS.get(encoding)
    if channels is None:
        return _convert_with_cv_bridge(message), "bgr8"
    if step < width * channels:
        raise UnusableImageError(
            "step", f"step of {step} bytes, expected at least {width * channels} ({width} pixels of {encoding})"
        )
    # the last row needs no padding: some drivers leave it out
    needed = step * (height - 1) + width * channels
    if len(message.data) < needed:
        raise UnusableImageError(
            "buffer", f"{len(message.data)} bytes of data, expected {step * height} ({height} rows of {step} bytes)"
        )
    buffer = np.frombuffer(message.data, np.uint8)
    return np.ndarray((height, width, channels), np.uint8, buffer, strides=(step, channels, 1)), encoding


def frame_from_compressed_image(message: CompressedImage) -> tuple[NDArray[np.uint8], str]:
    """Decode a JPEG or PNG image.

    Returns:
        The frame, uint8 (H, W, 3), and its encoding, bgr8.

    Raises:
        UnusableImageError: the data is no image OpenCV can decode.
    """
    if not len(message.data):
        raise UnusableImageError("buffer", f"compressed image (format '{message.format}') without data")
    try:
        frame = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
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


class ImageMessageWriter:
    """Fills one image message again and again, so that its buffer is allocated once per size.

    rclpy checks `data` element by element unless it is an array.array, and publishing copies it out, so the same
    message can be reused for the next frame.
    """

    def __init__(self) -> None:
        self._message = Image()

    def write(self, header: Header, pixels: NDArray[np.uint8], encoding: str) -> Image:
        """Return an image message of `pixels`, valid until the next call.

        Args:
            header: of the camera image, taken over untouched.
            pixels: uint8, (H, W) or (H, W, C).
            encoding: as in sensor_msgs/image_encodings.
        """
        message = self._message
        if len(message.data) != pixels.size:
            message.data = array.array("B", bytes(pixels.size))
        np.frombuffer(message.data, np.uint8).reshape(pixels.shape)[...] = pixels
        message.header = header
        message.height, message.width = pixels.shape[:2]
        message.encoding = encoding
        message.step = pixels.size // message.height
        return message


def label_info_message(label_set: LabelSet, threshold: float, stamp: Time) -> LabelInfo:
    """Return the class names by id and the confidence threshold of the masks."""
    message = LabelInfo()
    message.header.stamp = stamp
    message.class_map = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(label_set.names)]
    message.threshold = threshold
    return message


_bridge: Any = None


def _convert_with_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """Convert any other encoding (Bayer, YUV, 16 bit) to bgr8."""
    global _bridge
    if _bridge is None:
        try:
            from cv_bridge import CvBridge
        except ImportError as error:
            raise UnusableImageError(
                "encoding",
                f"encoding '{message.encoding}' needs cv_bridge, which is not installed ({error}); install it or "
                f"publish one of {', '.join(CHANNELS)}",
            ) from None
        _bridge = CvBridge()
    try:
        frame = _bridge.imgmsg_to_cv2(message, "bgr8")
    except Exception as error:  # cv_bridge raises its own, OpenCV's, numpy's and KeyError, by release and encoding
        raise UnusableImageError(
            "encoding",
            f"encoding '{message.encoding}' ({message.width}x{message.height}, step {message.step}, "
            f"{len(message.data)} bytes) cannot be converted by cv_bridge: {error}",
        ) from None
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape != (message.height, message.width, 3):
        raise UnusableImageError(
            "encoding", f"encoding '{message.encoding}' became {frame.dtype} {frame.shape}, expected uint8 bgr8"
        )
    return frame
