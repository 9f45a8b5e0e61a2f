"""How well labels match a ground truth: a confusion matrix, and every figure that follows from its counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 255  # ids are uint8 and 255 means no class

_DECIMALS = 6  # of shares in JSON; more than any data set can justify, few enough to read


@dataclass(frozen=True, eq=False)
class Scores:
    """What labels are worth, by the pixels whose truth is known. All but counts are shares in [0, 1].

    A mean is over the classes that occur in the truth: a class that is only ever labelled wrongly costs the classes it
    was mistaken for, and no more. Otherwise one stray pixel of a class that few frames show would count as much as a
    whole class. Classes that were left out are in no mean, but their pixels still count against the others.

    Attributes:
        miou: mean of `iou`; NaN where nothing is known.
        iou: float64 (classes,), intersection over union; NaN for a class in neither truth nor labels.
        pixel_accuracy: share of the pixels with the right label (overall accuracy, OA); NaN where nothing is known.
        mean_accuracy: mean over classes of the share of their pixels found.
        mean_f1: mean of `f1`.
        f1: float64 (classes,), harmonic mean of precision and recall; NaN where `iou` is.
        shares: float64 (classes,), of the known pixels, by truth.
        confusion: int64 (classes, classes + 1), pixels by truth (rows) and label; the last column is of labels that are
            no class.
        frames: number of frames.
        pixels: number of pixels whose truth is known.
        guess: `miou` of labelling every pixel with the most frequent class, for which nothing needs to be known of an
            image; NaN where nothing is known.
    """

    miou: float
    iou: NDArray[np.float64]
    pixel_accuracy: float
    mean_accuracy: float
    mean_f1: float
    f1: NDArray[np.float64]
    shares: NDArray[np.float64]
    confusion: NDArray[np.int64]
    frames: int
    pixels: int
    guess: float

    def as_json(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Return everything in JSON's types; what is NaN becomes None.

        Args:
            names: of the classes, for the keys of figures by class; class ids without them.
        """
        keys = tuple(names) or tuple(str(index) for index in range(len(self.iou)))
        return {
            "miou": _number(self.miou),
            "pixel_accuracy": _number(self.pixel_accuracy),
            "mean_accuracy": _number(self.mean_accuracy),
            "mean_f1": _number(self.mean_f1),
            "frames": self.frames,
            "pixels": self.pixels,
            "iou": _by_class(keys, self.iou),
            "f1": _by_class(keys, self.f1),
            "shares": _by_class(keys, self.shares),
            "confusion": self.confusion.tolist(),
        }


class Scorer:
    """Counts pixels by truth and label, over any number of frames and processes.

    The counts are a confusion matrix with one class more, which stands for "no class" in truth and labels alike. Its
    row is what the scores leave out, so that ignored pixels need not be picked from every image.
    """

    def __init__(self, classes: int) -> None:
        """Begin with nothing counted.

        Args:
            classes: 1 to 255.

        Raises:
            ValueError: another number of classes.
        """
        if not 1 <= classes <= MAX_CLASSES:
            raise ValueError(f"received {classes} classes, expected 1 to {MAX_CLASSES}")
        self.classes = classes
        self._matrix = np.zeros((classes + 1, classes + 1), np.int64)
        self._frames = 0

    @property
    def pixels(self) -> int:
        """Number of pixels whose truth is known, so far."""
        return int(self._matrix[: self.classes].sum())

    def add(self, labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one frame.

        Args:
            labels: uint8, (H, W); a label that is no class (255) is wrong wherever the truth is known.
            truth: uint8, same shape; pixels that are no class (255) are ignored.

        Raises:
            ValueError: the arrays are not what is expected.
        """
        for name, array in (("labels", labels), ("truth", truth)):
            if array.dtype != np.uint8:
                raise ValueError(f"{name} are {array.dtype}, expected uint8")
        if labels.shape != truth.shape:
            raise ValueError(f"labels have shape {labels.shape} but truth {truth.shape}, expected the same")
        # np.minimum: every id that is no class becomes the one behind the last class
        rows, columns = (np.minimum(ids, np.uint8(self.classes)).ravel() for ids in (truth, labels))
        pairs = rows.astype(np.int32) * (self.classes + 1) + columns
        self._matrix += np.bincount(pairs, minlength=self._matrix.size).reshape(self._matrix.shape)
        self._frames += 1

    def counts(self) -> NDArray[np.int64]:
        """Return a copy of all that was counted, int64 ((classes + 1)^2 + 1,): the matrix row by row, then the frames.

        The counts of several scorers add up: sum them and `merge` the sum into a new scorer, which then stands for all
        of them.
        """
        return np.append(self._matrix, self._frames)

    def merge(self, counts: NDArray[np.int64]) -> None:
        """Add what another scorer of as many classes has counted (its `counts()`).

        Raises:
            ValueError: they are of another number of classes.
        """
        expected = self._matrix.size + 1
        if counts.shape != (expected,):
            raise ValueError(f"received counts of shape {counts.shape}, expected ({expected},)")
        self._matrix += counts[:-1].reshape(self._matrix.shape)
        self._frames += int(counts[-1])

    def scores(self, left_out: Sequence[int] = ()) -> Scores:
        """Return the scores of what was counted so far.

        Args:
            left_out: ids of classes that are in no mean, such as clutter in aerial images.
        """
        confusion: NDArray[np.int64] = self._matrix[: self.classes].copy()
        hits = confusion.diagonal().astype(np.float64)
        true, labelled = confusion.sum(1), confusion[:, : self.classes].sum(0)
        pixels = int(true.sum())
        averaged = true > 0
        averaged[list(left_out)] = False
        iou, f1 = _ratio(hits, true + labelled - hits), _ratio(2 * hits, true + labelled)
        shares = _ratio(true, np.full(self.classes, pixels))
        return Scores(
            miou=_mean(iou[averaged]),
            iou=iou,
            pixel_accuracy=hits.sum() / pixels if pixels else math.nan,
            mean_accuracy=_mean(_ratio(hits, true)[averaged]),
            mean_f1=_mean(f1[averaged]),
            f1=f1,
            shares=shares,
            confusion=confusion,
            frames=self._frames,
            pixels=pixels,
            guess=float(shares[averaged].max() / averaged.sum()) if averaged.any() else math.nan,
        )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), _DECIMALS)


def _by_class(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values, strict=True)}
