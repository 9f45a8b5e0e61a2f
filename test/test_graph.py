"""The one graph every backend runs: its normalisation, its folded form and its ONNX export."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from random_network import random_network
from torch import nn

from fanet_ros.errors import SettingError
from fanet_ros.model.graph import (
    INPUT_NAME,
    OUTPUT_NAME,
    STATE_INPUT_NAME,
    STATE_OUTPUT_NAME,
    FrameToLogits,
    export_onnx,
    fold_batch_norm,
    prepare_for_inference,
    scale_attention,
)
from fanet_ros.model.network import BACKBONES, FANet, FANetConfig
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size


def random_frames(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def graph() -> FrameToLogits:
    return FrameToLogits(load_network(DEFAULT_WEIGHTS)).eval()


def run_onnx(path: Path, frames: torch.Tensor) -> torch.Tensor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_inputs()] == [INPUT_NAME]
    (logits,) = session.run([OUTPUT_NAME], {INPUT_NAME: frames.numpy()})
    return torch.from_numpy(logits)


def test_the_normalisation_is_where_the_network_is() -> None:
    network = FANet(FANetConfig("resnet18", 3)).to("meta")
    assert FrameToLogits(network).scale.device.type == "meta"


def test_frames_are_normalised_as_the_encoder_was_trained(graph):
    frames = random_frames(2, 90, 121)
    mean = np.array([0.485, 0.456, 0.406])
    std = np.array([0.229, 0.224, 0.225])
    images = ((frames.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        logits = graph(frames)
        expected = graph.network(torch.from_numpy(images).float())
        swapped = graph(frames.flip(-1))
    assert logits.shape == (2, 11, 12, 16)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert (swapped - expected).abs().max() > 0.1  # the order of the channels matters


def test_normalisation_adds_nothing_to_the_weights(graph):
    assert set(graph.state_dict()) == {f"network.{name}" for name in graph.network.state_dict()}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_folding_batch_norm_changes_no_logits(backbone):
    graph = FrameToLogits(random_network(backbone)).train()
    before = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
    folded = fold_batch_norm(graph)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert graph.training and not folded.training
    frames = random_frames(1, 97, 131)
    with torch.inference_mode():
        expected = graph.eval()(frames)
        logits = folded(frames)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    for name, tensor in graph.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # the original is left alone


def with_large_values(network: FANet, factor: float = 4096.0) -> FANet:
    """The same function through attention values of many times their size."""
    with torch.no_grad():
        for stage in (network.fam_4, network.fam_8, network.fam_16, network.fam_32):
            stage.w_vs.bn.weight *= factor
            stage.w_vs.bn.bias *= factor
            stage.latlayer3.conv.weight /= factor
    return network


def test_scaling_attention_changes_no_bit():
    folded = fold_batch_norm(FrameToLogits(random_network("resnet18")))
    scaled = scale_attention(folded)
    frames = random_frames(1, 97, 131)
    with torch.inference_mode():
        feature = torch.randn(1, 64, 5, 7)
        context, scaled_context = (graph.network.fam_4.context(feature) for graph in (folded, scaled))
        assert torch.equal(scaled(frames), folded(frames))
    assert torch.equal(scaled_context * 2**7, context)


def test_half_precision_survives_large_attention_sums():
    network = with_large_values(random_network("resnet18"))
    frames = random_frames(1, 128, 256)
    plain = fold_batch_norm(FrameToLogits(network))
    sums: list[float] = []
    context = plain.network.fam_4.context
    plain.network.fam_4.context = lambda feature: sums.append(context(feature).abs().max().item()) or context(feature)
    with torch.inference_mode():
        expected = plain(frames)
        overflown = plain.half()(frames)
    logits = prepare_for_inference(FrameToLogits(network)).half()(frames).detach()
    assert sums[0] > torch.finfo(torch.float16).max and expected.std() > 0.1
    assert not overflown.isfinite().all()
    assert logits.isfinite().all()
    # half precision has 11 bits; a few hundred layers of rounding leave about a hundredth of the logits' spread
    assert (logits - expected).abs().mean() < 0.01 * expected.std()


def test_half_precision_survives_keys_and_queries_of_zero():
    network = random_network("resnet18")
    for stage in (network.fam_8, network.fam_32):
        for projection in (stage.w_qs, stage.w_ks):
            for parameter in projection.bn.parameters():
                nn.init.zeros_(parameter)
    with torch.inference_mode():
        assert prepare_for_inference(FrameToLogits(network)).half()(random_frames(1, 64, 64)).isfinite().all()


def test_conversion_leaves_normalisation_in_single_precision():
    graph = prepare_for_inference(FrameToLogits(random_network("resnet18")))
    scale, offset = graph.scale.clone(), graph.offset.clone()
    graph.half()
    assert graph.network.clslayer.conv_out.weight.dtype == torch.float16
    assert torch.equal(graph.scale, scale) and torch.equal(graph.offset, offset)
    assert graph.to("meta").scale.device.type == "meta"


@pytest.mark.parametrize("half", [False, True])
def test_onnx_of_open_size_fits_every_size(graph, tmp_path, half):
    path = tmp_path / "fanet.onnx"
    exported = prepare_for_inference(graph)
    export_onnx(exported.half() if half else exported, path, None)
    for height, width in ((64, 96), (97, 131)):
        frames = random_frames(1, height, width)
        with torch.inference_mode():
            expected = graph(frames)
        logits = run_onnx(path, frames)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected, atol=0.1 if half else 1e-3, rtol=0)


def test_onnx_gives_the_same_logits_at_an_odd_size(graph, tmp_path):
    path = tmp_path / "fanet.onnx"
    path.write_bytes(b"the file of before")
    with path.open("rb") as reader:  # who reads while the file is replaced reads the old one to its end
        export_onnx(graph, path, Size(641, 361))
        assert reader.read() == b"the file of before"
    frames = random_frames(1, 361, 641)
    with torch.inference_mode():
        expected = graph(frames)
    logits = run_onnx(path, frames)
    assert logits.shape == (1, 11, 46, 81)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=0)
    assert list(tmp_path.iterdir()) == [path]


def test_onnx_of_folded_and_training_mode(graph, tmp_path):
    """Whatever form or mode the graph is in, the file computes what eval mode does."""
    frames = random_frames(1, 64, 97)
    with torch.inference_mode():
        expected = graph(frames)
    path = tmp_path / "fanet.onnx"
    training = FrameToLogits(load_network(DEFAULT_WEIGHTS)).train()
    for variant in (fold_batch_norm(graph), training):
        export_onnx(variant, path, Size(97, 64))
        torch.testing.assert_close(run_onnx(path, frames), expected, atol=1e-3, rtol=0)
    assert training.training


@pytest.mark.parametrize("half", [False, True])
def test_onnx_for_videos_carries_their_state(graph, tmp_path, half):
    path = tmp_path / "fanet.onnx"
    exported = prepare_for_inference(graph)
    export_onnx(exported.half() if half else exported, path, None if half else Size(131, 97), temporal_frames=3)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_inputs()] == [INPUT_NAME, STATE_INPUT_NAME]
    state, expected_state = np.zeros((2, 1, 2, graph.network.state_size), np.float32)
    for frame in random_frames(3, 1, 97, 131):
        logits, state = session.run(
            [OUTPUT_NAME, STATE_OUTPUT_NAME], {INPUT_NAME: frame.numpy(), STATE_INPUT_NAME: state}
        )
        with torch.inference_mode():
            expected, following = graph(frame, torch.from_numpy(expected_state))
        expected_state = following.numpy()
        assert logits.dtype == state.dtype == np.float32 and state.shape == expected_state.shape
        np.testing.assert_allclose(logits, expected, atol=0.1 if half else 1e-3)
    assert state[0, :, 0].tolist() == [1, 1]


def test_failed_export_leaves_the_old_file_and_no_rest(graph, tmp_path):
    class BrokenNetwork(FANet):
        def forward(self, image):
            raise ArithmeticError("broken")

    path = tmp_path / "fanet.onnx"
    path.write_bytes(b"the file of before")
    with pytest.raises(ArithmeticError):
        export_onnx(FrameToLogits(BrokenNetwork(FANetConfig("resnet18", 2))), path, Size(64, 64))
    assert path.read_bytes() == b"the file of before"
    assert list(tmp_path.iterdir()) == [path]


def test_unusable_arguments_are_refused(graph, tmp_path):
    with pytest.raises(SettingError, match="at least 1, got 0 x 64 and 1"):
        export_onnx(graph, tmp_path / "fanet.onnx", Size(64, 0))
    with pytest.raises(SettingError, match="at least 1, got 64 x 64 and 0"):
        export_onnx(graph, tmp_path / "fanet.onnx", Size(64, 64), temporal_frames=0)
    with pytest.raises(SettingError, match="cannot write the ONNX file .*No such file or directory"):
        export_onnx(graph, tmp_path / "absent" / "fanet.onnx", Size(64, 64))
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingError, match="cannot write the ONNX file .*[Dd]irectory"):
        export_onnx(graph, tmp_path / "folder", Size(64, 64))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
