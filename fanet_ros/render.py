"""Labels as pictures: colour masks, overlays, legends and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.labels import UNLABELLED, LabelSet

Image = NDArray[np.uint8]

_TO_THREE_CHANNELS = {
    "rgba8": (cv2.COLOR_RGBA2RGB, "rgb8"),
    "bgra8": (cv2.COLOR_BGRA2BGR, "bgr8"),
    "mono8": (cv2.COLOR_GRAY2RGB, "rgb8"),
}


class Painter:
    """Paints labels in their label set's colours; owns the buffers it returns until the next call of a method."""

    def __init__(self, label_set: LabelSet) -> None:
        palette = label_set.palette.reshape(256, 1, 3)
        self._palettes = {"rgb8": palette, "bgr8": np.ascontiguousarray(palette[..., ::-1])}
        self._colors: Image | None = None
        self._base: Image | None = None
        self._blended: Image | None = None

    def color_mask(self, labels: Image, encoding: str = "rgb8") -> Image:
        """Return the colour of every pixel's class, uint8 (H, W, 3) in `rgb8` or `bgr8`; unlabelled pixels are black.

        Args:
            labels: uint8, (H, W).
            encoding: of the result.
        """
        self._colors = _buffer(self._colors, labels.shape)
        return cv2.applyColorMap(labels, self._palettes[encoding], dst=self._colors)

    def overlay(self, frame: Image, encoding: str, labels: Image, alpha: float) -> tuple[Image, str]:
        """Blend the class colours over a frame; pixels that are unlabelled show the frame alone.

        Args:
            frame: checked frame (fanet_ros.frame), any row stride.
            encoding: of the frame.
            labels: uint8, any size; enlarged or shrunk without mixing ids where it is not the frame's.
            alpha: opacity of the colours in [0, 1].

        Returns:
            uint8 (H, W, 3) at the frame's size, and its encoding: bgr8 for bgr8 and bgra8 frames, else rgb8.
        """
        height, width = frame.shape[:2]
        if encoding in _TO_THREE_CHANNELS:
            code, encoding = _TO_THREE_CHANNELS[encoding]
            self._base = _buffer(self._base, (height, width))
            frame = cv2.cvtColor(frame, code, dst=self._base)
        if labels.shape != (height, width):
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        self._blended = _buffer(self._blended, (height, width))
        cv2.addWeighted(self.color_mask(labels, encoding), alpha, frame, 1.0 - alpha, 0.0, dst=self._blended)
        unlabelled = cv2.inRange(labels, UNLABELLED, UNLABELLED)
        if cv2.countNonZero(unlabelled):
            cv2.copyTo(frame, unlabelled, self._blended)
        return self._blended, encoding


def legend(label_set: LabelSet, width: int) -> Image:
    """Draw the names of all classes on their colours, uint8 rgb8 (rows x 24, width, 3), as many a row as fit."""
    row_height, cell_width = 24, 130
    columns = max(1, width // cell_width)
    rows = -(-len(label_set) // columns)
    picture = np.full((rows * row_height, width, 3), 32, np.uint8)
    for index, (name, color) in enumerate(zip(label_set.names, label_set.colors, strict=True)):
        left, top = index % columns * cell_width, index // columns * row_height
        cv2.rectangle(picture, (left + 6, top + 5), (left + 22, top + 19), color, cv2.FILLED)
        _write(picture, name, (left + 28, top + 17))
    return picture


def contact_sheet(
    samples: Sequence[tuple[Image, Image, Image]],
    label_set: LabelSet,
    titles: Sequence[str] = ("camera", "classes", "overlay"),
    picture_width: int = 420,
) -> Image:
    """Lay out samples row by row under a legend.

    Args:
        samples: pictures of one frame each (as many as there are titles), uint8 rgb8 of any size.
        label_set: for the legend.
        titles: of the columns.
        picture_width: of one picture in the sheet, pixels.

    Returns:
        uint8 rgb8.
    """
    width = picture_width * len(titles)
    header = np.full((28, width, 3), 32, np.uint8)
    for column, title in enumerate(titles):
        _write(header, title, (column * picture_width + 8, 19))
    rows = [legend(label_set, width), header]
    for sample in samples:
        height, original_width = sample[0].shape[:2]
        size = (picture_width, max(1, round(height * picture_width / original_width)))
        rows.append(np.hstack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in sample]))
    return np.vstack(rows)


def _write(picture: Image, text: str, position: tuple[int, int]) -> None:
    cv2.putText(picture, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def _buffer(buffer: Image | None, shape: tuple[int, ...]) -> Image:
    """Return a (H, W, 3) buffer for that image shape: the given one if it fits, else a new one."""
    wanted = (*shape, 3)
    return buffer if buffer is not None and buffer.shape == wanted else np.empty(wanted, np.uint8)
