"""From logits to labels and confidence with torch: the twin of fanet_ros.labelling.postprocess for logits on a GPU."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.labelling.postprocess import nearest
from fanet_ros.model.labels import UNLABELLED
from fanet_ros.settings import Size

_log = logging.getLogger(__name__)


def labels_from_logits(
    logits: Tensor,
    size: Size,
    *,
    confidence: bool = False,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
    probabilities: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Upsample logits and decide every pixel: bilinear, then argmax.

    On a GPU one fused Triton kernel does it where Triton works (it comes with torch's CUDA builds).

    Args:
        logits: float, (classes, h, w), on any device; computed in float32 whatever their type.
        size: of the result in pixels.
        confidence: whether to compute the probability of the label.
        label_of: uint8, (classes,), the label that each class stands for, as fanet_ros.labelling.postprocess says;
            None: its own number.
        align_corners: as torch's interpolate has it.
        probabilities: whether `logits` are probabilities, whose largest (or largest sum) is the confidence.

    Returns:
        labels: uint8, (size.height, size.width), class ids; of classes with equal logits, or merged ones with equal
            sums, the lowest id. Of NaN and numbers NaN, but of merged classes anything.
        confidence: uint8, same shape, probability x 255 rounded to the nearest; None if not asked for.
    """
    if logits.is_cuda and _fused_kernel_works():
        from fanet_ros.labelling.postprocess_triton import fused_labels_from_logits

        chosen = fused_labels_from_logits
    else:
        chosen = dense_labels_from_logits
    return chosen(
        logits,
        size,
        confidence=confidence,
        label_of=label_of,
        align_corners=align_corners,
        probabilities=probabilities,
    )


def dense_labels_from_logits(
    logits: Tensor,
    size: Size,
    *,
    confidence: bool = False,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
    probabilities: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Do the same with plain torch functions, through logits of the full size: slow, but plainly right."""
    shape = (size.height, size.width)
    enlarged = F.interpolate(logits.float()[None], shape, mode="bilinear", align_corners=align_corners)[0]
    if label_of is not None:
        labels, best = decide_merged(enlarged if probabilities else enlarged.softmax(0), label_of)
        return labels, best.clamp_(0, 1).mul_(255).round_().to(torch.uint8) if confidence else None
    best, labels = enlarged.max(0)  # on the CPU eight times faster than argmax(0), with the same answer
    if not confidence:
        return labels.to(torch.uint8), None
    if probabilities:
        return labels.to(torch.uint8), best.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    # softmax at its own maximum: exp(0) / sum(exp(l - max))
    probability = enlarged.sub_(best).exp_().sum(0).reciprocal_()
    return labels.to(torch.uint8), probability.mul_(255).round_().to(torch.uint8)


def decide_merged(probabilities: Tensor, label_of: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Add up the probabilities of classes that stand for one label, and decide.

    Args:
        probabilities: float, (classes, ...), or any multiple of them.
        label_of: uint8, (classes,).

    Returns:
        labels: uint8, (...), with the largest sum, the lowest of equals.
        sums: float, (...), the largest.
    """
    labels = torch.zeros(probabilities.shape[1:], dtype=torch.uint8, device=probabilities.device)
    most = torch.full_like(probabilities[0], -torch.inf)  # below sums of nothing but zeros, too
    for label in np.unique(label_of):
        total = torch.zeros_like(most)
        for own in np.flatnonzero(label_of == label):  # one by one: an index on the host cannot be captured on a GPU
            total += probabilities[own]
        labels.masked_fill_(total > most, int(label))
        most = torch.maximum(most, total)
    return labels, most


def enlarge_labels(
    numbers: Tensor,
    size: Size,
    classes: int,
    *,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
) -> Tensor:
    """Enlarge labels that a network has decided itself: each pixel takes the nearest one's.

    Args:
        numbers: float, (1, h, w), class ids; whatever is none (negative, `classes` or more, NaN) becomes 255.
        size: of the result in pixels.
        classes: number of classes, 1 to 255.
        label_of: uint8, (classes,), the label that each class stands for; None: its own number.
        align_corners: as for `labels_from_logits`.

    Returns:
        uint8, (size.height, size.width).
    """
    grid = numbers[0]
    labels = torch.where((grid >= 0) & (grid < classes), grid, float(UNLABELLED)).to(torch.uint8)
    if label_of is not None:
        merged = torch.full_like(labels, UNLABELLED)
        for own, label in enumerate(label_of):  # no table, as a capture may not copy to a GPU
            merged.masked_fill_(labels == own, int(label))
        labels = merged
    rows, columns = (
        nearest(torch.arange(pixels, device=grid.device), points, pixels, align_corners)
        for points, pixels in zip(grid.shape, (size.height, size.width), strict=True)
    )
    return labels[rows[:, None], columns]


def has_triton() -> bool:
    """Whether Triton is installed."""
    return find_spec("triton") is not None


@cache
def _fused_kernel_works() -> bool:
    """Try the fused kernel once: Triton also needs a C compiler, which a robot may lack."""
    if not has_triton():
        return False
    try:
        from fanet_ros.labelling.postprocess_triton import fused_labels_from_logits

        fused_labels_from_logits(torch.zeros(2, 2, 2, device="cuda"), Size(4, 4), confidence=True)
    except Exception as error:  # Triton raises what its compiler, the C compiler and the driver raise
        reason = (str(error).splitlines() or [""])[0]
        _log.warning(
            "Triton cannot compile the label kernel (%s: %s), so every frame takes longer and more memory; does it "
            "find a C compiler?",
            type(error).__name__,
            reason,
        )
        return False
    return True
