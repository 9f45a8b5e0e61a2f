"""Data sets of image files with label files beside them: finding, pairing and decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import Dataset, Sample
from fanet_ros.encoded_size import HEADER_BYTES, encoded_size
from fanet_ros.errors import DatasetError
from fanet_ros.labels import LabelSet
from fanet_ros.settings import Size
from fanet_ros.sources.opencv_log import quiet_opencv

ReadLabels = Callable[[Path], NDArray[np.uint8]]
"""Reads a label file as class ids, uint8 (H, W); raises DatasetError."""


class Pair(NamedTuple):
    """The files of one sample, and its name."""

    image: Path
    labels: Path
    name: str


class PairedFiles(Dataset):
    """A data set whose samples are an image file and a label file each."""

    def __init__(
        self, name: str, split: str, label_set: LabelSet, pairs: Sequence[Pair], read_labels: ReadLabels
    ) -> None:
        self.name, self.split, self.label_set = name, split, label_set
        self.pairs = pairs
        self.names = [pair.name for pair in pairs]
        self._read_labels = read_labels

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        return image_size(self.pairs[index].image)

    def read(self, index: int) -> Sample:  # noqa: D102 (documented by Dataset)
        pair = self.pairs[index]
        image, labels = read_rgb(pair.image), self._read_labels(pair.labels)
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"labels {pair.labels} are {labels.shape[1]}x{labels.shape[0]} pixels but their image {pair.image} is "
                f"{image.shape[1]}x{image.shape[0]}; both must have the same size"
            )
        return Sample(image, labels, pair.name)


class GreyIds:
    """Reads 8-bit grey labels whose values a table turns into class ids."""

    def __init__(self, table: NDArray[np.uint8]) -> None:
        """Take the table, uint8 (256,): value -> class id or IGNORED."""
        self._table = table

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Read class ids, uint8 (H, W)."""
        values = decode(path, cv2.IMREAD_UNCHANGED)
        if values.dtype != np.uint8 or values.ndim != 2:
            raise DatasetError(
                f"labels {path} are an image of {values.dtype} with shape {values.shape}, expected 8-bit grey with one "
                "id per pixel"
            )
        return self._table[values]


def identity_table(classes: int) -> NDArray[np.uint8]:
    """Return the table of labels that hold class ids already: every value that is no class becomes IGNORED."""
    table = np.full(256, 255, np.uint8)
    table[:classes] = np.arange(classes)
    return table


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, 3), RGB, as its pixels lie in the file (labels know no EXIF rotation).

    Raises:
        DatasetError: it is missing or no readable image.
    """
    return cv2.cvtColor(decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.COLOR_BGR2RGB)


def image_size(path: Path) -> Size:
    """Return an image's size, from its header where it is a PNG or JPEG.

    Raises:
        DatasetError: it is missing or no readable image.
    """
    size = encoded_size(_read(path, HEADER_BYTES))
    if size is not None:
        return Size(*size)
    height, width = decode(path, cv2.IMREAD_UNCHANGED).shape[:2]
    return Size(width, height)


def decode(path: Path, flags: int) -> NDArray[np.uint8]:
    """Decode an image file with OpenCV's imread flags.

    Raises:
        DatasetError: it is missing or no readable image.
    """
    content = np.frombuffer(_read(path), np.uint8)
    with quiet_opencv():
        try:
            image = cv2.imdecode(content, flags) if content.size else None
        except cv2.error:  # more pixels than OpenCV's limit
            image = None
    if image is None:
        raise DatasetError(f"{path} is no readable image: damaged or incomplete; unpack the data set again")
    return image


def _read(path: Path, count: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; unpack the data set again") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
