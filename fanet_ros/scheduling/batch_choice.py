"""Which frames run as one batch: what was measured on this machine, for each input size that comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fanet_ros.backends.base import Backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.scheduling.batching import BatchReport, measure_batches
from fanet_ros.scheduling.scaled_size import scaled_size
from fanet_ros.settings import Size

_MOST_MEASURED = 24  # shapes and numbers of frames: a camera that changes its shape all the time must cost no time


class BatchChoice:
    """Remembers for which input sizes a batch pays.

    Attributes:
        report: what was found out last.
    """

    def __init__(self, backend: Backend, scales: Sequence[float]) -> None:
        """Begin without batches; `scales` are those of the input size's sides, the largest first."""
        self._backend = backend
        self._scales = scales
        self.report = BatchReport(1, reason="no batch was asked for")
        self._measured: dict[tuple[Size, int], BatchReport] = {}  # by input size at scale 1 and frames of a batch
        self._in_force: dict[Size, BatchReport] = {}  # of them, by input size at scale 1

    def in_words(self) -> str:
        """Return how frames that wait together are run, of each shape."""
        return "; ".join(dict.fromkeys(map(str, tuple(self._in_force.values())))) or str(self.report)

    def batch_for(self, size: Size, scale: float) -> int:
        """Return how many frames of an input size (at scale 1) run as one batch at a scale; 1 for one by one."""
        report = self._in_force.get(size, self.report)
        known = any(timing.input_size == scaled_size(size, timing.scale) for timing in report.timings)
        return report.batch_at(scale) if known else 1  # another shape's batch is not built here, and may not pay

    def measure(self, frame_size: Size, size: Size, batch: int) -> bool:
        """Find out whether so many frames of one size and input size are faster as a batch, unless that is known.

        Returns:
            Whether something was measured.
        """
        batch = min(batch, self._backend.max_batch)
        report, is_new = self._measured.get((size, batch)), False
        if report is None and len(self._measured) >= _MOST_MEASURED:
            report = BatchReport(1, reason="images come in too many shapes to measure batches for each")
            self._in_force.clear()
        elif report is None:
            report, is_new = self._measure(frame_size, size, batch), batch > 1
            self._measured[size, batch] = report
        self.report = self._in_force[size] = report
        return is_new

    def forget(self, size: Size) -> None:
        """Free the batches of an input size (at scale 1) that no frame will have."""
        for scale in {1.0, *self._scales}:
            for known, batch in self._measured:
                if known == size and batch > 1:
                    self._backend.drop_batch(scaled_size(size, scale), batch)
        self._measured = {known: report for known, report in self._measured.items() if known[0] != size}
        if self._in_force.pop(size, None) is not None and self.report.timings:
            self.report = BatchReport(1, reason="nothing was measured for the images that come")

    def give_up(self, reason: str) -> None:
        """Have no batches any more, of whatever was measured."""
        self.report = BatchReport(1, reason=reason)
        self._in_force = dict.fromkeys(self._in_force, self.report)
        self._measured = dict.fromkeys(self._measured, self.report)

    def _measure(self, frame_size: Size, size: Size, batch: int) -> BatchReport:
        if batch > 1:
            sizes = {scale: scaled_size(size, scale) for scale in self._scales}
            return measure_batches(self._backend, grey_frame(frame_size), sizes, batch)
        if self._backend.max_batch == 1:
            return BatchReport(1, reason=f"backend {self._backend.name} has no batches")
        return BatchReport(1, reason=f"there is one camera for {size}")


def grey_frame(size: Size) -> FrameRequest:
    """Return a frame of that size to measure or to warm up with."""
    return FrameRequest(np.full((size.height, size.width, 3), 128, np.uint8), "rgb8")
