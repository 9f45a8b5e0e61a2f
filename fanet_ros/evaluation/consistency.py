"""How steady labels are from frame to frame, where it is known exactly what moved where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import ClassMotion

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Consistency:
    """Temporal consistency: of the pixels whose true class stays the same along a known motion, those whose label does.

    It says nothing of whether labels are right, only whether they flicker. Pixels of classes whose motion is not known,
    and those that enter the image or are uncovered, are not counted.

    Attributes:
        share: over all classes, in [0, 1]; NaN where no motion is known.
        shares: float64 (classes,), by true class; NaN for those without a known motion.
        pixels: how many were counted.
    """

    share: float
    shares: NDArray[np.float64]
    pixels: int

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return everything in JSON's types, classes without a known motion left out."""
        by_class = {
            name: round(float(share), 6)
            for name, share in zip(names, self.shares, strict=True)
            if not math.isnan(share)
        }
        share = None if math.isnan(self.share) else round(self.share, 6)
        return {"share": share, "by_class": by_class, "pixels": self.pixels}


class ConsistencyMeter:
    """Counts pixels over pairs of frames that follow each other."""

    def __init__(self, classes: int) -> None:
        self._pixels, self._kept = np.zeros(classes, np.int64), np.zeros(classes, np.int64)

    def add(
        self, motions: Sequence[ClassMotion], labels: Labels, truth: Labels, labels_before: Labels, truth_before: Labels
    ) -> None:
        """Count a frame against the one before it.

        Args:
            motions: what is known of the way from the frame to the one before.
            labels: uint8 (H, W), of the frame.
            truth: the same, what they should be.
            labels_before: the same, of the frame before.
            truth_before: the same.
        """
        height, width = truth.shape
        for motion in motions:
            y, x = np.nonzero(np.isin(truth, motion.class_ids))
            u, v, w = motion.homography @ np.stack([x, y, np.ones_like(x)])
            u, v = (np.divide(side, w, out=np.full(len(x), -1.0), where=w > 0).round() for side in (u, v))
            seen = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            now, before = (y[seen], x[seen]), (v[seen].astype(np.intp), u[seen].astype(np.intp))
            steady = truth[now] == truth_before[before]
            kept = steady & (labels[now] == labels_before[before])
            classes = truth[now]
            self._pixels += np.bincount(classes[steady], minlength=len(self._pixels))
            self._kept += np.bincount(classes[kept], minlength=len(self._kept))

    def result(self) -> Consistency:
        """Return what was counted so far."""
        pixels = int(self._pixels.sum())
        shares = np.divide(self._kept, self._pixels, out=np.full(len(self._kept), np.nan), where=self._pixels > 0)
        return Consistency(int(self._kept.sum()) / pixels if pixels else math.nan, shares, pixels)
