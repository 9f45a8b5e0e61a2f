"""What a data set is: images with a class id per pixel, read one by one or by the window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size

IGNORED = 255
"""The label of a pixel that neither training nor evaluation looks at."""


@dataclass(frozen=True)
class Sample:
    """One image and its truth.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        labels: uint8 (H, W), class ids of the data set's label set, or `IGNORED`.
        name: unique within the data set and split; it may hold slashes.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    name: str


class Window(NamedTuple):
    """A part of an image in pixels, from its top left corner; it may reach beyond the image."""

    left: int
    top: int
    width: int
    height: int


class Frame(NamedTuple):
    """A frame of a video, labelled or not.

    Attributes:
        video: unique within the data set and split.
        number: of the frame in it; the later, the higher.
    """

    video: str
    number: int


class Dataset(ABC):
    """Labelled images of one split, in a fixed order. Reading has no side effects, so any process may do it.

    Attributes:
        name: of the data set, as `open_dataset` knows it.
        split: of the images, such as `train`.
        label_set: what the ids mean.
        names: of the samples, in order, without reading them.
    """

    name: str
    split: str
    label_set: LabelSet
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def prepare(self, progress: Callable[[str], None]) -> None:  # noqa: B027 (most have nothing to prepare)
        """Do once what would otherwise be done for every sample, before many are read.

        Args:
            progress: told in words how far it is.

        Raises:
            DatasetError: it cannot be done.
        """

    @abstractmethod
    def size(self, index: int) -> Size:
        """Return the size of an image in pixels without decoding all of it, where its format allows that.

        Raises:
            DatasetError: the file is missing or no image.
        """

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Read an image and its labels.

        Raises:
            DatasetError: a file is missing or damaged, or image and labels do not fit; names the file and what to do.
        """

    def read_labels(self, index: int) -> NDArray[np.uint8]:
        """Read the labels of an image alone, uint8 (H, W); a data set may do so without decoding the image.

        Raises:
            DatasetError: as for `read`.
        """
        return self.read(index).labels

    def count_labels(self, index: int) -> tuple[NDArray[np.int64], Mapping[str, int]]:
        """Count the labels of an image as its file has them, whatever size the image gets.

        Returns:
            Pixels of each class id, int64 (256,), with those that are ignored at the place of `IGNORED`; and of each
            raw value that the data set does not know, which is ignored, too.

        Raises:
            DatasetError: as for `read`.
        """
        return np.bincount(self.read_labels(index).ravel(), minlength=256), {}

    def read_window(self, index: int, window: Window) -> Sample:
        """Read a part of an image; for tiles of tens of megapixels a data set may read only that part.

        Returns:
            A sample of exactly the window's size. Where the window reaches beyond the image, its image is black and
            its labels are `IGNORED`.

        Raises:
            DatasetError: as for `read`.
        """
        sample = self.read(index)
        return Sample(cut(sample.image, window, 0), cut(sample.labels, window, IGNORED), sample.name)

    def place(self, index: int) -> str:
        """Return where a sample was taken: its video, or its folder. What shares it must not be divided by a split."""
        video, name = self.frame(index).video, self.names[index]
        return video if video != name else name.rpartition("/")[0]

    # What follows is for data sets whose samples are frames of videos. For all others, each sample is a video of one.

    def frame(self, index: int) -> Frame:
        """Return which frame of which video a sample is."""
        return Frame(self.names[index], 0)

    def before(self, frame: Frame) -> Frame | None:
        """Return the frame before one that `frame` or `before` named; None where its video begins."""
        return None

    def past(self, index: int, count: int, step: int = 1) -> list[Frame]:
        """Return the frames before a sample, newest first; fewer than `count` where its video begins later.

        Args:
            index: of the sample.
            count: at most so many.
            step: from one frame to the one before it, at least 1, in frames of the video.
        """
        found: list[Frame] = []
        frame: Frame | None = self.frame(index)
        while len(found) < count:
            for _ in range(step):
                frame = None if frame is None else self.before(frame)
            if frame is None:
                break
            found.append(frame)
        return found

    def missing_frames(self, count: int, step: int = 1) -> list[Path]:
        """Return the files of all samples' `past` that do not exist.

        Raises:
            DatasetError: a folder cannot be read.
        """
        return []

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:
        """Read the image of a frame that `past` named, uint8 (H, W, 3), RGB, of its sample's size.

        Raises:
            DatasetError: the file is missing or damaged.
        """
        raise DatasetError(f"{self.name} has no frame {frame.number} of {frame.video}: it consists of single images")


def cut(pixels: NDArray[np.uint8], window: Window, fill: int) -> NDArray[np.uint8]:
    """Copy a window out of an image or labels, (H, W) or (H, W, C); `fill` stands for what lies beyond."""
    height, width = pixels.shape[:2]
    result = np.full((window.height, window.width, *pixels.shape[2:]), fill, np.uint8)
    left, top = max(window.left, 0), max(window.top, 0)
    right, bottom = min(window.left + window.width, width), min(window.top + window.height, height)
    if right > left and bottom > top:
        target = result[top - window.top : bottom - window.top, left - window.left : right - window.left]
        target[...] = pixels[top:bottom, left:right]
    return result
