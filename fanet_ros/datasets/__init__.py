"""The data sets that FANet is trained and scored on, in their official layouts."""

from __future__ import annotations

from pathlib import Path

from fanet_ros.datasets.base import IGNORED, Dataset, Sample, Window
from fanet_ros.errors import DatasetError

__all__ = ["IGNORED", "DATASETS", "Dataset", "Sample", "Window", "open_dataset"]

DATASETS = ("camvid", "street")


def open_dataset(name: str, path: str | Path | None, split: str) -> Dataset:
    """Open the samples of one split; the files' presence is checked, their content is not (`fanet dataset check` does).

    Args:
        name: one of `DATASETS`.
        path: folder of the data set in its official layout; None for `street`, which is rendered.
        split: its name, as the data set has it.

    Raises:
        DatasetError: the data set is unknown, or incomplete; names what is missing.
    """
    if name == "street":
        from fanet_ros.datasets.street import StreetDataset

        return StreetDataset(split)
    if name == "camvid":
        from fanet_ros.datasets.camvid import open_camvid

        return open_camvid(Path(path or ""), split)
    raise DatasetError(f"unknown data set {name!r}; known are {', '.join(DATASETS)}")
