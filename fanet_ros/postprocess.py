"""From the network's 1/8-size logits to labels and confidence: the one exact step, the same for every backend."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fanet_ros.settings import Size


def labels_from_logits(logits: Tensor, size: Size, *, confidence: bool = False) -> tuple[Tensor, Tensor | None]:
    """Upsample logits and decide every pixel, as published: bilinear with align_corners=True, then argmax.

    Taking the argmax first and enlarging labels would be cheaper but moves class borders (7-8 % of the pixels).

    Args:
        logits: float, (classes, h, w), on any device; computed in float32 whatever their type.
        size: of the result in pixels.
        confidence: whether to compute the softmax probability of the winning class.

    Returns:
        labels: uint8, (size.height, size.width), class ids; of classes with equal logits the lowest id.
        confidence: uint8, same shape, probability x 255 rounded to the nearest; None if not asked for.
    """
    shape = (size.height, size.width)
    enlarged = F.interpolate(logits.float()[None], shape, mode="bilinear", align_corners=True)[0]
    best, labels = enlarged.max(0)  # on the CPU eight times faster than argmax(0), with the same answer
    if not confidence:
        return labels.to(torch.uint8), None
    # softmax at its own maximum: exp(0) / sum(exp(l - max))
    probability = enlarged.sub_(best).exp_().sum(0).reciprocal_()
    return labels.to(torch.uint8), probability.mul_(255).round_().to(torch.uint8)
