"""Frames of the procedural street camera as a data set, rendered from seeds that the splits divide."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros import sources
from fanet_ros.artefacts import cache_folder
from fanet_ros.datasets.base import Dataset, Sample
from fanet_ros.errors import DatasetError
from fanet_ros.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.street_camera import LABEL_SET, StreetCamera

FRAMES_PER_STREET = 8
SECONDS_BETWEEN_FRAMES = 9.0  # after which most of what is seen has changed

FIRST_SEED = {"train": 1000, "val": 0}  # val has the seeds that the demo and its users start with
STREETS = {"train": 60, "val": 20}
SPLITS = tuple(FIRST_SEED)

_log = logging.getLogger(__name__)


class StreetDataset(Dataset):
    """Frames of many streets, several of each, far apart in time. The splits share no street.

    A frame is the same bytes every time on one machine. Building a street takes longer than filming it, so reading
    frames in random order is slow before `prepare`, which renders all of them into the cache.
    """

    def __init__(self, split: str, *, width: int = 640, height: int = 360, streets: int = 0) -> None:
        """Name the frames; nothing is rendered yet.

        Args:
            split: one of `SPLITS`.
            width: of the images, 64 to 4096 pixels.
            height: of the images, 64 to 4096 pixels.
            streets: how many; 0 for the split's own number, 60 to train and 20 to validate.

        Raises:
            DatasetError: there is no such split, or a number is out of range.
        """
        if split not in FIRST_SEED:
            raise DatasetError(f"the street has no split {split!r}; it has {', '.join(SPLITS)}")
        if not 0 <= streets <= 1000:
            raise DatasetError(f"streets is {streets}, expected 0 to 1000")
        self.name, self.split = "street", split
        self.label_set = load_label_set(LABEL_SET)
        self._size = Size(width, height)
        first, count = FIRST_SEED[split], streets or STREETS[split]
        self._frames = [(seed, frame) for seed in range(first, first + count) for frame in range(FRAMES_PER_STREET)]
        self.names = [f"{seed:04d}_{frame:02d}" for seed, frame in self._frames]
        self._rendered: NDArray[np.uint8] | None = None

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Render all frames into the cache, unless they are there: about 0.15 s a frame, once."""
        path = cache_folder(self._key()) / "frames.npy"  # uint8 (frames, H, W, 4): red, green, blue, label
        if not path.exists():
            try:
                self._render(path, progress)
            except OSError as error:
                _log.warning("%s cannot be written (%s): street frames are rendered when they are read", path, error)
                return
        self._rendered = np.load(path, mmap_mode="r")

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        return self._size

    def read(self, index: int) -> Sample:  # noqa: D102 (documented by Dataset)
        frame = self._film(index) if self._rendered is None else np.array(self._rendered[index])
        image = np.ascontiguousarray(frame[..., :3])
        return Sample(image, np.ascontiguousarray(frame[..., 3]), self.names[index])

    def _film(self, index: int) -> NDArray[np.uint8]:
        """Render a frame, uint8 (H, W, 4): red, green, blue, label."""
        seed, number = self._frames[index]
        filmed = _camera(self._size, seed).frame(number)
        assert filmed.labels is not None  # the street camera knows its truth
        return np.dstack([filmed.image, filmed.labels])

    def _render(self, path: Path, progress: Callable[[str], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(self), self._size.height, self._size.width, 4)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
            unfinished = Path(folder) / path.name
            with unfinished.open("wb") as file:  # a full disk is an error now, and not a crash later
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            frames = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
            for index in range(len(self)):
                frames[index] = self._film(index)
                progress(f"rendering street {self.split} {index + 1}/{len(self)}")
            frames.flush()
            os.replace(unfinished, path)

    def _key(self) -> str:
        """A hash of all that the frames depend on, the renderer's own code included."""
        digest = hashlib.sha256(f"{self._size} {self._frames} {SECONDS_BETWEEN_FRAMES} {cv2.__version__}".encode())
        for file in sorted(Path(sources.__file__).parent.glob("street_*.py")):
            digest.update(file.read_bytes())
        return digest.hexdigest()


@lru_cache(maxsize=2)
def _camera(size: Size, seed: int) -> StreetCamera:
    return StreetCamera(size.width, size.height, seed=seed, rate_hz=1 / SECONDS_BETWEEN_FRAMES)
