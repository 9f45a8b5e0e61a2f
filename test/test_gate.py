import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fanet_ros.artefacts.cache import GRAPH_VERSION, weights_digest
from fanet_ros.artefacts.gate import (
    LIMITS,
    GateResult,
    choose_precision,
    read_gate_results,
    shipped_gate_file,
    write_gate_results,
)
from fanet_ros.artefacts.place import cache_folder
from fanet_ros.errors import SettingError, WeightsError

SUPPORTED = ("int8", "bf16", "fp32")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def result(weights: Path, precision: str = "int8", loss: float = 0.1, **changes: object) -> GateResult:
    fields: dict[str, object] = {
        "weights": weights_digest(weights),
        "backend": "openvino",
        "device": "cpu",
        "precision": precision,
        "metric": "miou",
        "reference": 80.0,
        "value": 80.0 - loss,
        "frames": 7,
        "data": "drive",
        "input_size": "640x360",
        "versions": {"openvino": "1.0"},
        "date": "2026-01-01T00:00:00+00:00",
    }
    return GateResult(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "precision", "limit"),
    [
        ("miou", "bf16", 0.2),
        ("miou", "fp16", 0.2),
        ("miou", "int8", 1.0),
        ("agreement", "bf16", 1.0),
        ("agreement", "fp16", 1.0),
        ("agreement", "int8", 3.0),
    ],
)
def test_limits(weights: Path, metric: str, precision: str, limit: float) -> None:
    assert LIMITS[metric][precision] == limit
    for loss, passes in ((-5.0, True), (0.0, True), (limit - 1e-6, True), (limit + 1e-6, False)):
        assert result(weights, precision, metric=metric, reference=100.0, value=100 - loss).passed == passes
    assert not result(weights, precision, metric=metric, value=float("nan")).passed


def test_what_has_no_limit_is_no_result(weights: Path) -> None:
    with pytest.raises(ValueError, match="no limit for 'fp32'"):
        result(weights, "fp32")
    with pytest.raises(ValueError, match="measured by 'beauty'"):
        result(weights, metric="beauty")


def test_results_survive_storing(weights: Path) -> None:
    stored = [result(weights, "bf16"), result(weights, "int8", metric="agreement", reference=100.0)]
    path = write_gate_results(weights, stored)
    assert path.parent == cache_folder(weights_digest(weights))
    assert read_gate_results(weights) == stored
    assert [p.name for p in path.parent.iterdir()] == ["gate.json"], "nothing unfinished may be left"
    entry = json.loads(path.read_text())["results"][0]
    assert (entry["loss"], entry["limit"], entry["passed"]) == (0.1, 0.2, True)


def test_newer_results_replace_older_ones_of_the_same_kind(weights: Path) -> None:
    write_gate_results(weights, [result(weights, "int8", 0.3), result(weights, "bf16", 0.01)])
    write_gate_results(weights, [result(weights, "int8", 0.5), result(weights, "int8", 0.7, device="cuda")])
    found = {(r.device, r.precision): round(r.loss, 3) for r in read_gate_results(weights)}
    assert found == {("cpu", "int8"): 0.5, ("cpu", "bf16"): 0.01, ("cuda", "int8"): 0.7}


def test_a_void_result_is_removed_and_no_other(weights: Path) -> None:
    kept = [result(weights, "bf16"), result(weights, "int8", device="cuda"), result(weights, "int8", backend="torch")]
    write_gate_results(weights, [*kept, result(weights, "int8")])
    write_gate_results(weights, [], void=("openvino", "cpu", "int8"))
    assert sorted(map(repr, read_gate_results(weights))) == sorted(map(repr, kept))


def test_own_results_take_precedence_over_shipped_ones(weights: Path) -> None:
    path = write_gate_results(weights, [result(weights, "int8", 0.3), result(weights, "bf16", 0.1)], ship=True)
    assert path == shipped_gate_file(weights) == weights.with_name("model.gate.json")
    assert choose_precision(weights, "openvino", "cpu", SUPPORTED)[0] == "int8"
    write_gate_results(weights, [result(weights, "int8", 4.0)])
    assert choose_precision(weights, "openvino", "cpu", SUPPORTED)[0] == "bf16"


def test_a_result_vouches_for_no_other_quantised_network(weights: Path) -> None:
    write_gate_results(weights, [result(weights, "int8", network="shipped")], ship=True)
    write_gate_results(weights, [result(weights, "int8", 4.0, network="own")])
    assert choose_precision(weights, "openvino", "cpu", SUPPORTED, "shipped")[0] == "int8"
    choice, reason = choose_precision(weights, "openvino", "cpu", SUPPORTED, "own")
    assert choice == "fp32" and "int8 failed the accuracy gate" in reason
    choice, reason = choose_precision(weights, "openvino", "cpu", SUPPORTED, "made by hand")
    assert choice == "fp32" and "int8 was not measured" in reason


def test_results_of_other_weights_or_graphs_do_not_count(weights: Path) -> None:
    older_graph = result(weights, "bf16", graph_version=GRAPH_VERSION - 1)
    write_gate_results(weights, [result(weights, "int8"), older_graph], ship=True)
    assert [r.precision for r in read_gate_results(weights)] == ["int8"]
    weights.write_bytes(b"trained further")
    assert read_gate_results(weights) == []


