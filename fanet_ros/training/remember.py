"""What earlier frames of a clip leave in the network's memory while it learns."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fanet_ros.model.network import FANet
from fanet_ros.training.start import evaluating


def remember(network: FANet, images: Tensor, known: Tensor, *, through_time: bool = False) -> Tensor:
    """Return the state that earlier frames leave, as `FANet.forward_video` takes it.

    They are normalised by the running statistics of batch norm, as on a robot, and change none: their own would be
    those of a batch of another size, whose known frames differ from step to step.

    Args:
        network: in any mode.
        images: float (N, T - 1, 3, H, W), normalised, newest first.
        known: bool (N, T - 1); frames that are not known leave nothing, whatever their images hold.
        through_time: whether gradients flow back into how these frames were seen.

    Returns:
        Float32 (N, T - 1, network.state_size).
    """
    state = images.new_zeros(*known.shape, network.state_size, dtype=torch.float32)
    if not known.any():
        return state
    with evaluating(network), nullcontext() if through_time else torch.no_grad():
        if through_time:
            # the present frame will change the running statistics in place, and torch would not notice
            entry = _Entry(network)
            statistics = {name: buffer.clone() for name, buffer in entry.named_buffers()}
            entries = functional_call(entry, statistics, (images[known],))
        else:
            entries = network.entry(images[known])
    # autocast of older torch keeps weights that it converted, here without gradients, for the present frame as well
    torch.clear_autocast_cache()
    return state.index_put((known,), entries)


class _Entry(nn.Module):
    """`FANet.entry` as the module that functional_call asks for."""

    def __init__(self, network: FANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.entry(images)
