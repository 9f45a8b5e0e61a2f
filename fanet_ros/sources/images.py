"""Frames from image files: one image, or a folder of them in natural order."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError
from fanet_ros.files import looked_for, read_bounded
from fanet_ros.frames.encoded_image import UndecodableError, decode_image
from fanet_ros.frames.opencv_log import quiet_opencv
from fanet_ros.sources.base import Footage, SourceFrame
from fanet_ros.untrusted.text import printable

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files with these endings count as images, in upper or lower case."""

_MOST_BYTES = 1 << 30
_NUMBERS_AND_OTHERS = re.compile(r"\d+|\D+")

_log = logging.getLogger(__name__)


class ImageSource(Footage):
    """Reads an image, or the images of a folder (not of its subfolders), as bgr8.

    Files are taken in natural order (frame2 before frame10). Photos are turned upright as their EXIF orientation
    says, grey and 16-bit images become 8-bit BGR, transparency is dropped. Images may differ in size. A file
    that cannot be decoded is logged as a warning and left out; `length` counts it nevertheless.

    Attributes:
        unreadable: files that could not be decoded so far.
    """

    def __init__(self, path: str | Path, files: Sequence[Path] = ()) -> None:
        """Open the images at `path` or, where some are given, these `files` in this order; read the first of them.

        Raises:
            SourceError: there is none, it may not be read, or none can be decoded.
        """
        self._files = list(files)
        self.unreadable: list[Path] = []
        super().__init__(path)

    def _play(self) -> Generator[SourceFrame]:
        files = self._files or _list_images(self._path)
        self.length = len(files)
        self.unreadable = []
        for file in files:
            try:
                image = _decode(file)
            except (OSError, UndecodableError) as error:
                self.unreadable.append(file)
                _log.warning("skipped %s: it is no readable image (%s)", printable(str(file)), error)
            else:
                yield SourceFrame(image, "bgr8", None, file.stem)
        if len(self.unreadable) == self.length:
            raise SourceError(
                f"cannot decode {printable(str(self._path))}: none of its {self.length} image file(s) is readable; "
                "check that they are complete"
            )


def natural_key(path: Path) -> tuple[tuple[int, str], ...]:
    """A sort key by which numbers within names compare as numbers: frame2 before frame10."""
    return natural_name_key(path.name)


def natural_name_key(name: str) -> tuple[tuple[int, str], ...]:
    """The same of a name alone; data sets have a hundred thousand."""
    parts = _NUMBERS_AND_OTHERS.findall(name.lower())
    return tuple([(int(part), "") if part.isdecimal() else (-1, part) for part in parts])


def _list_images(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path]
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    except FileNotFoundError:
        raise SourceError(f"there is no image or folder at {path}{looked_for(path)}; check the path") from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    if not files:
        endings = " ".join(IMAGE_SUFFIXES)
        raise SourceError(f"the folder {path} holds no images; put files ending in {endings} into it")
    return sorted(sorted(files), key=natural_key)


def _decode(file: Path) -> NDArray[np.uint8]:
    data = read_bounded(file, _MOST_BYTES)  # OpenCV and numpy cannot open names that are no UTF-8
    with quiet_opencv():
        return np.asarray(decode_image(data, cv2.IMREAD_COLOR, other_formats=True), np.uint8)
