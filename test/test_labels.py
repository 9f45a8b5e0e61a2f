from pathlib import Path

import numpy as np
import pytest

from fanet_ros.errors import LabelSetError
from fanet_ros.model.labels import UNLABELLED, load_label_set, save_label_set, shipped_label_sets


def test_shipped_sets_are_complete() -> None:
    sizes = {
        "camvid11": 11,
        "cityscapes19": 19,
        "cocostuff171": 171,
        "drivable3": 3,
        "idd7": 7,
        "isprs5": 5,
        "isprs6": 6,
        "ycor8": 8,
    }
    assert shipped_label_sets() == tuple(sizes)
    assert {name: len(load_label_set(name)) for name in sizes} == sizes


@pytest.mark.parametrize("name", shipped_label_sets())
def test_every_shipped_set_has_the_groups_robots_ask_for(name: str) -> None:
    labels = load_label_set(name)
    roads = {
        "isprs5": ["impervious surface"],
        "isprs6": ["impervious surface"],
        "drivable3": ["drivable"],
        "idd7": ["drivable"],
        "ycor8": ["smooth trail", "rough trail"],
    }
    assert labels.ids_in("drivable") == tuple(map(labels.id_of, roads.get(name, ["road"])))
    assert set(labels.ids_in("drivable")) <= set(labels.ids_in("walkable"))
    assert set(labels.ids_in("dynamic")) <= set(labels.ids_in("obstacle"))


def test_camvid_ids_are_those_of_the_data_set() -> None:
    names = [
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "signsymbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ]
    assert load_label_set("camvid11").names == tuple(names)


def test_palette_is_black_where_there_is_no_class() -> None:
    labels = load_label_set("camvid11")
    assert labels.palette.shape == (256, 3)
    assert tuple(labels.palette[3]) == (128, 64, 128)
    assert not labels.palette[len(labels) :].any()
    assert not labels.palette[UNLABELLED].any()
    assert labels.palette.dtype == np.uint8


def test_own_file_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("classes: [{name: floor, color: [1, 2, 3]}, {name: wall, color: [4, 5, 6]}]\n")
    labels = load_label_set(str(path))
    assert (labels.name, labels.names, labels.colors[1]) == ("mine", ("floor", "wall"), (4, 5, 6))
    with pytest.raises(LabelSetError, match="has no group 'drivable'; it has none"):
        labels.ids_in("drivable")
    with pytest.raises(LabelSetError, match="no class 'roof'; it has floor, wall"):
        labels.id_of("roof")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- just\n- a list\n", "expected a mapping"),
        ("classes: []\n", "0 classes, expected 1 to 255"),
        ("classes: [road]\n", "expected {name: NAME, color"),
        ("classes: [{name: road, color: red}]\n", "expected .R, G, B. in 0..255"),
        ("classes: [{name: road}]\n", "received color"),
        ("classes: [{name: road, color: [0, 0, 256]}]\n", "in 0..255"),
        ("classes: [{name: a, color: [0, 0, 0]}, {name: a, color: [0, 0, 1]}]\n", "appears twice"),
        ("classes: [{name: a, color: [0, 0, 0]}]\ngroups: {drivable: [b]}\n", "names no class of the set: b"),
        ("classes: [{name: a, color: [0, 0, 0]}]\ngroups: {drivable: a}\n", "expected a list"),
        ("classes: [{name: a, color: [0, 0, 0]}]\ngroups: [a]\n", "expected {GROUP"),
        ("classes: [\n", "no valid YAML"),
    ],
)
def test_malformed_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(LabelSetError, match=message) as error:
        load_label_set(str(path))
    assert str(path) in str(error.value)


def test_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(LabelSetError, match="no label set 'kitti'; shipped are camvid11, cityscapes19"):
        load_label_set("kitti")


def test_missing_path_is_named() -> None:
    with pytest.raises(LabelSetError, match="cannot read label set /nowhere/labels.yaml"):
        load_label_set("/nowhere/labels.yaml")


def test_a_label_set_survives_being_written(tmp_path: Path) -> None:
    label_set = load_label_set("cityscapes19")
    save_label_set(label_set, tmp_path / "copy.yaml")
    assert load_label_set(str(tmp_path / "copy.yaml")) == label_set
