"""Masks that wait for what was measured at their moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from std_msgs.msg import Header

from fanet_ros.measured.pairing import Match
from fanet_ros.ros.ground.classes import Meaning
from fanet_ros.ros.ground.measured import Measurement


@dataclass(frozen=True)
class PendingMask:
    """A mask on its way.

    Attributes:
        header: of the mask.
        mask: uint8 (H, W), class ids.
        meaning: of its class ids.
        started: by perf_counter(), when it came.
    """

    header: Header
    mask: NDArray[np.uint8]
    meaning: Meaning
    started: float


class PendingMasks:
    """Holds at most one mask, the newest.

    Attributes:
        unpaired: masks that a newer one has replaced, or that no measurement can belong to any more.
        newest: stamp of the newest mask.
    """

    def __init__(self) -> None:
        self._mask: PendingMask | None = None
        self._waits_since: float | None = None  # by monotonic(): the first mask since the last that found something
        self.unpaired = 0
        self.newest = Time()

    def take(
        self, mask: PendingMask | None, find: Callable[[Time], Match[Measurement]]
    ) -> Iterator[tuple[PendingMask, Measurement]]:
        """Yield masks with their measurements, as far as they have any.

        Args:
            mask: a new one; None where a new measurement has come.
            find: the measurement that belongs to a stamp.
        """
        if mask is not None:
            if self._mask is not None:  # it will get nothing better than what there is
                yield from self._give(find(self._mask.header.stamp))
            self._mask, self.newest = mask, mask.header.stamp
            self._waits_since = self._waits_since or monotonic()
        if self._mask is not None and (match := find(self._mask.header.stamp)).is_final:
            yield from self._give(match)

    def is_late(self, timeout_s: float) -> bool:
        """Whether masks come, but none has found a measurement for so long."""
        return self._waits_since is not None and monotonic() - self._waits_since > timeout_s

    def _give(self, match: Match[Measurement]) -> Iterator[tuple[PendingMask, Measurement]]:
        mask, self._mask = self._mask, None
        assert mask is not None
        if match.item is None:
            self.unpaired += 1
            return
        self._waits_since = None
        yield mask, match.item
