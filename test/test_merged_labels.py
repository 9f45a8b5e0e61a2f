"""Label sets that merge the classes of a network: fanet_ros/model/merged_labels.py and what reads them."""

import logging
from pathlib import Path

import numpy as np
import pytest

from fanet_ros.errors import LabelSetError
from fanet_ros.model.labels import LabelSet, is_merged, load_label_set, save_label_set
from fanet_ros.model.model_card import ModelCard, merging_key, resolve_label_set

CAMVID, CITYSCAPES = load_label_set("camvid11"), load_label_set("cityscapes19")
SMALL = "classes: {way: [road, pavement], thing: [car, pedestrian]}\n"


def write(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def merged_into(label_set: LabelSet) -> dict[str, set[str]]:
    """Own class -> names of the network's classes; "" for unlabelled."""
    found: dict[str, set[str]] = {}
    for name, label in zip(label_set.of_network.names, label_set.merging, strict=True):
        found.setdefault("" if label == 255 else label_set.names[label], set()).add(name)
    return found


@pytest.mark.parametrize("network", [CAMVID, CITYSCAPES], ids=lambda network: network.name)
def test_the_shipped_one_merges_each_class_of_both_networks(network: LabelSet) -> None:
    label_set = resolve_label_set("drivable3", ModelCard(network.name), len(network))
    assert label_set.names == ("drivable", "walkable", "obstacle") and label_set.network == network
    found = merged_into(label_set)
    assert found["drivable"] == {"road"} and found[""] == {"sky"}
    assert found["obstacle"] == set(network.groups["obstacle"]) and "dynamic" in label_set.groups
    assert found["walkable"] == set(network.groups["walkable"]) - {"road"}
    assert label_set == resolve_label_set("drivable3", ModelCard(), len(network)), "without a card by their number"
    assert label_set.label_of is not None and label_set.label_of.dtype == np.uint8


def test_a_file_needs_only_its_classes(tmp_path: Path) -> None:
    label_set = load_label_set(write(tmp_path, SMALL), CAMVID)
    assert (label_set.name, label_set.names) == ("mine", ("way", "thing"))
    assert label_set.colors == tuple(CAMVID.colors[CAMVID.id_of(name)] for name in ("road", "car"))
    assert label_set.groups == {"drivable": (), "walkable": ("way",), "dynamic": ("thing",), "obstacle": ("thing",)}
    assert merged_into(label_set)[""] == set(CAMVID.names) - {"road", "pavement", "car", "pedestrian"}
    assert label_set == load_label_set(str(tmp_path / "mine.yaml"), classes=11), "found by its names"


def test_what_is_not_named_may_have_a_name_and_classes_may_only_be_renamed(tmp_path: Path) -> None:
    path = write(
        tmp_path, "classes: {lane: road}\nrest: other\ncolors: {other: [1, 2, 3]}\ngroups: {drivable: [lane]}\n"
    )
    label_set = load_label_set(path, CAMVID)
    assert label_set.names == ("lane", "other") and label_set.colors[1] == (1, 2, 3)
    assert merged_into(label_set) == {"lane": {"road"}, "other": set(CAMVID.names) - {"road"}}
    assert label_set.groups == {"drivable": ("lane",)}


def test_a_network_with_classes_of_its_own_is_named_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("classes: [{name: lawn, color: [0, 9, 0]}, {name: bed, color: [9, 0, 0]}]\n")
    path = write(tmp_path, "of: own.yaml\nclasses: {mow: [lawn]}\n")
    assert load_label_set(path).merging == (0, 255)
    assert resolve_label_set(path, ModelCard(str(tmp_path / "own.yaml")), 2).merging == (0, 255)
    assert resolve_label_set("", ModelCard(path), 2).merging == (0, 255), "the card may name the merged ones"


def test_a_network_that_was_trained_with_the_merged_classes_has_nothing_to_merge(tmp_path: Path) -> None:
    save_label_set(load_label_set("drivable3"), tmp_path / "trained.yaml")
    own = load_label_set(str(tmp_path / "trained.yaml"))
    assert not is_merged(str(tmp_path / "trained.yaml")) and own.names == ("drivable", "walkable", "obstacle")
    label_set = resolve_label_set("drivable3", ModelCard(str(tmp_path / "trained.yaml")), 3)
    assert label_set.label_of is None and label_set.network is None and label_set == own
    same = load_label_set(write(tmp_path, "classes: {" + ", ".join(f"{n}: [{n}]" for n in CAMVID.names) + "}"), CAMVID)
    assert same.merging == tuple(range(11)) and same.names == CAMVID.names, "each class by itself is no training"


def test_a_class_that_falls_out_of_all_groups_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_label_set(write(tmp_path, "classes: {far: [building, sky], way: [road]}\n"), CAMVID)
    assert "class 'far' is in no group" in caplog.text and "'way'" not in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {}\n", "0 classes, expected 1 to 255"),
        ("classes: {a: []}\n", r"class 'a' is made of \[\], expected a list"),
        ("classes: {a: 3}\n", "class 'a' is made of 3"),
        ("classes: {a: {road: 1}}\n", "class 'a' is made of"),
        ("classes: {a: [road, 3]}\n", "class 'a' is made of"),
        ("classes: {1: [road]}\n", "received the name 1"),
        ('classes: {"a\\n": [road]}\n', "without control characters"),
        ("classes: {a: [raod]}\n", "'raod' is no class of the network's: 'camvid11' has sky, building"),
        ("classes: {a: [road], b: [road]}\n", "'road' is named twice"),
        ("classes: {a: [road, road]}\n", "'road' is named twice"),
        ("classes: {a: [road]}\nrest: a\n", "rest is 'a', which is one of the classes"),
        ("classes: {a: [road]}\nrest: [b]\n", "received the name"),
        ("classes: {a: [road]}\nrests: b\n", "received 'rests', expected name, classes, rest, of, colors"),
        ('classes: {a: [road]}\nname: "a\\e[0m"\n', "received the name .*, expected one without control characters"),
        ("classes: {a: [road]}\nof: 3\n", "of is 3"),
        ("classes: {a: [road]}\nof: nowhere\n", "no label set 'nowhere'"),
        ("classes: {a: [road]}\nof: mine.yaml\n", "expected a list of the network's own classes"),
        ("classes: {a: [road]}\nof: cityscapes19\n", "merges the classes of cityscapes19, but the network's are"),
        ("classes: {a: [road], b: [wall]}\nof: [camvid11, cityscapes19]\n", "class 'b' is made of none of the classes"),
        ("classes: {a: [road]}\ncolors: {b: [0, 0, 0]}\n", "colors name no class of the set: 'b'"),
        ("classes: {a: [road]}\ncolors: {a: red}\n", "received color 'red'"),
        ("classes: {a: [road]}\ncolors: [a]\n", "received colors"),
        ("classes: {a: [road]}\ngroups: {drivable: [road]}\n", "names no class of the set: road"),
        ("classes: {a: [road]}\nrest: b\nof: mine2\n", "no label set 'mine2'"),
    ],
)
def test_malformed_merging_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(LabelSetError, match=message):
        load_label_set(path, CAMVID)


def test_an_unknown_network_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LabelSetError, match=r"no shipped label set has all of \['lawn'\].*of: cityscapes19"):
        load_label_set(write(tmp_path, "classes: {mow: [lawn]}\n"))
    with pytest.raises(LabelSetError, match=r"camvid11 \(11\), cityscapes19 \(19\), and the weights have 7"):
        resolve_label_set("drivable3", ModelCard(), 7)


def test_the_gate_tells_merged_classes_apart(tmp_path: Path) -> None:
    card = ModelCard("camvid11")
    assert merging_key("", card) == merging_key("camvid11", card) == ""
    some = merging_key(write(tmp_path, SMALL), card)
    assert some.startswith("mine ") and some == merging_key(write(tmp_path, SMALL + "colors: {way: [0, 0, 0]}\n"), card)
    assert some != merging_key(write(tmp_path, "classes: {way: [road], thing: [car]}\n"), card)
