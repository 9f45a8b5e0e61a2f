"""Runs over videos: every frame in order and with memory, undisturbed or with one kind of disturbance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import Frame, Sample
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.datasets.disturbances import DisturbedVideo
from fanet_ros.evaluation.consistency import Consistency, ConsistencyMeter
from fanet_ros.evaluation.run import Evaluation, left_out_ids, score, spread
from fanet_ros.evaluation.video_prediction import VideoPredictor
from fanet_ros.reports.scores import Scorer, Scores

CLEAN = "none"


@dataclass(frozen=True, eq=False)
class VideoRun:
    """What one run over the videos of a data set has shown.

    Attributes:
        disturbance: its kind; `CLEAN` for none.
        evaluation: of all labelled frames.
        disturbed: scores of those that were disturbed themselves; of no frames where none was.
        consistency: from frame to frame.
    """

    disturbance: str
    evaluation: Evaluation
    disturbed: Scores
    consistency: Consistency


def evaluate_videos(
    predictor: VideoPredictor,
    clips: ClipDataset,
    disturbance: str = CLEAN,
    *,
    seed: int = 0,
    limit: int = 0,
    left_out: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> VideoRun:
    """Predict and score the labelled frames of all videos, each with the frames before it in memory.

    Args:
        predictor: whose memory is as long as the clips.
        clips: of the data set; checked.
        disturbance: of the frames, one of `DISTURBANCES`; `CLEAN` for none.
        seed: of the disturbance.
        limit: at most so many videos, evenly spread; 0 for all.
        left_out: names of classes that count in no mean.
        progress: told how many of how many frames are done.

    Raises:
        KeyboardInterrupt, DatasetError, SettingError, BackendError, InferenceError: as for `run.evaluate`.
    """
    videos = clips.videos()
    indices = list(chain.from_iterable(videos[place] for place in spread(len(videos), limit)))
    watcher = _Watcher(predictor, clips, None if disturbance == CLEAN else DisturbedVideo(disturbance, seed))
    done = score(watcher.watch, predictor.input_sizes, clips.dataset, indices, left_out, progress)
    excluded = left_out_ids(left_out, clips.dataset.label_set)
    return VideoRun(disturbance, done, watcher.disturbed.scores(excluded), watcher.meter.result())


class _Watcher:
    """Shows a predictor frames in order, and compares each with the one before.

    Attributes:
        disturbed: counts of the disturbed frames.
        meter: of the consistency.
    """

    def __init__(self, predictor: VideoPredictor, clips: ClipDataset, disturbance: DisturbedVideo | None) -> None:
        classes = len(clips.dataset.label_set)
        self._predictor, self._clips, self._disturbance = predictor, clips, disturbance
        self._held: list[Frame] = []  # what the predictor remembers, newest first
        predictor.forget()  # it may have watched another run
        self._last: tuple[Frame, NDArray[np.uint8], NDArray[np.uint8]] | None = None  # with its labels and its truth
        self.disturbed, self.meter = Scorer(classes), ConsistencyMeter(classes)

    def watch(self, index: int, sample: Sample) -> NDArray[np.uint8]:
        """Return the labels of a sample, after the frames before it unless they are in memory already."""
        dataset, past = self._clips.dataset, self._clips.past(index)
        if past != self._held:
            self._predictor.forget()
            for frame in reversed(past):
                self._predictor.predict(self._seen(frame, dataset.read_frame(frame))[0])
        own = dataset.frame(index)
        image, is_disturbed = self._seen(own, sample.image)
        labels = self._predictor.predict(image)
        self._held = [own, *past][: self._clips.frames - 1]
        if is_disturbed:
            self.disturbed.add(labels, sample.labels)
        if self._last is not None and dataset.past(index, 1) == [self._last[0]]:
            self.meter.add(dataset.motions(index), labels, sample.labels, *self._last[1:])
        self._last = own, labels, sample.labels
        return labels

    def _seen(self, frame: Frame, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool]:
        return (image, False) if self._disturbance is None else self._disturbance.apply(image, frame)
