"""A training from its task to its outcome: fresh or resumed, in one process or in each of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fanet_ros.errors import DatasetError, SettingError, TrainingError
from fanet_ros.model.labels import LabelSet
from fanet_ros.model.model_card import read_card, resolve_label_set
from fanet_ros.model.weights import load_weights
from fanet_ros.training.advice import give_advice
from fanet_ros.training.checkpoint import load_state
from fanet_ros.training.learner import Learner
from fanet_ros.training.material import find_class_weights, open_material
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import Recipe, parse_recipe
from fanet_ros.training.run_folder import FINAL, RunFolder, hold_folder
from fanet_ros.training.start import start_network
from fanet_ros.training.trainer import Trainer
from fanet_ros.untrusted.yaml_text import parse_yaml


@dataclass(frozen=True)
class Task:
    """What to train.

    Attributes:
        recipe: how.
        paths: of the data sets, by name.
        output: folder of the run.
        encoder: ImageNet weights of the encoder; None for none. Of no meaning when resuming.
        weights: a trained FANet to start from; None for none. Of no meaning when resuming.
        workers: processes that read ahead, for each training process.
    """

    recipe: Recipe
    paths: Mapping[str, Path]
    output: Path
    encoder: Path | None = None
    weights: Path | None = None
    workers: int = 1


def start(task: Task, processes: Processes, progress: Callable[[str], None]) -> Trainer:
    """Prepare a new training, whose output folder holds none yet; `progress` is told what takes its time.

    Raises:
        FanetError: something it needs is missing or does not fit; says what to do.
    """
    return _prepare(task, None, processes, progress)


def resume(
    folder: Path, paths: Mapping[str, Path], workers: int, processes: Processes, progress: Callable[[str], None]
) -> Trainer:
    """Prepare a training to go on exactly as it would have gone on.

    Args:
        folder: of the run.
        paths: of data sets that have moved since, by name; an empty name stands for the main one.
        workers: as in Task.
        processes: this one among all.
        progress: told what takes its time.

    Raises:
        FanetError: as for `start`, or there is nothing to resume.
    """
    processes.first(lambda: hold_folder(folder))
    state = load_state(folder)
    recipe = parse_recipe(parse_yaml(state["recipe"]), f"the recipe in {folder}")
    finished = state["iteration"] >= recipe.run.iterations and not state["validation_due"]
    if finished and (folder / f"{FINAL}.safetensors").exists():
        raise TrainingError(
            f"the training in {folder} is finished: it did all of its {recipe.run.iterations} iterations"
        )
    known = {name: Path(path) for name, path in state["data"].items()}
    task = Task(recipe, {**known, **main_path_named(paths, recipe)}, folder, workers=workers)
    return _prepare(task, state, processes, progress)


def main_path_named(paths: Mapping[str, Path], recipe: Recipe) -> dict[str, Path]:
    """Return paths by name, that of the main data set, which may have come without (an empty one), included.

    Raises:
        SettingError: a name is none of the recipe's data sets.
    """
    known = recipe.data.sources()
    named = {name or known[0]: path for name, path in paths.items()}
    if len(named) < len(paths):
        raise SettingError(f"data: two folders for {known[0]}, one of them without a name; give one")
    for name in named:
        if name not in known:
            raise SettingError(f"data: the recipe has no data set '{name}'; it has {', '.join(known)}")
    return named


def _prepare(
    task: Task, state: Mapping[str, Any] | None, processes: Processes, progress: Callable[[str], None]
) -> Trainer:
    recipe = task.recipe
    check_shares(recipe, processes.count)

    def prepare() -> None:
        open_material(recipe, task.paths, progress)

    if processes.count > 1:
        processes.first(prepare)  # what it renders into the cache, the others find there
    material = open_material(recipe, task.paths, progress)
    if state is not None and state["material"] != material.fingerprint():
        raise DatasetError(
            f"the data are not those with which the training in {task.output} began: other images, or other classes; "
            "give the same data (--data), or start anew (--weights goes on from the weights alone)"
        )
    if state is None:
        _check_guide(recipe, task.weights, material.label_set)
        processes.first(lambda: give_advice(recipe, material, progress))
        class_weights = processes.first(lambda: find_class_weights(recipe, material, progress))
    else:
        class_weights = state["class_weights"]
    torch.manual_seed(recipe.run.seed)
    network = start_network(
        recipe.network,
        len(material.label_set),
        auxiliary=recipe.loss.auxiliary_weight > 0,
        encoder=task.encoder,
        weights=task.weights,
        resuming=state is not None,
    )
    folder = RunFolder(task.output, recipe, material.label_set)
    if state is None:
        processes.first(folder.begin)
    learner = Learner(recipe, network, class_weights, processes, torch.from_numpy(material.space.members()))
    trainer = Trainer(recipe, learner, material, processes, folder, task.workers)
    if state is not None:
        trainer.restore(state)
    return trainer


def _check_guide(recipe: Recipe, weights: Path | None, label_set: LabelSet) -> None:
    """Check that there are weights to teach by, where the recipe asks for that.

    Raises:
        SettingError: there are none, or of other classes.
    """
    if not any(part.soft is not None and part.soft.from_weights for part in recipe.data.learned):
        return
    if weights is None:
        raise SettingError("soft: {from: weights} needs what teaches: give --weights with a trained FANet")
    known = resolve_label_set("", read_card(weights), load_weights(weights).config.classes).of_network
    if known.names != label_set.names:
        raise SettingError(
            f"soft: {{from: weights}} needs weights of the network's classes, '{label_set.name}', but {weights} has "
            f"those of '{known.name}'"
        )


def check_shares(recipe: Recipe, processes: int) -> None:
    """Check that a batch can be shared by so many processes.

    Raises:
        TrainingError: it cannot.
    """
    batch, crop = recipe.run.batch, recipe.augmentation.crop_size
    if batch % processes:
        raise TrainingError(f"run.batch is {batch}, which {processes} processes cannot share evenly; choose a multiple")
    deepest = batch // processes * math.ceil(crop.width / 64) * math.ceil(crop.height / 64)
    if deepest < 2 and not recipe.network.freeze_batch_norm:
        raise TrainingError(
            f"batch norm of the deepest stage would see a single value: {batch // processes} crop of {crop} in each "
            "process; choose a larger run.batch or augmentation.crop"
        )
