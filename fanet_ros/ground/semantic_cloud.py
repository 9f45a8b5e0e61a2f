"""The mask as an organised point cloud: for every pixel its place on the ground, colour, class and confidence."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError

POINT_STEP = 20
"""Bytes of one point; the last two are padding."""

_FLOAT32, _UINT8 = 7, 2  # of sensor_msgs/PointField
_WORDS = POINT_STEP // 4
_RGB, _LABEL = 3, 4  # words of a point


class CloudField(NamedTuple):
    """One field of a point, in the terms of sensor_msgs/PointField, with a count of 1."""

    name: str
    offset: int
    datatype: int


class SemanticCloud:
    """A cloud of one size whose places never change, in memory that is used again for every frame.

    A point is x, y, z (float32, metres, NaN where no ground is seen), rgb (a float32 whose bytes are 0x00RRGGBB, as PCL
    and RViz read it), label and confidence (uint8), little-endian, row by row as the mask.

    Attributes:
        fields: of a point.
        point_step: bytes of a point.
        row_step: bytes of a row.
        width: columns.
        height: rows.
        data: uint8 (height * row_step,), the cloud.
    """

    fields = (
        CloudField("x", 0, _FLOAT32),
        CloudField("y", 4, _FLOAT32),
        CloudField("z", 8, _FLOAT32),
        CloudField("rgb", 4 * _RGB, _FLOAT32),
        CloudField("label", 4 * _LABEL, _UINT8),
        CloudField("confidence", 4 * _LABEL + 1, _UINT8),
    )
    point_step = POINT_STEP

    def __init__(
        self,
        points: NDArray[np.float32],
        palette: NDArray[np.uint8],
        buffer: memoryview | NDArray[np.uint8] | None = None,
    ) -> None:
        """Write the places.

        Args:
            points: float32 (H, W, 3), GroundProjector.points_in_range.
            palette: RGB colours by class id, uint8 (256, 3), LabelSet.palette.
            buffer: writable memory of H * W * 20 bytes for the cloud; None to have some allocated.

        Raises:
            FrameError: the buffer has another size.
        """
        self.height, self.width = points.shape[:2]
        self.row_step = self.width * POINT_STEP
        size = self.height * self.row_step
        self.data: NDArray[np.uint8] = np.empty(size, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)
        if self.data.size != size:
            raise FrameError(
                f"cloud of {self.width}x{self.height} points: the buffer has {self.data.size} bytes, expected {size}"
            )
        words = self.data.view("<u4").reshape(-1, _WORDS)
        words[:, :_RGB] = points.reshape(-1, 3).astype("<f4").view("<u4")
        # colour, class and confidence of a point are eight bytes: copied as one number that is ten times faster
        shape, strides = (self.height, self.width), (self.row_step, POINT_STEP)
        self._colours_and_labels: NDArray[np.uint64] = np.ndarray(shape, "<u8", self.data, 4 * _RGB, strides)
        colours = palette.astype(np.uint32)
        by_id = np.empty((256, 2), "<u4")
        by_id[:, 0] = colours[:, 0] << 16 | colours[:, 1] << 8 | colours[:, 2]
        by_id[:, 1] = np.arange(256) | 255 << 8
        # OpenCV looks up elements of eight bytes as float64, which it only copies
        self._by_id = by_id.reshape(-1).view(np.float64)
        self._found = np.empty((self.height, self.width), np.float64)
        self._confidences = self._found.view(np.uint8).reshape(self.height, self.width, 8)[..., 5]

    def fill(self, mask: NDArray[np.uint8], confidence: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """Write colours, classes and confidences of one frame, and return `data`.

        Args:
            mask: uint8 (H, W), class ids.
            confidence: uint8 (H, W), or None for 255 everywhere.

        Raises:
            FrameError: one of them has another size or type.
        """
        for name, image in (("mask", mask), ("confidence", confidence)):
            if image is not None and (image.shape != (self.height, self.width) or image.dtype != np.uint8):
                raise FrameError(
                    f"{name}: received {image.dtype} of shape {image.shape}, expected uint8 of shape "
                    f"{(self.height, self.width)}, the size that the cloud was made for"
                )
        cv2.LUT(mask, self._by_id, dst=self._found)
        if confidence is not None:
            np.copyto(self._confidences, confidence)
        np.copyto(self._colours_and_labels, self._found.view("<u8"))
        return self.data
