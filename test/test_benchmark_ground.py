"""The benchmark's ground level, and that what it compares with is the same projection."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from rich.console import Console

from fanet_ros.benchmark import levels
from fanet_ros.benchmark.ground_reference import PlainProjection
from fanet_ros.benchmark.ground_work import TABLES_FOR_CALIBRATION, TABLES_FOR_POSE
from fanet_ros.benchmark.plan import make_plan
from fanet_ros.benchmark.results import Results
from fanet_ros.benchmark.run import run_plan
from fanet_ros.benchmark.tables import print_results
from fanet_ros.ground.camera_calibration import calibration_of
from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.classes import Kind, kinds_of
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.semantic_cloud import SemanticCloud
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.model.labels import load_label_set
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size
from fanet_ros.sources.street.camera import StreetCamera

PLAN = replace(make_plan([DEFAULT_WEIGHTS], levels=["ground"], quick=True), rounds=2, turn_s=0.01)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("ground") / "results.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "MASK_SIZE", Size(160, 96))
        assert run_plan(PLAN, Results({}, file), Console(file=io.StringIO()))
    assert psutil.Process().children() == []
    data: dict[str, Any] = json.loads(file.read_text())
    return data


def test_every_result_is_a_row(measured: dict[str, Any]) -> None:
    rows = {row["result"]: row for row in measured["ground"]}
    results = {"drivable mask", "occupancy", "scan", "obstacle points", "semantic points"}
    results |= {"all together", "all with measured depth"}
    assert set(rows) == results | {TABLES_FOR_CALIBRATION, TABLES_FOR_POSE}
    for name, row in rows.items():
        assert (row["mask_width"], row["mask_height"], row["error"]) == (160, 96, None)
        assert 0 < row["p25_ms"] <= row["median_ms"] <= row["p75_ms"]
        assert row["runs"] == (20 if name in results else 2)
        if name in results:
            assert row["speedup"] == pytest.approx(row["usual_ms"] / row["median_ms"], rel=0.05, abs=0.02)
            assert row["speedup_p25"] <= row["speedup_p75"]
        else:
            assert row["usual_ms"] is row["speedup"] is None
    parts = sum(rows[name]["usual_ms"] for name in results - {"all together", "all with measured depth"})
    assert rows["all together"]["usual_ms"] < parts, "the projection is made once for all of them"


def test_the_table_shows_them(measured: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=120)
    machine = {
        **dict.fromkeys(("cpu", "cpu_family", "cpu_model", "cores_usable", "memory_gb", "os", "python"), "?"),
        **{"gpus": [], "versions": {}, "load_at_start": 0},
    }
    print_results({**measured, "machine": machine}, console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "Ground projection of a mask of 160x96, one thread" in shown and "all together" in shown


def test_a_process_that_fails_is_a_row_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "MASK_SIZE", Size(8, 8))
    results = Results({}, tmp_path / "results.json")
    assert run_plan(PLAN, results, Console(file=io.StringIO()))
    (row,) = results.data["ground"]
    assert "the street camera cannot film 8x8" in row["error"]


def test_the_usual_way_comes_to_the_same_ground() -> None:
    street = StreetCamera(320, 180, seed=3)
    labels = load_label_set("camvid11")
    kinds = kinds_of(labels, drivable="drivable", flat="walkable", obstacle="obstacle")
    mask, filmed, settings = street.frame(40).labels, street.pose(40), GroundSettings()
    assert mask is not None
    pose = CameraPose.from_parameters(0.0, 0.0, filmed.z, 0.0, filmed.pitch, 0.0)
    projector = GroundProjector(CameraModel(calibration_of(street.intrinsics, ())), pose, Size(320, 180), settings)
    plain = PlainProjection(street.intrinsics, pose, settings)
    points = plain.points()
    np.testing.assert_allclose(points, projector.points_in_range, rtol=1e-4, atol=1e-4)
    view = projector.view(mask, kinds)
    usual_view = plain.view(kinds[mask])
    np.testing.assert_array_equal(usual_view.drivable_mask(), view.drivable_mask())
    usual, ours = usual_view.occupancy(), view.occupancy()
    both = (usual == 0) & (ours != -1)
    assert both.sum() > 1000 and (ours[both] == 0).mean() > 0.98
    nearest = usual_view.scan().min()
    assert nearest == pytest.approx(float(np.nanmin(view.scan().ranges)), rel=0.03)
    first = usual_view.obstacle_points()
    assert len(first) > 50 and np.hypot(*first[:, :2].T).min() == pytest.approx(
        float(np.hypot(*view.obstacle_points()[:, :2].T).min()), rel=0.05
    )
    confidence = np.full_like(mask, 7)
    record = usual_view.semantic_points(mask, confidence, labels.palette)
    cloud = SemanticCloud(projector.points_in_range, labels.palette).fill(mask, confidence).view(record.dtype)
    for name in ("rgb", "label", "confidence"):
        np.testing.assert_array_equal(record[name].reshape(-1), cloud[name])
    assert Kind.OBSTACLE in kinds[mask]
