"""The one graph every backend runs: its normalisation, its folded form and its ONNX export."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from random_network import random_network
from torch import nn

from fanet_ros.errors import SettingError
from fanet_ros.graph import INPUT_NAME, OUTPUT_NAME, FrameToLogits, export_onnx, fold_batch_norm
from fanet_ros.network import BACKBONES
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.weights import load_network


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


def test_onnx_gives_the_same_logits_at_an_odd_size(graph, tmp_path):
    path = tmp_path / "fanet.onnx"
    path.write_bytes(b"the file of before")
    with path.open("rb") as reader:  # who reads while the file is replaced reads the old one to its end
        export_onnx(graph, path, 361, 641)
        assert reader.read() == b"the file of before"
    frames = random_frames(1, 361, 641)
    with torch.inference_mode():
        expected = graph(frames)
    logits = run_onnx(path, frames)
    assert logits.shape == (1, 11, 46, 81)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=0)
    assert list(tmp_path.iterdir()) == [path]


def test_onnx_of_folded_batch_and_training_mode(graph, tmp_path):
    """Whatever form or mode the graph is in, the file computes what eval mode does, for the batch asked for."""
    frames = random_frames(2, 64, 97)
    with torch.inference_mode():
        expected = graph(frames)
    path = tmp_path / "fanet.onnx"
    training = FrameToLogits(load_network(DEFAULT_WEIGHTS)).train()
    for variant in (fold_batch_norm(graph), training):
        export_onnx(variant, path, 64, 97, batch=2)
        torch.testing.assert_close(run_onnx(path, frames), expected, atol=1e-3, rtol=0)
    assert training.training


def test_failed_export_leaves_the_old_file_and_no_rest(graph, tmp_path):
    class BrokenNetwork(nn.Module):
        def forward(self, image):
            raise ArithmeticError("broken")

    path = tmp_path / "fanet.onnx"
    path.write_bytes(b"the file of before")
    with pytest.raises(ArithmeticError):
        export_onnx(FrameToLogits(BrokenNetwork()), path, 64, 64)
    assert path.read_bytes() == b"the file of before"
    assert list(tmp_path.iterdir()) == [path]


def test_unusable_arguments_are_refused(graph, tmp_path):
    with pytest.raises(SettingError, match="at least 1, got 1 x 0 x 64"):
        export_onnx(graph, tmp_path / "fanet.onnx", 0, 64)
    with pytest.raises(SettingError, match="cannot write the ONNX file .*No such file or directory"):
        export_onnx(graph, tmp_path / "absent" / "fanet.onnx", 64, 64)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingError, match="cannot write the ONNX file .*[Dd]irectory"):
        export_onnx(graph, tmp_path / "folder", 64, 64)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
