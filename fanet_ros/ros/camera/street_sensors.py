"""The depth camera and the lidar beside the street's camera, as messages."""

from __future__ import annotations

import array
from collections.abc import Collection
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from fanet_ros.errors import SettingError
from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.ros.camera.calibration import camera_info_message
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.topics import latched
from fanet_ros.sources import FrameSource, Intrinsics, SourceFrame
from fanet_ros.sources.depth_sensor import DepthSensor
from fanet_ros.sources.lidar import LidarScan, SpinningLidar
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import View
from fanet_ros.untrusted.text import printable

DEPTH, DEPTH_INFO, POINTS = "depth", "depth/camera_info", "points"

ASIDE_M = 0.05
"""How far the depth camera `aside` is to the right of the colour camera, metres."""

LIDAR_ABOVE_M = 0.3
"""How far the lidar is above the camera, along the camera's own axis, metres."""

_ASIDE_FOV_DEG = 70.0  # wider than the street's image, as a depth camera's often is
_ASIDE_SCALE = 2 / 3  # of its image's width and height
_LIDAR_HZ = 10.0

_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("ring", "<u2"), ("", "<u2")])
_FIELDS = [
    *(PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate("xyz")),
    PointField(name="ring", offset=12, datatype=PointField.UINT16, count=1),
]


def check_has_sensors(settings: CameraParameters, source: FrameSource) -> None:
    """Raise a SettingError where depth or a lidar is asked of footage."""
    if isinstance(source, StreetCamera):
        return
    asked = [name for name, is_asked in (("depth", settings.depth != "off"), ("lidar", settings.lidar)) if is_asked]
    if asked:
        raise SettingError(
            f"{asked[0]}: '{printable(settings.source)}' measures no distances, only the street does; leave the "
            "parameter out, or play source:=street"
        )


class StreetSensors:
    """Measures what is subscribed to, at the instants of the street's frames.

    Attributes:
        topics: message types by name: depth, depth/camera_info and points, as far as they are asked for.
    """

    def __init__(
        self, node: Node, settings: CameraParameters, street: StreetCamera, frame_id: str, rate_hz: float
    ) -> None:
        """Prepare the sensors, and tell TF where they are.

        Args:
            node: that publishes.
            settings: of the node.
            street: that is filmed.
            frame_id: of the street's camera.
            rate_hz: frames per second.
        """
        self._street = street
        self._is_aside = settings.depth == "aside"
        name = node.get_fully_qualified_name().lstrip("/")
        self._depth_frame = f"{name}_depth_optical_frame" if self._is_aside else frame_id
        self._intrinsics = aside_intrinsics(street) if self._is_aside else street.intrinsics
        self._sensor = DepthSensor(self._intrinsics.fx, seed=settings.seed)
        self._depth_writer = ImageMessageWriter()
        self._lidar_frame = f"{name}_lidar"
        self._lidar = SpinningLidar(street, seed=settings.seed)
        self._lidar_every = max(1, round(rate_hz / _LIDAR_HZ))  # frames
        self.topics: dict[str, type] = {}
        transforms = []
        if settings.depth != "off":
            self.topics |= {DEPTH: Image, DEPTH_INFO: CameraInfo}
        if self._is_aside:
            transforms.append(aside_transform(frame_id, self._depth_frame))
        if settings.lidar:
            self.topics[POINTS] = PointCloud2
            transforms.append(lidar_transform(frame_id, self._lidar_frame))
        # a subscriber that comes later still gets them: the publisher has to stay
        self._static: Publisher | None = _publish_static(node, transforms) if transforms else None

    def prepare(self, wanted: Collection[str]) -> None:
        """Let the next frame come with what the wanted topics need; rendering depth costs time."""
        self._street.depth = DEPTH in wanted and not self._is_aside

    def messages(self, frame: SourceFrame, header: Header, wanted: Collection[str]) -> dict[str, Any]:
        """Return the measurements of a frame by topic, with the frame's stamp; valid until the next call.

        Args:
            frame: of the street, read after `prepare` with the same topics.
            header: of the image.
            wanted: topics.
        """
        index, stamp = int(frame.name), header.stamp
        found: dict[str, Any] = {}
        depth_header = Header(stamp=stamp, frame_id=self._depth_frame)
        if DEPTH_INFO in wanted:
            found[DEPTH_INFO] = camera_info_message(depth_header, self._intrinsics)
        if DEPTH in wanted:
            found[DEPTH] = self._depth(depth_header, frame, index)
        if POINTS in wanted and index % self._lidar_every == 0:
            scan = self._lidar.scan(index, self._street.pose(index, true=True).moved(0.0, -LIDAR_ABOVE_M, 0.0))
            found[POINTS] = points_message(Header(stamp=stamp, frame_id=self._lidar_frame), scan)
        return found

    def _depth(self, header: Header, frame: SourceFrame, index: int) -> Image:
        true = frame.depth
        if self._is_aside or true is None:  # None, too, of a street that was opened anew
            pose = self._street.pose(index, true=True).moved(ASIDE_M if self._is_aside else 0.0, 0.0, 0.0)
            true = self._street.view(index, View(self._intrinsics, pose)).depth()
        millimetres = self._sensor.measure_mm(true, index).astype("<u2", copy=False)
        return self._depth_writer.write(header, millimetres.view(np.uint8).reshape(*true.shape, 2), "16UC1")


def aside_intrinsics(street: StreetCamera) -> Intrinsics:
    """Return the pinhole of the depth camera beside the street's camera."""
    width, height = (max(1, round(side * _ASIDE_SCALE)) for side in (street.size.width, street.size.height))
    return Intrinsics.from_fov(width, height, _ASIDE_FOV_DEG)


def aside_transform(camera: str, depth: str) -> TransformStamped:
    """Return where the depth camera is in the camera's optical frame: both look the same way."""
    return _transform(camera, depth, Vector3(x=ASIDE_M), Quaternion(w=1.0))


def lidar_transform(camera: str, lidar: str) -> TransformStamped:
    """Return where the lidar is in the camera's optical frame: x along the line of sight, y left, z up."""
    return _transform(camera, lidar, Vector3(y=-LIDAR_ABOVE_M), Quaternion(x=0.5, y=-0.5, z=0.5, w=0.5))


def points_message(header: Header, scan: LidarScan) -> PointCloud2:
    """Return a turn of the lidar as an unorganised cloud of x, y, z (float32, metres) and ring (uint16)."""
    points = np.zeros(len(scan.points), _POINT)
    points["x"], points["y"], points["z"] = scan.points.T
    points["ring"] = scan.rings
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=_FIELDS,
        point_step=_POINT.itemsize,
        row_step=points.nbytes,
        data=array.array("B", points.tobytes()),
        is_dense=True,
    )


def _transform(parent: str, child: str, translation: Vector3, rotation: Quaternion) -> TransformStamped:
    return TransformStamped(
        header=Header(frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=translation, rotation=rotation),
    )


def _publish_static(node: Node, transforms: list[TransformStamped]) -> Publisher | None:
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        frames = " and ".join(f"'{printable(transform.child_frame_id)}'" for transform in transforms)
        node.get_logger().warning(
            f"TF does not learn where {frames} is, because tf2_msgs is not installed ({error}): drivable_area cannot "
            "use it; install tf2_msgs, or take depth:=registered, which needs no TF"
        )
        return None
    publisher = node.create_publisher(TFMessage, "/tf_static", latched())
    for transform in transforms:
        transform.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(TFMessage(transforms=transforms))
    return publisher
