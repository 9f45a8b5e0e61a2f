"""Keeps what is costly to make, for the keys that were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class KeptLast(Generic[KeyT, ValueT]):
    """Values by key, at most as many as there is room for; iterates over the keys, the one used last at the end."""

    def __init__(self, room: int) -> None:
        """Begin empty, with room for that many values, at least 1."""
        self._room = room
        self._values: OrderedDict[KeyT, ValueT] = OrderedDict()

    def get(self, key: KeyT, make: Callable[[], ValueT]) -> ValueT:
        """Return the value kept under `key`; made anew if need be, in the place of the one unused for longest."""
        if key not in self._values:
            while len(self._values) >= self._room:  # frees memory before it takes some
                self._values.popitem(last=False)
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]

    def drop(self, key: KeyT) -> None:
        """Forget the value kept under `key`, if there is one."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()

    def __getitem__(self, key: KeyT) -> ValueT:
        return self._values[key]

    def __iter__(self) -> Iterator[KeyT]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
