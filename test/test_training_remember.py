import pytest
import torch
from random_network import random_network
from torch import Tensor, nn

from fanet_ros.model.network import FANet
from fanet_ros.training.remember import remember


@pytest.fixture
def network() -> FANet:
    return random_network("resnet18", auxiliary=True).train()


def frames(seed: int = 0) -> Tensor:
    return torch.randn(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


ALL = torch.ones(2, 2, dtype=torch.bool)


def test_the_state_is_the_one_that_a_robot_would_have(network: FANet) -> None:
    images = frames()
    network.fam_4.up.eval()
    statistics = network.resnet.bn1.running_mean.clone()
    state = remember(network, images, ALL)
    # the network is left as it was
    assert network.training and network.resnet.bn1.training and not network.fam_4.up.bn.training
    assert torch.equal(network.resnet.bn1.running_mean, statistics)
    assert not state.requires_grad

    expected = torch.zeros(2, 2, network.state_size)
    with torch.no_grad():
        for place in (1, 0):  # the oldest first
            _, expected = network.eval().forward_video(images[:, place], expected)
    torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-4)


def test_frames_that_are_not_known_leave_nothing(network: FANet) -> None:
    known = torch.tensor([[True, False], [False, False]])
    state = remember(network, frames(), known)
    assert torch.equal(state[~known], torch.zeros(3, network.state_size))
    torch.testing.assert_close(state[0, 0], remember(network, frames(), ALL)[0, 0], rtol=1e-4, atol=1e-4)
    nothing = remember(network, frames(), torch.zeros_like(ALL))
    assert torch.equal(nothing, torch.zeros(2, 2, network.state_size))


def gradients(momentum: float = 0.1, **settings: bool) -> dict[str, Tensor]:
    """Of a network that learns from a frame and what was before it, with batch norm that learns as well."""
    network = random_network("resnet18").train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    state = remember(network, frames(), ALL, **settings)
    network.forward_video(frames(9)[:, 0], state)[0].square().mean().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def test_gradients_flow_through_time_if_they_shall() -> None:
    """What earlier frames leave is one more way on which the encoder, keys and values act on the result."""
    present, through = gradients(), gradients(through_time=True)
    assert present.keys() == through.keys()
    changed = {name for name in present if not torch.allclose(through[name], present[name], rtol=1e-3, atol=1e-7)}
    assert {"resnet.conv1.weight", "fam_32.w_ks.conv.weight", "fam_4.w_vs.conv.weight"} <= changed
    assert not {"clslayer.conv_out.weight", "fam_4.w_qs.conv.weight", "fam_32.latlayer3.conv.weight"} & changed


def test_gradients_through_time_are_of_the_statistics_that_were_used() -> None:
    """The present frame changes the running statistics before the gradients of the past are computed."""
    changing, fixed = (gradients(momentum, through_time=True) for momentum in (0.1, 0.0))
    for name, gradient in changing.items():
        torch.testing.assert_close(gradient, fixed[name], msg=name)


def test_under_autocast_the_present_frame_keeps_its_gradients(network: FANet) -> None:
    """Older torch keeps weights that autocast converted without gradients; these must not serve for the present."""
    with torch.autocast("cpu", torch.bfloat16):
        state = remember(network, frames(), ALL)
        logits, _ = network.forward_video(frames(9)[:, 0], state)
    assert state.dtype == torch.float32
    logits.float().square().mean().backward()
    for name in ("resnet.conv1.weight", "fam_32.w_ks.conv.weight", "fam_4.w_vs.conv.weight"):
        gradient = network.get_parameter(name).grad
        assert gradient is not None and gradient.abs().max() > 0, name
