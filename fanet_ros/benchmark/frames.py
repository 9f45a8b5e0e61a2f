"""The frames that everything is measured on: the street camera's, the same bytes for every contender."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.settings import Size
from fanet_ros.sources import open_source

_FRAMES = 4  # of each size: the work of making labels depends on what is to be seen
_RATE_HZ = 2.0  # half a second of the drive between them


class FrameStore:
    """Frames in files, from where any process takes them.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ensure(self, size: Size) -> Path:
        """Return the file with the street's frames of that size, filming them first if need be.

        The file is a numpy array, uint8 (4, height, width, 3), bgr8.

        Raises:
            SourceError: the street camera cannot film that size.
        """
        path = self.folder / f"street_{size}.npy"
        if not path.exists():
            np.save(path, _film(size))
        return path


def load_frames(path: Path) -> NDArray[np.uint8]:
    """Return what `FrameStore.ensure` saved."""
    frames: NDArray[np.uint8] = np.load(path)
    return frames


def _film(size: Size) -> NDArray[np.uint8]:
    frames = np.empty((_FRAMES, size.height, size.width, 3), np.uint8)
    with open_source("street", width=size.width, height=size.height, rate_hz=_RATE_HZ) as street:
        for frame in frames:
            filmed = street.read()
            assert filmed is not None and filmed.encoding == "rgb8", "the street is endless"
            cv2.cvtColor(filmed.image, cv2.COLOR_RGB2BGR, dst=frame)
    return frames
