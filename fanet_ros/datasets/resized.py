"""A data set seen at another size: for cameras with more pixels than the network will ever see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import Dataset, Frame, Sample, Window
from fanet_ros.datasets.views import DatasetView
from fanet_ros.frames.frame import FrameResizer, fit_input_size
from fanet_ros.settings import Size


class ResizedDataset(DatasetView):
    """Another data set with its images resized, as the network's input is: corner to corner, shapes kept."""

    def __init__(self, dataset: Dataset, size: Size) -> None:
        """Take a data set.

        Args:
            dataset: whose `prepare` was called.
            size: whose area the images get; their sides are rounded to multiples of 8.
        """
        super().__init__(dataset)
        self._target = size

    def size(self, index: int) -> Size:  # noqa: D102 (documented by Dataset)
        return fit_input_size("auto", self._target, super().size(index))

    def read(self, index: int) -> Sample:  # noqa: D102 (documented by Dataset)
        sample = super().read(index)
        image = self._resize(sample.image)
        return Sample(image, resize_labels(sample.labels, Size(image.shape[1], image.shape[0])), sample.name)

    def read_labels(self, index: int) -> NDArray[np.uint8]:  # noqa: D102 (documented by Dataset)
        return resize_labels(super().read_labels(index), self.size(index))

    def read_window(self, index: int, window: Window) -> Sample:  # noqa: D102 (documented by Dataset)
        return Dataset.read_window(self, index, window)

    def read_frame(self, frame: Frame) -> NDArray[np.uint8]:  # noqa: D102 (documented by Dataset)
        return self._resize(super().read_frame(frame))

    def _resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = fit_input_size("auto", self._target, Size(image.shape[1], image.shape[0]))
        return FrameResizer().to_network_input(image, "rgb8", size)  # a new one: its buffer is the result


def resize_labels(labels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Take the nearest label of every pixel, (H, W) -> (size.height, size.width), corner to corner."""
    rows = np.linspace(0, labels.shape[0] - 1, size.height).round().astype(np.intp)
    columns = np.linspace(0, labels.shape[1] - 1, size.width).round().astype(np.intp)
    return labels[rows[:, None], columns]
