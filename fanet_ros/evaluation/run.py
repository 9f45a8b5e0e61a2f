"""One run over a data set: every image predicted and scored, by itself and together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from fanet_ros.datasets import Dataset, Sample
from fanet_ros.errors import DatasetError, LabelSetError, SettingError
from fanet_ros.evaluation.confidence import ConfidenceMeter
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.evaluation.truth import CoarseTruth
from fanet_ros.model.labels import LabelSet
from fanet_ros.reports.scores import Scorer, Scores
from fanet_ros.settings import Size


@dataclass(frozen=True)
class ImageScore:
    """How well the labels of one image are.

    Attributes:
        index: of the image in the data set.
        name: of the image.
        miou: mean IoU over the classes in its truth, in [0, 1]; NaN where no pixel's truth is known.
        pixel_accuracy: share of its known pixels with the right label; NaN likewise.
    """

    index: int
    name: str
    miou: float
    pixel_accuracy: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a run over a data set has shown.

    Attributes:
        scores: of all images together.
        images: each by itself, in the order of the data set.
        input_sizes: at which the network saw the images, smallest first.
        median_ms: from an image in memory to its labels, in milliseconds.
        complete: whether all images were scored; False where Ctrl-C ended the run after the first of them.
    """

    scores: Scores
    images: tuple[ImageScore, ...]
    input_sizes: tuple[Size, ...]
    median_ms: float
    complete: bool = True


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    indices: Sequence[int] | None = None,
    *,
    left_out: Sequence[str] = (),
    coarse: CoarseTruth | None = None,
    meter: ConfidenceMeter | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Predict and score samples of a data set, each by itself; those without known truth are only counted.

    Args:
        predictor: of a network with the data set's classes, or those that `coarse` merges into them.
        dataset: the samples; they are read ahead of the network, in one thread of their own.
        indices: of the samples, in this order; None for all.
        left_out: names of classes that count in no mean, here and image by image.
        coarse: merges predictions into the data set's classes; None where the network has these.
        meter: of the predictor's confidence; None for none.
        progress: told how many of how many samples are done.

    Returns:
        What the images have shown; after Ctrl-C those that were done by then, as hours may lie behind them.

    Raises:
        KeyboardInterrupt: it came before anything was scored.
        SettingError: a class that is left out does not exist, or none remains.
        DatasetError: an image cannot be read, there is none, or no pixel's truth is known.
        BackendError: the network cannot be built for the size that an image asks for.
        InferenceError: the network's logits are not finite.
    """
    indices = range(len(dataset)) if indices is None else indices
    excluded = left_out_ids(left_out, dataset.label_set)
    total, images = Scorer(len(dataset.label_set)), []
    input_sizes: set[Size] = set()
    milliseconds = []
    complete = False
    try:
        for index, sample in zip(indices, _known_so_far(read_ahead(dataset, indices), total, excluded), strict=True):
            labels = sample.labels
            if (labels < total.classes).any():  # else nothing can be scored: a withheld split ends soon, with an error
                started = perf_counter()
                labels = predictor.predict_sample(index, sample)
                milliseconds.append((perf_counter() - started) * 1e3)
                if coarse is not None:
                    labels = coarse.merge(labels, sample.labels)
                if meter is not None and predictor.confidence is not None:
                    meter.add(predictor.confidence, labels, sample.labels)
                height, width = labels.shape
                input_sizes.update(predictor.input_sizes(Size(width, height)))
            one = Scorer(total.classes)
            one.add(labels, sample.labels)
            scores = one.scores(excluded)
            total.merge(one.counts())
            images.append(ImageScore(index, sample.name, scores.miou, scores.pixel_accuracy))
            progress(len(images), len(indices))
        complete = True
    except KeyboardInterrupt:
        if math.isnan(total.scores(excluded).miou):
            raise
    where = f"split '{dataset.split}' of data set '{dataset.name}'"
    if not images:
        raise DatasetError(f"{where} holds no image")
    scores = total.scores(excluded)
    if math.isnan(scores.miou):
        raise DatasetError(
            f"no pixel in {where} shows a class that counts, so there is nothing to score; the labels of a test split "
            "are often withheld: use another split"
        )
    median_ms = statistics.median(milliseconds)
    return Evaluation(scores, tuple(images), tuple(sorted(input_sizes)), median_ms, complete)


def read_ahead(dataset: Dataset, indices: Sequence[int]) -> Iterator[Sample]:
    """Yield samples in the order of `indices`, while a thread reads the next one."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        following = None
        for index in indices:
            current, following = following, reader.submit(dataset.read, index)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()


def _known_so_far(samples: Iterator[Sample], total: Scorer, excluded: Sequence[int]) -> Iterator[Sample]:
    """Yield samples; where one cannot be read, the error says what the others were worth: hours may lie behind it."""
    try:
        yield from samples
    except DatasetError as error:
        so_far = total.scores(excluded)
        if math.isnan(so_far.miou):
            raise
        raise DatasetError(
            f"{error}; before it, {so_far.frames} images were scored, with mIoU {100 * so_far.miou:.2f} %; "
            "fanet dataset check finds all such files at once"
        ) from None


def spread(length: int, limit: int) -> list[int]:
    """Return at most `limit` indices (0: all), evenly spread over 0 to length - 1."""
    count = min(limit, length) if limit else length
    return [index * length // count for index in range(count)]


def left_out_ids(names: Sequence[str], label_set: LabelSet) -> tuple[int, ...]:
    """Return the ids of classes that are to count in no mean.

    Raises:
        SettingError: there is no such class, or none remains.
    """
    try:
        ids = tuple(label_set.id_of(name) for name in names)
    except LabelSetError as error:
        raise SettingError(f"leave-out: {error}") from None
    if len(set(ids)) == len(label_set):
        raise SettingError(f"leave-out: received all classes of '{label_set.name}', expected at least one to remain")
    return ids
