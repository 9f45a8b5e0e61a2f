"""Frames: uint8 images as cameras deliver them, and how they become the network's input."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError, SettingError
from fanet_ros.frames.look import turned_size
from fanet_ros.settings import MAX_PIXELS, MAX_SIDE, MIN_SIDE, Size, read_size

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
"""Bytes per pixel of the encodings that need no conversion to be a frame (names: sensor_msgs/image_encodings)."""

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}

_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
}

# The network's strides are powers of two; a multiple of 8 makes its 1/8-size output grid cover the input evenly.
_SIZE_STEP = 8

# Without a model card nothing is known of the training: look at the camera's own size, but stay affordable.
_FALLBACK_SIZE = Size(1024, 512)


def check_frame(frame: NDArray[np.uint8], encoding: str) -> None:
    """Check that `frame` is an image of the given encoding.

    Args:
        frame: uint8, (H, W, C) with the encoding's channels, or (H, W) for mono8. Rows may be padded (any row stride).
        encoding: one of `CHANNELS`.

    Raises:
        FrameError: with what was received and what is expected.
    """
    if encoding not in CHANNELS:
        raise FrameError(f"received a frame in encoding {encoding!r}, expected one of {', '.join(CHANNELS)}")
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        received = f"an array of {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise FrameError(f"received {received}, expected a uint8 array")
    channels = CHANNELS[encoding]
    fits = (frame.ndim == 3 and frame.shape[2] == channels) or (frame.ndim == 2 and channels == 1)
    if not fits or 0 in frame.shape:
        raise FrameError(
            f"received a frame of shape {frame.shape}, expected (height, width, {channels}) for {encoding}"
        )
    check_frame_size(frame.shape[1], frame.shape[0])


def check_frame_size(width: int, height: int) -> None:
    """Refuse sizes that no camera has and that would take gigabytes to segment.

    Raises:
        FrameError: with what was received and what is expected.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise FrameError(
            f"image of size {width}x{height}, expected 1 to {MAX_SIDE} pixels a side and at most "
            f"{MAX_PIXELS / 1e6:.1f} million in all"
        )


