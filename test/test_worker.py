import threading

from fanet_ros.ros.worker import NewestItemWorker

TIMEOUT_S = 10


def test_newest_item_wins_and_replaced_ones_are_reported() -> None:
    working, release, done = threading.Event(), threading.Event(), threading.Event()
    worked: list[int] = []

    def work(item: int) -> None:
        worked.append(item)
        working.set()
        assert release.wait(TIMEOUT_S)
        if item == 4:
            done.set()

    worker = NewestItemWorker("test", work)
    assert worker.submit(1) is False
    assert working.wait(TIMEOUT_S)
    assert [worker.submit(item) for item in (2, 3, 4)] == [False, True, True]
    release.set()
    assert done.wait(TIMEOUT_S)
    assert worker.stop() is False
    assert worked == [1, 4]


def test_stop_finishes_the_item_in_work_and_forgets_the_waiting_one() -> None:
    working, release = threading.Event(), threading.Event()
    worked: list[int] = []

    def work(item: int) -> None:
        working.set()
        assert release.wait(TIMEOUT_S)
        worked.append(item)

    worker = NewestItemWorker("test", work)
    worker.submit(1)
    assert working.wait(TIMEOUT_S)
    worker.submit(2)
    outcome: list[bool] = []
    stopper = threading.Thread(target=lambda: outcome.append(worker.stop()))
    stopper.start()
    release.set()
    stopper.join(TIMEOUT_S)
    assert not stopper.is_alive()
    assert worked[0] == 1
    # the worker may have taken item 2 before the stop arrived; then it was worked on, else it is reported
    assert outcome == [worked == [1]]


def test_idle_worker_stops_at_once() -> None:
    assert NewestItemWorker("test", lambda item: None).stop() is False
