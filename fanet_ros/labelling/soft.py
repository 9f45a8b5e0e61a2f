"""Class probabilities at evenly spread points of an image, from a network's logits: what another network can learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.settings import Size


def probabilities_from_logits(
    logits: NDArray[np.float32],
    image: Size,
    points: Size,
    label_of: NDArray[np.uint8] | None = None,
    *,
    align_corners: bool = True,
    probabilities: bool = False,
) -> NDArray[np.float32]:
    """Interpolate logits as labels are decided (bilinear), then softmax, then merge.

    Args:
        logits: float32 (classes, h, w), finite.
        image: size of the image in pixels.
        points: how many; they are the centres of equal parts of the image.
        label_of: uint8 (classes,), the label that each class stands for, 255 for none; None: its own number.
        align_corners: as torch's interpolate has it.
        probabilities: whether `logits` are probabilities, which need no softmax.

    Returns:
        float32 (labels, points.height, points.width), in [0, 1]; what sums lack to 1 is of no label.
    """
    classes, height, width = logits.shape
    rows = _weights(height, image.height, points.height, align_corners)
    columns = _weights(width, image.width, points.width, align_corners)
    values = np.asarray(rows @ logits @ columns.T, np.float32)
    if probabilities:
        np.clip(values, 0, 1, out=values)
        values /= np.maximum(1, values.sum(0))  # of a sigmoid they may add up to more
    else:
        np.exp(values - values.max(0), out=values)
        values /= values.sum(0)
    if label_of is None:
        return values
    labels = range(max((int(label) + 1 for label in label_of if label != 255), default=0))
    return np.stack([values[label_of == label].sum(0, dtype=np.float32) for label in labels])


def _weights(grid: int, pixels: int, points: int, align_corners: bool) -> NDArray[np.float32]:
    """Return what each point takes of each point of the grid, float32 (points, grid)."""
    centres = np.clip((np.arange(points) + 0.5) * pixels / points - 0.5, 0, pixels - 1)
    if align_corners:
        position = centres * ((grid - 1) / max(1, pixels - 1))
    else:
        position = np.clip((centres + 0.5) * grid / pixels - 0.5, 0, grid - 1)
    distance = np.abs(position[:, None] - np.arange(grid))
    return np.maximum(0, 1 - distance).astype(np.float32)
