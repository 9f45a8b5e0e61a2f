"""What a network starts from: ImageNet's encoder, a trained FANet, or random numbers; and what of it stays fixed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from fanet_ros.errors import SettingError, WeightsError
from fanet_ros.model.network import FANet, FANetConfig
from fanet_ros.model.weights import load_weights, read_tensors
from fanet_ros.training.recipe_learning import NetworkRecipe

# The first block of stage 1 has a projection that an ordinary ResNet lacks, because FANet's stage 1 has stride 2.
_NEVER_PRETRAINED = ("layer1.0.downsample.",)
_NOT_OF_THE_ENCODER = ("fc.",)
# Branches that lead nowhere in training either; published checkpoints hold them.
_UNUSED = ("fam_8.smooth.", "fam_4.up.")

_log = logging.getLogger(__name__)


def start_network(
    recipe: NetworkRecipe,
    classes: int,
    *,
    auxiliary: bool,
    encoder: Path | None = None,
    weights: Path | None = None,
    resuming: bool = False,
) -> FANet:
    """Build a network and what it starts from; random parts follow torch's global random numbers.

    Args:
        recipe: of the network.
        classes: that it tells apart.
        auxiliary: whether it has auxiliary heads.
        encoder: ImageNet weights of its encoder with torchvision's names; None for none.
        weights: a trained FANet of the same backbone to go on from; heads for another number of classes start at
            random. None for none.
        resuming: whether a checkpoint replaces all of it anyway.

    Raises:
        WeightsError: a file cannot be read or does not fit.
        SettingError: `frozen` or `encoder_without` names nothing.
    """
    network = FANet(FANetConfig(recipe.backbone, classes, auxiliary))
    if encoder is not None:
        _load_encoder(network, encoder, recipe.encoder_without)
    if weights is not None:
        _load_fanet(network, weights)
    if encoder is None and weights is None and not resuming:
        _log.warning(
            "the network starts from random numbers, which takes far more data and time: give --encoder with ImageNet "
            "weights of %s (torchvision's file), or --weights with a trained FANet",
            recipe.backbone,
        )
    _freeze(network, recipe.frozen)
    return network


def set_mode(network: nn.Module, freeze_batch_norm: bool) -> None:
    """Put a network into training mode; with frozen batch norm, its statistics stay as they are."""
    network.train()
    if freeze_batch_norm:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
                module.eval()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and every part of it back into its own afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _load_encoder(network: FANet, path: Path, without: tuple[str, ...]) -> None:
    """Load a torchvision ResNet into the encoder, all of it but what FANet's encoder has of its own."""
    tensors = {
        name.removeprefix("resnet."): tensor
        for name, tensor in read_tensors(path).items()
        if not name.removeprefix("resnet.").startswith(_NOT_OF_THE_ENCODER)
    }
    expected = {
        name: tensor
        for name, tensor in network.resnet.state_dict().items()
        if not name.startswith(_NEVER_PRETRAINED) and not name.endswith("num_batches_tracked")
    }
    for part in without:
        if not any(_begins(name, part) for name in expected):
            raise SettingError(f"encoder_without: the encoder has no part {part!r}; parts are conv1, layer1 ... layer4")
        expected = {name: tensor for name, tensor in expected.items() if not _begins(name, part)}
    unfit = [
        f"{name} (expected {tuple(tensor.shape)}, "
        f"received {tuple(tensors[name].shape) if name in tensors else 'nothing'})"
        for name, tensor in expected.items()
        if name not in tensors or tensors[name].shape != tensor.shape
    ]
    if unfit:
        raise WeightsError(
            f"{path}: {len(unfit)} of {len(expected)} tensors of {network.config.backbone} are missing or of another "
            f"shape, first {unfit[0]}; give torchvision's weights of {network.config.backbone}"
        )
    network.resnet.load_state_dict({name: tensors[name].float() for name in expected}, strict=False)


def _load_fanet(network: FANet, path: Path) -> None:
    """Load a trained FANet; its classifiers only where they tell as many classes apart."""
    loaded = load_weights(path, auxiliary=True)
    if loaded.config.backbone != network.config.backbone:
        raise WeightsError(
            f"{path}: a {loaded.config.name} of {loaded.config.backbone}, but the recipe's network has "
            f"{network.config.backbone}; set network.backbone, or give other weights"
        )
    own = network.state_dict()
    fitting: Mapping[str, Tensor] = {
        name: tensor for name, tensor in loaded.state_dict.items() if name in own and own[name].shape == tensor.shape
    }
    if loaded.config.classes != network.config.classes:
        _log.info(
            "%s tells %d classes apart, not %d: the classifiers start at random",
            path,
            loaded.config.classes,
            network.config.classes,
        )
    network.load_state_dict(fitting, strict=False)


def _freeze(network: FANet, parts: tuple[str, ...]) -> None:
    """Exclude parts from training: what the recipe names, and what gets no gradients anyway."""
    names = [name for name, _ in network.named_parameters()]
    for part in parts:
        if not any(_begins(name, part) for name in names):
            raise SettingError(f"frozen: the network has no part {part!r}; its parts are named as {names[0]}")
    for name, parameter in network.named_parameters():
        unused = name.startswith(_UNUSED) or (not network.config.auxiliary and name.startswith("fam_32.smooth."))
        parameter.requires_grad_(not unused and not any(_begins(name, part) for part in parts))
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise SettingError(f"frozen: {', '.join(parts)} leave nothing to train")


def _begins(name: str, part: str) -> bool:
    """Whether a tensor's name is that of a part or lies within it."""
    return name == part or name.startswith(part.rstrip(".") + ".")
