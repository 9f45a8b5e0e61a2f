"""Labels of one frame with all their probabilities, by any backend: what a smaller network can learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends.base import Backend
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.labelling.postprocess import LabelBuffers, labels_from_logits
from fanet_ros.labelling.soft import probabilities_from_logits
from fanet_ros.settings import Size


def segment_softly(
    backend: Backend, frame: NDArray[np.uint8], encoding: str, input_size: Size, points: Size
) -> tuple[LabelBuffers, NDArray[np.float32]]:
    """Segment one frame, and tell all probabilities as well.

    Args:
        backend: prepared for the input size; its network gives logits or probabilities.
        frame: checked, uint8, (H, W, C) or (H, W).
        encoding: of the frame.
        input_size: at which the network sees it.
        points: how many probabilities there are, for centres of equal parts of the frame.

    Returns:
        Labels and confidence of the frame's size, and probabilities, float32 (classes, points.height, points.width), of
        the merged classes where there are such.

    Raises:
        InferenceError: the network's logits are not finite.
    """
    aligned, given, label_of = backend.align_corners, backend.gives_probabilities, backend.label_of
    size = Size(frame.shape[1], frame.shape[0])
    image = FrameResizer(align_corners=aligned).to_network_input(frame, encoding, input_size)
    logits = np.ascontiguousarray(backend.infer(image))
    answer = labels_from_logits(
        logits, size, confidence=True, label_of=label_of, align_corners=aligned, probabilities=given
    )
    return answer, probabilities_from_logits(logits, size, points, label_of, align_corners=aligned, probabilities=given)
