"""Losses of hard, coarse and soft labels, on the main and the auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import IGNORED
from fanet_ros.network import AuxiliaryLogits
from fanet_ros.training.recipe import LossRecipe, TrainingPart

_LOG_OFFSET = 1.05
_LEAST_COVERED = 0.5  # share of a pixel that soft labels must give to the network's classes to count
_LEAST_ALLOWED = 0.05  # share that they must give to the classes that a coarse label allows, to guide among them


class Target(NamedTuple):
    """What crops should become.

    Attributes:
        labels: uint8 (N, H, W), numbers of the label space (classes, then coarse labels), or IGNORED.
        parts: int64 (N,), which data set each crop is of.
        soft: float32 (N, classes, h, w) at the loss's resolution, probabilities in [0, 1], 0 where nothing is known;
            None without soft labels.
    """

    labels: Tensor
    parts: Tensor
    soft: Tensor | None = None


class _Pixels(NamedTuple):
    """A target at the loss's resolution, as all heads are compared with it.

    Attributes:
        labels: int64 (N, h, w).
        known: bool (N, h, w), not IGNORED.
        coarse: bool (N, h, w), of a label that stands for several classes.
        weights: float32 (N, h, w), by class; 0 where not known.
        part_weights: float32 (N, 1, 1), of the hard and coarse labels of each crop.
        allowed: bool (M, classes), of the M coarse pixels.
    """

    labels: Tensor
    known: Tensor
    coarse: Tensor
    weights: Tensor
    part_weights: Tensor
    allowed: Tensor


class SegmentationLoss:
    """The loss of a batch, as its recipe says.

    Hard labels: cross entropy. Coarse labels: -log of the summed probability of the classes that a pixel may be
    (learning from partial labels; of one class it is the cross entropy). Both are one mean, weighted by class.

    Soft labels: cross entropy between the probabilities of a teacher and the network's, both softened by the
    temperature T and the loss multiplied by T^2 (Hinton et al., arXiv 1503.02531, section 2). Where a coarse label is
    known, both are restricted to the classes that it allows: the label says what a pixel may be, the teacher which of
    these it is. Without such a guide, classes within a coarse label collapse into one.
    """

    def __init__(
        self,
        recipe: LossRecipe,
        classes: int,
        weights: Tensor | None = None,
        members: Tensor | None = None,
        parts: Sequence[TrainingPart] = (),
    ) -> None:
        """Take what does not change from step to step; tensors are on the device of the logits to come.

        Args:
            recipe: of the loss.
            classes: of the network.
            weights: float32 (classes + coarse labels,), weight of each number; None for none.
            members: bool (coarse labels, classes), which classes each may be; None without coarse labels.
            parts: the recipes of the data sets, the main one first; nothing: one with hard labels.
        """
        self._recipe, self._classes, self._weights = recipe, classes, weights
        self._members = members
        self._soft = [part.soft for part in parts]
        self._part_weights = [part.loss_weight for part in parts] or [1.0]

    def __call__(self, logits: AuxiliaryLogits | Tensor, target: Target) -> Tensor:
        """Compare logits with what they should be.

        Args:
            logits: of all heads, or of the main one alone, (N, classes, any height, any width).
            target: of the crops.

        Returns:
            The loss, a float32 scalar. 0, with zero gradients, where nothing is labelled.
        """
        pixels = self._pixels(target)
        if isinstance(logits, Tensor):
            return self._of_head(logits, pixels, target)
        auxiliary = self._of_head(logits.stage_32, pixels, target) + self._of_head(logits.stage_16, pixels, target)
        return self._of_head(logits.main, pixels, target) + self._recipe.auxiliary_weight * auxiliary

    def _pixels(self, target: Target) -> _Pixels:
        labels = shrink_labels(target.labels, self._recipe.resolution).long()
        known = labels != IGNORED
        coarse = known & (labels >= self._classes)
        weights = known.float()
        if self._weights is not None:
            weights = weights * self._weights[labels.where(known, 0)]
        part_weights = torch.tensor(self._part_weights, device=labels.device)[target.parts][:, None, None]
        if self._members is None:
            allowed = torch.zeros(0, self._classes, dtype=torch.bool, device=labels.device)
        else:
            allowed = self._members[labels[coarse] - self._classes]
        return _Pixels(labels, known, coarse, weights, part_weights, allowed)

    def _of_head(self, logits: Tensor, pixels: _Pixels, target: Target) -> Tensor:
        logits = F.interpolate(logits.float(), pixels.labels.shape[-2:], mode="bilinear", align_corners=True)
        of_coarse = logits.permute(0, 2, 3, 1)[pixels.coarse]  # (M, classes)
        loss = self._of_labels(logits, of_coarse, pixels)
        return loss if target.soft is None else loss + self._of_soft(logits, of_coarse, pixels, target)

    def _of_labels(self, logits: Tensor, of_coarse: Tensor, pixels: _Pixels) -> Tensor:
        losses = F.cross_entropy(
            logits,
            pixels.labels.masked_fill(pixels.coarse, IGNORED),
            weight=None if self._weights is None else self._weights[: self._classes],
            ignore_index=IGNORED,
            label_smoothing=self._recipe.label_smoothing,
            reduction="none",
        )  # (N, h, w)
        if len(of_coarse):
            within = of_coarse.masked_fill(~pixels.allowed, -torch.inf)
            surprise = torch.logsumexp(of_coarse, 1) - torch.logsumexp(within, 1)
            losses = losses.index_put((pixels.coarse,), surprise * pixels.weights[pixels.coarse])
        chosen = pixels.known
        if self._recipe.kind == "ohem":
            with torch.no_grad():
                chosen = self._hard(logits, pixels)
        return (losses * chosen * pixels.part_weights).sum() / (pixels.weights * chosen).sum().clamp_min(1e-6)

    def _of_soft(self, logits: Tensor, of_coarse: Tensor, pixels: _Pixels, target: Target) -> Tensor:
        """The mean over all pixels of the crops that have soft labels; those that teach nothing count as 0."""
        total = logits.sum() * 0
        assert target.soft is not None
        for part, recipe in enumerate(self._soft):
            crops = target.parts == part
            if recipe is None or not bool(crops.any()):
                continue
            count = int(crops.sum()) * pixels.labels[0].numel()
            loss = _guiding(of_coarse, target.soft, pixels, crops)
            if recipe.use == "distil":
                free = crops[:, None, None] & ~pixels.coarse
                loss = loss + _distilling(logits[crops], target.soft[crops], free[crops], recipe.temperature)
            total = total + recipe.weight * loss / count
        return total

    def _hard(self, logits: Tensor, pixels: _Pixels) -> Tensor:
        """Which pixels count: those whose true class is improbable, but never fewer than the recipe's share."""
        probabilities = logits.softmax(1)
        fine = pixels.known & ~pixels.coarse
        probability = probabilities.gather(1, pixels.labels.where(fine, 0)[:, None])[:, 0]
        probability[pixels.coarse] = (probabilities.permute(0, 2, 3, 1)[pixels.coarse] * pixels.allowed).sum(1)
        probability = probability.masked_fill(~pixels.known, 2.0)
        hard = probability <= self._recipe.ohem_threshold
        labels = pixels.labels.numel()
        kept = min(max(1, int(self._recipe.ohem_min_kept * labels)), labels)
        if int(hard.sum()) >= kept:
            return hard
        # the kept-th lowest probability; beyond 1 where fewer pixels are known, which then all count
        return pixels.known & (probability <= probability.flatten().kthvalue(kept).values)


