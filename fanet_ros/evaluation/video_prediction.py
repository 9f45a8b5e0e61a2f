"""Labels of one frame after the other, each with those before it in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size


class VideoPredictor(Predictor):
    """Exactly what the node does with a camera's frames: each also looks at the T - 1 frames before it."""

    def __init__(self, segmenter: Segmenter) -> None:
        """Begin with an empty memory.

        Args:
            segmenter: whose `temporal_frames` is T; with 1 every frame is seen by itself.
        """
        self._segmenter = segmenter
        self._memory = segmenter.new_memory()

    def forget(self) -> None:
        """Begin another video."""
        self._memory.reset()

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the labels of the video's next frame, a new array; arguments and errors as in `Predictor`."""
        return self._segmenter.segment(image, memory=self._memory).labels

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:  # noqa: D102 (documented by Predictor)
        return (self._segmenter.input_size_for(image_size),)
