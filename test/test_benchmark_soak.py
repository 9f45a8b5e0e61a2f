"""The soak level: both nodes for real, for a few frames, and how growth is judged."""

import io
import json
import random
from pathlib import Path

import psutil
import pytest
import torch
from rich.console import Console

from fanet_ros.benchmark.machine import describe_machine
from fanet_ros.benchmark.plan import Contender, make_plan
from fanet_ros.benchmark.results import Results
from fanet_ros.benchmark.run import run_plan
from fanet_ros.benchmark.soak_level import has_failed, slope
from fanet_ros.benchmark.tables import print_results
from fanet_ros.resources import DEFAULT_WEIGHTS


def test_the_growth_is_that_of_most_samples() -> None:
    noise = random.Random(3)
    growing = [(x / 10, 200 + 2.5 * x / 10 + noise.uniform(-0.1, 0.1)) for x in range(100)]
    assert slope(growing) == pytest.approx(2.5, abs=0.05)
    burst = [(x, y + 40 if 30 <= i < 40 else y) for i, (x, y) in enumerate(growing)]
    assert slope(burst) == pytest.approx(2.5, abs=0.3)
    assert slope([(x, 200.0 + (x > 5)) for x, _ in growing]) < 0.3, "a step at one moment is no leak"


@pytest.mark.parametrize(("growth", "error", "failed"), [(0.99, None, False), (1.0, None, True), (None, "dead", True)])
def test_a_leak_or_a_dead_node_is_a_failure(growth: float | None, error: str | None, failed: bool) -> None:
    fine = {"growth_mb": -0.2, "error": None}
    assert has_failed([fine, {"growth_mb": growth, "error": error}]) is failed
    assert not has_failed([])


@pytest.mark.ros
def test_both_nodes_are_fed_and_measured(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    plan = make_plan([DEFAULT_WEIGHTS], backends=["openvino"], levels=["soak"], soak_frames=150)
    console = Console(file=io.StringIO(), width=120)
    results = Results(describe_machine(), tmp_path / "results.json")
    assert run_plan(plan, results, console)
    rows = results.data["soak"]
    assert [(row["node"], row["frames"], row["error"]) for row in rows] == [
        ("segmentation", 150, None),
        ("drivable_area", 150, None),
    ]
    for row in rows:
        assert row["first_mb"] > 50 and row["last_mb"] > 50 and row["seconds"] > 0
        assert abs(row["last_mb"] - row["first_mb"]) < 50
    assert psutil.Process().children() == []
    assert json.loads((tmp_path / "results.json").read_text()) == results.data
    print_results(results.data, console)
    assert "Memory of both nodes over 150 frames" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.ros
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the node might start")
def test_a_node_that_cannot_start_is_told_in_its_words(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    plan = make_plan([DEFAULT_WEIGHTS], backends=["tensorrt"], precisions=["int8"], levels=["soak"], soak_frames=10)
    results = Results({}, None)
    assert run_plan(plan, results, Console(file=io.StringIO()))
    (row,) = results.data["soak"]
    assert "cannot configure: no NVIDIA driver is installed here" in row["error"]
    assert has_failed([row]) and psutil.Process().children() == []


def test_it_runs_only_when_asked_for() -> None:
    assert "soak" not in make_plan([DEFAULT_WEIGHTS]).levels
    plan = make_plan([DEFAULT_WEIGHTS], levels=["soak"])
    assert plan.levels == ("soak",) and plan.soak_frames == 100_000
    assert plan.node_contender == Contender("auto", "auto")
    assert make_plan([DEFAULT_WEIGHTS], levels=["soak"], soak_frames=7).soak_frames == 7
