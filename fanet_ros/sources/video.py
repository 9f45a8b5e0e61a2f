"""Frames from a video file or a V4L2 camera, through OpenCV."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np

from fanet_ros.errors import SourceError
from fanet_ros.files import looked_for, plain_name
from fanet_ros.frames.opencv_log import quiet_opencv
from fanet_ros.settings import Size
from fanet_ros.sources.base import Footage, FrameSource, SourceFrame
from fanet_ros.untrusted.text import printable

_log = logging.getLogger(__name__)

_RATES_HZ = (0.01, 1000.0)  # that cameras have; some phones state 90000, damaged files 0
_USUAL_RATE_HZ = 30.0

# FFmpeg writes to stderr by itself; OpenCV reads its level once, from the environment. -8 is AV_LOG_QUIET.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoSource(Footage):
    """Plays a video file once, as bgr8 frames named by number."""

    def _play(self) -> Generator[SourceFrame]:
        if not self._path.is_file():
            where = f"{printable(str(self._path))}{looked_for(self._path)}"
            raise SourceError(f"there is no video at {where}; check the path")
        if not os.access(self._path, os.R_OK):
            raise SourceError(f"may not read the video {printable(str(self._path))}; check its permissions")
        with quiet_opencv():
            capture = _open_video(self._path)
        try:
            if self.rate_hz is None:  # not again after a rewind
                self.rate_hz = self._rate(capture.get(cv2.CAP_PROP_FPS))
            frames = _positive(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            self.length = None if frames is None else round(frames)
            number = 0
            while (frame := _next_frame(capture, number)) is not None:
                yield frame
                number += 1
        finally:
            capture.release()
        if not number:
            raise SourceError(
                f"cannot decode {printable(str(self._path))} as a video; check that it is complete, or convert it, for "
                f"example with: ffmpeg -i {printable(self._path.name)} -c:v libx264 out.mp4"
            )

    def _rate(self, stated: float) -> float:
        if not math.isfinite(stated) or not _RATES_HZ[0] <= stated <= _RATES_HZ[1]:
            _log.warning(
                "%s states %g frames per second; it is taken to have %g",
                printable(self._path.name),
                stated,
                _USUAL_RATE_HZ,
            )
            return _USUAL_RATE_HZ
        return stated


def _open_video(path: Path) -> cv2.VideoCapture:
    try:
        with plain_name(path) as name:
            return cv2.VideoCapture(name)
    except OSError as error:
        raise SourceError(f"cannot open {printable(str(path))}: {error.strerror}") from None


class V4l2Source(FrameSource):
    """Reads a live V4L2 camera as bgr8 frames; it never ends."""

    def __init__(self, device: str, *, width: int | None = None, height: int | None = None) -> None:
        """Open a camera such as `/dev/video0`.

        Args:
            device: the path of the device.
            width: asked of the camera, pixels; a camera may deliver its nearest size instead.
            height: asked of the camera, pixels.

        Raises:
            SourceError: there is no such device, it may not be opened, or it delivers no image.
        """
        self._device = device
        self._number = 0
        capture = _open_camera(device)
        if width is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        if height is not None:
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._capture: cv2.VideoCapture | None = capture
        try:
            rows, columns = self.read().image.shape[:2]
        except SourceError:
            self.close()
            raise
        self.size = Size(columns, rows)
        self.rate_hz = _positive(capture.get(cv2.CAP_PROP_FPS))

    def read(self) -> SourceFrame:
        """Wait for the camera's next frame.

        Raises:
            SourceError: the camera stopped delivering (unplugged), or is closed.
        """
        if self._capture is None:
            raise SourceError(f"the camera {self._device} is closed; open it again to read on")
        frame = _next_frame(self._capture, self._number)
        if frame is None:
            raise SourceError(
                f"the camera {self._device} delivers no image; check its cable and that no other program uses it"
            )
        self._number += 1
        return frame

    def rewind(self) -> None:
        """Do nothing: a live camera has no first frame to go back to."""

    def close(self) -> None:
        """Free the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _open_camera(device: str) -> cv2.VideoCapture:
    path = Path(device)
    if not path.exists():
        there = ", ".join(sorted(str(found) for found in Path("/dev").glob("video*"))) or "none"
        raise SourceError(f"there is no camera {device}; cameras on this machine: {there}")
    if not path.is_char_device():
        raise SourceError(f"{device} is no camera device; give a path such as /dev/video0")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"may not open the camera {device}; add your user to the group that owns it (often `video`)")
    with quiet_opencv():
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if not capture.isOpened():
        capture.release()
        raise SourceError(f"cannot open {device} as a V4L2 camera; check that no other program uses it")
    return capture


def _next_frame(capture: cv2.VideoCapture, number: int) -> SourceFrame | None:
    with quiet_opencv():
        found, image = capture.read()
    return SourceFrame(np.asarray(image, np.uint8), "bgr8", None, f"{number:06d}") if found else None


def _positive(value: float) -> float | None:
    return float(value) if np.isfinite(value) and value > 0 else None
