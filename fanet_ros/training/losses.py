"""Losses of hard, coarse and soft labels, on the main and the auxiliary heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import IGNORED
from fanet_ros.model.network import AuxiliaryLogits
from fanet_ros.training.recipe_data import MixedPart, SoftRecipe, TrainingPart
from fanet_ros.training.recipe_learning import LossRecipe

_LOG_OFFSET = 1.05
_LEAST_COVERED = 0.5  # share of a pixel that soft labels must give to the network's classes to count


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


class _Coarse(NamedTuple):
    """What crops with coarse labels should become; M of the N crops have any."""

    crops: Tensor  # int64 (M,), which of the N
    pixels: Tensor  # bool (M, h, w), those of a label that stands for several classes
    allowed: Tensor  # bool (M, classes, h, w), everything for the other pixels
    teacher: Tensor | None  # float32 (M, classes, h, w), probabilities of the allowed; None without soft labels
    guided: Tensor  # float32 (M, h, w), weight of the guiding loss of each pixel


class _Distilled(NamedTuple):
    """What the crops of one data set should become by their teacher; M of the N crops are of it."""

    crops: Tensor  # int64 (M,), which of the N
    teacher: Tensor  # float32 (M, classes, h, w), probabilities, softened by the temperature
    weights: Tensor  # float32 (M, h, w), of each pixel
    temperature: float


class _Pixels(NamedTuple):
    """A target at the loss's resolution, as all heads are compared with it."""

    labels: Tensor  # int64 (N, h, w)
    known: Tensor  # bool (N, h, w), not IGNORED
    weights: Tensor  # float32 (N, h, w), by class; 0 where not known
    part_weights: Tensor  # float32 (N, 1, 1), of the hard and coarse labels of each crop
    coarse: _Coarse | None
    distilled: tuple[_Distilled, ...]  # of each data set that is learned from a teacher


