"""The torch backend against the plain network: on the CPU here, on CUDA where there is a GPU."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from fanet_ros.backends import torch_backend
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.cuda.path import CudaPath
from fanet_ros.backends.request import FrameRequest
from fanet_ros.backends.torch_backend import TorchBackend
from fanet_ros.errors import BackendError
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.labelling.postprocess import LabelBuffers, labels_from_logits
from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size

IMAGE = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (72, 120, 3), np.uint8), (0, 0), 6)
SIZE = Size(120, 72)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; this machine has none")


def new_backend(device: str = "cpu", precision: str = "fp32", **options: bool) -> TorchBackend:
    return TorchBackend(BackendRequest(DEFAULT_WEIGHTS, device, precision, reason="of the test"), **options)


@pytest.fixture(scope="module")
def reference_logits() -> np.ndarray:
    """Logits of the plain network: batch norm not folded, contiguous, single precision."""
    with torch.inference_mode():
        return FrameToLogits(load_network(DEFAULT_WEIGHTS))(torch.from_numpy(IMAGE)[None])[0].numpy()


def test_cpu_matches_the_plain_network(reference_logits: np.ndarray) -> None:
    backend = new_backend()
    logits = backend.infer(IMAGE)
    assert str(backend.info) == "torch on cpu in fp32 (of the test)"
    assert backend.classes == 11
    assert logits.shape == (11, 9, 15) and logits.dtype == np.float32
    np.testing.assert_allclose(logits, reference_logits, atol=1e-3)
    np.testing.assert_array_equal(backend.infer(np.frombuffer(IMAGE.tobytes(), np.uint8).reshape(IMAGE.shape)), logits)


def test_segment_decides_what_infer_says() -> None:
    backend = new_backend()
    frame = cv2.resize(IMAGE, (320, 200))
    out = backend.segment(FrameRequest(frame, "bgr8", Size(240, 144), confidence=True), SIZE)
    image = FrameResizer().to_network_input(frame, "bgr8", SIZE)
    expected = labels_from_logits(backend.infer(image), Size(240, 144), confidence=True)
    np.testing.assert_array_equal(out.labels, expected.labels)
    np.testing.assert_array_equal(out.confidence, expected.confidence)


def test_a_batch_computes_what_single_images_do() -> None:
    backend = new_backend()
    images = np.stack([IMAGE, IMAGE[:, ::-1], 255 - IMAGE])
    logits = backend.infer_batch(images)
    assert logits.shape == (3, 11, 9, 15) and logits.dtype == np.float32 and logits.flags.c_contiguous
    for image, found in zip(np.ascontiguousarray(images), logits, strict=True):
        np.testing.assert_allclose(found, backend.infer(image), atol=1e-4)
    backend.drop_batch(SIZE, 3)  # of which there is nothing to free
    requests = [FrameRequest(image, "bgr8", Size(240, 144)) for image in images]
    for request, result in zip(requests, backend.segment_batch(requests, SIZE), strict=True):
        assert isinstance(result, LabelBuffers)
        alone = backend.segment(FrameRequest(request.frame, "bgr8", Size(240, 144)), SIZE)
        assert (result.labels == alone.labels).mean() >= 0.999


def test_frames_that_one_graph_cannot_do_run_one_after_the_other() -> None:
    """On a GPU; its logic with CPU tensors here."""
    backend = new_backend()
    backend.path = CudaPath(lambda _: backend.graph, torch.device("cpu"))
    alike = [FrameRequest(IMAGE, "rgb8"), FrameRequest(255 - IMAGE, "rgb8")]
    different = [FrameRequest(IMAGE, "rgb8"), FrameRequest(255 - IMAGE, "bgr8")]
    for requests, batches in ((alike, [2]), (different, [])):
        results = backend.segment_batch(requests, SIZE)
        assert [key.batch for key in backend.path._batch_functions] == batches
        for request, result in zip(requests, results, strict=True):
            assert isinstance(result, LabelBuffers)
            alone = backend.segment(FrameRequest(request.frame, request.encoding, SIZE), SIZE)
            assert (result.labels == alone.labels).mean() >= 0.999
        backend.drop_batch(SIZE, 2)
    np.testing.assert_allclose(backend.infer_batch(IMAGE[None].repeat(2, 0))[1], backend.infer(IMAGE), atol=1e-4)


def test_bf16_on_the_cpu(reference_logits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_backend, "has_native_bf16", lambda: True)  # torch emulates it anywhere
    assert TorchBackend.precisions("cpu") == ("bf16", "fp32")
    logits = new_backend(precision="bf16").infer(IMAGE)
    assert (logits.argmax(0) == reference_logits.argmax(0)).mean() > 0.9
    assert np.abs(logits - reference_logits).max() > 0, "bf16 must really have been used"


def test_precisions_that_the_cpu_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_backend, "has_native_bf16", lambda: False)
    assert TorchBackend.precisions("cpu") == ("fp32",)
    for precision in ("bf16", "fp16", "int8"):
        with pytest.raises(BackendError, match=f"torch on cpu does not compute in {precision} here; use one of fp32"):
            new_backend(precision=precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_missing_gpu_is_explained() -> None:
    assert TorchBackend.find_device("auto") == TorchBackend.find_device("cpu") == "cpu"
    with pytest.raises(BackendError, match="'cuda' was asked for, but|no NVIDIA driver"):
        TorchBackend.find_device("cuda")


def test_threads_are_honoured() -> None:
    code = (
        "import fanet_ros.resources as r, torch, os\n"
        "from fanet_ros.backends.base import BackendRequest\n"
        "from fanet_ros.backends.torch_backend import TorchBackend\n"
        "for threads in (3, 0):\n"
        "    TorchBackend(BackendRequest(r.DEFAULT_WEIGHTS, 'cpu', 'fp32', threads))\n"
        "    print(torch.get_num_threads())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # the tests' own
    output = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.split() == ["3", str(len(os.sched_getaffinity(0)))]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(("precision", "agreement"), [("fp32", 0.999), ("fp16", 0.99), ("bf16", 0.95)])
def test_cuda_matches_the_plain_network(reference_logits: np.ndarray, precision: str, agreement: float) -> None:
    backend = new_backend(TorchBackend.find_device("cuda"), precision)
    logits = backend.infer(IMAGE)
    assert (logits.argmax(0) == reference_logits.argmax(0)).mean() >= agreement
    out = backend.segment(FrameRequest(IMAGE, "rgb8", Size(240, 144), confidence=True), SIZE)
    labels, sureness = dense_labels_from_logits(torch.from_numpy(logits), Size(240, 144), confidence=True)
    assert (out.labels == labels.numpy()).mean() > 0.999
    assert out.confidence is not None and sureness is not None
    assert np.abs(out.confidence.astype(int) - sureness.numpy()).max() <= 1
    backend.close()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch about torch
def test_compiled_network_computes_the_same(reference_logits: np.ndarray) -> None:
    logits = new_backend("cuda:0", "fp16", compiled=True).infer(IMAGE)
    assert (logits.argmax(0) == reference_logits.argmax(0)).mean() >= 0.99


@pytest.mark.gpu
@needs_gpu
def test_gpu_that_does_not_exist() -> None:
    with pytest.raises(BackendError, match="'cuda:99' was asked for, but the NVIDIA driver finds"):
        TorchBackend.find_device("cuda:99")
