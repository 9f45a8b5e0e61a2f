import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fanet_ros.artefacts.cache import GRAPH_VERSION, weights_digest
from fanet_ros.artefacts.gate import GateResult, write_gate_results
from fanet_ros.backends import choice, create_backend
from fanet_ros.backends.openvino.backend import OpenvinoBackend
from fanet_ros.backends.processor import has_native_bf16
from fanet_ros.backends.torch_backend import TorchBackend
from fanet_ros.errors import BackendError, SettingError
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
GOOD = GateResult("", "openvino", "cpu", "bf16", "miou", 70.0, 69.9, 9, "a test", "720x540", {}, "", GRAPH_VERSION)


@pytest.fixture
def own_weights(tmp_path: Path) -> Path:
    """The shipped weights under another name, so that no gate result lies beside them."""
    path = tmp_path / "own.safetensors"
    path.symlink_to(DEFAULT_WEIGHTS)
    return path


@no_gpu
def test_auto_without_a_gpu_is_openvino() -> None:
    backend = create_backend(DEFAULT_WEIGHTS, input_size=Size(160, 96))
    assert isinstance(backend, OpenvinoBackend)
    assert (backend.info.name, backend.info.device) == ("openvino", "cpu")


def test_precision_auto_is_what_passed_the_gate(
    own_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(OpenvinoBackend, "precisions", lambda *_: ("int8", "bf16", "fp32"))
    first = create_backend(own_weights, device="cpu")
    assert first.info.precision == "fp32"
    assert "bf16 was not measured for these weights (fanet calibrate does)" in first.info.reason

    good = replace(GOOD, weights=weights_digest(own_weights))
    write_gate_results(own_weights, [replace(good, value=69.7)])
    failed = create_backend(own_weights, device="cpu")
    assert failed.info.precision == "fp32" and "bf16 failed the accuracy gate" in failed.info.reason

    write_gate_results(own_weights, [good])
    passed = create_backend(own_weights, device="cpu")
    assert passed.info.precision == "bf16" and "bf16 passed the accuracy gate" in passed.info.reason

    # a good result alone does not bring a quantised network into being
    write_gate_results(own_weights, [replace(good, precision="int8")])
    without_model = create_backend(own_weights, device="cpu")
    assert without_model.info.precision == "bf16"
    assert "passed over int8: precision int8 needs a calibration" in without_model.info.reason


def test_precision_asked_for_needs_no_gate(own_weights: Path) -> None:
    if not has_native_bf16():
        pytest.skip("this processor has no bf16")
    backend = create_backend(own_weights, device="cpu", precision="bf16")
    assert backend.info.precision == "bf16" and backend.info.reason == "precision bf16 was asked for"


def test_precision_that_the_device_lacks() -> None:
    with pytest.raises(BackendError, match="openvino on cpu does not compute in fp16 here; use one of int8"):
        create_backend(DEFAULT_WEIGHTS, backend="openvino", precision="fp16")
    with pytest.raises(BackendError, match="no backend can start here: .*fp16.*fp16"):
        create_backend(DEFAULT_WEIGHTS, device="cpu", precision="fp16")


def test_missing_library_is_explained_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it fails
    with pytest.raises(BackendError, match="pip install openvino"):
        create_backend(DEFAULT_WEIGHTS, backend="openvino")
    backend = create_backend(DEFAULT_WEIGHTS, device="cpu")
    assert isinstance(backend, TorchBackend)
    assert "passed over openvino: backend openvino needs OpenVINO" in backend.info.reason


def test_missing_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fanet_ros.backends.torch_backend")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match="backend torch cannot be loaded .*pip install torch"):
        create_backend(DEFAULT_WEIGHTS, backend="torch")


@no_gpu
def test_a_gpu_that_nothing_can_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpu_count", lambda: 1)
    backend = create_backend(DEFAULT_WEIGHTS)
    assert backend.info.name == "openvino"
    assert "passed over tensorrt: " in backend.info.reason and "passed over torch: " in backend.info.reason


@no_gpu
def test_a_gpu_that_was_asked_for_is_not_replaced_by_the_cpu() -> None:
    with pytest.raises(BackendError, match="no backend can start here: tensorrt: .*; torch: "):
        create_backend(DEFAULT_WEIGHTS, device="cuda")


def test_what_cannot_be_prepared_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BackendError("the compiler gave up")

    monkeypatch.setattr(OpenvinoBackend, "prepare", fail)
    backend = create_backend(DEFAULT_WEIGHTS, device="cpu", input_size=Size(160, 96))
    assert backend.info.name == "torch" and "the compiler gave up" in backend.info.reason
    with pytest.raises(BackendError, match="^the compiler gave up$"):
        create_backend(DEFAULT_WEIGHTS, backend="openvino", input_size=Size(160, 96))


@pytest.mark.parametrize("wrong", [{"backend": "tensorflow"}, {"precision": "int4"}, {"device": "tpu"}])
def test_unknown_values_name_the_known_ones(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="received '(tensorflow|int4|tpu)', expected"):
        create_backend(DEFAULT_WEIGHTS, **wrong)


def test_choosing_imports_no_framework() -> None:
    code = (
        "import sys, fanet_ros.segmenter, fanet_ros.commands.cli\n"
        "print(sorted({'torch', 'rclpy', 'openvino', 'matplotlib', 'nncf', 'onnx'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"
