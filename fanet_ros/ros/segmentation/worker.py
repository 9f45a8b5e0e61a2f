"""One thread for the model: each camera's newest frame wins, and the cameras take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestItemsWorker(Generic[Item]):
    """Runs `work(items)` on one thread of its own; holds at most one waiting item per source, the newest.

    Sources are served in the order in which they were served longest ago, so one that sends more often gets no more
    turns while others wait.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[Item]], None],
        choose: Callable[[Sequence[Item]], Sequence[int]] = lambda waiting: (0,),
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread, for debuggers.
            work: called with waiting items of different sources, at least one; must not raise (an exception would end
                the thread).
            choose: asked before each call of `work`: of the items that wait, the one whose turn it is first, which to
                take, as indices; the first must be among them.
        """
        self._work = work
        self._choose = choose
        self._waiting: dict[str, Item] = {}
        self._turns: dict[str, int] = {}  # of each source served so far, the number of its last turn
        self._turn = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, source: str, item: Item) -> bool:
        """Hand over an item without waiting.

        Returns:
            Whether an older item of that source that was still waiting has been replaced, and so will never be worked
            on.
        """
        with self._changed:
            replaced = source in self._waiting
            self._waiting[source] = item
            self._changed.notify()
        return replaced

    def stop(self) -> list[Item]:
        """Finish the items in work, forget those that wait, and end the thread.

        Returns:
            The items that were waiting, and so will never be worked on.
        """
        with self._changed:
            self._stopping = True
            forgotten = list(self._waiting.values())
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()
        return forgotten

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                items = self._take()
            self._work(items)
            del items  # a frame must not live on until the next one arrives

    def _take(self) -> list[Item]:
        """Remove and return the items whose turn it is; the lock is held."""
        # sorted() keeps the order of arrival among those that were never served
        sources = sorted(self._waiting, key=lambda source: self._turns.get(source, -1))
        chosen = self._choose([self._waiting[source] for source in sources])
        sources = [sources[index] for index in chosen]
        for source in sources:
            self._turns[source] = self._turn
            self._turn += 1
        return [self._waiting.pop(source) for source in sources]
