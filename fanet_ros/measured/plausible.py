"""Depth that cannot be right: told by its numbers, before anything is made of it."""

from __future__ import annotations

import zlib
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError

_LEAST_MEASURED = 0.1  # metres: nearer than this no depth camera measures
_FARTHEST_MEDIAN = 200.0  # metres: farther away than this half of no depth image is
_OTHER = 0.05  # of a mask: noise of the picture changes less, and what moves in it more
_SOME = 16  # every so many rows and columns are looked at; fewer numbers than that tell nothing


def check_units(depth: NDArray[np.uint16] | NDArray[np.float32]) -> None:
    """Refuse a depth image whose numbers are in the other unit.

    Args:
        depth: (h, w), uint16 that should be millimetres or float32 that should be metres (REP 118).

    Raises:
        FrameError: it is plausible only in the other unit.
    """
    step = min(_SOME, max(1, min(depth.shape) // _SOME))  # of a small image, all
    some = depth[::step, ::step]
    valid = some[np.isfinite(some) & (some > 0)] if depth.dtype == np.float32 else some[some > 0]
    if valid.size < _SOME:
        return
    median = float(np.median(valid))
    if depth.dtype == np.uint16 and float(np.percentile(valid, 95)) < 1000 * _LEAST_MEASURED:
        raise FrameError(
            f"depth: 16UC1 is millimetres (REP 118), but half of the numbers are below {median:g}, nearer than any "
            "camera measures: these are probably metres; have the driver publish millimetres, or 32FC1"
        )
    if depth.dtype == np.float32 and median > _FARTHEST_MEDIAN:
        raise FrameError(
            f"depth: 32FC1 is metres (REP 118), but half of the numbers are above {median:g}: these are probably "
            "millimetres; have the driver publish metres, or 16UC1"
        )


class FrozenWatch:
    """Notices measurements that stay the same, bit by bit, while the mask changes: no sensor is without noise."""

    def __init__(self, what: str = "depth", patience_s: float = 1.0) -> None:
        """Begin.

        Args:
            what: the topic, for messages.
            patience_s: how long that may last, in seconds of the stamps.
        """
        self._what, self._patience_s = what, patience_s
        self._depth: Hashable = None
        self._first: NDArray[np.uint8] = np.empty((0, 0), np.uint8)  # mask since then
        self._is_other = False  # whether a mask since then was quite another
        self._since_s = 0.0

    def check(self, depth: NDArray[np.generic], mask: NDArray[np.uint8], stamp_s: float) -> None:
        """Look at one pair.

        Args:
            depth: the measurements, any type and shape.
            mask: uint8 (H, W).
            stamp_s: of the depth, seconds.

        Raises:
            FrameError: they have been the same for too long.
        """
        content = (depth.shape, _checksum(depth))
        if content != self._depth or stamp_s < self._since_s:
            self._depth, self._since_s = content, stamp_s
            self._first, self._is_other = mask.copy(), False
        self._is_other |= mask.shape == self._first.shape and float((mask != self._first).mean()) > _OTHER
        if stamp_s - self._since_s > self._patience_s and self._is_other:
            raise FrameError(
                f"{self._what}: has not changed in a single bit for {stamp_s - self._since_s:.1f} s while the mask "
                f"did: the {self._what} stream is frozen; restart the sensor's driver"
            )


def _checksum(values: NDArray[np.generic]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)
