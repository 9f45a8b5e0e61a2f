import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.gate import choose_precision, read_gate_results, shipped_gate_file
from fanet_ros.backends import create_backend
from fanet_ros.backends.openvino.backend import OpenvinoBackend, find_int8, model_key, shipped_int8_folder
from fanet_ros.backends.tensorrt.quantise import find_quantised
from fanet_ros.calibration.calibrate import Calibration, Task, calibrate, quantise_int8, ship
from fanet_ros.calibration.calibration_frames import open_frames
from fanet_ros.commands.calibrate import calibrate as calibrate_command
from fanet_ros.errors import SettingError, SourceError
from fanet_ros.model.labels import load_label_set, save_label_set
from fanet_ros.model.model_card import merging_key, read_card
from fanet_ros.model.network import FANet, FANetConfig
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.segmenter import Segmenter
from fanet_ros.sources import open_source

FRAMES = 4
INPUT_SIZE = "160x96"
LAST = "clslayer.conv_out.weight"

APP = typer.Typer()
APP.command()(calibrate_command)
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Street images and their labels, every half second."""
    folder = tmp_path_factory.mktemp("data") / "street"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    with open_source("street", width=160, height=96, rate_hz=2.0) as street:
        for number in range(FRAMES):
            frame = street.read()
            assert frame is not None and frame.labels is not None
            cv2.imwrite(str(folder / "images" / f"{number}.png"), frame.image[..., ::-1])
            cv2.imwrite(str(folder / "labels" / f"{number}.png"), frame.labels)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache and a copy of the shipped weights, alone; tests that follow each other see what the earlier ones made."""
    home = tmp_path_factory.mktemp("home")
    for suffix in (".safetensors", ".md"):
        shutil.copy(DEFAULT_WEIGHTS.with_suffix(suffix), home / f"model{suffix}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        yield home


@pytest.fixture(scope="module")
def weights(home: Path) -> Path:
    return home / "model.safetensors"


def task(weights: Path, data: Path, **changes: object) -> Task:
    frames = open_frames(str(data))
    fields: dict[str, object] = {"calibration": frames, "gate": frames, "input_size": INPUT_SIZE, "device": "cpu"}
    return Task(weights, **{**fields, **changes})  # type: ignore[arg-type]


def no_progress(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def calibration(weights: Path, data: Path) -> Calibration:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    pytest.importorskip("nncf", reason="NNCF is not installed")
    progress: list[tuple[str, int, int]] = []
    done = calibrate(
        task(weights, data, backend="openvino", calibration_frames=2), lambda *report: progress.append(report)
    )
    assert progress == [
        *[("calibrating int8", n, 2) for n in (1, 2)],
        *[("measuring", n, FRAMES) for n in range(1, FRAMES + 1)],
    ]
    return done


@pytest.mark.slow
def test_every_precision_is_measured_with_labels(calibration: Calibration, weights: Path) -> None:
    assert (calibration.backend, calibration.device) == ("openvino", "cpu")
    assert [m.precision for m in calibration.measurements][:2] == ["fp32", "int8"]
    for measurement in calibration.measurements:
        accuracy, result = measurement.accuracy, measurement.result
        assert accuracy.frames == FRAMES and accuracy.median_ms > 0
        assert [str(size) for size in accuracy.input_sizes] == [INPUT_SIZE]
        assert accuracy.miou is not None and 5 < accuracy.miou < 100
        if measurement.precision == "fp32":
            assert result is None and accuracy.agreement == 100
            continue
        assert 90 < accuracy.agreement < 100
        assert result is not None
        assert (result.weights, result.metric) == (artefacts.weights_digest(weights), "miou")
        assert (result.frames, result.data, result.input_size) == (FRAMES, "street", INPUT_SIZE)
        assert result.value == pytest.approx(accuracy.miou, abs=1e-4)
        assert result.reference == pytest.approx(calibration.measurements[0].accuracy.miou, abs=1e-4)
        assert {"fanet_ros", "openvino"} <= result.versions.keys()


@pytest.mark.slow
def test_results_decide_what_auto_takes(calibration: Calibration, weights: Path) -> None:
    stored = read_gate_results(weights)
    assert stored == sorted((m.result for m in calibration.measurements if m.result), key=lambda r: r.precision)
    passed = {r.precision for r in stored if r.passed}
    supported = ("int8", "bf16", "fp32")
    expected = next((p for p in supported if p in passed), "fp32")
    assert choose_precision(weights, "openvino", "cpu", supported, OpenvinoBackend.int8_network(weights))[0] == expected
    backend = create_backend(weights, backend="openvino", precision="int8")  # by name whether it passed or not
    assert backend.info.precision == "int8"
    backend.close()


@pytest.mark.slow
def test_measured_is_what_the_segmenter_does(calibration: Calibration, weights: Path, data: Path) -> None:
    labels = {}
    for precision in ("fp32", "int8"):
        segmenter = Segmenter(weights, backend="openvino", precision=precision, input_size=INPUT_SIZE)
        labels[precision] = [segmenter.segment(f.image, f.encoding).labels for f in open_frames(str(data)).sample(9)]
        segmenter.close()
    agreement = 100 * np.mean(np.array(labels["fp32"]) == np.array(labels["int8"]))
    assert calibration.measurements[1].accuracy.agreement == pytest.approx(agreement)


@pytest.mark.slow
def test_a_twin_is_measured_on_behalf_of_the_weights(
    calibration: Calibration, weights: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin is right about the frames where the weights are not, so whose figures these are shows.

    It decides as the network of `calibration` does, by larger logits.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # the results of other tests stay as they are
    trained = load_file(weights)
    twin, final = tmp_path / "twin.safetensors", tmp_path / "final.safetensors"
    for file, factor in ((twin, 2), (final, -1)):
        save_file({**trained, LAST: trained[LAST] * factor}, file)
    here = {"backend": "openvino", "calibration_frames": 2, "precisions": ("int8",), "labels": "camvid11"}
    done = calibrate(task(final, data, twin=twin, **here), no_progress)
    own = next(m.result for m in calibration.measurements if m.precision == "int8")
    (result,) = [m.result for m in done.measurements if m.result]
    assert own is not None
    assert (result.reference, result.value) == pytest.approx((own.reference, own.value), abs=0.5)
    assert result.reference > 5
    assert result.weights == artefacts.weights_digest(final)
    assert result.network == OpenvinoBackend.int8_network(final) != OpenvinoBackend.int8_network(twin)
    assert result.data == f"street, measured on the twin {artefacts.weights_digest(twin)[:12]}"
    assert read_gate_results(final) == [result]
    choice, reason = choose_precision(final, "openvino", "cpu", ("int8", "fp32"), OpenvinoBackend.int8_network(final))
    assert (choice == "int8") == result.passed and "measured on the twin" in reason


def test_a_twin_of_another_network_is_refused(weights: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file(FANet(FANetConfig("resnet18", 5)).state_dict(), other)
    with pytest.raises(SettingError, match=r"twin: .*other.safetensors holds a .*classes=5.*the same network"):
        calibrate(task(weights, data, twin=other), no_progress)


@pytest.mark.slow
def test_shipping(
    calibration: Calibration, weights: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = task(weights, data)
    for _ in range(2):  # a second delivery replaces the first
        assert ship(here, calibration) == [shipped_gate_file(weights), shipped_int8_folder(weights)]
    assert not list(weights.parent.glob(".unfinished*"))
    stored = read_gate_results(weights)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert find_int8(weights, artefacts.weights_digest(weights)) == shipped_int8_folder(weights)
    assert read_gate_results(weights) == stored


@pytest.mark.slow
def test_what_cannot_be_shipped(calibration: Calibration, weights: Path, tmp_path: Path, data: Path) -> None:
    there = tmp_path / "model.safetensors"
    shutil.copy(weights, there)
    ship(task(there, data), replace(calibration, backend="tensorrt"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.gate.json", "model.safetensors"]
    assert '"int8"' not in shipped_gate_file(there).read_text()


@pytest.mark.slow
def test_what_could_not_be_measured_is_not_kept(calibration: Calibration, weights: Path, tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.full((96, 160, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), np.full((96, 160), 255, np.uint8))
    unknown = task(weights, tmp_path, backend="openvino", precisions=("int8",), calibration_frames=1)
    with pytest.raises(SourceError, match="show none of the network's 11 classes; they must be class ids from 0 to 10"):
        calibrate(unknown, no_progress)
    assert artefacts.find(model_key(artefacts.weights_digest(weights), "int8")) is None
    own = [entry["precision"] for entry in json.loads(calibration.gate_file.read_text())["results"]]
    assert own == [m.precision for m in calibration.measurements if m.precision not in ("fp32", "int8")]


@pytest.mark.slow
def test_int8_for_tensorrt_is_calibrated_without_a_gpu(weights: Path, data: Path) -> None:
    for module in ("onnx", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    seen: list[tuple[str, int, int]] = []
    folder = quantise_int8(task(weights, data, calibration_frames=1), "tensorrt", lambda *report: seen.append(report))
    assert seen == [("calibrating int8", 1, 1)]
    assert find_quantised(artefacts.weights_digest(weights)) == folder / "model.onnx"


def test_torch_without_labels(weights: Path, data: Path) -> None:
    done = calibrate(task(weights, data / "images", backend="torch", precisions=("bf16",), gate_frames=2), no_progress)
    exact, measured = done.measurements
    assert exact.accuracy.miou is None and exact.accuracy.frames == 2
    assert measured.result is not None and done.int8_model is None
    assert (measured.result.metric, measured.result.reference) == ("agreement", 100)
    assert 95 < measured.result.value == pytest.approx(measured.accuracy.agreement, abs=1e-4)
    assert [r for r in read_gate_results(weights) if r.backend == "torch"] == [measured.result]


def test_a_precision_that_the_backend_lacks(weights: Path, data: Path) -> None:
    with pytest.raises(SettingError, match="precision: received 'int8', but backend torch on cpu computes in"):
        calibrate(task(weights, data, backend="torch", precisions=("int8",)), no_progress)


def test_a_cache_that_cannot_be_written(
    weights: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingError, match="cannot write the results of the accuracy gate"):
        calibrate(task(weights, data, backend="torch"), no_progress)


def test_calibrations_of_the_same_weights_take_turns(weights: Path, data: Path) -> None:
    waits, done = threading.Event(), []

    def count(stage: str, *_: int) -> None:
        if stage == "waiting for another calibration":
            waits.set()

    own = task(weights, data, backend="openvino", precisions=("int8",), calibration_frames=1, gate_frames=1)
    other = threading.Thread(target=lambda: done.append(calibrate(own, count)))
    with artefacts.building(model_key(artefacts.weights_digest(weights), "int8"), print):
        other.start()
        assert waits.wait(120) and not done
    other.join()
    (result,) = (m.result for m in done[0].measurements if m.precision == "int8")
    assert result is not None and result.network == OpenvinoBackend.int8_network(weights)


def test_command(weights: Path, data: Path) -> None:
    options = ["--weights", str(weights), "--backend", "torch", "--device", "cpu", "--input-size", INPUT_SIZE]
    arguments = [str(data / "images"), "--gate", str(data), "--precision", "bf16", "--gate-frames", "1"]
    result = RUNNER.invoke(APP, [*arguments, *options], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "torch on cpu, 1 frames of street" in result.output
    assert "reference" in result.output
    assert "passed" in result.output or "failed" in result.output
    assert f"results: {artefacts.cache_folder(artefacts.weights_digest(weights)) / 'gate.json'}" in result.output


def test_faults_are_one_line_without_a_traceback(weights: Path, data: Path) -> None:
    for arguments, text in (
        (["/nowhere"], "there is no source '/nowhere'"),
        ([str(data), "--weights", "/nowhere/model.pth"], "no such weights file"),
        ([str(data), "--backend", "caffe"], "received 'caffe'"),
        ([str(data), "--input-size", "huge"], "received 'huge'"),
        ([str(data), "--backend", "torch", "--device", "cpu", "--precision", "fp8"], "received 'fp8'"),
    ):
        result = RUNNER.invoke(APP, ["--weights", str(weights), *arguments])
        assert result.exit_code == 2, result.output
        assert text in result.output
        assert "Traceback" not in result.output


@pytest.mark.slow
def test_forgetting_brings_back_what_was_delivered(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration on a few frames replaces the results and the int8 network beside the weights until it is undone."""
    pytest.importorskip("nncf", reason="NNCF is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    delivered = read_gate_results(DEFAULT_WEIGHTS)
    shipped = find_int8(DEFAULT_WEIGHTS, artefacts.weights_digest(DEFAULT_WEIGHTS))
    assert shipped == shipped_int8_folder(DEFAULT_WEIGHTS)
    more = max(r.frames for r in delivered if (r.backend, r.precision) == ("openvino", "int8"))
    options = ["--backend", "openvino", "--precision", "int8", "--input-size", INPUT_SIZE]
    result = RUNNER.invoke(APP, [str(data), "--gate-frames", "2", *options])
    assert result.exit_code == 0, result.output
    warning = f"this measures on 2 frames, and replaces what was measured on {more} frames of"
    assert warning in result.stderr and "fanet calibrate --forget" in result.stderr
    assert find_int8(DEFAULT_WEIGHTS, artefacts.weights_digest(DEFAULT_WEIGHTS)) != shipped
    assert read_gate_results(DEFAULT_WEIGHTS) != delivered
    result = RUNNER.invoke(APP, ["--forget"])
    assert result.exit_code == 0, result.output
    assert result.output.count("removed: ") == 2 and "gate.json" in result.output
    assert find_int8(DEFAULT_WEIGHTS, artefacts.weights_digest(DEFAULT_WEIGHTS)) == shipped
    assert read_gate_results(DEFAULT_WEIGHTS) == delivered
    assert "removed: nothing" in RUNNER.invoke(APP, ["--forget"]).output


def test_forgetting_takes_no_frames_and_measuring_needs_some(data: Path) -> None:
    for arguments, text in (([str(data), "--forget"], "forget: received frames, too"), ([], "frames: received none")):
        result = RUNNER.invoke(APP, arguments)
        assert result.exit_code == 2 and text in result.output


def test_merged_classes_are_measured_as_such(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for suffix in (".safetensors", ".md"):
        shutil.copy(DEFAULT_WEIGHTS.with_suffix(suffix), tmp_path / f"model{suffix}")
    shutil.copytree(data, tmp_path / "data")
    save_label_set(load_label_set("camvid11"), tmp_path / "data" / "labels.yaml")
    weights, options = tmp_path / "model.safetensors", {"backend": "openvino", "precisions": ("int8",)}
    gate = open_frames(str(tmp_path / "data"), load_label_set("drivable3"))
    wanted = task(weights, data, gate=gate, labels="drivable3", calibration_frames=2, **options)
    done = calibrate(wanted, no_progress)
    exact, measured = done.measurements
    assert exact.accuracy.miou is not None and exact.accuracy.miou > 70, "of three classes"
    assert measured.result is not None and measured.result.labels.startswith("drivable3 ")
    network = OpenvinoBackend.int8_network(weights)
    key = merging_key("drivable3", read_card(weights))
    choices = {
        each: choose_precision(weights, "openvino", "cpu", ("int8", "fp32"), network, each) for each in ("", key)
    }
    assert choices[""][0] == "fp32" and "int8 was not measured" in choices[""][1]
    assert (choices[key][0] == "int8") == measured.result.passed
    with closing(Segmenter(weights, labels="drivable3", backend="openvino", input_size=INPUT_SIZE)) as merged:
        assert merged.backend_info.precision == choose_best(weights, network, key)


def choose_best(weights: Path, network: str, key: str) -> str:
    return choose_precision(weights, "openvino", "cpu", OpenvinoBackend.precisions("cpu"), network, key)[0]
