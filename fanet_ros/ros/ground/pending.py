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

_MOST = 8  # depth that comes later than so many masks is not waited for


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
    """Holds the newest masks that have found no measurement yet: one may still be on its way.

    Attributes:
        unpaired: masks that a newer one has replaced, or that no measurement can belong to any more.
        newest: stamp of the newest mask.
    """

    def __init__(self) -> None:
        self._masks: list[PendingMask] = []  # from the oldest to the newest
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
            yield from self._settle(find, is_any_good=True)  # a newer one is there: what was found is not waited with
            self._masks.append(mask)
            self.newest = mask.header.stamp
            self._waits_since = self._waits_since or monotonic()
        yield from self._settle(find)
        if len(self._masks) > _MOST:
            self.unpaired += 1
            del self._masks[0]

    def is_late(self, timeout_s: float) -> bool:
        """Whether masks come, but none has found a measurement for so long."""
        return self._waits_since is not None and monotonic() - self._waits_since > timeout_s

    def _settle(
        self, find: Callable[[Time], Match[Measurement]], *, is_any_good: bool = False
    ) -> Iterator[tuple[PendingMask, Measurement]]:
        """Yield the newest mask that has its measurement, and drop those that will get none or are older."""
        before, self._masks = self._masks, []
        for index in reversed(range(len(before))):
            match = find(before[index].header.stamp)
            if match.item is not None and (match.is_final or is_any_good):
                self.unpaired += index
                self._waits_since = None
                yield before[index], match.item
                return
            if match.is_final:
                self.unpaired += 1
            else:
                self._masks.insert(0, before[index])
