"""Losses: cross entropy, weighted by class or over hard pixels only, on the main and the auxiliary heads."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import IGNORED
from fanet_ros.network import AuxiliaryLogits
from fanet_ros.training.recipe import LossRecipe

_LOG_OFFSET = 1.05


class SegmentationLoss:
    """The loss of a batch, as its recipe says."""

    def __init__(self, recipe: LossRecipe, class_weights: Tensor | None = None) -> None:
        """Take the recipe.

        Args:
            recipe: of the loss.
            class_weights: float32 (classes,), on the device of the logits to come; None for none.
        """
        self._recipe = recipe
        self._weights = class_weights

    def __call__(self, logits: AuxiliaryLogits | Tensor, labels: Tensor) -> Tensor:
        """Compare logits with labels.

        Args:
            logits: of all heads, or of the main one alone, (N, classes, any height, any width).
            labels: uint8 (N, H, W), class ids or IGNORED.

        Returns:
            The loss, a float32 scalar. 0, with zero gradients, where nothing is labelled.
        """
        target = shrink_labels(labels, self._recipe.resolution).long()
        if isinstance(logits, Tensor):
            return self._of_head(logits, target)
        auxiliary = self._of_head(logits.stage_32, target) + self._of_head(logits.stage_16, target)
        return self._of_head(logits.main, target) + self._recipe.auxiliary_weight * auxiliary

    def _of_head(self, logits: Tensor, target: Tensor) -> Tensor:
        logits = F.interpolate(logits.float(), target.shape[-2:], mode="bilinear", align_corners=True)
        loss = F.cross_entropy(
            logits,
            target,
            weight=self._weights,
            ignore_index=IGNORED,
            label_smoothing=self._recipe.label_smoothing,
            reduction="none",
        )  # (N, H, W)
        known = target != IGNORED
        if self._recipe.kind == "ohem":
            with torch.no_grad():
                chosen = self._hard(logits, target, known)
        else:
            chosen = known
        chosen_weights = chosen.float()
        if self._weights is not None:
            chosen_weights = chosen_weights * self._weights[target.where(known, 0)]
        return (loss * chosen).sum() / chosen_weights.sum().clamp_min(1e-6)

    def _hard(self, logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Which pixels count: those whose true class is improbable, but never fewer than the recipe's share."""
        probability = logits.softmax(1).gather(1, target.where(known, 0)[:, None])[:, 0]
        probability = probability.masked_fill(~known, 2.0)
        hard = probability <= self._recipe.ohem_threshold
        kept = min(max(1, int(self._recipe.ohem_min_kept * target.numel())), target.numel())
        if int(hard.sum()) >= kept:
            return hard
        # the kept-th lowest probability; beyond 1 where fewer pixels are known, which then all count
        return known & (probability <= probability.flatten().kthvalue(kept).values)


def shrink_labels(labels: Tensor, divisor: int) -> Tensor:
    """Take every divisor-th label, (N, H, W) -> (N, ceil(H / divisor), ceil(W / divisor)), corner to corner.

    The outermost labels stay the outermost, as in bilinear resizing with align_corners=True, by which logits are
    enlarged to them.
    """
    if divisor == 1:
        return labels
    rows, columns = (
        torch.linspace(0, side - 1, -(-side // divisor), device=labels.device).round().long()
        for side in labels.shape[-2:]
    )
    return labels[:, rows[:, None], columns]


def log_class_weights(pixels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 1 / ln(1.05 + share of the class): about 1.4 for a class that fills everything, 20 for a rare one.

    The form of ENet's weights (Paszke et al., arXiv 1606.02147, section 5.1), whose offset is 1.02; the larger the
    offset, the more alike the weights.

    Args:
        pixels: int64 (classes,), how many pixels each class has.
    """
    shares = pixels / max(1, int(pixels.sum()))
    return (1 / np.log(_LOG_OFFSET + shares)).astype(np.float32)
