"""COCO-Stuff (Caesar et al. 2018) in its editions of 10 thousand and 164 thousand images, as 171 classes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.files import Pair, read_names
from fanet_ros.datasets.label_formats import GreyIds, value_table
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet, load_label_set

IMAGES, LABELS, LISTS = "images", "annotations", "imageLists"

# Of the official ids 1 to 182, these things have no pixel in COCO: street sign, hat, shoe, eye glasses, plate, mirror,
# window, desk, door, blender and hair brush. The others in order are the classes.
UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
CLASS_IDS = tuple(label for label in range(1, 183) if label not in UNUSED_IDS)

_UNLABELLED_10K = 0
_SPLITS_10K, _SPLITS_164K = ("train", "test"), ("train", "val")
_YEAR = "2017"


class _MatIds(GreyIds):
    """Labels in MATLAB files, as a matrix `S` of official ids."""

    def raw(self, path: Path) -> NDArray[np.uint8]:
        """Read the matrix, uint8 (H, W).

        Raises:
            DatasetError: the file is missing, damaged, or without a matrix of ids.
        """
        try:
            from scipy.io import loadmat
        except ImportError:
            raise DatasetError(f"{path} can only be read with SciPy: pip install scipy") from None
        if not path.is_file():
            raise DatasetError(f"{path} is missing; unpack the data set again")
        try:
            content = loadmat(path, variable_names=["S"])
        except Exception as error:  # SciPy lets out whatever its parser trips over in a damaged file
            raise DatasetError(f"{path} is no readable MATLAB file ({error}); unpack the data set again") from None
        matrix = content.get("S")
        if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "uif":
            what = "no matrix S" if matrix is None else f"S of shape {np.shape(matrix)}"
            raise DatasetError(f"labels {path} hold {what}, expected a matrix S with one id per pixel")
        values = matrix.astype(np.uint8)
        if not np.array_equal(values, matrix):
            raise DatasetError(
                f"labels {path} hold values from {matrix.min()} to {matrix.max()}, expected whole ids from 0 to 255"
            )
        return values


def _is_10k(path: Path) -> bool:
    return (path / LISTS).is_dir() or bool(_stems(path / LABELS, ".mat"))


def _is_164k(path: Path) -> bool:
    return any((path / folder / f"{split}{_YEAR}").is_dir() for folder in (IMAGES, LABELS) for split in _SPLITS_164K)


def _stems(folder: Path, ending: str) -> list[str]:
    """Names without their ending, in order; names and not paths, as a hundred thousand of those take seconds."""
    names = os.listdir(folder) if folder.is_dir() else ()
    return sorted(name.removesuffix(ending) for name in names if name.endswith(ending))


def _recognises(path: Path) -> bool:
    return _is_164k(path) or _is_10k(path)


def _splits(path: Path) -> Sequence[str]:
    return _SPLITS_164K if _is_164k(path) else _SPLITS_10K


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cocostuff171")
    return _find_164k(path, split, label_set) if _is_164k(path) else _find_10k(path, split, label_set)


def _find_10k(path: Path, split: str, label_set: LabelSet) -> Found:
    listing = path / LISTS / f"{split}.txt"
    names = [words[0] for words in read_names(listing)]
    pairs = [Pair(path / IMAGES / f"{name}.jpg", path / LABELS / f"{name}.mat", name) for name in names]
    table = value_table({label: index for index, label in enumerate(CLASS_IDS)})
    expected = f"names in {LISTS}/{split}.txt, {IMAGES}/*.jpg and {LABELS}/*.mat"
    return Found(label_set, pairs, _MatIds(table, ignored=(_UNLABELLED_10K,)), expected)


def _find_164k(path: Path, split: str, label_set: LabelSet) -> Found:
    folder = path / LABELS / f"{split}{_YEAR}"
    names = _stems(path / IMAGES / f"{split}{_YEAR}", ".jpg")
    pairs = [Pair(path / IMAGES / f"{split}{_YEAR}" / f"{name}.jpg", folder / f"{name}.png", name) for name in names]
    strays = [folder / f"{name}.png" for name in sorted(set(_stems(folder, ".png")) - set(names))]
    table = value_table({label - 1: index for index, label in enumerate(CLASS_IDS)})  # these files count from 0
    expected = f"{IMAGES}/{split}{_YEAR}/*.jpg and {LABELS}/{split}{_YEAR}/*.png"
    return Found(label_set, pairs, GreyIds(table, ignored=(IGNORED,)), expected, strays)


LAYOUT = Layout(
    name="cocostuff",
    content=f"{IMAGES}/*.jpg, {LABELS}/*.mat and {LISTS}/ (10k edition), or {IMAGES}/train{_YEAR}/, "
    f"{LABELS}/train{_YEAR}/ and the same for val{_YEAR} (164k edition)",
    recognises=_recognises,
    splits=_splits,
    find=_find,
)
