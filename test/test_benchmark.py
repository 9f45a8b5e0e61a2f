"""The benchmark itself: real networks in real processes, their rows, file, picture and tables."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
from rich.console import Console

from fanet_ros.benchmark.contest import Bench
from fanet_ros.benchmark.frames import FrameStore, load_frames
from fanet_ros.benchmark.levels import run_stills
from fanet_ros.benchmark.machine import describe_machine
from fanet_ros.benchmark.node_level import _FIGURES, fastest, free_domain, run_node_level
from fanet_ros.benchmark.plan import PEAK, Contender, NodeCase, Plan, make_plan
from fanet_ros.benchmark.plot import check_can_plot, plot_results
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import TABLES, Results
from fanet_ros.benchmark.run import run_plan
from fanet_ros.benchmark.tables import print_results
from fanet_ros.errors import SettingError, SourceError, WeightsError
from fanet_ros.processes import child_environment
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size

SMALL = Size(96, 64)
CAMERA = Size(128, 96)
WORKS = Contender("openvino", "fp32", "cpu")
FAILS = Contender("tensorrt", "fp32", "cpu")  # which has no TensorRT, with or without a GPU
PROGRAM = "import typer; from fanet_ros.commands.benchmark import benchmark; typer.run(benchmark)"


def small_plan(*contenders: Contender, **changes: Any) -> Plan:
    """A plan that measures real things, but little of them."""
    plan = replace(
        make_plan([DEFAULT_WEIGHTS], quick=True),
        contenders=contenders,
        sizes=(SMALL,),
        levels=("network", "frame"),
        device="cpu",
        rounds=2,
        turn_s=0.01,
        cameras=(CAMERA,),
        threads=1,  # the reference's threads wait actively, which takes ages on a machine that does other things, too
    )
    return replace(plan, **changes)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=child_environment(),
    )


@pytest.fixture
def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


class Watcher(ProgressLine):
    """Does something when the benchmark says that it is at a certain point."""

    def __init__(self, acts: dict[str, Callable[[], None]]) -> None:
        super().__init__(Console(file=io.StringIO()))
        self._acts = acts

    def say(self, text: str) -> None:
        for word in [word for word in self._acts if word in text]:
            self._acts.pop(word)()


# -- network and frame -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="module")
def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, as a user gives it, with the reference, one that works and one that cannot start."""
    contenders = ["--backend", "openvino", "--backend", "tensorrt", "--precision", "fp32", "--device", "cpu"]
    # the reference's threads wait actively, which takes ages on a machine that does other things, too
    limits = ["--quick", "--size", "96x64", "--rounds", "2", "--threads", "1", "--level", "network", "--level", "frame"]
    limits += ["--level", "temporal"]
    result = command(*contenders, *limits, "--json", str(folder / "results.json"))
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def measured(folder: Path, run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the run saved."""
    data: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return data


def test_the_file_holds_what_was_measured(measured: dict[str, Any], folder: Path) -> None:
    assert [file.name for file in folder.iterdir()] == ["results.json"], "no temporary file is left"
    assert set(measured) == {"machine", *TABLES, "not_run"}
    assert [len(measured[table]) for table in TABLES] == [3, 3, 2, *(0 for _ in TABLES[3:])]


def test_network_rows(measured: dict[str, Any]) -> None:
    reference, openvino, _ = measured["network"]
    assert (reference["backend"], openvino["backend"]) == ("reference", "openvino")
    for row in (reference, openvino):
        assert row["model"] == "FANet-18"
        assert (row["width"], row["height"], row["precision"], row["device"]) == (96, 64, "fp32", "cpu")
        assert 0 < row["min_ms"] <= row["p25_ms"] <= row["median_ms"] <= row["p75_ms"]
        assert row["runs"] >= 2 * row["rounds"] == 4
        assert row["gflop_per_s"] == pytest.approx(row["gflop_per_image"] / row["median_ms"] * 1e3, rel=0.01)
        assert row["rss_mb"] > 50
        assert row["error"] is None
    # a convolution's work grows with its area, here by the rounding of small maps more than that
    assert 0.28 < reference["gflop_per_image"] < 0.35, "23.5 at 1024x512, times 96 x 64 / (1024 x 512)"
    assert reference["speedup_vs_reference"] == 1
    assert openvino["speedup_vs_reference"] == pytest.approx(reference["median_ms"] / openvino["median_ms"], rel=0.02)
    assert openvino["speedup_p25"] <= openvino["speedup_p75"]
    assert reference["agreement_with_reference"] == 1
    assert openvino["agreement_with_reference"] > 0.98, "the same network, from other code"
    assert reference["largest_logit_error"] == 0 < openvino["largest_logit_error"] < 0.1


def test_frame_rows(measured: dict[str, Any]) -> None:
    reference, openvino, _ = measured["frame"]
    networks = measured["network"]
    for row, network in zip((reference, openvino), networks, strict=False):
        assert (row["camera_width"], row["camera_height"]) == (1280, 720)
        assert row["network_ms"] == network["median_ms"]
        assert row["over_network"] == pytest.approx(row["median_ms"] / row["network_ms"], rel=0.02)
        assert row["over_network_p25"] <= row["over_network_p75"]
        assert row["speedup_vs_reference"] > 0
    assert reference["turned_ms"] is None and 0 < openvino["turned_ms"] < 3 * openvino["median_ms"]
    assert reference["agreement_with_reference"] == 1
    assert openvino["agreement_with_reference"] > 0.9, "it averages where it makes images smaller"


def test_temporal_rows(measured: dict[str, Any]) -> None:
    row, failed = measured["temporal"]
    assert (row["backend"], row["device"], row["temporal_frames"], row["error"]) == ("openvino", "cpu", 2, None)
    assert (row["width"], row["height"], row["camera_width"], row["camera_height"]) == (96, 64, 1280, 720)
    assert row["single_ms"] > 0 and row["temporal_ms"] > 0 and row["runs"] >= 4
    assert row["over_single"] == pytest.approx(row["temporal_ms"] / row["single_ms"], rel=0.02)
    assert row["over_single_p25"] <= row["over_single_p75"]
    assert 0.9 < row["least_agreement"] <= row["agreement_with_reference"] < 1
    assert set(failed) == set(row), "a failed one has the same entries"
    assert "tensorrt" in failed["error"].lower() and failed["over_single"] is None


def test_what_cannot_start_is_listed_with_its_reason(measured: dict[str, Any]) -> None:
    for table in ("network", "frame"):
        row = measured[table][2]
        assert (row["backend"], row["precision"]) == ("tensorrt", "fp32")
        assert row["median_ms"] is None and row["speedup_vs_reference"] is None
        assert "tensorrt" in row["error"].lower()


def test_the_machine_is_described(measured: dict[str, Any]) -> None:
    machine = measured["machine"]
    assert machine["cpu"] and machine["cores_usable"] >= 1 and machine["memory_gb"] > 0.5
    assert machine["versions"]["torch"] and machine["versions"]["opencv"] == cv2.__version__
    assert all(1 < value < 1e5 for value in machine["peak_gflops"]["cpu"].values()), "GFLOP/s of a CPU"
    assert set(machine["peak_gflops"]["cpu"]) == {"fp32", "bf16"}
    assert machine["load_at_start"] >= 0 and machine["load_at_end"] >= 0


def test_the_fastest_is_what_the_node_shall_run(measured: dict[str, Any]) -> None:
    results = Results({}, None)
    assert fastest(results, DEFAULT_WEIGHTS) is None
    results.add("network", measured["network"])
    assert fastest(results, DEFAULT_WEIGHTS) == WORKS
    assert fastest(results, Path("other.safetensors")) is None


def test_tables(run: subprocess.CompletedProcess[str]) -> None:
    for expected in (
        "Network: FANet-18",
        "openvino fp32",
        "Frame to labels",
        "Attention to 2 frames",
        "1280x720",
        "peak of cpu",
    ):
        assert expected in run.stdout
    assert "not measured: tensorrt fp32" in run.stdout


@pytest.fixture
def sigint_raises() -> Iterator[None]:
    """Undo what a shell does to the jobs that it starts in the background: they ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint_raises")
def test_who_dies_is_a_row_with_its_error_and_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    def kill_openvino() -> None:
        max(psutil.Process().children(), key=lambda child: child.pid).kill()

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    plan = small_plan(WORKS, levels=("network",), rounds=3)
    results = Results({"peak_gflops": {}}, tmp_path / "results.json")
    with pytest.raises(KeyboardInterrupt), Watcher({"2 of 3": kill_openvino, "3 of 3": interrupt}) as watcher:
        run_stills(Bench(plan, results, FrameStore(tmp_path), watcher), DEFAULT_WEIGHTS, SMALL)
    assert psutil.Process().children() == []
    reference, openvino = json.loads((tmp_path / "results.json").read_text())["network"]
    assert reference["rounds"] == 2 and reference["median_ms"] > 0 and reference["error"] is None
    assert openvino["error"].startswith("was ended by SIGKILL")
    assert openvino["median_ms"] is None and openvino["speedup_vs_reference"] is None


# -- node --------------------------------------------------------------------------------------------------------------


_HEADING = ("weights", "backend", "device", "precision", "camera_width", "camera_height", "height", "width")


@pytest.mark.ros
@pytest.mark.slow
def test_node_level(tmp_path: Path, quiet: Console) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    case = NodeCase(Size(160, 96), Size(96, 64), ((60.0, 130), (PEAK, 110)), ((60.0, 40),))
    plan = small_plan(levels=("node",), node_cases=(case,), node_contender=WORKS)
    results = Results(describe_machine(), tmp_path / "results.json")
    assert run_plan(plan, results, quiet)
    steady, peak, compressed = results.data["node"]
    assert compressed["load"] == "60 Hz + PNG, JPEG" and steady["compressed_kb"] is None
    assert 0 < compressed["compressed_kb"] < 15 and compressed["compressed_rate_hz"] > 1
    for row in (steady, peak, compressed):
        assert (row["backend"], row["device"], row["precision"]) == ("openvino", "cpu", "fp32")
        assert (row["camera_width"], row["camera_height"]) == (160, 96) and (row["width"], row["height"]) == SMALL
        assert row["error"] is None
        assert set(row) == {*_HEADING, *_FIGURES, "error"}, "a failed case has the same entries"
        assert 0 <= row["missed"] < row["sent"]
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["jitter_ms"] >= 0 and row["cpu_percent"] >= 0 and row["rss_mb"] > 50
    assert (steady["rate_hz"], peak["rate_hz"], peak["load"]) == (60, None, "peak")
    assert (steady["sent"], peak["sent"]) == (130, 110)
    assert 0 < steady["mean_rate_hz"] < 70
    assert peak["inference_ms"] > 0, "at its peak it answers every image, hence knows its own time"
    assert 0 < peak["overhead_ms"] < peak["max_ms"], "a way there and back takes time"
    (startup,) = results.data["startup"]
    assert len(startup["seconds"]) == 1 and 0 < startup["median_s"] < 60
    assert results.data["machine"]["rmw"].startswith("rmw_")
    assert psutil.Process().children() == []
    assert json.loads((tmp_path / "results.json").read_text()) == results.data
    print_results(results.data, quiet)
    assert isinstance(quiet.file, io.StringIO)
    assert "Node to node" in quiet.file.getvalue() and "Start of the node" in quiet.file.getvalue()


@pytest.mark.ros
def test_a_node_that_cannot_start_is_a_row_with_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    plan = small_plan(levels=("node",), node_contender=FAILS)
    results = Results({}, None)
    with Watcher({}) as watcher:
        run_node_level(Bench(plan, results, FrameStore(tmp_path), watcher), DEFAULT_WEIGHTS, plan.node_cases)
    (row,) = results.data["node"]
    assert row["backend"] == "tensorrt" and "tensorrt" in row["error"].lower()
    assert row["load"] is row["rate_hz"] is row["p99_ms"] is row["missed"] is row["rss_mb"] is None
    assert psutil.Process().children() == []


def test_without_ros_the_node_level_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    results = Results({}, None)
    with Watcher({}) as watcher:
        run_node_level(Bench(small_plan(), results, FrameStore(tmp_path), watcher), DEFAULT_WEIGHTS, ())
    (entry,) = results.data["not_run"]
    assert entry["level"] == "node" and "rclpy" in entry["reason"]
    assert results.data["node"] == []


def test_a_free_domain_is_one_of_ros() -> None:
    assert 2 <= free_domain() <= 101


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_plot_is_a_picture(measured: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    node = {"camera_width": 640, "camera_height": 360, "load": "30 Hz", "missed": 0, "sent": 9, "backend": "torch"}
    data = {**measured, "node": [{**node, "precision": "fp32", "p50_ms": 20.0, "p90_ms": 25.0, "p99_ms": 40.0}]}
    path = tmp_path / "plot.png"
    check_can_plot(path)
    plot_results(data, path)
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 400 and picture.shape[1] > 1000 and picture.std() > 20
    plot_results({**data, "network": [], "frame": [], "node": []}, path)
    assert cv2.imread(str(path)).std() < picture.std(), "three empty panels"


@pytest.mark.parametrize("name", ["plot.pdf", "nowhere/plot.png", "/proc/plot.png"])
def test_a_plot_that_cannot_be_written_is_refused_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="plot"):
        check_can_plot(tmp_path / name)


def test_a_plot_without_matplotlib_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match="pip install matplotlib"):
        check_can_plot(tmp_path / "plot.png")


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot write"):
        Results({}, tmp_path / "nowhere" / "results.json")


