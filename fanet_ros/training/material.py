"""What a training learns from: data sets opened, their ids translated, and the plan of who is seen when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import Dataset, open_dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.datasets.resized import ResizedDataset
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.labels import LabelSet
from fanet_ros.settings import read_size
from fanet_ros.training.batches import Part, translate_ids
from fanet_ros.training.losses import log_class_weights
from fanet_ros.training.recipe import DataPart, Recipe, TrainingPart
from fanet_ros.training.sampling import Placer, SamplePlan


@dataclass(frozen=True)
class Material:
    """All of it.

    Attributes:
        label_set: of the network: that of the data set to train on.
        paths: of the data sets, by name.
        parts: to learn from; the main one first.
        validation: to score on, in the recipe's order.
        plan: which samples belong to which step.
        placer: how samples become crops.
    """

    label_set: LabelSet
    paths: Mapping[str, Path]
    parts: tuple[Part, ...]
    validation: tuple[Part, ...]
    plan: SamplePlan
    placer: Placer

    def fingerprint(self) -> str:
        """Return what has to be the same when a training is resumed: classes and samples, as JSON."""
        parts = (*self.parts, *self.validation)
        samples = [hashlib.sha256("\n".join(part.dataset.names).encode()).hexdigest()[:16] for part in parts]
        return json.dumps({"classes": self.label_set.names, "samples": samples})


def open_material(recipe: Recipe, paths: Mapping[str, Path], progress: Callable[[str], None]) -> Material:
    """Open all data sets of a recipe, and do for each once what would otherwise be done for every sample.

    Args:
        recipe: of the training.
        paths: of the data sets, by name; those that are rendered need none.
        progress: told what takes its time.

    Raises:
        DatasetError: one is missing, incomplete or empty, or its classes are not the network's.
    """
    data = recipe.data
    main = _open_resized(data.train, paths, progress)
    label_set = main.label_set

    def translated(part: DataPart, dataset: Dataset) -> Part:
        return Part(dataset, translate_ids(dataset.label_set, label_set, part.rename), part.step)

    parts = (
        translated(data.train, main),
        *(translated(part, _open_resized(part, paths, progress)) for part in data.mix),
    )
    validation = tuple(translated(part, _open(part, paths, progress)) for part in data.validation)
    for place, part in enumerate((*parts, *validation)):
        # data sets of single images may be mixed in: as frames without memory, which a robot sees as well
        ClipDataset(part.dataset, recipe.network.temporal_frames, part.step).check(required=place == 0)
    plan = SamplePlan(
        [len(part.dataset) for part in parts], [part.share for part in data.mix], recipe.run.batch, recipe.run.seed
    )
    return Material(label_set, dict(paths), parts, validation, plan, Placer(recipe.augmentation, recipe.run.seed))


def find_class_weights(recipe: Recipe, material: Material, progress: Callable[[str], None]) -> Tensor | None:
    """Return the weight of each class in the loss, float32 (classes,); None where the recipe wants none.

    Raises:
        DatasetError: the labels show none of the classes.
        SettingError: the recipe does not have one weight a class.
    """
    wanted, classes = recipe.loss.class_weights, len(material.label_set)
    if wanted == "none":
        return None
    if wanted == "log":
        return torch.from_numpy(log_class_weights(count_pixels(material.parts[0], classes, progress)))
    if len(wanted) != classes:
        raise SettingError(f"loss.class_weights has {len(wanted)} weights, but there are {classes} classes")
    return torch.tensor(wanted, dtype=torch.float32)


def count_pixels(part: Part, classes: int, progress: Callable[[str], None]) -> NDArray[np.int64]:
    """Count the pixels of each class over a whole data set, int64 (classes,).

    Raises:
        DatasetError: there are none.
    """
    counts = np.zeros(256, np.int64)
    for index in range(len(part.dataset)):
        counts += np.bincount(part.ids[part.dataset.read_labels(index)].ravel(), minlength=256)
        progress(f"counting pixels {index + 1}/{len(part.dataset)}")
    if not counts[:classes].any():
        raise DatasetError(f"the labels of {part.dataset.name} show none of the {classes} classes")
    return counts[:classes]


def _open_resized(part: TrainingPart, paths: Mapping[str, Path], progress: Callable[[str], None]) -> Dataset:
    dataset = _open(part, paths, progress)
    return dataset if part.resize is None else ResizedDataset(dataset, read_size(part.resize))


def _open(part: DataPart, paths: Mapping[str, Path], progress: Callable[[str], None]) -> Dataset:
    dataset = open_dataset(part.dataset, paths.get(part.dataset), part.split, part.options)
    if not len(dataset):
        raise DatasetError(f"split {part.split} of {part.dataset} at {paths.get(part.dataset)} holds no samples")
    dataset.prepare(progress)
    return dataset
