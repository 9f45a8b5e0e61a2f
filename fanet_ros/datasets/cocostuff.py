"""COCO-Stuff (Caesar et al. 2018) in its editions of 10 thousand and 164 thousand images, as 171 classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.label_formats import GreyIds
from fanet_ros.datasets.layout import Found, Layout, found_by
from fanet_ros.datasets.matching import Files, matches, read_lines
from fanet_ros.errors import DatasetError
from fanet_ros.extras import what_to_install
from fanet_ros.model.labels import load_label_set

LISTS = "imageLists"

# Of the official ids 1 to 182, these things have no pixel in COCO: street sign, hat, shoe, eye glasses, plate, mirror,
# window, desk, door, blender and hair brush. The others in order are the classes.
UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
CLASS_IDS = tuple(label for label in range(1, 183) if label not in UNUSED_IDS)

_UNLABELLED_10K = 0
_SPLITS_10K, _SPLITS_164K = ("train", "test"), ("train", "val")
_FILES_10K = Files("images/*.jpg", "annotations/*.mat")
_FILES_164K = Files("images/SPLIT2017/*.jpg", "annotations/SPLIT2017/*.png")


class _MatIds(GreyIds):
    """Labels in MATLAB files, as a matrix `S` of official ids."""

    def raw(self, path: Path) -> NDArray[np.uint8]:
        """Read the matrix, uint8 (H, W).

        Raises:
            DatasetError: the file is missing, damaged, or without a matrix of ids.
        """
        try:
            from scipy.io import loadmat
        except ImportError as error:
            raise DatasetError(f"{path}: reading it needs {what_to_install('scipy')}") from error
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


def _is_10k(root: Path) -> bool:
    return (root / LISTS).is_dir() or bool(matches(root, _FILES_10K.labels))


def _is_164k(root: Path) -> bool:
    parts = (_FILES_164K.of(split) for split in _SPLITS_164K)
    return any((root / pattern).parent.is_dir() for part in parts for pattern in (part.images, part.labels))


def _splits(root: Path) -> Sequence[str]:
    return _SPLITS_164K if _is_164k(root) else _SPLITS_10K


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cocostuff171")
    if _is_164k(root):  # these files count from 0
        counted = {label - 1: index for index, label in enumerate(CLASS_IDS)}
        return found_by(_FILES_164K.of(split), root, label_set, GreyIds(counted))
    pairs = [_FILES_10K.pair(root, line.text) for line in read_lines(root / LISTS / f"{split}.txt")]
    official = {label: index for index, label in enumerate(CLASS_IDS)}
    expected = f"names in {LISTS}/{split}.txt, {_FILES_10K}"
    return Found(label_set, pairs, _MatIds(official, ignored=(_UNLABELLED_10K,)), expected)


LAYOUT = Layout(
    name="cocostuff",
    content=f"{_FILES_10K} and {LISTS}/ (10k edition), or {_FILES_164K.of('train')} and the same for val2017 (164k "
    "edition)",
    recognises=lambda root: _is_164k(root) or _is_10k(root),
    splits=_splits,
    find=_find,
)