def test_missing_weights_are_refused_at_once(tmp_path: Path, quiet: Console) -> None:
    with pytest.raises(WeightsError, match="no such weights"):
        run_plan(small_plan(weights=(tmp_path / "none.pth",)), Results({}, None), quiet)


def test_frames_are_filmed_once(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    path = store.ensure(CAMERA)
    frames = load_frames(path)
    assert frames.shape == (4, 96, 128, 3)
    assert all((frames[i] != frames[i + 1]).any() for i in range(3))
    written = path.stat().st_mtime_ns
    assert store.ensure(CAMERA).stat().st_mtime_ns == written
    with pytest.raises(SourceError, match="32x32"):
        store.ensure(Size(32, 32))


# -- command line ------------------------------------------------------------------------------------------------------


def test_a_wrong_option_is_one_clear_line() -> None:
    result = command("--level", "everything")
    assert result.returncode == 2
    expected = "error: level: received 'everything', expected one of network, frame, temporal, node, batch, ground"
    assert result.stderr.strip() == f"{expected}, soak"


def test_importing_the_command_imports_no_framework() -> None:
    program = (
        "import sys; import fanet_ros.commands.benchmark; "
        "print([name for name in ('torch', 'openvino', 'rclpy', 'matplotlib', 'cv2') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=child_environment()
    )
    assert result.stdout.strip() == "[]"
