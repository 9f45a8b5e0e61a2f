import inspect
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_writing import image, text, write_bag
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner

from fanet_ros.commands.cli import app, segment
from fanet_ros.commands.console import print_error, say
from fanet_ros.errors import SettingError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.resources import package_version

RUNNER = CliRunner()


def test_help_and_version() -> None:
    assert RUNNER.invoke(app, ["--version"]).output.strip() == package_version()
    result = RUNNER.invoke(app, ["segment", "--help"])
    assert result.exit_code == 0
    assert "Images, videos, folders of images, or recordings" in " ".join(result.output.replace("│", " ").split())


def test_options_have_the_nodes_defaults() -> None:
    specs = SegmentationParameters.specs()
    options = inspect.signature(segment).parameters
    shared = [name for name in options if name in specs and not specs[name].one_will_do]  # here there is one camera
    assert len(shared) >= 8
    assert {name: options[name].default for name in shared} == {name: specs[name].default for name in shared}


def test_names_are_told_short_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\x07\udce9" + "x" * 100_000
    say(f"first {hostile}\nsecond [red]")
    print_error(SettingError(f"received {hostile}"))
    told = capsys.readouterr()
    for words in (told.out, told.err):
        assert "\\x1b[2J\\x07\\udce9" in words and "\x1b[2J" not in words and len(words) < 3000
    assert told.out.splitlines()[1] == "second [red]"


def test_segment_goes_on_after_a_bad_path(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.full((72, 120, 3), 90, np.uint8))
    (tmp_path / "bad.png").write_text("no picture")
    arguments = ["segment", str(tmp_path / "bad.png"), "/nowhere.mp4", str(tmp_path / "good.png")]
    result = RUNNER.invoke(app, [*arguments, "--input-size", "160x96", "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "2 of 3 paths could not be segmented" in result.output
    assert "bad.png" in result.output and "/nowhere.mp4 does not exist" in result.output
    assert (tmp_path / "out" / "good" / "good_mask.png").exists()


def test_brackets_in_names_are_no_markup(tmp_path: Path) -> None:
    good = tmp_path / "[" / "camera].png"
    good.parent.mkdir()
    cv2.imwrite(str(good), np.full((72, 120, 3), 90, np.uint8))
    arguments = ["segment", str(good), "[", "nowhere", "[/no].png", "--input-size", "160x96"]
    result = RUNNER.invoke(app, [*arguments, "--output", str(tmp_path / "[" / "out]")])
    assert result.exit_code == 1, result.output
    assert "[/no].png does not exist" in result.output and "3 of 4 paths" in result.output
    assert (tmp_path / "[" / "out]" / "camera]" / "camera]_mask.png").exists()


def test_faults_are_one_line_without_a_traceback(tmp_path: Path) -> None:
    for option, value, expected in (
        ("--weights", "/nowhere/model.pth", "/nowhere/model.pth"),
        ("--backend", "caffe", "expected one of auto, torch"),
        ("--input-size", "huge", "expected WIDTHxHEIGHT"),
        ("--labels", "kitti", "no label set 'kitti'"),
        ("--threads", "999", "received 999, expected a value from 0 to 256"),
        ("--temporal-frames", "0", "received 0, expected a value from 1 to 8"),
        ("--overlay-alpha", "2", "received 2.0, expected a value from 0 to 1"),
    ):
        result = RUNNER.invoke(app, ["segment", "picture.png", option, value, "--output", str(tmp_path)])
        assert result.exit_code == 2, result.output
        assert expected in result.output
        assert "Traceback" not in result.output


def test_segment_recordings(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "run", [image("/front/image_raw", 0), image("/rear/image_raw", 1)])
    arguments = ["segment", str(bag), "--input-size", "96x64", "--output", str(tmp_path / "out")]
    result = RUNNER.invoke(app, [*arguments, "--topic", "/rear/image_raw", "--only-results"])
    assert result.exit_code == 0, result.output
    assert "/rear/image_raw -> /segmentation" in result.output
    with AnyReader([tmp_path / "out" / "run" / "run_segmented"]) as reader:
        topics = {connection.topic for connection, _, _ in reader.messages()}
    assert topics == {"/segmentation/mask", "/segmentation/overlay/compressed", "/segmentation/label_info"}

    again = RUNNER.invoke(app, [*arguments, "--topic", "/rear/image_raw", "--only-results"])
    assert again.exit_code == 0 and "already segmented" in again.output


def test_other_numbers_of_frames_are_other_work(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "run", [image("/front/image_raw", number) for number in range(3)])
    arguments = ["segment", str(bag), "--input-size", "96x64", "--output", str(tmp_path / "out")]
    for more in ([], ["--temporal-frames", "2"], ["--temporal-frames", "3"]):
        assert RUNNER.invoke(app, [*arguments, *more]).exit_code == 0
    summaries = [
        json.loads((tmp_path / "out" / name / "summary.json").read_text()) for name in ("run", "run_2", "run_3")
    ]
    assert [summary["temporal_frames"] for summary in summaries] == [1, 2, 3]


def test_faults_of_recordings_are_one_line_and_the_others_go_on(tmp_path: Path) -> None:
    good = write_bag(tmp_path / "good", [image("/front/image_raw", 0)])
    silent = write_bag(tmp_path / "silent", [text("/chatter", 0)])
    (tmp_path / "bad.mcap").write_bytes(b"no recording")
    paths = [str(tmp_path / "bad.mcap"), str(silent), str(good)]
    result = RUNNER.invoke(app, ["segment", *paths, "--input-size", "96x64", "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "error: bad.mcap is damaged or cut short, or no recording of ROS 2: " in result.output
    assert "no topic of camera images; the topics are /chatter" in result.output
    assert "2 of 3 paths could not be segmented" in result.output and "Traceback" not in result.output
    assert (tmp_path / "out" / "good" / "good_segmented" / "metadata.yaml").exists()

    arguments = ["segment", str(good), "--topic", "/left/image", "--input-size", "96x64"]
    result = RUNNER.invoke(app, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "error: no image topic /left/image; the images are /front/image_raw" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment", "drive.mp4"],
        ["export", "--weights", "mine.pth"],
        ["benchmark", "--quick", "--weights", "mine.pth"],
        ["evaluate", "--dataset", "camvid", "--data", "mine"],
        ["evaluate", "--dataset", "street", "--labels", "./mine.yaml"],
        ["dataset", "check", "mine"],
        ["calibrate", "frames"],
        ["train", "--recipe", "mine.yaml"],
        ["train", "--resume", "runs/mine"],
        ["export", "--onnx", "mine/net.onnx"],
    ],
)
def test_a_missing_relative_path_tells_where_it_was_looked_for(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code in (1, 2)
    assert f"(looked for in {tmp_path})" in result.output, result.output


def test_shipped_weights_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("good.png", np.full((72, 120, 3), 90, np.uint8))
    for arguments in (["segment", "good.png", "--input-size", "160x96"], ["export", "--input-size", "160x96"]):
        result = RUNNER.invoke(app, [*arguments, "--weights", "shipped"])
        assert result.exit_code == 0, result.output
