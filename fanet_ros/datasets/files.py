"""Data sets of image files with label files beside them: finding, pairing and reading."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import Dataset, Frame, Sample
from fanet_ros.datasets.decoding import image_size, read_rgb
from fanet_ros.datasets.videos import Videos
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_key

ReadLabels = Callable[[Path], NDArray[np.uint8]]
"""Reads a label file as class ids, uint8 (H, W); raises DatasetError. A `LabelFormat` is one."""


class Pair(NamedTuple):
    """The files of one sample, and its name."""

    image: Path
    labels: Path
    name: str


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

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        return image_size(self.pairs[index].image)

    def read(self, index: int) -> Sample:  # noqa: D102 (documented by Dataset)
        pair = self.pairs[index]
        image, labels = read_rgb(pair.image), self.label_format(pair.labels)
        check_same_size(pair, image.shape, labels.shape)
        return Sample(image, labels, pair.name)

    def read_labels(self, index: int) -> NDArray[np.uint8]:  # noqa: D102 (documented by Dataset)
        return self.label_format(self.pairs[index].labels)

    def frame(self, index: int) -> Frame:  # noqa: D102 (documented by Dataset)
        return super().frame(index) if self.videos is None else self.videos.frame(index)

    def past(self, index: int, count: int, step: int = 1) -> list[Frame]:  # noqa: D102 (documented by Dataset)
        return [] if self.videos is None else self.videos.past(index, count, step)

    def missing_frames(self, count: int, step: int = 1) -> list[Path]:  # noqa: D102 (documented by Dataset)
        if self.videos is None:
            return []
        frames = {frame for index in range(len(self)) for frame in self.past(index, count, step)}
        present = FolderContents()
        try:
            return [path for path in map(self.videos.path, sorted(frames)) if path not in present]
        except OSError as error:
            raise DatasetError(f"{error.filename} cannot be read: {error.strerror}; check its permissions") from None

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:  # noqa: D102 (documented by Dataset)
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


class FolderContents:
    """Whether files exist, with one look into each folder: data sets have a hundred thousand files."""

    def __init__(self) -> None:
        self._names: dict[Path, set[str]] = {}

    def __contains__(self, path: Path) -> bool:
        if path.parent not in self._names:
            names = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
            self._names[path.parent] = names
        return path.name in self._names[path.parent]

    def first(self, paths: Sequence[Path]) -> Path:
        """Return the first of several paths that exists, or else the first of all."""
        return next((path for path in paths if path in self), paths[0])


def images_in(folder: Path) -> list[Path]:
    """List the image files of a folder, not of its subfolders, in natural order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)


def pair_by_stem(images: Iterable[Path], labels: Iterable[Path]) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Match files of the same name, whatever their endings.

    Returns:
        The pairs in the order of the images, and the images without labels.
    """
    by_stem = {path.stem: path for path in labels}
    pairs, lonely = [], []
    for image in images:
        if image.stem in by_stem:
            pairs.append((image, by_stem[image.stem]))
        else:
            lonely.append(image)
    return pairs, lonely


def read_names(path: Path) -> list[list[str]]:
    """Read a list file: the words of each line that is not blank.

    Raises:
        DatasetError: it cannot be read or is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError(f"the list {path} is missing; unpack the data set again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the list {path}: {error}") from None
    return [line.split() for line in lines if line.strip()]
