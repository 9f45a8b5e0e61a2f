"""Keeps what is costly to make, for the keys that were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class KeptLast(OrderedDict[KeyT, ValueT]):
    """Values by key, at most as many as there is room for; the one used last at the end."""

    def __init__(self, room: int) -> None:
        """Begin empty, with room for that many values, at least 1."""
        super().__init__()
        self._room = room

    def obtain(self, key: KeyT, make: Callable[[], ValueT]) -> ValueT:
        """Return the value kept under `key`; made anew if need be, in the place of the one unused for longest."""
        if key not in self:
            while len(self) >= self._room:  # frees memory before it takes some
                self.popitem(last=False)
            self[key] = make()
        self.move_to_end(key)
        return self[key]
