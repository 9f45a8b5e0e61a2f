"""Temporal fast attention against its definition: attention to all pixels of all frames at once."""

import pytest
import torch
from random_network import random_image, random_network
from reference_network import reference_logits
from torch import Tensor

from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.network import FANet, FANetConfig, state_size


@pytest.fixture(scope="module")
def network() -> FANet:
    return random_network("resnet18", auxiliary=True)


def video(frames: int, batch: int = 1) -> list[Tensor]:
    """Frames so unlike each other that it matters which of them are remembered."""
    lights = torch.randn(frames, batch, 3, 1, 1, generator=torch.Generator().manual_seed(3))
    return [random_image(batch, 64, 96, seed=10 + number) + 2 * light for number, light in enumerate(lights)]


@torch.no_grad()
def stream(network: FANet, frames: list[Tensor], temporal_frames: int) -> tuple[Tensor, Tensor]:
    """Logits of the last frame, and the state after it."""
    state = torch.zeros(len(frames[0]), temporal_frames - 1, network.state_size)
    for frame in frames:
        logits, state = network.forward_video(frame, state)
    return logits, state


@pytest.mark.parametrize("temporal_frames", [2, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_streaming_is_attention_to_all_frames_at_once(network: FANet, temporal_frames: int, length: int) -> None:
    frames = video(length)
    logits, _ = stream(network, frames, temporal_frames)
    earlier = frames[-temporal_frames:-1]
    expected = reference_logits(network.state_dict(), frames[-1], earlier)["main"]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    if earlier:  # else nothing would be shown by it
        assert (logits - reference_logits(network.state_dict(), frames[-1])["main"]).abs().max() > 0.02


def test_auxiliary_heads_look_back_as_well(network: FANet) -> None:
    frames = video(2)
    _, state = stream(network, frames[:1], 2)
    with torch.no_grad():
        logits = network.forward_with_auxiliary(frames[1], state)
    expected = reference_logits(network.state_dict(), frames[1], frames[:1])
    for head, tensor in expected.items():
        torch.testing.assert_close(getattr(logits, head), tensor, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temporal_frames", [2, 4])
def test_empty_memory_is_the_network_for_images_bit_for_bit(network: FANet, temporal_frames: int) -> None:
    image = random_image(2, 64, 96)
    state = torch.zeros(2, temporal_frames - 1, network.state_size)
    with torch.no_grad():
        assert torch.equal(network.forward_video(image, state)[0], network(image))
        for head, expected in zip(
            network.forward_with_auxiliary(image, state), network.forward_with_auxiliary(image), strict=True
        ):
            assert torch.equal(head, expected)


def test_a_frame_that_was_dropped_does_not_contribute(network: FANet) -> None:
    frames = video(3)
    with torch.no_grad():
        _, state = stream(network, frames[:2], 3)
        state[:, 0, 0] = 0  # the newest is not there, whatever its contexts hold
        logits, _ = network.forward_video(frames[2], state)
    alone, _ = stream(network, [frames[0], frames[2]], 2)
    torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-5)


def test_videos_of_a_batch_do_not_mix(network: FANet) -> None:
    frames = video(3, batch=2)
    both, _ = stream(network, frames, 3)
    for place in (0, 1):
        alone, _ = stream(network, [frame[place : place + 1] for frame in frames], 3)
        torch.testing.assert_close(both[place : place + 1], alone, rtol=1e-4, atol=1e-4)


def test_the_state_holds_the_newest_frame_first_and_forgets_the_oldest(network: FANet) -> None:
    frames = video(4)
    _, before = stream(network, frames[:3], 3)
    _, after = stream(network, frames, 3)
    assert torch.equal(after[:, 1], before[:, 0])
    assert torch.equal(after[:, :, 0], torch.ones(1, 2))
    _, alone = stream(network, frames[3:], 2)
    assert torch.equal(after[:, 0], alone[:, 0])


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 30721), ("resnet34", 30721), ("resnet50", 122881)])
def test_a_state_is_small(backbone: str, size: int) -> None:
    assert state_size(FANetConfig(backbone, 19)) == size


def test_the_graph_remembers_too(network: FANet) -> None:
    graph = FrameToLogits(network)
    frames = torch.randint(0, 256, (2, 1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalised = [graph.normalise(frame.permute(0, 3, 1, 2).float()) for frame in frames]
    expected, expected_state = stream(network, normalised, 2)
    state = torch.zeros(1, 1, network.state_size)
    with torch.no_grad():
        for frame in frames:
            logits, state = graph(frame, state)
    assert torch.equal(logits, expected) and torch.equal(state, expected_state)
