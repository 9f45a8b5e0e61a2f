"""Tiles of tens of megapixels, of which a window is read without the rest where the file allows that."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED, Sample, Window, cut
from fanet_ros.datasets.decoding import image_size, read_rgb
from fanet_ros.datasets.files import PairedFiles, check_same_size
from fanet_ros.datasets.label_formats import LabelFormat
from fanet_ros.datasets.tiff import map_tiff, tiff_size
from fanet_ros.settings import Size


class TileFiles(PairedFiles):
    """A data set of few and large images, of which training reads small windows."""

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        path = self.pairs[index].image
        return tiff_size(path) or image_size(path)

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
    mapped = map_tiff(path)
    return _decoded(path) if mapped is None else mapped


@lru_cache(maxsize=2)  # the image and the labels of one tile, of which several windows may be read in a row
def _decoded(path: Path) -> NDArray[np.uint8]:
    pixels = read_rgb(path)
    pixels.flags.writeable = False  # it is shared
    return pixels