def test_a_passed_that_was_written_by_hand_is_not_believed(weights: Path) -> None:
    path = write_gate_results(weights, [result(weights, "int8", 2.0)])
    path.write_text(path.read_text().replace('"passed": false', '"passed": true').replace('"limit": 1.0', '"limit": 9'))
    assert '"passed": true' in path.read_text()
    assert choose_precision(weights, "openvino", "cpu", SUPPORTED)[0] == "fp32"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"results": 3}', '{"results": [{}]}', '{"results": [{"reference": "x"}]}', "\udcff"],
)
def test_a_damaged_file_is_told_of_and_ignored(weights: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    path = write_gate_results(weights, [result(weights)])
    path.write_bytes(content.encode(errors="surrogateescape"))
    with caplog.at_level(logging.WARNING):
        assert read_gate_results(weights) == []
    assert len(caplog.records) == 1 and str(path) in caplog.text and "fanet calibrate" in caplog.text
    write_gate_results(weights, [result(weights)])
    assert read_gate_results(weights) == [result(weights)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("backend", "[1]"), ("device", "null"), ("weights", "{}"), ("frames", "1e999"), ("metric", "[]")],
)
def test_a_damaged_entry_is_told_of_and_ignored(
    weights: Path, name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_gate_results(weights, [result(weights)])
    entries = json.loads(path.read_text())["results"]
    text = json.dumps({"results": [{**entries[0], name: "@"}]}).replace('"@"', value)
    path.write_text(text)
    assert choose_precision(weights, "openvino", "cpu", SUPPORTED)[0] == "fp32"
    assert len(caplog.records) == 1 and str(path) in caplog.text


def test_a_folder_that_cannot_be_written(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingError, match="cannot write the results of the accuracy gate to .*gate.json"):
        write_gate_results(weights, [result(weights)])


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        choose_precision(tmp_path / "nothing.pth", "openvino", "cpu", SUPPORTED)


def test_choice_and_reason(weights: Path) -> None:
    choice, reason = choose_precision(weights, "openvino", "cpu", SUPPORTED)
    assert choice == "fp32"
    assert "int8 was not measured for these weights (fanet calibrate does)" in reason

    write_gate_results(weights, [result(weights, "int8", 1.4), result(weights, "bf16", -0.03)])
    choice, reason = choose_precision(weights, "openvino", "cpu", SUPPORTED)
    assert choice == "bf16"
    assert "bf16 passed the accuracy gate: mIoU +0.03 points against fp32 on 7 frames of drive" in reason
    assert "int8 failed the accuracy gate: mIoU -1.40 points" in reason

    write_gate_results(weights, [result(weights, "int8", metric="agreement", reference=100.0, value=99.25)])
    choice, reason = choose_precision(weights, "openvino", "cpu", SUPPORTED)
    assert choice == "int8"
    assert "99.25 % of the labels as in fp32 on 7 frames of drive" in reason


def test_no_change_has_no_sign_of_a_loss(weights: Path) -> None:
    assert "mIoU +0.00 points" in str(result(weights, "bf16", loss=0.001))


def test_only_what_is_supported_and_measured_there_is_chosen(weights: Path) -> None:
    write_gate_results(weights, [result(weights, "int8"), result(weights, "fp16", device="cuda", backend="torch")])
    assert choose_precision(weights, "openvino", "cpu", ("bf16", "fp32"))[0] == "fp32"
    assert choose_precision(weights, "torch", "cpu", SUPPORTED)[0] == "fp32"
    assert choose_precision(weights, "torch", "cuda:1", ("fp16", "bf16", "fp32"))[0] == "fp16"
    assert choose_precision(weights, "openvino", "cpu", ("fp32", "int8"))[0] == "fp32", "fp32 needs no gate"


def test_choosing_imports_no_framework() -> None:
    code = (
        "import sys, fanet_ros.artefacts.gate; print(sorted({'torch', 'openvino', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"


def test_two_that_store_at_once_lose_no_result(weights: Path) -> None:
    backends = ("openvino", "torch", "tensorrt")
    together = threading.Barrier(len(backends))

    def store_often(backend: str) -> None:
        for frames in range(20):
            together.wait()
            write_gate_results(weights, [result(weights, backend=backend, frames=frames)])

    threads = [threading.Thread(target=store_often, args=[backend]) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(found.backend, found.frames) for found in read_gate_results(weights)} == {(name, 19) for name in backends}


def test_results_on_merged_classes_count_for_these_only(weights: Path) -> None:
    write_gate_results(weights, [result(weights, loss=2.0), result(weights, loss=0.1, labels="drivable3 1")])
    chosen = {
        key: choose_precision(weights, "openvino", "cpu", ("int8", "fp32"), labels=key)[0]
        for key in ("", "drivable3 1", "x 2")
    }
    assert chosen == {"": "fp32", "drivable3 1": "int8", "x 2": "fp32"}
    write_gate_results(weights, [result(weights, loss=0.2), result(weights, loss=3.0, labels="drivable3 1")])
    assert choose_precision(weights, "openvino", "cpu", ("int8", "fp32"), labels="x 2")[0] == "int8", "finer classes"
    assert choose_precision(weights, "openvino", "cpu", ("int8", "fp32"), labels="drivable3 1")[0] == "fp32"
