"""Temporal fast attention: a frame attends to earlier frames, too, through their contexts K^T V."""

from __future__ import annotations

import torch
from torch import Tensor


class ContextMemory:
    """The contexts of past frames while one frame is decoded; without a state there are none.

    A state is all that is kept of the last T - 1 frames of N videos: float32 (N, T - 1, network.state_size), newest
    first. Of each frame it holds whether there was one (1 or 0) and its contexts, one after the other. Zeros mean that
    nothing was seen yet. It is an input and an output of the network, never hidden in it: so the graph can be exported.
    """

    def __init__(self, state: Tensor | None) -> None:
        self._state = state
        self._own: list[Tensor] = []

    def mean_with(self, own: list[Tensor]) -> list[Tensor]:
        """Return the mean of the frame's own contexts and those remembered: (1 / T) sum_i K_i^T V_i.

        The sum over frames of K^T V is K^T V over all pixels of all frames, so the mean says what attention to all of
        them at once would, at the cost of an addition.

        Args:
            own: contexts of the frame, (N, 32, C) for the C of each stage; kept for `next_state`.

        Returns:
            As many tensors of the same shapes and type; `own` itself where there is no state.
        """
        if self._state is None:
            return own
        self._own = own
        known, past = self._state[:, :, :1], self._state[:, :, 1:]  # (N, T - 1, 1), (N, T - 1, 32 * all C)
        frames = 1 + known.sum(1)  # (N, 1)
        total = (past * known).sum(1)  # (N, 32 * all C)
        sizes = [context.shape[1] * context.shape[2] for context in own]
        means = (
            (context.flatten(1).float() + part) / frames
            for context, part in zip(own, total.split(sizes, 1), strict=True)
        )
        return [mean.view_as(context).to(context.dtype) for mean, context in zip(means, own, strict=True)]

    def next_state(self) -> Tensor:
        """Return the state with the frame of `mean_with` in front and the oldest one gone."""
        assert self._state is not None and self._own
        flat = [context.flatten(1).float() for context in self._own]
        newest = torch.cat([torch.ones_like(flat[0][:, :1]), *flat], dim=1)[:, None]  # (N, 1, state_size)
        return torch.cat([newest, self._state[:, :-1]], dim=1)
