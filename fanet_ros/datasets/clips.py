"""A data set seen as clips: every sample with the frames before it, as a camera would have shown them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import Dataset, Frame, Window, cut
from fanet_ros.errors import DatasetError


@dataclass(frozen=True)
class Clip:
    """The last frames of a video up to one whose truth is known.

    Attributes:
        images: uint8 (H, W, 3) each, RGB, the newest last; fewer than were asked for where the video begins later.
        labels: uint8 (H, W), of the newest image.
        name: of the sample.
    """

    images: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.uint8]
    name: str


class ClipDataset:
    """Clips that end with the samples of a data set.

    Attributes:
        dataset: whose samples they are.
        frames: T, of a clip, the sample's own included.
        step: from one frame of a clip to the next, in frames of the video.
    """

    def __init__(self, dataset: Dataset, frames: int, step: int = 1) -> None:
        self.dataset, self.frames, self.step = dataset, frames, step

    def __len__(self) -> int:
        return len(self.dataset)

    def check(self, *, required: bool) -> None:
        """Refuse what cannot be shown as clips; nothing is read.

        Args:
            required: whether samples without any earlier frame are an error, if all of them are so.

        Raises:
            DatasetError: frames are missing on the disk, or nothing precedes any sample.
        """
        dataset = self.dataset
        missing = dataset.missing_frames(self.frames - 1, self.step)
        if missing:
            raise DatasetError(
                f"{len(missing)} frames before the labelled ones of {dataset.name}'s split {dataset.split} are "
                f"missing, for example {missing[0]}; unpack the data set's videos, too (docs/datasets.md), or use "
                "single images"
            )
        if required and self.frames > 1 and not any(self.past(index) for index in range(len(self))):
            raise DatasetError(
                f"no image of {dataset.name}'s split {dataset.split} has a frame {self.step} before it, so clips of "
                f"{self.frames} frames cannot be made of it; docs/datasets.md says which data sets are videos"
            )

    def past(self, index: int) -> list[Frame]:
        """Return the frames of a clip before its sample, newest first."""
        return self.dataset.past(index, self.frames - 1, self.step)

    def clip(self, index: int, window: Window | None = None) -> Clip:
        """Read the clip that ends with a sample.

        Args:
            index: of the sample.
            window: the part that is read of every image; None for whole images.

        Raises:
            DatasetError: a file is missing or damaged.
        """
        dataset = self.dataset
        sample = dataset.read(index) if window is None else dataset.read_window(index, window)
        earlier = [dataset.read_frame(frame) for frame in reversed(self.past(index))]
        if window is not None:
            earlier = [cut(image, window, 0) for image in earlier]
        return Clip((*earlier, sample.image), sample.labels, sample.name)

    def videos(self) -> list[list[int]]:
        """Return the samples of each video in the order of time; videos in the order of their first samples."""
        videos: dict[str, list[int]] = {}
        for index in range(len(self)):
            videos.setdefault(self.dataset.frame(index).video, []).append(index)
        return [sorted(video, key=lambda index: self.dataset.frame(index).number) for video in videos.values()]
