"""What runs as one batch, and the measurement that decides it: with a backend whose time is made up."""

import numpy as np
import pytest

from fanet_ros.backends.base import BackendRequest, HostBackend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import BackendError, FanetError
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.scheduling import batching
from fanet_ros.scheduling.batching import BatchReport, BatchTiming, group_runs, measure_batches
from fanet_ros.settings import Size

LARGE, SMALL = Size(128, 96), Size(64, 64)
SIZES = {1.0: LARGE, 0.5: SMALL}
GREY = FrameRequest(np.full((120, 160, 3), 128, np.uint8), "rgb8")


class MadeUpBackend(HostBackend):
    """Takes the time that it is told to take, on a clock of its own."""

    name = "made-up"
    classes = 3
    max_batch = 4

    def __init__(self, monkeypatch: pytest.MonkeyPatch, single_s: float, batch_s: dict[Size, float]) -> None:
        super().__init__(BackendRequest(DEFAULT_WEIGHTS, "cpu", "fp32"))
        self.now = 0.0
        self.single_s = single_s
        self.batch_s = batch_s
        self.runs: list[tuple[Size, int]] = []
        self.kept: list[tuple[Size, int]] = []
        self.unbuildable: Size | None = None
        self.failure: Exception = BackendError("the compiler gave up")
        self.failure_in_run: Exception | None = None
        monkeypatch.setattr(batching, "perf_counter", lambda: self.now)

    @classmethod
    def find_device(cls, device: str) -> str:
        return "cpu"

    @classmethod
    def precisions(cls, device: str) -> tuple[str, ...]:
        return ("fp32",)

    def prepare(self, input_size: Size, batch: int = 1) -> None:
        if input_size == self.unbuildable:
            raise self.failure
        self.now += 100.0  # compiling is not measuring
        self.kept.append((input_size, batch))

    def drop_batch(self, input_size: Size, batch: int) -> None:
        self.kept.remove((input_size, batch))

    def _run(self, images: np.ndarray, *states: np.ndarray) -> np.ndarray:
        batch, height, width, _ = images.shape
        size = Size(width, height)
        self.runs.append((size, batch))
        if batch > 1 and self.failure_in_run is not None:
            raise self.failure_in_run
        self.now += self.single_s if batch == 1 else self.batch_s[size]
        return np.zeros((batch, 3, height // 8, width // 8), np.float32)

    def close(self) -> None:
        raise AssertionError("not closed in this test")


@pytest.mark.parametrize(
    ("sizes", "batch", "runs"),
    [
        ([], 2, []),
        ([LARGE, LARGE], 1, [[0], [1]]),
        ([LARGE, LARGE], 2, [[0, 1]]),
        ([LARGE, LARGE, LARGE], 2, [[0, 1], [2]]),
        ([LARGE, SMALL, LARGE], 2, [[0, 2], [1]]),
        ([LARGE, LARGE], 3, [[0], [1]]),
        ([None, LARGE, None, LARGE], 2, [[1, 3]]),
    ],
)
def test_whole_batches_of_one_size_run_together(sizes: list[Size | None], batch: int, runs: list[list[int]]) -> None:
    assert group_runs(sizes, batch) == runs


def test_a_batch_is_used_where_it_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MadeUpBackend(monkeypatch, 0.010, {LARGE: 0.0198, SMALL: 0.012})
    report = measure_batches(backend, GREY, SIZES, 2)
    assert [timing.pays for timing in report.timings] == [False, True]
    assert (report.batch_at(1.0), report.batch_at(0.5)) == (1, 2)
    assert backend.kept == [(SMALL, 2)], "what does not pay takes no memory"
    assert report.timings[1].single_ms == pytest.approx(10) and report.timings[1].batched_ms == pytest.approx(6)
    assert str(report) == (
        "2 frames that wait together: 128x96 one after the other (10.0 ms a frame one after the other, 9.9 ms in a "
        "batch), 64x64 batched (10.0 ms a frame one after the other, 6.0 ms in a batch)"
    )


def test_both_ways_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MadeUpBackend(monkeypatch, 0.010, {LARGE: 0.015})
    measure_batches(backend, GREY, {1.0: LARGE}, 2)
    once = [(LARGE, 1), (LARGE, 1), (LARGE, 2)]
    assert backend.runs == [(LARGE, 2), *once * 9]


def test_a_slow_network_is_not_measured_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turns at the largest size; the smaller ones, for which there is no time left, take its verdict."""
    backend = MadeUpBackend(monkeypatch, 0.5, {LARGE: 0.9, SMALL: 0.9})
    report = measure_batches(backend, GREY, SIZES, 2)
    assert [timing.input_size for timing in report.timings] == [LARGE]
    assert backend.runs.count((LARGE, 2)) == 3
    assert report.batch_at(0.5) == 2


def test_a_batch_that_cannot_be_built_is_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MadeUpBackend(monkeypatch, 0.010, {LARGE: 0.010, SMALL: 0.010})
    backend.unbuildable = SMALL
    report = measure_batches(backend, GREY, SIZES, 2)
    assert report.batch_at(1.0) == report.batch_at(0.5) == 1
    assert str(report) == (
        "frames that wait together run one after the other: a batch of 2 at 64x64 failed: the compiler gave up"
    )
    assert backend.kept == []


@pytest.mark.parametrize("error", [BackendError("full"), RuntimeError("out of memory"), MemoryError()])
@pytest.mark.parametrize("in_run", [False, True])
def test_whatever_becomes_of_a_batch_singles_go_on(
    error: Exception, in_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MadeUpBackend(monkeypatch, 0.010, {LARGE: 0.010, SMALL: 0.010})
    if in_run:
        backend.failure_in_run = error
    else:
        backend.unbuildable, backend.failure = SMALL, error
    report = measure_batches(backend, GREY, SIZES, 2)
    assert report.batch_at(1.0) == 1 and (str(error) or "MemoryError") in str(report)
    assert backend.kept == []


def test_a_build_that_is_given_up_is_no_failed_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MadeUpBackend(monkeypatch, 0.010, {LARGE: 0.010})
    backend.unbuildable, backend.failure = LARGE, FanetError("given up because the node stops")
    with pytest.raises(FanetError, match="given up"):
        measure_batches(backend, GREY, {1.0: LARGE}, 2)


def test_a_scale_larger_than_all_that_was_measured_is_not_batched() -> None:
    report = BatchReport(2, (BatchTiming(0.5, SMALL, 10.0, 5.0),))
    assert (report.batch_at(1.0), report.batch_at(0.5), report.batch_at(0.4)) == (1, 2, 2)
