"""Data sets seen in another way: a part of their samples, or with other ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import Dataset, Frame, Sample, Window
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size


class DatasetView(Dataset):
    """Another data set, or some of its samples, otherwise unchanged."""

    def __init__(self, dataset: Dataset, indices: Sequence[int] | None = None) -> None:
        """Take a data set.

        Args:
            dataset: to look at.
            indices: of the samples, in order; None for all.
        """
        self._dataset = dataset
        self._indices = range(len(dataset)) if indices is None else indices
        self.name, self.split, self.label_set = dataset.name, dataset.split, dataset.label_set
        self.names = [dataset.names[index] for index in self._indices]

    def prepare(self, progress: Callable[[str], None]) -> None:  # noqa: D102 (documented by Dataset, as all that follow)
        self._dataset.prepare(progress)

    def size(self, index: int) -> Size:  # noqa: D102
        return self._dataset.size(self._indices[index])

    def read(self, index: int) -> Sample:  # noqa: D102
        return self._dataset.read(self._indices[index])

    def read_labels(self, index: int) -> NDArray[np.uint8]:  # noqa: D102
        return self._dataset.read_labels(self._indices[index])

    def count_labels(self, index: int) -> tuple[NDArray[np.int64], Mapping[str, int]]:  # noqa: D102
        return self._dataset.count_labels(self._indices[index])

    def read_window(self, index: int, window: Window) -> Sample:  # noqa: D102
        return self._dataset.read_window(self._indices[index], window)

    def frame(self, index: int) -> Frame:  # noqa: D102
        return self._dataset.frame(self._indices[index])

    def before(self, frame: Frame) -> Frame | None:  # noqa: D102
        return self._dataset.before(frame)

    def missing_frames(self, count: int, step: int = 1) -> list[Path]:  # noqa: D102
        return self._dataset.missing_frames(count, step)

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:  # noqa: D102
        return self._dataset.read_frame(frame)

    def place(self, index: int) -> str:  # noqa: D102
        return self._dataset.place(self._indices[index])


class RelabelledDataset(DatasetView):
    """A data set with other ids."""

    def __init__(self, dataset: Dataset, table: NDArray[np.uint8], label_set: LabelSet) -> None:
        """Take a data set.

        Args:
            dataset: to look at.
            table: uint8 (256,), its id -> the new one, or IGNORED.
            label_set: of the new ids.
        """
        super().__init__(dataset)
        self.label_set, self._table = label_set, table

    def read(self, index: int) -> Sample:  # noqa: D102
        return self._relabelled(super().read(index))

    def read_labels(self, index: int) -> NDArray[np.uint8]:  # noqa: D102
        return self._table[super().read_labels(index)]

    def count_labels(self, index: int) -> tuple[NDArray[np.int64], Mapping[str, int]]:  # noqa: D102
        return Dataset.count_labels(self, index)

    def read_window(self, index: int, window: Window) -> Sample:  # noqa: D102
        return self._relabelled(super().read_window(index, window))

    def _relabelled(self, sample: Sample) -> Sample:
        return Sample(sample.image, self._table[sample.labels], sample.name)
