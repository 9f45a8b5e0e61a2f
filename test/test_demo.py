"""The demo as a newcomer runs it: three processes, real DDS, files at the end."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from fanet_ros.ros.demo.run import loss_notes
from fanet_ros.view.interpreter import is_ready

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fanet_ros.ros.demo.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)


def test_street_camera(domain_id: int, tmp_path: Path) -> None:
    size = ("--input-size", "320x192", "--temporal-frames", "3")
    result = run_demo("--frames", "20", "--rate", "10", *size, "--output", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames_sent"] == 20
    assert 0 < summary["frames_processed"] <= 20
    assert summary["frames_lost_in_transport"] == 20 - summary["frames_received"] >= 0
    ended = sum(summary[f"frames_{end}"] for end in ("processed", "dropped", "skipped", "rejected"))
    assert summary["frames_received"] == ended
    assert 0 < summary["frames_recorded"] <= summary["frames_processed"]
    assert set(summary["latency_ms"]) == {"wait", "decode", "inference", "publish", "end_to_end"}
    assert all(0 <= latency["p50"] <= latency["p99"] for latency in summary["latency_ms"].values())
    assert summary["latency_ms"]["end_to_end"]["p50"] >= summary["latency_ms"]["inference"]["p50"]
    assert sum(summary["class_shares"].values()) == pytest.approx(1, abs=0.01)
    assert 0.5 < summary["mean_iou"] < 1, "the street knows the truth, and the network knows this street"
    assert summary["iou"]["road"] > 0.7
    assert summary["input_size"] == "320x192"
    assert summary["first_mask_after_s"] > 0 and summary["fps"] > 0
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= summary["frames_processed"]
    assert video.read()[1].shape == (360, 640, 3)
    assert cv2.imread(str(tmp_path / "contact_sheet.png")).std() > 10
    assert "mean iou" in result.stdout and "end to end" in result.stdout
    assert summary["grids_recorded"] > 0
    assert summary["frames_in_memory"] == 2, "attention sees three frames, the present one included"
    assert (tmp_path / "demo.rrd").exists() == is_ready(), "what the viewer showed, where it is installed"
    navigation = cv2.imread(str(tmp_path / "navigation.png"))
    assert navigation.shape[1] == 640 + 3 * 360, "the camera, free space by flat ground and by depth, the scan"
    for left in (640, 1000):  # BGR, beside the first overlay
        grid = navigation[28:388, left : left + 360]
        assert (grid == (112, 168, 96)).all(2).mean() > 0.02, "the street ahead is free"


def test_lost_frames_are_explained() -> None:
    counts = {"frames_sent": 100, "frames_received": 90, "frames_dropped": 0, "frames_lost_in_transport": 0}
    facts = {**counts, "fps": 6.0}
    assert loss_notes(facts) == []
    assert loss_notes({**facts, "frames_sent": None, "frames_lost_in_transport": None}) == [], "an interrupted run"
    (dropped,) = loss_notes({**facts, "frames_dropped": 7})
    assert "7 of 90 frames were dropped" in dropped and "RATE=4.8" in dropped
    (lost,) = loss_notes({**facts, "frames_lost_in_transport": 10})
    assert "10 of 100 frames were lost" in lost and "docs/transport.md" in lost


def test_own_video(domain_id: int, tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 96))
    for index in range(5):
        writer.write(np.full((96, 160, 3), 40 * index, np.uint8))
    writer.release()
    older = tmp_path / "out" / "navigation.png"
    older.parent.mkdir()
    older.write_bytes(b"of an earlier run, with the street")
    result = run_demo(
        "--video", str(path), "--frames", "8", "--input-size", "160x96", "--output", str(tmp_path / "out")
    )
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["source"] == str(path)
    assert summary["camera_rate_hz"] == 10, "the video's own rate"
    assert summary["frames_sent"] == 8, "a video that is too short loops"
    assert "mean_iou" not in summary, "footage has no ground truth"
    assert summary["frames_in_memory"] == 0, "by default each frame is seen by itself"
    assert not older.exists(), "its camera's pose is unknown, and older pictures would pass for its own"
    assert "no navigation.png" in result.stdout


def test_a_bad_setting_is_one_clear_line(domain_id: int, tmp_path: Path) -> None:
    result = run_demo("--input-size", "1x1", "--output", str(tmp_path))
    assert result.returncode == 2
    assert "'input_size': received '1x1'" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on this machine's GPU")
def test_a_node_that_cannot_be_configured_ends_the_demo(domain_id: int, tmp_path: Path) -> None:
    result = run_demo("--precision", "fp16", "--output", str(tmp_path))
    assert result.returncode == 1
    assert "error: cannot configure: no backend can start here: openvino: " in result.stdout
    assert "does not compute in fp16 here" in " ".join(result.stdout.split())


def test_missing_video_is_one_clear_line(domain_id: int, tmp_path: Path) -> None:
    result = run_demo("--video", "/nowhere/drive.mp4", "--output", str(tmp_path))
    assert result.returncode == 2
    assert "/nowhere/drive.mp4" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
