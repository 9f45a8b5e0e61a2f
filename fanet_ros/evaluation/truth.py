"""What predictions are compared with, where the data have other classes than the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import Dataset
from fanet_ros.datasets.label_formats import value_table
from fanet_ros.datasets.meanings import Meaning, find_meaning
from fanet_ros.datasets.views import RelabelledDataset
from fanet_ros.errors import DatasetError, LabelSetError
from fanet_ros.model.labels import LabelSet


class CoarseTruth:
    """Merges predictions into coarse labels, and counts what they were before."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning = meaning
        self._table = meaning.merging_table()
        self._found = np.zeros((256, 256), np.int64)

    def merge(self, labels: NDArray[np.uint8], truth: NDArray[np.uint8], *, count: bool = True) -> NDArray[np.uint8]:
        """Return predictions in the classes of the data, uint8 (H, W): a class that the truth allows is right.

        Args:
            labels: uint8 (H, W), in the network's classes.
            truth: uint8 (H, W), in the data's.
            count: whether `found` is to know of them.
        """
        if count:
            pairs = truth.astype(np.int32).ravel() << 8 | labels.ravel()
            self._found += np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
        return self._table[truth, labels]

    @property
    def found(self) -> NDArray[np.int64]:
        """Pixels by truth, in the data's classes, and prediction, in the network's: int64 (data's, network's)."""
        return self._found[: len(self.meaning.own), : len(self.meaning.network)]


def open_truth(samples: Dataset, network: LabelSet) -> tuple[Dataset, CoarseTruth | None]:
    """Return a data set as a network can be scored on it.

    Equal classes: as it is. Each of its classes one of the network's: translated into these. Otherwise in its own, with
    what merges the network's predictions into them. Classes that are nothing in the network are ignored.

    Raises:
        LabelSetError: there is no mapping between the label sets.
    """
    data = samples.label_set
    if data.names == network.names:
        return samples, None
    try:
        meaning = find_meaning(data, network)
    except DatasetError as error:
        raise LabelSetError(
            f"the weights' label set '{network.name}' is not the data's '{data.name}' ({_difference(network, data)}); "
            f"evaluate weights that were trained with the classes of '{data.name}', or say what these are: {error}"
        ) from None
    if meaning.coarse:
        return RelabelledDataset(samples, meaning.truth_table(), data), CoarseTruth(meaning)
    exact = value_table({own: ids[0] for own, ids in enumerate(meaning.may_be) if ids})
    return RelabelledDataset(samples, exact, network), None


def _difference(network: LabelSet, data: LabelSet) -> str:
    if len(network) != len(data):
        return f"{len(network)} classes against {len(data)}"
    pairs = enumerate(zip(network.names, data.names, strict=True))
    index, (ours, theirs) = next((index, pair) for index, pair in pairs if pair[0] != pair[1])
    return f"class {index} is '{ours}' against '{theirs}'"
