"""FANet against a reference written apart from it, and against the published parameter counts and costs."""

from math import ceil

import pytest
import torch
from random_network import random_image, random_network
from reference_network import reference_logits
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from fanet_ros.errors import SettingError
from fanet_ros.model.network import BACKBONES, FANet, FANetConfig
from fanet_ros.resources import DEFAULT_WEIGHTS

# Published figures for 19 classes: millions of parameters, and 10^9 multiply-accumulates per input size.
PUBLISHED_PARAMETERS = {"resnet18": 13.8, "resnet34": 23.9}
PUBLISHED_MACS = {
    "resnet18": {(1024, 2048): 47.4, (720, 960): 15.8, (512, 1024): 11.9, (360, 640): 5.3},
    "resnet34": {(1024, 2048): 66.7, (720, 960): 22.3, (512, 1024): 16.7, (360, 640): 7.5},
}


def on_meta(config: FANetConfig) -> FANet:
    """A network that has shapes only: no memory, no time."""
    with torch.device("meta"):
        return FANet(config).eval()


def count_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def shipped() -> FANet:
    network = FANet(FANetConfig("resnet18", 11))
    network.load_state_dict(load_file(DEFAULT_WEIGHTS))  # strict: the names are those of the published layout
    return network.eval()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("resnet101", 19), "unknown backbone 'resnet101'.*resnet18, resnet34, resnet50"),
        (("resnet18", 0), "from 1 to 255, got 0"),
        (("resnet18", 256), "got 256"),
        (("resnet18", 2.0), "got 2.0"),
        (("resnet18", True), "got True"),
        (("resnet18", 19, 1), "auxiliary must be True or False, got 1"),
    ],
)
def test_config_refuses_what_cannot_be_built(arguments, complaint):
    with pytest.raises(SettingError, match=complaint):
        FANetConfig(*arguments)


@pytest.mark.parametrize("backbone", PUBLISHED_PARAMETERS)
def test_parameter_count_is_the_published_one(backbone):
    parameters = count_parameters(on_meta(FANetConfig(backbone, 19)))
    assert parameters / 1e6 == pytest.approx(PUBLISHED_PARAMETERS[backbone], rel=0.01)


def test_auxiliary_heads_exist_only_on_request():
    plain = on_meta(FANetConfig("resnet18", 19))
    training = on_meta(FANetConfig("resnet18", 19, auxiliary=True))
    head = 128 * 64 * 9 + 2 * 64 + 64 * 19
    assert count_parameters(training) - count_parameters(plain) == 2 * head
    extra = set(training.state_dict()) - set(plain.state_dict())
    assert {name.split(".")[0] for name in extra} == {"clslayer_32", "clslayer_16"}
    with pytest.raises(SettingError, match="no auxiliary heads"):
        plain.forward_with_auxiliary(torch.empty(1, 3, 64, 64, device="meta"))


@pytest.mark.parametrize("backbone", PUBLISHED_MACS)
def test_cost_is_the_published_one(backbone):
    """To the last published digit, once the branch is added that the authors compute at inference but do not use."""
    network = on_meta(FANetConfig(backbone, 19))
    for (height, width), published in PUBLISHED_MACS[backbone].items():
        with FlopCounterMode(display=False) as forward:
            network(torch.empty(1, 3, height, width, device="meta"))
        with FlopCounterMode(display=False) as unused:
            network.fam_32.smooth(torch.empty(1, 512, ceil(height / 64), ceil(width / 64), device="meta"))
        macs, unused_macs = forward.get_total_flops() / 2e9, unused.get_total_flops() / 2e9
        assert macs + unused_macs == pytest.approx(published, abs=0.05)
        assert macs + unused_macs == pytest.approx(published, rel=0.01)
        assert 0 < unused_macs < 0.01 * macs


@pytest.mark.parametrize("backbone", BACKBONES)
def test_equals_reference(backbone):
    """In double precision, where only a difference of meaning is left, and in the precision that is shipped."""
    network = random_network(backbone, auxiliary=True)
    image = random_image(1, 150, 203)
    with torch.inference_mode():
        single = network.forward_with_auxiliary(image)
        plain = network(image)
        network.double()
        double = network.forward_with_auxiliary(image.double())
        expected = reference_logits(dict(network.state_dict()), image.double())
    assert expected.keys() == double._asdict().keys()
    for name, logits in expected.items():
        assert logits.std() > 0.1  # or the tolerance would say nothing
        torch.testing.assert_close(double._asdict()[name], logits, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(single._asdict()[name].double(), logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain, single.main, atol=1e-6, rtol=1e-6)


def test_trained_network_equals_reference_at_an_odd_size(shipped):
    image = random_image(1, 361, 641)
    with torch.inference_mode():
        logits = shipped(image)
        expected = reference_logits(dict(shipped.state_dict()), image)["main"]
    assert logits.shape == (1, 11, 46, 81)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 64), (63, 65), (100, 300), (361, 641)])
def test_logits_have_an_eighth_of_any_size(shipped, size):
    height, width = size
    with torch.inference_mode():
        logits = shipped(random_image(1, height, width))
    assert logits.shape == (1, 11, ceil(height / 8), ceil(width / 8))
    assert logits.isfinite().all()


def test_batch_equals_single_images(shipped):
    images = random_image(3, 97, 161)
    with torch.inference_mode():
        batch = shipped(images)
        singles = torch.cat([shipped(image[None]) for image in images])
    assert not torch.allclose(singles[0], singles[1], atol=0.01)
    torch.testing.assert_close(batch, singles, atol=1e-4, rtol=0)


def test_only_the_documented_branches_are_idle():
    """Inference leaves three branches out; training with auxiliary heads still leaves two."""
    network = random_network("resnet18", auxiliary=True).train()
    images = random_image(2, 128, 128)

    def idle(loss: torch.Tensor) -> set[str]:
        network.zero_grad(set_to_none=True)
        loss.backward()
        return {
            ".".join(name.split(".")[:2]) for name, parameter in network.named_parameters() if parameter.grad is None
        }

    main = network(images).square().mean()
    auxiliary_heads = {f"clslayer_{stage}.{part}" for stage in (32, 16) for part in ("conv", "conv_out")}
    assert idle(main) == {"fam_32.smooth", "fam_8.smooth", "fam_4.up"} | auxiliary_heads
    outputs = network.forward_with_auxiliary(images)
    assert idle(sum(logits.square().mean() for logits in outputs)) == {"fam_8.smooth", "fam_4.up"}
