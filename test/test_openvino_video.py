"""The memory that is built into a network in OpenVINO's form, and networks that cannot have one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_network import random_network

from fanet_ros.backends.openvino.loading import import_openvino, openvino_core
from fanet_ros.backends.openvino.video import STATE_INPUT, STATE_OUTPUT, add_state, state_size
from fanet_ros.errors import BackendError
from fanet_ros.model.graph import STATE_INPUT_NAME, STATE_OUTPUT_NAME, FrameToLogits, export_onnx, prepare_for_inference

SHAPE = (2, 64, 96, 3)


@pytest.fixture(scope="module", params=["resnet18", "resnet50"])
def graph(request: pytest.FixtureRequest) -> FrameToLogits:
    return prepare_for_inference(FrameToLogits(random_network(request.param)))


@pytest.fixture(scope="module")
def path(graph: FrameToLogits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.onnx"
    export_onnx(graph, path, None)
    return path


def read(path: Path) -> Any:
    return openvino_core().read_model(path)


def test_names_are_those_of_the_exported_graph() -> None:
    """Which cannot be imported here, as it imports torch."""
    assert (STATE_INPUT, STATE_OUTPUT) == (STATE_INPUT_NAME, STATE_OUTPUT_NAME)


@pytest.mark.parametrize("temporal_frames", [2, 3])
def test_the_same_state_gives_the_same_logits_and_state(path: Path, graph: FrameToLogits, temporal_frames: int) -> None:
    model = read(path)
    assert state_size(model) == graph.network.state_size
    model.reshape(list(SHAPE))
    add_state(model, temporal_frames)
    run = import_openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    generator = np.random.default_rng(1)
    frames = generator.integers(0, 256, SHAPE, np.uint8)
    state = generator.normal(size=(2, temporal_frames - 1, graph.network.state_size)).astype(np.float32)
    state[:, :, 0] = 1
    state[0, -1] = 0  # the first video has one frame less
    found = run([frames, state])
    with torch.inference_mode():
        logits, following = graph(torch.from_numpy(frames), torch.from_numpy(state))
        alone = graph(torch.from_numpy(frames))
    np.testing.assert_allclose(found[0], logits, atol=1e-3)
    np.testing.assert_allclose(found[STATE_OUTPUT], following, atol=1e-3)
    assert (logits - alone).abs().max() > 0.05, "the state must matter"


def test_a_network_without_the_four_contexts_is_refused() -> None:
    ops = import_openvino().opset13
    frame = ops.parameter([1, 8, 8, 3], np.uint8, name="frame")
    keys = ops.constant(np.ones((1, 32, 64), np.float32))
    values = ops.constant(np.ones((1, 64, 48), np.float32))
    model = import_openvino().Model([ops.matmul(keys, values, False, False)], [frame])
    for refused in (lambda: state_size(model), lambda: add_state(model, 2)):
        with pytest.raises(BackendError, match=r"1 are contexts K\^T V, of \[48\] channels.*another precision"):
            refused()
