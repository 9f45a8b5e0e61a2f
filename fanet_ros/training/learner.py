"""Everything that changes during a training: weights, their average, optimiser and schedule; and one step of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.network import AuxiliaryLogits, FANet
from fanet_ros.training.augment import Augmentation, Crops
from fanet_ros.training.batches import Batch
from fanet_ros.training.losses import SegmentationLoss, Target, shrink_labels
from fanet_ros.training.optimise import make_average, make_optimizer, make_schedule
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import Recipe
from fanet_ros.training.remember import remember
from fanet_ros.training.sampling import step_seed
from fanet_ros.training.start import set_mode

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """A network that learns.

    Attributes:
        dtype: in which matrices are multiplied.
        iteration: number of steps done.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: FANet,
        class_weights: Tensor | None,
        processes: Processes,
        members: Tensor | None = None,
    ) -> None:
        """Begin at iteration 0; `restore` moves on. The network comes on the CPU and moves to the process's device.

        Class weights are float32 (classes + coarse labels,), members bool (coarse labels, classes): which classes each
        coarse label may be.
        """
        device, run = processes.device, recipe.run
        self._recipe, self._processes = recipe, processes
        self._layout = layout = torch.channels_last if run.channels_last else torch.contiguous_format
        self._network = network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        set_mode(self._network, recipe.network.freeze_batch_norm)
        self._average = make_average(self._network, recipe.optimizer.average) if recipe.optimizer.average else None
        self._model = processes.wrap(_Trained(self._network, layout, recipe.network.through_time))
        self._optimizer = make_optimizer(self._network, recipe.optimizer)
        self._schedule = make_schedule(self._optimizer, recipe.optimizer, run.iterations)
        self._scaler = torch.amp.GradScaler(device.type, enabled=run.precision == "fp16")
        self._class_weights = class_weights
        self._loss = SegmentationLoss(
            recipe.loss,
            network.config.classes,
            None if class_weights is None else class_weights.to(device),
            None if members is None else members.to(device),
            recipe.data.learned,
        )
        soft = [part.soft for part in recipe.data.learned]
        guided = [each is not None and each.from_weights for each in soft]
        self._guided = torch.tensor(guided, device=device)
        # what the training starts from, as it is at the start
        self._guide = FrameToLogits(copy.deepcopy(self._network)).eval() if any(guided) else None
        self._augmentation = Augmentation(recipe.augmentation, visible=any(soft))
        self.dtype = PRECISIONS[run.precision]
        self.iteration = 0

    @property
    def rate(self) -> float:
        """Learning rate of the next step, of what is not the encoder."""
        return float(self._schedule.get_last_lr()[0])

    @property
    def network(self) -> FANet:
        """The network whose weights count: the average, where there is one."""
        if self._average is None:
            return self._network
        averaged = self._average.module
        assert isinstance(averaged, FANet)
        return averaged

    def step(self, batch: Batch) -> Tensor:
        """Learn from a batch; return its loss, a scalar on the device."""
        torch.manual_seed(step_seed(self._recipe.run.seed, self.iteration, self._processes.rank))
        device = self._processes.device
        batch = batch.to(device)
        crops = self._augmentation(batch)
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self._model(crops.images, *(crops.past or ()))
        loss = self._loss(logits, Target(crops.labels, batch.parts, self._soft(batch, crops)))
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if self._recipe.optimizer.clip_norm:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.optimizer.clip_norm)
        scale = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() >= scale:  # else fp16 overflowed, and nothing was learnt
            self._schedule.step()
            if self._average is not None:
                self._average.update_parameters(self._network)
        self.iteration += 1
        return loss.detach()

    @torch.no_grad()
    def _soft(self, batch: Batch, crops: Crops) -> Tensor | None:
        """The soft labels of crops, float32 (N, classes, h, w) at the loss's resolution: from files and the guide."""
        if crops.visible is None:
            return None
        device, visible = crops.images.device, shrink_labels(crops.visible, self._recipe.loss.resolution)[:, None]
        soft = None if batch.soft is None else batch.soft.float() / 255 * visible
        if self._guide is None:
            return soft
        chosen = self._guided[batch.parts]
        if soft is None:
            classes = self._network.config.classes
            soft = torch.zeros(len(chosen), classes, *visible.shape[-2:], device=device)
        if bool(chosen.any()):
            with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
                images = self._guide.normalise(crops.images[chosen])
                logits = self._guide.network(images.contiguous(memory_format=self._layout)).float()
            logits = F.interpolate(logits, soft.shape[-2:], mode="bilinear", align_corners=True)
            soft[chosen] = logits.softmax(1) * visible[chosen]
        return soft

    def is_sound(self) -> bool:
        """Whether all weights are finite numbers, and fp16 can still express the gradients."""
        tensors = [tensor for module in {self._network, self.network} for tensor in module.state_dict().values()]
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())
        return finite and self._scaler.get_scale() >= 1

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on exactly."""
        return {
            "iteration": self.iteration,
            "class_weights": None if self._class_weights is None else self._class_weights.cpu(),
            "network": self._network.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "guide": None if self._guide is None else self._guide.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self._guide is not None:
            self._guide.network.load_state_dict(state["guide"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self.iteration = state["iteration"]


class _Trained(nn.Module):
    """Images as frames have them to logits: normalisation and network, as in the graph that backends run."""

    def __init__(self, network: FANet, layout: torch.memory_format, through_time: bool) -> None:
        super().__init__()
        self._graph, self._layout, self._through_time = FrameToLogits(network), layout, through_time

    def forward(
        self, images: Tensor, earlier: Tensor | None = None, known: Tensor | None = None
    ) -> AuxiliaryLogits | Tensor:
        """Return logits of all heads, or of the only one, for images and a `Past` as `Crops` has them."""
        network = self._graph.network
        images = self._graph.normalise(images).contiguous(memory_format=self._layout)
        state = None
        if earlier is not None and known is not None:
            state = remember(network, self._graph.normalise(earlier), known, through_time=self._through_time)
        if network.config.auxiliary:
            return network.forward_with_auxiliary(images, state)
        return network(images) if state is None else network.forward_video(images, state)[0]
