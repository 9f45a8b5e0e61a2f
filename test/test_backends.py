import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from fanet_ros.backends import create_backend
from fanet_ros.errors import BackendError
from fanet_ros.graph import FrameToLogits
from fanet_ros.postprocess import labels_from_logits
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size
from fanet_ros.weights import load_network

IMAGE = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (72, 120, 3), np.uint8), (0, 0), 6)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; this machine has none")


@pytest.fixture(scope="module")
def reference_logits() -> np.ndarray:
    """Logits of the plain network: batch norm not folded, contiguous, single precision."""
    with torch.inference_mode():
        return FrameToLogits(load_network(DEFAULT_WEIGHTS))(torch.from_numpy(IMAGE)[None])[0].numpy()


def test_torch_on_the_cpu_matches_the_plain_network(reference_logits: np.ndarray) -> None:
    backend = create_backend(DEFAULT_WEIGHTS, device="cpu")
    logits = backend.infer(IMAGE)
    assert (backend.info.name, backend.info.device, backend.info.precision) == ("torch", "cpu", "fp32")
    assert backend.classes == 11
    assert logits.shape == (11, 9, 15) and logits.dtype == np.float32
    np.testing.assert_allclose(logits, reference_logits, atol=1e-3)


def test_segment_decides_what_infer_says() -> None:
    backend = create_backend(DEFAULT_WEIGHTS, device="cpu")
    labels, confidence = backend.segment(IMAGE, Size(240, 144), confidence=True)
    expected, expected_confidence = labels_from_logits(
        torch.from_numpy(backend.infer(IMAGE)), Size(240, 144), confidence=True
    )
    np.testing.assert_array_equal(labels, expected.numpy())
    assert confidence is not None and expected_confidence is not None
    np.testing.assert_array_equal(confidence, expected_confidence.numpy())


def test_bf16_on_the_cpu_is_close(reference_logits: np.ndarray) -> None:
    backend = create_backend(DEFAULT_WEIGHTS, device="cpu", precision="bf16")
    assert backend.info.precision == "bf16"
    logits = backend.infer(IMAGE)
    assert (logits.argmax(0) == reference_logits.argmax(0)).mean() > 0.9
    assert np.abs(logits - reference_logits).max() > 0, "bf16 must really have been used"


def test_fp16_on_the_cpu_says_what_to_use() -> None:
    with pytest.raises(BackendError, match="fp16 needs a CUDA GPU; on the CPU use fp32 or bf16"):
        create_backend(DEFAULT_WEIGHTS, device="cpu", precision="fp16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_missing_gpu_is_explained() -> None:
    with pytest.raises(BackendError, match="'cuda' was asked for, but this torch .*use device cpu or auto"):
        create_backend(DEFAULT_WEIGHTS, device="cuda")
    assert "found no CUDA GPU" in create_backend(DEFAULT_WEIGHTS).info.reason


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(("precision", "agreement"), [("fp32", 0.999), ("fp16", 0.99), ("bf16", 0.95)])
def test_torch_on_cuda(reference_logits: np.ndarray, precision: str, agreement: float) -> None:
    backend = create_backend(DEFAULT_WEIGHTS, device="cuda", precision=precision)
    logits = backend.infer(IMAGE)
    assert (logits.argmax(0) == reference_logits.argmax(0)).mean() >= agreement


@pytest.mark.gpu
@needs_cuda
def test_gpu_that_does_not_exist() -> None:
    with pytest.raises(BackendError, match="'cuda:99' was asked for, but there are"):
        create_backend(DEFAULT_WEIGHTS, device="cuda:99")


def test_threads_are_honoured() -> None:
    code = (
        "import fanet_ros.backends as b, fanet_ros.resources as r\n"
        "b.create_backend(r.DEFAULT_WEIGHTS, device='cpu', threads=3)\n"
        "import torch, os; print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])\n"
        "b.create_backend(r.DEFAULT_WEIGHTS, device='cpu', threads=0)\n"
        "print(torch.get_num_threads() == len(os.sched_getaffinity(0)))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    output = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.split() == ["3", "PASSIVE", "True"]


def test_choosing_imports_no_framework() -> None:
    code = "import sys, fanet_ros.segmenter, fanet_ros.cli; print(sorted({'torch', 'rclpy'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"
