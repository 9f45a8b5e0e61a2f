"""A part of a data set: whole drives held out to tune on, where no such split is distributed."""

from __future__ import annotations

import re

from fanet_ros.datasets.base import Dataset
from fanet_ros.datasets.options import option
from fanet_ros.datasets.views import DatasetView
from fanet_ros.errors import DatasetError

OPTION = option(
    "fold",
    "",
    "K/N: the K-th of N parts, not K/N: all others; videos, folders and runs of images stay whole; empty: everything",
)
_FORM = re.compile(r"(not )?(\d{1,3})/(\d{1,3})")
_RUN = 20  # images of one folder that stay together: taken one after the other, they show the same places


def open_fold(dataset: Dataset, fold: str) -> Dataset:
    """Return the part of a data set that `OPTION` describes.

    Raises:
        DatasetError: it has another form.
    """
    if not fold:
        return dataset
    match = _FORM.fullmatch(fold.strip())
    if match is None or not 1 <= int(match[2]) <= int(match[3]):
        raise DatasetError(f"option fold: received {fold!r}, expected K/N or 'not K/N' with 1 <= K <= N, such as 1/10")
    wanted, parts = int(match[2]) - 1, int(match[3])
    groups = _groups(dataset)
    indices = [index for index, group in enumerate(groups) if (group % parts == wanted) != bool(match[1])]
    if not indices:
        raise DatasetError(
            f"option fold: {fold} of {dataset.name}'s split {dataset.split} is empty: the split has {len(set(groups))} "
            "videos, folders or runs of images, which stay whole; take fewer parts"
        )
    return DatasetView(dataset, indices)


def _groups(dataset: Dataset) -> list[int]:
    """Number what belongs together, for each sample."""
    loose = 0
    names = []
    for index in range(len(dataset)):
        place = dataset.place(index)
        if not place:
            place = f"run {loose // _RUN}"
            loose += 1
        names.append(place)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]
