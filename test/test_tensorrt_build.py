"""Engines of a real FANet, parsed and built by a real TensorRT; tensorrt_rtx needs no GPU for it."""

import logging
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.backends.tensorrt import build as tensorrt_build
from fanet_ros.backends.tensorrt.api import EngineError, library
from fanet_ros.backends.tensorrt.quantise import MODEL, find_quantised, quantise, quantised_key
from fanet_ros.errors import BackendError, SourceError
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size

WIDTH, HEIGHT = 128, 96


def installed() -> bool:
    try:
        library()
    except BackendError:
        return False
    return True


needs_library = pytest.mark.skipif(not installed(), reason="neither tensorrt nor tensorrt_rtx is installed")
builds = pytest.mark.skipif(
    not installed() or (library().name == "tensorrt" and not torch.cuda.is_available()),
    reason="no TensorRT here that builds without a GPU (tensorrt_rtx does)",
)


def smooth_image(seed: int, height: int, width: int) -> np.ndarray:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed)) * 255
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255)
    return fine[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quantised network, calibrated on images of two sizes."""
    folder = tmp_path_factory.mktemp("quantised")
    seen: list[int] = []
    images = (smooth_image(seed, 96 + 16 * (seed % 2), 128) for seed in range(6))
    quantise(DEFAULT_WEIGHTS, images, folder, progress=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in folder.iterdir()] == [MODEL]
    return folder


def store_quantised(quantised: Path) -> None:
    digest = artefacts.weights_digest(DEFAULT_WEIGHTS)
    assert find_quantised(digest) is None
    artefacts.store(
        quantised_key(digest), lambda folder: (folder / MODEL).write_bytes((quantised / MODEL).read_bytes())
    )
    assert find_quantised(digest) is not None


def build(folder: Path, precision: str, **options: int) -> None:
    folder.mkdir()
    tensorrt_build.build(
        folder,
        weights=str(DEFAULT_WEIGHTS),
        precision=precision,
        width=WIDTH,
        height=HEIGHT,
        device="cuda:0",
        **options,
    )


def test_quantised_network_has_the_form_tensorrt_reads(quantised: Path) -> None:
    model = onnx.load(quantised / MODEL)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 40
    for node in convolutions:
        for value in node.input[:2]:  # the activation and the weight
            assert producers[value].op_type == "DequantizeLinear"
        assert len(node.input) < 3 or tensors[node.input[2]].dtype == np.float32  # the bias
    zero_points = [tensors[n.input[2]] for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zero_points)
    assert sum(zero.size > 1 for zero in zero_points) >= len(convolutions)  # weights: one scale per output channel


def test_quantised_network_decides_like_the_exact_one(quantised: Path) -> None:
    session = onnxruntime.InferenceSession(quantised / MODEL, providers=["CPUExecutionProvider"])
    image = smooth_image(77, 120, 160)[None]
    logits = session.run(None, {"frame": image})[0]
    with torch.inference_mode():
        exact = FrameToLogits(load_network(DEFAULT_WEIGHTS))(torch.from_numpy(image)).numpy()
    assert np.abs(logits - exact).max() > 0, "it must really have been quantised"
    assert (logits.argmax(1) == exact.argmax(1)).mean() > 0.9


def test_calibration_needs_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be calibrated without images"):
        quantise(DEFAULT_WEIGHTS, [], tmp_path)
    assert list(tmp_path.iterdir()) == []


@builds
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_engine_is_built(
    precision: str, tmp_path: Path, cache: Path, quantised: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if precision == "int8":
        store_quantised(quantised)
    with caplog.at_level(logging.WARNING):
        build(tmp_path / "engine", precision)
    engine = (tmp_path / "engine" / tensorrt_build.ENGINE).read_bytes()
    parameters = 4 * sum(p.numel() for p in load_network(DEFAULT_WEIGHTS).parameters())  # bytes in fp32
    share = {"fp32": 1.0, "fp16": 0.5, "int8": 0.25}[precision]
    assert 0.9 * share < len(engine) / parameters < 1.6 * share  # the weights really are of that precision
    assert not (tmp_path / "engine" / "model.onnx").exists()


@builds
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engine_for_videos_is_built(
    precision: str, tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        build(tmp_path / "engine", precision, temporal_frames=3)
    engine = (tmp_path / "engine" / tensorrt_build.ENGINE).read_bytes()
    assert b"next_state" in engine


@builds
def test_int8_for_videos_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BackendError, match="no int8 with a memory, but temporal_frames 2 was asked for; use precision"):
        build(tmp_path / "engine", "int8", temporal_frames=2)


@builds
def test_int8_without_calibration_says_what_to_do(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BackendError, match="int8 needs a calibration.*fanet calibrate .* --backend tensorrt"):
        build(tmp_path / "engine", "int8")


@builds
def test_network_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(BackendError, match="cannot read the network: .*"):
        library().build(path, Size(64, 64), "fp32")
    frame = onnx.helper.make_tensor_value_info("frame", onnx.TensorProto.UINT8, [1, None, None, 3])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node("NoSuchOperator", ["frame"], ["logits"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "graph", [frame], [logits])), path)
    with pytest.raises(BackendError, match="cannot read the network: .*NoSuchOperator"):
        library().build(path, Size(64, 64), "fp32")


def test_latest_timing_cache_is_used_again(tmp_path: Path) -> None:
    assert tensorrt_build._earlier_timing_cache(tmp_path) == b""
    for age, name in ((30, "tensorrt_10_fp16_640x360"), (10, "tensorrt_10_fp16_1280x720"), (20, "tensorrt_8_fp32")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "timing.cache").write_bytes(name.encode())
        os.utime(folder / "timing.cache", (1e9 - age, 1e9 - age))
    assert tensorrt_build._earlier_timing_cache(tmp_path) == b"tensorrt_10_fp16_1280x720"


@needs_library
def test_damaged_engine_is_told_apart() -> None:
    with pytest.raises(EngineError, match="cannot load the engine: "):
        library().load(b"not an engine")
