"""How well labels match a ground truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_IDS = 256


class ConfusionMatrix:
    """Counts pixels by true class and label, over any number of frames."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._counts = np.zeros((classes, _IDS), np.int64)

    def add(self, labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one frame.

        Args:
            labels: uint8, (H, W); a label that is no class (255) is wrong wherever the truth is known.
            truth: uint8, same shape; pixels that are no class (255) are ignored.
        """
        known = truth < self._classes
        pairs = truth[known].astype(np.int64) * _IDS + labels[known]
        self._counts += np.bincount(pairs, minlength=self._classes * _IDS).reshape(self._classes, _IDS)

    @property
    def pixels(self) -> int:
        """Number of pixels with a known truth seen so far."""
        return int(self._counts.sum())

    def iou(self) -> NDArray[np.float64]:
        """Return the intersection over union of each class, (classes,); NaN for a class that never occurred."""
        hits = np.diag(self._counts[:, : self._classes]).astype(np.float64)
        union = self._counts.sum(1) + self._counts[:, : self._classes].sum(0) - hits
        return np.divide(hits, union, out=np.full(self._classes, np.nan), where=union > 0)

    def mean_iou(self) -> float:
        """Return the mean of `iou` over the classes that occur in the truth; NaN if none does.

        A class that is only ever labelled wrongly costs the classes it was mistaken for, and no more: otherwise one
        stray pixel of a class that few frames show would count as much as a whole class.
        """
        occurs = self._counts.sum(1) > 0
        return float(self.iou()[occurs].mean()) if occurs.any() else float("nan")