def _distilling(logits: Tensor, soft: Tensor, pixels: Tensor, temperature: float) -> Tensor:
    """The summed cross entropy of the pixels that the teacher's classes cover.

    Args:
        logits: (N, classes, h, w).
        soft: the teacher's probabilities, likewise.
        pixels: bool (N, h, w), those that count.
        temperature: T.
    """
    covered = soft.sum(1)
    counts = pixels & (covered > _LEAST_COVERED)
    teacher = soft if temperature == 1 else soft.pow(1 / temperature)
    teacher = teacher / teacher.sum(1, keepdim=True).clamp_min(1e-6)
    losses = -(teacher * F.log_softmax(logits / temperature, 1)).sum(1)
    return temperature**2 * (losses * counts).sum()


def _guiding(of_coarse: Tensor, soft: Tensor, pixels: _Pixels, crops: Tensor) -> Tensor:
    """The summed cross entropy among the classes that coarse labels allow, where the teacher gives these something.

    Args:
        of_coarse: logits (M, classes) of the coarse pixels.
        soft: the teacher's probabilities, (N, classes, h, w).
        pixels: of the target.
        crops: bool (N,), those that count.
    """
    counts = crops[:, None, None].expand_as(pixels.coarse)[pixels.coarse]  # (M,)
    teacher = soft.permute(0, 2, 3, 1)[pixels.coarse] * pixels.allowed
    given = teacher.sum(1)
    counts = counts & (given > _LEAST_ALLOWED)
    within = F.log_softmax(of_coarse.masked_fill(~pixels.allowed, -torch.inf), 1).masked_fill(~pixels.allowed, 0)
    losses = -(teacher / given.clamp_min(1e-6)[:, None] * within).sum(1)
    return (losses * counts).sum()


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
