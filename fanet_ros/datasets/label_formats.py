"""How label files hold classes: as ids in grey or palette images, or as colours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.decoding import image_size, read_grey, read_rgb
from fanet_ros.model.labels import LabelSet

Color = tuple[int, int, int]

_BAND = 512  # rows that are mapped at a time: 6000x6000 colours as 32-bit numbers would be 144 MB


class LabelFormat(ABC):
    """Reads a label file in two steps, so that one can look at a part of it, or at what its values were."""

    @abstractmethod
    def raw(self, path: Path) -> NDArray[Any]:
        """Read the values as the file has them, (H, W) or (H, W, C); may be a view of the file.

        Raises:
            DatasetError: the file is missing, damaged or of another kind.
        """

    @abstractmethod
    def ids(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn raw values into class ids, uint8 (H, W); what is no class becomes IGNORED."""

    @abstractmethod
    def strangers(self, raw: NDArray[Any]) -> dict[str, int]:
        """Count the pixels of each raw value that the data set does not know, not even as one to ignore."""

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Read class ids, uint8 (H, W).

        Raises:
            DatasetError: the file is missing, damaged or of another kind.
        """
        return self.ids(self.raw(path))


class GreyIds(LabelFormat):
    """Grey labels of up to 8 bits, or palette PNGs, whose values stand for class ids."""

    def __init__(self, classes: Mapping[int, int], ignored: Collection[int] = (IGNORED,)) -> None:
        """Take the values.

        Args:
            classes: value -> class id.
            ignored: values that are no class and no mistake.
        """
        self._table = value_table(classes)
        self._known = {*classes, *ignored}

    @classmethod
    def of(cls, label_set: LabelSet, ignored: Collection[int] = (IGNORED,)) -> GreyIds:
        """Return the format of labels that hold the ids of a label set already."""
        return cls({index: index for index in range(len(label_set))}, ignored)

    def raw(self, path: Path) -> NDArray[np.uint8]:  # noqa: D102 (documented by LabelFormat)
        return read_grey(path)

    def ids(self, raw: NDArray[Any]) -> NDArray[np.uint8]:  # noqa: D102 (documented by LabelFormat)
        return self._table[raw]

    def strangers(self, raw: NDArray[Any]) -> dict[str, int]:  # noqa: D102 (documented by LabelFormat)
        counts = np.bincount(raw.ravel(), minlength=256)
        return {str(value): int(counts[value]) for value in np.flatnonzero(counts) if int(value) not in self._known}


class ColorIds(LabelFormat):
    """Labels as RGB colours, one for each class or several."""

    def __init__(self, colors: Mapping[Color, int], read: Callable[[Path], NDArray[np.uint8]] = read_rgb) -> None:
        """Take the colours.

        Args:
            colors: RGB -> class id, or IGNORED for those that are ignored by right.
            read: reads a file as uint8 (H, W, 3), RGB.
        """
        self._colors = tuple((_pack(*color), label) for color, label in colors.items())
        self._read = read

    def raw(self, path: Path) -> NDArray[np.uint8]:  # noqa: D102 (documented by LabelFormat)
        return self._read(path)

    def ids(self, raw: NDArray[Any]) -> NDArray[np.uint8]:  # noqa: D102 (documented by LabelFormat)
        table = _color_table(self._colors)
        result = np.empty(raw.shape[:2], np.uint8)
        for top in range(0, len(raw), _BAND):
            np.take(table, _packed(raw[top : top + _BAND]), out=result[top : top + _BAND])
        return result

    def strangers(self, raw: NDArray[Any]) -> dict[str, int]:  # noqa: D102 (documented by LabelFormat)
        counts: dict[str, int] = {}
        for top in range(0, len(raw), _BAND):
            packed = _packed(raw[top : top + _BAND])
            unknown = packed[_color_table(self._colors)[packed] == IGNORED]
            for color, count in zip(*np.unique(unknown, return_counts=True), strict=True):
                if (color, IGNORED) not in self._colors:
                    name = f"({color >> 16}, {color >> 8 & 255}, {color & 255})"
                    counts[name] = counts.get(name, 0) + int(count)
        return counts


class Unlabelled(LabelFormat):
    """No labels at all: the path is the image's, whose every pixel is IGNORED."""

    def raw(self, path: Path) -> NDArray[np.uint8]:  # noqa: D102 (documented by LabelFormat)
        size = image_size(path)
        return np.empty((size.height, size.width, 0), np.uint8)

    def ids(self, raw: NDArray[Any]) -> NDArray[np.uint8]:  # noqa: D102 (documented by LabelFormat)
        return np.full(raw.shape[:2], IGNORED, np.uint8)

    def strangers(self, raw: NDArray[Any]) -> dict[str, int]:  # noqa: D102 (documented by LabelFormat)
        return {}


def value_table(classes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return the table, uint8 (256,), of values that mean these class ids; every other value becomes IGNORED."""
    table = np.full(256, IGNORED, np.uint8)
    table[list(classes)] = list(classes.values())
    return table


def _pack(red: int, green: int, blue: int) -> int:
    return red << 16 | green << 8 | blue


def _packed(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


@lru_cache(maxsize=4)  # 16 MB each, of which few pages are ever read; kept here so that data sets stay small to pickle
def _color_table(colors: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    table = np.full(1 << 24, IGNORED, np.uint8)
    for color, label in colors:
        table[color] = label
    return table
