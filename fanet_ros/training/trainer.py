"""The training loop: step by step, scoring and saving on the way, from a fresh start or from where it was cut short."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from fanet_ros.errors import FanetError, TrainingError
from fanet_ros.training.batches import Batch, SampleSettings, StepDataset, load_steps
from fanet_ros.training.checkpoint import save_state
from fanet_ros.training.learner import Learner
from fanet_ros.training.material import Material
from fanet_ros.training.observer import Observer
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import Recipe, recipe_yaml
from fanet_ros.training.run_folder import BEST, FINAL, RunFolder
from fanet_ros.training.validation import Validator

_NOTE_EVERY = 10  # steps
_GO_ON, _STOP, _FAIL = range(3)  # what a process wants; the largest wins


class _CutShort(Exception):  # noqa: N818 (it is no error)
    """A validation that is left undone."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        iteration: that it reached.
        finished: False where it was asked to stop; it can be resumed.
        best: mIoU of the best weights on the first validation set; None without one.
        weights: the file of the best weights, or of the final ones where nothing was validated; None before either.
    """

    iteration: int
    finished: bool
    best: float | None
    weights: Path | None


class Trainer:
    """Trains a learner by its recipe."""

    def __init__(
        self,
        recipe: Recipe,
        learner: Learner,
        material: Material,
        processes: Processes,
        folder: RunFolder,
        workers: int,
    ) -> None:
        """Prepare the loop in a folder that was begun; `workers` read ahead for each of the processes."""
        self._recipe, self._learner, self._material = recipe, learner, material
        self._processes, self._folder, self._workers = processes, folder, workers
        self._validators = [
            Validator(part, opened, material.label_set, processes, recipe.network.temporal_frames)
            for part, opened in zip(recipe.data.validation, material.validation, strict=True)
        ]
        for validator, part in zip(self._validators, recipe.data.validation, strict=True):
            if [other.name for other in self._validators].count(validator.name) > 1:
                validator.name += f"-{part.input_size}"
        self._best: float | None = None
        self._losses: list[Tensor] = []
        self._validation_due = False

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, as `_state` made it."""
        self._learner.restore(state)
        self._best, self._validation_due = state["best"], state["validation_due"]

    def train(self, asked_to_stop: Callable[[], bool]) -> Outcome:
        """Train to the end.

        Args:
            asked_to_stop: asked before every step; where it answers True in any process, the state is saved and the
                training ends.

        Raises:
            TrainingError: the training diverged, or something cannot be written.
            DatasetError: a sample cannot be read; what was learnt before is saved.
        """
        run, learner = self._recipe.run, self._learner
        observer = Observer(
            self._folder.path,
            first=self._processes.is_first,
            started_at=learner.iteration,
            unscored=self._validation_due,
        )
        if learner.iteration == 0:
            self._save()  # a training that is killed right away can be resumed, too
        with observer.watching(run.iterations, learner.iteration):
            self._validate_if_due(observer, asked_to_stop)  # it was cut short while it validated
            stopped = self._validation_due
            batches = self._load_steps(asked_to_stop)
            began = perf_counter()
            while not stopped and learner.iteration < run.iterations:
                batch, wish, failure = None, _GO_ON, None
                try:
                    batch = next(batches)
                    wish = _STOP if asked_to_stop() else _GO_ON
                except FanetError as error:
                    wish, failure = _FAIL, error
                decision = self._processes.largest(wish)
                if decision != _GO_ON:
                    if self._losses:
                        self._mean_loss()
                    self._save()
                if decision == _FAIL:
                    raise failure or TrainingError("another process of this training failed; its message says why")
                stopped = decision == _STOP
                if stopped:
                    break
                assert batch is not None
                self._losses.append(learner.step(batch))

                iteration = learner.iteration
                at_end = iteration == run.iterations
                self._validation_due = bool(self._validators) and (at_end or iteration % run.validate_every == 0)
                saving = at_end or self._validation_due or iteration % run.save_every == 0
                if saving or iteration % _NOTE_EVERY == 0:
                    count = len(self._losses)
                    loss = self._mean_loss()
                    observer.stepped(iteration, loss, learner.rate, (perf_counter() - began) / count)
                    began = perf_counter()
                if saving:
                    self._save()
                    observer.flush()
                    self._validate_if_due(observer, asked_to_stop)
                    stopped = self._validation_due
                    began = perf_counter()
        return self._finish(not stopped)

    def _load_steps(self, asked_to_stop: Callable[[], bool]) -> Iterator[Batch | None]:
        processes, material, recipe = self._processes, self._material, self._recipe
        settings = SampleSettings(
            recipe.network.temporal_frames, recipe.augmentation.disturb, recipe.run.seed, recipe.loss.resolution
        )
        steps = StepDataset(material.parts, material.plan, material.placer, processes.rank, processes.count, settings)
        pin = processes.device.type == "cuda"
        return load_steps(steps, self._learner.iteration, recipe.run.iterations, self._workers, pin, asked_to_stop)

    def _mean_loss(self) -> float:
        """Return the mean loss since it was last asked for.

        Raises:
            TrainingError: it is no finite number.
        """
        total = self._processes.sum(torch.stack(self._losses).sum())
        loss = float(total) / (len(self._losses) * self._processes.count)
        self._losses.clear()
        if not math.isfinite(loss):
            raise self._diverged(f"the loss became {loss}")
        return loss

    def _diverged(self, how: str) -> TrainingError:
        best = self._folder.file(BEST)
        start = f", from the best weights so far if you like (--weights {best})" if best.exists() else ""
        return TrainingError(
            f"{how} by iteration {self._learner.iteration}: the training diverged. Start anew{start} with a lower "
            f"optimizer.rate (it was {self._recipe.optimizer.rate:g}), a longer optimizer.warm_up, "
            "optimizer.clip_norm, or run.precision bf16 or fp32 (--set NAME=VALUE); and check the labels with fanet "
            "dataset check"
        )

    def _validate_if_due(self, observer: Observer, asked_to_stop: Callable[[], bool]) -> None:
        """Score the weights; keep them if the first validation set has never seen better ones.

        Asked to stop, a single process leaves it undone: a resumed training begins with it.
        """
        if not self._validation_due:
            return
        learner = self._learner

        def doing(text: str) -> None:
            observer.doing(text)
            if self._processes.count == 1 and asked_to_stop():
                raise _CutShort

        self._processes.share_buffers(learner.network)
        for place, validator in enumerate(self._validators):
            try:
                found = validator.run(learner.network, learner.dtype, self._recipe.run.overlays, doing)
            except _CutShort:
                return
            observer.validated(learner.iteration, found)
            miou = found.scores.miou
            if place == 0 and math.isfinite(miou) and (self._best is None or miou > self._best):
                self._best = miou
                self._write(BEST, {f"mIoU on {found.name}": f"{miou:.4f}"})
        self._validation_due = False
        self._save()

    def _finish(self, finished: bool) -> Outcome:
        weights: Path | None = None
        if finished:
            weights = self._write(FINAL, {})
        if self._best is not None:
            weights = self._folder.file(BEST)
        return Outcome(self._learner.iteration, finished, self._best, weights)

    def _write(self, name: str, facts: Mapping[str, str]) -> Path:
        def write() -> None:
            all_facts = {"iteration": f"{self._learner.iteration}", **facts}
            self._folder.save(name, self._learner.network.state_dict(), all_facts)

        self._processes.first(write)
        return self._folder.file(name)

    def _save(self) -> None:
        """Save the state, unless it is worthless: then what was saved before stays.

        Raises:
            TrainingError: the weights are no finite numbers any more, or the state cannot be written.
        """
        if not self._learner.is_sound():
            raise self._diverged("weights or gradients became infinite")
        self._processes.first(lambda: save_state(self._folder.path, self._state()))

    def _state(self) -> dict[str, Any]:
        """All that a resumed training needs to do what this one would."""
        return {
            "recipe": recipe_yaml(self._recipe),
            "data": {name: str(path) for name, path in self._material.paths.items()},
            "material": self._material.fingerprint(),
            "best": self._best,
            "validation_due": self._validation_due,
            **self._learner.state(),
        }
