"""Pixels whose class is too uncertain become unlabelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends.request import FrameRequest
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.labels import UNLABELLED
from fanet_ros.settings import Size


class ConfidenceThreshold:
    """Asks for the confidence where the threshold needs it, and applies it, in memory kept from frame to frame."""

    def __init__(self) -> None:
        self._scratch: dict[str, NDArray[Any]] = {}

    def order(self, request: FrameRequest, threshold: float, slot: int = 0) -> FrameRequest:
        """Return what the backend is to be asked for.

        Args:
            request: what the caller wants.
            threshold: in [0, 1]; 0 for none.
            slot: place of the frame in its batch, which has memory of its own.
        """
        if threshold <= 0 or request.confidence:
            return request
        out = request.out
        if out is not None:
            out = LabelBuffers(out.labels, self._array(f"confidence {slot}", request.result_size, np.uint8))
        return replace(request, confidence=True, out=out)

    def apply(self, buffers: LabelBuffers, threshold: float) -> None:
        """Make labels 255 (unlabelled) where the confidence is lower than the threshold, in place."""
        labels, confidence = buffers
        if confidence is None or threshold <= 0:
            return
        unsure = self._array("unsure", Size(labels.shape[1], labels.shape[0]), np.bool_)
        np.less(confidence, threshold * 255, out=unsure)
        np.copyto(labels, UNLABELLED, where=unsure)

    def _array(self, name: str, size: Size, dtype: type[np.generic]) -> NDArray[Any]:
        """Return the array of that name, (size.height, size.width); its content is left over from its last use."""
        array = self._scratch.get(name)
        if array is None or array.shape != (size.height, size.width):
            array = self._scratch[name] = np.empty((size.height, size.width), dtype)
        return array
