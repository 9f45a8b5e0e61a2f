"""Trainings of a few steps on coarse labels, soft labels and mixtures of both."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from labelled_folder import CAMVID, DRIVABLE, EXACT, MAPPING, ROAD, SKY, TREE, write_folder
from narrow_network import narrow_networks
from tiny_camvid import make_tiny_camvid

from fanet_ros.datasets import open_dataset
from fanet_ros.datasets.base import Sample
from fanet_ros.datasets.soft_labels import save_soft_labels
from fanet_ros.datasets.street import StreetDataset
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.model.labels import LabelSet, load_label_set, save_label_set
from fanet_ros.model.weights import load_weights
from fanet_ros.reports.scores import Scorer
from fanet_ros.segmenter import Segmenter
from fanet_ros.training import run
from fanet_ros.training.checkpoint import load_state
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe import parse_recipe
from fanet_ros.training.trainer import Outcome

ALONE = Processes(0, 1, torch.device("cpu"))
RECIPE = {
    "name": "tiny",
    "network": {"labels": "camvid11"},
    "augmentation": {"crop": "64x64", "scale": [1, 1]},
    "loss": {"resolution": 4, "auxiliary_weight": 0},
    "optimizer": {"kind": "adamw", "rate": 2e-3, "warm_up": 2},
    "run": {"iterations": 30, "batch": 4, "validate_every": 100, "overlays": 0},
}


def train(
    output: Path, data: dict[str, object], paths: dict[str, Path], weights: Path | None = None, **run_settings: object
) -> Outcome:
    content = {**RECIPE, "data": data, "run": {**RECIPE["run"], **run_settings}}  # type: ignore[dict-item]
    task = run.Task(parse_recipe(content, "recipe"), paths, output, weights=weights, workers=0)
    return run.start(task, ALONE, lambda _: None).train(lambda: False)


def iou(weights: Path, folder: Path) -> dict[str, float]:
    """Score weights on images whose ids are CamVid's."""
    segmenter = Segmenter(weights, backend="torch", device="cpu", precision="fp32", input_size="camera")
    scorer = Scorer(11)
    data = open_dataset("folder", folder, "train")
    for sample in map(data.read, range(len(data))):
        scorer.add(segmenter.segment(sample.image).labels, sample.labels)
    segmenter.close()
    return dict(zip(CAMVID.names, scorer.scores().iou, strict=True))


@pytest.fixture(autouse=True, scope="module")
def _narrow() -> Iterator[None]:
    with narrow_networks():
        yield


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that know sky, road and trees of one camera, and what that camera sees."""
    folder = tmp_path_factory.mktemp("started")
    write_folder(folder / "data", EXACT, None, dark=False)
    train(folder / "run", {"train": {"dataset": "folder"}}, {"folder": folder / "data"}, iterations=60)
    return folder


def test_coarse_labels_alone_teach(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", DRIVABLE, MAPPING, dark=False)
    part = {"dataset": "folder", "split": "train"}
    outcome = train(tmp_path / "run", {"train": part, "validation": [part]}, {"folder": folder})
    assert outcome.best is not None and outcome.best > 0.8
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert set(log[-1]["iou"]) == {"drivable", "not drivable"}
    segmenter = Segmenter(tmp_path / "run/final.safetensors", backend="torch", device="cpu")
    assert segmenter.label_set.names == CAMVID.names


def test_soft_labels_alone_teach(tmp_path: Path) -> None:
    """No label files, and the teacher tells the road apart from one kind of tree or another."""
    folder = write_folder(tmp_path / "data", EXACT, None, dark=False)
    cityscapes = load_label_set("cityscapes19")
    for index in range(6):
        truth = cv2.imread(str(folder / f"labels/train/{index}.png"), cv2.IMREAD_UNCHANGED)[::2, ::2]
        soft = np.zeros((19, *truth.shape))
        for own, names in {SKY: ["sky"], ROAD: ["road"], TREE: ["vegetation", "terrain"]}.items():
            for name in names:
                soft[cityscapes.id_of(name)] = (truth == own) / len(names)
        save_soft_labels(tmp_path / f"teacher/{index}.npz", soft)
    part = {"dataset": "folder", "hard": False, "soft": {"from": "teacher", "labels": "cityscapes19"}}
    for file in (folder / "labels/train").iterdir():
        file.rename(tmp_path / file.name)
    (folder / "labels.yaml").rename(tmp_path / "labels.yaml")
    paths = {"folder": folder, "teacher": tmp_path / "teacher"}
    train(tmp_path / "run", {"train": part}, paths)
    for index in range(6):
        (tmp_path / f"{index}.png").rename(folder / f"labels/train/{index}.png")
    (tmp_path / "labels.yaml").rename(folder / "labels.yaml")
    found = iou(tmp_path / "run/final.safetensors", folder)
    assert min(found["sky"], found["road"], found["tree"]) > 0.7


def test_the_labels_of_a_street_are_ignored_where_its_recipe_says_so(
    tmp_path: Path, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is rendered with its labels, which a training without hard labels must not learn from."""
    part = {
        "dataset": "street",
        "options": {"streets": 1, "moments": 4, "width": 96, "height": 72},
        "hard": False,
        "soft": {"from": "weights"},
    }
    weights = started / "run/final.safetensors"
    read = StreetDataset.read

    def read_all_road(dataset: StreetDataset, index: int) -> Sample:
        sample = read(dataset, index)
        return replace(sample, labels=np.full_like(sample.labels, ROAD))

    losses = []
    for name in ("true", "false"):
        assert train(tmp_path / name, {"train": part}, {}, weights, iterations=4).finished
        log = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        losses.append([entry["loss"] for entry in log])
        monkeypatch.setattr(StreetDataset, "read", read_all_road)
    true, false = (load_state(tmp_path / name)["network"] for name in ("true", "false"))
    assert all(torch.equal(true[name], false[name]) for name in true)
    start = load_weights(weights).state_dict
    assert losses[0] == losses[1] and losses[0][0] > 0
    assert any(not torch.equal(true[name], start[name]) for name in start)


