"""Where frames come from: videos, images, V4L2 cameras, and the procedural street camera."""

from __future__ import annotations

import re
from pathlib import Path

from fanet_ros.errors import SourceError
from fanet_ros.files import check_has_end, looked_for
from fanet_ros.sources.base import FrameSource, Intrinsics, SourceFrame
from fanet_ros.sources.images import IMAGE_SUFFIXES, ImageSource
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.video import V4l2Source, VideoSource
from fanet_ros.untrusted.text import printable

__all__ = ["FrameSource", "Intrinsics", "SourceFrame", "open_source"]


def open_source(
    spec: str, *, width: int | None = None, height: int | None = None, seed: int = 0, rate_hz: float = 30.0
) -> FrameSource:
    """Open a source of frames.

    Args:
        spec: `street`, a video file, an image file, a folder of images, a V4L2 device such as `/dev/video0`,
            or the number of one such as `0`. A path wins over the name `street` if written `./street`.
        width: of the street camera's image (640 unless given), or asked of a V4L2 camera; pixels.
            Files are read at their own size.
        height: likewise (360 unless given).
        seed: selects the street.
        rate_hz: frames per second of street time.

    Returns:
        A source at its first frame; close it when done.

    Raises:
        SourceError: it cannot be opened; the message says what was received and what to do.
    """
    if spec == "street":
        return StreetCamera(width or 640, height or 360, seed=seed, rate_hz=rate_hz)
    if re.fullmatch(r"\d+", spec):
        return V4l2Source(f"/dev/video{int(spec)}", width=width, height=height)
    path = Path(spec).expanduser()
    if spec.startswith("/dev/") or (_exists(path) and path.is_char_device()):
        return V4l2Source(spec, width=width, height=height)
    if not spec or not _exists(path):
        raise SourceError(
            f"there is no source '{printable(spec)}'{looked_for(path)}; give an existing video, image or folder of "
            "images, a camera such as /dev/video0, or 'street'"
        )
    try:
        check_has_end(path)
    except OSError as error:
        raise SourceError(f"cannot read {printable(spec)}: {error.strerror}") from None
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path)
    return VideoSource(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a zero in it
        return False
