from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_data import write_camvid
from numpy.typing import NDArray

from fanet_ros.datasets import IGNORED, Dataset, open_dataset
from fanet_ros.errors import LabelSetError
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.evaluation.run import evaluate
from fanet_ros.evaluation.truth import open_truth
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.settings import Size

CAMVID, CITYSCAPES = load_label_set("camvid11"), load_label_set("cityscapes19")


class Fixed(Predictor):
    """Answers with what a function makes of the truth."""

    def __init__(self, dataset: Dataset, answer: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
        samples = map(dataset.read, range(len(dataset)))
        self._answers = {sample.image.tobytes(): answer(sample.labels) for sample in samples}

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._answers[image.tobytes()]

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:
        return (image_size,)


@pytest.fixture(scope="module")
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset("camvid", write_camvid(tmp_path_factory.mktemp("camvid"), {"val": 3}), "val")


def coarse_set(camvid: Dataset, may_be: dict[str, object]) -> LabelSet:
    """CamVid's ids with names of their own, which say what they may be in Cityscapes."""
    return replace(camvid.label_set, name="mine", mappings={"cityscapes19": may_be})


def test_equal_classes_stay_whatever_their_set_is_called(camvid: Dataset) -> None:
    same = replace(CAMVID, name="mine", colors=CAMVID.colors[::-1])
    assert open_truth(camvid, same) == (camvid, None)


def test_data_are_translated_where_each_class_is_one_of_the_networks(camvid: Dataset) -> None:
    every = dict.fromkeys(CAMVID.names, "building") | {"road": "road", "sky": None}
    camvid.label_set = coarse_set(camvid, every)
    truth, coarse = open_truth(camvid, CITYSCAPES)
    assert coarse is None and truth.label_set is CITYSCAPES
    own, translated = camvid.read(0).labels, truth.read(0).labels
    np.testing.assert_array_equal(truth.read_labels(0), translated)
    assert (translated[own == CAMVID.id_of("road")] == CITYSCAPES.id_of("road")).all()
    assert (translated[(own == CAMVID.id_of("sky")) | (own == IGNORED)] == IGNORED).all()
    done = evaluate(Fixed(truth, lambda labels: labels), truth)
    assert done.scores.miou == 1 and done.scores.shares[CITYSCAPES.id_of("building")] > 0.5


def test_coarse_classes_take_any_of_theirs_and_count_what_became_of_them(camvid: Dataset) -> None:
    """The network calls every living thing a rider, which is right, and half of the sky car, which is wrong."""
    every: dict[str, object] = {name: {"not": ["rider", "person", "sky", "car"]} for name in CAMVID.names}
    every |= {"pedestrian": ["person", "rider"], "bicyclist": ["rider", "bicycle"], "car": "car", "sky": "sky"}
    camvid.label_set = coarse_set(camvid, every)
    truth, coarse = open_truth(camvid, CITYSCAPES)
    assert truth.label_set is camvid.label_set and coarse is not None
    ids = {name: CITYSCAPES.id_of(name) for name in CITYSCAPES.names}

    def answer(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        table = np.full(256, ids["pole"], np.uint8)
        table[[CAMVID.id_of("pedestrian"), CAMVID.id_of("bicyclist")]] = ids["rider"]
        table[CAMVID.id_of("car")] = ids["car"]
        table[CAMVID.id_of("sky")] = ids["sky"]
        found = table[labels]
        found[:, : found.shape[1] // 2][labels[:, : found.shape[1] // 2] == CAMVID.id_of("sky")] = ids["car"]
        return found

    done = evaluate(Fixed(truth, answer), truth, coarse=coarse)
    iou = dict(zip(CAMVID.names, done.scores.iou, strict=True))
    assert iou["pedestrian"] == iou["bicyclist"] == 1
    assert 0 < iou["car"] < 1 and 0 < iou["sky"] < 1
    assert iou["tree"] == 1  # pole may be any of the others: the truth decides
    row = coarse.found[CAMVID.id_of("pedestrian")]
    assert row[ids["rider"]] == row.sum() > 0
    assert coarse.found[CAMVID.id_of("sky"), ids["car"]] > 0


def test_classes_that_are_nothing_in_the_network_are_ignored_among_coarse_ones_too(camvid: Dataset) -> None:
    every: dict[str, object] = dict.fromkeys(CAMVID.names, ["building", "vegetation"])
    camvid.label_set = coarse_set(camvid, every | {"sky": None})
    truth, coarse = open_truth(camvid, CITYSCAPES)
    assert coarse is not None and not (truth.read(0).labels == CAMVID.id_of("sky")).any()
    done = evaluate(Fixed(truth, lambda labels: np.full_like(labels, 2)), truth, coarse=coarse)
    assert done.scores.pixel_accuracy == 1 and done.scores.shares[CAMVID.id_of("sky")] == 0


def test_label_sets_without_a_mapping_are_told_apart(camvid: Dataset, tmp_path: Path) -> None:
    camvid.label_set = CAMVID
    with pytest.raises(
        LabelSetError,
        match=r"'cityscapes19' is not the data's 'camvid11' \(19 classes against 11\);.* is none of",
    ):
        open_truth(camvid, CITYSCAPES)


def test_data_are_translated_into_merged_classes(camvid: Dataset) -> None:
    camvid.label_set = CAMVID
    merged = load_label_set("drivable3", CAMVID)
    truth, coarse = open_truth(camvid, merged)
    assert coarse is None and truth.label_set is merged
    table = np.append(np.array(merged.merging, np.uint8), np.full(245, IGNORED, np.uint8))
    np.testing.assert_array_equal(truth.read(0).labels, table[camvid.read(0).labels])
    assert evaluate(Fixed(truth, lambda labels: labels), truth).scores.miou == 1
