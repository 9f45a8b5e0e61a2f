"""Networks whose every tensor matters: random weights and, unlike a fresh network's, random batch norm statistics."""

import torch
from torch import nn

from fanet_ros.model.network import FANet, FANetConfig


def random_network(backbone: str, classes: int = 5, auxiliary: bool = False, seed: int = 0) -> FANet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FANet(FANetConfig(backbone, classes, auxiliary))
        for name, module in network.named_modules():
            if name.endswith("conv_out"):
                nn.init.kaiming_normal_(
                    module.weight
                )  # logits large enough for an absolute tolerance to mean something
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def random_image(*shape: int, seed: int = 1) -> torch.Tensor:
    """A normalised image of the given N, H, W."""
    batch, height, width = shape
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))
