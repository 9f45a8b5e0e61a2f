"""How well, and how fast, segmenters do on the same frames: what the accuracy gate decides by."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from fanet_ros.calibration.calibration_frames import FrameSet
from fanet_ros.errors import SourceError
from fanet_ros.reports.scores import Scorer
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size


@dataclass(frozen=True)
class Accuracy:
    """How one segmenter did on a set of frames.

    Attributes:
        frames: number of frames.
        input_sizes: at which the network saw them, ascending.
        miou: mean intersection over union in points (percent); None for frames without labels.
        agreement: share of the pixels with the first segmenter's label, in percent.
        median_ms: frame -> labels in milliseconds; the segmenters took turns, so these can be compared.
    """

    frames: int
    input_sizes: tuple[Size, ...]
    miou: float | None
    agreement: float
    median_ms: float


def compare(
    segmenters: Sequence[Segmenter], frames: FrameSet, count: int, progress: Callable[[int], None]
) -> list[Accuracy]:
    """Run segmenters of the same classes on the same frames, at the size of the labels where there are any.

    Args:
        segmenters: the first is what the others are compared with.
        frames: to run them on.
        count: at most so many frames, evenly spread; at least 1.
        progress: told how many frames are done.

    Raises:
        SourceError: there is no frame, no label is one of the classes, or the first knows nothing of them.
    """
    classes = len(segmenters[0].label_set)
    tallies = [_Tally(classes) for _ in segmenters]
    done = 0
    for frame in frames.sample(count):
        size = None if frame.labels is None else Size(frame.labels.shape[1], frame.labels.shape[0])
        expected: NDArray[np.uint8] | None = None
        for segmenter, tally in zip(segmenters, tallies, strict=True):
            started = perf_counter()
            result = segmenter.segment(frame.image, frame.encoding, output_size=size)
            tally.milliseconds.append((perf_counter() - started) * 1e3)
            tally.input_sizes.add(result.input_size)
            expected = result.labels if expected is None else expected
            tally.add(result.labels, expected, frame.labels)
        done += 1
        progress(done)
    if not done:
        raise SourceError(f"{frames.name} holds no frame that can be read")
    if frames.labelled and not tallies[0].scorer.pixels:
        raise SourceError(
            f"the labels of {frames.name} show none of the network's {classes} classes; they must be class ids from 0 "
            f"to {classes - 1}, and anything else where the class is unknown"
        )
    if frames.labelled:
        _require_knowledge(tallies[0].scorer, frames.name)
    return [tally.accuracy(done, frames.labelled) for tally in tallies]


def _require_knowledge(scorer: Scorer, data: str) -> None:
    """Refuse labels that the network knows nothing of: what a precision loses on them means nothing.

    Raises:
        SourceError: it scores below labelling every pixel with the most frequent class.
    """
    scores = scorer.scores()
    if scores.miou < scores.guess:
        raise SourceError(
            f"in fp32 the network scores {100 * scores.miou:.1f} % mIoU on {data}, and labelling all with the most "
            f"frequent class scores {100 * scores.guess:.1f} %: are the ids in the labels those of the network's "
            "classes (fanet dataset check shows what they are)?"
        )


class _Tally:
    """Adds up the frames of one segmenter."""

    def __init__(self, classes: int) -> None:
        self.scorer = Scorer(classes)
        self.milliseconds: list[float] = []
        self.input_sizes: set[Size] = set()
        self._equal = self._pixels = 0

    def add(self, labels: NDArray[np.uint8], expected: NDArray[np.uint8], truth: NDArray[np.uint8] | None) -> None:
        self._equal += int(np.count_nonzero(labels == expected))
        self._pixels += labels.size
        if truth is not None:
            self.scorer.add(labels, truth)

    def accuracy(self, frames: int, labelled: bool) -> Accuracy:
        return Accuracy(
            frames=frames,
            input_sizes=tuple(sorted(self.input_sizes)),
            miou=100 * self.scorer.scores().miou if labelled else None,
            agreement=100 * self._equal / self._pixels,
            median_ms=statistics.median(self.milliseconds),
        )
