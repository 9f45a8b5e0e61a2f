"""Where something begins on the bearings: the first run of pixels that shows it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.bearings import BearingTable

_NEARER, _FARTHER = 1.0, 2.0  # pixels by which a range differs from those before and behind it, to lie between them


class Starts(NamedTuple):
    """Where something begins on every bearing.

    Attributes:
        sample: int64 (bearings,), index of the sample; 0 where there is none.
        is_there: bool (bearings,).
        ranges: float32 (bearings,), metres from the foot point; inf where there is none.
    """

    sample: NDArray[np.int64]
    is_there: NDArray[np.bool_]
    ranges: NDArray[np.float32]

    def at_most(self, others: Starts) -> Starts:
        """Return these, none of them farther away than the others' on its bearing."""
        is_nearer = others.ranges < self.ranges
        return Starts(
            np.where(is_nearer, others.sample, self.sample),
            self.is_there | is_nearer,
            np.minimum(self.ranges, others.ranges),
        )


class RunFinder:
    """Finds the first run of at least so many flagged samples on each bearing.

    A bearing that grazes the side of something upright, within a pixel, meets it above its foot, and would put it
    behind its place: between it and what is seen beside it. Therefore a bearing whose range lies between those of its
    neighbours within that pixel takes the nearest of theirs.
    """

    def __init__(self, bearings: BearingTable, length: int) -> None:
        self._kernel = np.ones((1, length), np.uint8)
        self._buffer = np.empty(bearings.is_seen.shape, np.uint8)
        self._rows = np.arange(len(bearings.is_seen))
        self._foot_ranges = bearings.foot_ranges
        self._around = np.ones((2 * bearings.neighbours + 1, 1), np.uint8)

    def first(self, flags: NDArray[np.bool_]) -> Starts:
        """Return the starts of the first runs among flags, bool (bearings, samples)."""
        runs: NDArray[np.uint8] = flags.view(np.uint8)
        if self._kernel.size > 1:  # eroded from its first element on, a run leaves its starts
            runs = cv2.erode(
                runs, self._kernel, dst=self._buffer, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0
            )
        sample = runs.view(np.bool_).argmax(axis=1)
        is_there = runs.view(np.bool_)[self._rows, sample]
        ranges = np.where(is_there, self._foot_ranges[self._rows, sample], np.float32(np.inf))
        nearest = cv2.erode(ranges, self._around).reshape(-1)
        farthest = cv2.dilate(ranges, self._around).reshape(-1)
        following = self._foot_ranges[self._rows, np.minimum(sample + 1, self._foot_ranges.shape[1] - 1)]
        pixel = following[is_there] - ranges[is_there]
        is_between = nearest[is_there] + _NEARER * pixel < ranges[is_there]
        is_between &= ranges[is_there] + _FARTHER * pixel < farthest[is_there]
        ranges[is_there] = np.where(is_between, nearest[is_there], ranges[is_there])
        return Starts(sample, is_there, ranges)
