"""The benchmark's batch level: real networks in real processes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from fanet_ros.benchmark.levels import WAITING
from fanet_ros.benchmark.machine import describe_machine
from fanet_ros.benchmark.plan import Contender, make_plan
from fanet_ros.benchmark.results import Results
from fanet_ros.benchmark.run import run_plan
from fanet_ros.benchmark.tables import print_results
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One backend that works and one that cannot start."""
    file = tmp_path_factory.mktemp("batch") / "results.json"
    plan = replace(
        make_plan([DEFAULT_WEIGHTS], levels=["batch"], quick=True),
        contenders=(Contender("openvino", "fp32", "cpu"), Contender("tensorrt", "fp32", "cpu")),
        sizes=(Size(96, 64),),
        rounds=2,
        turn_s=0.01,
        cameras=(Size(128, 96),),
    )
    assert run_plan(plan, Results(describe_machine(), file), Console(file=io.StringIO()))
    data: dict[str, Any] = json.loads(file.read_text())
    return data


def test_rows(measured: dict[str, Any]) -> None:
    rows, failed = measured["batch"][:3], measured["batch"][3:]
    assert [row["waiting"] for row in rows] == list(WAITING) == [1, 2, 3]
    for row in rows:
        assert (row["backend"], row["precision"], row["device"]) == ("openvino", "fp32", "cpu")
        assert (row["width"], row["height"], row["camera_width"], row["camera_height"]) == (96, 64, 128, 96)
        assert row["runs"] >= 4 and row["error"] is None
        assert row["one_by_one_fps"] == pytest.approx(row["waiting"] / row["one_by_one_ms"] * 1e3, rel=0.01)
    assert rows[0]["batched_ms"] is rows[0]["gain"] is None
    for row in rows[1:]:
        assert row["gain"] == pytest.approx(row["one_by_one_ms"] / row["batched_ms"], rel=0.01)
        assert row["gain_p25"] <= row["gain_p75"]
    assert [row["waiting"] for row in failed] == list(WAITING)
    for row in failed:
        assert row["backend"] == "tensorrt" and "device 'cpu' was asked for" in row["error"]
        assert row["one_by_one_ms"] is row["gain"] is None


def test_nothing_else_was_measured(measured: dict[str, Any]) -> None:
    assert measured["network"] == measured["frame"] == measured["node"] == []


def test_table(measured: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=120)
    print_results(measured, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Frames of 128x96 that wait together" in shown
    assert shown.count("openvino fp32") == 3
    assert "not measured: tensorrt fp32: backend tensorrt runs on NVIDIA GPUs" in shown
