"""Soft labels: class probabilities that another network gave, one array a sample, at any resolution."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.matching import missing
from fanet_ros.datasets.meanings import Meaning
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.files import looked_for
from fanet_ros.settings import Size

NAME = "{name}"  # stands for the sample's name in the pattern of the files
_CHANNELS_AT_ONCE = 4  # of cv2.warpAffine
_LONGEST = 32767  # side that OpenCV can warp
_LARGEST = 1 << 28  # bytes of one array: an archive of a few kB may unfold to gigabytes


class SoftLabels:
    """The soft labels of a data set's samples, in the classes of a network.

    A file is an .npz with a single array, or an .npy: uint8 (classes, h, w), probabilities times 255, of h x w points
    spread evenly over the image. Pixels sum up to about 255; what they lack is of no class.
    """

    def __init__(self, folder: Path, pattern: str, meaning: Meaning) -> None:
        """Take a folder; nothing is read.

        Args:
            folder: where the files lie.
            pattern: of their names within it, with {name} for the sample's name.
            meaning: of the arrays' classes, each one of the network's or none; several may add up to one.

        Raises:
            SettingError: the pattern has no {name}.
            DatasetError: a class of the arrays may be several of the network's.
        """
        if NAME not in pattern:
            raise SettingError(f"soft.file: received {pattern!r}, expected a file name with {NAME} in it")
        if meaning.coarse:
            raise DatasetError(
                f"soft labels of '{meaning.own.name}': a class stands for several of '{meaning.network.name}', so its "
                "probability cannot be told; say in soft.rename which one each is"
            )
        self._folder, self._pattern, self._meaning = folder, pattern, meaning

    @property
    def may_be(self) -> tuple[tuple[int, ...], ...]:
        """The network's class that each class of the arrays is, if any."""
        return self._meaning.may_be

    @property
    def reachable(self) -> frozenset[int]:
        """The network's classes that they can tell of."""
        return self._meaning.reachable

    def path(self, name: str) -> Path:
        """Return the file of a sample."""
        return self._folder / self._pattern.replace(NAME, name)

    def check(self, names: Sequence[str]) -> None:
        """Look whether every sample has a file.

        Raises:
            DatasetError: some have none, or a folder cannot be read.
        """
        gone = missing([self.path(name) for name in names])
        if gone:
            raise DatasetError(
                f"{len(gone)} of {len(names)} samples have no soft labels, for example {gone[0]}; add them, or "
                "say in soft.file how they are called"
            )

    def read(self, name: str) -> NDArray[np.uint8]:
        """Read the probabilities of a sample in the network's classes, uint8 (h, w, classes), 255 for certainty.

        Raises:
            DatasetError: the file is missing, damaged or of another form.
        """
        given = self._load(self.path(name))
        merged = np.zeros((len(self._meaning.network), *given.shape[1:]), np.uint16)
        for values, ids in zip(given, self._meaning.may_be, strict=True):
            if ids:
                merged[ids[0]] += values
        return np.minimum(merged, 255).astype(np.uint8).transpose(1, 2, 0)

    def crop(self, name: str, image: Size, affine: NDArray[np.float64], crop: Size, divisor: int) -> NDArray[np.uint8]:
        """Read the probabilities of a sample as its crop shows them.

        Args:
            name: of the sample.
            image: its size in pixels.
            affine: float (2, 3), pixels of the image -> pixels of the crop.
            crop: size of the crop.
            divisor: the result has the crop's size divided by it (rounded up), corner to corner.

        Returns:
            uint8 (classes, crop.height / divisor, crop.width / divisor); 0 beyond the image.

        Raises:
            DatasetError: as for `read`.
        """
        soft = self.read(name)
        height, width = -(-crop.height // divisor), -(-crop.width // divisor)
        # points -> image: the points are centres of equal parts of the image
        scale_x, scale_y = image.width / soft.shape[1], image.height / soft.shape[0]
        to_image = np.array([[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, scale_y / 2 - 0.5], [0, 0, 1]])
        to_result = np.diag([_ratio(width, crop.width), _ratio(height, crop.height)])
        matrix = to_result @ affine @ to_image
        parts = [
            cv2.warpAffine(np.ascontiguousarray(soft[..., first : first + _CHANNELS_AT_ONCE]), matrix, (width, height))
            for first in range(0, soft.shape[2], _CHANNELS_AT_ONCE)
        ]
        channels = [part.reshape(height, width, -1) for part in parts]
        return np.ascontiguousarray(np.concatenate(channels, 2).transpose(2, 0, 1)).astype(np.uint8, copy=False)

    def _load(self, path: Path) -> NDArray[np.uint8]:
        classes = len(self._meaning.own)
        try:
            values = np.load(path, mmap_mode="r") if path.suffix == ".npy" else _load_npz(path)
        except FileNotFoundError:
            raise DatasetError(f"soft labels {path} are missing{looked_for(path)}") from None
        except Exception as error:  # a damaged file raises whatever its bytes lead the parsers into
            raise DatasetError(f"soft labels {path} cannot be read: {error}; make them again") from None
        fits = isinstance(values, np.ndarray) and values.nbytes <= _LARGEST and max(values.shape, default=0) < _LONGEST
        if not fits:
            raise DatasetError(
                f"soft labels {path} are {getattr(values, 'shape', 'no array')}, expected at most {_LARGEST} bytes and "
                f"sides below {_LONGEST}"
            )
        if values.dtype != np.uint8 or values.ndim != 3 or values.shape[0] != classes or not values.size:
            raise DatasetError(
                f"soft labels {path} are {values.dtype} {values.shape}, expected uint8 ({classes}, height, width): a "
                f"probability times 255 for each class of '{self._meaning.own.name}'"
            )
        return values


def save_soft_labels(path: Path, probabilities: NDArray[np.floating]) -> None:
    """Write what `SoftLabels` reads.

    Args:
        path: of the .npz file; its folder is made.
        probabilities: (classes, h, w), in [0, 1].

    Raises:
        DatasetError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, p=(probabilities * 255).round().clip(0, 255).astype(np.uint8))
    except OSError as error:
        raise DatasetError(f"cannot write soft labels {path}: {error.strerror}") from None


def _load_npz(path: Path) -> NDArray[np.uint8]:
    """Read the only array of an archive; what it unfolds to is looked at first."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if len(entries) != 1 or entries[0].file_size > _LARGEST:
        sizes = ", ".join(str(entry.file_size) for entry in entries)
        raise ValueError(f"it holds {len(entries)} arrays ({sizes} bytes), expected one of at most {_LARGEST}")
    with np.load(path) as arrays:
        values: NDArray[np.uint8] = arrays[arrays.files[0]]
    return values


def _ratio(result: int, crop: int) -> float:
    return (result - 1) / (crop - 1) if crop > 1 else 1.0
