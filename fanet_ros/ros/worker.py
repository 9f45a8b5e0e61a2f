"""One thread for the model: the newest item wins, older ones that still wait are replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestItemWorker(Generic[Item]):
    """Runs `work(item)` on one thread of its own; holds at most one waiting item, the newest."""

    def __init__(self, name: str, work: Callable[[Item], None]) -> None:
        """Start the thread.

        Args:
            name: of the thread, for debuggers.
            work: called with one item at a time; must not raise (an exception would end the thread).
        """
        self._work = work
        self._waiting: Item | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Hand over an item without waiting.

        Returns:
            Whether an older item that was still waiting has been replaced, and so will never be worked on.
        """
        with self._changed:
            replaced = self._waiting is not None
            self._waiting = item
            self._changed.notify()
        return replaced

    def stop(self) -> bool:
        """Finish the item in work, forget the one that waits, and end the thread.

        Returns:
            Whether an item was waiting, and so will never be worked on.
        """
        with self._changed:
            self._stopping = True
            forgotten = self._waiting is not None
            self._waiting = None
            self._changed.notify()
        self._thread.join()
        return forgotten

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                item, self._waiting = self._waiting, None
            assert item is not None
            self._work(item)
            del item  # a frame must not live on until the next one arrives
