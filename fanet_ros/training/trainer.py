"""The training loop: a recipe, step by step, from a fresh start or from where it was cut short."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from fanet_ros.errors import TrainingError
from fanet_ros.graph import FrameToLogits
from fanet_ros.network import AuxiliaryLogits, FANet
from fanet_ros.training.augment import Augmentation
from fanet_ros.training.batches import Batch, StepDataset, load_steps
from fanet_ros.training.checkpoint import save_state
from fanet_ros.training.losses import SegmentationLoss
from fanet_ros.training.material import Material
from fanet_ros.training.observer import Observer
from fanet_ros.training.optimise import make_average, make_optimizer, make_schedule
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import Recipe, recipe_yaml
from fanet_ros.training.run_folder import BEST, FINAL, RunFolder
from fanet_ros.training.sampling import step_seed
from fanet_ros.training.start import float_tensors, set_mode
from fanet_ros.training.validation import Validator

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NOTE_EVERY = 10  # steps; between them a GPU is never waited for


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
    """Everything that changes during a training, and the loop that changes it."""

    def __init__(
        self, recipe: Recipe, network: FANet, material: Material, processes: Processes, folder: RunFolder, workers: int
    ) -> None:
        """Prepare a training from iteration 0; `restore` moves it on.

        Args:
            recipe: what to do.
            network: what to train, on the CPU; moved to the device and changed.
            material: what to learn from.
            processes: this one among all.
            folder: of the run; begun.
            workers: processes that read ahead, for each of `processes`.
        """
        device, run = processes.device, recipe.run
        self._recipe, self._processes, self._folder, self._workers = recipe, processes, folder, workers
        self._material = material
        layout = torch.channels_last if run.channels_last else torch.contiguous_format
        self._network = network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        self._average = make_average(self._network, recipe.optimizer.average) if recipe.optimizer.average else None
        self._model = processes.wrap(_Trained(self._network, layout))
        self._optimizer = make_optimizer(self._network, recipe.optimizer)
        self._schedule = make_schedule(self._optimizer, recipe.optimizer, run.iterations)
        self._scaler = torch.amp.GradScaler(device.type, enabled=run.precision == "fp16")
        weights = material.class_weights
        self._loss = SegmentationLoss(recipe.loss, None if weights is None else weights.to(device))
        self._augmentation = Augmentation(recipe.augmentation)
        self._validators = [
            Validator(part, opened, material.label_set, processes)
            for part, opened in zip(recipe.data.validation, material.validation, strict=True)
        ]
        self._dtype = PRECISIONS[run.precision]
        self._iteration = 0
        self._best: float | None = None
        self._losses: list[Tensor] = []

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, as `_state` made it."""
        self._network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self._iteration, self._best = state["iteration"], state["best"]

    def train(self, asked_to_stop: Callable[[], bool]) -> Outcome:
        """Train to the end.

        Args:
            asked_to_stop: asked after every step; where it answers True, the state is saved and the training ends.

        Raises:
            TrainingError: the loss is no number any more, or something cannot be written.
            DatasetError: a sample cannot be read.
        """
        run = self._recipe.run
        observer = Observer(
            self._folder.path,
            self._material.label_set.names,
            first=self._processes.is_first,
            started_at=self._iteration,
        )
        if self._iteration == 0:
            self._save()  # a training that is killed right away can be resumed, too
        pin = self._processes.device.type == "cuda"
        steps = StepDataset(
            self._material.parts,
            self._material.plan,
            self._material.placer,
            self._processes.rank,
            self._processes.count,
        )
        set_mode(self._network, self._recipe.network.freeze_batch_norm)
        stopped = False
        with observer.watching(run.iterations, self._iteration):
            began = perf_counter()
            for batch in load_steps(steps, self._iteration, run.iterations, self._workers, pin):
                self._step(batch)
                self._iteration += 1
                at_end = self._iteration == run.iterations
                stopped = asked_to_stop() and not at_end
                due = self._iteration % run.validate_every == 0
                saving = self._iteration % run.save_every == 0 or due or at_end or stopped
                if self._iteration % _NOTE_EVERY == 0 or saving:
                    count = len(self._losses)
                    loss = self._mean_loss()
                    observer.stepped(
                        self._iteration, loss, float(self._schedule.get_last_lr()[-1]), (perf_counter() - began) / count
                    )
                    began = perf_counter()
                if (due or at_end) and self._validators:
                    self._validate(observer)
                    began = perf_counter()
                if saving:
                    self._save()
                if stopped:
                    break
        return self._finish(not stopped)

    def _step(self, batch: Batch) -> None:
        """One step of the optimiser."""
        torch.manual_seed(step_seed(self._recipe.run.seed, self._iteration, self._processes.rank))
        device = self._processes.device
        crops = self._augmentation(Batch(*(tensor.to(device, non_blocking=True) for tensor in batch)))
        with torch.autocast(device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits = self._model(crops.images)
        loss = self._loss(logits, crops.labels)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if self._recipe.optimizer.clip_norm:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.optimizer.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self._network)
        self._losses.append(loss.detach())

    def _mean_loss(self) -> float:
        """Return the mean loss since it was last asked for.

        Raises:
            TrainingError: it is no finite number.
        """
        total = self._processes.sum(torch.stack(self._losses).sum())
        loss = float(total) / (len(self._losses) * self._processes.count)
        self._losses.clear()
        if not math.isfinite(loss):
            rate = self._recipe.optimizer.rate
            raise TrainingError(
                f"the loss became {loss} by iteration {self._iteration}: the training diverged. The checkpoint before "
                f"it is kept in {self._folder.path}. Lower optimizer.rate (it is {rate:g}), raise optimizer.warm_up, "
                "set optimizer.clip_norm, or use run.precision bf16 or fp32; and check the labels with fanet dataset "
                "check"
            )
        return loss

    def _validate(self, observer: Observer) -> None:
        """Score the weights; keep them if the first validation set has never seen better ones."""
        network = self._weights()
        for place, validator in enumerate(self._validators):
            found = validator.run(network, self._dtype, self._recipe.run.overlays, observer.doing)
            observer.validated(self._iteration, found)
            miou = found.scores.miou
            if place == 0 and math.isfinite(miou) and (self._best is None or miou > self._best):
                self._best = miou
                self._write(BEST, {f"mIoU on {found.name}": f"{miou:.4f}"})

    def _finish(self, finished: bool) -> Outcome:
        weights: Path | None = None
        if finished:
            weights = self._write(FINAL, {})
        if self._best is not None:
            weights = self._folder.file(BEST)
        self._processes.wait()
        return Outcome(self._iteration, finished, self._best, weights)

    def _weights(self) -> FANet:
        """The network whose weights count: the average, where there is one."""
        if self._average is None:
            return self._network
        averaged = self._average.module
        assert isinstance(averaged, FANet)
        return averaged

    def _write(self, name: str, facts: Mapping[str, str]) -> Path:
        path = self._folder.file(name)
        if self._processes.is_first:
            self._folder.save(name, float_tensors(self._weights()), {"iteration": f"{self._iteration}", **facts})
        return path

    def _save(self) -> None:
        if self._processes.is_first:
            save_state(self._folder.path, self._state())
        self._processes.wait()

    def _state(self) -> dict[str, Any]:
        """All that a resumed training needs to do what this one would."""
        weights = self._material.class_weights
        return {
            "recipe": recipe_yaml(self._recipe),
            "data": {name: str(path) for name, path in self._material.paths.items()},
            "iteration": self._iteration,
            "best": self._best,
            "class_weights": None if weights is None else weights.cpu(),
            "network": self._network.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }


class _Trained(nn.Module):
    """Images as frames have them to logits: normalisation and network, as in the graph that backends run."""

    def __init__(self, network: FANet, layout: torch.memory_format) -> None:
        super().__init__()
        self._graph, self._layout = FrameToLogits(network), layout

    def forward(self, images: Tensor) -> AuxiliaryLogits | Tensor:
        """Take float32 (N, 3, H, W), RGB of 0..255; return logits of all heads, or of the only one."""
        network = self._graph.network
        images = self._graph.normalise(images).contiguous(memory_format=self._layout)
        return network.forward_with_auxiliary(images) if network.config.auxiliary else network(images)
