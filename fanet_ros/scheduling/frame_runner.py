"""Has a backend segment frames of one input size: regions cut out and put back, uncertain pixels taken out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fanet_ros.backends.base import Backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import BackendError, FanetError
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.scheduling.batch_choice import BatchChoice
from fanet_ros.scheduling.confidence_threshold import ConfidenceThreshold
from fanet_ros.scheduling.region_masks import Part, RegionMasks
from fanet_ros.settings import Size

_log = logging.getLogger(__name__)


class FrameRunner:
    """Runs checked frames, for whose input size the backend is prepared; keeps memory from frame to frame."""

    def __init__(self, backend: Backend, batches: BatchChoice) -> None:
        """Use a backend, and tell `batches` of those that fail."""
        self._backend = backend
        self._batches = batches
        self._regions = RegionMasks()
        self.threshold = ConfidenceThreshold()

    def run(self, request: FrameRequest, input_size: Size, threshold: float) -> LabelBuffers:
        """Run one frame.

        Raises:
            InferenceError: as Backend.segment.
            SettingError: likewise.
        """
        part = self._part(request, threshold)
        answer = part.placed(self._backend.segment(part.request, input_size))
        self.threshold.apply(answer, threshold)
        return answer

    def run_together(
        self, requests: Sequence[FrameRequest], input_size: Size, threshold: float
    ) -> tuple[list[LabelBuffers | FanetError], int]:
        """Run one frame, or several as a batch; as singles if the batch cannot be built or held in memory.

        Returns:
            The answers, and how many frames ran together.
        """
        parts = [self._part(request, threshold, slot) for slot, request in enumerate(requests)]
        answers, together = self._answers([part.request for part in parts], input_size)
        results: list[LabelBuffers | FanetError] = []
        for part, answer in zip(parts, answers, strict=True):
            if not isinstance(answer, FanetError):
                answer = part.placed(answer)
                self.threshold.apply(answer, threshold)
            results.append(answer)
        return results, together

    def _part(self, request: FrameRequest, threshold: float, slot: int = 0) -> Part:
        return self._regions.part_of(self.threshold.order(request, threshold, slot), slot)

    def _answers(
        self, requests: Sequence[FrameRequest], input_size: Size
    ) -> tuple[list[LabelBuffers | FanetError], int]:
        if len(requests) > 1:
            try:
                return self._backend.segment_batch(requests, input_size), len(requests)
            except (BackendError, RuntimeError, MemoryError) as error:  # of all: nothing is remembered of any
                _log.debug("a batch failed", exc_info=True)
                reason = f"a batch of {len(requests)} failed: {str(error) or type(error).__name__}"
                self._batches.give_up(reason)
                _log.warning("%s", self._batches.report)
        return self._backend.segment_each(requests, input_size), 1
