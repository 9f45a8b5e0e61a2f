"""The tensorrt backend: what it says where it cannot run, and what it computes where there is a GPU."""

import logging
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pytest
import torch

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.cuda import nvidia
from fanet_ros.backends.request import FrameRequest
from fanet_ros.backends.tensorrt import api as tensorrt_api
from fanet_ros.backends.tensorrt.backend import TensorrtBackend, _EngineOnDevice
from fanet_ros.backends.tensorrt.build import ENGINE, engine_key
from fanet_ros.errors import BackendError
from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size

IMAGE = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (72, 120, 3), np.uint8), (0, 0), 6)
SIZE = Size(120, 72)


def why_not() -> str:
    try:
        TensorrtBackend.find_device("cuda")
    except BackendError as error:
        return str(error)
    return ""


needs_tensorrt = pytest.mark.skipif(bool(why_not()), reason=f"TensorRT cannot run here: {why_not()}")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_cpu_is_refused() -> None:
    with pytest.raises(BackendError, match="runs on NVIDIA GPUs, but device 'cpu' .*use backend openvino or torch"):
        TensorrtBackend.find_device("cpu")


def test_missing_gpu_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "_DRIVER", "libno-such-driver.so")
    nvidia._driver.cache_clear()
    for device in ("auto", "cuda", "cuda:1"):
        with pytest.raises(BackendError, match="no NVIDIA driver is installed.*use device cpu"):
            TensorrtBackend.find_device(device)
    nvidia._driver.cache_clear()


def test_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_api, "_MODULES", ("no_such_tensorrt",))
    tensorrt_api.library.cache_clear()
    with pytest.raises(BackendError, match="needs TensorRT .*no_such_tensorrt.*pip install tensorrt-rtx-cu13"):
        tensorrt_api.library()
    tensorrt_api.library.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this torch has CUDA")
def test_torch_without_cuda_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    monkeypatch.setattr("fanet_ros.backends.tensorrt.backend.require_gpu", lambda index: None)
    monkeypatch.setattr("fanet_ros.backends.tensorrt.api.compute_capability", lambda index: (8, 6))
    with pytest.raises(BackendError, match="torch .* has no CUDA here; install a CUDA build"):
        TensorrtBackend.find_device("cuda:0")


@pytest.mark.parametrize(("capability", "runs"), [((7, 5), False), ((8, 9), True), ((9, 0), False), ((12, 1), True)])
def test_a_gpu_that_the_library_does_not_run_on_is_told_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], runs: bool
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    monkeypatch.setattr("fanet_ros.backends.tensorrt.api.compute_capability", lambda index: capability)
    monkeypatch.setattr("fanet_ros.backends.tensorrt.api.gpu_name", lambda index: "NVIDIA H200")
    if runs:
        tensorrt_api.library().require_supported(0)
        return
    version = "{}.{}".format(*capability)
    with pytest.raises(BackendError, match=rf"does not run on NVIDIA H200 \(compute capability {version}\).*or use"):
        tensorrt_api.library().require_supported(0)


