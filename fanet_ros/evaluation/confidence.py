"""How far confidence can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import IGNORED

BINS = 15  # as in Guo et al. 2017
_LEVELS = 256


class ConfidenceMeter:
    """Compares confidence with how often it was right, over any number of frames."""

    def __init__(self) -> None:
        self._counts, self._right = np.zeros(_LEVELS, np.int64), np.zeros(_LEVELS, np.int64)

    def add(self, confidence: NDArray[np.uint8], labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one frame; arguments are uint8 (H, W), confidence is probability x 255, a truth of 255 is ignored."""
        known = truth != IGNORED
        sure, right = confidence[known], (labels == truth)[known]
        self._counts += np.bincount(sure, minlength=_LEVELS)
        self._right += np.bincount(sure[right], minlength=_LEVELS)

    def error(self) -> float:
        """Return the expected calibration error in [0, 1], NaN where nothing was counted.

        The mean over pixels of |accuracy - mean confidence| of the pixel's bin of confidence, of 15 equal ones (Guo et
        al., "On Calibration of Modern Neural Networks", ICML 2017, equation 5).
        """
        levels = np.arange(_LEVELS) / (_LEVELS - 1)
        bins = np.minimum((levels * BINS).astype(int), BINS - 1)
        confidence = np.bincount(bins, self._counts * levels, BINS)
        right = np.bincount(bins, self._right, BINS)
        total = int(self._counts.sum())
        return float(np.abs(right - confidence).sum() / total) if total else float("nan")
