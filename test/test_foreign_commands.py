"""The commands with networks that are not FANet."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_writing import drive, write_bag
from foreign_networks import Kind, own_labels, picture, write_network
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.evaluation.looks import Looks
from fanet_ros.evaluation.prediction import AveragingPredictor
from fanet_ros.segmenter import Segmenter

RUNNER = CliRunner()
CAMVID = Kind(classes=11)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments: object, fails: bool = False) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code != 0) == fails, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_a_card_is_written_to_be_completed(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind(), card="")
    output = run("export", "--card", weights)
    assert "input 'image': f32, NCHW, an open size, batches of any length" in output
    assert "to be filled in there: label_set, mean, std, scale, input_size (docs/networks.md)" in output
    card = weights.with_suffix(".md")
    text = card.read_text()
    assert "# output 'logits': logits of 19 classes" in text and "have as many: cityscapes19" in text
    assert "no card says which pixels they are" in run("segment", weights, "--weights", weights, fails=True)
    assert "is there already" in run("export", "--card", weights, fails=True)
    for field, value in {"label_set": "cityscapes19", "scale": "1/255", "input_size": "192x128"}.items():
        text = text.replace(f"\n{field}:", f"\n{field}: {value}")
    text = text.replace("\nmean:", "\nmean: [0.485, 0.456, 0.406]").replace("\nstd:", "\nstd: [0.229, 0.224, 0.225]")
    card.write_text(text)
    frame = picture(192, 128)
    found = Segmenter(weights, backend="openvino").segment(frame).labels
    assert (found == own_labels(network, frame, (128, 192))).mean() >= 0.999


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (Kind(outputs=("a", "b")), "label_set, output, mean, std, scale, input_size"),
        (Kind(takes_uint8=True, nhwc=True, fixed=True), "label_set"),
        (Kind("argmax", fixed=True), "label_set, mean, std, scale"),
    ],
)
def test_only_what_is_missing_is_asked_for(kind: Kind, missing: str, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, kind, card="")
    assert f"to be filled in there: {missing} (docs" in run("export", "--card", weights)


def test_label_sets_that_merge_others_classes_are_not_proposed_for_a_card(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind(classes=3), card="")
    run("export", "--card", weights)
    text = weights.with_suffix(".md").read_text()
    assert "3 classes" in text and "drivable3" not in text


def test_no_card_for_what_is_no_network(tmp_path: Path) -> None:
    other = tmp_path / "weights.pth"
    other.write_bytes(b"something")
    assert "expected an .onnx file" in run("export", "--card", other, fails=True)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"something")
    assert "damaged or truncated ONNX file" in run("export", "--card", broken, fails=True)
    assert "no such weights file" in run("export", "--card", tmp_path / "none.onnx", fails=True)


def test_images_and_recordings_are_segmented(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind())
    frame = picture(192, 128)
    cv2.imwrite(str(tmp_path / "photo.png"), frame[..., ::-1])
    write_bag(tmp_path / "drive", drive(images=3))
    output = ("--weights", weights, "--backend", "openvino", "-o", tmp_path / "out")
    run("segment", tmp_path / "photo.png", tmp_path / "drive", *output)
    (mask,) = (tmp_path / "out/photo").glob("*mask*.png")
    labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    assert (labels == own_labels(network, frame, labels.shape)).mean() >= 0.999
    (bag,) = {path.parent for path in (tmp_path / "out/drive").rglob("*.mcap")}
    with AnyReader([bag]) as reader:
        masks = [c for c, _, _ in reader.messages() if c.topic.endswith("/mask")]
    assert len(masks) == 3


def test_int8_is_calibrated_measured_and_taken(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind(fixed=True))
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(4):
        cv2.imwrite(str(images / f"{seed}.png"), picture(192, 128, seed)[..., ::-1])
    output = run("calibrate", images, "--weights", weights, "--backend", "openvino", "--precision", "int8")
    assert "precision auto: int8 passed the accuracy gate" in output
    segmenter, frame = Segmenter(weights, backend="openvino"), picture(192, 128)
    assert segmenter.backend_info.precision == "int8"
    assert (segmenter.segment(frame).labels == own_labels(network, frame, (128, 192))).mean() > 0.95
    card = weights.with_suffix(".md")
    card.write_text(
        card.read_text().replace("align_corners", "").replace("---\nlabel", "---\nchannel_order: bgr\nlabel")
    )
    assert Segmenter(weights, backend="openvino").backend_info.precision == "fp32", "it was measured with another card"


def test_int8_is_measured_for_merged_classes(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind("softmax", fixed=True))
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(4):
        cv2.imwrite(str(images / f"{seed}.png"), picture(192, 128, seed)[..., ::-1])
    merged = ("--labels", "drivable3", "--backend", "openvino", "--precision", "int8")
    assert "int8 passed the accuracy gate" in run("calibrate", images, "--weights", weights, *merged)
    chosen = {
        labels: Segmenter(weights, labels=labels, backend="openvino").backend_info.precision
        for labels in ("", "drivable3")
    }
    assert chosen == {"": "fp32", "drivable3": "int8"}


def test_they_teach_unless_they_give_labels_alone(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(4):
        cv2.imwrite(str(images / f"{seed}.png"), picture(192, 128, seed)[..., ::-1])
    weights, network = write_network(tmp_path, Kind("softmax"))
    teach = ("teach", images, "--teacher", weights, "--backend", "openvino", "--images", "4", "--sure", "0")
    run(*teach, "--output", tmp_path / "own")
    for image in images.iterdir():
        (mask,) = (tmp_path / "own/labels").rglob(f"*{image.stem}.png")
        labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        frame = np.ascontiguousarray(cv2.imread(str(image))[..., ::-1])
        assert (labels == own_labels(network, frame, labels.shape)).mean() >= 0.999
    run(*teach, "--output", tmp_path / "merged", "--labels", "drivable3")
    with np.load(next((tmp_path / "merged/soft").iterdir())) as soft:
        assert next(iter(soft.values())).shape[0] == 3
    write_network(tmp_path, Kind("argmax_keep"))
    assert "gives labels alone" in run(*teach, "--output", tmp_path / "none", fails=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("head", ["logits", "softmax", "argmax"])
def test_evaluation_of_merged_classes(head: str, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind(head, classes=11))
    summary = tmp_path / "summary.json"
    street = ("evaluate", "--dataset", "street", "--split", "val", "--limit", "2", "--backend", "openvino")
    run(*street, "--weights", weights, "--labels", "drivable3", "--json", summary)
    assert set(json.loads(summary.read_text())["scores"]["iou"]) == {"drivable", "walkable", "obstacle"}
    if head != "argmax":
        segmenter, frame = Segmenter(weights, labels="drivable3", backend="openvino"), picture(256, 160)
        averaged = AveragingPredictor(segmenter, Looks()).predict(frame)
        assert (averaged == segmenter.segment(frame).labels).mean() >= 0.999


def test_int8_of_a_transformer_serves_every_size(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind(mixes=True))
    images = tmp_path / "images"
    images.mkdir()
    for seed, (width, height) in enumerate(((256, 128), (128, 256), (192, 128))):
        cv2.imwrite(str(images / f"{seed}.png"), picture(width, height, seed)[..., ::-1])
    run("calibrate", images, "--weights", weights, "--backend", "openvino", "--precision", "int8")
    frame = picture(320, 192)
    segmenter = Segmenter(weights, backend="openvino", precision="int8", input_size="320x192")
    assert (segmenter.segment(frame).labels == own_labels(network, frame, (192, 320))).mean() > 0.9


def test_evaluation_scores_other_networks(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, CAMVID)
    street = ("evaluate", "--dataset", "street", "--split", "val", "--limit", "2", "--backend", "openvino")
    summary = tmp_path / "summary.json"
    run(*street, "--weights", weights, "--json", summary)
    once = json.loads(summary.read_text())
    assert once["weights"]["network"] == "model" and 0 < once["scores"]["pixel_accuracy"] < 1
    run(*street, "--weights", weights, "--json", summary, "--flip", "--scales", "0.75,1")
    assert json.loads(summary.read_text())["input_sizes"] != once["input_sizes"]
    assert "is for FANet only" in run(*street, "--weights", weights, "--temporal", "2", fails=True)

    decided, _ = write_network(tmp_path, Kind("argmax", classes=11))
    run(*street, "--weights", decided)
    assert "which have none" in run(*street, "--weights", decided, "--confidence", fails=True)
    assert "cannot be averaged" in run(*street, "--weights", decided, "--flip", fails=True)


def test_the_benchmark_measures_them_against_openvino(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind(fixed=True))
    results = tmp_path / "results.json"
    arguments = ("--quick", "--rounds", "1", "--backend", "openvino", "--backend", "torch", "--precision", "fp32")
    run("benchmark", "--weights", weights, "--level", "frame", "--level", "network", *arguments, "--json", results)
    rows = json.loads(results.read_text())
    assert {(row["backend"], row["width"]) for row in rows["network"]} == {("reference", 192), ("openvino", 192)}
    assert all(row["agreement_with_reference"] == 1 for row in rows["frame"])


def test_what_trains_refuses_them(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, CAMVID)
    for command in (
        ("temper", "--weights", weights, "--output", tmp_path / "out.safetensors", "--dataset", "street"),
        ("export", "--weights", weights, "--onnx", tmp_path / "out.onnx"),
    ):
        output = run(*command, fails=True)
        assert "needs the weights of a FANet" in output or "is a network in that or a like form already" in output


def test_labels_stay_below_the_label_set(tmp_path: Path) -> None:
    """A robot indexes tables with labels: what is no class is unlabelled."""
    weights, network = write_network(tmp_path, Kind("argmax", stride=1, fixed=True))
    seen = np.unique(own_labels(network, picture(192, 128, 5), (128, 192)))
    assert set(np.unique(Segmenter(weights, backend="openvino").segment(picture(192, 128, 5)).labels)) <= {*seen, 255}
