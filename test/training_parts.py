"""Data sets as a training opens them."""

from collections.abc import Mapping
from typing import Any

from fanet_ros.datasets import Dataset
from fanet_ros.datasets.meanings import LabelSpace, find_meaning
from fanet_ros.model.labels import load_label_set
from fanet_ros.training.batches import Part


def part_of(dataset: Dataset, rename: Mapping[str, Any] | None = None, step: int = 1) -> Part:
    """Return a part of a training whose network has CamVid's classes."""
    network = load_label_set("camvid11")
    meaning = find_meaning(dataset.label_set, network, rename)
    return Part(dataset, meaning, LabelSpace(len(network)).table(meaning), step)
