import json
import os
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.errors import SettingError
from fanet_ros.model.labels import load_label_set
from fanet_ros.reports import report
from fanet_ros.reports.report import RunReport, make_folder, print_summary, write_image

LABELS = load_label_set("camvid11")
PICTURE = np.full((36, 64, 3), 90, np.uint8)
MASK = np.full((36, 64), 3, np.uint8)


def test_files_and_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = RunReport(tmp_path / "run", LABELS, video_rate_hz=10.0)
    truth = MASK.copy()
    truth[:9] = 0
    for index in range(40):
        report.add_frame(PICTURE, PICTURE, MASK, hold=2)
        report.add_latency("inference", float(index))
        report.add_truth(MASK, truth)
    summary = report.finish({"source": "test", "nothing": None})
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert summary["source"] == "test"
    assert summary["frames_processed"] == 40
    assert summary["latency_ms"]["inference"] == {"p50": 19.5, "p99": pytest.approx(38.61)}
    assert summary["class_shares"]["road"] == 1.0 and summary["class_shares"]["sky"] == 0.0
    assert summary["iou"] == {"sky": 0.0, "road": 0.75}
    assert summary["mean_iou"] == 0.375

    video = cv2.VideoCapture(str(tmp_path / "run" / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 80
    assert video.get(cv2.CAP_PROP_FPS) == 10
    assert video.read()[1].shape == (36, 64, 3)
    sheet = cv2.imread(str(tmp_path / "run" / "contact_sheet.png"))
    assert sheet.shape[1] == 3 * 420
    np.testing.assert_array_equal(sheet[-9, 630], LABELS.palette[3][::-1], "the colour of the class")

    print_summary(summary, "a title")
    printed = capsys.readouterr().out
    for text in ("a title", "inference", "19.5", "road", "100.0%", "0.750"):
        assert text in printed


def test_no_video_for_pictures_and_no_iou_without_truth(tmp_path: Path) -> None:
    report = RunReport(tmp_path, LABELS, video_rate_hz=None)
    report.add_frame(PICTURE, PICTURE, MASK)
    summary = report.finish({})
    assert not (tmp_path / "overlay.mp4").exists()
    assert "mean_iou" not in summary


def test_nothing_recorded_is_no_error(tmp_path: Path) -> None:
    assert RunReport(tmp_path, LABELS, video_rate_hz=5.0).finish({})["frames_processed"] == 0


def test_frames_of_other_sizes_fit_into_the_video(tmp_path: Path) -> None:
    report = RunReport(tmp_path, LABELS, video_rate_hz=5.0)
    report.add_frame(PICTURE, PICTURE, MASK)
    larger = np.zeros((72, 128, 3), np.uint8)
    report.add_frame(larger, larger, MASK)
    report.finish({})
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be made"):
        make_folder(tmp_path / "file" / "folder")


def test_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot write"):
        write_image(tmp_path / "no" / "such" / "folder.png", PICTURE)


def test_pictures_keep_their_colours(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 0] = 200
    write_image(tmp_path / "red.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "red.png"))[0, 0], [0, 0, 200])


def test_what_an_earlier_run_has_counted_is_added(tmp_path: Path) -> None:
    earlier = RunReport(tmp_path / "earlier", LABELS, video_rate_hz=None)
    for _ in range(3):
        earlier.add_frame(PICTURE, PICTURE, np.zeros_like(MASK))
    report = RunReport(tmp_path / "run", LABELS, video_rate_hz=None)
    report.restore(3, earlier.label_counts)
    report.add_frame(PICTURE, PICTURE, MASK)
    summary = report.finish({})
    assert summary["frames_processed"] == 4
    assert (summary["class_shares"]["sky"], summary["class_shares"]["road"]) == (0.75, 0.25)
    assert report.frames == 1
    counts = report.label_counts
    counts[:] = 0
    assert report.label_counts.sum() == 4 * MASK.size, "a copy"


def test_latencies_of_long_runs_take_no_more_memory(tmp_path: Path) -> None:
    report = RunReport(tmp_path, LABELS, video_rate_hz=None)
    values = np.random.default_rng(0).permutation(30_000) / 1000
    for value in values[:15_000]:
        report.add_latency("inference", value)
    tracemalloc.start()
    for value in values[15_000:]:
        report.add_latency("inference", value)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 10_000
    latency = report.summary()["latency_ms"]["inference"]
    assert latency["p50"] == pytest.approx(15, abs=0.5) and latency["p99"] == pytest.approx(29.7, abs=0.1)


def test_names_that_are_no_utf_8_are_written(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    report.write_image(path, np.zeros((4, 6, 3), np.uint8))
    assert path.stat().st_size > 50
    with pytest.raises(SettingError, match="No such file or directory"):
        report.write_image(tmp_path / "gone" / "a.png", np.zeros((4, 6), np.uint8))
