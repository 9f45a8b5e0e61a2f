"""What a source of frames is: the frame, the camera's intrinsics, the interface of every source, and files as one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError
from fanet_ros.settings import Size

_Source = TypeVar("_Source", bound="FrameSource")


@dataclass(frozen=True)
class Intrinsics:
    """An ideal pinhole without distortion, in the terms of REP 104's CameraInfo.

    A point (X, Y, Z) of the optical frame (REP 103: x right, y down, z forward) is seen at
    u = fx X / Z + cx, v = fy Y / Z + cy; the centre of the top left pixel is (0, 0).

    Attributes:
        width: of the image, pixels.
        height: of the image, pixels.
        fx: focal length, pixels along a row.
        fy: focal length, pixels along a column.
        cx: column of the principal point, pixels.
        cy: row of the principal point, pixels.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_deg: float) -> Intrinsics:
        """Return a centred pinhole with square pixels and the given horizontal field of view in degrees."""
        focal = width / 2 / math.tan(math.radians(horizontal_fov_deg) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a source.

    Attributes:
        image: uint8 (H, W, 3), channels in the order of `encoding`; the reader may keep and change it.
        encoding: `rgb8` or `bgr8`.
        labels: ground truth class ids, uint8 (H, W), 255 = unlabelled; None where there is none.
        name: of the frame within its source: the stem of an image file, or a zero-padded frame number.
        depth: true depth, float32 (H, W), metres along the optical axis, inf in the sky; None unless the source knows
            it and was asked for it.
    """

    image: NDArray[np.uint8]
    encoding: Literal["rgb8", "bgr8"]
    labels: NDArray[np.uint8] | None
    name: str
    depth: NDArray[np.float32] | None = None


class FrameSource(ABC):
    """Where frames come from; also a context manager that closes itself.

    Attributes:
        size: of the first frame, pixels; those of a folder of images may differ.
        intrinsics: of the camera, exact; None for footage (video, images, V4L2), which carries no calibration.
        rate_hz: frames per second, as the file or the driver says; None where that is unknown (images).
        label_set: name of the label set that `SourceFrame.labels` use; None where there is no ground truth.
        length: number of frames: of image files, or as a video's container claims, which may be a few off; None =
            endless or unknown.
    """

    size: Size
    intrinsics: Intrinsics | None = None
    rate_hz: float | None = None
    label_set: str | None = None
    length: int | None = None

    @abstractmethod
    def read(self) -> SourceFrame | None:
        """Return the next frame, or None at the end (a source never loops by itself).

        Raises:
            SourceError: the source failed (a camera was unplugged) or is closed.
        """

    @abstractmethod
    def rewind(self) -> None:
        """Start over at the first frame; a live camera, which has no first frame, goes on.

        Raises:
            SourceError: the source can no longer be opened.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file or device; closing twice is fine, reading afterwards raises SourceError."""

    def __enter__(self: _Source) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Footage(FrameSource):
    """Bgr8 frames from files, played once."""

    def __init__(self, path: str | Path) -> None:
        """Open the files at `path`, and read the first frame.

        Raises:
            SourceError: there is nothing, it may not be read, or no frame of it can be decoded.
        """
        self._path = Path(path)
        self._closed = False
        self._frames: Generator[SourceFrame] | None = None  # None, too, after a rewind that failed
        self._first: SourceFrame | None = None
        self.rewind()
        assert self._first is not None
        height, width = self._first.image.shape[:2]
        self.size = Size(width, height)

    def read(self) -> SourceFrame | None:
        """Return the next frame, or None after the last one; a rewind that has failed is tried again."""
        if self._closed:
            raise SourceError(f"{self._path} is closed; open it again to read on")
        if self._frames is None:
            self.rewind()
        assert self._frames is not None
        first, self._first = self._first, None
        return first or next(self._frames, None)

    def rewind(self) -> None:
        """Start over at the first frame by opening the files anew: seeking is inexact in many containers."""
        self.close()
        self._closed = False
        frames = self._play()
        self._first, self._frames = next(frames), frames

    def close(self) -> None:
        """Close the files."""
        if self._frames is not None:
            self._frames.close()
        self._first = self._frames = None
        self._closed = True

    @abstractmethod
    def _play(self) -> Generator[SourceFrame]:
        """Yield all frames, from opening the files to closing them; raises SourceError where there is none."""
