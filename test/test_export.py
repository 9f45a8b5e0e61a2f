from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fanet_ros.artefacts.cache import find, weights_digest
from fanet_ros.artefacts.place import cache_folder
from fanet_ros.backends.openvino.backend import model_key
from fanet_ros.commands.export import export
from fanet_ros.resources import DEFAULT_WEIGHTS

APP = typer.Typer()
APP.command()(export)
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with what is built for the tests of this module that build the same."""
    return tmp_path_factory.mktemp("built")


def run(*arguments: str) -> str:
    result = RUNNER.invoke(APP, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def infer(path: Path, height: int, width: int) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(3).integers(0, 256, (1, height, width, 3), np.uint8)
    return session.run(None, {"frame": image})[0]


def test_openvino_is_built_ahead(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(built))
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    arguments = ("--backend", "openvino", "--precision", "fp32", "--camera-size", "160x120")
    output = run(*arguments)
    digest = weights_digest(DEFAULT_WEIGHTS)
    artefact = find(model_key(digest, "fp32"))
    assert artefact is not None
    assert "ready for inputs of 720x544: openvino on cpu in fp32" in output
    assert str(cache_folder(digest)) in output and artefact.name in output
    before = (artefact / "model.xml").stat()
    run(*arguments)
    again = (artefact / "model.xml").stat()
    assert (again.st_ino, again.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "what is there is not built again"


def test_a_backend_that_builds_nothing(cache: Path) -> None:
    output = run("--backend", "torch", "--device", "cpu", "--precision", "fp32", "--input-size", "64x64")
    assert "ready for inputs of 64x64: torch on cpu in fp32" in output
    assert "nothing had to be built" in output
    assert not list(cache.rglob("manifest.json"))


def test_openvino_serves_videos_with_the_model_that_it_has(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(built))
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    arguments = ("--backend", "openvino", "--precision", "fp32", "--input-size", "64x64")
    single = run(*arguments)
    video = run(*arguments, "--temporal-frames", "3")
    assert "attention to 3 frames needs nothing of its own with openvino" in video
    assert "attention" not in single
    assert video.partition("built for")[2] == single.partition("built for")[2], "no model of its own"


def test_onnx_for_videos(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    path = tmp_path / "video.onnx"
    output = run("--onnx", str(path), "--temporal-frames", "3")
    floats = 1 + 32 * (64 + 128 + 256 + 512)
    assert f"x 3 (RGB), state float32 1 x 2 x {floats} -> logits float32" in output
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(3).integers(0, 256, (1, 64, 96, 3), np.uint8)
    logits, state = session.run(None, {"frame": image, "state": np.zeros((1, 2, floats), np.float32)})
    assert logits.shape == (1, 11, 8, 12) and state.shape == (1, 2, floats)
    assert state[0, 0].any() and not state[0, 1].any()


def test_onnx_for_every_size(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "fanet.onnx"
    output = run("--onnx", str(path))
    assert f"{path}: frame uint8 1 x height x width x 3 (RGB) -> logits float32" in output
    assert infer(path, 64, 96).shape == (1, 11, 8, 12)
    assert infer(path, 40, 33).shape == (1, 11, 5, 5)
    assert not (cache / "fanet_ros").exists()


def test_onnx_for_one_size_and_in_half_precision(tmp_path: Path) -> None:
    exact, half = tmp_path / "exact.onnx", tmp_path / "half.onnx"
    run("--onnx", str(exact), "--input-size", "96x64")
    output = run("--onnx", str(half), "--input-size", "camera", "--camera-size", "96x64", "--precision", "fp16")
    assert "frame uint8 1 x 64 x 96 x 3" in output
    assert half.stat().st_size < 0.6 * exact.stat().st_size
    expected, logits = infer(exact, 64, 96), infer(half, 64, 96)
    assert logits.dtype == np.float32
    assert 0 < np.abs(logits - expected).max() < 0.1
    with pytest.raises(Exception, match="Got invalid dimensions"):
        infer(exact, 96, 64)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--onnx", "x.onnx", "--precision", "int8"], "received 'int8', but ONNX is written in fp32 or fp16"),
        (["--onnx", "x.onnx", "--backend", "torch"], "an ONNX file depends on no backend"),
        (["--onnx", "/nowhere/x.onnx"], "cannot write the ONNX file /nowhere/x.onnx"),
        (["--camera-size", "big"], "camera_size: received 'big'"),
        (["--precision", "fp8"], "received 'fp8'"),
        (["--temporal-frames", "9"], "'temporal_frames': received 9, expected a value from 1 to 8"),
        (["--backend", "openvino", "--device", "cuda"], "openvino runs on the CPU"),
        (["--weights", "/nowhere/model.pth"], "/nowhere/model.pth"),
    ],
)
def test_faults_are_one_line_without_a_traceback(arguments: list[str], text: str) -> None:
    result = RUNNER.invoke(APP, arguments)
    assert result.exit_code == 2, result.output
    assert text in result.output
    assert "Traceback" not in result.output


def test_int8_needs_a_calibration(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(DEFAULT_WEIGHTS.read_bytes())
    result = RUNNER.invoke(APP, ["--weights", str(weights), "--backend", "openvino", "--precision", "int8"])
    assert result.exit_code == 2
    assert f"fanet calibrate FOLDER_OR_VIDEO --weights {weights}" in result.output
