import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.backends import create_backend
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.openvino.backend import OpenvinoBackend, model_key
from fanet_ros.backends.processor import has_native_bf16
from fanet_ros.errors import BackendError, WeightsError
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size
from fanet_ros.sources import open_source

RNG = np.random.default_rng(5)
# each with sides that the network's strides do not divide
NOISE = cv2.GaussianBlur(RNG.integers(0, 256, (72, 121, 3), np.uint8), (0, 0), 6)


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    with open_source("street", width=325, height=203) as source:
        frame = source.read()
        assert frame is not None
        return np.ascontiguousarray(frame.image if frame.encoding == "rgb8" else frame.image[..., ::-1])


@pytest.fixture(scope="module")
def plain_network() -> FrameToLogits:
    """The network as it is written down: batch norm not folded, attention not rescaled, single precision."""
    return FrameToLogits(load_network(DEFAULT_WEIGHTS))


def plain_logits(network: FrameToLogits, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None])[0].numpy()


def start(precision: str, threads: int = 0, kept_sizes: int = 1) -> OpenvinoBackend:
    return OpenvinoBackend(BackendRequest(DEFAULT_WEIGHTS, "cpu", precision, threads, kept_sizes=kept_sizes))


@pytest.mark.parametrize(
    ("precision", "on_street", "on_noise"), [("fp32", 0.99, 0.98), ("bf16", 0.98, 0.9), ("int8", 0.95, 0.7)]
)
def test_matches_torch(
    precision: str, on_street: float, on_noise: float, plain_network: FrameToLogits, street: NDArray[np.uint8]
) -> None:
    if precision not in OpenvinoBackend.precisions("cpu"):
        pytest.skip(f"this processor has no {precision}")
    backend = start(precision)
    assert backend.classes == 11 and backend.info.precision == precision
    for image in (street, NOISE, street):  # back to a size that was there before
        logits, expected = backend.infer(image), plain_logits(plain_network, image)
        assert logits.shape == expected.shape and logits.dtype == np.float32
        assert (logits.argmax(0) == expected.argmax(0)).mean() >= (on_street if image is street else on_noise)
        difference = np.abs(logits - expected).max()
        assert difference < 1e-3 if precision == "fp32" else difference > 1e-3, "the precision was not used"


def test_another_size_needs_no_torch(street: NDArray[np.uint8]) -> None:
    """What was built for one input size serves all: a new camera must not cost a build."""
    start("fp32")
    code = (
        "import sys, numpy as np\n"
        "from fanet_ros.segmenter import Segmenter\n"
        "for size in ('96x64', '72x120'):\n"
        "    segmenter = Segmenter(backend='openvino', precision='fp32', input_size=size)\n"
        "    labels = segmenter.segment(np.zeros((40, 60, 3), np.uint8)).labels\n"
        "print(labels.shape, 'torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "(40, 60) False"


def test_threads_are_honoured() -> None:
    backend = start("fp32", threads=1)
    backend.prepare(Size(64, 64))
    assert backend._infer_requests[Size(64, 64)].get_compiled_model().get_property("INFERENCE_NUM_THREADS") == 1


def note_compilations(backend: OpenvinoBackend, monkeypatch: pytest.MonkeyPatch) -> list[Size | tuple[Size, int]]:
    compiled: list[Size | tuple[Size, int]] = []
    compile_really = backend._compile

    def compile_and_note(size: Size, batch: int) -> Any:
        compiled.append(size if batch == 1 else (size, batch))
        return compile_really(size, batch)

    monkeypatch.setattr(backend, "_compile", compile_and_note)
    return compiled


def test_the_last_sizes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = start("fp32", kept_sizes=4)
    compiled = note_compilations(backend, monkeypatch)
    images = [np.ascontiguousarray(NOISE[:, :width]) for width in (40, 48, 56, 64, 72)]
    first, second = backend.infer(images[0]).copy(), backend.infer(images[1]).copy()
    np.testing.assert_array_equal(backend.infer(images[0]), first)
    np.testing.assert_array_equal(backend.infer(images[1]), second)
    assert compiled == [Size(40, 72), Size(48, 72)]
    backend.infer(images[0])  # so that the second is the one that was used the longest ago
    for image in images[2:]:
        backend.infer(image)
    assert compiled == [Size(width, 72) for width in (40, 48, 56, 64, 72)]
    np.testing.assert_array_equal(backend.infer(images[0]), first)
    assert len(compiled) == 5, "the fifth size dropped another than the oldest"
    np.testing.assert_array_equal(backend.infer(images[1]), second)
    assert compiled[5:] == [Size(48, 72)]
    assert len(backend._infer_requests) == 4


def test_one_size_is_kept_where_no_more_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = start("fp32")
    compiled = note_compilations(backend, monkeypatch)
    for size in (Size(64, 64), Size(64, 64), Size(32, 64), Size(64, 64)):
        backend.prepare(size)
        assert list(backend._infer_requests) == [size]
    assert compiled == [Size(64, 64), Size(32, 64), Size(64, 64)]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("int8", 1e-4)])
