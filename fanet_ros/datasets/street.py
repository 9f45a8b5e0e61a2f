"""Frames of the procedural street camera as a data set, rendered from seeds that the splits divide."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.artefacts.place import cache_folder, distrusted, keep_from_others, make_folder
from fanet_ros.datasets.base import Dataset, Frame, Sample
from fanet_ros.errors import DatasetError
from fanet_ros.files import remove_abandoned, replacing
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources import street
from fanet_ros.sources.street.camera import LABEL_SET, StreetCamera

SECONDS_BETWEEN_MOMENTS = 9.0  # after which most of what is seen has changed
SECONDS_BETWEEN_FRAMES = 0.1  # of a clip: a slow camera, or one of which frames are dropped

FIRST_SEED = {"train": 1000, "val": 0}  # val has the seeds that the demo and its users start with
STREETS = {"train": 60, "val": 20}
SPLITS = tuple(FIRST_SEED)

_log = logging.getLogger(__name__)


class StreetDataset(Dataset):
    """Frames of many streets: from several moments of each, far apart, one frame or a clip. The splits share no street.

    Every frame of a clip is labelled.

    A frame is the same bytes every time on one machine. Building a street takes longer than filming it, so reading
    frames in random order is slow before `prepare`, which renders all of them into the cache.
    """

    def __init__(self, split: str, *, width: int, height: int, streets: int, moments: int, length: int) -> None:
        """Name the frames; nothing is rendered yet.

        Args:
            split: one of `SPLITS`.
            width: of the images in pixels.
            height: of the images in pixels.
            streets: how many; 0 for the split's own number, 60 to train and 20 to validate.
            moments: of each street.
            length: frames from each moment on, at most 90; with more than 1, a moment is a video.

        Raises:
            DatasetError: there is no such split.
        """
        if split not in FIRST_SEED:
            raise DatasetError(f"the street has no split {split!r}; it has {', '.join(SPLITS)}")
        self.name, self.split = "street", split
        self.label_set = load_label_set(LABEL_SET)
        self._size = Size(width, height)
        first, count = FIRST_SEED[split], streets or STREETS[split]
        places = [
            (f"{seed:04d}_{moment:02d}", seed, moment)
            for seed in range(first, first + count)
            for moment in range(moments)
        ]
        self._seconds = SECONDS_BETWEEN_MOMENTS if length == 1 else SECONDS_BETWEEN_FRAMES  # from frame to frame
        apart = round(SECONDS_BETWEEN_MOMENTS / self._seconds)
        self._frames = [(seed, moment * apart + number) for _, seed, moment in places for number in range(length)]
        self._videos = [Frame(video, number) for video, _, _ in places for number in range(length)]
        self.names = [video if length == 1 else f"{video}_{number:02d}" for video, number in self._videos]
        self._index = {frame: index for index, frame in enumerate(self._videos)}
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
        problem = distrusted(path)
        if problem:
            _log.warning("%s: street frames are rendered when they are read", problem)
            return
        self._rendered = np.load(path, mmap_mode="r")

    def place(self, index: int) -> str:  # noqa: D102 (documented by Dataset)
        return self.names[index].partition("_")[0]  # its seed

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        return self._size

    def read(self, index: int) -> Sample:  # noqa: D102 (documented by Dataset)
        frame = self._film(index) if self._rendered is None else np.array(self._rendered[index])
        image = np.ascontiguousarray(frame[..., :3])
        return Sample(image, np.ascontiguousarray(frame[..., 3]), self.names[index])

    def frame(self, index: int) -> Frame:  # noqa: D102 (documented by Dataset)
        return self._videos[index]

    def before(self, frame: Frame) -> Frame | None:  # noqa: D102 (documented by Dataset)
        return Frame(frame.video, frame.number - 1) if frame.number else None

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:  # noqa: D102 (documented by Dataset)
        return self.read(self._index[frame]).image

    def _film(self, index: int) -> NDArray[np.uint8]:
        """Render a frame, uint8 (H, W, 4): red, green, blue, label."""
        seed, number = self._frames[index]
        filmed = self._camera(seed).frame(number)
        assert filmed.labels is not None  # the street camera knows its truth
        return np.dstack([filmed.image, filmed.labels])

    def _render(self, path: Path, progress: Callable[[str], None]) -> None:
        make_folder(path.parent)
        remove_abandoned(path.parent)
        shape = (len(self), self._size.height, self._size.width, 4)
        with replacing(path) as unfinished:
            with unfinished.open("wb") as file:  # a full disk is an error now, and not a crash later
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            frames = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
            for index in range(len(self)):
                frames[index] = self._film(index)
                progress(f"rendering street {self.split} {index + 1}/{len(self)}")
            frames.flush()
            keep_from_others(unfinished)

    def _camera(self, seed: int) -> StreetCamera:
        return _camera(self._size, seed, 1 / self._seconds)

    def _key(self) -> str:
        """A hash of all that the frames depend on, the renderer's own code included."""
        digest = hashlib.sha256(f"{self._size} {self._frames} {self._seconds} {cv2.__version__}".encode())
        for file in sorted(Path(street.__file__).parent.glob("*.py")):
            digest.update(file.read_bytes())
        return digest.hexdigest()


@lru_cache(maxsize=2)
def _camera(size: Size, seed: int, rate_hz: float) -> StreetCamera:
    return StreetCamera(size.width, size.height, seed=seed, rate_hz=rate_hz)
