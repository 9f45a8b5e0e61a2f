"""Temporal fast attention: a frame attends to earlier frames, too, through their contexts K^T V.

A state is all that is kept of the last T - 1 frames of N videos: float32 (N, T - 1, network.state_size), newest first.
Of each frame it holds whether there was one (1 or 0) and its contexts, one after the other. Zeros mean that nothing was
seen yet. It is an input and an output of the network, never hidden in it: so the graph can be exported.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_with_past(own: list[Tensor], state: Tensor) -> list[Tensor]:
    """Return the mean of a frame's own contexts and those of a state: (1 / T) sum_i K_i^T V_i.

    The sum over frames of K^T V is K^T V over all pixels of all frames, so the mean says what attention to all of them
    at once would, at the cost of an addition.

    Args:
        own: contexts of the frame, (N, 32, C) for the C of each stage.
        state: of the videos.

    Returns:
        As many tensors of the same shapes and type.
    """
    known, past = state[:, :, :1], state[:, :, 1:]  # (N, T - 1, 1), (N, T - 1, 32 * all C)
    frames = 1 + known.sum(1)  # (N, 1)
    total = (past * known).sum(1)  # (N, 32 * all C)
    sizes = [context.shape[1] * context.shape[2] for context in own]
    means = (
        (context.flatten(1).float() + part) / frames for context, part in zip(own, total.split(sizes, 1), strict=True)
    )
    return [mean.view_as(context).to(context.dtype) for mean, context in zip(means, own, strict=True)]


def entry_of(own: list[Tensor]) -> Tensor:
    """Return what a state holds of a frame with these contexts, float32 (N, state_size)."""
    flat = [context.flatten(1).float() for context in own]
    return torch.cat([torch.ones_like(flat[0][:, :1]), *flat], dim=1)


def next_state(own: list[Tensor], state: Tensor) -> Tensor:
    """Return a state with the frame of these contexts in front and the oldest one gone."""
    return torch.cat([entry_of(own)[:, None], state[:, :-1]], dim=1)
