"""Measured geometry as messages: depth images and clouds in; obstacle clouds and measured semantic clouds out."""

from __future__ import annotations

import array
import sys

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from fanet_ros.errors import FrameError
from fanet_ros.frames.image_messages import UnusableImageError, check_size, rows_of
from fanet_ros.measured.cloud import FIELDS, POINT_STEP, fill_cloud
from fanet_ros.measured.view import MeasuredView
from fanet_ros.untrusted.text import shown

_DEPTHS: dict[str, type[np.generic]] = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32}
_MOST_POINTS = 20_000_000  # of a cloud: a stereo camera of 4096x4096 pixels
_OBSTACLE_FIELDS = [
    *(PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate("xyz")),
    PointField(name="label", offset=12, datatype=PointField.UINT8, count=1),
]
_OBSTACLE_STEP = 16
_OBSTACLE = np.dtype({"names": ["xyz", "label"], "formats": [("<f4", 3), "u1"], "offsets": [0, 12], "itemsize": 16})


def depth_from_image(message: Image) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Return a depth image (REP 118), (H, W): uint16 in millimetres or float32 in metres.

    Raises:
        UnusableImageError: it is none, or size, step and data do not fit.
    """
    check_size(message.width, message.height)
    if message.encoding not in _DEPTHS:
        raise UnusableImageError(
            "encoding",
            f"encoding {shown(message.encoding)}, expected 16UC1 (millimetres) or 32FC1 (metres), as REP 118 has depth "
            "images",
        )
    dtype = np.dtype(_DEPTHS[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    rows = rows_of(message, message.width * dtype.itemsize)
    strides = (message.step, dtype.itemsize)
    depth = np.ndarray((message.height, message.width), dtype, rows, strides=strides)
    return np.ascontiguousarray(depth, dtype.newbyteorder("="))


def points_from_cloud(message: PointCloud2) -> NDArray[np.float32]:
    """Return x, y and z of a cloud's points, float32 (N, 3), organised or not.

    Raises:
        FrameError: it has no x, y and z of float32, or its numbers do not fit its data.
    """
    offsets = []
    for name in "xyz":
        field = next((field for field in message.fields if field.name == name), None)
        if field is None or field.datatype != PointField.FLOAT32:
            has = ", ".join(shown(field.name) for field in message.fields[:16])
            raise FrameError(f"cloud: has the fields {has or 'none'}, expected x, y and z of float32")
        if field.offset + 4 > message.point_step:
            raise FrameError(
                f"cloud: field {name} at byte {field.offset} of points of {message.point_step} bytes, which it exceeds"
            )
        offsets.append(field.offset)
    height, width = message.height, message.width
    if height * width > _MOST_POINTS or width * message.point_step > message.row_step and height > 1:
        raise FrameError(
            f"cloud: {width}x{height} points of {message.point_step} bytes in rows of {message.row_step} bytes, "
            f"expected rows that hold them, and at most {_MOST_POINTS} points"
        )
    needed = (height - 1) * message.row_step + width * message.point_step if height and width else 0
    if len(message.data) < needed:
        raise FrameError(f"cloud: {len(message.data)} bytes of data, expected {needed} for {width}x{height} points")
    if not needed:
        return np.empty((0, 3), np.float32)
    order = ">" if message.is_bigendian else "<"
    layout = np.dtype(
        {"names": list("xyz"), "formats": [f"{order}f4"] * 3, "offsets": offsets, "itemsize": message.point_step}
    )
    strides = (message.row_step if height > 1 else width * message.point_step, message.point_step)
    cloud = np.ndarray((height, width), layout, np.frombuffer(message.data, np.uint8), strides=strides)
    return np.stack([cloud[name].reshape(-1) for name in "xyz"], axis=-1).astype(np.float32)


def obstacle_cloud_message(header: Header, points: NDArray[np.float32], labels: NDArray[np.uint8]) -> PointCloud2:
    """Return an unorganised cloud of x, y, z (float32, metres) and label (uint8, 255 for no class).

    Args:
        header: with the frame of the points.
        points: float32 (N, 3).
        labels: uint8 (N,).
    """
    cloud = np.zeros(len(points), _OBSTACLE)
    cloud["xyz"], cloud["label"] = points, labels
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=_OBSTACLE_FIELDS,
        point_step=_OBSTACLE_STEP,
        row_step=_OBSTACLE_STEP * len(points),
        data=array.array("B", cloud.tobytes()),
        is_bigendian=False,
        is_dense=True,
    )


class MeasuredCloudMessage:
    """Semantic clouds of measured points, in one message whose memory is written again for each frame."""

    def __init__(self) -> None:
        self._message = PointCloud2(is_dense=False, point_step=POINT_STEP)
        self._message.fields = [
            PointField(name=field.name, offset=field.offset, datatype=field.datatype, count=1) for field in FIELDS
        ]
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._view: MeasuredView | None = None
        self._colours = np.zeros(256, np.uint32)

    def of(self, view: MeasuredView, colours: NDArray[np.uint32]) -> MeasuredCloudMessage:
        """Take the view and the colours (measured.cloud.colours_of) that `write` is to show; return this."""
        self._view, self._colours = view, colours
        return self

    def write(self, header: Header, mask: NDArray[np.uint8], confidence: NDArray[np.uint8] | None) -> PointCloud2:
        """Return the message of the view's frame, valid until the next call.

        Args:
            header: with the frame of the points.
            mask: uint8 (H, W), class ids.
            confidence: uint8 (H, W), probability x 255; None: 255 everywhere.
        """
        assert self._view is not None and sys.byteorder == "little"
        height, width = mask.shape
        if self._memory.size != mask.size * POINT_STEP:
            self._message.data = array.array("B", bytes(mask.size * POINT_STEP))
            self._memory = np.frombuffer(memoryview(self._message.data), np.uint8)
        self._message.height, self._message.width, self._message.row_step = height, width, width * POINT_STEP
        fill_cloud(self._view, mask, confidence, self._colours, self._memory)
        self._message.header = header
        return self._message
