"""Frames that wait together: which of them run as one batch, and whether a batch is faster on this machine at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import numpy as np

from fanet_ros.backends.base import Backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import BackendError
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.settings import Size

WORTHWHILE = 0.95
"""A batch is used where it takes at most this share of the time of one after the other. All frames of a batch wait for
its end, while one after the other the first is done early: a gain within the noise is not worth that."""

_MEASURING_S = 2.0  # for all measurements together, without compiling; slow networks take two runs of each all the same
_MIN_RUNS, _MAX_RUNS = 2, 9

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchTiming:
    """What a batch costs at one input size.

    Attributes:
        scale: of the input size.
        input_size: of the network.
        single_ms: time per frame, from frame to labels, of the frames one after the other; a median.
        batched_ms: likewise of one batch.
    """

    scale: float
    input_size: Size
    single_ms: float
    batched_ms: float

    @property
    def pays(self) -> bool:
        """Whether the batch is clearly faster (`WORTHWHILE`)."""
        return self.batched_ms <= WORTHWHILE * self.single_ms

    def __str__(self) -> str:
        used = "batched" if self.pays else "one after the other"
        return (
            f"{self.input_size} {used} ({self.single_ms:.1f} ms a frame one after the other, {self.batched_ms:.1f} ms "
            "in a batch)"
        )


@dataclass(frozen=True)
class BatchReport:
    """How frames that wait together are run, in words for logs and diagnostics.

    Attributes:
        batch: frames in one batch; 1 where there are no batches.
        timings: one for each scale that was measured, the largest first.
        reason: why nothing, or not everything, is batched or measured; empty where there is no more to say.
    """

    batch: int
    timings: tuple[BatchTiming, ...] = ()
    reason: str = ""

    def batch_at(self, scale: float) -> int:
        """Return how many frames run as one batch at a scale; 1 for one after the other.

        A scale that there was no time to measure has the verdict of the next larger one.
        """
        larger = [timing for timing in self.timings if timing.scale >= scale]
        return self.batch if larger and larger[-1].pays else 1

    def __str__(self) -> str:
        if not self.timings:
            return f"frames that wait together run one after the other: {self.reason}"
        measured = f"{self.batch} frames that wait together: " + ", ".join(map(str, self.timings))
        return f"{measured}; {self.reason}" if self.reason else measured


def group_runs(input_sizes: Sequence[Size | None], batch: int) -> list[list[int]]:
    """Divide frames into runs of the network.

    Args:
        input_sizes: of the frames; None for a frame that is not run.
        batch: frames of one size that run as one; 1 for one after the other.

    Returns:
        Indices of frames: runs of `batch` frames of the same size, and of single ones. A smaller batch would be another
        network to compile and keep.
    """
    by_size: dict[Size, list[int]] = {}
    for index, size in enumerate(input_sizes):
        if size is not None:
            by_size.setdefault(size, []).append(index)
    runs = []
    for indices in by_size.values():
        whole = len(indices) // batch * batch
        runs += [indices[start : start + batch] for start in range(0, whole, batch)]
        runs += [[index] for index in indices[whole:]]
    return runs


def time_in_turns(single: Callable[[], object], batched: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Time two ways to do the same in turns, so that what disturbs the one disturbs the other.

    Args:
        single: does it one after the other; it ran before.
        batched: does it as one batch; its first run, which allocates memory, does not count.
        seconds: to stop after, but not before both ran twice.

    Returns:
        The median times of `single` and `batched` in milliseconds.
    """
    times: tuple[list[float], list[float]] = ([], [])
    batched()
    started = perf_counter()
    while len(times[0]) < _MIN_RUNS or (len(times[0]) < _MAX_RUNS and perf_counter() - started < seconds):
        for run, kept in zip((single, batched), times, strict=True):
            before = perf_counter()
            run()
            kept.append((perf_counter() - before) * 1e3)
    return median(times[0]), median(times[1])


def measure_batches(
    backend: Backend, frame: FrameRequest, input_sizes: Mapping[float, Size], batch: int
) -> BatchReport:
    """Time a batch against one after the other at each scale, and leave the batches prepared that pay.

    Args:
        backend: ready for frames at these sizes, one by one.
        frame: on which to measure; it stands for all frames of the batch.
        input_sizes: by scale, the largest first.
        batch: number of frames, 2 to `backend.max_batch`.
    """
    height, width = frame.result_size.height, frame.result_size.width
    requests = [replace(frame, out=LabelBuffers(np.empty((height, width), np.uint8))) for _ in range(batch)]
    timings: list[BatchTiming] = []
    prepared: list[Size] = []
    started = perf_counter()
    compiling_s = 0.0
    for scale, input_size in input_sizes.items():

        def one_by_one(input_size: Size = input_size) -> None:
            for each in requests:
                backend.segment(each, input_size)

        def as_batch(input_size: Size = input_size) -> None:
            backend.segment_batch(requests, input_size)

        before = perf_counter()
        try:
            backend.prepare(input_size, batch)
            prepared.append(input_size)
            compiling_s += perf_counter() - before
            single_ms, batched_ms = time_in_turns(one_by_one, as_batch, _MEASURING_S / len(input_sizes))
        except (BackendError, RuntimeError, MemoryError) as error:  # most often of memory, which singles need less of
            _log.debug("a batch failed", exc_info=True)
            for size in prepared:
                backend.drop_batch(size, batch)
            reason = f"a batch of {batch} at {input_size} failed: {str(error) or type(error).__name__}"
            return BatchReport(1, reason=reason)
        timings.append(BatchTiming(scale, input_size, single_ms / batch, batched_ms / batch))
        if not timings[-1].pays:
            prepared.remove(input_size)
            backend.drop_batch(input_size, batch)
        if perf_counter() - started - compiling_s > _MEASURING_S:
            break
    return BatchReport(batch, tuple(timings))
