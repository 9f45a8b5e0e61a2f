"""Labels as pictures: colour masks, overlays, legends and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.model.labels import UNLABELLED, LabelSet

Image = NDArray[np.uint8]

BACKGROUND = 32
_TALLEST = 2  # times as high as wide, of pictures in a sheet: a narrow strip would fill the memory
"""Grey behind text and drawings."""

_TO_THREE_CHANNELS = {
    "rgba8": (cv2.COLOR_RGBA2RGB, "rgb8"),
    "bgra8": (cv2.COLOR_BGRA2BGR, "bgr8"),
    "mono8": (cv2.COLOR_GRAY2RGB, "rgb8"),
}


class Painter:
    """Paints labels in their label set's colours.

    What it returns is its own buffer, valid until the next call of the same method, or the one it was given.
    """

    def __init__(self, label_set: LabelSet) -> None:
        palette = label_set.palette.reshape(256, 1, 3)
        self._palettes = {"rgb8": palette, "bgr8": np.ascontiguousarray(palette[..., ::-1])}
        self._buffers: dict[str, Image] = {}

    def color_mask(self, labels: Image, encoding: str = "rgb8", out: Image | None = None) -> Image:
        """Return the colour of every pixel's class, uint8 (H, W, 3) in `rgb8` or `bgr8`; unlabelled pixels are black.

        Args:
            labels: uint8, (H, W).
            encoding: of the result.
            out: uint8 (H, W, 3), contiguous, to paint into.
        """
        out = self._buffer("color mask", (*labels.shape, 3)) if out is None else out
        return self._colors(labels, encoding, out)

    def overlay(
        self, frame: Image, encoding: str, labels: Image, alpha: float, out: Image | None = None
    ) -> tuple[Image, str]:
        """Blend the class colours over a frame; pixels that are unlabelled show the frame alone.

        Args:
            frame: checked frame (fanet_ros.frames.frame), any row stride.
            encoding: of the frame.
            labels: uint8, any size; enlarged or shrunk without mixing ids where it is not the frame's.
            alpha: opacity of the colours in [0, 1].
            out: uint8 (H, W, 3) at the frame's size, contiguous, to paint into.

        Returns:
            uint8 (H, W, 3) at the frame's size, and its encoding: bgr8 for bgr8 and bgra8 frames, else rgb8.
        """
        height, width = frame.shape[:2]
        if encoding in _TO_THREE_CHANNELS:
            code, encoding = _TO_THREE_CHANNELS[encoding]
            frame = cv2.cvtColor(frame, code, dst=self._buffer("frame", (height, width, 3)))
        if labels.shape != (height, width):
            enlarged = self._buffer("labels", (height, width))
            labels = cv2.resize(labels, (width, height), dst=enlarged, interpolation=cv2.INTER_NEAREST)
        colors = self._colors(labels, encoding, self._buffer("colors", (height, width, 3)))
        out = self._buffer("overlay", (height, width, 3)) if out is None else out
        cv2.addWeighted(colors, alpha, frame, 1.0 - alpha, 0.0, dst=out)
        unlabelled = cv2.inRange(labels, UNLABELLED, UNLABELLED, dst=self._buffer("unlabelled", (height, width)))
        if cv2.countNonZero(unlabelled):
            cv2.copyTo(frame, unlabelled, out)
        return out, encoding

    def _colors(self, labels: Image, encoding: str, out: Image) -> Image:
        return cv2.applyColorMap(labels, self._palettes[encoding], dst=out)

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Image:
        """Return the buffer of that name and shape; its content is left over from its last use."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[name] = np.empty(shape, np.uint8)
        return buffer


def legend(label_set: LabelSet, width: int) -> Image:
    """Draw the names of all classes on their colours, uint8 rgb8 (rows x 24, width, 3), as many a row as fit."""
    row_height, cell_width = 24, 130
    columns = max(1, width // cell_width)
    rows = -(-len(label_set) // columns)
    picture = np.full((rows * row_height, width, 3), BACKGROUND, np.uint8)
    for index, (name, color) in enumerate(zip(label_set.names, label_set.colors, strict=True)):
        left, top = index % columns * cell_width, index // columns * row_height
        cv2.rectangle(picture, (left + 6, top + 5), (left + 22, top + 19), color, cv2.FILLED)
        write_text(picture, name, (left + 28, top + 17))
    return picture


def contact_sheet(
    samples: Sequence[Sequence[Image]],
    label_set: LabelSet,
    titles: Sequence[str] = ("camera", "classes", "overlay"),
    picture_width: int = 420,
) -> Image:
    """Lay out samples row by row under a legend.

    Args:
        samples: pictures of one frame each (as many as there are titles), uint8 rgb8 of any size.
        label_set: for the legend.
        titles: of the columns.
        picture_width: of one picture in the sheet, pixels; of tall ones with the empty place beside it.

    Returns:
        uint8 rgb8.
    """
    rows = []
    for sample in samples:
        height, width = sample[0].shape[:2]
        scale = min(picture_width / width, _TALLEST * picture_width / height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        row = np.full((len(sample), size[1], picture_width, 3), BACKGROUND, np.uint8)
        for place, picture in zip(row, sample, strict=True):
            place[:, : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        rows.append(tuple(row))
    return np.vstack([legend(label_set, picture_width * len(titles)), titled_rows(titles, rows)])


def titled_rows(titles: Sequence[str], rows: Sequence[Sequence[Image]]) -> Image:
    """Lay out pictures, uint8 rgb8, in rows below each other, with titles over those of the first row, uint8 rgb8."""
    header = np.full((28, sum(picture.shape[1] for picture in rows[0]), 3), BACKGROUND, np.uint8)
    left = 0
    for title, picture in zip(titles, rows[0], strict=True):
        write_text(header, title, (left + 8, 19))
        left += picture.shape[1]
    return np.vstack([header, *(np.hstack(row) for row in rows)])


def write_text(picture: Image, text: str, position: tuple[int, int]) -> None:
    """Write white text into an rgb8 picture; the position is the column and row of its lower left corner."""
    cv2.putText(picture, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
