"""Whole trainings of a few steps, in this process."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow_network import narrow_networks
from safetensors.torch import load_file
from tiny_camvid import make_tiny_camvid, write_tiny_recipe

from fanet_ros.datasets import open_dataset
from fanet_ros.errors import DatasetError, FanetError, SettingError, TrainingError
from fanet_ros.reports.scores import Scorer
from fanet_ros.segmenter import Segmenter
from fanet_ros.training import run
from fanet_ros.training.checkpoint import load_state
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import load_recipe
from fanet_ros.training.run_folder import RunFolder
from fanet_ros.training.trainer import Outcome

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True, scope="module")
def _narrow() -> Iterator[None]:
    with narrow_networks():
        yield


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
    outcome = train(task(tmp_path, data, "run.iterations=30", "run.validate_every=30", "optimizer.average=0"))
    assert outcome.weights is not None
    segmenter = Segmenter(outcome.weights, backend="torch", device="cpu", precision="fp32", input_size="camera")
    confusion = Scorer(11)
    for sample in map(open_dataset("camvid", data, "val").read, range(2)):
        confusion.add(segmenter.segment(sample.image).labels, sample.labels)
    # matrices are stored in half precision
    assert confusion.scores().miou == pytest.approx(outcome.best, abs=0.01)


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

    asked = iter([False] * 4 + [True])
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
    with pytest.raises(TrainingError, match=r"the training diverged.*lower optimizer.rate \(it was 1e\+18\)"):
        train(diverging)
    # what is kept has nothing infinite in it
    tensors = load_state(tmp_path / "run")["network"]
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point())


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(("name", "reached"), [("best", 4), ("final", 6)])
def test_weights_whose_writing_was_cut_short_are_written_by_the_next_attempt(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, name: str, reached: int
) -> None:
    train(task(tmp_path, data, output="whole"))
    save = RunFolder.save

    def cut_short(folder: RunFolder, which: str, *arguments: Any) -> None:
        if which == name:
            raise _Killed
        save(folder, which, *arguments)

    with monkeypatch.context() as patch, pytest.raises(_Killed):
        patch.setattr(RunFolder, "save", cut_short)
        train(task(tmp_path, data, output="parts"))
    assert load_state(tmp_path / "parts")["iteration"] == reached
    log = tmp_path / "parts" / "log.jsonl"
    log.write_text(log.read_text() + '{"iteration": 6, "loss"')  # cut short by the kill
    assert run.resume(tmp_path / "parts", {}, 0, ALONE, lambda _: None).train(lambda: False).finished
    for file in ("best", "final"):
        whole, parts = (load_file(tmp_path / folder / f"{file}.safetensors") for folder in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert len({(row["iteration"], row.get("validation")) for row in rows}) == len(rows)
    assert [row["iteration"] for row in rows if "validation" in row] == [4, 6]


def test_a_signal_cuts_a_validation_short_and_the_next_attempt_does_it(tmp_path: Path, data: Path) -> None:
    settings = ("run.validate_every=4", "run.save_every=100")
    train(task(tmp_path, data, *settings, output="whole"))
    trainer = run.start(task(tmp_path, data, *settings, output="parts"), ALONE, lambda _: None)
    stopped = trainer.train(lambda: trainer._validation_due)  # asked once it validates
    assert (stopped.finished, stopped.iteration, stopped.best) == (False, 4, None)
    assert run.resume(tmp_path / "parts", {}, 0, ALONE, lambda _: None).train(lambda: False).finished
    scores = [
        [
            row["miou"]
            for row in map(json.loads, (tmp_path / name / "log.jsonl").read_text().splitlines())
            if "miou" in row
        ]
        for name in ("whole", "parts")
    ]
    assert len(scores[0]) == 2 and scores[1] == scores[0]


def test_what_a_training_leaves_has_the_permissions_of_any_new_file(tmp_path: Path, data: Path) -> None:
    (tmp_path / "usual").touch()
    train(task(tmp_path, data, "run.iterations=1"))
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.stat().st_mode for path in files} == {(tmp_path / "usual").stat().st_mode}
    assert {"best.safetensors", "best.md", "last.pt", "recipe.yaml"} <= {path.name for path in files}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_ends_the_training_but_not_what_was_learnt(tmp_path: Path, data: Path, workers: int) -> None:
    damaged = replace(task(tmp_path, data, "run.save_every=100", "run.iterations=9"), workers=workers)
    trainer = run.start(damaged, ALONE, lambda _: None)
    plan = [choice.sample for iteration in range(3) for choice in trainer._material.plan.step(iteration)]
    (data / "train" / f"{plan[-1]}.png").write_bytes(b"\x89PNG")  # each of six is seen once in three steps of two
    with pytest.raises(DatasetError, match="no readable image") as caught:
        trainer.train(lambda: False)
    assert "Traceback" not in str(caught.value)
    assert load_state(tmp_path / "run")["iteration"] == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_and_resumes(tmp_path: Path, data: Path, precision: str) -> None:
    gpu = Processes(0, 1, torch.device("cuda", 0))
    asked = iter([False] * 3 + [True])
    begun = run.start(task(tmp_path, data, f"run.precision={precision}"), gpu, lambda _: None)
    assert not begun.train(lambda: next(asked)).finished
    outcome = run.resume(tmp_path / "run", {}, 1, gpu, lambda _: None).train(lambda: False)
    assert outcome.finished and outcome.best is not None


def test_fp16_trains_without_a_warning(tmp_path: Path, data: Path) -> None:
    """Its first steps overflow, because the scale of gradients starts high; they count as steps, but teach nothing."""
    assert train(task(tmp_path, data, "run.precision=fp16", "run.iterations=3")).finished


def test_other_data_are_no_reason_to_go_on(tmp_path: Path, data: Path) -> None:
    train(task(tmp_path, data), lambda: True)
    lines = (data / "train.txt").read_text().splitlines(keepends=True)
    (data / "train.txt").write_text("".join(lines[1:]))
    with pytest.raises(DatasetError, match="not those with which the training"):
        run.resume(tmp_path / "run", {}, 0, ALONE, lambda _: None)


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
        (
            "network.frozen=[resnet, fam_4, fam_8, fam_16, fam_32, clslayer, clslayer_16, clslayer_32]",
            SettingError,
            "nothing",
        ),
        ("run.batch=1", TrainingError, "a single value"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, data: Path, override: str, error: type[FanetError], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(task(tmp_path, data, override))
    assert not (tmp_path / "run").exists()


def test_a_training_on_clips_learns_from_the_past_and_resumes_exactly(tmp_path: Path) -> None:
    clips = make_tiny_camvid(tmp_path / "clips", video=True)
    overrides = ["network.temporal_frames=2", "augmentation.disturb=0.3", "run.precision=bf16"]
    assert train(task(tmp_path, clips, *overrides, output="whole")).finished
    asked = iter([False, False, False, True])
    assert not train(task(tmp_path, clips, *overrides, output="cut"), lambda: next(asked)).finished
    assert run.resume(tmp_path / "cut", {}, 0, ALONE, lambda _: None).train(lambda: False).finished
    whole, cut = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    cards = [(tmp_path / "whole" / f"{name}.md").read_text() for name in ("best", "final")]
    assert all("\ntemporal_frames: 2\n" in card for card in cards)
    # images alone lead to other weights, and their card says nothing of memory
    train(task(tmp_path, clips, *overrides[1:], output="images"))
    images = weights_of(tmp_path / "images")
    assert any(not torch.equal(whole[name], images[name]) for name in whole)
    assert "temporal" not in (tmp_path / "images" / "final.md").read_text()


def test_clips_of_what_is_no_video_are_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(
        DatasetError, match="no image of camvid's split train has a frame 1 before it, so clips of 2 fr"
    ):
        run.start(task(tmp_path, data, "network.temporal_frames=2"), ALONE, lambda _: None)
