"""What a training learns from: data sets opened, their ids translated, and the plan of who is seen when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import Dataset, open_dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.datasets.meanings import LabelSpace, Meaning, find_meaning
from fanet_ros.datasets.resized import ResizedDataset
from fanet_ros.datasets.soft_labels import SoftLabels
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.settings import read_size
from fanet_ros.training.batches import Part
from fanet_ros.training.losses import log_class_weights
from fanet_ros.training.recipe import Recipe
from fanet_ros.training.recipe_data import DataPart, TrainingPart
from fanet_ros.training.sampling import Placer, SamplePlan


@dataclass(frozen=True)
class Material:
    """All of it.

    Attributes:
        label_set: of the network.
        space: numbers of all labels: the classes of the network, then coarse labels.
        paths: of the data sets and soft labels, by name.
        parts: to learn from; the main one first.
        validation: to score on, in the recipe's order.
        plan: which samples belong to which step.
        placer: how samples become crops.
    """

    label_set: LabelSet
    space: LabelSpace
    paths: Mapping[str, Path]
    parts: tuple[Part, ...]
    validation: tuple[Part, ...]
    plan: SamplePlan
    placer: Placer

    def fingerprint(self) -> str:
        """Return what has to be the same when a training is resumed: classes and samples, as JSON."""
        parts = (*self.parts, *self.validation)
        samples = [hashlib.sha256("\n".join(part.dataset.names).encode()).hexdigest()[:16] for part in parts]
        coarse = self.space.members().astype(int).tolist()
        meanings = [(part.ids.tolist(), part.meaning.may_be, part.soft and part.soft.may_be) for part in parts]
        digest = hashlib.sha256(json.dumps([coarse, meanings]).encode()).hexdigest()[:16]
        return json.dumps({"classes": self.label_set.names, "meanings": digest, "samples": samples})


def open_material(recipe: Recipe, paths: Mapping[str, Path], progress: Callable[[str], None]) -> Material:
    """Open all data sets of a recipe, and do for each once what would otherwise be done for every sample.

    Those that are rendered need no path; `progress` is told what takes its time.

    Raises:
        DatasetError: one is missing, incomplete or empty, or its classes are not the network's.
        LabelSetError: a label set that the recipe names is missing or malformed.
    """
    data = recipe.data
    opened = [_open_resized(part, paths, progress) for part in data.learned]
    label_set = load_label_set(recipe.network.labels) if recipe.network.labels else opened[0].label_set
    if not len(label_set):
        raise SettingError(f"network.labels: give the label set of the network, as {data.train.source} has no labels")
    space = LabelSpace(len(label_set))

    def with_meaning(part: DataPart, dataset: Dataset) -> Part:
        own, soft = dataset.label_set, None
        if isinstance(part, TrainingPart) and not part.hard:
            meaning = Meaning(own, label_set, ((),) * len(own))
        else:
            meaning = find_meaning(own, label_set, part.rename)
        if isinstance(part, TrainingPart) and part.soft is not None:
            if part.soft.use == "guide" and not meaning.coarse:
                raise SettingError(
                    f"soft: {{use: guide}} of {part.source} guides nothing: none of its labels is coarse"
                )
            soft = _open_soft(part, dataset, label_set, paths)
        return Part(dataset, meaning, space.table(meaning), part.step, soft)

    parts = tuple(map(with_meaning, data.learned, opened))
    _refuse_forgotten(data.learned, parts, label_set)
    validation = tuple(with_meaning(part, _open(part, paths, progress)) for part in data.validation)
    for place, part in enumerate((*parts, *validation)):
        # data sets of single images may be mixed in: as frames without memory, which a robot sees as well
        ClipDataset(part.dataset, recipe.network.temporal_frames, part.step).check(required=place == 0)
    plan = SamplePlan(
        [len(part.dataset) for part in parts], [part.share for part in data.mix], recipe.run.batch, recipe.run.seed
    )
    placer = Placer(recipe.augmentation, recipe.run.seed, [part.scale for part in data.learned])
    return Material(label_set, space, dict(paths), parts, validation, plan, placer)


def find_class_weights(recipe: Recipe, material: Material, progress: Callable[[str], None]) -> Tensor | None:
    """Return the weight of each number of the label space in the loss, float32; None where the recipe wants none.

    The share of a class, or of a coarse label, is that in the first data set that shows it.

    Raises:
        DatasetError: the labels show none of the classes.
        SettingError: the recipe does not have one weight a class.
    """
    wanted, classes, numbers = recipe.loss.class_weights, len(material.label_set), len(material.space)
    if wanted == "none":
        return None
    if wanted != "log":
        if len(wanted) != classes:
            raise SettingError(f"loss.class_weights has {len(wanted)} weights, but there are {classes} classes")
        return torch.tensor([*wanted, *[1.0] * (numbers - classes)], dtype=torch.float32)
    weights = log_class_weights(np.zeros(numbers, np.int64))
    seen = np.zeros(numbers, bool)
    for part, described in zip(material.parts, recipe.data.learned, strict=True):
        if described.hard and not seen[np.unique(part.ids[part.ids < numbers])].all():
            counts = count_pixels(part, numbers, progress)
            new = ~seen & (counts > 0)
            weights[new] = log_class_weights(counts)[new]
            seen |= new
    return torch.from_numpy(weights)


def count_pixels(part: Part, numbers: int, progress: Callable[[str], None]) -> NDArray[np.int64]:
    """Count the pixels of each number of the label space over a whole data set, int64 (numbers,).

    Raises:
        DatasetError: there are none.
    """
    counts = np.zeros(256, np.int64)
    for index in range(len(part.dataset)):
        counts += np.bincount(part.ids[part.dataset.read_labels(index)].ravel(), minlength=256)
        progress(f"counting pixels {index + 1}/{len(part.dataset)}")
    if not counts[:numbers].any():
        raise DatasetError(f"the labels of {part.dataset.name} show none of the {len(part.dataset.label_set)} classes")
    return counts[:numbers]


def _refuse_forgotten(recipes: Sequence[TrainingPart], parts: Sequence[Part], label_set: LabelSet) -> None:
    """Refuse a training in which a class of the network is nowhere: the others would take its pixels.

    Raises:
        DatasetError: there is one; says which.
    """
    reachable: set[int] = set()
    for described, part in zip(recipes, parts, strict=True):
        reachable |= part.meaning.reachable if described.hard else set()
        distils = described.soft is not None and described.soft.use == "distil"
        if distils:  # from files: what their meaning says; from weights: everything
            reachable |= set(range(len(label_set))) if part.soft is None else part.soft.reachable
    forgotten = [name for index, name in enumerate(label_set.names) if index not in reachable]
    if forgotten:
        raise DatasetError(
            f"no label of the training may be {', '.join(forgotten)} of '{label_set.name}', so the network would "
            "unlearn it: let a coarse label allow it (rename: {NAME: {not: [...]}}), mix in a data set that has it, "
            "or use a label set without it (network.labels)"
        )


def _open_soft(
    part: TrainingPart, dataset: Dataset, label_set: LabelSet, paths: Mapping[str, Path]
) -> SoftLabels | None:
    recipe = part.soft
    if recipe is None or recipe.from_weights:
        return None
    folder = paths.get(recipe.source)
    if folder is None or not folder.is_dir():
        received = "none was given" if folder is None else f"{folder} is no folder"
        raise DatasetError(f"soft labels of {part.source}: {received}; give --data {recipe.source}=FOLDER")
    own = load_label_set(recipe.labels) if recipe.labels else label_set
    soft = SoftLabels(folder, recipe.file, find_meaning(own, label_set, recipe.rename))
    soft.check(dataset.names)
    return soft


def _open_resized(part: TrainingPart, paths: Mapping[str, Path], progress: Callable[[str], None]) -> Dataset:
    dataset = _open(part, paths, progress, labelled=part.hard)
    return dataset if part.resize is None else ResizedDataset(dataset, read_size(part.resize))


def _open(
    part: DataPart, paths: Mapping[str, Path], progress: Callable[[str], None], *, labelled: bool = True
) -> Dataset:
    folder = paths.get(part.source)
    dataset = open_dataset(part.dataset, folder, part.split, part.options, labelled=labelled)
    if not len(dataset):
        raise DatasetError(f"split {part.split} of {part.source} at {folder} holds no samples")
    dataset.prepare(progress)
    return dataset