class SegmentationLoss:
    """The loss of a batch, as its recipe says.

    Hard labels: cross entropy. Coarse labels: -log of the summed probability of the classes that a pixel may be
    (learning from partial labels; of one class it is the cross entropy). Both are one mean, weighted by class.

    Soft labels: cross entropy between the probabilities of a teacher and the network's, both softened by the
    temperature T and the loss multiplied by T^2 (Hinton et al., arXiv 1503.02531, section 2). Where a coarse label is
    known, both are restricted to the classes that it allows, with T = 1: the label says what a pixel may be, the
    teacher which of these it is, with the weight that it gives to all of them. Without such a guide, classes within a
    coarse label collapse into one.
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
        # which classes a number of the label space may be; those that are no coarse label may be all
        self._allowed: Tensor | None = None
        if members is not None and len(members):
            self._allowed = torch.ones(IGNORED + 1, classes, dtype=torch.bool, device=members.device)
            self._allowed[classes : classes + len(members)] = members
        self._soft = [part.soft for part in parts]
        mixed = [part.share if isinstance(part, MixedPart) else 0.0 for part in parts[1:]]
        self._shares = [1 - sum(mixed), *mixed]
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
            return self._of_head(logits, pixels)
        auxiliary = self._of_head(logits.stage_32, pixels) + self._of_head(logits.stage_16, pixels)
        return self._of_head(logits.main, pixels) + self._recipe.auxiliary_weight * auxiliary

    @torch.no_grad()
    def _pixels(self, target: Target) -> _Pixels:
        labels = shrink_labels(target.labels, self._recipe.resolution).long()
        known = labels != IGNORED
        weights = known.float()
        if self._weights is not None:
            weights = weights * self._weights[labels.where(known, 0)]
        part_weights = torch.tensor(self._part_weights, device=labels.device)[target.parts][:, None, None]
        is_coarse = known & (labels >= self._classes)
        coarse = self._coarse(labels, is_coarse, target) if bool(is_coarse.any()) else None
        distilled = tuple(self._distilled(known, is_coarse, target))
        return _Pixels(labels, known, weights, part_weights, coarse, distilled)

    def _coarse(self, labels: Tensor, is_coarse: Tensor, target: Target) -> _Coarse:
        assert self._allowed is not None, "labels beyond the classes need to be told what they may be"
        crops = is_coarse.flatten(1).any(1).nonzero()[:, 0]
        pixels = is_coarse[crops]
        allowed = self._allowed[labels[crops]].permute(0, 3, 1, 2)
        guided = torch.zeros_like(pixels, dtype=torch.float32)
        if target.soft is None:
            return _Coarse(crops, pixels, allowed, None, guided)
        teacher = target.soft[crops] * allowed
        given = teacher.sum(1)
        for part, recipe, count in self._taught(target):
            # counted by what it gives to the group: where it sees something else, its rest says little about the group
            chosen = (target.parts[crops] == part)[:, None, None] & pixels
            guided += chosen * given * (recipe.weight / count)
        return _Coarse(crops, pixels, allowed, teacher / given.clamp_min(1e-6)[:, None], guided)

    def _distilled(self, known: Tensor, is_coarse: Tensor, target: Target) -> Iterator[_Distilled]:
        """What is learned from teachers where no coarse label is known.

        The weights that a training starts from are to be improved: where an exact label is known, they have no say.
        """
        for part, recipe, count in self._taught(target):
            if recipe.use == "distil":
                assert target.soft is not None
                crops = (target.parts == part).nonzero()[:, 0]
                soft = target.soft[crops]
                free = ~known if recipe.from_weights else ~is_coarse
                chosen = free[crops] & (soft.sum(1) > _LEAST_COVERED)
                softened = soft if recipe.temperature == 1 else soft.pow(1 / recipe.temperature)
                teacher = softened / softened.sum(1, keepdim=True).clamp_min(1e-6)
                weights = chosen * (recipe.weight * recipe.temperature**2 / count)
                yield _Distilled(crops, teacher, weights, recipe.temperature)

    def _taught(self, target: Target) -> Iterator[tuple[int, SoftRecipe, float]]:
        """The data sets of a batch that have a teacher: which, how, and how many pixels a batch has of them on average.

        Losses are means over that many; pixels that teach nothing count as 0. The average, not this batch's number: so
        a crop counts the same however many there are beside it, and on however many processes they lie.
        """
        if target.soft is None:
            return
        pixels = len(target.parts) * target.soft[0, 0].numel()
        for part, recipe in enumerate(self._soft):
            if recipe is not None and bool((target.parts == part).any()):
                yield part, recipe, self._shares[part] * pixels

    def _of_head(self, logits: Tensor, pixels: _Pixels) -> Tensor:
        logits = F.interpolate(logits.float(), pixels.labels.shape[-2:], mode="bilinear", align_corners=True)
        losses = F.cross_entropy(
            logits,
            pixels.labels.masked_fill(pixels.labels >= self._classes, IGNORED),
            weight=None if self._weights is None else self._weights[: self._classes],
            ignore_index=IGNORED,
            label_smoothing=self._recipe.label_smoothing,
            reduction="none",
        )  # (N, h, w)
        soft = logits.new_zeros(())
        if pixels.coarse is not None:
            coarse = pixels.coarse
            own = logits[coarse.crops]
            within = own.masked_fill(~coarse.allowed, -torch.inf).logsumexp(1)  # (M, h, w)
            surprise = (own.logsumexp(1) - within) * pixels.weights[coarse.crops] * coarse.pixels
            losses = losses.index_add(0, coarse.crops, surprise)
            if coarse.teacher is not None:
                soft = soft + ((within - (coarse.teacher * own).sum(1)) * coarse.guided).sum()
        for distilled in pixels.distilled:
            own = logits[distilled.crops] / distilled.temperature
            soft = soft + ((own.logsumexp(1) - (distilled.teacher * own).sum(1)) * distilled.weights).sum()
        chosen = pixels.known
        if self._recipe.kind == "ohem":
            with torch.no_grad():
                chosen = self._hard(logits, pixels)
        hard = (losses * chosen * pixels.part_weights).sum() / (pixels.weights * chosen).sum().clamp_min(1e-6)
        return hard + soft

    def _hard(self, logits: Tensor, pixels: _Pixels) -> Tensor:
        """Which pixels count: those whose true class is improbable, but never fewer than the recipe's share."""
        probabilities, labels = logits.softmax(1), pixels.labels
        probability = probabilities.gather(1, labels.where(labels < self._classes, 0)[:, None])[:, 0]
        if pixels.coarse is not None:
            of_any = (probabilities[pixels.coarse.crops] * pixels.coarse.allowed).sum(1)
            probability[pixels.coarse.crops] = of_any.where(pixels.coarse.pixels, probability[pixels.coarse.crops])
        probability = probability.masked_fill(~pixels.known, 2.0)
        hard = probability <= self._recipe.ohem_threshold
        kept = min(max(1, int(self._recipe.ohem_min_kept * labels.numel())), labels.numel())
        if int(hard.sum()) >= kept:
            return hard
        # the kept-th lowest probability; beyond 1 where fewer pixels are known, which then all count
        return pixels.known & (probability <= probability.flatten().kthvalue(kept).values)


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
