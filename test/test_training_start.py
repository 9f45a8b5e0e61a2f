import logging
from pathlib import Path

import pytest
import torch
from random_network import random_network
from safetensors.torch import save_file

from fanet_ros.errors import SettingError, WeightsError
from fanet_ros.model.network import FANet
from fanet_ros.training.recipe_learning import NetworkRecipe
from fanet_ros.training.start import set_mode, start_network

RECIPE = NetworkRecipe.model_validate({})


def start(
    classes: int = 5,
    auxiliary: bool = True,
    encoder: Path | None = None,
    weights: Path | None = None,
    **settings: object,
) -> FANet:
    torch.manual_seed(0)
    recipe = NetworkRecipe.model_validate(settings)
    return start_network(recipe, classes, auxiliary=auxiliary, encoder=encoder, weights=weights)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """An ImageNet encoder as torchvision names it: with a classifier, and without a projection in the first stage."""
    tensors = {
        name: tensor.contiguous()
        for name, tensor in random_network("resnet18", seed=7).resnet.state_dict().items()
        if not name.startswith("layer1.0.downsample")
    }
    tensors["fc.weight"], tensors["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    save_file(tensors, tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


def test_an_imagenet_encoder_is_taken_over(encoder: Path) -> None:
    expected = random_network("resnet18", seed=7).resnet.state_dict()
    fresh, loaded = start(), start(encoder=encoder)
    for name, tensor in loaded.resnet.state_dict().items():
        own = name.startswith("layer1.0.downsample") or name.endswith("num_batches_tracked")
        assert torch.equal(tensor, fresh.resnet.state_dict()[name] if own else expected[name]), name
    assert torch.equal(loaded.clslayer.conv_out.weight, fresh.clslayer.conv_out.weight)


def test_parts_of_the_encoder_can_start_at_random(encoder: Path) -> None:
    fresh, loaded = start(), start(encoder=encoder, encoder_without=["layer4"])
    assert torch.equal(loaded.resnet.layer4[1].conv2.weight, fresh.resnet.layer4[1].conv2.weight)
    assert not torch.equal(loaded.resnet.layer3[1].conv2.weight, fresh.resnet.layer3[1].conv2.weight)
    with pytest.raises(SettingError, match="no part 'layer9'"):
        start(encoder=encoder, encoder_without=["layer9"])


def test_another_encoder_is_refused(encoder: Path) -> None:
    with pytest.raises(WeightsError, match=r"layer1\.2\.conv1\.weight \(expected .* received nothing\).*resnet34"):
        start(encoder=encoder, backbone="resnet34")


def test_nothing_to_start_from_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        start()
    assert "starts from random numbers" in caplog.text and "--encoder" in caplog.text


@pytest.mark.parametrize("classes", [5, 3])
def test_a_trained_network_is_gone_on_from(tmp_path: Path, classes: int) -> None:
    trained = random_network("resnet18", classes=5, seed=3)
    path = tmp_path / "trained.safetensors"
    save_file(trained.state_dict(), path)
    network = start(classes=classes, weights=path)
    for name, tensor in trained.state_dict().items():
        if name.endswith("num_batches_tracked") or (name == "clslayer.conv_out.weight" and classes != 5):
            continue
        assert torch.equal(network.state_dict()[name], tensor), name
    with pytest.raises(WeightsError, match="FANet-18 of resnet18, but the recipe's network has resnet34"):
        start(weights=path, backbone="resnet34")


def test_frozen_parts_and_branches_without_gradients_are_not_trained() -> None:
    network = start(frozen=["resnet.conv1", "resnet.layer1"])
    fixed = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert "resnet.conv1.weight" in fixed and "resnet.layer1.0.conv1.weight" in fixed
    assert "resnet.layer2.0.conv1.weight" not in fixed
    # DistributedDataParallel needs every other parameter to have a gradient
    logits = network.train().forward_with_auxiliary(torch.randn(2, 3, 64, 64))
    sum(output.sum() for output in logits).backward()  # type: ignore[union-attr]
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == fixed
    with pytest.raises(SettingError, match="no part 'resnet.layer'"):
        start(frozen=["resnet.layer"])


def test_without_auxiliary_heads_all_gradients_exist_too() -> None:
    network = start(auxiliary=False)
    network.train()(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in network.parameters())


def test_batch_norm_can_be_frozen() -> None:
    network = start()
    set_mode(network, freeze_batch_norm=True)
    before = network.resnet.bn1.running_mean.clone()
    network(torch.randn(2, 3, 64, 64))
    assert torch.equal(network.resnet.bn1.running_mean, before)
    set_mode(network, freeze_batch_norm=False)
    network(torch.randn(2, 3, 64, 64))
    assert not torch.equal(network.resnet.bn1.running_mean, before)
