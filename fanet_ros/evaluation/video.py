"""Labels of videos: every frame in order, with those before it in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import Frame, Sample
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size


class VideoPredictor(Predictor):
    """Exactly what the node does with a camera's frames: each also looks at the T - 1 frames before it."""

    def __init__(self, segmenter: Segmenter, clips: ClipDataset) -> None:
        """Begin with an empty memory.

        Args:
            segmenter: whose `temporal_frames` is that of the clips; with 1 every frame is seen by itself.
            clips: of the data set; checked.
        """
        self._segmenter, self._clips = segmenter, clips
        self._memory = segmenter.new_memory()
        self._held: list[Frame] = []  # what the memory is of, newest first

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the labels of the next frame of a video; arguments and errors as in `Predictor`."""
        return self._segmenter.segment(image, memory=self._memory).labels

    def predict_sample(self, index: int, sample: Sample) -> NDArray[np.uint8]:
        """Return the labels of a sample, after the frames before it unless they are in memory already."""
        past = self._clips.past(index)
        if past != self._held:
            self._memory.reset()
            for frame in reversed(past):
                self.predict(self._clips.dataset.read_frame(frame))
        self._held = [self._clips.dataset.frame(index), *past][: self._clips.frames - 1]
        return self.predict(sample.image)

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:  # noqa: D102 (documented by Predictor)
        return (self._segmenter.input_size_for(image_size),)
