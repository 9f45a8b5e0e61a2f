"""The ground as messages: calibration in; occupancy grid, laser scan and point clouds out."""

from __future__ import annotations

import array

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import MapMetaData, OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from fanet_ros.frames.image_messages import UnusableImageError, ids_of_compressed
from fanet_ros.ground.camera_model import Calibration, RegionOfInterest
from fanet_ros.ground.semantic_cloud import POINT_STEP, SemanticCloud
from fanet_ros.ground.view import ScanResult
from fanet_ros.ros.conversions import frame_from_image
from fanet_ros.untrusted.text import shown

_XYZ = [PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate("xyz")]


def calibration_from(message: CameraInfo) -> Calibration:
    """Return what a CameraInfo says (REP 104), without ROS."""
    roi = message.roi
    return Calibration(
        width=message.width,
        height=message.height,
        distortion_model=message.distortion_model,
        d=tuple(message.d),
        k=tuple(message.k.tolist()),
        r=tuple(message.r.tolist()),
        p=tuple(message.p.tolist()),
        binning_x=message.binning_x,
        binning_y=message.binning_y,
        roi=RegionOfInterest(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def ids_from_image(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """Return the pixels of a mono8 image, or of the PNG of one, uint8 (H, W), contiguous.

    Raises:
        UnusableImageError: it is no such image.
    """
    if isinstance(message, CompressedImage):
        return ids_of_compressed(message)
    if message.encoding not in ("mono8", "8UC1"):
        raise UnusableImageError(
            "encoding", f"encoding {shown(message.encoding)}, expected mono8, as the segmentation node publishes it"
        )
    message.encoding = "mono8"
    frame, _ = frame_from_image(message)
    return np.ascontiguousarray(frame[..., 0])


def grid_message(
    header: Header, occupancy: NDArray[np.int8], origin: tuple[float, float, float], resolution: float
) -> OccupancyGrid:
    """Return an occupancy grid as a message.

    Args:
        header: with the frame of the grid.
        occupancy: int8, (cells along y, cells along x): 0 free, 100 not drivable, -1 unseen; copied.
        origin: x, y and z of the corner of the first cell, metres.
        resolution: side of a cell, metres.
    """
    x, y, z = origin
    info = MapMetaData(
        map_load_time=header.stamp,
        resolution=resolution,
        width=occupancy.shape[1],
        height=occupancy.shape[0],
        origin=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=1.0)),
    )
    return OccupancyGrid(header=header, info=info, data=array.array("b", occupancy.tobytes()))


def scan_message(header: Header, scan: ScanResult) -> LaserScan:
    """Return a laser scan (REP 117: inf is free to range_max, NaN is not known)."""
    return LaserScan(
        header=header,
        angle_min=scan.angle_min,
        angle_max=scan.angle_max,
        angle_increment=scan.angle_increment,
        range_min=scan.range_min,
        range_max=scan.range_max,
        ranges=array.array("f", scan.ranges.astype(np.float32, copy=False).tobytes()),
    )


def points_message(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """Return an unorganised cloud of points, float32 (N, 3), metres."""
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=_XYZ,
        point_step=12,
        row_step=12 * len(points),
        data=array.array("B", np.ascontiguousarray(points, np.float32).tobytes()),
        is_dense=True,
    )


class SemanticCloudMessage:
    """The organised cloud of one ground table as a message whose memory is written again for each frame."""

    def __init__(self, points: NDArray[np.float32], palette: NDArray[np.uint8]) -> None:
        """Write what stays: positions.

        Args:
            points: float32, (H, W, 3), metres; NaN where a pixel sees no ground.
            palette: RGB colours by label, uint8 (256, 3).
        """
        height, width = points.shape[:2]
        self._message = PointCloud2(is_dense=False)
        self._message.data = array.array("B", bytes(height * width * POINT_STEP))
        # the message's own memory, which may be a copy of what it was given
        self._cloud = cloud = SemanticCloud(points, palette, buffer=memoryview(self._message.data))
        self._message.height, self._message.width = height, width
        self._message.fields = [
            PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=1) for f in cloud.fields
        ]
        self._message.point_step, self._message.row_step = cloud.point_step, cloud.row_step

    def write(self, header: Header, mask: NDArray[np.uint8], confidence: NDArray[np.uint8] | None) -> PointCloud2:
        """Return the message of one frame, valid until the next call.

        Args:
            header: with the frame of the points.
            mask: uint8, (H, W), class ids.
            confidence: uint8, (H, W), probability x 255; None: 255 everywhere.
        """
        self._cloud.fill(mask, confidence)
        self._message.header = header
        return self._message
