"""What earlier frames of a clip leave in the network's memory while it learns."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fanet_ros.model.network import FANet
from fanet_ros.model.temporal import ContextMemory
from fanet_ros.training.start import evaluating


def remember(network: FANet, images: Tensor, known: Tensor, *, through_time: bool = False) -> Tensor:
    """Return the state that earlier frames leave, as `FANet.forward_video` takes it.

    Of an earlier frame only its contexts K^T V matter, and these come from the encoder: no frame depends on another,
    and nothing is decoded. Earlier frames are normalised by the running statistics of batch norm, as on a robot, and
    change none: their own would be those of a batch of another size, whose known frames differ from step to step.

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
    entries_of = _Entries(network)
    with evaluating(network), nullcontext() if through_time else torch.no_grad():
        if through_time:
            # the present frame will change the running statistics in place, and torch would not notice
            statistics = {name: buffer.clone() for name, buffer in entries_of.named_buffers()}
            entries = functional_call(entries_of, statistics, (images[known],))
        else:
            entries = entries_of(images[known])
    # autocast of older torch keeps weights that it converted, here without gradients, for the present frame as well
    torch.clear_autocast_cache()
    return state.index_put((known,), entries)


class _Entries(nn.Module):
    """Images to what a state holds of each, float32 (M, state_size)."""

    def __init__(self, network: FANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        network = self.network
        attentions = (network.fam_4, network.fam_8, network.fam_16, network.fam_32)
        stages = network.resnet(images)
        memory = ContextMemory(images.new_zeros(len(images), 1, network.state_size, dtype=torch.float32))
        memory.mean_with([attention.context(stage) for attention, stage in zip(attentions, stages, strict=True)])
        return memory.next_state()[:, 0]
