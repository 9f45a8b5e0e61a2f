"""Logits to labels in one Triton kernel: nothing of the size classes x height x width is ever in memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import triton  # type: ignore[import-not-found, unused-ignore]  # it comes with torch's CUDA builds alone
import triton.language as tl  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.settings import Size

_BLOCK = 256  # pixels of one row per program; eight neighbours share the four logits they lie between


def fused_labels_from_logits(
    logits: Tensor,
    size: Size,
    *,
    confidence: bool = False,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
    probabilities: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Do what fanet_ros.labelling.postprocess_torch.labels_from_logits says, for logits on a GPU."""
    logits = logits.float().contiguous()
    ordered = None
    if label_of is not None:  # those of one label follow one another
        order, ordered = _order_on(logits.device, label_of.tobytes())
        logits = logits[order]
    classes, height, width = logits.shape
    labels = torch.empty((size.height, size.width), dtype=torch.uint8, device=logits.device)
    sureness = torch.empty_like(labels) if confidence else None
    _decide_pixels[(triton.cdiv(size.width, _BLOCK), size.height)](
        logits,
        labels,
        sureness if sureness is not None else labels,  # not written without confidence
        labels if ordered is None else ordered,  # not read where no classes are merged
        height,
        width,
        size.width,
        _step(height, size.height, align_corners),
        _step(width, size.width, align_corners),
        classes=classes,
        with_confidence=confidence,
        merged=label_of is not None,
        half_pixel=not align_corners,
        probabilities=probabilities,
        block=_BLOCK,
    )
    return labels, sureness


@lru_cache(maxsize=8)
def _order_on(device: torch.device, label_of: bytes) -> tuple[Tensor, Tensor]:
    """Return the classes in the order of their labels, and these labels; kept, as a capture may not copy to a GPU."""
    labels = torch.tensor(list(label_of), dtype=torch.int32)
    order = labels.argsort(stable=True)
    return order.to(device), labels[order].to(device)


def _step(grid_side: int, side: int, align_corners: bool) -> float:
    """Grid points per pixel, rounded as torch rounds it."""
    if not align_corners:
        return float(np.float32(grid_side) / np.float32(side))
    return float(np.float32(grid_side - 1) / np.float32(side - 1)) if side > 1 else 0.0


# Arguments have no annotations but tl.constexpr: Triton looks up every name in them when it compiles, and knows no Any.
@triton.jit
def _bilinear(corner, right, down, dx, dy, mask):  # type: ignore[no-untyped-def]
    """Mix four logits of one class, the upper left one of which `corner` points at."""
    upper = (1 - dx) * tl.load(corner, mask, 0.0) + dx * tl.load(corner + right, mask, 0.0)
    lower = (1 - dx) * tl.load(corner + down, mask, 0.0) + dx * tl.load(corner + down + right, mask, 0.0)
    return (1 - dy) * upper + dy * lower


@triton.jit
def _decide_pixels(  # type: ignore[no-untyped-def]
    logits,
    labels,
    sureness,
    label_of,
    height,
    width,
    label_width,
    step_y,
    step_x,
    classes: tl.constexpr,
    with_confidence: tl.constexpr,
    merged: tl.constexpr,
    half_pixel: tl.constexpr,
    probabilities: tl.constexpr,
    block: tl.constexpr,
):
    """Decide `block` pixels of one row."""
    row = tl.program_id(1)
    column = tl.program_id(0) * block + tl.arange(0, block)
    mask = column < label_width
    if half_pixel:
        y = tl.maximum((row.to(tl.float32) + 0.5) * step_y - 0.5, 0.0)
        x = tl.maximum((column.to(tl.float32) + 0.5) * step_x - 0.5, 0.0)
    else:
        y = row.to(tl.float32) * step_y
        x = column.to(tl.float32) * step_x
    top = tl.minimum(y.to(tl.int32), height - 1)
    left = tl.minimum(x.to(tl.int32), width - 1)
    dy = y - top.to(tl.float32)
    dx = x - left.to(tl.float32)
    down = tl.where(top < height - 1, width, 0)
    right = tl.where(left < width - 1, 1, 0)
    plane = height * width
    corner = logits + top * width + left

    best = _bilinear(corner, right, down, dx, dy, mask)
    label = tl.zeros((block,), tl.int32)
    for number in range(1, classes):
        value = _bilinear(corner + number * plane, right, down, dx, dy, mask)
        # NaN exceeds every number, and of equals the first stays, as in torch.max
        wins = (value > best) | ((value != value) & (best == best))
        best = tl.where(wins, value, best)
        label = tl.where(wins, number, label)
    target = row * label_width + column

    if merged:
        # softmax at its own maximum, added up label by label; a sum only grows, so its last comparison counts
        most = tl.full((block,), -1.0, tl.float32)
        own_sum = tl.zeros((block,), tl.float32)
        total = tl.zeros((block,), tl.float32)
        before = -1
        for number in range(classes):
            own = tl.load(label_of + number)
            value = _bilinear(corner + number * plane, right, down, dx, dy, mask)
            if not probabilities:
                value = tl.exp(value - best)
            own_sum = tl.where(own == before, own_sum, 0.0) + value
            before = own
            total += value
            label = tl.where(own_sum > most, own, label)
            most = tl.maximum(own_sum, most)
        tl.store(labels + target, label.to(tl.uint8), mask)
        if with_confidence:
            sure = tl.minimum(tl.maximum(most, 0.0), 1.0) if probabilities else most / total
            tl.store(sureness + target, (255 * sure + 0.5).to(tl.uint8), mask)
    else:
        tl.store(labels + target, label.to(tl.uint8), mask)
        if with_confidence and probabilities:
            tl.store(sureness + target, (255 * tl.minimum(tl.maximum(best, 0.0), 1.0) + 0.5).to(tl.uint8), mask)
        elif with_confidence:
            # softmax at its own maximum: exp(0) / sum(exp(l - max)); a second pass, as the maximum was unknown
            total = tl.zeros((block,), tl.float32)
            for number in range(classes):
                total += tl.exp(_bilinear(corner + number * plane, right, down, dx, dy, mask) - best)
            tl.store(sureness + target, (255 / total + 0.5).to(tl.uint8), mask)
