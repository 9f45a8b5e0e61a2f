"""The data sets that FANet is trained and scored on, in their official layouts."""

from __future__ import annotations

from fanet_ros.datasets.base import IGNORED, Dataset, Frame, Sample, Window
from fanet_ros.datasets.opening import DATASETS, open_dataset

__all__ = ["IGNORED", "DATASETS", "Dataset", "Frame", "Sample", "Window", "open_dataset"]
