"""What a training says of its recipe and labels before it starts."""

import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_folder import EXACT, write_folder

from fanet_ros.errors import DatasetError
from fanet_ros.training.advice import give_advice
from fanet_ros.training.material import open_material
from fanet_ros.training.recipe import parse_recipe

RECIPE = {
    "name": "tiny",
    "data": {"train": {"dataset": "folder"}},
    "augmentation": {"crop": "64x64"},
    "optimizer": {"rate": 0.01},
    "run": {"iterations": 40, "batch": 2},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images whose labels show sky, road and tree."""
    return write_folder(tmp_path / "mine", EXACT, None, dark=False)


def paint(data: Path, ids: dict[int, int], split: str = "train") -> None:
    """Replace ids in all labels; those that are not named become 0."""
    table = np.zeros(256, np.uint8)
    table[list(ids)] = list(ids.values())
    for file in (data / "labels" / split).iterdir():
        cv2.imwrite(str(file), table[cv2.imread(str(file), cv2.IMREAD_UNCHANGED)])


def advice(folder: Path, caplog: pytest.LogCaptureFixture, **changes: dict[str, object]) -> str:
    recipe = parse_recipe({**RECIPE, **{name: {**RECIPE.get(name, {}), **more} for name, more in changes.items()}}, "")
    caplog.set_level(logging.WARNING, "fanet_ros")
    caplog.clear()
    give_advice(recipe, open_material(recipe, {"folder": folder}, lambda _: None), lambda _: None)
    return caplog.text


def test_classes_that_no_label_shows(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = advice(data, caplog)
    assert "classes that never occur in the labels of folder train, as far as looked at: building, pole" in said
    assert "road" not in said and said.count("WARNING") == 1


def test_masks_of_0_and_255_are_refused(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    paint(data, {EXACT["road"][0]: 255})
    with pytest.raises(DatasetError, match=r"folder train show nothing but sky.* Masks of 0 and 255 must be written"):
        advice(data, caplog)
    paint(data, dict.fromkeys(range(256), 255))
    with pytest.raises(DatasetError, match="folder train show no class at all, so there is nothing to learn"):
        advice(data, caplog)


def test_ids_outside_the_set_and_much_that_is_ignored(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    paint(data, {EXACT["road"][0]: 77, EXACT["tree"][0]: 1})
    said = advice(data, caplog)
    assert "labels of folder train hold values that are no class and are ignored: 77 (" in said
    assert "classes are 0 to 10" in said
    paint(data, {0: 255, 77: 255, 1: 1})
    cv2.imwrite(str(data / "labels/train/0.png"), np.zeros((72, 96), np.uint8))
    assert "% of the pixels of folder train are ignored (255)" in advice(data, caplog)


def test_validation_without_a_class(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("images", "labels"):
        shutil.copytree(data / name / "train", data / name / "val")
    validation = {"validation": [{"dataset": "folder"}]}
    assert "folder val" not in advice(data, caplog, data=validation)
    paint(data, dict.fromkeys(range(256), 255), "val")
    assert "no pixel of folder val has a class" in advice(data, caplog, data=validation)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": {"warm_up": 50}}, "optimizer.warm_up is 50 of 40 iterations"),
        ({"optimizer": {"warm_up": 21}}, "set optimizer.warm_up=4"),
        ({"optimizer": {"rate": 3.0}}, "optimizer.rate is 3; sgd rarely learns anything above 1"),
        ({"optimizer": {"rate": 0.3, "kind": "adamw"}}, "optimizer.rate is 0.3; adamw rarely"),
        ({"run": {"batch": 7}}, "run.batch is 7, but folder train has 6 images"),
    ],
)
def test_recipes(
    data: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, dict[str, object]], said: str
) -> None:
    assert said in advice(data, caplog, **changes)
    usual = {"optimizer": {"warm_up": 20, "rate": 0.01}, "run": {"batch": 6}}
    assert said.split(" is ")[0] not in advice(data, caplog, **usual)