def test_engine_that_cannot_be_loaded_is_built_once_more(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    key = ArtefactKey("ab" * 32, "tensorrt", "1", "fp16", SIZE, "a GPU")
    contents = [b"of an older version", b"good"]

    def obtain(backend: TensorrtBackend, size: Size) -> Path:
        return artefacts.find(key) or artefacts.store(
            key, lambda folder: (folder / ENGINE).write_bytes(contents.pop(0))
        )

    def load(backend: TensorrtBackend, folder: Path) -> object:
        if (folder / ENGINE).read_bytes() != b"good":
            raise tensorrt_api.EngineError("another version")
        return lambda frame: torch.zeros(1, 11, 9, 15)

    monkeypatch.setattr(TensorrtBackend, "_obtain", obtain)
    monkeypatch.setattr(TensorrtBackend, "_load_from", load)
    backend = TensorrtBackend(BackendRequest(DEFAULT_WEIGHTS, "cpu", "fp16"))  # as far as it goes without a GPU
    with caplog.at_level(logging.WARNING):
        backend.prepare(SIZE)
    assert "is built anew: another version" in caplog.text and not contents
    assert backend.infer(IMAGE).shape == (11, 9, 15)
    assert not backend.segment(FrameRequest(IMAGE, "rgb8", Size(50, 40)), SIZE).labels.any()
    assert backend.classes == 11 and "tensorrt" in backend.info.reason

    artefacts.discard(artefacts.find(key))
    contents[:] = [b"bad", b"still bad"]
    with pytest.raises(BackendError, match="another version"):
        TensorrtBackend(BackendRequest(DEFAULT_WEIGHTS, "cpu", "fp16")).prepare(SIZE)


def test_state_of_a_video_goes_through_the_engine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CPU tensors, and an engine that counts the frames it has seen."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)

    def count(network: _EngineOnDevice) -> None:
        network._tensors["logits"][0, 0] = network._tensors["state"][0, 0, 0]
        network._tensors["next_state"][:] = network._tensors["state"] + 1

    monkeypatch.setattr(_EngineOnDevice, "_enqueue", count)

    class Counts:
        shapes = MappingProxyType(
            {"frame": (1, 72, 120, 3), "state": (1, 2, 30721), "logits": (1, 11, 9, 15), "next_state": (1, 2, 30721)}
        )

        def bind(self, addresses: dict[str, int]) -> None:
            assert set(addresses) == set(self.shapes) and all(addresses.values())

    network = _EngineOnDevice(Counts(), torch.device("cpu"))  # type: ignore[arg-type]
    monkeypatch.setattr(TensorrtBackend, "_load", lambda backend, size: network)
    backend = TensorrtBackend(BackendRequest(DEFAULT_WEIGHTS, "cpu", "fp16", temporal_frames=3))
    first, second = backend.new_memory(), backend.new_memory()
    seen = [backend.infer(IMAGE, memory)[0, 0, 0] for memory in (first, first, second, first, None, second)]
    assert seen == [0, 1, 0, 2, 0, 1]
    assert (first.frames, second.frames) == (2, 2)
    assert not backend.segment(FrameRequest(IMAGE, "rgb8", Size(50, 40), memory=first), SIZE).labels.any()
    assert backend.infer(IMAGE, first)[0, 0, 0] == 4


def test_int8_on_videos_is_refused(cache: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    with pytest.raises(BackendError, match="no int8 with a memory"):
        TensorrtBackend(BackendRequest(DEFAULT_WEIGHTS, "cpu", "int8", temporal_frames=2))


def test_engines_for_videos_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    monkeypatch.setattr("fanet_ros.backends.tensorrt.build.gpu_name", lambda index: "a GPU")
    keys = [
        engine_key(BackendRequest(DEFAULT_WEIGHTS, "cuda:0", "fp16", temporal_frames=frames), SIZE)
        for frames in (1, 2, 3)
    ]
    assert len({key.folder_name for key in keys}) == 3
    assert [key.as_json().get("temporal_frames") for key in keys] == [None, 2, 3]


@pytest.mark.gpu
@needs_tensorrt
@pytest.mark.parametrize(("precision", "agreement"), [("fp32", 0.999), ("fp16", 0.99)])
def test_engine_matches_the_plain_network(cache: Path, precision: str, agreement: float) -> None:
    said: list[str] = []
    backend = TensorrtBackend(BackendRequest(DEFAULT_WEIGHTS, "cuda:0", precision, progress=said.append))
    with torch.inference_mode():
        expected = FrameToLogits(load_network(DEFAULT_WEIGHTS))(torch.from_numpy(IMAGE)[None])[0].numpy()
    logits = backend.infer(IMAGE)
    assert said and logits.shape == (11, 9, 15)
    assert (logits.argmax(0) == expected.argmax(0)).mean() >= agreement
    out = backend.segment(FrameRequest(IMAGE, "rgb8", Size(240, 144), confidence=True), SIZE)
    labels, _ = dense_labels_from_logits(torch.from_numpy(logits), Size(240, 144))
    assert (out.labels == labels.numpy()).mean() > 0.999
    backend.close()


@pytest.mark.gpu
@needs_tensorrt
def test_damaged_engine_is_built_anew(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    request = BackendRequest(DEFAULT_WEIGHTS, "cuda:0", "fp16")
    key = engine_key(request, SIZE)
    artefacts.store(key, lambda folder: (folder / ENGINE).write_bytes(b"not an engine"))
    with caplog.at_level(logging.WARNING):
        assert TensorrtBackend(request).infer(IMAGE).shape == (11, 9, 15)
    assert "is built anew" in caplog.text