def test_drivable_or_not_improves_the_road_of_another_camera(tmp_path: Path, started: Path) -> None:
    """And what the labels leave open, sky or tree, stays what it was, as the weights before guide it."""
    other = write_folder(tmp_path / "exact", EXACT, None, dark=True)
    folder = write_folder(tmp_path / "data", DRIVABLE, MAPPING, dark=True)
    weights = started / "run/final.safetensors"
    guided = {"dataset": "folder", "soft": {"from": "weights"}}  # as in config/train/drivable.yaml
    train(tmp_path / "run", {"train": guided}, {"folder": folder}, weights, iterations=80)
    before, after = iou(weights, other), iou(tmp_path / "run/final.safetensors", other)
    assert after["road"] > before["road"] + 0.03
    home = iou(tmp_path / "run/final.safetensors", started / "data")
    assert home["road"] > 0.5


def test_a_mixture_resumes_exactly(tmp_path: Path, started: Path) -> None:
    coarse = write_folder(tmp_path / "coarse", DRIVABLE, None, dark=True)
    data = {
        "train": {"dataset": "folder", "scale": [0.8, 1.2]},
        "mix": [
            {
                "dataset": "folder",
                "name": "coarse",
                "share": 0.5,
                "rename": MAPPING,
                "loss_weight": 0.5,
                "soft": {"from": "weights", "use": "guide"},
            }
        ],
    }
    paths, weights = {"folder": started / "data", "coarse": coarse}, started / "run/final.safetensors"
    train(tmp_path / "whole", data, paths, weights, iterations=4, save_every=2)
    content = {**RECIPE, "data": data, "run": {**RECIPE["run"], "iterations": 4, "save_every": 2}}  # type: ignore[dict-item]
    task = run.Task(parse_recipe(content, "recipe"), paths, tmp_path / "parts", weights=weights, workers=0)
    asked = iter([False] * 2 + [True])
    assert not run.start(task, ALONE, lambda _: None).train(lambda: next(asked)).finished
    labels = (coarse / "labels.yaml").read_text()
    save_label_set(LabelSet("mine", ("not drivable", "drivable"), ((0, 0, 0),) * 2, {}), coarse / "labels.yaml")
    with pytest.raises(DatasetError, match="not those with which the training"):  # other meanings are other data
        run.resume(tmp_path / "parts", {}, 1, ALONE, lambda _: None)
    (coarse / "labels.yaml").write_text(labels)
    assert run.resume(tmp_path / "parts", {}, 1, ALONE, lambda _: None).train(lambda: False).finished
    whole, parts = (load_state(tmp_path / name) for name in ("whole", "parts"))
    for kind in ("network", "guide"):
        assert all(torch.equal(whole[kind][name], parts[kind][name]) for name in whole[kind])
    assert any(not torch.equal(whole["network"][name], whole["guide"][name]) for name in whole["guide"])


def test_what_a_recipe_lacks_is_told_before_anything_is_read(tmp_path: Path, started: Path) -> None:
    paths = {"folder": started / "data"}
    weights = started / "run/final.safetensors"
    with pytest.raises(SettingError, match="needs what teaches: give --weights"):
        train(tmp_path / "a", {"train": {"dataset": "folder", "soft": {"from": "weights"}}}, paths)
    with pytest.raises(SettingError, match="guides nothing: none of its labels is coarse"):
        guiding = {"train": {"dataset": "folder", "soft": {"from": "weights", "use": "guide"}}}
        train(tmp_path / "a", guiding, paths, weights)
    with pytest.raises(DatasetError, match="none was given; give --data teacher=FOLDER"):
        train(tmp_path / "b", {"train": {"dataset": "folder", "soft": {"from": "teacher"}}}, paths)
    with pytest.raises(DatasetError, match="6 of 6 samples have no soft labels"):
        soft = {"train": {"dataset": "folder", "soft": {"from": "teacher"}}}
        train(tmp_path / "c", soft, {**paths, "teacher": tmp_path})
    with pytest.raises(SettingError, match="it needs soft"):
        train(tmp_path / "d", {"train": {"dataset": "folder", "hard": False}}, paths)
    narrow = {"train": {"dataset": "folder", "rename": dict.fromkeys(CAMVID.names, "road")}}
    with pytest.raises(DatasetError, match="no label of the training may be sky, building, .* would unlearn it"):
        train(tmp_path / "e", narrow, paths, weights)
    with pytest.raises(SettingError, match="no data set 'teachers'; it has folder, teacher"):
        run.main_path_named({"teachers": tmp_path}, parse_recipe({**RECIPE, "data": soft}, "recipe"))


def test_two_sets_of_one_kind_need_names(tmp_path: Path) -> None:
    camvid = make_tiny_camvid(tmp_path / "camvid")
    data = {"train": {"dataset": "camvid"}, "mix": [{"dataset": "camvid", "name": "other", "share": 0.5}]}
    recipe = parse_recipe({**RECIPE, "data": data}, "recipe")
    assert recipe.data.sources() == ("camvid", "other")
    assert run.main_path_named({"": camvid, "other": camvid}, recipe) == {"camvid": camvid, "other": camvid}
