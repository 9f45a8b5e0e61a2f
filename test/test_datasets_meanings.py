from pathlib import Path

import numpy as np
import pytest

from fanet_ros.datasets import IGNORED
from fanet_ros.datasets.meanings import LabelSpace, find_meaning
from fanet_ros.errors import DatasetError, LabelSetError
from fanet_ros.model.labels import LabelSet, load_label_set, save_label_set

CAMVID, CITYSCAPES, IDD = (load_label_set(name) for name in ("camvid11", "cityscapes19", "idd7"))
OWN = LabelSet("own", ("drivable", "not drivable", "nothing"), ((0, 0, 0),) * 3, {})
MAPPING = {"drivable": "road", "not drivable": {"not": "road"}, "nothing": None}


def names(ids: tuple[int, ...]) -> set[str]:
    return {CAMVID.names[index] for index in ids}


def test_equal_names_are_the_same() -> None:
    meaning = find_meaning(CAMVID, CAMVID)
    assert meaning.may_be == tuple((index,) for index in range(11)) and not meaning.coarse


def test_a_class_may_be_one_of_several_all_but_some_or_nothing() -> None:
    meaning = find_meaning(OWN, CAMVID, MAPPING)
    assert names(meaning.may_be[0]) == {"road"}
    assert names(meaning.may_be[1]) == set(CAMVID.names) - {"road"}
    assert meaning.may_be[2] == () and meaning.coarse
    assert meaning.reachable == set(range(11))


def test_label_sets_bring_their_own_mappings_and_recipes_replace_them() -> None:
    meaning = find_meaning(IDD, CAMVID)
    assert names(meaning.may_be[IDD.id_of("living things")]) == {"pedestrian", "bicyclist"}
    replaced = find_meaning(IDD, CAMVID, {"living things": "pedestrian"})
    assert names(replaced.may_be[IDD.id_of("living things")]) == {"pedestrian"}
    assert replaced.may_be[0] == meaning.may_be[0]
    assert not find_meaning(CITYSCAPES, CAMVID).coarse


@pytest.mark.parametrize("name", ["idd7", "ycor8", "cityscapes19"])
def test_shipped_mappings_give_every_class_a_meaning(name: str) -> None:
    assert all(find_meaning(load_label_set(name), CAMVID).may_be)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lane": "road"}, "no class 'lane'"),
        ({"drivable": "street"}, r"class 'drivable'.*'street' is none of 'camvid11'"),
        ({"drivable": ["road", "street"]}, "'street' is none"),
        ({}, r"'drivable' is none of 'camvid11'.*rename: \{drivable: "),
        ({"drivable": []}, "leaves no class"),
        ({"drivable": {"not": list(CAMVID.names)}}, "leaves no class"),
        ({"drivable": 3}, "received 3"),
        ({"drivable": {"but": ["road"]}}, "expected NAME"),
    ],
)
def test_what_cannot_be_meant_is_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        find_meaning(OWN, CAMVID, given if "lane" in given else {**MAPPING, **given} if given else {})


def test_predictions_are_merged_into_coarse_labels_and_either_is_right() -> None:
    merged = find_meaning(IDD, CAMVID).merging_table()
    living, vehicles, sky = (IDD.id_of(name) for name in ("living things", "vehicles", "sky"))
    bicyclist, car = CAMVID.id_of("bicyclist"), CAMVID.id_of("car")
    assert merged[living, bicyclist] == living and merged[vehicles, bicyclist] == vehicles
    assert merged[vehicles, car] == merged[living, car] == vehicles
    assert merged[sky, bicyclist] == living  # wrong, and counted against the first that may be it
    assert (merged[:, IGNORED] == IGNORED).all()


def test_one_numbering_serves_all_data_sets() -> None:
    space = LabelSpace(11)
    fine, own, idd = (
        space.table(find_meaning(*pair)) for pair in ((CAMVID, CAMVID), (OWN, CAMVID, MAPPING), (IDD, CAMVID))
    )
    road = CAMVID.id_of("road")
    assert fine[road] == own[0] == idd[0] == road
    assert own[1] == 11 and own[2] == own[200] == IGNORED
    members = space.members()
    assert members.shape == (len(space) - 11, 11)
    assert not members[0, road] and members[0].sum() == 10
    assert {CAMVID.names[i] for i in np.flatnonzero(members[idd[IDD.id_of("far objects")] - 11])} == {
        "building",
        "tree",
    }


def test_mappings_are_kept_and_checked_in_files(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    save_label_set(LabelSet("own", OWN.names, OWN.colors, {}, {"camvid11": MAPPING}), path)
    assert find_meaning(load_label_set(str(path)), CAMVID) == find_meaning(load_label_set(str(path)), CAMVID, MAPPING)
    text = path.read_text()
    path.write_text(text.replace("    drivable: road", "    street: road"))
    with pytest.raises(LabelSetError, match="'camvid11' names no class of the set: street"):
        load_label_set(str(path))
    path.write_text(text[: text.index("mappings")] + "mappings: {camvid11: [road]}\n")
    with pytest.raises(LabelSetError, match="expected {LABEL_SET"):
        load_label_set(str(path))


DRIVABLE3 = load_label_set("drivable3", CAMVID)


def test_data_are_translated_into_merged_classes_through_the_networks() -> None:
    def found(own: LabelSet, given: dict[str, object] | None = None) -> dict[str, set[str]]:
        meaning = find_meaning(own, DRIVABLE3, given)
        return {n: {DRIVABLE3.names[i] for i in ids} for n, ids in zip(own.names, meaning.may_be, strict=True)}

    assert (
        found(CAMVID)["road"] == {"drivable"} and found(CAMVID)["sky"] == set() and found(CAMVID)["car"] == {"obstacle"}
    )
    assert found(CITYSCAPES)["sidewalk"] == {"walkable"}
    assert found(IDD)["vehicles"] == {"obstacle"} and found(IDD)["non-drivable"] == {"walkable", "obstacle"}
    assert found(OWN, {**MAPPING, "not drivable": ["sky", "car"]})["not drivable"] == set(), "may be unlabelled"


def test_data_may_speak_of_merged_classes_themselves() -> None:
    own = LabelSet("mine", ("obstacle", "drivable"), ((0, 0, 0),) * 2, {})
    assert find_meaning(own, DRIVABLE3).may_be == ((2,), (0,))
    mapped = LabelSet("mine", ("road", "x"), ((0, 0, 0),) * 2, {}, {"drivable3": {"road": "walkable", "x": None}})
    assert find_meaning(mapped, DRIVABLE3).may_be == ((1,), ())
    strange = LabelSet("mine", ("lane",), ((0, 0, 0),), {})
    with pytest.raises(DatasetError, match="'lane' is none of 'camvid11'"):
        find_meaning(strange, DRIVABLE3)
