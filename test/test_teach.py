"""`fanet teach`: fanet_ros/teaching/teach.py and the command."""

import fcntl
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bag_writing import image, picture, write_bag
from evaluation_data import write_weights
from narrow_network import narrow_networks
from numpy.typing import NDArray
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.datasets import open_dataset
from fanet_ros.datasets.meanings import find_meaning
from fanet_ros.datasets.soft_labels import SoftLabels
from fanet_ros.errors import InferenceError, SettingError, SourceError
from fanet_ros.model.labels import load_label_set
from fanet_ros.resources import DEFAULT_WEIGHTS, config_path
from fanet_ros.segmenter import Segmenter
from fanet_ros.sources import open_source
from fanet_ros.teaching.teach import IDENTITY, SHEET, Task, teach

FRAMES = 24


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    segmenter = Segmenter(input_size="160x96", backend="openvino", precision="int8")
    yield segmenter
    segmenter.close()


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of the street, a second apart, as images."""
    folder = tmp_path_factory.mktemp("footage")
    with open_source("street", width=160, height=96, rate_hz=1.0) as street:
        for number in range(FRAMES):
            frame = street.read()
            assert frame is not None
            cv2.imwrite(str(folder / f"{number:03d}.png"), frame.image[..., ::-1])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_data_set_that_training_takes(segmenter: Segmenter, footage: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine"
    done = teach(Task((footage,), output, images=12, sure=0.8), segmenter)
    assert (done.train + done.val, done.earlier) == (12, 0) and done.val == 1
    assert set(done.shares) == set(segmenter.label_set.names) and 0.3 < sum(done.shares.values()) < 1
    own = load_label_set(str(output / "labels.yaml"))
    assert own.names == segmenter.label_set.names and own.groups == segmenter.label_set.groups
    soft = SoftLabels(output / "soft", "{name}.npz", find_meaning(own, own))
    for split, count in (("train", done.train), ("val", done.val)):
        samples = open_dataset("folder", output, split)
        assert len(samples) == count
        soft.check(samples.names)
        for index in range(count):
            sample = samples.read(index)
            with open_source(str(footage / f"{int(sample.name[-6:]):03d}.png")) as source:
                frame = source.read()
            assert frame is not None and np.abs(frame.image[..., ::-1].astype(int) - sample.image).mean() < 6
            found = segmenter.segment(frame.image, "bgr8", confidence_threshold=0.8)
            np.testing.assert_array_equal(sample.labels, found.labels)
            sure = soft.read(sample.name)
            assert sure.shape == (24, 40, 11) and np.abs(sure.sum(2, np.int32) - 255).max() <= 11
            middle = segmenter.segment(frame.image, "bgr8").labels[2::4, 2::4]
            assert (sure.argmax(2) == middle).mean() > 0.9
    sheet = cv2.imread(str(output / SHEET))
    assert sheet is not None and sheet.shape[1] == 3 * 420


def test_the_last_frames_are_held_out(segmenter: Segmenter, footage: Path, tmp_path: Path) -> None:
    teach(Task((footage,), tmp_path / "mine", images=20), segmenter)
    numbers = {s: [int(p.stem[-6:]) for p in (tmp_path / "mine/images" / s).iterdir()] for s in ("train", "val")}
    assert len(numbers["val"]) == 2 and min(numbers["val"]) > max(numbers["train"])


def test_merged_classes_make_a_data_set_of_these(footage: Path, tmp_path: Path) -> None:
    merged = Segmenter(labels="drivable3", input_size="160x96", backend="openvino", precision="int8")
    teach(Task((footage,), tmp_path / "mine", images=4, sure=0.0), merged)
    merged.close()
    samples = open_dataset("folder", tmp_path / "mine", "train")
    assert samples.label_set.names == ("drivable", "walkable", "obstacle") and samples.label_set.network is None
    soft = SoftLabels(tmp_path / "mine/soft", "{name}.npz", find_meaning(samples.label_set, samples.label_set))
    values = soft.read(samples.names[0])
    assert values.shape[2] == 3 and values.sum(2, np.int32).min() < 100 < values.sum(2, np.int32).max(), (
        "the sky is none"
    )
    assert {0, 2} < set(np.unique(samples.read(0).labels)) <= {0, 1, 2, 255}


class Failing(Segmenter):
    """Gives up after some frames."""

    left: int
    error: BaseException

    def segment_softly(self, *arguments: Any, **options: Any) -> Any:
        if not self.left:
            raise self.error
        self.left -= 1
        return super().segment_softly(*arguments, **options)


@pytest.mark.parametrize("error", [InferenceError("no number"), KeyboardInterrupt()])
def test_interrupted_it_goes_on_and_ends_as_if_nothing_had_been(
    footage: Path, tmp_path: Path, error: BaseException
) -> None:
    failing = Failing(input_size="160x96", backend="openvino", precision="int8")
    task = Task((footage,), tmp_path / "mine", images=12)
    failing.left, failing.error = 5, error
    with pytest.raises(type(error), match="5 images are labelled and kept" if str(error) else None):
        teach(task, failing)
    half = next((tmp_path / "mine/soft").iterdir())
    failing.left = 100
    half.unlink()  # as if it had been killed before the last file of an image was there
    done = teach(task, failing)
    assert (done.earlier, failing.left) == (4, 92)
    teach(replace(task, output=tmp_path / "other"), failing)
    mine, other = contents(tmp_path / "mine"), contents(tmp_path / "other")
    assert mine.keys() == other.keys()
    assert all(mine[name] == other[name] for name in mine if not name.endswith(".npz"))  # zip files hold times
    assert teach(task, failing).earlier == 12 and contents(tmp_path / "mine") == mine
    failing.close()


def test_killed_at_any_moment_it_goes_on(segmenter: Segmenter, footage: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"  # so few that images have to be moved to be held out
    few.mkdir()
    for number in range(0, FRAMES, 6):
        (few / f"{number}.png").write_bytes((footage / f"{number:03d}.png").read_bytes())
    output = tmp_path / "mine"
    for name in (".unpacked-a1", ".teach.json.a2"):  # before it had begun
        (output / name).mkdir(parents=True)
        (output / name / "part").touch()
    task = Task((few,), output, images=4)
    teach(task, segmenter)
    whole = contents(output)
    assert not any(name.startswith(".") for name in whole)
    for name in ("images/train/.a.jpg.b1", "labels/val/.a.png.b2", "soft/.a.npz.b3"):  # while it wrote a file
        (output / name).mkdir()
        (output / name / "part").write_bytes(b"half")
    label = next((output / "labels/val").iterdir())
    label.rename(output / "labels/train" / label.name)  # while it held out an image
    assert teach(task, segmenter).val == 1
    assert contents(output) == whole


def test_work_of_another_kind_is_not_mixed(segmenter: Segmenter, footage: Path, tmp_path: Path) -> None:
    task = Task((footage,), tmp_path / "mine", images=4)
    teach(task, segmenter)
    for other in (replace(task, images=5), replace(task, sure=0.5), replace(task, teacher="x")):
        with pytest.raises(SettingError, match="was begun with another teacher, footage or setting"):
            teach(other, segmenter)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(SettingError, match="is not empty"):
        teach(replace(task, output=tmp_path / "full"), segmenter)
    with pytest.raises(SettingError, match="lies within the footage"):
        teach(replace(task, output=footage / "mine"), segmenter)
    with (tmp_path / "mine" / IDENTITY).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SettingError, match="another run is at work"):
            teach(task, segmenter)
    (tmp_path / "mine" / IDENTITY).write_bytes(b"\xff")
    with pytest.raises(SettingError, match="cannot be read"):
        teach(task, segmenter)


def test_footage_of_one_picture_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "still").mkdir()
    picture: NDArray[np.uint8] = np.full((40, 60, 3), 90, np.uint8)
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"still/{number}.png"), picture)
    with pytest.raises(SourceError, match="give more of it"):
        teach(Task((tmp_path / "still",), tmp_path / "mine"), segmenter)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_from_a_recording_to_trained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanet_ros.memory.keep_all_blocks", lambda: True)
    pictures = [cv2.normalize(picture(n), None, 0, 255, cv2.NORM_MINMAX) for n in range(20)]
    records = [image("/front/image_raw", n, data=pixels.tobytes()) for n, pixels in enumerate(pictures)]
    bag, output = write_bag(tmp_path / "run", records), tmp_path / "mine"
    teacher = write_weights(tmp_path / "teacher.safetensors")
    done = run("teach", bag, "--teacher", teacher, "-o", output, "--images", 8, "--input-size", "64x48", "--sure", 0)
    assert done.exit_code == 0, done.output
    assert "images to learn from and 1 held out" in done.output and "config/train/teach.yaml" in done.output
    small = ("run.iterations=2", "run.batch=2", "run.validate_every=2", "run.precision=fp32", "augmentation.crop=64x64")
    settings = [word for setting in (*small, "data.train.resize=64x48") for word in ("--set", setting)]
    with narrow_networks():
        recipe = config_path("train/teach.yaml")
        done = run(
            "train", "--recipe", recipe, "--data", output, "--output", tmp_path / "trained", "--workers", 0, *settings
        )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "trained/best.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "trained/log.jsonl").read_text().splitlines()]
    assert any("loss" in json.dumps(line) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere.mp4", "--teacher", DEFAULT_WEIGHTS], "/nowhere.mp4 does not exist"),
        ([".", "--teacher", "/nowhere.pth"], "/nowhere.pth"),
        ([".", "--teacher", DEFAULT_WEIGHTS, "--labels", "nothing"], "no label set 'nothing'"),
        ([".", "--teacher", DEFAULT_WEIGHTS, "--input-size", "big"], "input_size"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, arguments: list[object], message: str) -> None:
    done = run("teach", *arguments, "--output", tmp_path / "mine")
    assert done.exit_code == 2 and message in " ".join(done.output.split()) and "Traceback" not in done.output
    assert not (tmp_path / "mine").exists()
