"""Frames of the procedural street camera as a data set: rendered when they are read, from seeds the splits divide."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fanet_ros.datasets.base import Dataset, Sample
from fanet_ros.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.street_camera import LABEL_SET, StreetCamera

FRAMES_PER_STREET = 8
SECONDS_BETWEEN_FRAMES = 9.0  # at which most of what is seen has changed
SPLITS = ("train", "val")

_FIRST_SEED = {"val": 0, "train": 1000}  # val has the seeds that the demo and its users start with


class StreetDataset(Dataset):
    """Frames of many streets, several of each, far apart in time.

    `train` and `val` share no seed. A frame is the same bytes every time on one machine.
    """

    def __init__(self, split: str, *, width: int = 640, height: int = 360, streets: int = 0) -> None:
        """Name the frames; nothing is rendered yet.

        Args:
            split: `train` (seeds from 1000) or `val` (seeds from 0).
            width: of the images, 64 to 4096 pixels.
            height: of the images, 64 to 4096 pixels.
            streets: number of seeds; 0 for 60 to train and 20 to validate.
        """
        self.name, self.split = "street", split
        self.label_set = load_label_set(LABEL_SET)
        self._size = Size(width, height)
        first, count = _FIRST_SEED[split], streets or (60 if split == "train" else 20)
        self._frames = [(seed, frame) for seed in range(first, first + count) for frame in range(FRAMES_PER_STREET)]
        self.names = [f"{seed:04d}_{frame:02d}" for seed, frame in self._frames]

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        return self._size

    def read(self, index: int) -> Sample:
        """Render a frame and its labels."""
        seed, frame = self._frames[index]
        filmed = _camera(self._size, seed).frame(frame)
        assert filmed.labels is not None  # the street camera knows its truth
        return Sample(np.ascontiguousarray(filmed.image), filmed.labels, self.names[index])


@lru_cache(maxsize=2)  # building a street takes longer than filming it, and frames are often read in order
def _camera(size: Size, seed: int) -> StreetCamera:
    return StreetCamera(size.width, size.height, seed=seed, rate_hz=1 / SECONDS_BETWEEN_FRAMES)
