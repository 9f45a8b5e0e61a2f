"""ROS messages to frames (by cv_bridge where frames.image_messages cannot), and arrays to ROS messages."""

from __future__ import annotations

import array
import logging
import math
import re
import sys
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from fanet_ros.frames.image_messages import (
    ENCODINGS,
    UnusableImageError,
    check_shows_picture,
    check_size,
    frame_of_compressed,
    frame_of_raw,
    rows_of,
)
from fanet_ros.model.labels import LabelSet
from fanet_ros.untrusted.text import printable, shown


def frame_from_image(message: Image | CompressedImage) -> tuple[NDArray[np.uint8], str]:
    """Read a raw image, or decode a JPEG or PNG image.

    Returns:
        The frame, uint8 (H, W, C), and its encoding. For raw rgb8, bgr8, rgba8, bgra8 and mono8 the frame is a view of
        the message's own buffer, whatever its `step`; all else becomes bgr8, what is none of ENCODINGS by cv_bridge.

    Raises:
        UnusableImageError: size, step, length of the data or encoding make no image, or OpenCV cannot decode it.
    """
    if isinstance(message, CompressedImage):
        return frame_of_compressed(message), "bgr8"
    if message.encoding in ENCODINGS:
        return frame_of_raw(message)
    check_size(message.width, message.height)
    return _convert_with_cv_bridge(message), "bgr8"


class ImageMessageWriter:
    """Fills one image message again and again, so that its memory is allocated once per size.

    rclpy checks `data` element by element unless it is an array.array, and publishing copies it out, so the same
    message can be reused for the next frame.
    """

    def __init__(self) -> None:
        self._message = Image()
        self._pixels = np.empty(0, np.uint8)

    def pixels(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the message's own memory as an array of that shape, (H, W) or (H, W, C), to write pixels into."""
        if self._pixels.shape != shape:
            self._message.data = array.array("B", bytes(math.prod(shape)))
            self._pixels = np.frombuffer(self._message.data, np.uint8).reshape(shape)
        return self._pixels

    def write(self, header: Header, pixels: NDArray[np.uint8], encoding: str) -> Image:
        """Return an image message of `pixels`, valid until the next call.

        Args:
            header: of the camera image, taken over untouched.
            pixels: uint8, (H, W) or (H, W, C); copied unless it is what `pixels` has returned.
            encoding: as in sensor_msgs/image_encodings.
        """
        own = self.pixels(pixels.shape)
        if not np.may_share_memory(own, pixels):
            own[...] = pixels
        message = self._message
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


_log = logging.getLogger(__name__)

_bridge: Any = None


def _convert_with_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """Convert any other encoding (Bayer, YUV, 16 bit) to bgr8."""
    global _bridge
    message = _without_padding(message)
    check_shows_picture(message.encoding)  # whatever the installed cv_bridge would make of it
    if _bridge is None:
        try:
            from cv_bridge import CvBridge
        except ImportError as error:
            raise UnusableImageError(
                "encoding",
                f"encoding {shown(message.encoding)} needs cv_bridge, which is not installed ({error}); install it or "
                f"publish one of {', '.join(ENCODINGS)}",
            ) from None
        _bridge = CvBridge()
    try:
        frame = _bridge.imgmsg_to_cv2(message, "bgr8")
    except Exception as error:  # cv_bridge raises its own, OpenCV's, numpy's and KeyError, by release and encoding
        _log.debug("cv_bridge failed", exc_info=True)
        raise UnusableImageError(
            "encoding",
            f"encoding {shown(message.encoding)} ({message.width}x{message.height}, step {message.step}, "
            f"{len(message.data)} bytes) cannot be converted by the installed cv_bridge "
            f"({type(error).__name__}: {printable(str(error))}); publish one of {', '.join(ENCODINGS)}",
        ) from None
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape != (message.height, message.width, 3):
        raise UnusableImageError(
            "encoding", f"encoding {shown(message.encoding)} became {frame.dtype} {frame.shape}, expected uint8 bgr8"
        )
    return frame


def _without_padding(message: Image) -> Image:
    """Return an image of one pixel after the other in this machine's byte order, checked as plain encodings are.

    The cv_bridge of ROS honours `step` and `is_bigendian`, the one on package indexes does not. Planar encodings
    (nv12 and its like) are passed on as they are.
    """
    layout = _pixel_layout(message.encoding)
    if layout is None:
        return message
    pixel_bytes, sample_bytes = layout
    row_bytes = message.width * pixel_bytes
    rows = rows_of(message, row_bytes)
    swapped = sample_bytes > 1 and bool(message.is_bigendian) != (sys.byteorder == "big")
    if message.step == row_bytes and not message.is_bigendian:
        return message
    tight = np.ndarray((message.height, row_bytes), np.uint8, rows, strides=(message.step, 1)).copy()
    if swapped:
        tight = tight.view(np.dtype(f"u{sample_bytes}")).byteswap().view(np.uint8)
    return Image(
        header=message.header,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=row_bytes,
        data=array.array("B", tight.tobytes()),
    )


def _pixel_layout(encoding: str) -> tuple[int, int] | None:
    """Return bytes per pixel and bytes per sample of a packed encoding; None for planar and unknown ones."""
    if encoding in ("yuv422", "yuv422_yuy2", "uyvy", "yuyv"):
        return 2, 1
    if match := re.fullmatch(r"bayer_[a-z]{4}(8|16)|mono(16)", encoding):
        sample = int(match[1] or match[2]) // 8
        return sample, sample
    if match := re.fullmatch(r"(rgb|bgr)(a?)16", encoding):
        return 2 * (4 if match[2] else 3), 2
    if match := re.fullmatch(r"(8|16|32|64)[USF]C([1-4])", encoding):
        sample = int(match[1]) // 8
        return sample * int(match[2]), sample
    return None