def test_a_batch_computes_what_single_images_do(precision: str, tolerance: float, street: NDArray[np.uint8]) -> None:
    backend = start(precision)
    images = np.stack([street, street[:, ::-1], 255 - street])
    expected = np.stack([backend.infer(image).copy() for image in np.ascontiguousarray(images)])
    logits = backend.infer_batch(images)
    assert logits.shape == expected.shape == (3, 11, 26, 41) and logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=tolerance)
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.999


def test_batches_are_kept_beside_single_images(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = start("fp32")
    compiled = note_compilations(backend, monkeypatch)
    size, other = Size(64, 64), Size(32, 64)
    for _ in range(2):
        backend.prepare(size)
        backend.prepare(size, 2)
    assert compiled == [size, (size, 2)]
    backend.prepare(other, 2)  # takes the place of the other batch
    backend.prepare(size)
    assert compiled == [size, (size, 2), (other, 2)]
    assert list(backend._infer_requests) == [size] and list(backend._batch_requests) == [(other, 2)]
    backend.drop_batch(other, 2)
    assert list(backend._infer_requests) == [size] and len(backend._batch_requests) == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_is_never_left_to_openvino(precision: str) -> None:
    if precision == "bf16" and not has_native_bf16():
        pytest.skip("this processor has no bf16")
    backend = start(precision)
    backend.prepare(Size(64, 64))
    hint = backend._infer_requests[Size(64, 64)].get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
    assert hint.to_string() == {"fp32": "f32", "bf16": "bf16"}[precision]


def test_damaged_model_is_built_anew(caplog: pytest.LogCaptureFixture) -> None:
    start("fp32")
    folder = artefacts.find(model_key(artefacts.weights_digest(DEFAULT_WEIGHTS), "fp32"))
    assert folder is not None
    with (folder / "model.bin").open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    with caplog.at_level(logging.WARNING):
        assert start("fp32").infer(NOISE).shape == (11, 9, 16)
    assert "model.bin has changed since it was written" in caplog.text


def test_int8_without_calibration_says_how_to_calibrate(tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.symlink_to(DEFAULT_WEIGHTS)
    with pytest.raises(BackendError, match="precision int8 needs a calibration .*fanet calibrate"):
        create_backend(own, backend="openvino", precision="int8")


def test_missing_weights() -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        create_backend(Path("/nowhere/x.pth"), backend="openvino")


def test_broken_weights(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="neither a safetensors file nor"):
        create_backend(broken, backend="openvino", precision="fp32")


def test_device_other_than_the_cpu() -> None:
    with pytest.raises(BackendError, match="openvino runs on the CPU, but device 'cuda' was asked for"):
        create_backend(DEFAULT_WEIGHTS, backend="openvino", device="cuda")


OVERLAPPING = """
import faulthandler, gc, signal
faulthandler.enable()  # as the nodes and pytest do: it gives signal handlers a stack of their own
from fanet_ros.segmenter import Segmenter
import numpy as np

def make():
    segmenter = Segmenter(backend="openvino", precision="int8", input_size="96x64")
    segmenter.segment(np.zeros((64, 96, 3), np.uint8))
    return segmenter

for _ in range(3):
    first, second = make(), make()
    first.close()
    del first
    gc.collect()
    second.close()
    del second
    gc.collect()
    signal.signal(signal.SIGINT, lambda *_: print("handled"))
    signal.raise_signal(signal.SIGINT)
"""


def test_signals_are_survived_after_segmenters_that_came_and_went() -> None:
    done = subprocess.run([sys.executable, "-c", OVERLAPPING], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["handled"] * 3), done.stderr