def to_rgb(frame: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """Return a checked frame as uint8 (H, W, 3), rgb8; the frame itself where it already is that."""
    return frame if encoding == "rgb8" else np.asarray(cv2.cvtColor(frame, _TO_RGB[encoding]), np.uint8)


def fit_input_size(
    setting: str, recommended: Size | None, frame_size: Size, *, fixed: Size | None = None, step: int = _SIZE_STEP
) -> Size:
    """Return the size at which the network looks at a frame.

    Args:
        setting: `auto`, `camera` or WIDTHxHEIGHT.
        recommended: what the model card says; its area is kept and the frame's aspect ratio taken.
        frame_size: of the camera image, pixels.
        fixed: the only size that the network takes; None for a network of open size.
        step: what both sides are multiples of for `auto`.

    Returns:
        For `auto` the fixed size, or multiples of the step; for the others exactly what was asked for.

    Raises:
        SettingError: `setting` is none of these, or asks for another size than the fixed one.
    """
    if fixed is not None:
        if setting != "auto" and (setting == "camera" or read_size(setting) != fixed):
            raise SettingError(
                f"input_size: received {setting}, but the network takes images of {fixed} only; use auto, or export it "
                "with open height and width"
            )
        return fixed
    if setting == "camera":
        return frame_size
    if setting != "auto":
        return read_size(setting)
    target = recommended or _FALLBACK_SIZE
    scale = math.sqrt(target.width * target.height / (frame_size.width * frame_size.height))
    if recommended is None:
        scale = min(scale, 1.0)
    return Size(_fit_side(frame_size.width * scale, step), _fit_side(frame_size.height * scale, step))


def _fit_side(side: float, step: int) -> int:
    stepped = round(side / step) * step
    return min(max(stepped, MIN_SIDE), MAX_SIDE)


class FrameResizer:
    """Turns frames into network inputs; owns the buffers it writes, so a result is valid until the next call.

    Frame and network input are aligned corner to corner: the centres of their outermost pixels coincide, as those of
    logits and labels do (bilinear, align_corners=True). So a mask lies on its frame exactly, whatever the input size.
    (cv2.resize aligns the outer edges of the pixels, and would shift the mask by up to half an input pixel.)
    Networks whose answer is enlarged with align_corners=False need just that, and so do their inputs.
    """

    def __init__(self, *, align_corners: bool = True) -> None:
        self._align_corners = align_corners
        self._shrunk: NDArray[np.uint8] | None = None
        self._resized: NDArray[np.uint8] | None = None
        self._rgb: NDArray[np.uint8] | None = None
        self._turned: NDArray[np.uint8] | None = None

    def to_network_input(
        self, frame: NDArray[np.uint8], encoding: str, size: Size, rotation: int = 0
    ) -> NDArray[np.uint8]:
        """Resize a checked frame to `size` and convert it to RGB.

        Args:
            frame: as the camera sees.
            encoding: of the frame.
            size: of the result.
            rotation: degrees clockwise by which the frame is turned (frames.look.ROTATIONS).

        Returns:
            uint8, (size.height, size.width, 3), RGB, contiguous, writable. The frame itself where it already is that.
        """
        image = self._to_rgb(frame, encoding, turned_size(size, rotation))
        if not rotation:
            return image
        # last, when the image is small
        self._turned = _buffer(self._turned, (size.height, size.width, 3))
        return np.asarray(cv2.rotate(image, _TURNS[rotation], dst=self._turned), np.uint8)

    def _to_rgb(self, frame: NDArray[np.uint8], encoding: str, size: Size) -> NDArray[np.uint8]:
        if (frame.shape[1], frame.shape[0]) != size:
            frame = self._resize(frame, size)
        if encoding == "rgb8":
            return np.require(frame, requirements=("C", "W"))  # torch takes no read-only memory
        self._rgb = _buffer(self._rgb, (size.height, size.width, 3))
        cv2.cvtColor(frame, _TO_RGB[encoding], dst=self._rgb)
        return self._rgb

    def _resize(self, frame: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
        """Average over whole blocks of pixels where a frame shrinks to half or less, then sample bilinearly."""
        height, width = frame.shape[:2]
        channels = frame.shape[2:]
        scale_x, offset_x = self._line(width, size.width)
        scale_y, offset_y = self._line(height, size.height)
        block = max(1, math.floor(min(width / size.width, height / size.height)))
        if block > 1:
            shrunk = (height // block, width // block)
            self._shrunk = _buffer(self._shrunk, shrunk + channels)
            whole = frame[: shrunk[0] * block, : shrunk[1] * block]
            cv2.resize(whole, shrunk[::-1], dst=self._shrunk, interpolation=cv2.INTER_AREA)
            frame = self._shrunk
        # pixel j of the shrunk frame lies at frame pixel j * block + (block - 1) / 2
        offset = (block - 1) / 2
        to_frame = np.array(
            [[scale_x / block, 0, (offset_x - offset) / block], [0, scale_y / block, (offset_y - offset) / block]]
        )
        self._resized = _buffer(self._resized, (size.height, size.width, *channels))
        if block == 1 and not self._align_corners:  # the same, but that it is what most networks were trained on
            return cv2.resize(frame, size, dst=self._resized, interpolation=cv2.INTER_LINEAR)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(frame, to_frame, size, dst=self._resized, flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def _line(self, frame_side: int, side: int) -> tuple[float, float]:
        """Return how far apart the input's pixels lie on the frame, and where the first one does, in its pixels."""
        if self._align_corners:
            return (frame_side - 1) / (side - 1), 0.0
        return frame_side / side, (frame_side / side - 1) / 2


def _buffer(buffer: NDArray[np.uint8] | None, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return buffer if buffer is not None and buffer.shape == shape else np.empty(shape, np.uint8)
