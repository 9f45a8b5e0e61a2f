"""Messages of several topics that belong together, because they carry the same stamp."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Stamp = tuple[int, int]
"""Seconds and nanoseconds."""

_MOST_OPEN = 30  # stamps that may be incomplete at once; what is older has lost a part for good


class ByStamp:
    """Puts parts together.

    Attributes:
        names: of the parts that a stamp must have to be complete.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)
        self._open: dict[Stamp, dict[str, Any]] = {}

    def add(self, stamp: Stamp, name: str, part: Any) -> dict[str, Any] | None:
        """Take a part, and return all parts of its stamp by name if that is complete now.

        Every topic keeps its order, so what is older than a complete stamp has lost a part, and is forgotten.
        """
        parts = self._open.setdefault(stamp, {})
        parts[name] = part
        if self.names <= parts.keys():
            self._open = {other: rest for other, rest in self._open.items() if other > stamp}
            return parts
        if len(self._open) > _MOST_OPEN:
            del self._open[min(self._open)]
        return None


def stamp_of(message: Any) -> Stamp:
    """Return the stamp of a message's header."""
    return message.header.stamp.sec, message.header.stamp.nanosec
