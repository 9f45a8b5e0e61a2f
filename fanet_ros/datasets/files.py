"""Data sets of image files with label files beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import Dataset, Frame, Sample
from fanet_ros.datasets.decoding import image_size, read_rgb
from fanet_ros.datasets.label_formats import LabelFormat
from fanet_ros.datasets.matching import Pair, missing
from fanet_ros.datasets.videos import Videos
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size

ReadLabels = Callable[[Path], NDArray[np.uint8]]
"""Reads a label file as class ids, uint8 (H, W); raises DatasetError. A `LabelFormat` is one."""


class PairedFiles(Dataset):
    """A data set whose samples are an image file and a label file each.

    Attributes:
        pairs: the files, in the order of the samples.
        label_format: what reads a label file.
        videos: which frames follow each other; None for single images.
    """

    def __init__(
        self,
        name: str,
        split: str,
        label_set: LabelSet,
        pairs: Sequence[Pair],
        label_format: ReadLabels,
        videos: Videos | None = None,
    ) -> None:
        self.name, self.split, self.label_set = name, split, label_set
        self.pairs = pairs
        self.names = [pair.name for pair in pairs]
        self.label_format = label_format
        self.videos = videos

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset, as all that follow)
        return image_size(self.pairs[index].image)

    def read(self, index: int) -> Sample:  # noqa: D102
        pair = self.pairs[index]
        image, labels = read_rgb(pair.image), self.label_format(pair.labels)
        check_same_size(pair, image.shape, labels.shape)
        return Sample(image, labels, pair.name)

    def read_labels(self, index: int) -> NDArray[np.uint8]:  # noqa: D102
        return self.label_format(self.pairs[index].labels)

    def count_labels(self, index: int) -> tuple[NDArray[np.int64], Mapping[str, int]]:  # noqa: D102
        if not isinstance(self.label_format, LabelFormat):
            return super().count_labels(index)
        raw = self.label_format.raw(self.pairs[index].labels)
        return np.bincount(self.label_format.ids(raw).ravel(), minlength=256), self.label_format.strangers(raw)

    def frame(self, index: int) -> Frame:  # noqa: D102
        return super().frame(index) if self.videos is None else self.videos.frames[index]

    def before(self, frame: Frame) -> Frame | None:  # noqa: D102
        return None if self.videos is None else self.videos.before(frame)

    def missing_frames(self, count: int, step: int = 1) -> list[Path]:  # noqa: D102
        if self.videos is None:
            return []
        frames = {frame for index in range(len(self)) for frame in self.past(index, count, step)}
        return missing([self.videos.path(frame) for frame in sorted(frames)])

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:  # noqa: D102
        return super().read_frame(frame) if self.videos is None else read_rgb(self.videos.path(frame))


def check_same_size(pair: Pair, image: Sequence[int], labels: Sequence[int]) -> None:
    """Compare the shapes of an image and its labels.

    Raises:
        DatasetError: they differ in height or width.
    """
    if tuple(image[:2]) != tuple(labels[:2]):
        raise DatasetError(
            f"labels {pair.labels} are {labels[1]}x{labels[0]} pixels but their image {pair.image} is "
            f"{image[1]}x{image[0]}; both must have the same size"
        )
