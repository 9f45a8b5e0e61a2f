"""Tiles of tens of megapixels, of which a window is read without the rest where the file allows that."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED, Sample, Window, cut
from fanet_ros.datasets.decoding import open_header, read_rgb, unreadable
from fanet_ros.datasets.files import PairedFiles, check_same_size
from fanet_ros.datasets.label_formats import LabelFormat


class TileFiles(PairedFiles):
    """A data set of few and large images, of which training reads small windows."""

    def read(self, index: int) -> Sample:  # noqa: D102 (documented by Dataset)
        size = self.size(index)
        return self.read_window(index, Window(0, 0, size.width, size.height))

    def read_window(self, index: int, window: Window) -> Sample:  # noqa: D102 (documented by Dataset)
        assert isinstance(self.label_format, LabelFormat)  # given by the layout
        pair = self.pairs[index]
        image, raw = tile_pixels(pair.image), self.label_format.raw(pair.labels)
        check_same_size(pair, image.shape, raw.shape)
        inside = _inside(window, image.shape[1], image.shape[0])
        labels = self.label_format.ids(cut(raw, inside, 0))
        beyond = Window(window.left - inside.left, window.top - inside.top, window.width, window.height)
        return Sample(cut(image, window, 0), cut(labels, beyond, IGNORED), pair.name)


def _inside(window: Window, width: int, height: int) -> Window:
    """The part of a window that lies within an image; it may be empty."""
    left, top = min(max(window.left, 0), width), min(max(window.top, 0), height)
    right, bottom = min(max(window.left + window.width, left), width), min(max(window.top + window.height, top), height)
    return Window(left, top, right - left, bottom - top)


def tile_pixels(path: Path) -> NDArray[np.uint8]:
    """Return a tile as uint8 (H, W, 3), RGB: a view of the file if it is an uncompressed TIFF, else decoded.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    start, shape = _plain_pixels(path)
    if start is None:
        return _decoded(path)
    try:
        return np.memmap(path, np.uint8, "r", start, shape)
    except ValueError:  # it is longer than the file
        raise unreadable(path) from None


@lru_cache(maxsize=256)  # a header may name thousands of strips
def _plain_pixels(path: Path) -> tuple[int | None, tuple[int, int, int]]:
    """Where the pixels begin if they lie in the file as they are, row by row; None where they do not."""
    with open_header(path) as image:
        if image is None or image.format != "TIFF" or image.mode != "RGB":
            return None, (0, 0, 0)
        width, height = image.size
        strips: Any = list(image.tile)
    start, row = strips[0][2], 0
    for codec, (left, top, right, bottom), offset, (mode, *_) in strips:
        in_a_row = (left, top, right) == (0, row, width) and offset == start + row * width * 3
        if codec != "raw" or mode != "RGB" or not in_a_row:
            return None, (0, 0, 0)
        row = bottom
    return start if row == height else None, (height, width, 3)


@lru_cache(maxsize=2)  # the image and the labels of one tile, of which several windows may be read in a row
def _decoded(path: Path) -> NDArray[np.uint8]:
    pixels = read_rgb(path)
    pixels.flags.writeable = False  # it is shared
    return pixels
