import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from evaluation_data import CLASSES, write_camvid, write_weights
from typer.testing import CliRunner

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.commands.evaluate import evaluate
from fanet_ros.datasets import open_dataset
from fanet_ros.evaluation import run as evaluation_run
from fanet_ros.evaluation.run import Evaluation
from fanet_ros.reports.scores import Scorer
from fanet_ros.segmenter import Segmentation, Segmenter

APP = typer.Typer()
APP.command()(evaluate)
RUNNER = CliRunner()
FAST = ["--backend", "torch", "--device", "cpu", "--precision", "fp32", "--threads", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_camvid(tmp_path_factory.mktemp("camvid"), {"val": 4, "test": 1})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")


def run(weights: Path, data: Path, *arguments: str) -> str:
    """Run the command, which must succeed; later options replace earlier ones."""
    fixed = ["--data", str(data), "--weights", str(weights), *FAST]
    result = RUNNER.invoke(APP, [*fixed, *arguments], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_everything_is_written_and_right(weights: Path, data: Path, tmp_path: Path) -> None:
    json_file, png, folder = tmp_path / "scores.json", tmp_path / "confusion.png", tmp_path / "overlays"
    files = ["--json", str(json_file), "--confusion", str(png), "--overlays", str(folder), "--overlay-count", "1"]
    output = run(weights, data, "--dataset", "camvid", "--input-size", "camera", *files)

    dataset, expected = open_dataset("camvid", data, "val"), Scorer(CLASSES)
    segmenter = Segmenter(weights, backend="torch", device="cpu", precision="fp32", input_size="camera", threads=1)
    for index in range(len(dataset)):
        sample = dataset.read(index)
        expected.add(segmenter.segment(sample.image).labels, sample.labels)
    segmenter.close()
    facts = json.loads(json_file.read_text())
    assert facts["scores"]["miou"] == pytest.approx(expected.scores().miou, abs=1e-6)
    assert facts["scores"]["frames"] == len(facts["images"]) == 4
    assert list(facts["scores"]["iou"]) == list(dataset.label_set.names)
    assert [image["name"] for image in facts["images"]] == list(dataset.names)
    assert facts["weights"]["sha256"] == artefacts.weights_digest(weights)
    assert facts["weights"]["network"] == "FANet-18"
    assert facts["backend"] | {"reason": ""} == {"name": "torch", "device": "cpu", "precision": "fp32", "reason": ""}
    assert facts["dataset"] == {
        **{"name": "camvid", "split": "val", "path": str(data), "options": {}, "images": 4},
        "label_set": "camvid11",
    }
    assert facts["settings"]["input_size"] == "camera" and facts["input_sizes"] == ["64x48"]
    assert facts["complete"] is True and facts["settings"]["limit"] == 0
    assert facts["protocol"] is None and facts["date"] and {"fanet_ros", "torch"} <= facts["versions"].keys()

    assert f"mIoU {100 * expected.scores().miou:.2f} %" in output
    assert "FANet-18 (random.safetensors) on camvid val" in output and "bicyclist" in output
    assert "4 images" in output and "network input 64x48" in output
    assert cv2.imread(str(png)) is not None
    assert [path.name.split("_")[1] for path in sorted(folder.iterdir())] == ["worst", "best"]


def test_a_protocol_is_compared_with_what_was_published(weights: Path, data: Path, tmp_path: Path) -> None:
    json_file = tmp_path / "scores.json"
    arguments = ["--protocol", "camvid-test", "--input-size", "96x72", "--flip", "--json", str(json_file)]
    output = run(weights, data, *arguments)
    assert "protocol camvid-test" in output and "70.1" in output and "measured now" in output
    assert "not as the protocol has it: input_size 96x72 instead of 960x720" in output
    assert "not as the protocol has it: flip true instead of false" in output
    facts = json.loads(json_file.read_text())
    assert facts["dataset"]["split"] == "test" and facts["input_sizes"] == ["96x72"]
    assert facts["protocol"]["name"] == "camvid-test" and len(facts["protocol"]["differences"]) == 2
    assert {"network": "FANet-34", "source": "Hu et al., RA-L 2021, arXiv 2007.03815", "miou": 70.1} in (
        facts["protocol"]["published"]
    )


def test_looks_limit_and_classes(weights: Path, data: Path, tmp_path: Path) -> None:
    json_file = tmp_path / "scores.json"
    looks = ["--scales", "0.5,1", "--flip", "--window", "48x32", "--stride", "32x32", "--input-size", "camera"]
    rest = ["--limit", "2", "--leave-out", "sky", "--leave-out", "road", "--json", str(json_file)]
    output = run(weights, data, "--dataset", "camvid", *looks, *rest)
    assert "for windows of 48x32, mirrored, too" in output
    assert output.count("(left out)") == 2
    facts = json.loads(json_file.read_text())
    assert facts["input_sizes"] == ["32x32", "48x32"]  # 24x16 is below the smallest input
    assert facts["scores"]["frames"] == facts["settings"]["limit"] == 2
    assert facts["settings"]["leave_out"] == ["sky", "road"]
    present = [
        iou
        for name, iou in facts["scores"]["iou"].items()
        if facts["scores"]["shares"][name] and name not in ("sky", "road")
    ]
    assert facts["scores"]["miou"] == pytest.approx(sum(present) / len(present), abs=1e-5)


def test_protocols_are_listed() -> None:
    result = RUNNER.invoke(APP, ["--protocol", "list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for text in ("cityscapes-val", "camvid-test", "densepass", "window 1024x1024", "without clutter", "mIoU 76.3"):
        assert text in result.output


def test_faults_are_one_line_without_a_traceback(weights: Path, data: Path, tmp_path: Path) -> None:
    other = write_weights(tmp_path / "other.safetensors", 19, "cityscapes19")
    for arguments, text in (
        ([], "dataset: received none"),
        (["--dataset", "camvid", "--weights", str(other)], "(19 classes against 11); evaluate weights that"),
        (["--dataset", "camvid", "--labels", "cityscapes19"], "label set 'cityscapes19' has 19 classes but the"),
        (["--protocol", "nobody"], "protocol: received 'nobody', expected one of cityscapes-val"),
        (["--dataset", "camvid", "--scales", "big"], "scales: received 'big', expected numbers"),
        (["--dataset", "camvid", "--scales", "9"], "scales: received 9, expected numbers from 0.1 to 8"),
        (["--dataset", "camvid", "--stride", "64x64"], "stride: received 64x64 without a window"),
        (["--dataset", "camvid", "--data", str(tmp_path / "no")], "does not exist; data set camvid needs a folder"),
        (["--dataset", "camvid", "--data", str(tmp_path)], "is no camvid"),
        (["--dataset", "nothing"], "unknown data set 'nothing'"),
        (["--dataset", "camvid", "--option", "x=1"], "option"),
        (["--dataset", "camvid", "--option", "=1"], "option: received '=1', expected KEY=VALUE"),
        (["--dataset", "camvid", "--leave-out", "clutter"], "has no class 'clutter'"),
        (["--dataset", "camvid", "--json", str(tmp_path / "no" / "a.json")], "json: there is no folder"),
        (["--dataset", "camvid", "--json", str(tmp_path)], "is a folder; give the name of a file"),
        (["--dataset", "camvid", "--json", "/proc/a.json"], "json: /proc cannot be written"),
        (["--dataset", "camvid", "--confusion", "/proc/a.png"], "confusion: /proc cannot be written"),
        (["--dataset", "camvid", "--confusion", "a.pdf"], "expected the name of a .png file"),
        (["--dataset", "camvid", "--overlays", str(weights)], "cannot be made"),
        (["--dataset", "camvid", "--precision", "fp8"], "received 'fp8'"),
        (["--dataset", "camvid", "--threads", "999"], "expected a value from 0 to 256"),
    ):
        fixed = ["--data", str(data), "--weights", str(weights), *FAST]
        result = RUNNER.invoke(APP, [*fixed, *arguments], env={"COLUMNS": "200"})
        assert result.exit_code == 2, (arguments, result.output)
        assert text in result.output
        assert "Traceback" not in result.output


def test_ctrl_c_keeps_what_was_scored(
    weights: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, calls = Segmenter.segment, iter(range(9))

    def segment_until_ctrl_c(segmenter: Segmenter, *arguments: Any, **settings: Any) -> Segmentation:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return segment(segmenter, *arguments, **settings)

    monkeypatch.setattr(Segmenter, "segment", segment_until_ctrl_c)
    arguments = ["--dataset", "camvid", "--data", str(data), "--weights", str(weights), *FAST]
    files = ["--json", str(tmp_path / "scores.json"), "--overlays", str(tmp_path / "overlays")]
    result = RUNNER.invoke(APP, [*arguments, *files], env={"COLUMNS": "200"})
    assert result.exit_code == 130, result.output
    assert "the figures are of the first 2 of 4 images only; overlays were not drawn" in result.output
    assert "2 images, " in result.output and f"written: {tmp_path / 'scores.json'}\n" in result.output
    facts = json.loads((tmp_path / "scores.json").read_text())
    assert facts["complete"] is False and len(facts["images"]) == facts["scores"]["frames"] == 2


def test_classes_are_checked_before_a_network_is_built(
    weights: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("built for nothing")

    monkeypatch.setattr("fanet_ros.commands.evaluation.Segmenter", refuse)
    arguments = ["--dataset", "camvid", "--data", str(data), "--weights", str(weights), *FAST]
    result = RUNNER.invoke(APP, [*arguments, "--leave-out", "clutter"], env={"COLUMNS": "200"})
    assert result.exit_code == 2 and "has no class 'clutter'" in result.output


def test_a_protocols_class_that_the_data_do_not_have(weights: Path, data: Path, tmp_path: Path) -> None:
    # CamVid has no clutter, no more than ISPRS' five classes have
    arguments = ["--protocol", "potsdam", "--dataset", "camvid", "--split", "val", "--window", "none"]
    output = run(weights, data, *arguments, "--json", str(tmp_path / "scores.json"))
    difference = "leave_out none instead of clutter: camvid11 has no clutter"
    assert f"not as the protocol has it: {difference}" in output
    facts = json.loads((tmp_path / "scores.json").read_text())
    assert difference in facts["protocol"]["differences"] and facts["settings"]["leave_out"] == []


def test_networks_are_kept_for_every_scale(weights: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []

    def open_and_note(*arguments: Any, **settings: Any) -> Segmenter:
        kept.append(settings["kept_sizes"])
        return Segmenter(*arguments, **settings)

    monkeypatch.setattr("fanet_ros.commands.evaluation.Segmenter", open_and_note)
    for scales in ("1", "0.5,0.75,1,1.25,1.5,1.75"):
        run(weights, data, "--dataset", "camvid", "--limit", "1", "--input-size", "64x48", "--scales", scales)
    assert kept == [4, 6]


def test_results_are_printed_though_a_file_cannot_be_written(
    weights: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanet_ros.commands.evaluation.check_can_write", lambda option, path: None)  # it could, then
    arguments = ["--dataset", "camvid", "--data", str(data), "--weights", str(weights), *FAST, "--limit", "1"]
    result = RUNNER.invoke(APP, [*arguments, "--json", str(tmp_path / "gone" / "a.json")], env={"COLUMNS": "200"})
    assert result.exit_code == 2 and "cannot write" in result.output and "Traceback" not in result.output
    assert "mIoU" in result.output and "bicyclist" in result.output


def test_weights_are_described_as_they_were_when_the_run_began(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_weights(tmp_path / "training.safetensors")
    digest, judge = artefacts.weights_digest(weights), evaluation_run.evaluate

    def evaluate_while_training(*arguments: Any, **settings: Any) -> Evaluation:
        weights.unlink()  # a training is about to replace it
        return judge(*arguments, **settings)

    monkeypatch.setattr(evaluation_run, "evaluate", evaluate_while_training)
    run(weights, data, "--dataset", "camvid", "--limit", "1", "--json", str(tmp_path / "scores.json"))
    assert json.loads((tmp_path / "scores.json").read_text())["weights"]["sha256"] == digest


def test_importing_the_command_line_stays_light() -> None:
    heavy = ("torch", "matplotlib")
    code = f"import sys, fanet_ros.commands.evaluate; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or None)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_videos_are_gone_through_with_memory(weights: Path, tmp_path: Path) -> None:
    json_file, png = tmp_path / "scores.json", tmp_path / "confusion.png"
    small = ["width=96", "height=64", "streets=2", "moments=1", "length=4"]
    options = [word for option in small for word in ("--option", option)]
    what = ["--dataset", "street", "--temporal", "2", "--limit", "1"]
    files = ["--json", str(json_file), "--confusion", str(png)]
    result = RUNNER.invoke(APP, ["--weights", str(weights), *FAST, *options, *what, *files], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    facts = json.loads(json_file.read_text())
    assert facts["scores"]["frames"] == 4  # of one video
    assert (facts["settings"]["temporal_frames"], facts["settings"]["step"]) == (2, 1)
    assert facts["backend"]["name"] == "torch" and png.stat().st_size > 0
    for told in ("T = 2", f"written: {json_file}, {png}"):
        assert told in result.output


def test_what_videos_cannot_have_is_told(weights: Path, data: Path, tmp_path: Path) -> None:
    for words, message in (
        (["--overlays", str(tmp_path / "o")], "overlays: not together with --temporal"),
        (["--temporal", "9"], "temporal_frames: received 9, expected 1 (no memory) to 8"),
        ([], "no image of camvid's split val has a frame 1 before it"),
    ):
        result = RUNNER.invoke(
            APP,
            ["--dataset", "camvid", "--data", str(data), "--weights", str(weights), *FAST, "--temporal", "2", *words],
        )
        assert result.exit_code == 2 and message in " ".join(result.stderr.split())


def test_scores_below_a_guess_are_warned_of(weights: Path, data: Path, tmp_path: Path) -> None:
    """Labels that show one class, and a network that sees others there."""
    shutil.copytree(data, tmp_path / "one")
    arguments = ["--weights", str(weights), *FAST, "--dataset", "camvid", "--data", str(tmp_path / "one")]
    labels = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (tmp_path / "one" / "valannot").iterdir()]
    found = {}
    for class_id in range(11):
        for file, before in zip((tmp_path / "one" / "valannot").iterdir(), labels, strict=True):
            cv2.imwrite(str(file), np.full_like(before, class_id))
        result = RUNNER.invoke(APP, arguments, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        miou = float(re.search(r"mIoU ([\d.]+) %", result.stdout)[1])  # type: ignore[index]
        found[class_id] = (miou, "labelling all with the most frequent class would score 100.00 %" in result.stderr)
        if miou < 100:
            break
    assert found[max(found)][1] and not any(warned for miou, warned in found.values() if miou == 100)


def test_merged_classes_are_scored(weights: Path, data: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.json"
    files = (
        "--json",
        str(scores),
        "--confusion",
        str(tmp_path / "confusion.png"),
        "--overlays",
        str(tmp_path / "worst"),
    )
    output = run(
        weights, data, "--dataset", "camvid", "--labels", "drivable3", "--input-size", "64x48", "--confidence", *files
    )
    assert all(name in output for name in ("drivable", "walkable", "obstacle")) and "building" not in output
    found = json.dumps(json.loads(scores.read_text()))
    assert '"obstacle"' in found and '"building"' not in found
    assert (tmp_path / "confusion.png").is_file() and any((tmp_path / "worst").iterdir())
