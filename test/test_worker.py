import threading
from collections.abc import Sequence

from fanet_ros.ros.segmentation.worker import NewestItemsWorker

TIMEOUT_S = 10
Item = tuple[str, int]


class Gate:
    """Work that the test lets through one call at a time."""

    def __init__(self) -> None:
        self.worked: list[list[Item]] = []
        self.begun = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)

    def __call__(self, items: list[Item]) -> None:
        self.worked.append(list(items))
        self.begun.release()
        assert self.allowed.acquire(timeout=TIMEOUT_S)

    def wait_for_begin(self) -> None:
        assert self.begun.acquire(timeout=TIMEOUT_S)

    def finish_and_begin_next(self) -> None:
        self.allowed.release()
        self.wait_for_begin()


def test_newest_item_wins_and_replaced_ones_are_reported() -> None:
    gate = Gate()
    worker = NewestItemsWorker("test", gate)
    assert worker.submit("a", ("a", 1)) is False
    gate.wait_for_begin()
    assert [worker.submit("a", ("a", number)) for number in (2, 3, 4)] == [False, True, True]
    gate.finish_and_begin_next()
    gate.allowed.release()
    assert worker.stop() == []
    assert gate.worked == [[("a", 1)], [("a", 4)]]


def test_sources_take_turns_however_often_each_sends() -> None:
    gate = Gate()
    worker = NewestItemsWorker("test", gate)
    worker.submit("fast", ("fast", 0))
    gate.wait_for_begin()
    for number in range(1, 15):
        worker.submit("fast", ("fast", number))
        if number % 4 == 0:  # two slow sources whose items come after newer ones of the fast source
            worker.submit("left", ("left", number))
            worker.submit("right", ("right", number))
        gate.finish_and_begin_next()
    gate.allowed.release()
    worker.stop()
    served = [source for ((source, _),) in gate.worked[1:]]
    turns = ["fast", "left", "right", "fast"]
    assert served == ["fast", "fast", *turns, *turns, *turns], "it takes the turns that nobody else waits for, no more"
    for slow in ("left", "right"):
        numbers = [number for ((source, number),) in gate.worked if source == slow]
        assert numbers == [4, 8, 12], "none was replaced while it waited for its turn"


def test_those_served_longest_ago_are_taken_first() -> None:
    gate = Gate()
    worker = NewestItemsWorker("test", gate)
    worker.submit("c", ("c", 0))
    gate.wait_for_begin()
    for source in ("c", "b", "a"):
        worker.submit(source, (source, 1))
    gate.finish_and_begin_next()
    gate.finish_and_begin_next()
    for source in ("a", "b"):
        worker.submit(source, (source, 2))
    gate.finish_and_begin_next()
    gate.finish_and_begin_next()
    gate.finish_and_begin_next()
    gate.allowed.release()
    worker.stop()
    order = [source for ((source, _),) in gate.worked]
    assert order == ["c", "b", "a", "c", "b", "a"], "never served: by arrival; then by the last turn"


def test_those_are_taken_that_are_chosen_and_the_others_keep_their_turns() -> None:
    gate = Gate()
    asked: list[list[str]] = []

    def choose(waiting: Sequence[Item]) -> list[int]:
        asked.append([source for source, _ in waiting])
        return [0, 2] if len(waiting) > 2 else [0]

    worker = NewestItemsWorker("test", gate, choose)
    worker.submit("a", ("a", 0))
    gate.wait_for_begin()
    for source in ("a", "b", "c", "d"):
        worker.submit(source, (source, 1))
    gate.finish_and_begin_next()
    gate.finish_and_begin_next()
    gate.finish_and_begin_next()
    gate.allowed.release()
    worker.stop()
    assert gate.worked == [[("a", 0)], [("b", 1), ("d", 1)], [("c", 1)], [("a", 1)]]
    assert asked == [["a"], ["b", "c", "d", "a"], ["c", "a"], ["a"]]


def test_stop_finishes_the_item_in_work_and_returns_those_that_wait() -> None:
    gate = Gate()
    worker = NewestItemsWorker("test", gate)
    worker.submit("a", ("a", 1))
    gate.wait_for_begin()
    worker.submit("a", ("a", 2))
    worker.submit("b", ("b", 3))
    outcome: list[list[Item]] = []
    stopper = threading.Thread(target=lambda: outcome.append(worker.stop()))
    stopper.start()
    for _ in range(3):
        gate.allowed.release()
    stopper.join(TIMEOUT_S)
    assert not stopper.is_alive()
    assert gate.worked[0] == [("a", 1)]
    # the worker may have taken some before the stop arrived; each is worked on or returned
    ended = [item for items in gate.worked for item in items] + outcome[0]
    assert sorted(ended) == [("a", 1), ("a", 2), ("b", 3)]


def test_idle_worker_stops_at_once() -> None:
    assert NewestItemsWorker("test", lambda items: None).stop() == []
