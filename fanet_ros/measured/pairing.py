"""Finds the measurement that belongs to a mask: the nearest in time, of those that have come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

_KEPT = 12  # masks come up to some tenths of a second after their image
_MOST_BYTES = 256 << 20  # of all that is kept; the newest always is
_JUMP_S = 10.0  # a stamp that goes back by more is of a clock that was set back


@dataclass(frozen=True)
class Match(Generic[Item]):
    """What was found for a stamp.

    Attributes:
        item: the nearest measurement within the tolerance; None without one.
        offset_s: its stamp less the one that was asked for, of the nearest within the tolerance or not; NaN with none.
        is_final: whether no better one can come, unless measurements are out of order.
    """

    item: Item | None
    offset_s: float
    is_final: bool


class Recent(Generic[Item]):
    """The newest measurements, by their stamps."""

    def __init__(self) -> None:
        self._items: deque[tuple[float, Item]] = deque(maxlen=_KEPT)
        self._sizes: deque[int] = deque(maxlen=_KEPT)

    def add(self, stamp_s: float, item: Item, size: int = 0) -> None:
        """Take one more, of so many bytes; the oldest are forgotten."""
        if self._items and stamp_s < self._items[-1][0] - _JUMP_S:
            self.clear()
        self._items.append((stamp_s, item))
        self._sizes.append(size)
        while len(self._items) > 1 and sum(self._sizes) > _MOST_BYTES:
            self._items.popleft()
            self._sizes.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._items.clear()
        self._sizes.clear()

    @property
    def newest_s(self) -> float | None:
        """Stamp of the newest; None without any."""
        return max((stamp for stamp, _ in self._items), default=None)

    def nearest(self, stamp_s: float, tolerance_s: float) -> Match[Item]:
        """Return the measurement nearest to a stamp.

        Args:
            stamp_s: seconds.
            tolerance_s: farther away in time than this none counts.
        """
        if not self._items:
            return Match(None, float("nan"), is_final=False)
        found, item = min(self._items, key=lambda kept: abs(kept[0] - stamp_s))
        offset = found - stamp_s
        is_within = abs(offset) <= tolerance_s
        newest = self.newest_s
        assert newest is not None
        # one that comes later would be farther away than this one, or there is none to wait for
        is_final = newest >= stamp_s + abs(offset) if is_within else newest > stamp_s + tolerance_s
        return Match(item if is_within else None, offset, is_final or offset == 0)
