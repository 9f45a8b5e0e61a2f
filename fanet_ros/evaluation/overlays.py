"""The worst and the best images of a run as pictures: what the network takes for what, and where."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import Dataset, Sample
from fanet_ros.errors import SettingError
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.evaluation.run import Evaluation, ImageScore, read_ahead
from fanet_ros.evaluation.truth import CoarseTruth
from fanet_ros.model.labels import LabelSet
from fanet_ros.reports.render import Painter, contact_sheet
from fanet_ros.reports.report import make_folder, write_image

Image = NDArray[np.uint8]

TITLES = ("camera", "truth", "prediction", "errors in red")

_MAX_WIDTH = 960  # of one of the four pictures; a whole aerial tile helps nobody
_OURS = re.compile(r"[01]\.\d{4}_(worst|best)_.*\.png")


def choose_images(evaluation: Evaluation, count: int) -> list[tuple[ImageScore, str]]:
    """Return the `count` worst and the `count` best images with `worst` or `best`; no image twice, worst first.

    Images without known truth are in neither.
    """
    ranked = sorted((i for i in evaluation.images if not math.isnan(i.miou)), key=lambda image: image.miou)
    worst = ranked[:count]
    best = ranked[max(count, len(ranked) - count) :]
    return [*((image, "worst") for image in worst), *((image, "best") for image in best)]


def write_overlays(
    folder: Path,
    evaluation: Evaluation,
    dataset: Dataset,
    predictor: Predictor,
    count: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    coarse: CoarseTruth | None = None,
) -> list[Path]:
    """Write pictures of the worst and best images: camera, truth, prediction and errors side by side.

    File names begin with the image's mean IoU, so that a listing shows the worst first. Pictures of an earlier run in
    the folder are removed, as they would mix with these. The images are predicted once more, so that a run over a large
    data set need not keep all its labels.

    Args:
        folder: made if missing.
        evaluation: of these images.
        dataset: the one that was evaluated.
        predictor: the one that was evaluated.
        count: of the worst, and of the best.
        progress: told how many of how many pictures are written.
        coarse: merges predictions into the data set's classes; None where the network has these.

    Returns:
        The files, worst first.

    Raises:
        SettingError: the folder or a file cannot be written.
        DatasetError: an image cannot be read any more.
    """
    make_folder(folder)
    try:
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise SettingError(
            f"overlays: {error.filename} cannot be removed: {error.strerror}; use a new folder"
        ) from None
    chosen = choose_images(evaluation, count)
    painter = Painter(dataset.label_set)
    paths = []
    samples = read_ahead(dataset, [image.index for image, _ in chosen])
    for (image, end), sample in zip(chosen, samples, strict=True):
        labels = predictor.predict(sample.image)
        if coarse is not None:
            labels = coarse.merge(labels, sample.labels, count=False)
        picture = draw(sample, labels, dataset.label_set, painter)
        safe_name = re.sub(r"[^A-Za-z0-9._-]+", "_", image.name)
        path = folder / f"{image.miou:.4f}_{end}_{safe_name}.png"
        write_image(path, picture)
        paths.append(path)
        progress(len(paths), len(chosen))
    return paths


def draw(sample: Sample, labels: Image, label_set: LabelSet, painter: Painter) -> Image:
    """Draw a sample and its labels (uint8, of the image's size) side by side under a legend, uint8 rgb8."""
    classes = len(label_set)
    truth = painter.color_mask(np.where(sample.labels < classes, sample.labels, 255).astype(np.uint8)).copy()
    prediction = painter.color_mask(labels)
    pictures = (sample.image, truth, prediction, error_map(sample, labels, classes))
    return contact_sheet([pictures], label_set, TITLES, min(sample.image.shape[1], _MAX_WIDTH))


def error_map(sample: Sample, labels: Image, classes: int) -> Image:
    """Return the image in dim grey with wrong labels in red, uint8 rgb8 (H, W, 3); black where no truth is known."""
    grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY) // 2
    picture = np.repeat(grey[..., None], 3, axis=2)
    known = sample.labels < classes
    picture[known & (labels != sample.labels)] = (255, 40, 40)
    picture[~known] = 0
    return picture
