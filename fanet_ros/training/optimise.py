"""Optimiser, the way of its rate, and the moving average of the weights; all torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from fanet_ros.training.recipe_learning import OptimizerRecipe

_ENCODER = "resnet."


def make_optimizer(network: nn.Module, recipe: OptimizerRecipe) -> Optimizer:
    """Make the optimiser of a network's trainable parameters.

    Four groups: encoder or not, with its own rate; matrices or not, as norms and biases do not decay.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(_ENCODER), parameter.ndim > 1), []).append(parameter)
    settings: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": recipe.rate * (recipe.encoder_rate if encoder else 1.0),
            "weight_decay": recipe.weight_decay if matrices else 0.0,
        }
        for (encoder, matrices), parameters in sorted(groups.items())
    ]
    if recipe.kind == "sgd":
        return SGD(settings, lr=recipe.rate, momentum=recipe.momentum)
    return AdamW(settings, lr=recipe.rate)


def make_schedule(optimizer: Optimizer, recipe: OptimizerRecipe, iterations: int) -> LambdaLR:
    """Make the schedule of the rate: exponential warm-up, times polynomial decay to 0 at the end."""

    def factor(iteration: int) -> float:
        decay = max(0.0, 1 - iteration / iterations) ** recipe.power
        if iteration >= recipe.warm_up:
            return decay
        return decay * recipe.warm_up_from ** (1 - iteration / recipe.warm_up)

    return LambdaLR(optimizer, factor)


def make_average(network: nn.Module, decay: float) -> AveragedModel:
    """Make the moving average of a network's weights and of its batch norm statistics.

    It starts as a plain average of all steps and turns into one with the given decay, so that short trainings do not
    drag their first weights along.
    """

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # counters of batch norm
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
            return
        updates = int(count)
        kept = min(decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(list(averaged), list(current), 1 - kept)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
