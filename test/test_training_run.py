"""Whole trainings of a few steps, in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_camvid import make_tiny_camvid, write_tiny_recipe

from fanet_ros.errors import DatasetError, FanetError, SettingError, TrainingError
from fanet_ros.segmenter import Segmenter
from fanet_ros.training import run
from fanet_ros.training.checkpoint import load_state
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import load_recipe
from fanet_ros.training.trainer import Outcome

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_tiny_camvid(tmp_path / "camvid")


def task(tmp_path: Path, data: Path, *overrides: str, output: str = "run") -> run.Task:
    recipe = load_recipe(write_tiny_recipe(tmp_path), overrides)
    return run.Task(recipe, {"camvid": data}, tmp_path / output, workers=0)


def train(task: run.Task, stop: Callable[[], bool] = lambda: False) -> Outcome:
    return run.start(task, ALONE, lambda _: None).train(stop)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    state = load_state(folder)
    return {**state["network"], **{f"average {name}": tensor for name, tensor in (state["average"] or {}).items()}}


def test_a_training_leaves_weights_that_a_node_can_run(tmp_path: Path, data: Path) -> None:
    outcome = train(task(tmp_path, data))
    folder = tmp_path / "run"
    assert outcome.finished and outcome.iteration == 6
    assert outcome.best is not None and 0 <= outcome.best <= 1
    assert outcome.weights == folder / "best.safetensors"
    for name in ("best", "final"):
        segmenter = Segmenter(folder / f"{name}.safetensors", backend="torch", device="cpu")
        assert segmenter.label_set.name == "camvid11"
        labels = segmenter.segment(np.zeros((72, 96, 3), np.uint8)).labels
        assert labels.shape == (72, 96) and labels.max() < 11
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["iteration"] for entry in entries if "validation" in entry] == [4, 6]
    assert all(np.isfinite(entry["loss"]) for entry in entries if "loss" in entry)
    assert (folder / "pictures" / "camvid-val_000006.jpg").stat().st_size > 1000
    assert list((folder / "tensorboard").iterdir())
    assert load_recipe(folder / "recipe.yaml").run.iterations == 6


def test_the_best_weights_are_those_that_were_scored(tmp_path: Path, data: Path) -> None:
    """The file scores what the log says, by the package's own front door."""
    from fanet_ros.metrics import ConfusionMatrix

    outcome = train(task(tmp_path, data, "run.iterations=30", "run.validate_every=30", "optimizer.average=0"))
    assert outcome.weights is not None
    segmenter = Segmenter(outcome.weights, backend="torch", device="cpu", precision="fp32", input_size="camera")
    confusion = ConfusionMatrix(11)
    for sample in map(run_sample(data), range(2)):
        confusion.add(segmenter.segment(sample[0]).labels, sample[1])
    # matrices are stored in half precision
    assert confusion.mean_iou() == pytest.approx(outcome.best, abs=0.01)


def run_sample(data: Path) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    from fanet_ros.datasets import open_dataset

    dataset = open_dataset("camvid", data, "val")
    return lambda index: (dataset.read(index).image, dataset.read(index).labels)


def test_a_training_learns(tmp_path: Path, data: Path) -> None:
    settings = ["loss.class_weights=none", "loss.auxiliary_weight=0", "augmentation.scale=[1, 1]", "run.iterations=30"]
    validation = ["run.validate_every=100", "data.validation=[{dataset: camvid, split: train}]"]
    outcome = train(task(tmp_path, data, *settings, *validation))
    assert outcome.best is not None and outcome.best > 0.2
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path, data: Path, kind: str, workers: int) -> None:
    overrides = [f"optimizer.kind={kind}", "data.mix=[{dataset: camvid, split: val, share: 0.3}]"]
    train(task(tmp_path, data, *overrides, output="whole"))

    asked = iter([False] * 3 + [True])
    first = train(task(tmp_path, data, *overrides, output="parts"), lambda: next(asked))
    assert not first.finished and first.iteration == 4
    second = run.resume(tmp_path / "parts", {}, workers, ALONE, lambda _: None).train(lambda: False)
    assert second.finished and second.iteration == 6

    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    whole_file, parts_file = (load_file(tmp_path / name / "final.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole_file[name], parts_file[name]) for name in whole_file)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_precisions_and_layouts_train(tmp_path: Path, data: Path, precision: str) -> None:
    settings = [f"run.precision={precision}", "run.channels_last=false", "loss.auxiliary_weight=0", "loss.kind=ohem"]
    outcome = train(task(tmp_path, data, *settings, "optimizer.clip_norm=1", "run.iterations=2"))
    assert outcome.finished and outcome.best is not None


def test_a_training_that_diverges_stops_and_keeps_its_last_checkpoint(tmp_path: Path, data: Path) -> None:
    diverging = task(
        tmp_path,
        data,
        "optimizer.kind=sgd",
        "optimizer.rate=1e18",
        "optimizer.warm_up=0",
        "run.save_every=1",
        "run.iterations=9",
    )
    with pytest.raises(TrainingError, match=r"the training diverged.*Lower optimizer.rate \(it is 1e\+18\)"):
        train(diverging)
    tensors = load_state(tmp_path / "run")["network"]
    assert all(torch.isfinite(tensor).all() for name, tensor in tensors.items() if "running" not in name)


def test_a_folder_holds_one_training(tmp_path: Path, data: Path) -> None:
    once = task(tmp_path, data, "run.iterations=1")
    train(once)
    with pytest.raises(TrainingError, match="holds a training already.*--resume"):
        train(once)
    with pytest.raises(TrainingError, match="is finished"):
        run.resume(tmp_path / "run", {}, 0, ALONE, lambda _: None)


def test_data_that_moved_is_found_where_it_is_said_to_be(tmp_path: Path, data: Path) -> None:
    train(task(tmp_path, data), lambda: True)
    moved = data.rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match="camvid"):
        run.resume(tmp_path / "run", {}, 0, ALONE, lambda _: None)
    assert run.resume(tmp_path / "run", {"": moved}, 0, ALONE, lambda _: None).train(lambda: False).finished


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("loss.class_weights=[1, 2]", SettingError, "2 weights, but there are 11 classes"),
        ("data.train={dataset: camvid, split: nowhere}", DatasetError, "nowhere"),
        ("data.mix=[{dataset: cityscapes, share: 0.5}]", DatasetError, "cityscapes"),
        ("data.mix=[{dataset: camvid, share: 0.5, rename: {road: street}}]", DatasetError, "'street'.*'camvid11'"),
        ("data.mix=[{dataset: camvid, share: 0.5, rename: {street: road}}]", DatasetError, "no class 'street'"),
        ("network.frozen=[head]", SettingError, "no part 'head'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, data: Path, override: str, error: type[FanetError], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(task(tmp_path, data, override))
    assert not (tmp_path / "run").exists()
