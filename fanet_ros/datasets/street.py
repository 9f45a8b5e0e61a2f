"""Frames of the procedural street camera as a data set, rendered from seeds that the splits divide."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.artefacts.cache import cache_folder
from fanet_ros.datasets.base import ClassMotion, Dataset, Frame, Sample
from fanet_ros.datasets.street_motion import ground_motion, sky_motion
from fanet_ros.errors import DatasetError
from fanet_ros.files import replacing
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources import street
from fanet_ros.sources.street.camera import LABEL_SET, StreetCamera
from fanet_ros.sources.street.geometry import View

MOMENTS = 8  # of each street
SECONDS_BETWEEN_MOMENTS = 9.0  # after which most of what is seen has changed
SECONDS_BETWEEN_FRAMES = 0.1  # of a clip: a slow camera, or one of which frames are dropped

FIRST_SEED = {"train": 1000, "val": 0}  # val has the seeds that the demo and its users start with
STREETS = {"train": 60, "val": 20}
SPLITS = tuple(FIRST_SEED)

_log = logging.getLogger(__name__)


class StreetDataset(Dataset):
    """Frames of many streets: from several moments of each, far apart, one frame or a clip. The splits share no street.

    Every frame of a clip is labelled, and where road, pavement and sky have moved to since the frame before is known.

    A frame is the same bytes every time on one machine. Building a street takes longer than filming it, so reading
    frames in random order is slow before `prepare`, which renders all of them into the cache.
    """

    def __init__(
        self,
        split: str,
        *,
        width: int = 640,
        height: int = 360,
        streets: int = 0,
        moments: int = MOMENTS,
        length: int = 1,
    ) -> None:
        """Name the frames; nothing is rendered yet.

        Args:
            split: one of `SPLITS`.
            width: of the images, 64 to 4096 pixels.
            height: of the images, 64 to 4096 pixels.
            streets: how many; 0 for the split's own number, 60 to train and 20 to validate.
            moments: of each street, 1 to 100.
            length: frames from each moment on, 1 to 90; with more than 1, a moment is a video.

        Raises:
            DatasetError: there is no such split, or a number is out of range.
        """
        if split not in FIRST_SEED:
            raise DatasetError(f"the street has no split {split!r}; it has {', '.join(SPLITS)}")
        if not 0 <= streets <= 1000:
            raise DatasetError(f"streets is {streets}, expected 0 to 1000")
        if not 1 <= moments <= 100 or not 1 <= length <= SECONDS_BETWEEN_MOMENTS / SECONDS_BETWEEN_FRAMES:
            raise DatasetError(f"moments are {moments} and length is {length}, expected 1 to 100 and 1 to 90")
        self.name, self.split = "street", split
        self.label_set = load_label_set(LABEL_SET)
        self._size = Size(width, height)
        first, count = FIRST_SEED[split], streets or STREETS[split]
        places = [
            (f"{seed:04d}_{moment:02d}", seed, moment)
            for seed in range(first, first + count)
            for moment in range(moments)
        ]
        self._length = length
        self._seconds = (
            SECONDS_BETWEEN_MOMENTS if length == 1 else SECONDS_BETWEEN_FRAMES
        )  # between the camera's frames
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

    def past(self, index: int, count: int, step: int = 1) -> list[Frame]:  # noqa: D102 (documented by Dataset)
        video, number = self._videos[index]
        return [Frame(video, number - step * back) for back in range(1, min(count, number // step) + 1)]

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:  # noqa: D102 (documented by Dataset)
        return self.read(self._index[frame]).image

    def motions(self, index: int) -> Sequence[ClassMotion]:
        """Return the motion of road and pavement, which are flat, and of the sky, which only turns with the camera.

        Both follow from the true poses and intrinsics; clouds drift by up to 0.04 % of the image's width more. What
        stands on the ground has no motion here, as its distance varies from pixel to pixel.
        """
        if self._videos[index].number == 0:
            return ()
        seed, number = self._frames[index]
        camera = self._camera(seed)
        now, before = (View(camera.intrinsics, camera.pose(frame)) for frame in (number, number - 1))
        road, pavement, sky = (self.label_set.id_of(name) for name in ("road", "pavement", "sky"))
        return (
            ClassMotion((road, pavement), ground_motion(now, before)),
            ClassMotion((sky,), sky_motion(now, before)),
        )

    def _film(self, index: int) -> NDArray[np.uint8]:
        """Render a frame, uint8 (H, W, 4): red, green, blue, label."""
        seed, number = self._frames[index]
        filmed = self._camera(seed).frame(number)
        assert filmed.labels is not None  # the street camera knows its truth
        return np.dstack([filmed.image, filmed.labels])

    def _render(self, path: Path, progress: Callable[[str], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(self), self._size.height, self._size.width, 4)
        with replacing(path) as unfinished:
            with unfinished.open("wb") as file:  # a full disk is an error now, and not a crash later
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            frames = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
            for index in range(len(self)):
                frames[index] = self._film(index)
                progress(f"rendering street {self.split} {index + 1}/{len(self)}")
            frames.flush()

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
