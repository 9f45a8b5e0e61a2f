import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fanet_ros.artefacts.cache import obtain, weights_digest
from fanet_ros.backends.openvino import build as openvino_build
from fanet_ros.backends.openvino.backend import model_key
from fanet_ros.backends.openvino.loading import openvino_core
from fanet_ros.backends.openvino.quantise import quantise
from fanet_ros.errors import BackendError, SourceError
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.sources import open_source

pytest.importorskip("openvino", reason="OpenVINO is not installed")
pytest.importorskip("nncf", reason="NNCF is not installed")

SIZES = ((160, 96), (128, 128))


@pytest.fixture(scope="module")
def exact() -> Path:
    key = model_key(weights_digest(DEFAULT_WEIGHTS), "fp32")
    arguments = {"weights": str(DEFAULT_WEIGHTS)}
    folder = obtain(key, builder=openvino_build.__name__, arguments=arguments, progress=lambda _: None)
    return folder / openvino_build.MODEL


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Frames of two sizes: cameras differ, and the network is quantised for all of them at once."""
    frames = []
    for width, height in SIZES:
        with open_source("street", width=width, height=height) as street:
            frame = street.read()
            assert frame is not None and frame.encoding == "rgb8"
            frames.append(frame.image)
    return frames


def labels(model: Path, image: np.ndarray) -> np.ndarray:
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(image[None])[0][0].argmax(0)


@pytest.mark.slow
def test_quantised_network(exact: Path, images: list[np.ndarray], tmp_path: Path) -> None:
    seen: list[int] = []
    quantise(exact, iter(images), 2, tmp_path, progress=seen.append)
    assert seen == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    assert (tmp_path / "model.bin").stat().st_size < 0.3 * exact.with_suffix(".bin").stat().st_size
    text = (tmp_path / "model.xml").read_text()
    assert "FakeQuantize" in text and 'element_type="i8"' in text
    for path in (str(Path.home()), str(exact.parent), str(tmp_path), os.getcwd()):
        assert path not in text, "a delivered model must not tell where it was made"
    for image in images:
        agreement = (labels(tmp_path / "model.xml", image) == labels(exact, image)).mean()
        assert 0.9 < agreement <= 1


def test_no_images(exact: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no readable image to calibrate int8 with"):
        quantise(exact, [], 5, tmp_path, progress=lambda _: None)
    assert not list(tmp_path.iterdir())


def test_missing_nncf(exact: Path, images: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(BackendError, match=r"needs NNCF .*: pip install nncf"):
        quantise(exact, images, 2, tmp_path, progress=lambda _: None)


@pytest.mark.slow
def test_nothing_is_reported_to_the_makers(tmp_path: Path) -> None:
    code = """
import socket, sys
def refuse(*arguments, **options):
    print("tried to reach", arguments)
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
import threading
from fanet_ros.backends.openvino import quantise
quantise.import_openvino()
quantise._import_nncf()
import nncf.telemetry
nncf.telemetry.telemetry.send_event("category", "action", "label")
print("reporting" if sys.modules.get("openvino_telemetry") else "silent", threading.active_count())
"""
    # nncf itself reports nothing where it sees pytest or CI, so this is a process of its own with a clean environment
    environment = {name: value for name, value in os.environ.items() if "NNCF" not in name and name != "CI"}
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert output.stdout.split() == ["silent", "1"]
    assert not (tmp_path / "intel").exists()
